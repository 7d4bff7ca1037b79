"""The eligible amount of each line: what no list, ward, treatment or cap takes out (FORMAT.md §5.5)."""

from collections.abc import Collection, Sequence

from safeweave.adjudication.bills import Charges
from safeweave.adjudication.determination import Cut, cut_of
from safeweave.adjudication.hospital import is_covered
from safeweave.adjudication.occurrence import Occurrence
from safeweave.adjudication.reasons import CutReason
from safeweave.coverage.product import BedCap, BenefitTerms, HospitalRule, Scope, ServiceList
from safeweave.facts import Line
from safeweave.money import Fen

ORDINARY = frozenset({"ordinary", "icu"})


def eligible_amounts(
    charges: Charges,
    amounts: Sequence[int],
    occurrence: Occurrence,
    terms: BenefitTerms,
    lifted: Collection[str],
    cuts: Sequence[list[Cut]],
) -> Sequence[int]:
    """What of the lines of `charges` is eligible under `terms`; each part taken out is added to the line's cuts.

    `amounts` are the net amounts, 0 where a line is cut already.
    """
    eligible = list(amounts)
    for index, reason, clause in _taken_whole(charges, occurrence, terms, lifted):
        if eligible[index]:
            cuts[index].append(cut_of(reason, eligible[index], clause))
            eligible[index] = 0
    scope, bed_cap = terms.scope, terms.bed_cap
    if scope is not None:
        for index, line in enumerate(charges.lines):
            if eligible[index]:
                eligible[index] -= _outside_scope(line, scope, cuts[index])
    if bed_cap is not None:
        for index in charges.beds:
            eligible[index] -= _over_bed_cap(charges.lines[index], eligible[index], bed_cap, cuts[index])
    return eligible


def _taken_whole(
    charges: Charges, occurrence: Occurrence, terms: BenefitTerms, lifted: Collection[str]
) -> list[tuple[int, CutReason, str]]:
    """The lines that are not covered at all, with reason and clause; of several for a line the first counts."""
    found: list[tuple[int, CutReason, str]] = []
    lines, hospital = charges.lines, terms.hospital
    if hospital is not None:
        clause = hospital.clause
        barred = _barred_bills(charges, occurrence, hospital, lifted)
        if barred:
            found += [(at, "hospital_not_covered", clause) for at, bill in enumerate(charges.bill_of) if bill in barred]
        if hospital.ordinary_ward_only:
            found += [(at, "ward_not_ordinary", clause) for at, line in enumerate(lines) if line.ward not in ORDINARY]
    clauses = terms.treatments_after_accident if occurrence.claim.accident else terms.treatments
    if clauses:
        found += [
            (at, "excluded_treatment", clauses[line.treatment])
            for at, line in enumerate(lines)
            if line.treatment is not None and line.treatment in clauses
        ]
    if terms.drug_list is not None and "drug_list" not in lifted:
        clause = terms.drug_list.clause
        found += [(at, "not_in_drug_list", clause) for at in _not_in(terms.drug_list, lines)]
    if terms.item_list is not None and "item_list" not in lifted:
        clause = terms.item_list.clause
        found += [(at, "not_in_item_list", clause) for at in _not_in(terms.item_list, lines)]
    return found


def _not_in(services: ServiceList, lines: Sequence[Line]) -> list[int]:
    """The lines of the categories a list looks at which it does not allow."""
    categories = services.categories
    return [at for at, line in enumerate(lines) if line.category in categories and not services.allows(line)]


def _barred_bills(
    charges: Charges, occurrence: Occurrence, rule: HospitalRule, lifted: Collection[str]
) -> Collection[int]:
    """The bills of hospitals that are not covered."""
    claim = occurrence.claim
    return [
        index
        for index, bill in enumerate(charges.bills)
        if not is_covered(rule, claim, bill.hospital or claim.hospital, lifted)
    ]


def _outside_scope(line: Line, scope: Scope, cuts: list[Cut]) -> int:
    """The sum of the parts that `scope` does not cover. Without a split a 丙 line is all 全自费."""
    split = line.split
    if split is None:
        if scope.own or line.catalogue_class != "丙":
            return 0
        cuts.append(Cut("outside_catalogue", line.amount, scope.clause))
        return line.amount
    taken = 0
    if not scope.own and split.own:
        cuts.append(Cut("outside_catalogue", split.own, scope.clause))
        taken += split.own
    if not scope.over and split.over:
        cuts.append(Cut("over_price_cap", split.over, scope.clause))
        taken += split.over
    if not scope.first and split.first:
        cuts.append(Cut("first_self_pay", split.first, scope.clause))
        taken += split.first
    return taken


def _over_bed_cap(line: Line, amount: int, cap: BedCap, cuts: list[Cut]) -> int:
    """What a bed line of an inpatient bill counts too much."""
    excess = amount - cap.amount * (line.days or 0)
    if excess <= 0:
        return 0
    cuts.append(Cut("over_bed_cap", Fen(excess), cap.clause))
    return excess

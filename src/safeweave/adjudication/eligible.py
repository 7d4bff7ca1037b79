"""The eligible amount of each line: what no list, ward, treatment or cap takes out (FORMAT.md §5.5)."""

from collections.abc import Collection, Sequence

from safeweave.adjudication.bills import BED, Charges
from safeweave.adjudication.determination import Cut
from safeweave.adjudication.hospital import is_covered
from safeweave.adjudication.occurrence import Occurrence
from safeweave.adjudication.reasons import CutReason
from safeweave.coverage.product import BenefitTerms, Scope
from safeweave.facts import Line, Split
from safeweave.money import Fen

ORDINARY_WARDS = frozenset({"ordinary", "icu"})


def eligible_amounts(
    charges: Charges,
    places: Sequence[int],
    amounts: Sequence[int],
    occurrence: Occurrence,
    terms: BenefitTerms,
    lifted: Collection[str],
    cuts: Sequence[list[Cut]],
) -> list[int]:
    """What of the lines at `places` is eligible under `terms`; each part taken out is added to the line's cuts.

    `amounts` are the net amounts by place, 0 where a line is cut already.
    """
    barred = _barred_bills(charges, occurrence, terms, lifted)
    treatments = terms.treatments_after_accident if occurrence.claim.accident else terms.treatments
    eligible = []
    for place in places:
        amount = amounts[place]
        if amount > 0:
            line = charges.lines[place]
            whole = _whole_line_cut(line, charges.bill_of[place] in barred, terms, treatments, lifted)
            if whole is not None:
                cuts[place].append(Cut(whole[0], Fen(amount), whole[1]))
                amount = 0
            else:
                if terms.scope is not None:
                    amount -= _outside_scope(line, charges.splits[place], amount, terms.scope, cuts[place])
                if terms.bed_cap is not None and line.category == BED:
                    amount -= _over_bed_cap(charges, place, amount, terms, cuts[place])
        eligible.append(amount)
    return eligible


def _barred_bills(
    charges: Charges, occurrence: Occurrence, terms: BenefitTerms, lifted: Collection[str]
) -> Collection[int]:
    """The bills of hospitals that are not covered."""
    rule, claim = terms.hospital, occurrence.claim
    if rule is None:
        return ()
    return [
        index
        for index, bill in enumerate(charges.bills)
        if not is_covered(rule, claim, bill.hospital or claim.hospital, lifted)
    ]


def _whole_line_cut(
    line: Line,
    is_barred: bool,
    terms: BenefitTerms,
    treatments: dict[str, str],
    lifted: Collection[str],
) -> tuple[CutReason, str] | None:
    """The first reason that takes the whole line, with its clause."""
    if terms.hospital is not None:
        if is_barred:
            return "hospital_not_covered", terms.hospital.clause
        if terms.hospital.ordinary_ward_only and line.ward not in ORDINARY_WARDS:
            return "ward_not_ordinary", terms.hospital.clause
    if line.treatment is not None and line.treatment in treatments:
        return "excluded_treatment", treatments[line.treatment]
    drugs, items = terms.drug_list, terms.item_list
    if (
        drugs is not None
        and drugs.leaves_out(line.category, line.catalogue_class, line.code)
        and "drug_list" not in lifted
    ):
        return "not_in_drug_list", drugs.clause
    if (
        items is not None
        and items.leaves_out(line.category, line.catalogue_class, line.code)
        and "item_list" not in lifted
    ):
        return "not_in_item_list", items.clause
    return None


def _outside_scope(line: Line, split: Split | None, amount: int, scope: Scope, cuts: list[Cut]) -> int:
    """The sum of the parts that `scope` does not cover. Without a split a 丙 line is all 全自费."""
    if split is None:
        if scope.own or line.catalogue_class != "丙":
            return 0
        cuts.append(Cut("outside_catalogue", Fen(amount), scope.clause))
        return amount
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


def _over_bed_cap(charges: Charges, place: int, amount: int, terms: BenefitTerms, cuts: list[Cut]) -> int:
    """What a bed line of an inpatient bill counts too much."""
    cap = terms.bed_cap
    if cap is None or charges.bills[charges.bill_of[place]].kind != "inpatient":
        return 0
    excess = amount - cap.amount * (charges.days[place] or 0)
    if excess <= 0:
        return 0
    cuts.append(Cut("over_bed_cap", Fen(excess), cap.clause))
    return excess

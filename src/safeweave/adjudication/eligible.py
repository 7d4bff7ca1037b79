"""The eligible amount of each line: what no list, ward, treatment or cap takes out (FORMAT.md §5.5)."""

from collections.abc import Collection, Sequence

from safeweave.adjudication.bills import BED, Charges
from safeweave.adjudication.determination import Cut
from safeweave.adjudication.hospital import is_covered
from safeweave.adjudication.occurrence import Occurrence
from safeweave.adjudication.reasons import CutReason
from safeweave.coverage.product import BedCap, BenefitTerms, Scope
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
    hospital, scope, bed_cap = terms.hospital, terms.scope, terms.bed_cap
    ordinary_only = hospital is not None and hospital.ordinary_ward_only
    treatments = terms.treatments_after_accident if occurrence.claim.accident else terms.treatments
    drugs = None if "drug_list" in lifted else terms.drug_list
    items = None if "item_list" in lifted else terms.item_list
    eligible = []
    for place in places:
        amount = amounts[place]
        if amount > 0:
            line = charges.lines[place]
            category = line.category
            whole: tuple[CutReason, str] | None = None
            if hospital is not None and charges.bill_of[place] in barred:
                whole = "hospital_not_covered", hospital.clause
            elif hospital is not None and ordinary_only and line.ward not in ORDINARY_WARDS:
                whole = "ward_not_ordinary", hospital.clause
            elif line.treatment is not None and line.treatment in treatments:
                whole = "excluded_treatment", treatments[line.treatment]
            elif drugs is not None and category in drugs.categories and not drugs.allows(line):
                whole = "not_in_drug_list", drugs.clause
            elif items is not None and category in items.categories and not items.allows(line):
                whole = "not_in_item_list", items.clause
            if whole is not None:
                cuts[place].append(Cut(whole[0], Fen(amount), whole[1]))
                amount = 0
            else:
                if scope is not None:
                    amount -= _outside_scope(line, charges.splits[place], amount, scope, cuts[place])
                if bed_cap is not None and category == BED:
                    amount -= _over_bed_cap(charges, place, amount, bed_cap, cuts[place])
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


def _over_bed_cap(charges: Charges, place: int, amount: int, cap: BedCap, cuts: list[Cut]) -> int:
    """What a bed line of an inpatient bill counts too much."""
    if charges.bills[charges.bill_of[place]].kind != "inpatient":
        return 0
    excess = amount - cap.amount * (charges.days[place] or 0)
    if excess <= 0:
        return 0
    cuts.append(Cut("over_bed_cap", Fen(excess), cap.clause))
    return excess

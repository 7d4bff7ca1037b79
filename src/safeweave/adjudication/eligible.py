"""The eligible amount of each line: what no list, ward, treatment or cap takes out (FORMAT.md §5.5)."""

from collections.abc import Collection, Sequence

from safeweave.adjudication.bills import Charges
from safeweave.adjudication.hospital import is_exempt
from safeweave.adjudication.occurrence import Occurrence
from safeweave.adjudication.reasons import CutReason
from safeweave.adjudication.worksheet import Worksheet
from safeweave.coverage.product import BedCap, BenefitTerms, HospitalRule, Scope, ServiceList
from safeweave.facts import Claim, Line

ORDINARY = frozenset({"ordinary", "icu"})


def take_ineligible(sheet: Worksheet, occurrence: Occurrence, terms: BenefitTerms, lifted: Collection[str]) -> None:
    """Takes what of the lines is not eligible. Of several reasons for a whole line the first counts."""
    charges, claim = sheet.charges, occurrence.claim
    hospital, drug_list, item_list = terms.hospital, terms.drug_list, terms.item_list
    if hospital is not None and not is_exempt(hospital, claim, lifted):
        barred = _barred_bills(charges, claim, hospital)
        if barred:
            places = [at for at, bill in enumerate(charges.bill_of) if bill in barred]
            sheet.take_whole("hospital_not_covered", hospital.clause, places)
    if charges.special:
        _take_special(sheet, claim, terms)
    if drug_list is not None and "drug_list" not in lifted:
        sheet.take_whole("not_in_drug_list", drug_list.clause, _not_in(drug_list, charges.lines))
    if item_list is not None and "item_list" not in lifted:
        sheet.take_whole("not_in_item_list", item_list.clause, _not_in(item_list, charges.lines))
    if terms.scope is not None:
        _take_outside_scope(sheet, terms.scope)
    if terms.bed_cap is not None:
        _take_over_bed_cap(sheet, terms.bed_cap)


def _barred_bills(charges: Charges, claim: Claim, rule: HospitalRule) -> Collection[int]:
    """The bills of hospitals that are not covered."""
    barred: list[int] = []
    for index, bill in enumerate(charges.bills):
        hospital = bill.hospital or claim.hospital
        if hospital is None or not rule.covers(hospital):
            barred.append(index)
    return barred


def _take_special(sheet: Worksheet, claim: Claim, terms: BenefitTerms) -> None:
    """Takes what is done in a ward or by a treatment that is not covered."""
    lines, special, hospital = sheet.charges.lines, sheet.charges.special, terms.hospital
    if hospital is not None and hospital.ordinary_ward_only:
        places = [at for at in special if lines[at].ward not in ORDINARY]
        sheet.take_whole("ward_not_ordinary", hospital.clause, places)
    clauses = terms.treatments_after_accident if claim.accident else terms.treatments
    for at in special:
        treatment = lines[at].treatment
        if treatment is not None and treatment in clauses:
            sheet.take_whole("excluded_treatment", clauses[treatment], [at])


def _not_in(services: ServiceList, lines: Sequence[Line]) -> list[int]:
    """The lines of the categories a list looks at which it does not allow."""
    categories = services.categories
    return [at for at, line in enumerate(lines) if line.category in categories and not services.allows(line)]


def _take_outside_scope(sheet: Worksheet, scope: Scope) -> None:
    """Takes the parts that `scope` does not cover. Without a split a 丙 line is all 全自费."""
    nothing = [0] * len(sheet.left)
    own, over, first = list(nothing), list(nothing), list(nothing)
    for at, line in enumerate(sheet.charges.lines):
        split = line.split
        if split is not None:
            own[at], over[at], first[at] = split.own, split.over, split.first
        elif line.catalogue_class == "丙":
            own[at] = line.amount
    parts_of: tuple[tuple[bool, CutReason, list[int]], ...] = (
        (scope.own, "outside_catalogue", own),
        (scope.over, "over_price_cap", over),
        (scope.first, "first_self_pay", first),
    )
    for is_covered, reason, parts in parts_of:
        if not is_covered:
            sheet.take(reason, scope.clause, parts)


def _take_over_bed_cap(sheet: Worksheet, cap: BedCap) -> None:
    """Takes what the bed lines of inpatient bills count too much."""
    for place in sheet.charges.beds:
        excess = sheet.left[place] - cap.amount * (sheet.charges.lines[place].days or 0)
        if excess > 0:
            sheet.take("over_bed_cap", cap.clause, [excess if at == place else 0 for at in range(len(sheet.left))])

"""The checks that stop a claim before anything is computed: its facts do not hold together (FORMAT.md §5.2)."""

from safeweave.adjudication.bills import (
    Charges,
    distinct_bills,
    fill_bed_days,
    is_icd,
    is_unknown,
    joined,
    read_bill,
    share_compensation,
)
from safeweave.adjudication.history import History
from safeweave.adjudication.occurrence import Occurrence


def checked_charges(
    occurrence: Occurrence, history: History, linked: bool, codes: set[str]
) -> tuple[Charges, tuple[str, ...]]:
    """The charges of a claim and the keys of its duplicate bills; with `codes` found, neither may be used.

    `history` is without the claim that is superseded; `linked` is false if `supersedes` names none in force.
    """
    claim, opening = occurrence.claim, occurrence.opening
    _check_days(occurrence, codes)
    if not claim.diagnoses:
        codes.add("diagnosis_missing")
    for diagnosis in claim.diagnoses:
        if not is_icd(diagnosis):
            codes.add("unknown_code")
    if not linked:
        codes.add("reissue_unlinked")
    if opening.reads_hospital and is_unknown(claim.hospital):
        codes.add("hospital_unknown")
    if not opening.reads_bills:
        return joined(()), ()
    bills, duplicates = distinct_bills(claim.bills, claim.hospital, history, codes)
    parts = [read_bill(bill, occurrence, history, codes) for bill in bills]
    fill_bed_days(parts, occurrence, codes)
    if not codes:
        for part in parts:
            share_compensation(part, codes)
    return joined(parts), duplicates


def _check_days(occurrence: Occurrence, codes: set[str]) -> None:
    """Days that are missing or in the wrong order; what is compared with a missing day is not compared."""
    claim, day, discharge = occurrence.claim, occurrence.day, occurrence.discharge
    is_unknown_day = not day or (not discharge and claim.kind == "inpatient")
    if is_unknown_day or (not occurrence.accident_day and claim.accident):
        codes.add("dates_unclear")
    if day and (occurrence.accident_day > day or occurrence.found_day > day or day > claim.claimed_on.toordinal()):
        codes.add("dates_unclear")
    if discharge and discharge < occurrence.admission:
        codes.add("dates_unclear")

"""The checks that stop a claim before anything is computed: its facts do not hold together (FORMAT.md §5.2)."""

from safeweave.adjudication.bills import Charges, distinct_bills, is_icd, is_unknown, read_charges, share_compensation
from safeweave.adjudication.history import History
from safeweave.adjudication.occurrence import Occurrence

NO_CHARGES = Charges()


def checked_charges(
    occurrence: Occurrence, history: History, linked: bool, codes: set[str]
) -> tuple[Charges, tuple[str, ...]]:
    """The charges of a claim and the keys of its duplicate bills; with `codes` found, neither may be used.

    `history` is without the claim that is superseded; `linked` is false if `supersedes` names none in force.
    """
    claim = occurrence.claim
    _check_claim_dates(occurrence, codes)
    if not claim.diagnoses:
        codes.add("diagnosis_missing")
    for diagnosis in claim.diagnoses:
        if not is_icd(diagnosis):
            codes.add("unknown_code")
    if not linked:
        codes.add("reissue_unlinked")
    if occurrence.reads_hospital and is_unknown(claim.hospital):
        codes.add("hospital_unknown")
    if not occurrence.reads_bills:
        return NO_CHARGES, ()
    bills, duplicates = distinct_bills(claim.bills, claim.hospital, history, codes)
    charges = read_charges(bills, occurrence, history, codes)
    if not codes:
        share_compensation(charges, codes)
    return charges, duplicates


def _check_claim_dates(occurrence: Occurrence, codes: set[str]) -> None:
    """Days that are missing or in the wrong order; what is compared with a missing day is not compared."""
    claim, day = occurrence.claim, occurrence.day
    if (
        not day
        or (claim.kind == "inpatient" and not occurrence.discharge)
        or (claim.accident and claim.accident_on is None)
    ):
        codes.add("dates_unclear")
    if occurrence.admission and occurrence.discharge and occurrence.discharge < occurrence.admission:
        codes.add("dates_unclear")
    if day and (day > claim.claimed_on.toordinal() or occurrence.accident_day > day or occurrence.found_day > day):
        codes.add("dates_unclear")

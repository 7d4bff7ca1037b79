"""The file of one illness: who, where, in which stage, and the stay as it stands."""

from datetime import date, datetime

from safeweave.cases.claim import claim_of, waits_for
from safeweave.cases.lifecycle import Happening, Stage, stage_after
from safeweave.cases.stay import Stay
from safeweave.facts import Claim, Fact
from safeweave.ids import CaseId, PersonId


class CaseHead(Fact, kw_only=True):
    """A case without its stay: what is listed, and all that is needed to move it from stage to stage.

    `version` counts the transactions that changed it, as read: a second writer finds it raised and cannot win.
    """

    id: CaseId
    person: PersonId
    sender: str
    visit: str
    stage: Stage
    opened_at: datetime
    # When the message came that completed what a determination needs: where "bill settled" starts to count.
    completed_at: datetime | None = None
    heard: tuple[int, ...] = ()  # the log numbers of the events the stay is folded from
    hospital: str = ""
    version: int = 0


class Case(CaseHead, kw_only=True):
    """One case, with the stay as it stands."""

    stay: Stay


def happenings(before: Stay | None, after: Stay) -> list[Happening]:
    """What has happened between two folds of one stay, in the order the life cycle takes it."""
    if before is not None and before.cancelled:
        if after.cancelled:
            return []
        before = None  # the admission was reported again: everything begins anew
    old = before or Stay()
    found: list[Happening] = []
    is_admitted = after.kind == "inpatient" and after.admitted_at is not None
    if (is_admitted and old.admitted_at is None) or (after.kind == "inpatient" and old.kind == "outpatient"):
        found.append("admission_reported")
    elif before is None or (old.kind == "inpatient" and after.kind == "outpatient"):
        found.append("visit_reported")
    if after.cancelled:
        return [*found, "admission_cancelled"]
    if old.discharged_at and not after.discharged_at:
        found.append("discharge_cancelled")
    if after.charges and {charge.id for charge in after.charges} - {charge.id for charge in old.charges}:
        found.append("charges_posted")
    if after.discharged_at and (
        not old.discharged_at or after.disposition != old.disposition or "admission_reported" in found
    ):
        found.append(_ENDINGS.get(after.disposition, "patient_discharged"))
    if before is None:
        return [*found, "bill_verified"] if is_ready(after) else found
    live_bills = after.live_bills
    if {seen.bill.key for seen in old.live_bills} - {seen.bill.key for seen in live_bills}:
        found.append("bill_reversed")
    if any(old.settlement_of(seen.bill) and not after.settlement_of(seen.bill) for seen in live_bills):
        found.append("settlement_cancelled")
    elif is_ready(old) and waits_for(after) == "settlement":
        found.append("bill_added")
    taken_back = {"bill_reversed", "settlement_cancelled", "discharge_cancelled"}.intersection(found)
    if is_ready(after) and (not is_ready(old) or taken_back or _papers(old) != _papers(after)):
        found.append("bill_verified")
    return found


def is_ready(stay: Stay) -> bool:
    """Whether everything a determination needs is here."""
    return not waits_for(stay)


_ENDINGS: dict[str, Happening] = {"2": "patient_transferred", "3": "patient_transferred", "5": "patient_died"}


def _papers(stay: Stay) -> Claim:
    """What a determination depends on; a change of it decides anew."""
    return claim_of(stay, "", date.min, {})


def moved(stage: Stage | None, found: list[Happening]) -> list[tuple[Happening, Stage | None]]:
    """Each happening with the stage it leads to."""
    steps = []
    for happening in found:
        stage = stage_after(stage, happening)
        steps.append((happening, stage))
    return steps

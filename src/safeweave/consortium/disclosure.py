"""What of a hospital's events a consent lets an insurer hear: the rest is left out before anything is sealed. Pure.

Each kind of event needs kinds of data (`consents.DataKind`), or it is not told at all; of what is told, the fields that
need another kind are emptied. A later, wider consent has the visit told again.
"""

from collections.abc import Collection, Sequence

import msgspec

from safeweave.consents import DataKind
from safeweave.events import (
    AdmissionCancelled,
    AdmissionReported,
    BillIssued,
    BillReversed,
    ChargesPosted,
    DischargeCancelled,
    HospitalEvent,
    LeaveBegan,
    LeaveEnded,
    OutpatientVisited,
    PatientDischarged,
    SettlementCancelled,
    SettlementReported,
    VisitUpdated,
)

NEEDED: dict[type[HospitalEvent], tuple[DataKind, ...]] = {
    AdmissionReported: ("identity", "admission"),
    OutpatientVisited: ("identity", "admission"),
    VisitUpdated: ("admission",),
    LeaveBegan: ("admission",),
    LeaveEnded: ("admission",),
    PatientDischarged: ("admission",),
    AdmissionCancelled: ("admission",),
    DischargeCancelled: ("admission",),
    ChargesPosted: ("bill",),
    BillIssued: ("bill",),
    BillReversed: ("bill",),
    SettlementReported: ("settlement",),
    SettlementCancelled: ("settlement",),
}
"""Kinds of events that may leave the hospital; one that is not here (a merge of records) never does."""

_FIELDS: dict[str, DataKind] = {"person": "identity", "diagnoses": "diagnosis"}
_EMPTY: dict[str, object] = {"person": None, "diagnoses": ()}


def needed(events: Sequence[HospitalEvent]) -> set[DataKind]:
    """The kinds of data without which some of this would stay untold."""
    kinds: set[DataKind] = set()
    for event in events:
        if type(event) in NEEDED:
            kinds.update(NEEDED[type(event)])
            kinds.update(kind for field, kind in _FIELDS.items() if getattr(event, field, None))
    return kinds


def disclosed(event: HospitalEvent, kinds: Collection[DataKind]) -> HospitalEvent | None:
    """As much of this event as these kinds of data allow; None if it may not be told."""
    asked = NEEDED.get(type(event))
    if asked is None or not set(asked) <= set(kinds):
        return None
    hidden = {
        field: _EMPTY[field] for field, kind in _FIELDS.items() if kind not in kinds and getattr(event, field, None)
    }
    return msgspec.structs.replace(event, **hidden) if hidden else event

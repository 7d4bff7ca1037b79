"""A visit as another safeweave node tells it: the hospital events themselves, as docs/reference/wire.md §6 says."""

import re
from datetime import datetime
from typing import Literal

import msgspec

from safeweave.errors import Malformed
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
from safeweave.exchange.formats.reading import Limits, Reading, Sender
from safeweave.facts import Fact

Told = (
    AdmissionCancelled | AdmissionReported | BillIssued | BillReversed | ChargesPosted | DischargeCancelled | LeaveBegan
    | LeaveEnded | OutpatientVisited | PatientDischarged | SettlementCancelled | SettlementReported | VisitUpdated
)  # fmt: skip
BEGINNING = b'{"form":"safeweave/visit/'
_BYTE = re.compile(r"\(byte ([0-9]+)\)")


class VisitMessage(Fact):
    """What a hospital tells of one visit. `id` is its own; the same one again is the same message."""

    form: Literal["safeweave/visit/1"]
    id: str
    sent_at: datetime
    visit: str
    events: tuple[Told, ...]


def write(id: str, sent_at: datetime, visit: str, events: tuple[HospitalEvent, ...]) -> bytes:
    """The message that tells these events of one visit."""
    own = tuple([msgspec.structs.replace(event, visit=visit, sender="", told_at=None) for event in events])
    return msgspec.json.encode(
        {"form": "safeweave/visit/1", "id": id, "sent_at": sent_at, "visit": visit, "events": own}
    )


def read(raw: bytes, sender: Sender, limits: Limits) -> Reading:
    """The events of a message, each of the visit it names; Malformed with the place of the fault."""
    text = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        message = msgspec.json.decode(text, type=VisitMessage)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        raise Malformed(f"{what}; compare it with docs/reference/wire.md §6", line=1, field=place.strip("`.")) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        before = _BYTE.search(str(error))
        line = text.count(b"\n", 0, int(before[1]) if before else len(text)) + 1
        raise Malformed(f"this is no JSON: {error}; send the whole message again", line=line) from None
    if not message.id or not message.visit:
        raise Malformed("a message and its visit have an id; give both", field="visit" if message.id else "id")
    if message.sent_at.tzinfo is None:
        raise Malformed("the time has no offset; write it as 2026-03-01T09:00:00+08:00", field="sent_at")
    size = sum(1 + len(getattr(getattr(event, "bill", None), "lines", ())) for event in message.events)
    if not message.events or size > limits.max_entries:
        raise Malformed(f"it tells {size} things, 1 to {limits.max_entries} are allowed", field="events")
    for n, event in enumerate(message.events):
        if event.visit != message.visit or event.sender:
            raise Malformed("it is of another visit than its message, or names a sender", field=f"events[{n}].visit")
        if event.occurred_at.tzinfo is None:
            raise Malformed("the time has no offset", field=f"events[{n}].occurred_at")
    events = tuple([msgspec.structs.replace(event, sender=sender.id) for event in message.events])
    kind = ",".join(dict.fromkeys(type(event).__name__ for event in events))
    return Reading("visit", message.id, message.sent_at, None, kind, events)

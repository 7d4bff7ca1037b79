"""FHIR R4 bundles and resources as hospital events (source: FHIR 4.0.1).

The profile (extensions, code systems, which state is which event) stands in docs/reference/wire.md §1. It leaves other
resources unread. `resources.py` says what is decoded, then read `encounters.py` and `bills.py`.
"""

import hashlib

from safeweave.events import HospitalEvent, MessageNoted
from safeweave.exchange.formats.fhir.bills import bills_told
from safeweave.exchange.formats.fhir.charges import charges_told, eobs_seen
from safeweave.exchange.formats.fhir.decoding import message_in
from safeweave.exchange.formats.fhir.encounters import Encounters
from safeweave.exchange.formats.fhir.found import Found
from safeweave.exchange.formats.reading import Limits, Reading, Sender
from safeweave.exchange.formats.values import note, noted

__all__ = ["read"]


def read(raw: bytes, sender: Sender, limits: Limits) -> Reading:
    """One bundle or resource; Malformed names the field, such as entry[4].resource.item[2].net.value."""
    message = message_in(raw, limits)
    found = Found(sender, message.sent_at)
    unread: dict[str, int] = {}
    for path, full_url, kind, resource in message.entries:
        if resource is not None:
            found.add(path, full_url, resource)
        elif kind is None:
            found.note("an entry without a resource, such as a DELETE, tells nothing")
        else:
            note(unread, kind)

    encounters = Encounters(found)
    events: list[HospitalEvent] = [
        *encounters.told(),
        *bills_told(found, encounters),
        *charges_told(found, encounters),
    ]
    eobs = eobs_seen(found)
    for kind, count in sorted(unread.items()):
        note(found.notes, f"{kind[:40] or 'a resource without type'} not read", count)
    if not events and message.sent_at is not None:
        events.append(MessageNoted(occurred_at=message.sent_at, sender=sender.id, what=f"FHIR {message.kind}"))
    return Reading(
        format="fhir",
        control_id=message.control_id or hashlib.sha256(raw).hexdigest(),
        sent_at=message.sent_at,
        sequence=None,
        kind=message.kind,
        events=tuple(events),
        notes=noted(found.notes),
        eobs=eobs,
    )

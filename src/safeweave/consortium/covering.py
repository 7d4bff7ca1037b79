"""Which kinds of data a document holds, and whether a consent covers it, as far as this member knows its words."""

from collections.abc import Sequence
from datetime import datetime

from safeweave import consents, people
from safeweave.clock import Clock
from safeweave.consents import DataKind
from safeweave.consents.consent import in_order, state_at
from safeweave.consortium.disclosure import NEEDED, needed
from safeweave.consortium.permission import Covers
from safeweave.database import Database, Transaction
from safeweave.events import HospitalEvent, PersonsMerged

MESSAGE = "message"  # the kind of document that holds a hospital's message, in any format that hospitals speak
TICKETS = "tickets"
RECORD = "record"

_NEEDED: dict[str, tuple[DataKind, ...]] = {TICKETS: ("bill",), RECORD: ("record",)}
"""What a kind of document always holds; of a message only its content says it."""


def kinds_told(events: Sequence[HospitalEvent]) -> tuple[DataKind, ...]:
    """The kinds of data that these events hold, whoever has sent them and whatever it should have left out."""
    found = needed(events)
    for event in events:
        if isinstance(event, PersonsMerged):
            found.add("identity")
        elif type(event) not in NEEDED:
            found.add("record")  # nobody has looked what is in it
    return in_order(found)


def kinds_in(kind: str) -> tuple[DataKind, ...]:
    """The kinds of data that every document of this kind holds."""
    return _NEEDED.get(kind, ())


def visit_named(hospital: str, visit: str) -> str:
    """A visit as consents name it."""
    return f"{hospital}/{visit}"


def covering(database: Database, now: Clock) -> Covers:
    """For `Reception.covers` and `Courier.covers`: whether a consent that is kept here covers a kind of document now.

    A consent of which only the ledger's entry is known says nothing against it: the ledger is then all there is.
    """

    def covers(entry: str, kind: str) -> bool:
        with database.reading() as tx:
            return covers_now(tx, entry, kind, now())

    return covers


def covers_now(tx: Transaction, entry: str, kind: str, now: datetime) -> bool:
    """Whether the consent that stands on the ledger as `entry` covers this kind of document, if it is kept here."""
    found = consents.entries_by_ledger_id(tx, [entry])
    if entry not in found:
        return True
    id = found[entry].consent
    kept = consents.consents_by_id(tx, [id])[id]
    person = people.people_by_id(tx, [kept.consent.person])[kept.consent.person]
    again = state_at(kept, person, now, for_visit=True) == "retake"  # its other endings are on the ledger
    return not again and set(kinds_in(kind)) <= set(kept.consent.kinds)

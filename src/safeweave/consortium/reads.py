"""Notes who read what of a person's record, where this member knows whose consent an envelope went under.

Only the consent's id on the ledger travels with an envelope, so only a member that keeps the consent itself knows the
person; another one notes the read when what it opened has told it who that is (`taking`).
"""

from datetime import datetime

from safeweave import consents
from safeweave.consents import Read
from safeweave.consortium import locking
from safeweave.consortium.receiving import Arrival
from safeweave.consortium.store import Outgoing
from safeweave.consortium.taking import kept_under
from safeweave.database import Transaction


def note_opened(tx: Transaction, arrival: Arrival, now: datetime) -> None:
    """We opened a document: for `Reception.recorded`. What was noted with its person is not noted again."""
    header = arrival.header
    if locking.document(tx, kept_under(header.sender, header.exchange, header.sequence)) is not None:
        return
    _note(tx, header.consent, header.recipient, header.kind, now)


def note_delivered(tx: Transaction, delivery: Outgoing, now: datetime) -> None:
    """Another member has received a document from us: for `Courier.recorded`."""
    _note(tx, delivery.consent, delivery.recipient, delivery.kind, now)


def _note(tx: Transaction, entry: str, member: str, kind: str, now: datetime) -> None:
    found = consents.entries_by_ledger_id(tx, [entry])
    if entry not in found:
        return
    id = found[entry].consent
    consent = consents.consents_by_id(tx, [id])[id].consent
    read = Read(consent.person, member, consent.kinds, consent.purpose, kind, id, now, consent.visit)
    consents.note_reads(tx, [read])

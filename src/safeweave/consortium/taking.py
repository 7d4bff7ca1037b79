"""What is done with documents once they are opened: an insurer takes them into its cases, everybody else keeps them.

The hospital's consent to give has brought a document here. The insurer may process it only under another one, which it
keeps itself (个人信息保护法 28 to 30): whose papers these are shows only in the content, so it is read, the person is
looked up, and `consents.allowed` is asked. What no consent allows is locked, with the reason, and told to nobody.
"""

import io
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import BinaryIO, NamedTuple

from msgspec.structs import replace

from safeweave import cases, consents, worker
from safeweave.consents import Answer, Ask, DataKind, Read
from safeweave.consents.consent import in_order
from safeweave.consortium import ending, locking, store, tickets
from safeweave.consortium.covering import MESSAGE, kinds_in, kinds_told, visit_named
from safeweave.consortium.ending import Used
from safeweave.consortium.locking import LockedWhy, Opened, next_look
from safeweave.consortium.receiving import Arrival, HandOver
from safeweave.consortium.reserving import BillDesk
from safeweave.database import Transaction
from safeweave.errors import NotAllowed, Unavailable
from safeweave.events import Event, HospitalEvent
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits, Sender
from safeweave.exchange.inbound import Arrived
from safeweave.ids import PersonId
from safeweave.keys.ring import KeyRing

__all__ = ["MESSAGE", "keep", "kept_under", "open_again", "take_documents"]


def take_documents(limits: Limits, desk: BillDesk) -> HandOver:
    """An insurer's: what hospitals tell is taken like what comes in by the other doors, if the person allows that.

    The member must be registered as a sender, with the institution code it speaks for. Its tickets go to the desk that
    reserves bills; NotAllowed for tickets of another hospital, or for a number that is not the bill's. Tickets name no
    person and say nothing without their bills, so they are kept even where the bills are locked.
    """

    def take(tx: Transaction, arrival: Arrival, now: datetime) -> None:
        header = arrival.header
        if header.kind == tickets.KIND:
            sheet = tickets.read_sheet(arrival.content.read())
            if sheet.ticket.issuer != header.sender:
                raise NotAllowed(f"member {header.sender} sends tickets of {sheet.ticket.issuer}")
            tickets.check_numbers(sheet, arrival.permit.sender)
            worker.tell(tx, desk.take_sheet(tx, sheet, now), now)
            return
        document = Opened(
            kept_under(header.sender, header.exchange, header.sequence), header.sender, header.exchange,
            header.sequence, header.kind, header.consent, "", None, (), "locked", None, 0, now, None,
        )  # fmt: skip
        worker.tell(tx, _judged(tx, document, arrival.content, desk.ring, limits, now), now)

    return take


def keep(tx: Transaction, arrival: Arrival, now: datetime) -> None:
    """Everybody's: the content is kept as it came, under what `kept_under` says."""
    header = arrival.header
    store.keep_pieces(tx, kept_under(header.sender, header.exchange, header.sequence), arrival.content)


def kept_under(sender: str, exchange: str, sequence: int) -> str:
    """Where the content of an envelope is kept, for `store.pieces`."""
    return f"opened/{sender}/{exchange}/{sequence}"


# ---------------------------------------------------------------- whose it is, and whether it may be used


class _Matter(NamedTuple):
    """One visit of one person that a document tells of, with the kinds of data it tells."""

    visit: str
    named: str
    person: PersonId
    kinds: tuple[DataKind, ...]


def _judged(
    tx: Transaction, document: Opened, content: BinaryIO, ring: Callable[[], KeyRing], limits: Limits, now: datetime
) -> list[Event]:
    """Take a document up or lock it; what follows if it was taken."""
    sender = senders.every(tx).get(document.sender)
    if sender is None:
        raise Unavailable(f"member {document.sender} is no registered sender; `safeweave senders add` registers it")
    arrived, why, was_known = None, None, document.person is not None
    if document.kind == MESSAGE:
        arrived = inbound.open_message(content.read(), sender, limits)
        content.seek(0)
        if arrived.fault is not None:
            why = LockedWhy("unreadable", what=arrived.fault.what)
    matters = [] if why else _matters(tx, document, sender, arrived)
    if matters:
        first = matters[0]
        kinds = in_order({kind for matter in matters for kind in matter.kinds})
        document = replace(document, visit=first.visit, person=first.person, kinds=kinds)
    elif why is None:
        why = LockedWhy("unknown_person")
    asks = [Ask(each.person, "process", "", ring().member, "claim", each.kinds, now, each.named) for each in matters]
    answers = consents.allowed(tx, asks) if asks else []
    refused = [(ask, answer) for ask, answer in zip(asks, answers, strict=True) if not answer.allowed]
    if refused:
        consents.note_askings(tx, [each for each in refused if each[1].reason != "unknown_person"], now)
        answer = refused[0][1]
        assert answer.reason is not None
        why = LockedWhy(answer.reason, answer.missing)
    if why is not None:
        _lock(tx, document, why, content, ring(), [] if was_known else asks, now)
        return []
    return _use(tx, document, content, arrived, list(zip(matters, answers, strict=True)), ring().member, now)


def _matters(tx: Transaction, document: Opened, sender: Sender, arrived: Arrived | None) -> list[_Matter]:
    """What a document tells of whom; nothing if it tells of anybody who is not known here."""
    if arrived is None:
        person = locking.person_of_exchange(tx, document.sender, document.exchange)
        return [_Matter("", "", person, kinds_in(document.kind) or ("record",))] if person else []
    assert arrived.reading is not None
    events = arrived.reading.events
    told: dict[tuple[str, str, PersonId], list[HospitalEvent]] = {}
    for event, (visit, persons) in zip(events, cases.whose(tx, sender.id, events), strict=True):
        known = persons or _known_here(tx, document, visit)
        if not known:
            return []
        named = visit_named(event.hospital or sender.hospital, visit) if visit else ""
        for person in sorted(known):
            told.setdefault((visit, named, person), []).append(event)
    return [_Matter(*key, kinds_told(of)) for key, of in told.items()]


def _known_here(tx: Transaction, document: Opened, visit: str) -> frozenset[PersonId]:
    """Whom papers that name nobody are about, by the others of their visit or their exchange, locked or not."""
    person = locking.person_of_visit(tx, document.sender, visit) if visit else None
    person = person or locking.person_of_exchange(tx, document.sender, document.exchange)
    return frozenset() if person is None else frozenset({person})


def _lock(
    tx: Transaction, document: Opened, why: LockedWhy, content: BinaryIO, ring: KeyRing, asks: Sequence[Ask],
    now: datetime,
) -> None:  # fmt: skip
    """Keep it where nobody reads it; that it was opened to learn whose it is is noted once."""
    if document.tries == 0:
        locking.keep_locked(tx, document.id, content, ring)
    consents.note_reads(tx, [
        Read(ask.person, ring.member, ("identity",), "claim", f"{document.kind}: locked", None, now, ask.visit)
        for ask in asks
    ])  # fmt: skip
    tries = document.tries + 1
    locking.save(tx, replace(document, state="locked", why=why, tries=tries, due_at=next_look(tries, now)), now)


def _use(
    tx: Transaction, document: Opened, content: BinaryIO, arrived: Arrived | None,
    allowed: Sequence[tuple[_Matter, Answer]], member: str, now: datetime,
) -> list[Event]:  # fmt: skip
    """Take it up: told as events if it is a message, else kept as it came. Who read what is noted with it."""
    if document.tries:
        store.drop_pieces(tx, document.id)
    told: list[Event] = []
    if arrived is None:
        store.keep_pieces(tx, document.id, content)
    else:
        _, told = inbound.take(tx, [arrived], now)
    locking.save(tx, replace(document, state="taken", why=None, due_at=None), now)
    consents.note_reads(tx, [
        Read(matter.person, member, matter.kinds, "claim", document.kind, answer.consent, now, matter.named)
        for matter, answer in allowed
    ])  # fmt: skip
    ending.note_used(tx, [
        Used(document.sender, matter.visit, answer.consent, matter.person, matter.named, matter.kinds, "holds", None)
        for matter, answer in allowed if answer.consent is not None and matter.visit
    ], now)  # fmt: skip
    return told


# ---------------------------------------------------------------- locked ones


def open_again(
    tx: Transaction, documents: Sequence[Opened], ring: Callable[[], KeyRing], limits: Limits, now: datetime
) -> list[Event]:
    """Ask again for what is locked, and take what is allowed by now; what follows.

    One that is opened may say whose the others are, so they are asked for in turn until nothing more opens.
    """
    tx.wait_for({f"incoming {each.sender}/{each.exchange}" for each in documents})
    told: list[Event] = []
    waiting = _still_locked(tx, documents)
    while waiting:
        for document in waiting:
            content = io.BytesIO(locking.content_of(tx, document.id, ring()))
            told += _judged(tx, document, content, ring, limits, now)
        left = _still_locked(tx, waiting)
        waiting = left if len(left) < len(waiting) else []
    return told


def _still_locked(tx: Transaction, documents: Sequence[Opened]) -> list[Opened]:
    found = [locking.document(tx, each.id) for each in documents]
    return [each for each in found if each is not None and each.state == "locked"]

"""Takes what hospitals send: each message wholly or not at all, once; the original of the unreadable is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from safeweave import outbox
from safeweave.database import Dictionary, Transaction, at_of, at_text, packed, unpacked
from safeweave.errors import Malformed, NotFound
from safeweave.events import Event, HospitalEvent, MessageNoted, PersonsMerged, VisitTold
from safeweave.exchange.formats import Limits, Reading, Sender, read
from safeweave.exchange.senders import UNKNOWN
from safeweave.facts import Fact

CLOCK_SKEW = timedelta(minutes=5)  # a sender's clock may run ahead by this much


class Fault(Fact):
    """A located error; `code` is its error in HL7 table 0357, 0 for other formats."""

    what: str
    line: int = 0
    field: str = ""
    code: int = 0


class Receipt(Fact):
    """What became of a message.

    `status`: taken, duplicate (seen before; `answer` is the one given then), conflict (its id was used before for other
    content) or refused; the last two are kept for repair under `number`.
    """

    status: str
    number: int = 0
    control_id: str = ""
    format: str = ""
    kind: str = ""
    events: int = 0
    fault: Fault | None = None
    answer: bytes | None = None


class Arrived(msgspec.Struct, frozen=True):
    """One message as it came, with what could be read of it.

    `acknowledge` writes what the sender is answered; it is kept, so that a duplicate is answered the same.
    """

    raw: bytes
    sender: Sender
    reading: Reading | None
    fault: Fault | None = None
    acknowledge: Callable[[Arrived, Receipt], bytes] | None = None


class InboxEntry(Fact):
    """A message kept for repair."""

    number: int
    sender: str
    control_id: str
    format: str
    kind: str
    status: str
    received_at: datetime
    fault: Fault | None
    size_bytes: int


_faults = msgspec.json.Decoder(Fault)


Acknowledge = Callable[[Arrived, Receipt], bytes]


def open_message(
    raw: bytes,
    sender: Sender,
    limits: Limits,
    content_type: str | None = None,
    acknowledge: Acknowledge | None = None,
) -> Arrived:
    """The message with its reading, or with the fault that prevents one; touches no database."""
    try:
        return Arrived(raw, sender, read(raw, sender, limits, content_type), None, acknowledge)
    except Malformed as malformed:
        fault = Fault(malformed.what, malformed.line, malformed.field, getattr(malformed, "code", 0))
        return Arrived(raw, sender, None, fault, acknowledge)


def take(tx: Transaction, arrived: Sequence[Arrived], now: datetime) -> tuple[list[Receipt], list[Event]]:
    """Receipts for these messages, in their order, and what is to be followed: the visits they tell of.

    What was told stands in the log. The caller has what follows done (`Worker.accept`), or puts it in the outbox
    (`worker.tell`).
    """
    tx.wait_for({f"numbers of {m.sender.id}" for m in arrived if m.reading and m.reading.sequence is not None})
    readings = [_timely(message, now) for message in arrived]
    digests = [hashlib.sha256(message.raw).hexdigest() for message in readings]
    before, in_repair = _seen(
        tx,
        [(m.sender.id, m.reading.control_id if m.reading else d) for m, d in zip(readings, digests, strict=True)],
        sum(len(m.reading.events) for m in readings if m.reading),
    )
    receipts: list[Receipt] = []
    rows: list[tuple[object, ...]] = []
    told: list[Event] = []
    visits: dict[VisitTold, None] = {}
    merged: list[Event] = []
    sequences: dict[str, list[int]] = {}
    mended: list[tuple[int]] = []

    for message, digest in zip(readings, digests, strict=True):
        sender, reading, fault = message.sender.id, message.reading, message.fault
        if reading is not None and (sender, reading.control_id) in before:
            known_number, known_digest, answered = before[sender, reading.control_id]
            if known_digest == digest:
                receipts.append(
                    Receipt(
                        "duplicate", known_number, reading.control_id, reading.format, reading.kind, answer=answered
                    )
                )
                continue
            fault = Fault(
                f'the id "{reading.control_id}" was used before for a message with other content (number'
                f" {known_number}); send the correction under an id of its own",
                field="MSH-10" if reading.format == "hl7v2" else "id",
                code=205 if reading.format == "hl7v2" else 0,
            )
        if fault is not None and (sender, digest) in in_repair:
            receipts.append(msgspec.structs.replace(in_repair[sender, digest], fault=fault))
            continue
        number = tx.numbers("inbound_message", 1)
        status = (
            "taken" if fault is None else ("conflict" if reading is not None and message.fault is None else "refused")
        )
        count = 0
        if reading is not None and fault is None:
            events = [_received(event, message.sender, reading) for event in reading.events]
            moving = [event for event in events if not isinstance(event, MessageNoted)]
            told += [event for event in events if not isinstance(event, PersonsMerged)]
            merged += [event for event in moving if isinstance(event, PersonsMerged)]
            visits |= dict.fromkeys(
                VisitTold(sender, event.visit) for event in moving if not isinstance(event, PersonsMerged)
            )
            count = len(events)
            if reading.sequence is not None:
                sequences.setdefault(sender, []).append(reading.sequence)
        receipt = Receipt(
            status,
            number,
            reading.control_id if reading else "",
            reading.format if reading else "",
            reading.kind if reading else "",
            count,
            fault,
        )
        answered = message.acknowledge(message, receipt) if message.acknowledge else None
        receipts.append(msgspec.structs.replace(receipt, answer=answered))
        if reading is not None and status == "taken":
            before[sender, reading.control_id] = (number, digest, answered)
            if (sender, digest) in in_repair:
                mended.append((in_repair.pop((sender, digest)).number,))
        else:
            in_repair[sender, digest] = receipts[-1]
        rows.append(
            (
                number,
                sender,
                reading.control_id if reading else digest,
                digest,
                reading.format if reading else "",
                reading.kind if reading else "",
                status,
                reading.sent_at and at_text(reading.sent_at) if reading else None,
                reading.sequence if reading else None,
                at_text(now),
                count,
                msgspec.json.encode(fault).decode() if fault else None,
                answered,
                packed(message.raw, Dictionary.MESSAGES),
            )
        )

    tx.queue(_KEEP, rows)
    tx.queue("update inbound_message set status = 'repaired' where id = ?", mended)
    outbox.append(tx, told, now, read_back=True)
    _note_gaps(tx, sequences, now)
    return receipts, [*merged, *visits]


_KEEP = (
    "insert into inbound_message (id, sender, control_id, digest, format, kind, status, sent_at, sequence,"
    " received_at, events, error, answer, original) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


_KNOWN = "id, null, sender, control_id, digest, answer, status, format, kind from inbound_message"  # each by its index


def _timely(message: Arrived, now: datetime) -> Arrived:
    if message.reading is None:
        return message
    ahead = next((e for e in message.reading.events if e.occurred_at > now + CLOCK_SKEW), None)
    if ahead is None:
        return message
    fault = Fault(
        f"it tells of {type(ahead).__name__} at {at_text(ahead.occurred_at)}, which lies in the future;"
        " check the sender's clock and time zone and send it again",
        field="occurred_at",
    )
    return msgspec.structs.replace(message, fault=fault)


def _seen(
    tx: Transaction, keys: Sequence[tuple[str, str]], events: int
) -> tuple[dict[tuple[str, str], tuple[int, str, bytes | None]], dict[tuple[str, str], Receipt]]:
    """Of these (sender, control id): the number, digest and answer of those taken before; and the receipts of those
    that wait for repair, by (sender, digest). Asks in the same breath for the numbers these and their events need."""
    taken: dict[tuple[str, str], tuple[int, str, bytes | None]] = {}
    in_repair: dict[tuple[str, str], Receipt] = {}
    tx.flush(_KEEP)
    for number, event, sender, control_id, digest, answer, status, format_, kind in tx.rows(
        f"select {tx.numbering('inbound_message')}, {tx.numbering('event')}, null, null, null, null, null, null, null"
        " union all"
        f" select {_KNOWN} where status = 'taken' and (sender, control_id) in ?"
        " union all"
        f" select {_KNOWN} where status <> 'taken' and status <> 'repaired' and (sender, control_id) in ?",
        (len(keys), events, keys, keys),
    ):
        if sender is None:
            tx.reserve("inbound_message", len(keys), number)
            tx.reserve("event", events, event)
        elif status == "taken":
            taken[sender, control_id] = (number, digest, answer)
        else:
            in_repair[sender, digest] = Receipt(status, number, control_id, format_, kind, answer=answer)
    return taken, in_repair


def _received(event: HospitalEvent, sender: Sender, reading: Reading) -> HospitalEvent:
    return msgspec.structs.replace(
        event, sender=sender.id, told_at=reading.sent_at, hospital=event.hospital or sender.hospital
    )


def _note_gaps(tx: Transaction, sequences: dict[str, list[int]], now: datetime) -> None:
    """A sequence number that was skipped is a message we never saw: it is noted, and struck off when it comes."""
    if not sequences:
        return
    senders = list(sequences)
    highest: dict[str, int] = dict(
        tx.rows("select sender, sequence from highest_sequence where sender in ?", (senders,))
    )
    missing, closed, new = [], [], []
    for sender, numbers in sequences.items():
        top = highest.get(sender)
        for number in numbers:
            if top is not None and number > top + 1:
                missing += [(sender, n, at_text(now)) for n in range(top + 1, min(number, top + 1001))]
            elif top is not None and number <= top:
                closed.append((sender, number))
            top = number if top is None else max(top, number)
        new.append((sender, top))
    tx.run_many("insert into gap (sender, sequence, noticed_at) values (?, ?, ?) on conflict do nothing", missing)
    tx.run_many("delete from gap where sender = ? and sequence = ?", closed)
    tx.run_many(
        "insert into highest_sequence (sender, sequence) values (?, ?)"
        " on conflict (sender) do update set sequence = excluded.sequence",
        new,
    )


# ---------------------------------------------------------------- the repair list


def inbox(tx: Transaction) -> list[InboxEntry]:
    """Messages that wait for repair, the latest first."""
    return [
        InboxEntry(
            number,
            sender,
            control_id,
            format_,
            kind,
            status,
            at_of(received),
            _faults.decode(error) if error else None,
            size,
        )
        for number, sender, control_id, format_, kind, status, received, error, size in tx.rows(
            "select id, sender, control_id, format, kind, status, received_at, error, length(original)"
            " from inbound_message where status in ('refused', 'conflict') and status <> 'taken' order by id desc"
        )
    ]


class Gap(Fact):
    """Messages of a sender that never came: the first and last number missing in a row."""

    sender: str
    first: int
    last: int
    noticed_at: datetime


def gaps(tx: Transaction) -> list[Gap]:
    """The numbers that never came, those in a row together."""
    found: list[Gap] = []
    for sender, number, at in tx.rows("select sender, sequence, noticed_at from gap order by sender, sequence"):
        if found and found[-1].sender == sender and found[-1].last == number - 1:
            found[-1] = msgspec.structs.replace(found[-1], last=number)
        else:
            found.append(Gap(sender, number, number, at_of(at)))
    return found


def original(tx: Transaction, number: int) -> tuple[str, bytes]:
    """The sender and the bytes of a kept message; NotFound if there is none."""
    row = tx.row("select sender, original from inbound_message where id = ?", (number,))
    if row is None:
        raise NotFound(f"there is no message {number}; `safeweave inbox list` shows those that wait for repair")
    return row[0], unpacked(row[1])


def repair(
    tx: Transaction, number: int, raw: bytes, sender: Sender, limits: Limits, now: datetime
) -> tuple[Receipt, list[Event]]:
    """Take a kept message again, as it was or with mended content; it leaves the repair list if it can be taken."""
    original(tx, number)
    (receipt,), told = take(tx, [open_message(raw, sender, limits)], now)
    tx.flush(_KEEP)
    if receipt.status in ("taken", "duplicate"):
        tx.run(
            "update inbound_message set status = 'repaired' where id = ? and status in ('refused', 'conflict')",
            (number,),
        )
    elif receipt.number != number:
        tx.run("delete from inbound_message where id = ?", (receipt.number,))  # the same fault need not be listed twice
    return receipt, told


def unknown_sender() -> Sender:
    """The sender under which messages of strangers are kept."""
    return Sender(id=UNKNOWN, hospital="")


def unplaced(tx: Transaction) -> list[tuple[str, str, str]]:
    """Papers that name no visit and no known bill: (sender, kind, what they name)."""
    found = []
    for _, kind, payload in tx.rows(
        "select id, kind, payload from event where subject in (select id || '/' from sender)"
        " union all select id, kind, payload from event where subject > '/' and subject < '0' order by id"
    ):
        (event,) = outbox.events_in(payload)
        named = getattr(event, "bill", None) or getattr(event, "settlement", "")
        found.append((getattr(event, "sender", ""), kind, str(getattr(named, "key", named))))
    return found

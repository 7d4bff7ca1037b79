"""What remembers deliveries: outgoing ones until the recipient's receipt is here, incoming ones for good."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Literal

import msgspec

from safeweave.consortium.spool import Source
from safeweave.consortium.why import Why
from safeweave.database import Transaction, at_of, at_text
from safeweave.errors import Conflict
from safeweave.ids import fresh
from safeweave.keys.envelope import Cover, Header
from safeweave.keys.receipt import SignedReceipt

PIECE_BYTES = 256 * 1024

State = Literal["queued", "sealed", "received", "refused", "stopped"]
LeafOf = Literal["envelope", "receipt", "given", "determination"]

_encode = msgspec.json.Encoder().encode
_covers = msgspec.json.Decoder(Cover)
_receipts = msgspec.json.Decoder(SignedReceipt)
_whys = msgspec.json.Decoder(Why)


class Contact(msgspec.Struct, frozen=True):
    """Where a member says it is reached."""

    member: str
    name: str
    url: str


def keep_contacts(tx: Transaction, contacts: Sequence[Contact]) -> None:
    """Remember these addresses; one told later replaces the earlier one."""
    tx.run_many(
        "insert into member_contact (member, name, url) values (?, ?, ?)"
        " on conflict (member) do update set name = excluded.name, url = excluded.url",
        [(contact.member, contact.name, contact.url) for contact in contacts],
    )


def contacts(tx: Transaction) -> dict[str, Contact]:
    """All addresses that were told, by member."""
    rows = tx.rows("select member, name, url from member_contact order by member")
    return {member: Contact(member, name, url) for member, name, url in rows}


def contact(tx: Transaction, member: str) -> Contact | None:
    """The address that was told for a member."""
    row = tx.row("select member, name, url from member_contact where member = ?", (member,))
    return Contact(*row) if row else None


# ---------------------------------------------------------------- pieces


def keep_pieces(tx: Transaction, of: str, source: Source) -> int:
    """Keep everything `source` still holds, in pieces; how many bytes there were."""
    size, number = 0, 0
    while piece := source.read(PIECE_BYTES):
        tx.run("insert into piece (of, number, bytes) values (?, ?, ?)", (of, number, piece))
        size, number = size + len(piece), number + 1
    return size


def pieces(tx: Transaction, of: str) -> Iterator[bytes]:
    """The bytes that were kept, one piece at a time."""
    number = 0
    while (found := piece(tx, of, number)) is not None:
        yield found
        number += 1


def piece(tx: Transaction, of: str, number: int) -> bytes | None:
    """One piece; None behind the last."""
    row = tx.row("select bytes from piece where of = ? and number = ?", (of, number))
    return bytes(row[0]) if row else None


def sealed_size(tx: Transaction, of: str) -> int:
    """How many bytes were kept."""
    row = tx.row("select coalesce(sum(length(bytes)), 0) from piece where of = ?", (of,))
    return int(row[0]) if row else 0


def drop_pieces(tx: Transaction, of: str) -> None:
    """Forget the bytes."""
    tx.run("delete from piece where of = ?", (of,))


# ---------------------------------------------------------------- outgoing


class Outgoing(msgspec.Struct, frozen=True):
    """One document on its way to one member."""

    id: str
    recipient: str
    exchange: str
    sequence: int
    consent: str
    kind: str
    state: State
    size: int
    content: str
    queued_at: datetime
    due_at: datetime
    tries: int
    why: Why | None
    envelope: str
    cover: Cover | None
    head_time: int
    settled_at: datetime | None
    receipt: SignedReceipt | None


_OUTGOING = (
    "select o.id, o.recipient, o.exchange, o.sequence, o.consent, o.kind, o.state, o.size, o.content, o.queued_at,"
    " o.due_at, o.tries, o.why, o.envelope, o.cover, o.head_time, o.settled_at, o.receipt from outgoing o"
)


def _outgoing(row: Sequence[Any]) -> Outgoing:
    id, recipient, exchange, sequence, consent, kind, state, size, content = row[:9]
    queued, due_at, tries, why, envelope, cover, head_time, settled, receipt = row[9:]
    return Outgoing(
        id, recipient, exchange, sequence, consent, kind, state, size, content, at_of(queued), at_of(due_at), tries,
        _whys.decode(why) if why else None, envelope or "", _covers.decode(cover) if cover else None, head_time or 0,
        at_of(settled) if settled else None, _receipts.decode(receipt) if receipt else None,
    )  # fmt: skip


def queue(
    tx: Transaction,
    recipient: str,
    exchange: str,
    consent: str,
    kind: str,
    content: BinaryIO,
    now: datetime,
    id: str = "",
) -> str:
    """Put a document on its way, the next of its exchange with this recipient; its id.

    The same `id` again changes nothing. All that goes in one exchange goes under one consent, so that what ends with
    the consent leaves no gap. Raises Conflict for another consent.
    """
    tx.wait_for({f"outgoing {recipient}/{exchange}"})
    if id and tx.row("select 1 from outgoing where id = ?", (id,)):
        return id
    last = tx.row(
        "select sequence, consent from outgoing where recipient = ? and exchange = ? order by sequence desc limit 1",
        (recipient, exchange),
    )
    if last and last[1] != consent:
        raise Conflict(f"exchange {exchange} goes under consent {last[1]}; begin another for consent {consent}")
    id = id or fresh("outgoing")
    size = keep_pieces(tx, id, content)
    hashed = hashlib.sha256()
    for kept in pieces(tx, id):
        hashed.update(kept)
    at = at_text(now)
    tx.run(
        "insert into outgoing (id, recipient, exchange, sequence, consent, kind, state, size, content, queued_at,"
        " due_at) values (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?)",
        (id, recipient, exchange, last[0] + 1 if last else 1, consent, kind, size, hashed.hexdigest(), at, at),
    )
    return id


def recipients_due(tx: Transaction, now: datetime) -> list[str]:
    """Members for whom something may be tried now."""
    rows = tx.rows(
        "select distinct recipient from outgoing where state in ('queued', 'sealed') and due_at <= ?", (at_text(now),)
    )
    return [recipient for (recipient,) in rows]


def due(tx: Transaction, recipient: str, now: datetime, limit: int) -> list[Outgoing]:
    """What may be tried for this member now: of each exchange the first that is not received, the longest due first."""
    rows = tx.rows(
        f"{_OUTGOING} where o.recipient = ? and o.state in ('queued', 'sealed') and o.due_at <= ? and not exists ("
        " select 1 from outgoing b where b.recipient = o.recipient and b.exchange = o.exchange"
        " and b.sequence < o.sequence and b.state in ('queued', 'sealed', 'refused'))"
        " order by o.due_at, o.queued_at, o.id limit ?",
        (recipient, at_text(now), limit),
    )
    return [_outgoing(row) for row in rows]


def make_due(tx: Transaction, consents: Collection[str], now: datetime) -> None:
    """Let what goes under these consents be tried now."""
    tx.run(
        "update outgoing set due_at = ? where consent in ? and state in ('queued', 'sealed')",
        (at_text(now), sorted(consents)),
    )


def outgoing(tx: Transaction, id: str) -> Outgoing | None:
    """One delivery."""
    row = tx.row(f"{_OUTGOING} where o.id = ?", (id,))
    return _outgoing(row) if row else None


def unfinished(tx: Transaction) -> list[Outgoing]:
    """Everything that is not received or stopped, in order."""
    rows = tx.rows(
        f"{_OUTGOING} where o.state in ('queued', 'sealed', 'refused') order by o.recipient, o.exchange, o.sequence"
    )
    return [_outgoing(row) for row in rows]


def stopped(tx: Transaction, limit: int) -> list[Outgoing]:
    """What was not sent because its consent ended, the latest first."""
    rows = tx.rows(f"{_OUTGOING} where o.state = 'stopped' order by o.settled_at desc, o.id limit ?", (limit,))
    return [_outgoing(row) for row in rows]


def keep_sealed(tx: Transaction, id: str, sealed: Source, cover: Cover, head_time: int, now: datetime) -> bool:
    """Put the sealed bytes in the place of the content; every try sends these. Whether it was still to be sealed."""
    envelope = cover.digest().hex()
    changed = tx.run_many(
        "update outgoing set state = 'sealed', envelope = ?, cover = ?, head_time = ?"
        " where id = ? and state = 'queued'",
        [(envelope, _encode(cover), head_time, id)],
    )
    if not changed:
        return False
    drop_pieces(tx, id)
    keep_pieces(tx, id, sealed)
    add_leaf(tx, envelope, "envelope", id, now)
    return True


def put_off(tx: Transaction, id: str, why: Why, due_at: datetime) -> None:
    """Try again then."""
    tx.run(
        "update outgoing set tries = tries + 1, why = ?, due_at = ? where id = ? and state in ('queued', 'sealed')",
        (_encode(why).decode(), at_text(due_at), id),
    )


def note_received(tx: Transaction, id: str, receipt: SignedReceipt, now: datetime) -> bool:
    """It is with the recipient, and the bytes are not needed any more; whether that is news."""
    changed = tx.run(
        "update outgoing set state = 'received', receipt = ?, why = null, settled_at = ? where id = ?"
        " and state in ('sealed', 'refused')",
        (_encode(receipt), at_text(now), id),
    )
    if changed:
        drop_pieces(tx, id)
        add_leaf(tx, receipt.receipt.digest().hex(), "receipt", id, now)
    return bool(changed)


def note_refused(tx: Transaction, id: str, why: Why) -> None:
    """It waits for a person, and so does what follows it in its exchange."""
    tx.run(
        "update outgoing set state = 'refused', tries = tries + 1, why = ? where id = ?"
        " and state in ('queued', 'sealed')",
        (_encode(why).decode(), id),
    )


def note_stopped(tx: Transaction, id: str, why: Why, now: datetime) -> None:
    """It is not sent any more, and its bytes are destroyed."""
    changed = tx.run(
        "update outgoing set state = 'stopped', why = ?, settled_at = ? where id = ? and state in ('queued', 'sealed')",
        (_encode(why).decode(), at_text(now), id),
    )
    if changed:
        drop_pieces(tx, id)


def send_again(tx: Transaction, now: datetime, id: str = "") -> int:
    """How many that were refused or wait for a later try are tried now: this one, or all."""
    changed = tx.run(
        "update outgoing set state = case when envelope is null then 'queued' else 'sealed' end, due_at = ?"
        f" where (state = 'refused' or (state in ('queued', 'sealed') and due_at > ?)){' and id = ?' if id else ''}",
        (at_text(now), at_text(now), *([id] if id else [])),
    )
    return changed


# ---------------------------------------------------------------- incoming


class Incoming(msgspec.Struct, frozen=True):
    """One envelope that came."""

    id: str
    header: Header
    state: Literal["held", "taken"]
    envelope: str
    cover: Cover
    arrived_at: datetime
    taken_at: datetime | None
    receipt: SignedReceipt | None


_INCOMING = "select id, state, envelope, cover, arrived_at, taken_at, receipt from incoming"


def _incoming(row: Sequence[Any]) -> Incoming:
    id, state, envelope, raw, arrived, taken, receipt = row
    cover = _covers.decode(raw)
    return Incoming(
        id,
        cover.header,
        state,
        envelope,
        cover,
        at_of(arrived),
        at_of(taken) if taken else None,
        _receipts.decode(receipt) if receipt else None,
    )


def incoming(tx: Transaction, sender: str, exchange: str, sequence: int) -> Incoming | None:
    """What came under this number, if anything did."""
    row = tx.row(f"{_INCOMING} where sender = ? and exchange = ? and sequence = ?", (sender, exchange, sequence))
    return _incoming(row) if row else None


def receipt_for(tx: Transaction, envelope: str) -> SignedReceipt | None:
    """The receipt that was given for the envelope with this digest."""
    row = tx.row("select receipt from incoming where envelope = ? and state = 'taken'", (envelope,))
    return _receipts.decode(row[0]) if row else None


def expected(tx: Transaction, sender: str, exchange: str) -> int:
    """The number that is to be taken next."""
    row = tx.row(
        "select max(sequence) from incoming where sender = ? and exchange = ? and state = 'taken'", (sender, exchange)
    )
    return int(row[0]) + 1 if row and row[0] is not None else 1


def held(tx: Transaction, sender: str = "", exchange: str = "") -> int:
    """How many envelopes wait for an earlier one: of everybody, or of one exchange."""
    if sender:
        row = tx.row(
            "select count(*) from incoming where state = 'held' and sender = ? and exchange = ?", (sender, exchange)
        )
    else:
        row = tx.row("select count(*) from incoming where state = 'held'")
    return int(row[0]) if row else 0


def all_held(tx: Transaction) -> list[Incoming]:
    """Every envelope that waits for an earlier one."""
    return [_incoming(row) for row in tx.rows(f"{_INCOMING} where state = 'held' order by sender, exchange, sequence")]


def count_taken(tx: Transaction) -> dict[str, int]:
    """How many envelopes were taken, by sender."""
    return dict(tx.rows("select sender, count(*) from incoming where state = 'taken' group by sender order by sender"))


def hold(tx: Transaction, cover: Cover, sealed: BinaryIO, now: datetime) -> str:
    """Keep an envelope, as it came, until its turn comes."""
    id = _add(tx, cover, "held", now)
    keep_pieces(tx, id, sealed)
    return id


def take(tx: Transaction, cover: Cover, receipt: SignedReceipt, now: datetime, known: Incoming | None) -> str:
    """Note that an envelope was taken, with the receipt given for it; `known` is its row if it was held."""
    id = known.id if known else _add(tx, cover, "held", now)
    tx.run(
        "update incoming set state = 'taken', taken_at = ?, receipt = ? where id = ?",
        (at_text(now), _encode(receipt), id),
    )
    if known:
        drop_pieces(tx, id)
    add_leaf(tx, receipt.receipt.digest().hex(), "given", id, now)
    return id


def _add(tx: Transaction, cover: Cover, state: str, now: datetime) -> str:
    header, id = cover.header, fresh("incoming")
    tx.run(
        "insert into incoming (id, sender, exchange, sequence, consent, kind, state, envelope, cover, arrived_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            id, header.sender, header.exchange, header.sequence, header.consent, header.kind, state,
            cover.digest().hex(), _encode(cover), at_text(now),
        ),
    )  # fmt: skip
    return id


def let_go(tx: Transaction, known: Incoming) -> None:
    """Forget an envelope that was held and cannot be taken; what is kept of it is that it was refused."""
    drop_pieces(tx, known.id)
    tx.run("delete from incoming where id = ? and state = 'held'", (known.id,))


class RefusedEnvelope(msgspec.Struct, frozen=True):
    """An envelope that its sender signed and that was refused, kept as proof."""

    envelope: str
    sender: str
    exchange: str
    sequence: int
    why: Why
    times: int
    refused_at: datetime


REFUSED_KEPT = 1000  # of one sender


def keep_refused(tx: Transaction, cover: Cover, why: Why, now: datetime) -> None:
    """Keep for the record that a signed envelope was refused, once however often it comes."""
    header, envelope, at = cover.header, cover.digest().hex(), at_text(now)
    if tx.run(
        "update incoming_refused set times = times + 1, refused_at = ?, why = ? where envelope = ? and code = ?",
        (at, _encode(why).decode(), envelope, why.code),
    ):
        return
    row = tx.row("select count(*) from incoming_refused where sender = ?", (header.sender,))
    if row and row[0] >= REFUSED_KEPT:
        return
    tx.run(
        "insert into incoming_refused (envelope, code, sender, exchange, sequence, why, cover, times, refused_at)"
        " values (?, ?, ?, ?, ?, ?, ?, 1, ?) on conflict do nothing",
        (
            envelope, why.code, header.sender, header.exchange, header.sequence, _encode(why).decode(),
            _encode(cover), at,
        ),
    )  # fmt: skip


def refused(tx: Transaction, limit: int) -> list[RefusedEnvelope]:
    """Envelopes that were refused, the latest first."""
    rows = tx.rows(
        "select envelope, sender, exchange, sequence, why, times, refused_at from incoming_refused"
        " order by refused_at desc, envelope limit ?",
        (limit,),
    )
    return [
        RefusedEnvelope(envelope, sender, exchange, sequence, _whys.decode(why), times, at_of(at))
        for envelope, sender, exchange, sequence, why, times, at in rows
    ]


# ---------------------------------------------------------------- hashes on their way to the ledger


class Leaf(msgspec.Struct, frozen=True):
    """A digest to be anchored."""

    id: int
    digest: str
    what: LeafOf
    of: str


class Batch(msgspec.Struct, frozen=True):
    """Digests anchored together, as one operation of the ledger."""

    id: int
    stream: str
    sequence: int
    root: str
    count: int
    operation: bytes
    tries: int
    due_at: datetime
    why: Why | None
    height: int | None = None
    time: int | None = None


def add_leaf(tx: Transaction, digest: str, what: LeafOf, of: str, now: datetime) -> None:
    """Have this digest anchored."""
    tx.run("insert into anchor_leaf (digest, what, of, made_at) values (?, ?, ?, ?)", (digest, what, of, at_text(now)))


def leaves_waiting(tx: Transaction) -> tuple[int, datetime | None]:
    """How many digests are in no batch yet, and since when the first of them is."""
    row = tx.row("select count(*), min(made_at) from anchor_leaf where batch is null")
    assert row is not None
    return int(row[0]), at_of(row[1]) if row[1] else None


def first_leaves(tx: Transaction, limit: int) -> list[Leaf]:
    """The digests to be anchored next."""
    rows = tx.rows("select id, digest, what, of from anchor_leaf where batch is null order by id limit ?", (limit,))
    return [Leaf(*row) for row in rows]


def leaves_of(tx: Transaction, batch: int) -> list[Leaf]:
    """The digests of a batch, in their order."""
    rows = tx.rows("select id, digest, what, of from anchor_leaf where batch = ? order by id", (batch,))
    return [Leaf(*row) for row in rows]


def leaf_of(tx: Transaction, of: str, what: LeafOf) -> tuple[Leaf, int | None] | None:
    """The digest of this delivery, and its batch if it is in one."""
    row = tx.row("select id, digest, what, of, batch from anchor_leaf where of = ? and what = ?", (of, what))
    return (Leaf(*row[:4]), row[4]) if row else None


_BATCH = "select id, stream, sequence, root, count, operation, tries, due_at, why, height, time from anchor_batch"


def _batch(row: Sequence[Any]) -> Batch:
    id, stream, sequence, root, count, operation, tries, due, why, height, time = row
    return Batch(
        id, stream, sequence, root, count, bytes(operation), tries, at_of(due), _whys.decode(why) if why else None,
        height, time,
    )  # fmt: skip


def open_batch(tx: Transaction) -> Batch | None:
    """The batch that is not final yet; there is one at most."""
    row = tx.row(f"{_BATCH} where state = 'open' order by id limit 1")
    return _batch(row) if row else None


def batch(tx: Transaction, id: int) -> Batch | None:
    """One batch."""
    row = tx.row(f"{_BATCH} where id = ?", (id,))
    return _batch(row) if row else None


def last_batch(tx: Transaction) -> Batch | None:
    """The newest batch, final or not."""
    row = tx.row(f"{_BATCH} order by id desc limit 1")
    return _batch(row) if row else None


def add_batch(
    tx: Transaction, stream: str, sequence: int, root: str, operation: bytes, leaves: Sequence[Leaf], now: datetime
) -> None:
    """Begin to anchor these."""
    id = tx.numbers("anchor_batch", 1)
    tx.run(
        "insert into anchor_batch (id, stream, sequence, root, count, operation, state, due_at)"
        " values (?, ?, ?, ?, ?, ?, 'open', ?)",
        (id, stream, sequence, root, len(leaves), operation, at_text(now)),
    )
    tx.run("update anchor_leaf set batch = ? where id in ?", (id, [leaf.id for leaf in leaves]))


def change_batch(tx: Transaction, id: int, stream: str, sequence: int, operation: bytes) -> None:
    """Anchor the same digests by another operation."""
    tx.run(
        "update anchor_batch set stream = ?, sequence = ?, operation = ? where id = ?",
        (stream, sequence, operation, id),
    )


def put_off_batch(tx: Transaction, id: int, why: Why, due_at: datetime) -> None:
    """Hand it in again then."""
    tx.run(
        "update anchor_batch set tries = tries + 1, why = ?, due_at = ? where id = ?",
        (_encode(why).decode(), at_text(due_at), id),
    )


def note_final(tx: Transaction, id: int, height: int, time: int) -> None:
    """It stands on the ledger."""
    tx.run("update anchor_batch set state = 'final', why = null, height = ?, time = ? where id = ?", (height, time, id))


def complete_receipt(tx: Transaction, leaf: Leaf, proof: bytes) -> None:
    """Put the path of a receipt's digest behind its signature."""
    table = "outgoing" if leaf.what == "receipt" else "incoming"
    row = tx.row(f"select receipt from {table} where id = ?", (leaf.of,))
    if row and row[0]:
        receipt = _receipts.decode(row[0]).anchored(proof)
        tx.run(f"update {table} set receipt = ? where id = ?", (_encode(receipt), leaf.of))


# ---------------------------------------------------------------- counts


def states(tx: Transaction) -> dict[str, int]:
    """How many deliveries are in each state."""
    return dict(tx.rows("select state, count(*) from outgoing group by state order by state"))


def leaves_on_the_ledger(tx: Transaction) -> dict[str, int]:
    """How many digests of each kind are anchored for good."""
    return dict(
        tx.rows(
            "select l.what, count(*) from anchor_leaf l join anchor_batch b on b.id = l.batch where b.state = 'final'"
            " group by l.what order by l.what"
        )
    )


def last_final(tx: Transaction) -> Batch | None:
    """The newest batch that is final."""
    row = tx.row(f"{_BATCH} where state = 'final' order by id desc limit 1")
    return _batch(row) if row else None

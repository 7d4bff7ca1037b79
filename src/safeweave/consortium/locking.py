"""What an insurer has opened, as rows; and the content of what it may not use, locked under a key of its own.

A locked content is encrypted under a fresh key, which is sealed to this member: it rests in the store like what rests
in an envelope, and nothing but this program with its key ring opens it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Literal

import msgspec

from safeweave.consents import DataKind
from safeweave.consents.consent import Reason, in_order, kinds_said
from safeweave.consortium import store
from safeweave.consortium.store import PIECE_BYTES
from safeweave.database import Transaction, at_of, at_text
from safeweave.errors import NotFound
from safeweave.ids import PersonId
from safeweave.keys import resting
from safeweave.keys.ring import KeyRing
from safeweave.words import Language, say

State = Literal["taken", "locked", "destroyed"]
LockReason = Reason | Literal["unreadable"]

FIRST_LOOK = timedelta(seconds=5)
LONGEST_LOOK = timedelta(hours=1)
KEPT_WITHOUT_CONSENT = timedelta(days=30)
ENDED: frozenset[LockReason] = frozenset({"revoked", "expired", "lapsed", "retake"})
"""There was a consent: what is locked for these is kept as long as the rest of the claim, and for nothing else."""


class LockedWhy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a document may not be used: `missing` from a consent that is too small, `what` is not readable in it."""

    reason: LockReason
    missing: tuple[DataKind, ...] = ()
    what: str = ""

    def said(self, language: Language) -> str:
        """The reason in words."""
        if self.reason == "unreadable":
            return say("consortium.locked.unreadable", language, what=self.what)
        return say(f"consents.why_not.{self.reason}", language, missing=kinds_said(self.missing, language))


class Opened(msgspec.Struct, frozen=True):
    """One document that was opened. `entry` is the consent on the ledger under which it came."""

    id: str
    sender: str
    exchange: str
    sequence: int
    kind: str
    entry: str
    visit: str
    person: PersonId | None
    kinds: tuple[DataKind, ...]
    state: State
    why: LockedWhy | None
    tries: int
    opened_at: datetime
    due_at: datetime | None


_whys = msgspec.json.Decoder(LockedWhy)
_OPENED = (
    "select id, sender, exchange, sequence, kind, entry, visit, person, kinds, state, why, tries, opened_at, due_at"
    " from opened_document"
)


def _opened(row: Sequence[Any]) -> Opened:
    id, sender, exchange, sequence, kind, entry, visit, person, kinds, state, why, tries, opened, due = row
    return Opened(
        id, sender, exchange, sequence, kind, entry, visit, person, read_kinds(kinds), state,
        _whys.decode(why) if why else None, tries, at_of(opened), at_of(due) if due else None,
    )  # fmt: skip


def write_kinds(kinds: Collection[DataKind]) -> str:
    """These kinds as a column holds them."""
    return ",".join(in_order(kinds))


def read_kinds(text: str) -> tuple[DataKind, ...]:
    """The same back."""
    return in_order(text.split(",")) if text else ()  # type: ignore[arg-type]


def save(tx: Transaction, document: Opened, now: datetime) -> None:
    """Note what has become of a document."""
    settled = None if document.state == "locked" else at_text(now)
    is_kept = document.why is None or document.why.reason in ENDED
    kept_until = None if is_kept else at_text(document.opened_at + KEPT_WITHOUT_CONSENT)
    tx.run(
        "insert into opened_document (id, sender, exchange, sequence, kind, entry, visit, person, kinds, state, why,"
        " tries, opened_at, due_at, kept_until, settled_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " on conflict (id) do update set visit = excluded.visit, person = excluded.person, kinds = excluded.kinds,"
        " state = excluded.state, why = excluded.why, tries = excluded.tries, due_at = excluded.due_at,"
        " kept_until = excluded.kept_until, settled_at = excluded.settled_at",
        (
            document.id, document.sender, document.exchange, document.sequence, document.kind, document.entry,
            document.visit, document.person, write_kinds(document.kinds), document.state,
            msgspec.json.encode(document.why).decode() if document.why else None, document.tries,
            at_text(document.opened_at), document.due_at and at_text(document.due_at), kept_until, settled,
        ),
    )  # fmt: skip


def document(tx: Transaction, id: str) -> Opened | None:
    """One document that was opened."""
    row = tx.row(f"{_OPENED} where id = ?", (id,))
    return _opened(row) if row else None


def person_of_visit(tx: Transaction, sender: str, visit: str) -> PersonId | None:
    """Whose visit this is by the documents that were opened, locked or not; None if they do not agree."""
    return _only(tx, "sender = ? and visit = ?", (sender, visit))


def person_of_exchange(tx: Transaction, sender: str, exchange: str) -> PersonId | None:
    """Of whom an exchange tells: it goes under one consent, which is one person's. None if nobody is known yet."""
    return _only(tx, "sender = ? and exchange = ?", (sender, exchange))


def _only(tx: Transaction, where: str, values: Sequence[object]) -> PersonId | None:
    rows = tx.rows(f"select distinct person from opened_document where {where} and person is not null", values)
    return rows[0][0] if len(rows) == 1 else None


def locked(tx: Transaction, limit: int) -> list[Opened]:
    """What is locked, the oldest first."""
    rows = tx.rows(f"{_OPENED} where state = 'locked' order by opened_at, id limit ?", (limit,))
    return [_opened(row) for row in rows]


def locked_of(tx: Transaction, persons: Collection[PersonId]) -> list[Opened]:
    """What is locked of these persons, in order of its numbers."""
    rows = tx.rows(
        f"{_OPENED} where state = 'locked' and person in ? order by opened_at, sequence, id", (sorted(persons),)
    )
    return [_opened(row) for row in rows]


def due(tx: Transaction, now: datetime, limit: int) -> list[str]:
    """Locked documents that are to be asked about now, and not again before the next pause is over."""
    rows = tx.rows(
        "select id from opened_document where state = 'locked' and due_at <= ? order by due_at, id limit ?",
        (at_text(now), limit),
    )
    ids = [id for (id,) in rows]
    tx.run_many("update opened_document set due_at = ? where id = ?", [(at_text(now + LONGEST_LOOK), id) for id in ids])
    return ids


def look_again(tx: Transaction, now: datetime) -> int:
    """Have everything that is locked asked about now; how much that is."""
    return tx.run("update opened_document set due_at = ? where state = 'locked'", (at_text(now),))


def next_look(tries: int, now: datetime) -> datetime:
    """When a locked document is asked about again, after so many times."""
    return now + min(FIRST_LOOK * (1 << min(tries, 20)), LONGEST_LOOK)


def counts(tx: Transaction) -> dict[str, int]:
    """How many documents are taken, locked, destroyed."""
    return dict(tx.rows("select state, count(*) from opened_document group by state order by state"))


def destroy(tx: Transaction, now: datetime, limit: int = 500) -> int:
    """Destroy what was kept for a month and nobody ever allowed; that it came, and why it was locked, stays noted.

    What is locked because a consent has ended is kept, under lock, as long as the claim it belongs to.
    """
    rows = tx.rows(
        f"{_OPENED} where state = 'locked' and kept_until <= ? order by kept_until, id limit ?", (at_text(now), limit)
    )
    found = [_opened(row) for row in rows]
    for each in found:
        store.drop_pieces(tx, each.id)
        save(tx, msgspec.structs.replace(each, state="destroyed", due_at=None), now)
    return len(found)


# ---------------------------------------------------------------- the content


def keep_locked(tx: Transaction, id: str, content: BinaryIO, ring: KeyRing) -> None:
    """Keep this content so that only the ring opens it."""
    parts = []
    while part := content.read(PIECE_BYTES):
        parts.append(part)
    rows = resting.locked(id, parts, ring)
    tx.run_many("insert into piece (of, number, bytes) values (?, ?, ?)", [(id, n, row) for n, row in enumerate(rows)])


def content_of(tx: Transaction, id: str, ring: KeyRing) -> bytes:
    """The content of a locked document. Raises NotFound if it was destroyed, SealBroken if it was changed."""
    rows = list(store.pieces(tx, id))
    if not rows:
        raise NotFound(f"the content of {id} is not here any more")
    return resting.unlocked(id, rows, ring)

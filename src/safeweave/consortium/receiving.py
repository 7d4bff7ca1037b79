"""Taking sealed envelopes in: each document is handed over once and in order, and its sender gets a receipt.

An envelope is believed only after all of this, at the recipient's own head of the ledger: it is for us, its sender is a
member and not suspended, signed it with the keys of the height it names, and the consent it names is in force between
the two. Its number decides what becomes of it: the next is opened and handed over, an earlier one gets the receipt it
got before, a later one is held, and another envelope with a number that was used is refused and kept as proof.

What was handed over, the note that it was taken and the receipt are written in one transaction.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from safeweave.clock import Clock
from safeweave.consortium import store
from safeweave.consortium.answer import Answer, answered
from safeweave.consortium.directory import Directory, check_sealed_since, keys_at
from safeweave.consortium.permission import Covers, Permit, permitted
from safeweave.consortium.spool import IN_MEMORY_BYTES, spooled
from safeweave.consortium.why import Code, Refused, Why
from safeweave.database import Database, Transaction
from safeweave.errors import Crossed, SafeweaveError, StoreUnavailable, Unavailable
from safeweave.keys.commitment import commitment, new_salt
from safeweave.keys.envelope import Cover, Header, open_covered, read_cover, read_header
from safeweave.keys.errors import (
    EnvelopeUnreadable,
    NoSuchKey,
    SealBroken,
    SuiteNotInstalled,
    UnknownSuite,
)
from safeweave.keys.receipt import SignedReceipt, sign_receipt
from safeweave.keys.ring import KeyRing
from safeweave.ledger.ledger import ConsentFound, Head

log = logging.getLogger("safeweave.consortium")

CROSSINGS = 20  # times another transaction may come in between


class Arrival(NamedTuple):
    """A document that was opened: what its envelope says of it, its content, and the content's SHA-256."""

    header: Header
    content: BinaryIO
    digest: str
    permit: Permit


HandOver = Callable[[Transaction, Arrival, datetime], None]
"""Takes a document up, in the transaction that notes it as taken.

Unavailable and StoreUnavailable have it sent again later; any other SafeweaveError refuses it for good.
"""


@dataclass(frozen=True)
class Limits:
    """How much is taken in at once."""

    envelope_bytes: int = 256 * 1024 * 1024
    at_once_bytes: int = 1024 * 1024 * 1024  # of all envelopes that are on their way in
    held: int = 1000  # envelopes that wait for earlier ones
    held_of_exchange: int = 100
    held_bytes: int = 4 * 1024 * 1024  # of one that waits; a larger one is to be sent again
    silence_seconds: float = 30.0
    waiting: int = 100_000  # of what was handed over and is not done yet, see `backlog`


@dataclass
class Reception:
    """What stands behind the door.

    `folder` is for envelopes while they are read, `recorded` notes that a person's record was read under a consent, in
    the same transaction and after it was handed over; `covers` says whether a consent covers a kind of document, as far
    as this member knows its text; `backlog` how much of what was handed over still waits to be worked on.
    """

    database: Database
    directory: Directory
    ring: Callable[[], KeyRing]
    clock: Clock
    hand_over: HandOver
    folder: Path
    recorded: HandOver = lambda tx, arrival, now: None
    covers: Covers = lambda consent, kind: True
    backlog: Callable[[], int] = lambda: 0
    limits: Limits = field(default_factory=Limits)

    def greet(self, source: BinaryIO) -> ConsentFound:
        """The consent that an envelope names, once its header shows that it may be for us; Refused."""
        header = self._header(source)
        if header.recipient != self.ring().member:
            raise Refused("wrong_recipient", member=header.recipient)
        found = self.directory.consent(header.consent)
        if found.head.height < header.height:
            raise Refused("behind", height=found.head.height, named=header.height)
        self.directory.active(header.sender, found.head)
        return found

    def take(self, source: BinaryIO, found: ConsentFound) -> Answer:
        """What becomes of an envelope that has come whole. Raises StoreUnavailable."""
        answer = self._take(source, found)
        if answer.became == "taken":
            self._take_held(source)
        return answer

    def _take(self, source: BinaryIO, found: ConsentFound) -> Answer:
        try:
            source.seek(0)
            cover = self._signed_cover(source, found.head)
        except Refused as refused:
            return answered(refused.why)
        header, envelope = cover.header, cover.digest().hex()
        try:
            with self.database.reading() as tx:
                known = store.incoming(tx, header.sender, header.exchange, header.sequence)
                expected = store.expected(tx, header.sender, header.exchange)
            if known and known.envelope != envelope:
                raise Refused("conflict", sequence=header.sequence)
            if known and known.receipt:
                return Answer("taken", receipt=known.receipt)
            permit = self._permit(header, found)
            if header.sequence > expected:
                return self._hold(cover, source, expected)
            if header.sequence < expected:  # numbers begin at 1
                raise Refused("conflict", sequence=header.sequence)
            with closing(self._opened(source, cover, permit)) as content:
                return self._written(cover, permit, content)
        except Refused as refused:
            if refused.why.code in _KEPT:
                with self.database.transaction(beside=True) as tx:
                    store.keep_refused(tx, cover, refused.why, self.clock())
                    known = store.incoming(tx, header.sender, header.exchange, header.sequence)
                    if known and known.state == "held" and known.envelope == envelope:
                        store.let_go(tx, known)
            return answered(refused.why)

    def _header(self, source: BinaryIO) -> Header:
        try:
            return read_header(source)
        except EnvelopeUnreadable as fault:
            raise Refused("unreadable", what=str(fault)) from fault

    def _signed_cover(self, source: BinaryIO, head: Head) -> Cover:
        """The cover of an envelope that its sender has signed; Refused."""
        try:
            cover = read_cover(source)
        except (EnvelopeUnreadable, UnknownSuite, SuiteNotInstalled) as fault:
            raise Refused("unreadable", what=str(fault)) from fault
        sender = self.directory.active(cover.header.sender, head)
        if not cover.signed_by(keys_at(sender, cover.header.height)):
            raise Refused("forged", member=cover.header.sender)
        check_sealed_since(sender, cover.header.height)
        return cover

    def _permit(self, header: Header, found: ConsentFound) -> Permit:
        if datetime.fromtimestamp(found.head.time, UTC) >= header.expires_at and found.state == "ACTIVE":
            raise Refused("expired")
        allowed = permitted(self.directory, found, header.consent, header.sender, header.recipient)
        if not self.covers(header.consent, header.kind):
            raise Refused("not_covered", consent=header.consent, kind=header.kind)
        return allowed

    def _hold(self, cover: Cover, source: BinaryIO, expected: int) -> Answer:
        header = cover.header
        if source.seek(0, os.SEEK_END) > self.limits.held_bytes:
            return answered(Why("full"))
        source.seek(0)

        def write(tx: Transaction) -> Answer:
            if store.incoming(tx, header.sender, header.exchange, header.sequence) is None:
                if (
                    store.held(tx) >= self.limits.held
                    or store.held(tx, header.sender, header.exchange) >= self.limits.held_of_exchange
                ):
                    return answered(Why("full"))
                store.hold(tx, cover, source, self.clock())
            return Answer("held", Why("gap", {"sequence": header.sequence, "expected": expected}))

        return self._transaction(header, write)

    def _opened(self, source: BinaryIO, cover: Cover, permit: Permit) -> BinaryIO:
        """The content, in a file of its own; Refused."""
        content = spooled(self.folder)
        now = datetime.fromtimestamp(permit.head.time, UTC)
        try:
            source.seek(0)
            open_covered(source, content, self.ring(), cover, now)
        except (SealBroken, NoSuchKey) as broken:
            content.close()
            raise Refused("broken_seal") from broken
        except BaseException:
            content.close()
            raise
        return content

    def _written(self, cover: Cover, permit: Permit, content: BinaryIO) -> Answer:
        header, envelope = cover.header, cover.digest().hex()
        content.seek(0)
        digest = _sha256(content)
        receipt = self._receipt(cover, digest, permit.head.height)

        def write(tx: Transaction) -> Answer:
            known = store.incoming(tx, header.sender, header.exchange, header.sequence)
            if known and known.envelope != envelope:
                raise Refused("conflict", sequence=header.sequence)
            if known and known.receipt:
                return Answer("taken", receipt=known.receipt)
            now = self.clock()
            content.seek(0)
            arrival = Arrival(header, content, digest, permit)
            store.take(tx, cover, receipt, now, known)
            try:
                self.hand_over(tx, arrival, now)
            except (StoreUnavailable, Refused):
                raise
            except Unavailable as away:
                raise Refused("store", what=str(away)) from away
            except SafeweaveError as fault:
                raise Refused("unhandled", what=str(fault)) from fault
            self.recorded(tx, arrival, now)
            return Answer("taken", receipt=receipt)

        return self._transaction(header, write)

    def _receipt(self, cover: Cover, digest: str, height: int) -> SignedReceipt:
        ring, salt = self.ring(), new_salt()
        committed = commitment(cover.header.kind, salt, committed_to(digest), ring.at(height).suite)
        return sign_receipt(cover, committed, salt, height, ring)

    def _transaction(self, header: Header, write: Callable[[Transaction], Answer]) -> Answer:
        for _ in range(CROSSINGS):
            try:
                with self.database.transaction(beside=True) as tx:
                    tx.wait_for({f"incoming {header.sender}/{header.exchange}"})
                    return write(tx)
            except Crossed as crossed:
                last = crossed
        raise last

    def _take_held(self, source: BinaryIO) -> None:
        """Take what waited for this envelope, as far as there is no gap. What cannot be taken is sent again anyhow."""
        source.seek(0)
        header = self._header(source)
        while True:
            try:
                with self.database.reading() as tx:
                    expected = store.expected(tx, header.sender, header.exchange)
                    known = store.incoming(tx, header.sender, header.exchange, expected)
                    if known is None:
                        return
                    held = spooled(self.folder)
                    for piece in store.pieces(tx, known.id):
                        held.write(piece)
                with closing(held):
                    held.seek(0)
                    if self._take(held, self.greet(held)).became != "taken":
                        return
            except (Refused, StoreUnavailable, OSError) as fault:
                log.warning("what is held of %s waits for its sender to ask: %s", header.exchange, fault)
                return

    def receipt(self, envelope: str) -> SignedReceipt | None:
        """The receipt given for the envelope with this digest, if it was taken."""
        with self.database.reading() as tx:
            return store.receipt_for(tx, envelope)

    def sweep(self) -> int:
        """How many held envelopes were let go because their consent has ended: what they wait for will not come."""
        with self.database.reading() as tx:
            held = store.all_held(tx)
        count = 0
        for known in held:
            try:
                self._permit(known.header, self.directory.consent(known.header.consent))
            except Refused as refused:
                if refused.why.code in _KEPT:
                    with self.database.transaction(beside=True) as tx:
                        store.keep_refused(tx, known.cover, refused.why, self.clock())
                        store.let_go(tx, known)
                    count += 1
        return count


def _sha256(content: BinaryIO) -> str:
    hashed = hashlib.sha256()
    while part := content.read(IN_MEMORY_BYTES):
        hashed.update(part)
    return hashed.hexdigest()


def committed_to(digest: str) -> dict[str, str]:
    """What a receipt commits to, for a content with this SHA-256."""
    return {"sha256": digest}


_KEPT: frozenset[Code] = frozenset({
    "conflict", "broken_seal", "unhandled", "expired", "consent_revoked", "consent_expired", "not_party",
})  # fmt: skip

"""Puts the hashes of envelopes and receipts on the ledger, many under one root, and completes receipts with their path.

A batch is signed and kept before it is handed in, and the same operation is handed in until the ledger says it is
final: silence or an unknown outcome changes nothing, and a refusal only waits. There is one batch under way at a time,
since the anchors of a stream have an order.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Thread

import msgspec

from safeweave.clock import Clock
from safeweave.consortium import store
from safeweave.consortium.store import Batch, Leaf, LeafOf
from safeweave.consortium.why import Why
from safeweave.database import Database, Slot, Transaction
from safeweave.errors import NotFound, SafeweaveError, StoreUnavailable
from safeweave.keys.canonical import canonical
from safeweave.keys.ring import KeyRing
from safeweave.ledger.audit import Disclosed
from safeweave.ledger.bundle import AnchoredDocument
from safeweave.ledger.checkpoint import encode_hash
from safeweave.ledger.ledger import Final, Head, Ledger, Refusal, Refused
from safeweave.ledger.merkle import Growing, hashes_of, inclusion_spans, root_of
from safeweave.ledger.operation import Anchor, fresh_id, operation_id, read_signed, sign, write_signed

log = logging.getLogger("safeweave.consortium")

EVERY_SECONDS = 2.0
MOST_LEAVES = 256
FINAL_WITHIN_SECONDS = 5.0
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0
POLL_SECONDS = 0.5
_SLOT = "anchors"
_STREAM_LOST: frozenset[Refusal] = frozenset({"out_of_order", "not_owner"})


def paths_of(digests: Sequence[str]) -> tuple[str, list[tuple[str, ...]]]:
    """The root over these digests, and the path from each to it."""
    tree, nodes = Growing(), dict[int, bytes]()
    leaves = [bytes.fromhex(digest) for digest in digests]
    for leaf in leaves:
        nodes.update(tree.append(leaf))
    paths = [
        tuple(
            encode_hash(hash)
            for hash in hashes_of(inclusion_spans(n, len(leaves)), lambda asked: {one: nodes[one] for one in asked})
        )
        for n in range(len(leaves))
    ]
    return root_of(leaves).hex(), paths


@dataclass
class Anchoring:
    """Anchors what this store has to be anchored, in a stream of its own."""

    database: Database
    ledger: Ledger
    ring: Callable[[], KeyRing]
    clock: Clock
    every_seconds: float = EVERY_SECONDS
    final_within_seconds: float = FINAL_WITHIN_SECONDS
    _stopping: Event = field(default_factory=Event, init=False)
    _thread: Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Anchor from a thread of its own; of all processes over one store, one does."""
        self._thread = Thread(target=self._run, name="anchoring", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the step under way, and stop."""
        self._stopping.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        slot: Slot | None = None
        while not self._stopping.wait(POLL_SECONDS):
            try:
                if slot is None or not slot.still_held():
                    slot = self.database.slot(_SLOT)
                while slot is not None and self.work() and not self._stopping.is_set():
                    pass
            except StoreUnavailable as away:
                log.warning("anchors wait: %s", away)
            except Exception:
                log.exception("anchors wait")
        if slot is not None:
            slot.release()

    def work(self) -> bool:
        """One step: hand in the batch under way, or begin one if enough waits; whether one became final."""
        now = self.clock()
        with self.database.reading() as tx:
            batch = store.open_batch(tx)
            waiting, since = store.leaves_waiting(tx)
        if batch is not None and batch.due_at > now:
            return False
        if batch is None:
            due = since is not None and since + timedelta(seconds=self.every_seconds) <= now
            if waiting < MOST_LEAVES and not due:
                return False
        try:
            head = self.ledger.head()
        except SafeweaveError as silence:
            if batch is not None:
                self._put_off(batch, Why("ledger_silent", {"what": str(silence)}))
            return False
        batch = batch or self._begun(head)
        return batch is not None and self._handed_in(batch, head)

    def _begun(self, head: Head) -> Batch | None:
        with self.database.transaction() as tx:
            leaves = store.first_leaves(tx, MOST_LEAVES)
            last = store.last_batch(tx)
            if not leaves or store.open_batch(tx):
                return None
            root = root_of([bytes.fromhex(leaf.digest) for leaf in leaves]).hex()
            stream, sequence = (last.stream, last.sequence + 1) if last else (fresh_id(), 1)
            operation = self._signed(stream, sequence, root, len(leaves), head)
            store.add_batch(tx, stream, sequence, root, operation, leaves, self.clock())
            return store.open_batch(tx)

    def _signed(self, stream: str, sequence: int, root: str, count: int, head: Head) -> bytes:
        ring = self.ring()
        period = ring.at(head.height)
        operation = Anchor(ring.member, fresh_id(), stream, sequence, root, count)
        return write_signed(sign(operation, period.suite, period.signing_key()))

    def _handed_in(self, batch: Batch, head: Head) -> bool:
        (id,) = self.ledger.submit([read_signed(batch.operation)])
        outcome = self.ledger.outcome(id, self.final_within_seconds)
        if isinstance(outcome, Final):
            self._final(batch, outcome.receipt.height, outcome.receipt.time)
            return True
        if not isinstance(outcome, Refused):
            self._put_off(batch, Why("ledger_silent", {"what": outcome.words}))
            return False
        if outcome.code in _STREAM_LOST and self._stands(batch):
            return True
        log.warning("the ledger refuses anchor %s: %s %s", batch.sequence, outcome.code, outcome.words)
        with self.database.transaction() as tx:
            if outcome.code in _STREAM_LOST:  # the store is older than the ledger: it goes on in a stream of its own
                stream = fresh_id()
                operation = self._signed(stream, 1, batch.root, batch.count, head)
                store.change_batch(tx, batch.id, stream, 1, operation)
            elif outcome.code == "bad_signature":  # the keys have changed since; the operation is the same
                period = self.ring().at(head.height)
                operation = write_signed(
                    sign(read_signed(batch.operation).operation, period.suite, period.signing_key())
                )
                store.change_batch(tx, batch.id, batch.stream, batch.sequence, operation)
            why = Why("ledger_refused", {"what": outcome.code})
            store.put_off_batch(tx, batch.id, why, self.clock() + _pause(batch.tries))
        return False

    def _stands(self, batch: Batch) -> bool:
        """Whether this root was put down by us already, by an operation that this store does not remember."""
        try:
            found = self.ledger.find_anchor(batch.root)
        except SafeweaveError:
            return False
        if found is None or found.by != self.ring().member or found.count != batch.count:
            return False
        self._final(batch, found.height, found.time)
        return True

    def _put_off(self, batch: Batch, why: Why) -> None:
        with self.database.transaction() as tx:
            store.put_off_batch(tx, batch.id, why, self.clock() + _pause(batch.tries))

    def _final(self, batch: Batch, height: int, time: int) -> None:
        with self.database.transaction() as tx:
            leaves = store.leaves_of(tx, batch.id)
            _, paths = paths_of([leaf.digest for leaf in leaves])
            for n, leaf in enumerate(leaves):
                if leaf.what in ("receipt", "given"):
                    store.complete_receipt(tx, leaf, canonical(_document(leaf, n, paths[n], batch.root)))
            store.note_final(tx, batch.id, height, time)


def _pause(failures: int) -> timedelta:
    return timedelta(seconds=min(FIRST_RETRY_SECONDS * 2 ** min(failures, 20), LONGEST_RETRY_SECONDS))


def _document(leaf: Leaf, index: int, path: tuple[str, ...], root: str) -> AnchoredDocument:
    return AnchoredDocument(leaf.digest, index, path, root)


def anchored(tx: Transaction, of: str, what: LeafOf = "envelope") -> AnchoredDocument | None:
    """Where this delivery's envelope, or what else was anchored of it, stands; None if it is not final yet."""
    found = store.leaf_of(tx, of, what)
    if found is None:
        return None
    leaf, id = found
    batch = store.batch(tx, id) if id is not None else None
    if batch is None or batch.height is None:
        return None
    leaves = store.leaves_of(tx, batch.id)
    index = [one.id for one in leaves].index(leaf.id)
    return _document(leaf, index, paths_of([one.digest for one in leaves])[1][index], batch.root)


def operation_of(tx: Transaction, of: str, what: LeafOf) -> str | None:
    """The operation that anchored it; None if it is not final yet."""
    found = store.leaf_of(tx, of, what)
    batch = store.batch(tx, found[1]) if found is not None and found[1] is not None else None
    return operation_id(read_signed(batch.operation).operation) if batch and batch.height is not None else None


def disclosed(tx: Transaction, outgoing: str) -> Disclosed | None:
    """What the audit is shown of a delivery; None while its envelope is not anchored. Raises NotFound."""
    delivery = store.outgoing(tx, outgoing)
    if delivery is None:
        raise NotFound(f"there is no delivery {outgoing}; `safeweave exchange status` shows those under way")
    document = anchored(tx, outgoing)
    if document is None or delivery.cover is None:
        return None
    return Disclosed(
        **msgspec.structs.asdict(document),
        consent=delivery.consent,
        checked_height=delivery.cover.header.height,
        checked_time=delivery.head_time,
        happened_at=int(delivery.queued_at.timestamp()),
    )

"""The ledger in a file of its own: a transparency log, kept by one operator and watched by witnesses.

It is not a blockchain: one operator puts the operations in order, and could stop. What it cannot do unseen is change,
drop or reorder them: each commit signs a checkpoint of the whole log, and members that are witnesses cosign only what
grew from what they saw before. With witnesses, an operation is final when `quorum` of them have cosigned a checkpoint
that holds it; with none it is final when it is on the operator's disk, which is the operator's word alone.
"""

import logging
import sqlite3
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Condition, Lock

from safeweave import clock as clocks
from safeweave.clock import Clock, seconds_running
from safeweave.errors import Malformed, StoreUnavailable, Unavailable
from safeweave.keys.errors import SuiteNotInstalled
from safeweave.ledger.checkpoint import (
    Checkpoint,
    Note,
    NoteSigner,
    TrustRoots,
    check_quorum,
    cosigners,
    encode_hash,
    read_checkpoint,
    read_note,
    sign_checkpoint,
)
from safeweave.ledger.cosigning import AskedWitness, Cosigning, Standing
from safeweave.ledger.entry import Entry, event_of, read_entry, receipt_of, write_entry
from safeweave.ledger.ledger import (
    AnchorRecord,
    ConsentFound,
    Event,
    Final,
    Head,
    LogEvidence,
    MemberRecord,
    Outcome,
    Proof,
    Receipt,
    Refused,
    Unknown,
    UseRecord,
)
from safeweave.ledger.merkle import (
    Growing,
    consistency_spans,
    hashes_of,
    inclusion_spans,
    is_included,
    leaf_hash,
    node_number,
    nodes_of,
)
from safeweave.ledger.operation import (
    Found,
    OperationId,
    PutMember,
    SignedOperation,
    SuspendMember,
    operation_id,
    read_signed,
    write_signed,
)
from safeweave.ledger.rules import Accepted, Moment, Record, RecordKey, apply, key_of, keys_read, member_as_of, use_read
from safeweave.ledger.store import LogDamaged, LogStore, StoredState, write_records

log = logging.getLogger("safeweave.ledger")

MOST_AT_ONCE = 500  # operations in one commit
REMEMBERED_REFUSALS = 10_000
REMEMBERED_RECEIPTS = 2_000  # of what was written last: whoever handed it in asks for it next
MOST_EVENTS = 1000
_LASTING = ("founding", "member", "account")  # records that stay in memory between commits


class _Handed:
    """Operations that wait to be written together."""

    def __init__(self, signed: Sequence[tuple[OperationId, bytes, SignedOperation]]) -> None:
        self.signed = signed
        self.is_done = False


class EmbeddedLedger:
    """The log in `file`, signed by `signer` under the name of the log. Only one process writes to it at a time."""

    def __init__(
        self,
        file: Path,
        signer: NoteSigner,
        clock: Clock = clocks.now,
        witnesses: Sequence[AskedWitness] = (),
        quorum: int = 0,
    ) -> None:
        """Open the log, or begin it.

        Raises Conflict if another process writes to it, LogDamaged if it does not agree with its own last checkpoint,
        StoreUnavailable, Malformed for a quorum that cannot be met.
        """
        self._signer, self._clock, self._quorum = signer, clock, quorum
        self._witness_keys = [witness.key for witness in witnesses]
        check_quorum(quorum, self._witness_keys)
        self.store = LogStore(file, signer.key.name)
        try:
            self._state = StoredState(self.store)
            self._tree, self._newest = self._found_or_begun()
        except BaseException:
            self.store.close()
            raise
        self._queue: deque[_Handed] = deque()
        self._writer, self._changed = Lock(), Condition()
        self._refused: OrderedDict[OperationId, Refused] = OrderedDict()
        self._receipts: OrderedDict[OperationId, Receipt] = OrderedDict()
        self._faults: dict[OperationId, str] = {}
        self._cosigned: dict[int, Note] = {}
        self._final = self._last_final()
        self._cosigning = (
            Cosigning(witnesses, quorum, lambda: self._newest, self.consistency, self._publish) if witnesses else None
        )

    def roots(self) -> TrustRoots:
        """What others have to know to believe this log."""
        return TrustRoots(
            self._signer.key.name, str(self._signer.key), self._founding_id(),
            tuple(str(key) for key in self._witness_keys), self._quorum,
        )  # fmt: skip

    def close(self) -> None:
        """Stop asking witnesses and let the file go."""
        if self._cosigning:
            self._cosigning.close()
        with self._writer:
            if self._cosigned:
                try:
                    with self.store.transaction() as tx:
                        self._keep_cosigned(tx, self._cosigned)
                except (StoreUnavailable, LogDamaged) as fault:
                    log.warning("cosignatures were not kept and will be asked for again: %s", fault)
            self.store.close()

    # ------------------------------------------------------------ writing

    def submit(self, signed: Sequence[SignedOperation]) -> list[OperationId]:
        """Write these, in order, with those that others hand in meanwhile: one fsync for all."""
        ids = [operation_id(one.operation) for one in signed]
        fit: list[tuple[OperationId, bytes, SignedOperation]] = []
        for id, one in zip(ids, signed, strict=True):
            try:
                raw = write_signed(one)
                fit.append((id, raw, read_signed(raw)))
            except Malformed as fault:
                self._refuse(id, Refused("malformed", str(fault)))
        handed = [_Handed(fit[start : start + MOST_AT_ONCE]) for start in range(0, len(fit), MOST_AT_ONCE)]
        self._queue.extend(handed)
        for one_handed in handed:
            with self._writer:
                while not one_handed.is_done:
                    self._write_next()
        return ids

    def _write_next(self) -> None:
        batch = [self._queue.popleft()]
        count = len(batch[0].signed)
        while self._queue and count + len(self._queue[0].signed) <= MOST_AT_ONCE:
            batch.append(self._queue.popleft())
            count += len(batch[-1].signed)
        signed = [one for handed in batch for one in handed.signed]
        faults = dict.fromkeys((id for id, _, _ in signed), "something broke while it was written; send it again")
        try:
            faults = self._commit(signed)
        except (StoreUnavailable, LogDamaged) as error:
            log.error("nothing was written: %s", error)
            faults = dict.fromkeys(faults, str(error))
        finally:
            for handed in batch:
                handed.is_done = True
            self._note_faults([id for id, _, _ in signed], faults)

    def _commit(self, signed: Sequence[tuple[OperationId, bytes, SignedOperation]]) -> dict[OperationId, str]:
        """Write these as one transaction; those about which nothing can be said, and why."""
        unknown: dict[OperationId, str] = {}
        known = self.store.numbers_of([id for id, _, _ in signed])
        fresh = [handed for handed in signed if handed[0] not in known]
        if not fresh:
            return unknown
        before = self._tree.copy()
        try:
            self._state.load({key for _, _, one in fresh for key in keys_read(one.operation)})
            time = max(int(self._clock().timestamp()), read_checkpoint(self._newest).time)
            entries: list[tuple[int, bytes]] = []
            ids: list[tuple[bytes, int]] = []
            members: list[tuple[int]] = []
            nodes: list[tuple[int, bytes]] = []
            changed: dict[RecordKey, Record] = {}
            accepted: dict[OperationId, Receipt] = {}
            for id, raw, one in fresh:
                if id in accepted:
                    continue
                number = self._tree.size
                try:
                    decided = apply(self._state, one, Moment(number + 1, time))
                except SuiteNotInstalled as fault:  # whether it was signed cannot be told here
                    unknown[id] = str(fault)
                    continue
                if not isinstance(decided, Accepted):
                    self._refuse(id, decided)
                    continue
                accepted[id] = Receipt(id, number, number + 1, time, tuple(decided.results))
                body = write_entry(number, time, [outcome.result for outcome in decided.results], raw)
                nodes += self._tree.append(leaf_hash(body))
                entries.append((number, body))
                ids.append((bytes.fromhex(id), number))
                if isinstance(one.operation, Found | PutMember | SuspendMember):
                    members.append((number,))
                changed.update((key_of(record), record) for record in decided.records)
            if not entries:
                return unknown
            note = sign_checkpoint(
                Checkpoint(self._signer.key.name, self._tree.size, self._tree.root(), time), self._signer
            )
            with self._changed:
                cosigned = dict(self._cosigned)
            with self.store.transaction() as tx:
                tx.executemany("INSERT INTO entry VALUES (?, ?)", entries)
                tx.executemany("INSERT INTO operation VALUES (?, ?)", ids)
                tx.executemany("INSERT INTO node VALUES (?, ?)", nodes)
                tx.executemany("INSERT INTO membership VALUES (?)", members)
                write_records(tx, changed)
                tx.execute("INSERT INTO checkpoint VALUES (?, ?)", (self._tree.size, note.text()))
                self._keep_cosigned(tx, cosigned)
        except BaseException:
            self._tree, self._state = before, StoredState(self.store)
            raise
        finally:
            self._state.records = {
                key: record for key, record in self._state.records.items() if record is not None and key[0] in _LASTING
            }
        with self._changed:
            self._newest = note
            for size in cosigned:
                self._cosigned.pop(size, None)
            for id in accepted:
                self._refused.pop(id, None)
            self._receipts.update(accepted)
            while len(self._receipts) > REMEMBERED_RECEIPTS:
                self._receipts.popitem(last=False)
            if self._cosigning is None:
                self._final = note
            self._changed.notify_all()
        if self._cosigning:
            self._cosigning.wake()
        return unknown

    @staticmethod
    def _keep_cosigned(tx: sqlite3.Connection, cosigned: Mapping[int, Note]) -> None:
        tx.executemany(
            "INSERT OR REPLACE INTO cosigned VALUES (?, ?)", [(size, note.text()) for size, note in cosigned.items()]
        )

    def _refuse(self, id: OperationId, refused: Refused) -> None:
        with self._changed:
            self._refused[id] = refused
            self._refused.move_to_end(id)
            while len(self._refused) > REMEMBERED_REFUSALS:
                self._refused.popitem(last=False)

    def _note_faults(self, ids: Sequence[OperationId], faults: Mapping[OperationId, str]) -> None:
        with self._changed:
            for id in ids:
                self._faults.pop(id, None)
                if id in faults and len(self._faults) < REMEMBERED_REFUSALS:
                    self._faults[id] = faults[id]

    def _publish(self, note: Note) -> None:
        size = read_checkpoint(note).size
        with self._changed:
            if self._final is None or read_checkpoint(self._final).size <= size:
                self._final = note
                self._cosigned[size] = note
            self._changed.notify_all()

    # ------------------------------------------------------------ reading

    def outcome(self, id: OperationId, seconds: float) -> Outcome:
        """What became of an operation; it is waited for only while it is written and not yet cosigned."""
        until = seconds_running() + seconds
        try:
            receipt = self._receipts.get(id)
            number = receipt.number if receipt else self.store.number_of(id)
            if number is None:
                with self._changed:
                    return self._refused.get(id) or Unknown(self._faults.get(id, "it was never handed in here"))
            with self._changed:
                while self._final_size() <= number:
                    left = until - seconds_running()
                    if left <= 0:
                        return Unknown(self._waiting_for())
                    self._changed.wait(left)
            return Final(receipt or _receipt(id, self._entry(number)))
        except (StoreUnavailable, LogDamaged) as fault:
            return Unknown(str(fault))

    def head(self) -> Head:
        """The newest final head; its time is now, since nothing has happened after it. Unavailable if there is none."""
        note = self.checkpoint()
        checkpoint = read_checkpoint(note)
        time = max(checkpoint.time, int(self._clock().timestamp()))
        return Head(checkpoint.size, checkpoint.root.hex(), time, note.text())

    def checkpoint(self) -> Note:
        """The newest final checkpoint; Unavailable if enough witnesses have cosigned none yet."""
        note = self._final
        if note is None:
            raise Unavailable(self._waiting_for())
        return note

    def events(self, after: int, limit: int) -> list[Event]:
        """Final operations after this number."""
        return [event_of(read_entry(raw)) for raw in self.entries(after, limit)]

    def entries(self, after: int, limit: int) -> list[bytes]:
        """The bytes of final entries after this number."""
        return self.store.entries(after, max(self._final_size(), after + 1), min(limit, MOST_EVENTS))

    def member(self, id: str, at: Head | None = None) -> MemberRecord | None:
        """A member as it counts at the newest final head, or at `at`."""
        found = self._fresh_state().member(id)
        return member_as_of(found, at.height if at else self._final_size()) if found else None

    def consent(self, id: str, at: Head | None = None) -> ConsentFound:
        """A consent's state; a revocation counts as soon as it is written, even before it is final."""
        head = at or self.head()
        found = self._fresh_state().consent(id)
        if found is None:
            return ConsentFound("UNKNOWN", head)
        state = found.state_at(head.height, head.time)
        if at is None and state != "UNKNOWN" and found.revoked_height is not None:
            state = "REVOKED"
        return ConsentFound(state, head, None if state == "UNKNOWN" else found)

    def find_anchor(self, root: str) -> AnchorRecord | None:
        """Who put down this root first, once that is final."""
        found = self._fresh_state().anchor(root)
        return found if found and found.height <= self._final_size() else None

    def nullifier(self, issuer: str, nullifier: str, part: int) -> UseRecord:
        """One part of a bill as last written; while its height is above the final head, that is not final yet."""
        return use_read(self._fresh_state(), issuer, nullifier, part)

    def prove(self, id: OperationId) -> Proof | None:
        """The entry of an operation and its way to the newest final checkpoint."""
        found = self.store.entry_of(id)
        note = self.checkpoint()
        size = read_checkpoint(note).size
        if found is None or found[0] >= size:
            return None
        number, raw = found
        entry, path = read_entry(raw), self.inclusion(number, size)
        if not is_included(leaf_hash(raw), number, size, path, read_checkpoint(note).root):
            raise LogDamaged(f"the tree does not lead from entry {number} to the checkpoint of {size}")
        evidence = LogEvidence(raw.decode(), number, tuple(encode_hash(hash) for hash in path), note.text())
        return Proof(entry.signed, _receipt(id, entry), evidence)

    def membership(self) -> list[OperationId]:
        """The final operations that say who is a member, in order."""
        numbers = [number for number in self.store.membership() if number < self._final_size()]
        return [operation_id(self._entry(number).signed.operation) for number in numbers]

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The path from an entry to the root of the first `size` entries."""
        return hashes_of(inclusion_spans(index, size), self.store.nodes)

    def consistency(self, old: int, size: int) -> list[bytes]:
        """The proof that the first `size` entries begin with the first `old`; empty where none is needed."""
        if size > self._tree.size:
            raise Malformed(f"this log has {self._tree.size} entries, not {size}")
        return [] if old in (0, size) else hashes_of(consistency_spans(old, size), self.store.nodes)

    def standing(self) -> list[Standing]:
        """How the witnesses do."""
        return self._cosigning.standing() if self._cosigning else []

    def _fresh_state(self) -> StoredState:
        return StoredState(self.store)

    def _final_size(self) -> int:
        return read_checkpoint(self._final).size if self._final else 0

    def _waiting_for(self) -> str:
        return f"not yet cosigned by {self._quorum} of {len(self._witness_keys)} witnesses"

    def _raw_entry(self, number: int) -> bytes:
        raw, leaf = self.store.entries(number - 1, number + 1, 1)[0], node_number(0, number)
        if self.store.nodes([leaf])[leaf] != leaf_hash(raw):
            raise LogDamaged(f"entry {number} is not the one that was written")
        return raw

    def _entry(self, number: int) -> Entry:
        return read_entry(self._raw_entry(number))

    def _founding_id(self) -> str:
        return operation_id(self._entry(0).signed.operation) if self._final_size() else ""

    # ------------------------------------------------------------ opening

    def _found_or_begun(self) -> tuple[Growing, Note]:
        text, size = self.store.newest_checkpoint(), self.store.size()
        if text is None:
            if size:
                raise LogDamaged(f"{self.store.file} has {size} entries and no checkpoint")
            tree = Growing()
            first = Checkpoint(self._signer.key.name, 0, tree.root(), int(self._clock().timestamp()))
            note = sign_checkpoint(first, self._signer)
            with self.store.transaction() as tx:
                tx.execute("INSERT INTO checkpoint VALUES (0, ?)", (note.text(),))
            return tree, note
        try:
            note = read_note(text)
            checkpoint = read_checkpoint(note)
        except Malformed as fault:
            raise LogDamaged(f"the last checkpoint of {self.store.file} cannot be read: {fault}") from None
        numbers = nodes_of((0, size))
        nodes = self.store.nodes(numbers)
        tree = Growing(size, [nodes[number] for number in numbers])
        if note.signed_at(self._signer.key) is None:
            raise LogDamaged(f"the last checkpoint of {self.store.file} is not signed by {self._signer.key.name}")
        if checkpoint.size != size or checkpoint.root != tree.root():
            raise LogDamaged(f"{self.store.file} has {size} entries that are not those of its last checkpoint")
        return tree, note

    def _last_final(self) -> Note | None:
        if not self._quorum:
            return self._newest
        for text in self.store.cosigned():
            note = read_note(text)
            if len(cosigners(note, self._witness_keys)) >= self._quorum:
                return note
        return None


def _receipt(id: OperationId, entry: Entry) -> Receipt:
    receipt = receipt_of(entry)
    if receipt.operation != id:
        raise LogDamaged(f"entry {entry.number} is not that of operation {id}")
    return receipt

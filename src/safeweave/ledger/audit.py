"""The audit of a log: replay every entry, compute every state again, compare roots, witnesses and what is stored.

What is wrong with the log itself is a fault; what members tried or did too late is noted. Nothing here trusts the
operator: it needs the entries, the checkpoints and the trust roots. The whole state is held in memory meanwhile.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from safeweave.errors import Malformed
from safeweave.ledger.checkpoint import Checkpoint, Note, TrustRoots, cosigners, decode_hash, read_checkpoint, read_note
from safeweave.ledger.entry import Entry, read_entry
from safeweave.ledger.ledger import Kind
from safeweave.ledger.merkle import Growing, is_included, leaf_hash
from safeweave.ledger.operation import Id, Item, Release, Reserve, Said, items_of, operation_id
from safeweave.ledger.rules import Accepted, State, apply, kind_of
from safeweave.ledger.store import LogDamaged, LogStore
from safeweave.words import Language, say

Fault = Literal[
    "entry_unreadable",
    "entry_out_of_place",
    "entry_repeated",
    "time_went_back",
    "rule_broken",
    "results_differ",
    "checkpoint_differs",
    "checkpoint_unsigned",
    "checkpoint_unreadable",
    "entries_missing",
    "founding_differs",
    "state_differs",
    "state_unreadable",
]
Noted = Literal[
    "not_cosigned",
    "claimed_twice",
    "without_ticket",
    "reversed_claimed",
    "released_after_settling",
    "exchange_unanchored",
    "exchange_without_consent",
    "exchange_after_revocation",
    "exchange_late",
]

ENTRIES_AT_ONCE = 500


class Finding(Said):
    """One thing an audit found: its `number` is an entry, a size or seconds, as its words say."""

    what: Fault | Noted
    number: int = 0
    by: str = ""
    detail: str = ""
    item: Item | None = None

    def text(self, language: Language) -> str:
        """The finding as a sentence."""
        return say(f"ledger.finding.{self.what}", language, number=self.number, by=self.by, what=self.detail)


class WitnessSeen(Said):
    """How far a witness has cosigned."""

    name: str
    size: int


class AuditReport(Said):
    """What an audit found. The log can be relied on if there are no `faults`."""

    origin: str
    size: int
    root: str
    kinds: dict[Kind, int]
    faults: tuple[Finding, ...]
    noted: tuple[Finding, ...]
    witnesses: tuple[WitnessSeen, ...]

    def text(self, language: Language) -> list[str]:
        """The report, line by line."""
        lines = [say("ledger.report.head", language, origin=self.origin, size=self.size, root=self.root)]
        for kind, count in self.kinds.items():
            lines.append(say("ledger.report.kinds", language, kind=say(f"ledger.kind.{kind}", language), count=count))
        for seen in self.witnesses:
            lines.append(say("ledger.report.witness", language, name=seen.name, size=seen.size))
        if not self.witnesses:
            lines.append(say("ledger.report.nobody", language))
        if self.faults:
            lines.append(say("ledger.report.wrong", language, count=len(self.faults)))
        else:
            lines.append(say("ledger.report.right", language))
        return lines + [finding.text(language) for finding in (*self.faults, *self.noted)]


class Disclosed(Said):
    """A document's header as a member shows it to the audit: where it is anchored, and under which consent it went.

    `digest` is the leaf, `index` and `path` its place under the anchored `root`; `checked_height` and `checked_time`
    are those of the head at which the sender read the consent; it tells of something that happened at `happened_at`.
    """

    digest: Id
    index: int
    path: tuple[str, ...]
    root: Id
    consent: Id
    checked_height: int
    checked_time: int
    happened_at: int


class Audited(Protocol):
    """Where an audit gets the log from; `RemoteLedger` is one too."""

    def entries(self, after: int, limit: int) -> list[bytes]:
        """The bytes of entries after this number, none at the end."""
        ...

    def checkpoints(self) -> Iterable[str]:
        """Checkpoints by size, the newest last."""
        ...


class LogFile:
    """The file of a log, read by an audit while another process may write to it."""

    def __init__(self, file: Path) -> None:
        """Raises NotFound, LogDamaged or StoreUnavailable."""
        self.store = LogStore(file, None, writing=False)
        self._size = self.store.size()

    def close(self) -> None:
        """Let the file go."""
        self.store.close()

    def entries(self, after: int, limit: int) -> list[bytes]:
        """The bytes of entries after this number."""
        return self.store.entries(after, max(self._size, after + 1), limit)

    def checkpoints(self) -> Iterator[str]:
        """Every checkpoint that was signed."""
        return self.store.checkpoints()


def audit(
    log: Audited,
    roots: TrustRoots,
    disclosed: Sequence[Disclosed] = (),
    grace_seconds: int = 0,
    late_seconds: int = 24 * 3600,
) -> AuditReport:
    """Replay the log and say what is wrong with it, and what members did that they should not.

    Of a `LogFile` the stored state is compared too. A document is late if it was anchored more than `late_seconds`
    after what it tells of, and after revocation if more than `grace_seconds` after that. Raises Malformed for trust
    roots that cannot be read, Unavailable, or LogDamaged for a log of which entries are missing in the middle.
    """
    replay = _Replay(roots, log.checkpoints())
    store = log.store if isinstance(log, LogFile) else None
    after = -1
    while entries := log.entries(after, ENTRIES_AT_ONCE):
        for raw in entries:
            replay.take(raw)
        after += len(entries)
        if store:
            replay.compare_tree(store)
    replay.end()
    if store:
        replay.compare(store)
    for one in disclosed:
        replay.judge(one, grace_seconds, late_seconds)
    return replay.report()


class _Replay:
    """A log on its way through the rules, with what was found so far."""

    def __init__(self, roots: TrustRoots, checkpoints: Iterable[str]) -> None:
        self._roots = roots
        self._operator, self._witnesses = roots.keys()
        self._checkpoints = iter(checkpoints)
        self._next: tuple[Note, Checkpoint] | None = None
        self._state, self._tree, self._time = State(), Growing(), 0
        self._numbers: dict[str, int] = {}
        self._nodes: list[tuple[int, bytes]] = []
        self._kinds: Counter[Kind] = Counter()
        self._faults: list[Finding] = []
        self._noted: list[Finding] = []
        self._cosigned = {key.name: 0 for key in self._witnesses}
        self._newest_cosigners = 0
        self._advance()
        self._compare_checkpoints()

    def take(self, raw: bytes) -> None:
        """The next entry."""
        number = self._tree.size
        self._nodes += self._tree.append(leaf_hash(raw))
        try:
            entry = read_entry(raw)
        except Malformed as fault:
            self._fault("entry_unreadable", number, str(fault))
        else:
            self._apply(number, entry)
        self._compare_checkpoints()

    def _apply(self, number: int, entry: Entry) -> None:
        operation = entry.signed.operation
        id = operation_id(operation)
        if entry.number != number:
            self._fault("entry_out_of_place", number, str(entry.number))
        if entry.time < self._time:
            self._fault("time_went_back", number)
        if id in self._numbers:
            self._fault("entry_repeated", number, str(self._numbers[id]))
        if number == 0 and self._roots.founding and id != self._roots.founding:
            self._fault("founding_differs", number)
        self._time = max(self._time, entry.time)
        self._numbers.setdefault(id, number)
        self._kinds[kind_of(operation)] += 1
        if isinstance(operation, Reserve):
            self._note_attempts(number, operation, entry)
        if isinstance(operation, Release):
            self._note_releases(number, operation)
        decided = apply(self._state, entry.signed, entry.moment)
        if not isinstance(decided, Accepted):
            self._fault("rule_broken", number, f"{decided.code} {decided.words}")
            return
        results = tuple(outcome.result for outcome in decided.results)
        if results != entry.results:
            self._fault("results_differ", number, f"{' '.join(entry.results)} / {' '.join(results)}")

    def _note_attempts(self, number: int, operation: Reserve, entry: Entry) -> None:
        items = [item for ticket in operation.tickets for item in items_of(ticket)]
        for item, result in zip(items, entry.results, strict=False):
            if result in ("HELD", "SPENT"):
                use = self._state.use(item.issuer, item.nullifier, item.part)
                holder = use.holder if use else ""
                self._noted.append(Finding("claimed_twice", number, operation.by, holder, item))
            elif result == "NO_TICKET":
                self._noted.append(Finding("without_ticket", number, operation.by, "", item))
            elif result == "VOID":
                self._noted.append(Finding("reversed_claimed", number, operation.by, "", item))

    def _note_releases(self, number: int, operation: Release) -> None:
        for item in operation.items:
            use = self._state.use(item.issuer, item.nullifier, item.part)
            if use and use.state == "SETTLED":
                self._noted.append(Finding("released_after_settling", number, operation.by, "", item))

    def _advance(self) -> None:
        self._next = None
        while self._next is None and (text := next(self._checkpoints, None)) is not None:
            try:
                note = read_note(text)
                self._next = note, read_checkpoint(note)
            except Malformed as fault:
                self._fault("checkpoint_unreadable", self._tree.size, str(fault))

    def _compare_checkpoints(self) -> None:
        while self._next and self._next[1].size <= self._tree.size:
            self._check_checkpoint(*self._next)
            self._advance()

    def _check_checkpoint(self, note: Note, checkpoint: Checkpoint) -> None:
        if (
            checkpoint.size != self._tree.size
            or checkpoint.root != self._tree.root()
            or checkpoint.origin != self._roots.origin
        ):
            self._fault("checkpoint_differs", checkpoint.size)
        if note.signed_at(self._operator) is None:
            self._fault("checkpoint_unsigned", checkpoint.size)
        signed = cosigners(note, self._witnesses)
        self._newest_cosigners = len(signed)
        for key in signed:
            self._cosigned[key.name] = checkpoint.size

    def end(self) -> None:
        """There are no more entries."""
        while self._next:
            self._fault("entries_missing", self._next[1].size, str(self._tree.size))
            self._advance()
        if self._newest_cosigners < self._roots.quorum:
            seen = f"{self._newest_cosigners}/{self._roots.quorum}"
            self._noted.append(Finding("not_cosigned", self._tree.size, detail=seen))

    def compare_tree(self, store: LogStore) -> None:
        """The stored nodes of the tree against those that came out since the last time."""
        try:
            stored = store.nodes([number for number, _ in self._nodes])
        except LogDamaged as fault:
            self._fault("state_unreadable", 0, str(fault))
        else:
            for number, hash in self._nodes:
                if stored[number] != hash:
                    self._fault("state_differs", 0, f"node {number}")
        self._nodes.clear()

    def compare(self, store: LogStore) -> None:
        """What is stored as the state, and the index of operations, against what came out."""
        ids = list(self._numbers)
        for start in range(0, len(ids), ENTRIES_AT_ONCE):
            indexed = store.numbers_of(ids[start : start + ENTRIES_AT_ONCE])
            for id in ids[start : start + ENTRIES_AT_ONCE]:
                if indexed.get(id) != self._numbers[id]:
                    self._fault("state_differs", self._numbers[id], f"operation {id}")
        found = {key: record for key, record in self._state.records.items() if record is not None}
        keys = list(found)
        for start in range(0, len(keys), ENTRIES_AT_ONCE):
            part = keys[start : start + ENTRIES_AT_ONCE]
            try:
                stored = store.records(part)
            except LogDamaged as fault:
                self._fault("state_unreadable", 0, str(fault))
                continue
            for key in part:
                if stored[key] != found[key]:
                    self._fault("state_differs", 0, " ".join(key))
        count = store.count_records()
        if count != len(found):
            self._fault("state_differs", 0, f"{count} != {len(found)}")

    def judge(self, one: Disclosed, grace_seconds: int, late_seconds: int) -> None:
        """What a member shows of one document against the anchors and consents of the log."""
        anchor, consent = self._state.anchor(one.root), self._state.consent(one.consent)
        if anchor is None or not _is_under(one, anchor.count):
            self._noted.append(Finding("exchange_unanchored", detail=one.digest))
            return
        if consent is None or consent.state_at(one.checked_height, one.checked_time) != "ACTIVE":
            self._noted.append(Finding("exchange_without_consent", by=anchor.by, detail=one.digest))
        if consent and consent.revoked_at is not None and anchor.time > consent.revoked_at + grace_seconds:
            seconds = anchor.time - consent.revoked_at
            self._noted.append(Finding("exchange_after_revocation", seconds, anchor.by, one.digest))
        if anchor.time > one.happened_at + late_seconds:
            seconds = anchor.time - one.happened_at
            self._noted.append(Finding("exchange_late", seconds, anchor.by, one.digest))

    def report(self) -> AuditReport:
        """Everything that was found."""
        seen = tuple(WitnessSeen(name, size) for name, size in self._cosigned.items())
        return AuditReport(
            self._roots.origin, self._tree.size, self._tree.root().hex(), dict(self._kinds), tuple(self._faults),
            tuple(self._noted), seen,
        )  # fmt: skip

    def _fault(self, what: Fault, number: int, detail: str = "") -> None:
        self._faults.append(Finding(what, number, detail=detail))


def _is_under(one: Disclosed, count: int) -> bool:
    try:
        path = [decode_hash(hash) for hash in one.path]
    except Malformed:
        return False
    return is_included(bytes.fromhex(one.digest), one.index, count, path, bytes.fromhex(one.root))

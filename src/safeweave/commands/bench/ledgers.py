"""The embedded ledger: operations a second in synced batches, one alone, and proofs in a small and a large log."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from math import log2
from pathlib import Path
from random import Random
from secrets import token_bytes
from statistics import median

from safeweave.clock import now, pause
from safeweave.commands.bench.baselines import seconds_of
from safeweave.commands.bench.figure import Figure
from safeweave.commands.bench.stores import Bench
from safeweave.errors import InvariantBroken
from safeweave.keys.ring import KeyRing
from safeweave.keys.suites import suite
from safeweave.ledger.checkpoint import NoteSigner, TrustRoots
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final, Proof
from safeweave.ledger.merkle import Growing, hashes_of, inclusion_spans, is_included, leaf_hash, node_number
from safeweave.ledger.operation import (
    Found,
    Founder,
    GrantConsent,
    OperationId,
    PutMember,
    Reserve,
    Role,
    SignedOperation,
    approve,
    fresh_id,
    issue_ticket,
    operation_id,
    operation_message,
    sign,
    ticket_message,
    write_signed,
)
from safeweave.ledger.proof import verify
from safeweave.ledger.store import LogStore

SUITE = "std-1"
BATCH = 100
DAY = 24 * 3600
ALONE_PAUSE_SECONDS = 0.01  # between two commits, so that each finds the disk idle
SMALL_LOG = 5_000  # entries
PROOFS = 500  # of which the median is taken
LEAVES_AT_ONCE = 100_000  # in one transaction while a large tree is built
MARGIN = 1.3  # by which the way to the root may take longer than its length says
SEED = 7  # of the entries that are proved


def ledger(bench: Bench) -> list[Figure]:
    """Consents and nullifiers a second in batches of 100, and a commit alone."""
    counts = bench.counts
    with _BenchLog(bench.home / "ledger") as log:
        consents = [log.seconds([log.grant() for _ in range(BATCH)]) for _ in range(counts.ledger_batches)]
        nullifiers = [log.seconds([log.reservation()]) for _ in range(counts.ledger_batches)]
        alone = []
        for _ in range(counts.ledger_commits):
            pause(ALONE_PAUSE_SECONDS)
            alone.append(log.seconds([log.grant()]))
    ours, bare = _medians(alone)
    return [
        _rate("ledger_consents_per_second", consents, 3_000),
        _rate("ledger_nullifiers_per_second", nullifiers, 18_000),
        Figure("ledger_commit_alone_p50", 1e3 * ours, "ms", 1e3 * bare, target=6),
    ]


def _rate(name: str, batches: Sequence[tuple[float, float]], target: float) -> Figure:
    ours, bare = _medians(batches)
    return Figure(name, BATCH / ours, "1/s", BATCH / bare, target=target)


def _medians(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return median(ours for ours, _ in times), median(bare for _, bare in times)


class _BenchLog:
    """A log with a hospital and an insurer, and a plain file beside it that is given the same bytes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.ledger = EmbeddedLedger(folder / "log.sqlite", NoteSigner("bench/log", token_bytes(32)), now)
        self._bare = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._commission, self._hospital, self._insurer = (KeyRing.generated(fresh_id(), SUITE) for _ in range(3))
        founder = Founder(self._commission.member, self._commission.public()[0], fresh_id())
        self._take([_said(self._commission, Found(self._commission.member, fresh_id(), (founder,), 1))])
        self._take([self._admission(self._hospital, "hospital"), self._admission(self._insurer, "insurer")])

    def __enter__(self) -> "_BenchLog":
        return self

    def __exit__(self, *fault: object) -> None:
        self.ledger.close()
        os.close(self._bare)

    def grant(self) -> SignedOperation:
        """A consent."""
        hospital, since = self._hospital, int(now().timestamp())
        return _said(
            hospital,
            GrantConsent(
                hospital.member, fresh_id(), fresh_id(), fresh_id(), self._insurer.member, fresh_id(), since,
                since + DAY,
            ),
        )  # fmt: skip

    def reservation(self) -> SignedOperation:
        """One operation that holds BATCH nullifiers, which one ticket names."""
        period = self._hospital.periods[0]
        ticket = issue_ticket(
            self._hospital.member, self._insurer.member, [(fresh_id(), 1) for _ in range(BATCH)],
            int(now().timestamp()) + DAY, SUITE, period.signing_key(),
        )  # fmt: skip
        return _said(self._insurer, Reserve(self._insurer.member, fresh_id(), (ticket,), fresh_id(), DAY))

    def seconds(self, signed: Sequence[SignedOperation]) -> tuple[float, float]:
        """How long these took to be final, as one batch; and the bare work: their signatures verified, their bytes
        appended to a file and synced."""
        return seconds_of(lambda: self._take(signed)), seconds_of(lambda: self._take_bare(signed))

    def _take(self, signed: Sequence[SignedOperation]) -> None:
        for id in self.ledger.submit(signed):
            outcome = self.ledger.outcome(id, 0)
            if not isinstance(outcome, Final):
                raise InvariantBroken(f"the ledger of the bench did not take an operation: {outcome}")

    def _take_bare(self, signed: Sequence[SignedOperation]) -> None:
        used, hospital, insurer = suite(SUITE), self._hospital.public()[0], self._insurer.public()[0]
        for one in signed:
            operation = one.operation
            keys = hospital if operation.by == self._hospital.member else insurer
            used.verify(keys.signing, bytes.fromhex(one.signature), operation_message(operation_id(operation)))
            if isinstance(operation, Reserve):
                for ticket in operation.tickets:
                    used.verify(hospital.signing, bytes.fromhex(ticket.signature), ticket_message(ticket))
        os.write(self._bare, b"".join(write_signed(one) for one in signed))
        os.fdatasync(self._bare)

    def _admission(self, ring: KeyRing, role: Role) -> SignedOperation:
        by = self._commission
        return _said(by, PutMember(by.member, fresh_id(), ring.member, role, ring.public()[0], fresh_id()))


def _said(ring: KeyRing, operation: Found | PutMember | GrantConsent | Reserve) -> SignedOperation:
    key = ring.periods[0].signing_key()
    return sign(operation, SUITE, key, [approve(operation, ring.member, SUITE, key)])


# ---------------------------------------------------------------- proofs


def proofs(bench: Bench) -> list[Figure]:
    """A proof with its check in a log of 5,000 entries, and the way to the root in one of millions beside it."""
    chance, times = Random(SEED), []
    with _collecting_as_served(), _BenchLog(bench.home / "proofs") as log:
        ids: list[OperationId] = []
        while len(ids) < SMALL_LOG:
            ids += log.ledger.submit([log.grant() for _ in range(BATCH)])
        roots, note, head = log.ledger.roots(), log.ledger.checkpoint(), log.ledger.head()
        operator, _ = roots.keys()
        for id in (chance.choice(ids) for _ in range(PROOFS)):
            proving = seconds_of(partial(log.ledger.prove, id))
            proof = log.ledger.prove(id)
            checking = seconds_of(partial(_check, proof, roots))
            times.append((proving, checking, seconds_of(lambda: note.signed_at(operator))))
        path = 1e3 * _seconds_of_paths(log.ledger.store, head.height, bytes.fromhex(head.root), chance)
    proving, checking, bare = (1e3 * median(each) for each in zip(*times, strict=True))
    return [
        Figure("ledger_proof", proving, "ms", bare, target=0.2),
        Figure("ledger_proof_check", checking, "ms", bare, target=0.2),
        _large(bench, path),
    ]


@contextmanager
def _collecting_as_served() -> Iterator[None]:
    """Collect garbage as seldom as a process with doors does (`safeweave commission serve`)."""
    usual = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _check(proof: Proof | None, roots: TrustRoots) -> None:
    if proof is None:
        raise InvariantBroken("the ledger of the bench does not prove what it has taken")
    verify(proof, roots)


def _large(bench: Bench, path_of_small: float) -> Figure:
    size, file = bench.counts.log_entries, bench.home / "large.sqlite"
    with closing(LogStore(file, "bench/large")) as store:
        root = _grown(store, size)
        path = 1e3 * _seconds_of_paths(store, size, root, Random(SEED))
    for left in bench.home.glob("large.sqlite*"):
        left.unlink()
    growth = log2(size) / log2(SMALL_LOG)
    return Figure("ledger_path_large_log", path, "ms", path_of_small, ratio_target=MARGIN * growth)


def _grown(store: LogStore, size: int) -> bytes:
    """Fill the store with the tree over so many entries, which are left out themselves; the root."""
    tree = Growing()
    while tree.size < size:
        nodes: list[tuple[int, bytes]] = []
        for number in range(tree.size, min(tree.size + LEAVES_AT_ONCE, size)):
            nodes += tree.append(leaf_hash(number.to_bytes(8)))
        with store.transaction() as tx:
            tx.executemany("INSERT INTO node VALUES (?, ?)", nodes)
    return tree.root()


def _seconds_of_paths(store: LogStore, size: int, root: bytes, chance: Random) -> float:
    """How long it takes to read the way from an entry to the root and to follow it, in the median."""
    times = []
    for _ in range(PROOFS):
        index = chance.randrange(size)
        number = node_number(0, index)
        leaf = store.nodes([number])[number]

        def lead_to_root(leaf: bytes = leaf, index: int = index) -> None:
            path = hashes_of(inclusion_spans(index, size), store.nodes)
            if not is_included(leaf, index, size, path, root):
                raise InvariantBroken(f"the tree of the bench does not lead from entry {index} to its root")

        times.append(seconds_of(lead_to_root))
    return median(times)

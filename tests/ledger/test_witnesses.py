"""Witnesses: what one cosigns and what it refuses, and a drill with four of them as processes."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from ledger.given_ledger import Consortium
from ledger.ledgers import Time, log_signer, witness_signer
from safeweave.errors import Malformed, StoreUnavailable, Unavailable
from safeweave.ledger.checkpoint import (
    Checkpoint,
    NoteSigner,
    read_checkpoint,
    read_note,
    sign_checkpoint,
    trusted_checkpoint,
)
from safeweave.ledger.cosigning import Behind, Standing
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final, Outcome, Unknown
from safeweave.ledger.merkle import EMPTY, Growing, consistency_spans, hashes_of, leaf_hash
from safeweave.ledger.operation import fresh_id
from safeweave.ledger.witness import NotGrown, NotSigned, UnknownLog, Witness, WitnessClient
from safeweave.ports import free_port
from waiting import PATIENCE, until

TESTS = Path(__file__).resolve().parents[1]
ORIGIN = log_signer().key.name


class Tree:
    """A log as only its operator has it."""

    def __init__(self, *entries: bytes) -> None:
        self.growing, self.nodes, self.roots = Growing(), dict[int, bytes](), [EMPTY]
        self.grow(*entries)

    def grow(self, *entries: bytes) -> "Tree":
        for entry in entries:
            self.nodes.update(self.growing.append(leaf_hash(entry)))
            self.roots.append(self.growing.root())
        return self

    def note(self, size: int, signer: NoteSigner | None = None) -> str:
        checkpoint = Checkpoint(ORIGIN, size, self.roots[size], 1)
        return sign_checkpoint(checkpoint, signer or log_signer()).text()

    def path(self, old: int, size: int) -> list[bytes]:
        if old in (0, size):
            return []
        return hashes_of(consistency_spans(old, size), lambda numbers: {n: self.nodes[n] for n in numbers})


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    found = Witness(tmp_path / "witness.sqlite", witness_signer(0), [log_signer().key], Time())
    yield found
    found.close()


def test_a_log_that_grows_is_cosigned_each_time(witness: Witness) -> None:
    tree, old = Tree(b"a", b"b", b"c", b"d", b"e"), 0
    for size in (0, 1, 3, 3, 5):
        note = tree.note(size)
        line = witness.add(note, old, tree.path(old, size))
        cosigned = msgspec.structs.replace(read_note(note), lines=(line,))
        assert cosigned.signed_at(witness.key) == Time().seconds
        old = size
    seen = witness.seen(ORIGIN)
    assert seen
    assert seen.size == 5


def test_a_fork_is_not_cosigned(witness: Witness) -> None:
    tree, fork = Tree(b"a", b"b", b"c"), Tree(b"a", b"x", b"c", b"d")
    witness.add(tree.note(3), 0, [])
    with pytest.raises(NotGrown):
        witness.add(fork.note(4), 3, fork.path(3, 4))
    with pytest.raises(NotGrown):
        witness.add(Tree(b"a", b"b", b"x").note(3), 3, [])
    witness.add(tree.grow(b"d").note(4), 3, tree.path(3, 4))


def test_an_older_log_is_not_cosigned(witness: Witness) -> None:
    tree = Tree(b"a", b"b", b"c")
    witness.add(tree.note(3), 0, [])
    with pytest.raises(Behind) as behind:
        witness.add(tree.note(2), 2, [])
    assert behind.value.size == 3
    with pytest.raises(Malformed):
        witness.add(tree.note(2), 3, [])


def test_what_the_operator_has_not_signed_or_is_no_log_we_watch_is_not_cosigned(witness: Witness) -> None:
    tree = Tree(b"a")
    with pytest.raises(NotSigned):
        witness.add(tree.note(1, NoteSigner(ORIGIN, bytes(32))), 0, [])
    other = NoteSigner("another.log", bytes(32))
    with pytest.raises(UnknownLog):
        witness.add(sign_checkpoint(Checkpoint("another.log", 1, tree.roots[1], 1), other).text(), 0, [])
    assert witness.seen(ORIGIN) is None


def test_a_witness_remembers_over_a_restart(tmp_path: Path) -> None:
    tree = Tree(b"a", b"b", b"c")
    first = Witness(tmp_path / "w", witness_signer(0), [log_signer().key])
    first.add(tree.note(3), 0, [])
    first.close()
    second = Witness(tmp_path / "w", witness_signer(0), [log_signer().key])
    with pytest.raises(Behind):
        second.add(Tree(b"x").note(1), 0, [])
    second.close()


def test_a_witness_that_cannot_remember_does_not_cosign(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "w", witness_signer(0), [log_signer().key])
    witness._kept.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable):
        witness.add(Tree(b"a").note(1), 0, [])
    witness.close()
    (tmp_path / "broken").write_bytes(b"no database" * 100)
    with pytest.raises(StoreUnavailable):
        Witness(tmp_path / "broken", witness_signer(0), [log_signer().key])


def test_a_key_that_makes_no_cosignatures_cannot_be_a_witness(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        Witness(tmp_path / "w", log_signer(), [log_signer().key])


# ---------------------------------------------------------------- the drill


class Drill:
    """A log in this process, and four witnesses, each a process with its file and port."""

    def __init__(self, folder: Path, members: Consortium) -> None:
        self.folder, self.members = folder, members
        self.ports = [free_port() for _ in range(4)]
        self.processes = [self.process(n) for n in range(4)]
        self.clients = [
            WitnessClient(f"http://127.0.0.1:{port}", witness_signer(n).key, 20.0) for n, port in enumerate(self.ports)
        ]
        self.ledger = self.opened()

    def process(self, n: int) -> "subprocess.Popen[bytes]":
        file = self.folder / f"witness{n}.sqlite"
        return subprocess.Popen(
            [sys.executable, "-m", "ledger.witness_process", str(file), str(n), str(self.ports[n])], cwd=TESTS
        )

    def opened(self, name: str = "log.sqlite") -> EmbeddedLedger:
        return EmbeddedLedger(self.folder / name, log_signer(), Time(), self.clients, 3)

    def kill(self, n: int) -> None:
        self.processes[n].kill()
        self.processes[n].wait()

    def start(self, n: int) -> None:
        self.processes[n] = self.process(n)

    def say(self, seconds: float = PATIENCE) -> Outcome:
        return self.ledger.outcome(self.submit(), seconds)

    def submit(self) -> str:
        return self.ledger.submit([self.members.hospital.anchors(fresh_id(), 1)])[0]

    def faults(self) -> int:
        return sum(bool(standing.fault) for standing in self.ledger.standing())

    def until(self, holds: Callable[[], bool]) -> None:
        until(holds, self.ledger.standing)

    def copy(self, name: str) -> None:
        """A backup of the log, taken while it is closed."""
        self.ledger.close()
        shutil.copy(self.folder / "log.sqlite", self.folder / name)
        self.ledger = self.opened()

    def end(self) -> None:
        self.ledger.close()
        for client in self.clients:
            client.close()
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def drill(tmp_path: Path, members: Consortium) -> Iterator[Drill]:
    found = Drill(tmp_path, members)
    try:
        for id in found.ledger.submit(members.beginning()):
            assert isinstance(found.ledger.outcome(id, PATIENCE), Final)
        found.until(lambda: found.faults() == 0)
        yield found
    finally:
        found.end()


def test_one_witness_may_be_away_and_two_may_not(drill: Drill) -> None:
    drill.kill(0)
    assert isinstance(drill.say(), Final)

    drill.kill(1)
    waiting = drill.submit()
    unknown = drill.ledger.outcome(waiting, 1.5)
    assert isinstance(unknown, Unknown)
    assert unknown.words == "not yet cosigned by 3 of 4 witnesses"
    assert waiting not in [event.operation for event in drill.ledger.events(-1, 100)]
    assert drill.ledger.prove(waiting) is None
    before = drill.ledger.head()

    drill.start(1)
    assert isinstance(drill.ledger.outcome(waiting, PATIENCE), Final)
    head = drill.ledger.head()
    assert head.height == before.height + 1
    assert trusted_checkpoint(head.evidence, drill.ledger.roots()).size == head.height

    drill.start(0)
    drill.until(lambda: isinstance(drill.say(), Final) and drill.faults() == 0)


def test_a_restored_backup_is_not_cosigned_and_nothing_on_it_is_final(drill: Drill) -> None:
    drill.copy("backup.sqlite")
    for _ in range(3):
        assert isinstance(drill.say(), Final)
    drill.until(lambda: sum(standing.size == 8 for standing in drill.ledger.standing()) >= 3)
    drill.ledger.close()

    drill.ledger = drill.opened("backup.sqlite")
    assert isinstance(drill.say(2), Unknown)
    drill.until(lambda: drill.faults() >= 3)
    faults = [standing.fault for standing in drill.ledger.standing() if standing.fault]
    assert all("old copy" in fault or "422" in fault for fault in faults)
    for _ in range(4):  # grown past what the witnesses saw, it is a fork
        drill.submit()
    assert isinstance(drill.say(2), Unknown)
    assert len(drill.ledger.events(-1, 100)) == 5


def test_of_two_logs_with_one_name_only_one_becomes_final(drill: Drill) -> None:
    drill.copy("fork.sqlite")
    assert isinstance(drill.say(), Final)
    drill.until(lambda: sum(standing.size == 6 for standing in drill.ledger.standing()) >= 3)
    drill.ledger.close()

    drill.ledger = drill.opened("fork.sqlite")
    forked = drill.submit()
    assert isinstance(drill.ledger.outcome(forked, 2), Unknown)
    drill.until(lambda: drill.faults() >= 3)
    drill.ledger.close()

    drill.ledger = drill.opened()
    assert isinstance(drill.say(), Final)
    assert isinstance(drill.ledger.outcome(forked, 0), Unknown)


# ---------------------------------------------------------------- in one process


def test_a_log_with_no_cosigned_checkpoint_has_no_head(tmp_path: Path, members: Consortium) -> None:
    away = [WitnessClient("http://127.0.0.1:9", witness_signer(n).key, 0.2) for n in range(4)]
    ledger = EmbeddedLedger(tmp_path / "log.sqlite", log_signer(), Time(), away, 3)
    ids = ledger.submit([members.founding()])
    assert isinstance(ledger.outcome(ids[0], 0.3), Unknown)
    with pytest.raises(Unavailable):
        ledger.head()
    assert ledger.events(-1, 10) == []
    ledger.close()


def test_what_a_witness_answers_is_checked(tmp_path: Path, members: Consortium) -> None:
    class Liar:
        key = witness_signer(0).key

        def add(self, note: str, old: int, path: object) -> str:
            return witness_signer(1).line(read_note(note).body, 1)

    ledger = EmbeddedLedger(tmp_path / "log.sqlite", log_signer(), Time(), [Liar()], 1)
    ids = ledger.submit([members.founding()])
    assert isinstance(ledger.outcome(ids[0], 0.3), Unknown)
    assert "something else" in ledger.standing()[0].fault
    ledger.close()


def test_what_was_cosigned_is_still_final_after_a_restart_without_witnesses(
    tmp_path: Path, members: Consortium
) -> None:
    witnesses = [Witness(tmp_path / f"w{n}", witness_signer(n), [log_signer().key]) for n in range(4)]
    ledger = EmbeddedLedger(tmp_path / "log.sqlite", log_signer(), Time(), witnesses, 3)
    ids = ledger.submit(members.beginning())
    assert isinstance(ledger.outcome(ids[-1], PATIENCE), Final)
    ledger.close()
    away = [WitnessClient("http://127.0.0.1:9", witness_signer(n).key, 0.2) for n in range(4)]
    ledger = EmbeddedLedger(tmp_path / "log.sqlite", log_signer(), Time(), away, 3)
    assert isinstance(ledger.outcome(ids[-1], 0), Final)
    assert read_checkpoint(read_note(ledger.head().evidence)).size == 5
    ledger.close()
    for witness in witnesses:
        witness.close()


def test_a_quorum_of_more_witnesses_than_there_are_is_refused(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "w", witness_signer(0), [log_signer().key])
    for quorum in (0, 2):
        with pytest.raises(Malformed):
            EmbeddedLedger(tmp_path / "log.sqlite", log_signer(), Time(), [witness], quorum)
    witness.close()


def test_a_witness_that_was_away_catches_up_without_a_new_operation(tmp_path: Path, members: Consortium) -> None:
    class Away:
        is_away = True

        def __init__(self, witness: Witness) -> None:
            self.witness, self.key = witness, witness.key

        def add(self, note: str, old: int, path: Sequence[bytes]) -> str:
            if self.is_away:
                raise Unavailable("gone for lunch")
            return self.witness.add(note, old, path)

    witnesses = [Witness(tmp_path / f"w{n}", witness_signer(n), [log_signer().key]) for n in range(4)]
    last = Away(witnesses[3])
    ledger = EmbeddedLedger(tmp_path / "log.sqlite", log_signer(), Time(), [*witnesses[:3], last], 3)
    ids = ledger.submit([members.founding()])
    assert isinstance(ledger.outcome(ids[0], PATIENCE), Final)
    assert ledger.standing()[3].size == 0
    last.is_away = False
    until(lambda: ledger.standing()[3] == Standing(last.key.name, 1))
    seen = witnesses[3].seen(ORIGIN)
    assert seen
    assert seen.size == 1
    ledger.close()
    for witness in witnesses:
        witness.close()

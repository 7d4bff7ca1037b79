"""The file of the log through kill -9, full disks, two writers, flipped and missing bytes."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from ledger.given_ledger import Consortium, Person
from ledger.ledgers import Time, log_signer
from safeweave.errors import Conflict, SafeweaveError, StoreUnavailable
from safeweave.keys.errors import SuiteNotInstalled
from safeweave.keys.ring import KeyRing
from safeweave.keys.suites import Suite
from safeweave.ledger import rules
from safeweave.ledger.audit import LogFile, audit
from safeweave.ledger.checkpoint import NoteSigner
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final, Refused, Unknown
from safeweave.ledger.operation import SignedOperation, fresh_id, operation_id, write_signed
from safeweave.ledger.store import LogDamaged
from waiting import PATIENCE

TESTS = Path(__file__).resolve().parents[1]


def opened(folder: Path, name: str = "log.sqlite") -> EmbeddedLedger:
    return EmbeddedLedger(folder / name, log_signer(), Time())


def anchors(members: Consortium, count: int) -> list[SignedOperation]:
    return [members.hospital.anchors(fresh_id(), 1) for _ in range(count)]


def founded(folder: Path, members: Consortium) -> None:
    ledger = opened(folder)
    for id in ledger.submit(members.beginning()):
        assert isinstance(ledger.outcome(id, 0), Final)
    ledger.close()


def writer(folder: Path, first: int = 0, group: int = 1, bytes_left: int = 0) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "ledger.writer", str(folder), str(first), str(group), str(bytes_left)],
        cwd=TESTS, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, members: Consortium) -> None:
    founded(tmp_path, members)
    signed = anchors(members, 2000)
    (tmp_path / "operations").write_bytes(b"\n".join(write_signed(one) for one in signed))
    acknowledged: list[str] = []
    chance = random.Random(4)
    for _ in range(4):
        process = writer(tmp_path, len(acknowledged), group=chance.choice([1, 3, 10]))
        assert process.stdout
        until = len(acknowledged) + chance.randint(5, 60)
        for line in process.stdout:
            if line.startswith("final"):
                acknowledged.append(line.split()[1])
            if len(acknowledged) >= until:
                process.kill()
        process.wait()
    ledger = opened(tmp_path)
    assert all(isinstance(ledger.outcome(id, 0), Final) for id in acknowledged)
    roots = ledger.roots()
    ledger.close()
    log = LogFile(tmp_path / "log.sqlite")
    report = audit(log, roots)
    log.close()
    assert report.faults == ()
    assert report.size >= 5 + len(set(acknowledged))


def test_a_full_disk_is_unknown_and_resubmitting_works_once_there_is_room(tmp_path: Path, members: Consortium) -> None:
    founded(tmp_path, members)
    signed = anchors(members, 300)
    (tmp_path / "operations").write_bytes(b"\n".join(write_signed(one) for one in signed))
    process = writer(tmp_path, group=20, bytes_left=100_000)
    output, _ = process.communicate(timeout=PATIENCE)
    lines = output.splitlines()
    assert any(line.startswith("unknown Unknown(words=") for line in lines)
    assert any(set(line.split()) == {"again"} for line in lines)
    assert lines[-1] == "closed"
    ledger = opened(tmp_path)
    assert all(isinstance(ledger.outcome(operation_id(one.operation), 0), Final) for one in signed)
    assert len(ledger.events(-1, 1000)) == 305
    ledger.close()


def test_a_second_writer_is_turned_away_and_a_reader_is_not(tmp_path: Path, members: Consortium) -> None:
    founded(tmp_path, members)
    first = opened(tmp_path)
    with pytest.raises(Conflict):
        opened(tmp_path)
    (tmp_path / "operations").write_bytes(b"")
    other = writer(tmp_path)
    output, _ = other.communicate(timeout=PATIENCE)
    assert (other.returncode, output) == (1, "")
    log = LogFile(tmp_path / "log.sqlite")
    assert audit(log, first.roots()).faults == ()
    log.close()
    first.close()
    opened(tmp_path).close()


def test_many_threads_write_together_and_each_is_answered(tmp_path: Path, members: Consortium) -> None:
    founded(tmp_path, members)
    ledger = opened(tmp_path)
    parts = [anchors(members, 10) for _ in range(8)]
    outcomes: list[object] = []

    def say(part: list[SignedOperation]) -> None:
        for one in part:
            outcomes.extend(ledger.outcome(id, PATIENCE) for id in ledger.submit([one, part[0]]))

    threads = [threading.Thread(target=say, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 160
    assert all(isinstance(outcome, Final) for outcome in outcomes)
    assert len(ledger.events(-1, 1000)) == 85
    ledger.close()


def test_the_log_of_another_name_or_key_is_not_opened(tmp_path: Path, members: Consortium) -> None:
    founded(tmp_path, members)
    with pytest.raises(Conflict):
        EmbeddedLedger(tmp_path / "log.sqlite", NoteSigner("another.log", bytes(32)))
    with pytest.raises(LogDamaged, match="not signed"):
        EmbeddedLedger(tmp_path / "log.sqlite", NoteSigner(log_signer().key.name, bytes(32)))


@pytest.mark.parametrize(
    ("what", "sql"),
    [
        ("an entry is gone", "DELETE FROM entry WHERE number = 8"),
        ("a checkpoint is gone", "DELETE FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)"),
        ("all checkpoints are gone", "DELETE FROM checkpoint"),
        ("a node of the edge is gone", "DELETE FROM node WHERE number = 16"),
        ("a node of the edge is another", "UPDATE node SET hash = zeroblob(32) WHERE number = 7"),
        ("its name is gone", "DELETE FROM log"),
    ],
)
def test_a_log_that_does_not_fit_its_checkpoint_is_not_opened(
    tmp_path: Path, members: Consortium, what: str, sql: str
) -> None:
    founded(tmp_path, members)
    ledger = opened(tmp_path)
    ledger.submit(anchors(members, 4))
    ledger.close()
    with sqlite3.connect(tmp_path / "log.sqlite") as database:
        assert database.execute(sql).rowcount > 0
    database.close()
    with pytest.raises(LogDamaged):
        opened(tmp_path)


def test_an_entry_or_index_that_was_changed_is_not_handed_out(tmp_path: Path, members: Consortium) -> None:
    founded(tmp_path, members)
    ledger = opened(tmp_path)
    ids = ledger.submit(anchors(members, 3))
    ledger.close()
    with sqlite3.connect(tmp_path / "log.sqlite") as database:
        database.execute(
            "UPDATE entry SET body = CAST(replace(body, '\"count\":1', '\"count\":2') AS BLOB) WHERE number = 5"
        )
        database.execute("UPDATE operation SET number = 7 WHERE id = ?", (bytes.fromhex(ids[1]),))
    database.close()
    ledger = opened(tmp_path)
    assert isinstance(ledger.outcome(ids[0], 0), Unknown)
    assert isinstance(ledger.outcome(ids[1], 0), Unknown)
    assert isinstance(ledger.outcome(ids[2], 0), Final)
    with pytest.raises(LogDamaged):
        ledger.prove(ids[0])
    ledger.close()


def content(file: Path) -> list[list[tuple[object, ...]]]:
    with sqlite3.connect(file) as database:
        found = [
            database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in ("entry", "operation", "node", "checkpoint", "record")
        ]
    database.close()
    return found


def test_no_flipped_byte_goes_unseen(tmp_path: Path, members: Consortium) -> None:
    """Wherever a bit flips: the log does not open, the audit says so, or nothing that counts was touched."""
    founded(tmp_path, members)
    ledger = opened(tmp_path)
    ledger.submit(anchors(members, 20))
    roots = ledger.roots()
    ledger.close()
    good = (tmp_path / "log.sqlite").read_bytes()
    want = content(tmp_path / "log.sqlite")
    chance, seen = random.Random(20), 0
    for n in range(150):
        raw = bytearray(good)
        place = chance.randrange(len(raw))
        raw[place] ^= 1 << chance.randrange(8)
        file = tmp_path / f"flipped{n}.sqlite"
        file.write_bytes(raw)
        try:
            opened(tmp_path, file.name).close()
            log = LogFile(file)
            report = audit(log, roots)
            log.close()
        except SafeweaveError:
            seen += 1
            continue
        if report.faults:
            seen += 1
        else:
            assert content(file) == want, place
        file.unlink()
    assert seen > 30


def test_a_truncated_file_is_not_opened(tmp_path: Path, members: Consortium) -> None:
    founded(tmp_path, members)
    good = (tmp_path / "log.sqlite").read_bytes()
    for length in (len(good) // 2 // 4096 * 4096, 5000, 4096, 100, 0):
        (tmp_path / "cut.sqlite").write_bytes(good[:length])
        with pytest.raises((LogDamaged, StoreUnavailable)):
            opened(tmp_path, "cut.sqlite")


def test_a_truncated_write_ahead_log_leaves_a_shorter_log_that_agrees_with_itself(
    tmp_path: Path, members: Consortium
) -> None:
    """It lost what was acknowledged, which nothing in the file can show: that is what witnesses are for."""
    founded(tmp_path, members)
    ledger = opened(tmp_path)
    for one in anchors(members, 12):
        ledger.submit([one])
    roots = ledger.roots()
    wal = (tmp_path / "log.sqlite-wal").read_bytes()
    database = (tmp_path / "log.sqlite").read_bytes()
    sizes = set()
    for n, share in enumerate((0, 0.3, 0.5, 0.8, 0.95, 1)):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "log.sqlite").write_bytes(database)
        (folder / "log.sqlite-wal").write_bytes(wal[: int(len(wal) * share)])
        opened(folder).close()
        log = LogFile(folder / "log.sqlite")
        report = audit(log, roots)
        log.close()
        assert report.faults == ()
        sizes.add(report.size)
    ledger.close()
    assert max(sizes) == 17
    assert len(sizes) > 3


def test_a_commit_that_fails_leaves_the_log_as_it_was(
    tmp_path: Path, members: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    founded(tmp_path, members)
    ledger = opened(tmp_path)
    first, second = anchors(members, 2)
    with sqlite3.connect(tmp_path / "log.sqlite") as database:
        database.execute("PRAGMA busy_timeout = 0")
        database.execute("BEGIN IMMEDIATE")  # somebody holds the database longer than we wait
        ledger.store._writer.execute("PRAGMA busy_timeout = 10")
        ids = ledger.submit([first])
        found = ledger.outcome(ids[0], 0)
        database.execute("ROLLBACK")
    database.close()
    assert isinstance(found, Unknown)
    assert "locked" in found.words
    assert all(isinstance(ledger.outcome(id, 0), Final) for id in ledger.submit([second, first]))
    assert [event.operation for event in ledger.events(4, 10)] == [operation_id(o.operation) for o in (second, first)]
    roots = ledger.roots()
    ledger.close()
    log = LogFile(tmp_path / "log.sqlite")
    assert audit(log, roots).faults == ()
    log.close()


def test_a_copy_of_the_log_opens_elsewhere(tmp_path: Path, members: Consortium) -> None:
    founded(tmp_path, members)
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "log.sqlite", tmp_path / "copy")
    ledger = opened(tmp_path / "copy")
    assert ledger.head().height == 5
    ledger.close()
    assert os.path.exists(tmp_path / "copy" / "log.sqlite")


def test_a_forged_copy_handed_in_with_an_operation_does_not_push_it_out(tmp_path: Path, members: Consortium) -> None:
    founded(tmp_path, members)
    ledger = opened(tmp_path)
    good = anchors(members, 1)[0]
    forged = msgspec.structs.replace(good, signature="00" * 64)
    refused = ledger.outcome(ledger.submit([forged])[0], 0)
    assert isinstance(refused, Refused)
    assert refused.code == "bad_signature"
    ids = ledger.submit([forged, good, forged])
    assert isinstance(ledger.outcome(ids[0], 0), Final)
    assert len(ledger.events(-1, 100)) == 6
    ledger.close()


def test_strangers_leave_nothing_in_memory_but_their_newest_refusals(
    tmp_path: Path, members: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safeweave.ledger.embedded.REMEMBERED_REFUSALS", 10)
    founded(tmp_path, members)
    ledger = opened(tmp_path)
    for _ in range(30):
        ledger.submit([Person("insurer").anchors(fresh_id(), 1)])
    assert len(ledger._refused) == 10
    assert len(ledger._state.records) < 20
    ledger.close()


def test_what_cannot_be_checked_here_is_unknown_and_the_others_are_written(
    tmp_path: Path, members: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The national suite is an optional extra: without it nobody can say whether its signatures are good."""
    members.hospital.ring = KeyRing.generated(members.hospital.id, "gm-1")
    founded(tmp_path, members)
    ledger = opened(tmp_path)
    national, international = members.hospital.anchors(fresh_id(), 1), members.insurer.anchors(fresh_id(), 1)
    with monkeypatch.context() as without:
        real = rules.suite_named

        def missing(name: str) -> Suite:
            if name == "gm-1":
                raise SuiteNotInstalled(name="gm-1", extra="gm")
            return real(name)

        without.setattr(rules, "suite_named", missing)
        outcomes = [ledger.outcome(id, 0) for id in ledger.submit([national, international])]
    assert [type(outcome) for outcome in outcomes] == [Unknown, Final]
    assert isinstance(ledger.outcome(ledger.submit([national])[0], 0), Final)
    ledger.close()

"""Two members as real processes, either killed with -9 in the middle of it, and a recipient whose disk is full."""

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from fastapi import FastAPI

from consortium.given_consortium import HANDED
from ledger.given_ledger import DAY, Consortium
from ledger.ledgers import log_signer, served
from safeweave.consortium.directory import endpoint_hash
from safeweave.consortium.store import Contact, keep_contacts
from safeweave.database import Database
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final
from safeweave.ledger.operation import PutMember, fresh_id
from safeweave.ledger.serving import ledger_router
from safeweave.ports import free_port
from stores import create, place
from waiting import PATIENCE, until

TESTS = Path(__file__).parents[1]


@dataclass
class Process:
    """A member that can be killed and started again."""

    member: str
    folder: Path
    where: Path | str
    running: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.running = subprocess.Popen(
            [sys.executable, "-m", "consortium.member_process", str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TESTS,
        )  # fmt: skip

    def kill(self) -> None:
        if self.running is not None:
            self.running.send_signal(signal.SIGKILL)
            self.running.wait()
            for pipe in (self.running.stdin, self.running.stdout):
                if pipe:
                    pipe.close()
            self.running = None

    def queue(self, to: "Process", exchange: str, consent: str, content: str) -> None:
        assert self.running is not None
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        self.running.stdin.write(json.dumps([to.member, exchange, consent, content]) + "\n")
        self.running.stdin.flush()
        assert self.running.stdout.readline() == "queued\n"

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        database = Database(self.where)
        try:
            with database.reading() as tx:
                return tx.rows(sql)
        finally:
            database.close()


@dataclass
class Running:
    hospital: Process
    insurer: Process
    consent: str
    contents: list[str]

    def handed(self) -> list[object]:
        return [content for (content,) in self.insurer.rows("select content from handed order by id")]

    def waits_until_all_is_received(self) -> None:
        until(lambda: not self.hospital.rows("select 1 from outgoing where state <> 'received'"), self.tried)

    def tried(self) -> list[tuple[object, ...]]:
        return self.hospital.rows("select sequence, state, tries, why from outgoing")


@pytest.fixture
def running(tmp_path: Path, store: str) -> Iterator[Running]:
    consortium, now = Consortium(), int(datetime.now(UTC).timestamp())
    ledger = EmbeddedLedger(tmp_path / "log.sqlite", log_signer())
    app = FastAPI()
    app.include_router(ledger_router(ledger))
    first, second = consortium.commission
    consent = fresh_id()
    people = {"hospital": consortium.hospital, "insurer": consortium.insurer}
    ports = {name: free_port() for name in people}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    operations = [consortium.founding()]
    for name, person in people.items():
        put = PutMember(first.id, fresh_id(), person.id, person.role, person.keys, endpoint_hash(urls[name]))
        operations.append(first.signs(put, [second]))
    operations.append(consortium.hospital.grants(consortium.insurer, consent, not_before=now - DAY, expires=now + DAY))
    for id in ledger.submit(operations):
        assert isinstance(ledger.outcome(id, PATIENCE), Final)
    with ExitStack() as stack:
        ledger_url = stack.enter_context(served(app))
        found = {}
        for name, person in people.items():
            folder = tmp_path / name
            folder.mkdir()
            person.ring.save(folder / "keys")
            where = place(folder / "node.db")
            database = Database(where)
            with database.transaction() as tx:
                create(tx, HANDED)
                keep_contacts(tx, [Contact(people[n].id, n, urls[n]) for n in people])
            database.close()
            told = {
                "store": where if isinstance(where, str) else "", "port": ports[name], "ledger": ledger_url,
                "roots": msgspec.to_builtins(ledger.roots()),
            }  # fmt: skip
            (folder / "member.json").write_text(json.dumps(told))
            found[name] = Process(person.id, folder, where)
            stack.callback(found[name].kill)
        yield Running(found["hospital"], found["insurer"], consent, [f"document {n}" for n in range(30)])
    ledger.close()


def test_killed_recipients_and_senders_lose_nothing_and_take_nothing_twice(running):
    running.hospital.start()
    running.insurer.start()
    for n, content in enumerate(running.contents):
        running.hospital.queue(running.insurer, "exchange", running.consent, content)
        if n == 10:
            running.insurer.kill()
            running.insurer.start()
        if n == 20:
            running.hospital.kill()
            running.hospital.start()
    running.waits_until_all_is_received()
    assert running.handed() == running.contents


def test_each_side_may_be_down_while_the_other_goes_on(running):
    running.hospital.start()
    for content in running.contents[:5]:
        running.hospital.queue(running.insurer, "exchange", running.consent, content)
    time.sleep(1)
    running.hospital.kill()
    running.insurer.start()
    time.sleep(1)
    assert running.handed() == []
    running.hospital.start()
    running.waits_until_all_is_received()
    assert running.handed() == running.contents[:5]


def test_receipts_of_real_processes_are_completed_with_their_path(running):
    running.hospital.start()
    running.insurer.start()
    running.hospital.queue(running.insurer, "exchange", running.consent, "a record")
    running.waits_until_all_is_received()

    def receipts() -> list[str]:
        ((sent,),) = running.hospital.rows("select receipt from outgoing")
        ((received,),) = running.insurer.rows("select receipt from incoming")
        return [sent, received]

    until(lambda: all(msgspec.json.decode(receipt)["proof"] for receipt in receipts()), receipts)


def limit_files(process: Process, most: int) -> None:
    """Let no file of this process grow beyond so many bytes: its disk is full there."""
    assert process.running is not None
    resource.prlimit(process.running.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_recipient_whose_disk_is_full_takes_nothing_until_there_is_room_again(running):
    running.hospital.start()
    running.insurer.start()
    contents = [f"{n}".ljust(100_000, "x") for n in range(12)]
    running.hospital.queue(running.insurer, "exchange", running.consent, contents[0])
    running.waits_until_all_is_received()
    limit_files(running.insurer, 500_000)
    for content in contents[1:]:
        running.hospital.queue(running.insurer, "exchange", running.consent, content)
    until(lambda: running.hospital.rows("select 1 from outgoing where why like '%\"store\"%'"), running.tried)
    before = running.handed()
    assert before == contents[: len(before)]
    assert len(before) < len(contents)
    limit_files(running.insurer, resource.RLIM_INFINITY)
    running.waits_until_all_is_received()
    assert running.handed() == contents

"""The ledgers that keep the port's promise, each founded by the same consortium. A new engine joins `ENGINES`.

An engine is a context manager that is given a folder and a consortium and yields a `Running`: a founded ledger with the
members admitted, and a way to let its time pass. One on a chain gives the members accounts first (`give_accounts`).
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from ledger.given_ledger import NOON, Consortium, Person
from prompt_server import PromptServer
from safeweave.ledger.checkpoint import COSIGNATURE, NoteSigner, TrustRoots
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final, Ledger, Outcome
from safeweave.ledger.operation import SignedOperation
from safeweave.ledger.remote import RemoteLedger
from safeweave.ledger.serving import ledger_router
from safeweave.ledger.witness import Witness
from waiting import PATIENCE

LOG_KEY = bytes(range(32))
ORIGIN = "ledger.test/log"


class Time:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = NOON

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def passes(self, seconds: int) -> None:
        self.seconds += seconds


@dataclass
class Running:
    """A ledger at work; `ledger_of` gives it as one member uses it: on a chain each sends by its own account."""

    ledger_of: Callable[[Person], Ledger]
    passes: Callable[[int], None]
    roots: Callable[[], TrustRoots | None] = lambda: None

    def outcomes(self, person: Person, *signed: SignedOperation) -> list[Outcome]:
        """Hand these in as one batch and wait for what becomes of each."""
        ledger = self.ledger_of(person)
        return [ledger.outcome(id, PATIENCE) for id in ledger.submit(signed)]

    def outcome(self, person: Person, signed: SignedOperation) -> Outcome:
        return self.outcomes(person, signed)[0]

    def final(self, person: Person, *signed: SignedOperation) -> list[Final]:
        found = []
        for outcome in self.outcomes(person, *signed):
            assert isinstance(outcome, Final), outcome
            found.append(outcome)
        return found

    def now(self, person: Person) -> int:
        return self.ledger_of(person).head().time


Engine = Callable[[Path, Consortium], AbstractContextManager[Running]]


def log_signer() -> NoteSigner:
    return NoteSigner(ORIGIN, LOG_KEY)


def witness_signer(n: int) -> NoteSigner:
    return NoteSigner(f"witness-{n}.test", bytes([n + 1]) * 32, COSIGNATURE)


def _running(ledger: Ledger, founded: EmbeddedLedger, consortium: Consortium, time: Time) -> Running:
    running = Running(lambda person: ledger, time.passes, founded.roots)
    running.final(consortium.commission[0], *consortium.beginning())
    return running


@contextmanager
def embedded(folder: Path, consortium: Consortium) -> Iterator[Running]:
    """The log in this process, without witnesses."""
    time = Time()
    ledger = EmbeddedLedger(folder / "log.sqlite", log_signer(), time)
    try:
        yield _running(ledger, ledger, consortium, time)
    finally:
        ledger.close()


@contextmanager
def witnessed(folder: Path, consortium: Consortium) -> Iterator[Running]:
    """The log in this process with four witnesses, of which three must cosign."""
    time = Time()
    witnesses = [Witness(folder / f"witness{n}.sqlite", witness_signer(n), [log_signer().key], time) for n in range(4)]
    ledger = EmbeddedLedger(folder / "log.sqlite", log_signer(), time, witnesses, 3)
    try:
        yield _running(ledger, ledger, consortium, time)
    finally:
        ledger.close()
        for witness in witnesses:
            witness.close()


@contextmanager
def remote(folder: Path, consortium: Consortium) -> Iterator[Running]:
    """The log behind a real server on loopback, used over HTTP."""
    time = Time()
    log = EmbeddedLedger(folder / "log.sqlite", log_signer(), time)
    app = FastAPI()
    app.include_router(ledger_router(log), prefix="/ledger")
    with served(app) as url:
        client = RemoteLedger(f"{url}/ledger", log.roots(), folder / "seen.note")
        try:
            yield _running(client, log, consortium, time)
        finally:
            client.close()
    log.close()


@contextmanager
def served(app: FastAPI, port: int = 0) -> Iterator[str]:
    """This app behind uvicorn on loopback, until the end of the block."""
    listener = socket.create_server(("127.0.0.1", port))
    server = PromptServer(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.001)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


ENGINES: dict[str, Engine] = {"embedded": embedded, "witnessed": witnessed, "remote": remote}

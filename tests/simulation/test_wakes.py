"""Nobody waits for the next poll: work that is told wakes whoever does it, in this process and in others."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from safeweave.database import Database, Transaction
from safeweave.events import CaseOpened, Event
from safeweave.ids import CaseId
from safeweave.worker import Outside, Worker, tell
from stores import place
from waiting import PATIENCE


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    worker.poll_seconds = 3600.0
    worker.start()
    try:
        yield
    finally:
        worker.stop()
        worker.database.close()


def at_rest(called: threading.Event) -> Callable[[Sequence[Event], Transaction, datetime], list[Event]]:
    def handler(events: Sequence[Event], tx: Transaction, at: datetime) -> list[Event]:
        called.set()
        return []

    return handler


@pytest.mark.usefixtures("store")
def test_a_call_to_the_outside_is_made_as_soon_as_it_is_told(tmp_path):
    called = threading.Event()

    def call(requests: Sequence[Event], at: datetime) -> list[Event]:
        called.set()
        return []

    outside = Outside("bank", lambda events, tx: events, call)
    worker = Worker(Database(place(tmp_path / "store.db")), {CaseOpened: (outside,)}, now)
    with working(worker):
        threading.Event().wait(0.3)  # everybody sleeps now
        worker.accept(lambda tx: (None, [CaseOpened(CaseId("case_000000aaaa"))], now()))
        assert called.wait(PATIENCE)


@pytest.mark.usefixtures("store")
def test_what_a_door_leaves_to_the_worker_is_done_at_once(tmp_path):
    called = threading.Event()
    worker = Worker(Database(place(tmp_path / "store.db")), {CaseOpened: (at_rest(called),)}, now)
    with working(worker):
        threading.Event().wait(0.3)
        worker.accept(lambda tx: (None, [CaseOpened(CaseId("case_000000aaaa"))], now()), at_once=False)
        assert called.wait(PATIENCE)


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)  # on the embedded store others look every second
def test_what_another_process_tells_is_done_at_once(tmp_path, store):
    called = threading.Event()
    where = place(tmp_path / "store.db")
    worker = Worker(Database(where), {CaseOpened: (at_rest(called),)}, now)
    other = Database(where)
    with working(worker):
        threading.Event().wait(0.3)
        with other.transaction() as tx:
            tell(tx, [CaseOpened(CaseId("case_000000aaaa"))], now())
        other.close()
        assert called.wait(PATIENCE)

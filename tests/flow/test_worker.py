"""The worker: everything once, a batch at a time, and one event that cannot be handled keeps nobody else waiting."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from given import NOON, Time
from safeweave import outbox
from safeweave.database import Database, Transaction
from safeweave.errors import Crossed, StoreUnavailable, Unavailable
from safeweave.events import CaseOpened, CaseReady, CaseSettled, ClockDue, Event, MessageTold, VisitTold
from safeweave.ids import CaseId, MessageId
from safeweave.outbox import Circuit
from safeweave.worker import Follows, Later, Outside, Worker, tell
from stores import create, place
from waiting import until


def opened(*names: str) -> list[CaseOpened]:
    return [CaseOpened(CaseId(name)) for name in names]


@pytest.fixture
def database(tmp_path, store) -> Iterator[Database]:
    found = Database(place(tmp_path / "worker.db"))
    with found.transaction() as tx:
        create(tx, "create table noted (no integer primary key, case_id text not null)")
    yield found
    found.close()


@dataclass
class Handlers:
    """Handlers that note what they were given, and fail when asked to."""

    poisoned: set[str] = field(default_factory=set)
    batches: list[int] = field(default_factory=list)

    def note(self, events: Sequence[Any], tx: Transaction, now: datetime) -> list[Event]:
        self.batches.append(len(events))
        tx.run_many("insert into noted (case_id) values (?)", [(event.case,) for event in events])
        if self.poisoned & {event.case for event in events}:
            raise ValueError("cannot be handled")
        return []


def a_worker(database: Database, follows: Follows, **more: Any) -> Worker:
    return Worker(database, follows, Time(), **more)


def noted(database: Database) -> list[str]:
    with database.reading() as tx:
        return [case for (case,) in tx.rows("select case_id from noted order by no")]


def test_a_task_is_never_numbered_like_one_that_was_done(database):
    numbers = []
    for event in opened("case_1", "case_2"):
        with database.transaction(beside=True) as tx:
            tell(tx, [event], NOON)
        with database.transaction(beside=True) as tx:
            [task] = outbox.take(tx, "", NOON, 10)
            outbox.done(tx, [task])
        numbers.append(task.id)
    assert numbers[0] < numbers[1]


def parked(database: Database) -> list[tuple[str, str]]:
    with database.reading() as tx:
        return [(subject, reason) for _, _, subject, reason in outbox.parked(tx)]


def left(database: Database) -> int:
    with database.reading() as tx:
        return outbox.waiting(tx)


def told(database: Database, *events: Event, now: datetime = NOON) -> None:
    with database.transaction() as tx:
        tell(tx, events, now)


# ---------------------------------------------------------------- inside


def test_what_is_told_is_handled_once_in_one_batch(database):
    handlers = Handlers()
    worker = a_worker(database, {CaseOpened: (handlers.note,)})
    told(database, *opened("a", "b", "c"))
    assert (worker.work(), worker.work()) == (3, 0)
    assert (noted(database), handlers.batches, left(database)) == (["a", "b", "c"], [3], 0)


def test_an_event_that_cannot_be_handled_is_parked_alone_and_the_rest_of_its_batch_is_done(database):
    handlers = Handlers({"c"})
    worker = a_worker(database, {CaseOpened: (handlers.note,)})
    told(database, *opened("a", "b", "c", "d", "e"))
    worker.drain()
    assert sorted(noted(database)) == ["a", "b", "d", "e"]
    assert parked(database) == [("c", "ValueError: cannot be handled")]


def test_a_parked_event_is_handled_when_it_is_given_another_try(database):
    handlers = Handlers({"a"})
    worker = a_worker(database, {CaseOpened: (handlers.note,)})
    told(database, *opened("a"))
    worker.drain()
    handlers.poisoned.clear()
    with database.transaction() as tx:
        (task, *_) = outbox.parked(tx)[0]
        assert outbox.unpark(tx, [task], NOON) == 1
    worker.drain()
    assert (noted(database), parked(database)) == (["a"], [])


def test_what_handlers_wrote_told_and_that_they_ran_stand_or_fall_together(database):
    """A failure in what follows undoes what went before it: there is no moment between commit and done."""
    handlers = Handlers({"a"})

    def go_on(events: Sequence[CaseOpened], tx: Transaction, now: datetime) -> list[Event]:
        tx.run_many("insert into noted (case_id) values (?)", [("first " + event.case,) for event in events])
        return [CaseReady(event.case) for event in events]

    worker = a_worker(database, {CaseOpened: (go_on,), CaseReady: (handlers.note,)})
    told(database, *opened("a"))
    worker.drain()
    assert noted(database) == []
    with database.reading() as tx:
        assert tx.rows("select kind, tries from task") == [("CaseOpened", 1)]


def test_a_crash_before_the_commit_leaves_everything_to_be_done_again(database, tmp_path):
    class Killed(BaseException):
        pass

    def die(events: Sequence[CaseOpened], tx: Transaction, now: datetime) -> list[Event]:
        tx.run("insert into noted (case_id) values ('half')")
        raise Killed

    told(database, *opened("a"))
    with pytest.raises(Killed):
        a_worker(database, {CaseOpened: (die,)}).work()
    again = Database(place(tmp_path / "worker.db"))
    handlers = Handlers()
    a_worker(again, {CaseOpened: (handlers.note,)}).drain()
    assert noted(again) == ["a"]
    again.close()


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)  # there is no such limit to set on PostgreSQL
def test_a_full_disk_is_no_fault_of_an_event_which_waits_until_there_is_room(database):
    handlers = Handlers()

    def write_much(events: Sequence[CaseOpened], tx: Transaction, now: datetime) -> list[Event]:
        tx.run("insert into noted (case_id) values (?)", ("x" * 100_000,))
        return []

    worker = a_worker(database, {CaseOpened: (write_much, handlers.note)})
    told(database, *opened("a", "b"))
    with database.reading() as tx:
        (pages,) = tx.rows("pragma page_count")[0]
        tx.rows(f"pragma max_page_count = {pages}")
    with pytest.raises(StoreUnavailable):
        worker.work()
    assert (parked(database), left(database)) == ([], 2)
    with database.reading() as tx:
        tx.rows("pragma max_page_count = 1000000")
    worker.drain()
    assert (noted(database)[1:], left(database)) == (["a", "b"], 0)


def test_what_an_event_causes_is_done_before_what_was_told_after_it(database):
    """Else "settled" could be acted on after a payment of the same case has come back."""
    done: list[str] = []

    def settle(events: Sequence[CaseOpened], tx: Transaction, now: datetime) -> list[Event]:
        done.append("opened")
        return [CaseSettled(event.case) for event in events]

    def note(what: str) -> Any:
        return lambda events, tx, now: done.append(what) or []

    follows: Follows = {CaseOpened: (settle,), CaseSettled: (note("settled"),), CaseReady: (note("ready"),)}
    worker = a_worker(database, follows)
    told(database, *opened("a"), CaseReady(CaseId("a")))
    worker.drain()
    assert done == ["opened", "settled", "ready"]


def test_what_is_told_for_later_waits_for_its_time(database):
    handlers = Handlers()

    def later(events: Sequence[CaseOpened], tx: Transaction, now: datetime) -> list[Later]:
        return [Later(CaseReady(event.case), now + timedelta(minutes=5)) for event in events]

    worker = a_worker(database, {CaseOpened: (later,), CaseReady: (handlers.note,)})
    told(database, *opened("a"))
    worker.drain()
    assert (noted(database), left(database)) == ([], 1)
    worker.clock.pass_(301)  # type: ignore[attr-defined]
    worker.drain()
    assert (noted(database), left(database)) == (["a"], 0)


def test_timers_are_asked_when_nothing_else_is_due(database):
    handlers, asked = Handlers(), iter([[ClockDue(CaseId("a"), "decision", 50)], []])
    worker = a_worker(database, {ClockDue: (handlers.note,)}, timers=(lambda tx, now: next(asked, []),))
    worker.drain()
    assert noted(database) == ["a"]


def test_timers_are_asked_every_second_under_load_too(database):
    handlers, asked = Handlers(), []
    worker = a_worker(database, {CaseOpened: (handlers.note,)}, timers=(lambda tx, now: asked.append(now) or [],))
    for name in "abcd":  # there is always something due
        told(database, *opened(name))
        worker.work()
        worker.clock.pass_(0.5)  # type: ignore[attr-defined]
    assert [round((at - asked[0]).total_seconds(), 1) for at in asked] == [0.0, 1.0]


def test_a_timer_that_fails_stops_no_other(database, caplog):
    handlers, asked = Handlers(), iter([[ClockDue(CaseId("a"), "decision", 50)]])

    def broken(tx: Transaction, now: datetime) -> list[Event]:
        tx.run("insert into noted (case_id) values ('half')")
        raise ValueError("no such account")

    def crossed(tx: Transaction, now: datetime) -> list[Event]:
        raise Crossed("too many locks")

    def sound(tx: Transaction, now: datetime) -> list[Event]:
        tx.run("insert into noted (case_id) values ('looked')")
        return next(asked, [])

    worker = a_worker(database, {ClockDue: (handlers.note,)})
    worker.timers = [broken, crossed, lambda tx, now: sound(tx, now) if tx.hold({"case_a"}) else []]
    assert (worker.work(), worker.work()) == (1, 1)
    assert noted(database) == ["looked", "a"]
    [record] = [record for record in caplog.records if record.exc_info]
    assert "no such account" in str(record.exc_info)


def test_a_store_that_takes_nothing_fails_the_timers_as_it_fails_all_else(database):
    asked = []

    def unavailable(tx: Transaction, now: datetime) -> list[Event]:
        asked.append(now)
        raise StoreUnavailable("no room")

    with pytest.raises(StoreUnavailable):
        a_worker(database, {}, timers=[unavailable, unavailable]).work()
    assert len(asked) == 1


def test_timers_share_one_transaction_while_all_is_well(database):
    seen: list[Transaction] = []
    a_worker(database, {}, timers=[lambda tx, now: seen.append(tx) or []] * 3).work()
    assert [tx is seen[0] for tx in seen] == [True, True, True]


def test_batches_grow_while_work_is_waiting(database):
    handlers = Handlers()
    worker = a_worker(database, {CaseOpened: (handlers.note,)}, batch=100)
    told(database, *opened(*(str(number) for number in range(300))))
    worker.drain()
    assert handlers.batches == [16, 32, 64, 100, 88]


def test_a_batch_that_takes_long_is_followed_by_smaller_ones(database):
    handlers = Handlers()

    def slowly(events: Sequence[CaseOpened], tx: Transaction, now: datetime) -> list[Event]:
        worker.clock.pass_(0.01 * len(events))  # type: ignore[attr-defined]
        return handlers.note(events, tx, now)

    worker = a_worker(database, {CaseOpened: (slowly,)}, batch=100)
    told(database, *opened(*(str(number) for number in range(300))))
    worker.drain()
    assert max(handlers.batches) == 32
    assert sum(handlers.batches) == 300


def test_a_flood_from_one_hospital_keeps_no_other_waiting(database):
    heard: list[str] = []

    def hear(events: Sequence[VisitTold], tx: Transaction, now: datetime) -> list[Event]:
        heard.extend(event.sender for event in events)
        return []

    worker = a_worker(database, {VisitTold: (hear,)}, batch=16)
    told(database, *(VisitTold("flood", f"ZY{number}") for number in range(200)))
    told(database, VisitTold("calm", "ZY1"), now=NOON + timedelta(seconds=1))
    worker.clock.pass_(2)  # type: ignore[attr-defined]
    worker.work()
    assert "calm" in heard
    assert len(heard) < 20


def test_each_of_very_many_hospitals_has_its_turn(database):
    heard: list[str] = []

    def hear(events: Sequence[VisitTold], tx: Transaction, now: datetime) -> list[Event]:
        heard.extend(event.sender for event in events)
        return []

    worker = a_worker(database, {VisitTold: (hear,)}, batch=64)
    told(database, *(VisitTold(f"hospital {number % 100}", f"ZY{number}") for number in range(300)))
    worker.drain()
    assert len(heard) == 300
    first_seen = [heard.index(f"hospital {number}") for number in range(100)]
    assert max(first_seen) < 200


# ---------------------------------------------------------------- what another version told


def changed(database: Database, case: str, **columns: str) -> None:
    """Have the task of this case stand there as another version would have written it."""
    with database.transaction() as tx:
        for column, value in columns.items():
            assert tx.run(f"update task set {column} = ? where payload like ?", (value, f'%"{case}"%'))


def reasons(database: Database) -> list[tuple[str, str, str]]:
    with database.reading() as tx:
        return [(kind, subject, why) for _, kind, subject, why in outbox.parked(tx)]


def test_what_this_version_does_not_know_is_set_aside_and_keeps_nobody_waiting(database):
    handlers, rang = Handlers(), iter([[ClockDue(CaseId("clock"), "decision", 50)]])
    follows: Follows = {CaseOpened: (handlers.note,), ClockDue: (handlers.note,)}
    worker = a_worker(database, follows, timers=(lambda tx, now: next(rang, []),), batch=2)
    told(database, *opened("a", "new", "newer", "b"))
    changed(database, "new", kind="CaseDreamt")
    changed(database, "newer", kind="CaseDreamt")
    worker.drain()
    assert (sorted(noted(database)), left(database)) == (["a", "b", "clock"], 0)
    known = [(kind, subject, why.partition(";")[0]) for kind, subject, why in reasons(database)]
    assert known == [("CaseDreamt", "", "not known to this version: CaseDreamt")] * 2


def test_what_is_known_and_cannot_be_read_is_set_aside_with_its_error(database):
    handlers = Handlers()
    worker = a_worker(database, {CaseOpened: (handlers.note,)})
    told(database, *opened("a", "poor", "b"))
    changed(database, "poor", payload='{"type": "CaseOpened"}')
    worker.drain()
    assert sorted(noted(database)) == ["a", "b"]
    assert reasons(database) == [("CaseOpened", "", "ValidationError: Object missing required field `case`")]


def test_a_call_that_this_version_cannot_read_or_make_keeps_no_other_waiting(database):
    world, handlers = World(), Handlers()
    worker = a_worker(database, world.follows(handlers))
    told(database, *ready("unknown", "poor", "moved", "a"))
    worker.work()
    changed(database, "unknown", kind="CaseDreamt")
    changed(database, "moved", handler="CaseReady/9")
    changed(database, "poor", payload='{"type": "CaseReady"}')
    worker.drain()
    assert (world.heard, left(database)) == (["a"], 0)
    assert [(kind, subject) for kind, subject, _ in reasons(database)] == [
        ("CaseDreamt", ""),
        ("CaseReady", ""),
        ("CaseReady", "moved"),
    ]


def test_a_version_that_knows_what_another_did_not_does_it_when_it_starts(database):
    handlers = Handlers({"bad"})
    worker = a_worker(database, {CaseOpened: (handlers.note,)})
    told(database, *opened("new", "bad", "unknown"))
    changed(database, "new", kind="CaseDreamt")
    changed(database, "unknown", kind="CaseImagined")
    worker.drain()
    changed(database, "new", kind="CaseOpened")  # the version of this process knows it
    worker.start()
    try:
        until(lambda: noted(database))
    finally:
        worker.stop()
    assert noted(database) == ["new"]
    assert [kind for kind, *_ in reasons(database)] == ["CaseOpened", "CaseImagined"]


# ---------------------------------------------------------------- doors


def accepted(worker: Worker, *events: Event) -> str:
    def write(tx: Transaction) -> tuple[str, Sequence[Event], datetime]:
        tx.run("insert into noted (case_id) values ('written')")
        return "answer", events, NOON

    return worker.accept(write)


def test_what_a_door_writes_is_followed_in_the_same_transaction(database):
    handlers = Handlers()
    worker = a_worker(database, {CaseOpened: (handlers.note,)})
    assert accepted(worker, *opened("a")) == "answer"
    assert (noted(database), left(database)) == (["written", "a"], 0)


def test_a_message_is_acknowledged_and_kept_for_the_worker_when_what_follows_fails(database):
    handlers = Handlers({"a"})
    worker = a_worker(database, {CaseOpened: (handlers.note,)})
    assert accepted(worker, *opened("a")) == "answer"
    assert (noted(database), left(database)) == (["written"], 1)
    worker.drain()
    assert (noted(database), parked(database)) == (["written"], [("a", "ValueError: cannot be handled")])


def test_what_a_door_is_in_no_hurry_about_is_followed_by_the_worker(database):
    handlers = Handlers()
    worker = a_worker(database, {CaseOpened: (handlers.note,)})

    def write(tx: Transaction) -> tuple[str, Sequence[Event], datetime]:
        return "answer", opened("a"), NOON

    assert worker.accept(write, at_once=False) == "answer"
    assert (noted(database), left(database)) == ([], 1)
    worker.drain()
    assert (noted(database), left(database)) == (["a"], 0)


# ---------------------------------------------------------------- beside other workers


class Beside:
    """A store on which somebody else holds some keys."""

    def __init__(self, database: Database, busy: set[str]) -> None:
        self.database, self.busy = database, busy

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)

    @contextmanager
    def transaction(self, beside: bool = False) -> Iterator[Transaction]:
        with self.database.transaction() as tx:
            tx.alone = not beside
            tx.hold = lambda keys: set(keys) - self.busy  # type: ignore[method-assign]
            yield tx


def test_what_somebody_else_is_working_on_is_left_to_them_and_the_rest_is_done(database):
    handlers, beside = Handlers(), Beside(database, {"mine"})
    worker = a_worker(beside, {CaseOpened: (handlers.note,)})  # type: ignore[arg-type]
    told(database, *opened("case_mine", "case_free"))
    worker.work()
    assert (noted(database), left(database)) == (["case_free"], 1)
    beside.busy.clear()
    worker.work()
    assert (noted(database), left(database)) == (["case_free", "case_mine"], 0)


def test_work_of_one_key_told_by_clocks_that_differ_is_done_even_one_at_a_time(database):
    handlers = Handlers()
    worker = a_worker(database, {CaseOpened: (handlers.note,)}, batch=1)
    told(database, *opened("case_a"), now=NOON - timedelta(hours=1))
    told(database, *opened("case_a"), now=NOON - timedelta(hours=7))  # told later by a clock that is behind
    worker.drain()
    assert (noted(database), left(database)) == (["case_a", "case_a"], 0)


def test_what_another_worker_did_between_reading_and_holding_is_not_done_again(database, tmp_path):
    handlers = Handlers()
    other = a_worker(Database(place(tmp_path / "worker.db")), {CaseOpened: (handlers.note,)})
    told(database, *opened("case_a", "case_b"))
    meanwhile = [other.drain]

    @dataclass
    class Slow:
        """A store whose transactions hold nothing before the other worker has done all there is."""

        database: Database

        def __getattr__(self, name: str) -> Any:
            return getattr(self.database, name)

        @contextmanager
        def transaction(self, beside: bool = False) -> Iterator[Transaction]:
            with self.database.transaction(beside) as tx:
                hold = tx.hold

                def after(keys: Any) -> set[str]:
                    while meanwhile:
                        thread = threading.Thread(target=meanwhile.pop())
                        thread.start()
                        thread.join()
                    return hold(keys)

                tx.hold = after  # type: ignore[method-assign]
                yield tx

    a_worker(Slow(database), {CaseOpened: (handlers.note,)}).drain()  # type: ignore[arg-type]
    other.database.close()
    assert (sorted(noted(database)), left(database)) == (["case_a", "case_b"], 0)


def test_what_a_door_cannot_hold_is_put_off_and_followed_soon(database):
    handlers, beside = Handlers(), Beside(database, {"mine"})
    worker = a_worker(beside, {CaseOpened: (handlers.note,)})  # type: ignore[arg-type]
    assert accepted(worker, *opened("case_mine", "case_free")) == "answer"
    assert (noted(database), left(database)) == (["written", "case_free"], 1)
    beside.busy.clear()
    worker.clock.pass_(0.1)  # type: ignore[attr-defined]
    worker.drain()
    assert (noted(database)[2:], left(database)) == (["case_mine"], 0)


def test_what_changes_the_records_of_many_is_done_with_nothing_beside_it(database):
    ran: list[bool] = []

    def merge(events: Sequence[CaseOpened], tx: Transaction, now: datetime) -> list[Event]:
        ran.append(tx.alone)
        return []

    worker = a_worker(Beside(database, set()), {CaseOpened: (merge,)}, alone={CaseOpened})  # type: ignore[arg-type]
    accepted(worker, *opened("a"))
    assert (ran, left(database)) == ([], 1)
    worker.drain()
    assert (ran, left(database)) == ([True], 0)


def test_a_batch_that_was_crossed_is_done_again(database):
    handlers, crossings = Handlers(), [Crossed("another transaction"), Crossed("another transaction")]

    def cross(events: Sequence[CaseOpened], tx: Transaction, now: datetime) -> list[Event]:
        if crossings:
            raise crossings.pop()
        return handlers.note(events, tx, now)

    worker = a_worker(database, {CaseOpened: (cross,)})
    told(database, *opened("a", "b"))
    worker.drain()
    assert (noted(database), parked(database), left(database)) == (["a", "b"], [], 0)


def test_what_is_crossed_every_time_is_parked_alone(database):
    """A row that cannot be written twice looks like a crossing: it must not be tried for ever."""
    handlers = Handlers()

    def cross(events: Sequence[CaseOpened], tx: Transaction, now: datetime) -> list[Event]:
        if "b" in {event.case for event in events}:
            raise Crossed("it stands there already")
        return handlers.note(events, tx, now)

    worker = a_worker(database, {CaseOpened: (cross,)})
    told(database, *opened("a", "b", "c"))
    for _ in range(10):
        worker.drain()
        worker.clock.pass_(1)  # type: ignore[attr-defined]
    assert sorted(noted(database)) == ["a", "c"]
    assert parked(database) == [("b", "Crossed: it stands there already")]


# ---------------------------------------------------------------- outside


@dataclass
class World:
    """Something outside that can be silent, and chokes on some requests."""

    silent: bool = False
    chokes_on: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    heard: list[str] = field(default_factory=list)
    calls: int = 0
    asked_last: int = 0

    def load(self, events: Sequence[CaseReady], tx: Transaction) -> list[str]:
        if self.unreadable & {event.case for event in events}:
            raise KeyError("no such row")
        return [event.case for event in events]

    def call(self, requests: Sequence[str], now: datetime) -> list[Event]:
        self.calls += 1
        self.asked_last = len(requests)
        if self.silent:
            raise Unavailable("nobody answers")
        if self.chokes_on & set(requests):
            raise RuntimeError("an answer that makes no sense")
        self.heard += requests
        return [CaseSettled(CaseId(request)) for request in requests]

    def follows(self, handlers: Handlers) -> Follows:
        return {CaseReady: (Outside("world", self.load, self.call),), CaseSettled: (handlers.note,)}


def ready(*names: str) -> list[CaseReady]:
    return [CaseReady(CaseId(name)) for name in names]


def test_a_call_outside_is_made_once_and_its_answer_is_handled(database):
    world, handlers = World(), Handlers()
    worker = a_worker(database, world.follows(handlers))
    told(database, *ready("a", "b"))
    worker.drain()
    assert (world.heard, noted(database), left(database)) == (["a", "b"], ["a", "b"], 0)


def test_silence_means_the_same_call_again_later_and_longer_each_time(database):
    world, handlers = World(silent=True), Handlers()
    worker = a_worker(database, world.follows(handlers), first_retry_seconds=10)
    told(database, *ready("a"))
    worker.drain()
    waits = []
    for _ in range(3):
        with database.reading() as tx:
            due_at = datetime.fromisoformat(str(outbox.next_due(tx, "world")))
        waits.append(round((due_at - worker.clock()).total_seconds()))
        worker.clock.at = due_at  # type: ignore[attr-defined]
        worker.drain()
    assert waits == [10, 20, 40]
    world.silent = False
    worker.clock.pass_(100)  # type: ignore[attr-defined]
    worker.drain()
    assert (world.heard, noted(database), parked(database)) == (["a"], ["a"], [])


def test_after_five_silences_in_a_row_nobody_calls_until_the_wait_is_over_and_then_one_asks_first(database):
    world, handlers = World(silent=True), Handlers()
    worker = a_worker(database, world.follows(handlers), first_retry_seconds=10, batch=2)
    told(database, *ready(*"abcdefghijkl"))
    while worker.work():
        pass
    for _ in range(5):
        worker.call_out("world")
        worker.clock.pass_(0.001)  # type: ignore[attr-defined]
    called = world.calls
    for _ in range(5):
        worker.call_out("world")
    assert (called, world.calls) == (5, 5)
    with database.reading() as tx:
        circuit = outbox.circuit(tx, "world")
    assert (circuit.failures, circuit.error) == (5, "nobody answers")
    assert circuit.open_until is not None
    worker.clock.at = circuit.open_until  # type: ignore[attr-defined]
    worker.call_out("world")
    assert (world.calls, world.asked_last) == (6, 1)
    world.silent = False
    worker.clock.pass_(1000)  # type: ignore[attr-defined]
    worker.drain()
    assert (sorted(world.heard), left(database)) == (list("abcdefghijkl"), 0)
    with database.reading() as tx:
        assert outbox.circuit(tx, "world") == Circuit()


def test_a_person_who_knows_that_an_outsider_is_back_has_it_called_at_once(database):
    world, handlers = World(silent=True), Handlers()
    worker = a_worker(database, world.follows(handlers), first_retry_seconds=100)
    told(database, *ready("a"))
    for _ in range(9):
        worker.drain()
        worker.clock.pass_(200)  # type: ignore[attr-defined]
    world.silent = False
    with database.transaction() as tx:
        assert outbox.call_again(tx, "world", worker.clock()) == 1
    worker.drain()
    assert (world.heard, left(database)) == (["a"], 0)


def test_a_silent_outsider_keeps_no_other_of_its_kind_waiting(database):
    heard: list[str] = []

    def call(requests: Sequence[MessageTold], now: datetime) -> list[Event]:
        if requests[0].channel == "sms":
            raise Unavailable("the gateway is down")
        heard.extend(request.message for request in requests)
        return []

    outside = Outside("post", lambda events, tx: list(events), call, "channel", ("sms", "email"))
    worker = a_worker(database, {MessageTold: (outside,)})
    told(database, MessageTold(MessageId("msg_1"), "sms"), MessageTold(MessageId("msg_2"), "email"))
    worker.drain()
    assert worker.lanes == ["post", "post/email", "post/sms"]
    assert (heard, left(database)) == (["msg_2"], 1)
    with database.reading() as tx:
        assert list(outbox.circuits(tx)) == ["post/sms"]


def test_of_two_workers_on_one_store_one_makes_the_calls_of_a_slot(database, tmp_path):
    world, handlers = World(), Handlers()
    mine, theirs = (a_worker(database, world.follows(handlers)) for _ in range(2))
    told(database, *ready("a"))
    mine.drain()
    told(database, *ready("b"))
    mine.work()
    assert theirs.call_out("world") == 0
    mine.let_go()
    assert theirs.call_out("world") == 1
    assert world.heard == ["a", "b"]


@pytest.mark.parametrize("fault", ["chokes_on", "unreadable"])
def test_one_request_that_cannot_be_made_is_parked_alone(database, fault):
    world, handlers = World(**{fault: {"b"}}), Handlers()
    worker = a_worker(database, world.follows(handlers))
    told(database, *ready("a", "b", "c", "d"))
    worker.drain()
    assert (sorted(world.heard), sorted(noted(database))) == (["a", "c", "d"], ["a", "c", "d"])
    assert [subject for subject, _ in parked(database)] == ["b"]
    assert left(database) == 0


# ---------------------------------------------------------------- the store beneath


def test_a_commit_that_fails_leaves_the_connection_usable(database):
    with database.transaction() as tx:
        tx.run("create table parent (id integer primary key)")
        tx.run("create table child (of integer references parent (id) deferrable initially deferred)")
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)), database.transaction() as tx:
        tx.run("insert into child values (1)")  # found out at the commit only
    with database.transaction() as tx:
        assert tx.rows("select * from child") == []


def test_what_is_remembered_outside_a_transaction_is_remembered_only_if_it_commits(database):
    remembered = []

    def fails() -> None:
        with database.transaction() as tx:
            tx.committed.append(lambda: remembered.append("undone"))
            raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        fails()
    with database.transaction() as tx:
        tx.committed.append(lambda: remembered.append("done"))
        assert remembered == []
    assert remembered == ["done"]

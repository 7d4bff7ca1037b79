"""Takes work from the outbox and runs what follows, a batch at a time.

One run is one transaction: what the handlers wrote, the work they told of and the note that they ran stand or fall
together, so running twice changes nothing. What needs no outside answer runs in the same transaction as what caused
it. A batch that fails is split until the one event that cannot be handled stands alone; that one is parked with its
error. A store that takes nothing is no fault of the event, which waits.

Several workers may run beside each other on one store. Each holds the key of what it works on (a visit, a person), so
that two never decide against the same usage; what one cannot hold, it leaves or puts off. Calls to the outside are
jobs of their own lane. No answer means the same job again, later; after some silences in a row nobody calls for a
while, and then one job asks first.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from safeweave import outbox
from safeweave.clock import Clock
from safeweave.database import Database, Slot, Transaction
from safeweave.errors import Crossed, StoreUnavailable, Unavailable
from safeweave.events import Event
from safeweave.outbox import ALONE, INSIDE, NOT_KNOWN, Task, Unreadable

log = logging.getLogger("safeweave.worker")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Later:
    """An event to be told at a later time: how retries are kept, as rows and never as sleeping tasks."""

    event: Event
    due_at: datetime


Told = Sequence[Event | Later]
Handler = Callable[[Sequence[Any], Transaction, datetime], Told]  # (events, tx, now) -> what it tells


@dataclass(frozen=True, slots=True)
class Outside:
    """A handler that talks to the outside, in three steps so that no transaction waits for it.

    `load(events, tx)` gives one request per event (or None: nothing to do any more); `call(requests, now)` gives the
    events told by the answers, and raises `errors.Unavailable` to be called again later with the same requests.
    Where there are several outsiders of a kind, the event's field `each` names the one it is for; each of `names` has
    a lane of its own, so that a silent one keeps no other waiting. `many` of them, who come and go, have lanes without
    being named here: one thread sees which have something due, and calls some of them at a time.
    """

    lane: str
    load: Callable[[Sequence[Any], Transaction], Sequence[Any]]
    call: Callable[[Sequence[Any], datetime], Told]
    each: str = ""
    names: Collection[str] = ()
    many: bool = False

    @property
    def lanes(self) -> list[str]:
        """Every lane its calls can stand in."""
        return [self.lane, *(f"{self.lane}/{name}" for name in self.names)]

    def lane_of(self, event: Event) -> str:
        """The lane in which the call for this event stands."""
        name = getattr(event, self.each, "")
        return f"{self.lane}/{name}" if name and (self.many or name in self.names) else self.lane


Follows = Mapping[type[Event], Sequence[Handler | Outside]]
Timer = Callable[[Transaction, datetime], Sequence[Event]]  # what has become due by itself

TIMERS_EVERY = timedelta(seconds=1)
PUT_OFF = timedelta(milliseconds=50)  # what cannot be held now is tried again then
SMALLEST_BATCH = 16
BATCH_TIME = timedelta(milliseconds=250)  # a batch grows while it takes less, and shrinks when it takes twice that
DOORS_FIRST = timedelta(milliseconds=200)  # after doors were in a hurry, batches stay small for so long
SLOTS_SURE = timedelta(seconds=1)  # how long a slot is believed to be held without asking
OFTEN_CROSSED = 5  # times in a row: then it is no coincidence, and the one that is always crossed is parked
OPENS_AFTER = 5  # silences in a row
MANY_AT_ONCE = 8  # of many outsiders of a kind, so many are called at a time


def tell(tx: Transaction, told: Sequence[Event], now: datetime) -> None:
    """Put what follows these events, told by a door, a command or a clock, in the outbox."""
    outbox.add_tasks(tx, [(INSIDE, event, "", now) for event in told])


@dataclass
class Worker:
    """Runs one node's flow over its database.

    `lanes` are served by threads of their own when `start`ed, each by as many as `calls` says (one if it does not);
    `drain` does everything due in the calling thread, for commands, tests and simulations. What follows the kinds
    in `alone` is run with no other transaction beside it.
    """

    database: Database
    follows: Follows
    clock: Clock
    timers: Sequence[Timer] = ()
    alone: Collection[type[Event]] = ()
    calls: Mapping[str, int] = field(default_factory=dict)
    batch: int = 500
    first_retry_seconds: float = 0.5
    longest_retry_seconds: float = 300.0
    poll_seconds: float = 1.0
    committed: Callable[[Sequence[Event], datetime], None] = lambda told, at: None  # called with what a run has told

    def __post_init__(self) -> None:
        self.outside: dict[str, Outside] = {}
        for kind, handlers in self.follows.items():
            for position, handler in enumerate(handlers):
                if isinstance(handler, Outside):
                    self.outside[f"{kind.__name__}/{position}"] = handler
        self.lanes = sorted({lane for handler in self.outside.values() for lane in handler.lanes})
        self.crowds = sorted({handler.lane for handler in self.outside.values() if handler.many})
        self._wake = {lane: threading.Event() for lane in (INSIDE, *self.lanes)}
        self._called: set[str] = set()  # lanes of crowds in which a call is under way
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pool: ThreadPoolExecutor | None = None
        self._slots: dict[str, tuple[Slot, datetime]] = {}
        self._size = min(SMALLEST_BATCH, self.batch)
        self._turn = self._crossings = 0
        self._waits_alone = False
        self._timers_due = self._doors_busy_until = datetime.min.replace(tzinfo=UTC)

    # ------------------------------------------------------------ inside

    def work(self) -> int:
        """How many due events were handled in one batch (0: nothing is due). Raises StoreUnavailable."""
        now = self.clock()
        done = self._batch(INSIDE, now) or (self._batch(ALONE, now) if self._waits_alone else 0)
        if done and now < self._timers_due:
            return done
        return done + self._ask_timers(now)

    def _batch(self, lane: str, now: datetime) -> int:
        tasks: list[Task] = []
        told: list[Event] = []
        self._turn += 1
        try:
            with self.database.transaction(beside=lane != ALONE) as tx:
                size = SMALLEST_BATCH if now < self._doors_busy_until else self._size
                tasks = outbox.take(tx, lane, now, min(size, self.batch), self._turn)
                if tasks:
                    told = self._follow(tx, [task.event for task in tasks], now)
                    outbox.done(tx, tasks)
                else:
                    self._waits_alone = lane == INSIDE and outbox.next_due(tx, ALONE) is not None
        except Crossed as crossed:
            log.info("a batch of %d was crossed and is done again: %s", len(tasks), crossed)
            self._size = max(min(SMALLEST_BATCH, self.batch), self._size // 2)
            self._crossings += 1
            if self._crossings > OFTEN_CROSSED:
                self._split(tasks, crossed, lane)
        except Unreadable as unreadable:
            return self._set_aside(unreadable.why)
        except StoreUnavailable:
            raise
        except Exception as error:
            if not tasks:
                raise
            self._split(tasks, error, lane)
        else:
            self._crossings = 0
            self._fit(len(tasks), self.clock() - now)
            self._committed(told, tx)
        return len(tasks)

    def _fit(self, done: int, took: timedelta) -> None:
        """Small batches answer soon, large ones cost less a claim: grow under load, shrink when one takes long."""
        if done >= self._size and took < BATCH_TIME:
            self._size = min(self.batch, self._size * 2)
        elif took > 2 * BATCH_TIME:
            self._size = max(min(SMALLEST_BATCH, self.batch), self._size // 2)

    def _ask_timers(self, now: datetime) -> int:
        """How many events the timers told: all in one transaction, or each in one of its own when that failed."""
        self._timers_due = now + TIMERS_EVERY
        try:
            return self._ask(self.timers, now)
        except StoreUnavailable:
            raise
        except Exception as error:
            log.info("what has become due is looked for one timer at a time: %s", error)
        told = 0
        for timer in self.timers:
            try:
                told += self._ask([timer], now)
            except Crossed as crossed:
                log.info("a timer was crossed and is asked again: %s", crossed)
            except StoreUnavailable:
                raise
            except Exception:
                log.exception("a timer failed; the others go on")
        return told

    def _ask(self, timers: Sequence[Timer], now: datetime) -> int:
        with self.database.transaction(beside=True) as tx:
            if not tx.hold({"timers"}):
                return 0
            due = [event for timer in timers for event in timer(tx, now)]
            tell(tx, due, now)
        return len(due)

    def _split(self, tasks: Sequence[Task], error: Exception, lane: str) -> None:
        """After a failure: halve the batch until the culprit stands alone, and park it."""
        if len(tasks) == 1:
            if isinstance(error, Crossed) and tasks[0].tries < OFTEN_CROSSED:
                with self.database.transaction(beside=True) as tx:
                    outbox.again(tx, tasks, self.clock() + PUT_OFF)
            else:
                self._park(tasks[0], error)
            return
        for half in (tasks[: len(tasks) // 2], tasks[len(tasks) // 2 :]):
            try:
                with self.database.transaction(beside=lane != ALONE) as tx:
                    mine = outbox.take_these(tx, lane, half)
                    told = self._follow(tx, [task.event for task in mine], self.clock())
                    outbox.done(tx, mine)
            except Crossed as narrower:
                self._split(half, narrower, lane)
            except StoreUnavailable:
                raise
            except Exception as narrower:
                self._split(half, narrower, lane)
            else:
                self._committed(told, tx)

    def accept(
        self,
        write: Callable[[Transaction], tuple[Answer, Sequence[Event], datetime]],
        at_once: bool = True,
        beside: bool = True,
    ) -> Answer:
        """Run what a door writes and, in the same transaction, everything that follows from what it tells.

        `write` gives its answer, the events and when they came. If what follows fails, or is not wanted `at_once`
        because more is waiting at the door, only what the door wrote is kept, and the worker takes the events from
        the outbox: nothing that was acknowledged depends on a handler. What `write` changes is held by it, or it is
        not run `beside` others.
        """
        if at_once:
            try:
                with self.database.transaction(beside) as tx:
                    answer, events, now = write(tx)
                    told = self._follow(tx, events, now)
            except Crossed as crossed:
                log.info("what a door told was crossed; the worker follows it: %s", crossed)
            except Exception:
                log.exception("what a door told could not be followed at once; the worker tries again")
            else:
                self._committed(told, tx)
                return answer
        else:
            self._doors_busy_until = self.clock() + DOORS_FIRST
        for last in (False, False, True):
            try:
                with self.database.transaction(beside) as tx:
                    answer, events, now = write(tx)
                    tell(tx, events, now)
            except Crossed:
                if last:
                    raise
            else:
                break
        self.signal()
        return answer

    def _committed(self, told: Sequence[Event], tx: Transaction) -> None:
        self.committed(told, self.clock())
        for lane in outbox.lanes_told(tx):
            self._wake.get(lane, self._wake.get(self._crowd_of(lane), self._wake[INSIDE])).set()

    def _follow(self, tx: Transaction, events: Sequence[Event], now: datetime) -> list[Event]:
        """Run everything that follows these events and, in turn, what is told meanwhile; all of that.

        What an event causes is done before what was told after it: a word such as "settled" is still true when it is
        acted on.
        """
        pending = list(events)
        everything: list[Event] = []
        while pending:
            kind = type(pending[0])
            batch = [event for event in pending if type(event) is kind]
            pending = [event for event in pending if type(event) is not kind]
            if not tx.alone:
                batch = self._held(tx, kind, batch, now)
            caused: list[Event] = []
            for position, handler in enumerate(self.follows.get(kind, ()) if batch else ()):
                if isinstance(handler, Outside):
                    name = f"{kind.__name__}/{position}"
                    outbox.add_tasks(tx, [(handler.lane_of(event), event, name, now) for event in batch])
                    continue
                caused += self._told(tx, handler(batch, tx, now))
            everything += caused
            pending = caused + pending
        return everything

    def _held(self, tx: Transaction, kind: type[Event], batch: list[Event], now: datetime) -> list[Event]:
        """Those of these events that can be followed beside other transactions; the others are put off."""
        if kind in self.alone:
            outbox.add_tasks(tx, [(ALONE, event, "", now) for event in batch])
            return []
        key_of = [(event, outbox.key_of(event)) for event in batch]
        held = tx.hold({key for _, key in key_of})
        put_off = [event for event, key in key_of if key not in held]
        outbox.add_tasks(tx, [(INSIDE, event, "", now + PUT_OFF) for event in put_off])
        return [event for event, key in key_of if key in held] if put_off else batch

    def _told(self, tx: Transaction, told: Told) -> list[Event]:
        """What is to be followed at once; what is told for later is put in the outbox."""
        at_once = [event for event in told if isinstance(event, Event)]
        if len(at_once) < len(told):
            later = [item for item in told if isinstance(item, Later)]
            outbox.add_tasks(tx, [(INSIDE, item.event, "", item.due_at) for item in later])
        return at_once

    # ------------------------------------------------------------ outside

    def call_out(self, lane: str, slot: int = 0) -> int:
        """How many due calls of a lane were made in one round.

        0: nothing is due, the outside is silent, or another worker makes the calls of this `slot`.
        """
        slots = self.calls.get(lane, 1)
        if not self.has_slot(f"{(self._crowd_of(lane) or lane).replace('/', '-')}-{slot}-of-{slots}"):
            return 0
        now = self.clock()
        try:
            with self.database.reading() as tx:
                circuit = outbox.circuit(tx, lane)
                if circuit.open_until is not None and circuit.open_until > now:
                    return 0
                asks_first = circuit.failures >= OPENS_AFTER
                tasks = outbox.due(tx, lane, now, 1 if asks_first else self.batch, slot, slots)
        except Unreadable as unreadable:
            return self._set_aside(unreadable.why)
        name = tasks[0].handler if tasks else ""
        tasks = [task for task in tasks if task.handler == name]
        if not tasks:
            return 0
        if name not in self.outside:
            return self._set_aside({task.id: f"{NOT_KNOWN}: the call {name}" for task in tasks})
        try:
            done = self._call(self.outside[name], tasks, now)
        except Unavailable as silent:
            tried = max(circuit.failures, tasks[0].tries)
            wait = timedelta(seconds=min(self.longest_retry_seconds, self.first_retry_seconds * 2 ** min(tried, 20)))
            log.warning("%s does not answer (%s); asking again in %.1f s", lane, silent, wait.total_seconds())
            opens = circuit.failures + 1 >= OPENS_AFTER
            with self.database.transaction(beside=True) as tx:
                outbox.again(tx, tasks, now + wait)
                outbox.no_answer(tx, lane, str(silent), now, now + wait if opens else now)
            return 0
        if circuit.failures:
            with self.database.transaction(beside=True) as tx:
                outbox.answered(tx, lane)
        return done

    def _crowd_of(self, lane: str) -> str:
        """The kind of the many outsiders among whom this lane's is; "" if it has a place of its own."""
        kind = lane.partition("/")[0]
        return kind if kind in self.crowds and kind != lane else ""

    def serves(self, lane: str) -> bool:
        """Whether calls can stand in this lane."""
        return lane in self.lanes or bool(self._crowd_of(lane))

    def _crowd_lanes(self) -> list[str]:
        """The lanes of many outsiders in which something is due."""
        if not self.crowds:
            return []
        with self.database.reading() as tx:
            return [lane for crowd in self.crowds for lane in outbox.lanes_due(tx, crowd, self.clock())]

    def _call_crowd(self, crowd: str, pool: ThreadPoolExecutor) -> int:
        """Have those of a crowd called for whom something is due and who are not being called; 0, as others call."""
        with self.database.reading() as tx:
            lanes = outbox.lanes_due(tx, crowd, self.clock())
        for lane in lanes:
            if lane not in self._called:
                self._called.add(lane)
                pool.submit(self._call_one, lane, crowd)
        return 0

    def _call_one(self, lane: str, crowd: str) -> None:
        called = 0
        try:
            called = self.call_out(lane)
        except Exception:
            log.exception("the calls of %s failed; they are made again", lane)
        finally:
            self._called.discard(lane)
        if called:
            self._wake[crowd].set()

    def has_slot(self, name: str) -> bool:
        """Whether this worker is the one that has this name; of all workers on a store one is."""
        now = self.clock()
        mine, asked_at = self._slots.pop(name, (None, now))
        if mine is None:
            mine = self.database.slot(name)
        elif not asked_at <= now < asked_at + SLOTS_SURE:
            asked_at, mine = now, mine if mine.still_held() else self.database.slot(name)
        if mine is not None:
            self._slots[name] = mine, asked_at
        return mine is not None

    def _call(self, handler: Outside, tasks: Sequence[Task], now: datetime) -> int:
        """How many calls were made or parked. One that fails is parked alone: the others are made again without it.

        Raises Unavailable if nobody answers, StoreUnavailable if the answers cannot be kept: they are asked for again.
        """
        try:
            with self.database.reading() as tx:
                requests = handler.load([task.event for task in tasks], tx)
            self.database.settle()  # nobody outside is told what a power cut could still undo
            told = handler.call([request for request in requests if request is not None], now)
        except (Unavailable, StoreUnavailable):
            raise
        except Exception as error:
            if len(tasks) > 1:
                half = len(tasks) // 2
                return self._call(handler, tasks[:half], now) + self._call(handler, tasks[half:], now)
            self._park(tasks[0], error)
            return 1
        answered_at = self.clock()

        def write(tx: Transaction) -> tuple[int, list[Event], datetime]:
            outbox.done(tx, tasks)
            return len(tasks), self._told(tx, told), answered_at

        return self.accept(write)

    def _park(self, task: Task, error: Exception) -> None:
        log.error("parked task %d (%s)", task.id, type(task.event).__name__, exc_info=error)
        with self.database.transaction(beside=True) as tx:
            outbox.park(tx, {task.id: f"{type(error).__name__}: {error}"})

    def _set_aside(self, why: Mapping[int, str]) -> int:
        """Park tasks that this version cannot read or do, so that they keep no other waiting; how many."""
        for task, said in why.items():
            log.error("parked task %d: %s", task, said)
        with self.database.transaction(beside=True) as tx:
            outbox.park(tx, why)
        return len(why)

    def _try_known(self) -> None:
        try:
            with self.database.transaction(beside=True) as tx:
                outbox.unpark_known(tx, self.clock())
        except (Crossed, StoreUnavailable) as error:
            log.warning("what another version did not know was not tried again: %s", error)

    # ------------------------------------------------------------ running

    def drain(self, until: Callable[[], bool] = lambda: False) -> None:
        """Do everything that is due now, inside and outside, in this thread."""
        while not until():
            if self.work():
                continue
            lanes = [*self.lanes, *self._crowd_lanes()]
            if not sum([self.call_out(lane, slot) for lane in lanes for slot in range(self.calls.get(lane, 1))]):
                return  # every lane was asked, not just the first busy one

    def signal(self, lane: str = INSIDE) -> None:
        """Something new stands in a lane of the outbox; a word that is no lane wakes all."""
        for wake in [self._wake[lane]] if lane in self._wake else self._wake.values():
            wake.set()

    def start(self) -> None:
        """Work in threads, one inside and one for each call that may be under way, until `stop`."""
        self.database.listen(self.signal)
        self._try_known()
        loops: list[tuple[str, Callable[[], int]]] = [(INSIDE, self.work)]
        for lane in self.lanes:
            loops += [(lane, partial(self.call_out, lane, slot)) for slot in range(self.calls.get(lane, 1))]
        for crowd in self.crowds:
            self._pool = self._pool or ThreadPoolExecutor(MANY_AT_ONCE, thread_name_prefix=crowd)
            loops.append((crowd, partial(self._call_crowd, crowd, self._pool)))
        for lane, step in loops:
            name = lane or "inside"
            self._threads.append(threading.Thread(target=self._loop, args=(lane, step), name=name, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the batches under way and stop."""
        self._stopping.set()
        for wake in self._wake.values():
            wake.set()
        for thread in self._threads:
            thread.join()
        if self._pool is not None:
            self._pool.shutdown()
        self.let_go()

    def let_go(self) -> None:
        """Leave the calls of this worker's slots to others."""
        slots, self._slots = self._slots, {}
        for slot, _ in slots.values():
            slot.release()

    def _loop(self, lane: str, step: Callable[[], int]) -> None:
        wake = self._wake[lane]
        while not self._stopping.is_set():
            wake.clear()
            try:
                if not step():
                    wake.wait(self._rest_seconds(lane))
            except Exception:
                log.exception("the %s loop failed; it goes on", threading.current_thread().name)
                wake.wait(self.poll_seconds)

    def _rest_seconds(self, lane: str) -> float:
        """How long nothing of a lane becomes due, at most until the next poll."""
        with self.database.reading() as tx:
            due_at = outbox.next_due(tx, lane)
        left = (datetime.fromisoformat(due_at) - self.clock()).total_seconds() if due_at else self.poll_seconds
        if left <= 0:  # left undone: somebody else holds its key, or nobody calls that outsider now
            left = PUT_OFF.total_seconds() if lane == INSIDE else self.poll_seconds
        return min(left, self.poll_seconds)

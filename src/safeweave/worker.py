"""Takes events from the outbox and runs what follows, a batch at a time.

One run is one transaction: what the handlers wrote, the events they told and the note that they ran stand or fall
together, so running twice changes nothing. What needs no outside answer runs in the same transaction as what caused
it. A batch that fails is split until the one event that cannot be handled stands alone; that one is parked with its
error. A store that takes nothing is no fault of the event, which waits. Calls to the outside are jobs of their own
lane, split in the same way; no answer means the same job again, later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from safeweave import outbox
from safeweave.clock import Clock
from safeweave.database import Database, Transaction
from safeweave.errors import StoreUnavailable, Unavailable
from safeweave.events import Event
from safeweave.outbox import Task

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
    """

    lane: str
    load: Callable[[Sequence[Any], Transaction], Sequence[Any]]
    call: Callable[[Sequence[Any], datetime], Told]


Follows = Mapping[type[Event], Sequence[Handler | Outside]]
Timer = Callable[[Transaction, datetime], Sequence[Event]]  # what has become due by itself


def tell(tx: Transaction, told: Sequence[Event], now: datetime) -> None:
    """Write events from outside any handler (a door, a command, a clock) with the work that follows them."""
    outbox.add_tasks(tx, [("", number, "", now) for number, _ in outbox.append(tx, told, now)])


@dataclass
class Worker:
    """Runs one node's flow over its database.

    `lanes` are served by threads of their own when `start`ed; `drain` does everything due in the calling thread, for
    commands, tests and simulations.
    """

    database: Database
    follows: Follows
    clock: Clock
    timers: Sequence[Timer] = ()
    batch: int = 500
    first_retry_seconds: float = 0.5
    longest_retry_seconds: float = 300.0
    poll_seconds: float = 1.0
    committed: Callable[[Sequence[Event], datetime], None] = lambda told, at: None  # called with what a run has told
    _wake: threading.Event = field(default_factory=threading.Event)
    _lane_wake: dict[str, threading.Event] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outside: dict[str, Outside] = {}
        for kind, handlers in self.follows.items():
            for position, handler in enumerate(handlers):
                if isinstance(handler, Outside):
                    self.outside[f"{kind.__name__}/{position}"] = handler
        self.lanes = sorted({handler.lane for handler in self.outside.values()})
        self._lane_wake = {lane: threading.Event() for lane in self.lanes}

    # ------------------------------------------------------------ inside

    def work(self) -> int:
        """How many due events were handled in one batch (0: nothing is due). Raises StoreUnavailable."""
        tasks: list[Task] = []
        told: list[Event] = []
        now = self.clock()
        try:
            with self.database.transaction() as tx:
                tasks = outbox.due(tx, "", now, self.batch)
                if tasks:
                    told = self._follow(tx, [(task.event_id, task.event) for task in tasks], now)
                    outbox.done(tx, tasks)
                else:
                    due = [event for timer in self.timers for event in timer(tx, now)]
                    tell(tx, due, now)
                    return len(due)
        except StoreUnavailable:
            raise
        except Exception as error:
            if not tasks:
                raise
            self._split(tasks, error)
        self._committed(told)
        return len(tasks)

    def _split(self, tasks: Sequence[Task], error: Exception) -> None:
        """After a failure: halve the batch until the culprit stands alone, and park it."""
        if len(tasks) == 1:
            self._park(tasks[0], error)
            return
        for half in (tasks[: len(tasks) // 2], tasks[len(tasks) // 2 :]):
            try:
                with self.database.transaction() as tx:
                    told = self._follow(tx, [(task.event_id, task.event) for task in half], self.clock())
                    outbox.done(tx, half)
            except StoreUnavailable:
                raise
            except Exception as narrower:
                self._split(half, narrower)
            else:
                self._committed(told)

    def accept(self, write: Callable[[Transaction], tuple[Answer, Sequence[Event], datetime]]) -> Answer:
        """Run what a door writes and, in the same transaction, everything that follows from what it tells.

        `write` gives its answer, the events and when they came. If what follows fails, only what the door wrote is
        kept, and the worker takes the events from the outbox: nothing that was acknowledged depends on a handler.
        """
        try:
            with self.database.transaction() as tx:
                answer, events, now = write(tx)
                told = self._follow(tx, outbox.append(tx, events, now), now)
        except Exception:
            log.exception("what a door told could not be followed at once; the worker tries again")
            with self.database.transaction() as tx:
                answer, events, now = write(tx)
                tell(tx, events, now)
            self.signal()
        else:
            self._committed(told)
        return answer

    def _committed(self, told: Sequence[Event]) -> None:
        self.committed(told, self.clock())
        for wake in self._lane_wake.values():
            wake.set()

    def _follow(self, tx: Transaction, numbered: Sequence[tuple[int, Event]], now: datetime) -> list[Event]:
        """Run everything that follows these events and, in turn, what is told meanwhile; all of that.

        What an event causes is done before what was told after it: a word such as "settled" is still true when it is
        acted on.
        """
        pending = list(numbered)
        everything: list[Event] = []
        while pending:
            kind = type(pending[0][1])
            batch = [pair for pair in pending if type(pair[1]) is kind]
            pending = [pair for pair in pending if type(pair[1]) is not kind]
            caused: list[tuple[int, Event]] = []
            for position, handler in enumerate(self.follows.get(kind, ())):
                if isinstance(handler, Outside):
                    name = f"{kind.__name__}/{position}"
                    outbox.add_tasks(tx, [(handler.lane, number, name, now) for number, _ in batch])
                    continue
                told = self._append(tx, handler([event for _, event in batch], tx, now), now)
                caused += told
            everything += [event for _, event in caused]
            pending = caused + pending
        return everything

    def _append(self, tx: Transaction, told: Told, now: datetime) -> list[tuple[int, Event]]:
        at_once = [event for event in told if isinstance(event, Event)]
        later = [item for item in told if isinstance(item, Later)]
        numbered = outbox.append(tx, [*at_once, *(item.event for item in later)], now)
        waiting = zip(numbered[len(at_once) :], later, strict=True)
        outbox.add_tasks(tx, [("", number, "", item.due_at) for (number, _), item in waiting])
        return numbered[: len(at_once)]

    # ------------------------------------------------------------ outside

    def call_out(self, lane: str) -> int:
        """How many due calls of a lane were made in one round (0: nothing is due, or the outside is silent)."""
        now = self.clock()
        with self.database.reading() as tx:
            tasks = outbox.due(tx, lane, now, self.batch)
        name = tasks[0].handler if tasks else ""
        tasks = [task for task in tasks if task.handler == name]
        try:
            return self._call(self.outside[name], tasks, now) if tasks else 0
        except Unavailable as silent:
            wait = min(self.longest_retry_seconds, self.first_retry_seconds * 2 ** min(tasks[0].tries, 20))
            log.warning("%s does not answer (%s); asking again in %.1f s", lane, silent, wait)
            with self.database.transaction() as tx:
                outbox.again(tx, tasks, now + timedelta(seconds=wait))
            return 0

    def _call(self, handler: Outside, tasks: Sequence[Task], now: datetime) -> int:
        """How many calls were made or parked. One that fails is parked alone: the others are made again without it.

        Raises Unavailable if nobody answers, StoreUnavailable if the answers cannot be kept: they are asked for again.
        """
        try:
            with self.database.reading() as tx:
                requests = handler.load([task.event for task in tasks], tx)
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
        with self.database.transaction() as tx:
            answers = self._append(tx, told, answered_at)
            outbox.add_tasks(tx, [("", number, "", answered_at) for number, _ in answers])
            outbox.done(tx, tasks)
        self.signal()
        return len(tasks)

    def _park(self, task: Task, error: Exception) -> None:
        log.error("parked task %d (%s)", task.id, type(task.event).__name__, exc_info=error)
        with self.database.transaction() as tx:
            outbox.park(tx, task, f"{type(error).__name__}: {error}")

    # ------------------------------------------------------------ running

    def drain(self, until: Callable[[], bool] = lambda: False) -> None:
        """Do everything that is due now, inside and outside, in this thread."""
        while not until():
            if self.work():
                continue
            if not sum(self.call_out(lane) for lane in self.lanes):  # every lane, not just the first busy one
                return

    def signal(self) -> None:
        """Something new stands in the outbox."""
        self._wake.set()

    def start(self) -> None:
        """Work in threads, one inside and one a lane, until `stop`."""
        self._threads = [threading.Thread(target=self._loop, args=(self.work, self._wake), name="inside", daemon=True)]
        for lane in self.lanes:
            self._threads.append(
                threading.Thread(target=self._loop, args=(lambda lane=lane: self.call_out(lane), self._lane_wake[lane]),
                                 name=lane, daemon=True)
            )  # fmt: skip
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the batches under way and stop."""
        self._stopping.set()
        for wake in (self._wake, *self._lane_wake.values()):
            wake.set()
        for thread in self._threads:
            thread.join()

    def _loop(self, step: Callable[[], int], wake: threading.Event) -> None:
        while not self._stopping.is_set():
            wake.clear()
            try:
                busy = step()
            except Exception:
                log.exception("the %s loop failed; it goes on", threading.current_thread().name)
                busy = 0
            if not busy:
                wake.wait(self.poll_seconds)

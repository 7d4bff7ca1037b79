"""Groups the messages that wait at a door, so that many are stored with one commit, each sender in its turn.

While one group is being read and stored, the next one gathers: one message when all is quiet, many under load. What
follows from a small group is done with it, unless more is waiting already; else storing comes first, and the worker
follows.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

from starlette.concurrency import run_in_threadpool

from safeweave.errors import StoreUnavailable
from safeweave.exchange.inbound import Arrived, Receipt

GROUP = 200  # messages stored at once
FOLLOWED_AT_ONCE = 32  # no more messages than these are followed with their group
GROUP_BYTES = 4 * 1024 * 1024
MOST_BYTES = 256 * 1024 * 1024  # waiting in memory; beyond it senders are asked to come back

Stored = tuple[Arrived, Receipt]
Store = Callable[[Sequence[Arrived], bool], Sequence[Receipt]]  # (messages, whether to follow them at once)


class _Waiting(NamedTuple):
    open: Callable[[], Arrived]
    size: int
    stored: asyncio.Future[Stored]


@dataclass
class _Queue:
    """What waits in one event loop, sender by sender."""

    by_sender: dict[str, deque[_Waiting]] = field(default_factory=dict)
    bytes: int = 0
    task: asyncio.Task[None] | None = None

    def add(self, sender: str, waiting: _Waiting) -> None:
        self.by_sender.setdefault(sender, deque()).append(waiting)
        self.bytes += waiting.size

    def group(self) -> list[_Waiting]:
        """The next messages to store: one of each sender in turn, round after round."""
        taken: list[_Waiting] = []
        size = 0
        while self.by_sender and len(taken) < GROUP and size < GROUP_BYTES:
            sender, line = next(iter(self.by_sender.items()))
            waiting = line.popleft()
            del self.by_sender[sender]
            if line:
                self.by_sender[sender] = line  # to the end: the others come first
            taken.append(waiting)
            size += waiting.size
        self.bytes -= size
        return taken


class Intake:
    """One door's messages on their way into the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = WeakKeyDictionary()

    def is_full(self) -> bool:
        """Whether so much waits that nothing more should be read."""
        return self._queue().bytes > MOST_BYTES

    async def receive(self, sender: str, size: int, open: Callable[[], Arrived]) -> Stored:
        """The message as it was read, and its receipt; it is in the store when this returns.

        `open` reads it, in a thread of its own. Raises StoreUnavailable if the store takes nothing now.
        """
        queue, loop = self._queue(), asyncio.get_running_loop()
        waiting = _Waiting(open, size, loop.create_future())
        queue.add(sender, waiting)
        if queue.task is None:
            queue.task = loop.create_task(self._work_off(queue))
        return await waiting.stored

    def _queue(self) -> _Queue:
        return self._queues.setdefault(asyncio.get_running_loop(), _Queue())

    async def _work_off(self, queue: _Queue) -> None:
        try:
            while group := queue.group():
                at_once = not queue.by_sender and len(group) <= FOLLOWED_AT_ONCE
                outcomes = await run_in_threadpool(self._stored, [each.open for each in group], at_once)
                for waiting, outcome in zip(group, outcomes, strict=True):
                    if waiting.stored.cancelled():
                        continue
                    if isinstance(outcome, BaseException):
                        waiting.stored.set_exception(outcome)
                    else:
                        waiting.stored.set_result(outcome)
        finally:
            queue.task = None

    def _stored(self, opens: Sequence[Callable[[], Arrived]], at_once: bool) -> Sequence[Stored | Exception]:
        """What became of each message; one that cannot be stored keeps no other from it."""
        try:
            arrived = [open() for open in opens]
            return list(zip(arrived, self._store(arrived, at_once), strict=True))
        except StoreUnavailable as full:
            return [full] * len(opens)
        except Exception as error:
            if len(opens) == 1:
                return [error]
            half = len(opens) // 2
            return [*self._stored(opens[:half], at_once), *self._stored(opens[half:], at_once)]

"""What was committed, told to every open page: steps of cases, and notices that pages themselves write.

A tick says only that something changed (`case:…`, `person:…`, or a topic of `notify`); a page that shows it asks again.
Its number ("steps.notices") is what a stream can be resumed from, here or at another process of ours.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from safeweave.database import Database, Transaction, at_text
from safeweave.errors import StoreUnavailable
from safeweave.facts import Fact
from safeweave.ids import PersonId

log = logging.getLogger("safeweave.pages")

EVERY_SECONDS = 0.4
LATE = 200  # numbers: a transaction may commit after others that took higher ones
MOST_AT_ONCE = 4000  # ticks; more at once are told as one that says to ask for everything
WAITING = 1000  # ticks a slow browser may be behind; then it is told to ask for everything
BEAT_SECONDS = 15.0


class Tick(Fact, frozen=True):
    """Something changed: what it is about, and whom."""

    number: str
    topics: tuple[str, ...]
    person: str = ""


EVERYTHING = Tick("", ("*",))


def notify(tx: Transaction, topic: str, person: PersonId | str, now: datetime) -> None:
    """Have open pages that show this topic ask again, once this has committed."""
    tx.run(
        "insert into page_notice (id, topic, person, noticed_at) values (?, ?, ?, ?)",
        (tx.numbers("page_notice", 1), topic, person, at_text(now)),
    )


@dataclass
class Since:
    """How far somebody has read."""

    steps: int
    notices: int

    def __str__(self) -> str:
        return f"{self.steps}.{self.notices}"


def since(text: str) -> Since | None:
    """The place such as "120.7" names; None if it is no such thing."""
    steps, dot, notices = text.partition(".")
    if not (dot and steps.isdecimal() and notices.isdecimal() and len(text) < 40):
        return None
    return Since(int(steps), int(notices))


def latest(tx: Transaction) -> Since:
    """The place after everything there is now."""
    ((steps, notices),) = tx.rows(
        "select (select coalesce(max(id), 0) from case_step), (select coalesce(max(id), 0) from page_notice)"
    )
    return Since(steps, notices)


def after(tx: Transaction, place: Since, limit: int = MOST_AT_ONCE) -> list[tuple[str, int, Tick]]:
    """("step" or "notice", its number, the tick) of everything after a place, in order; the place moves with it."""
    found: list[tuple[str, int, Tick]] = []
    for id, case, person, was_referred in tx.rows(_STEPS, (place.steps, limit)):
        place = Since(id, place.notices)
        topics = (f"case:{case}", f"person:{person}", "cases", *(("desk",) if was_referred else ()))
        found.append(("step", id, Tick(str(place), topics, person)))
    for id, topic, person in tx.rows(
        "select id, topic, person from page_notice where id > ? order by id limit ?", (place.notices, limit)
    ):
        place = Since(place.steps, id)
        topics = (topic, f"person:{person}") if person else (topic,)
        found.append(("notice", id, Tick(str(place), topics, person)))
    return found


# The desk shows cases that wait for a person: only what happens to a case that did, or does now, concerns it.
_STEPS = """
select s.id, s.case_id, c.person,
       case when s.steps like '%"referred"%' or exists (
            select 1 from case_step e where e.case_id = s.case_id and e.shard = s.shard and e.id < s.id
               and e.steps like '%"referred"%') then 1 else 0 end
  from case_step s join claim_case c on c.id = s.case_id and c.shard = s.shard
 where s.id > ? order by s.id limit ?
"""


class Audience(Fact, frozen=True):
    """Whose changes a stream is told of: of these persons, or of everybody and everything."""

    persons: frozenset[str] = frozenset()
    everybody: bool = False

    def of(self, ticks: Mapping[str, Sequence[Tick]]) -> list[Tick]:
        """What of these, by person, it is told."""
        whose = ticks if self.everybody else [person for person in self.persons if person in ticks]
        return [tick for person in whose for tick in ticks[person]]


@dataclass(eq=False)
class _Reader:
    """One open stream."""

    loop: asyncio.AbstractEventLoop
    audience: Audience
    queue: asyncio.Queue[Tick | None] = field(default_factory=lambda: asyncio.Queue(WAITING + 1))

    def tell(self, ticks: Collection[Tick | None]) -> None:
        """Called in the loop: more than a slow browser can take becomes one tick that says to ask for everything."""
        for tick in ticks:
            if self.queue.full():
                while not self.queue.empty():
                    self.queue.get_nowait()
                self.queue.put_nowait(EVERYTHING if tick is not None else None)
            else:
                self.queue.put_nowait(tick)


class Feed:
    """Follows the store in a thread while anybody listens, and tells every stream of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers: set[_Reader] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._readers)

    def close(self) -> None:
        """End every stream."""
        self._closed.set()
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            self._tell(reader, [None])
        if self._thread is not None:
            self._thread.join(timeout=5)

    async def listen(self, audience: Callable[[], Audience | None], resume: Since | None) -> AsyncIterator[Tick | None]:
        """Ticks as they are committed, after those since `resume`; None every 15 seconds, to keep the line open.

        `audience`, asked in a thread now and every 15 seconds, says whose; None from it ends the stream.
        """
        whose = await asyncio.to_thread(audience)
        if whose is None:
            return
        loop = asyncio.get_running_loop()
        reader = _Reader(loop, whose)
        with self._lock:
            self._readers.add(reader)
        try:
            place, missed = await asyncio.to_thread(self._begin, resume)
            yield Tick(str(place) if resume is None or not missed else str(resume), ())
            reader.tell(whose.of(by_person(missed)) if missed != [EVERYTHING] else missed)
            asked_at = loop.time()
            while not self._closed.is_set():
                try:
                    tick = await asyncio.wait_for(reader.queue.get(), BEAT_SECONDS)
                except TimeoutError:
                    yield None
                else:
                    if tick is None:
                        return
                    yield tick
                if loop.time() >= asked_at + BEAT_SECONDS:
                    whose, asked_at = await asyncio.to_thread(audience), loop.time()
                    if whose is None:
                        return
                    reader.audience = whose
        finally:
            with self._lock:
                self._readers.discard(reader)

    def _begin(self, resume: Since | None) -> tuple[Since, list[Tick]]:
        with self._database.reading() as tx:
            now = latest(tx)
            missed = [tick for _, _, tick in after(tx, resume)] if resume is not None else []
        if len(missed) >= MOST_AT_ONCE:
            missed = [EVERYTHING]
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._follow, args=(now,), name="pages", daemon=True)
                self._thread.start()
        return now, missed

    def _follow(self, place: Since) -> None:
        told: dict[tuple[str, int], None] = {}  # what of the late numbers was told already, oldest first
        with_late = Since(max(0, place.steps - LATE), max(0, place.notices - LATE))
        try:
            with self._database.reading() as tx:
                told = {(kind, id): None for kind, id, _ in after(tx, with_late)
                        if id <= (place.steps if kind == "step" else place.notices)}  # fmt: skip
        except StoreUnavailable as away:
            log.warning("open pages are not told what changes for a moment: %s", away)
        while not self._closed.wait(EVERY_SECONDS):
            with self._lock:
                readers = list(self._readers)
                if not readers:
                    self._thread = None
                    return
            try:
                with self._database.reading() as tx:
                    found = after(tx, Since(max(0, place.steps - LATE), max(0, place.notices - LATE)), MOST_AT_ONCE)
                    is_behind = len(found) >= MOST_AT_ONCE
                    here = latest(tx) if is_behind else place
            except StoreUnavailable as away:
                log.warning("open pages are not told what changes for a moment: %s", away)
                continue
            if is_behind:
                place = here
                for reader in readers:
                    self._tell(reader, [msgspec.structs.replace(EVERYTHING, number=str(place))])
                continue
            new = [(kind, id, tick) for kind, id, tick in found if (kind, id) not in told]
            for kind, id, _ in new:
                told[kind, id] = None
                place = Since(max(place.steps, id), place.notices) if kind == "step" else Since(
                    place.steps, max(place.notices, id)
                )  # fmt: skip
            while len(told) > 4 * LATE + MOST_AT_ONCE:
                del told[next(iter(told))]
            if new:
                ticks = by_person([msgspec.structs.replace(tick, number=str(place)) for _, _, tick in new])
                for reader in readers:
                    if mine := reader.audience.of(ticks):
                        self._tell(reader, mine)

    @staticmethod
    def _tell(reader: _Reader, ticks: Collection[Tick | None]) -> None:
        try:
            reader.loop.call_soon_threadsafe(reader.tell, ticks)
        except RuntimeError:
            log.debug("a stream's loop has ended")


def by_person(ticks: Sequence[Tick]) -> dict[str, list[Tick]]:
    """The ticks by whom they are about."""
    found: dict[str, list[Tick]] = {}
    for tick in ticks:
        found.setdefault(tick.person, []).append(tick)
    return found


def as_event(tick: Tick | None) -> bytes:
    """A tick as a server-sent event; a comment that keeps the line open for None."""
    if tick is None:
        return b": still here\n\n"
    number = f"id: {tick.number}\n" if tick.number else ""
    return f"{number}data: {msgspec.json.encode(tick.topics).decode()}\n\n".encode()

"""Brings messages to an insurer through its public doors: MLLP and HTTP, each answered before the next is sent.

Every hospital has one connection to each door and keeps its order on it. A message without an answer is sent again
with the same bytes, so the insurer may meet it twice but never misses it: what is not answered stands in the state
file, from which a restarted simulator goes on.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol

import httpx
import msgspec

from safeweave.asking import trusting
from safeweave.clock import seconds_running
from safeweave_simulator.messages import CONTENT_TYPES, Door, Message

Outcome = Literal["accepted", "refused", "retried"]

_START, _END = b"\x0b", b"\x1c\x0d"
_PATHS: dict[Door, str] = {"fhir": "/fhir", "ebill": "/ebills", "yibao": "/settlements"}
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 3.0
_ANSWER_WITHIN_SECONDS = 10.0
_BATCH = 50  # messages taken from the stream in one transaction of the state file
_WAITING_AT_MOST = 2_000  # unanswered messages after which no new ones are taken


class Address(msgspec.Struct, frozen=True):
    """Where somebody listens."""

    mllp: tuple[str, int]
    http: str


class Doors(msgspec.Struct, frozen=True):
    """Where the insurer listens, the bearer token of each hospital, and the gateways of those that have their `own`."""

    mllp: tuple[str, int]
    http: str
    tokens: dict[str, str]
    own: dict[str, Address] = {}

    def of(self, hospital: str) -> Address:
        """Where this hospital's systems knock."""
        return self.own.get(hospital) or Address(self.mllp, self.http)


class Delivery(msgspec.Struct, frozen=True):
    """What became of one attempt: accepted or refused by the insurer, or no answer and tried again."""

    message: Message
    outcome: Outcome
    answer: str
    seconds: float


class Tally(msgspec.Struct):
    """Counts of a run. `waiting` messages had no answer when it ended; they stand in the state file."""

    taken: int = 0
    accepted: int = 0
    refused: int = 0
    retried: int = 0
    waiting: int = 0
    exhausted: bool = False
    seconds: float = 0.0


OnEvent = Callable[[Delivery], None]


class Stop(Protocol):
    """Something that can be set to end a run early: threading.Event, asyncio.Event."""

    def is_set(self) -> bool:
        """Whether the run shall end."""


class State:
    """How far the stream was taken and what is not answered yet, in a SQLite file (or in memory)."""

    def __init__(self, path: Path | None, stream: str) -> None:
        """`stream` names the stream; ValueError if the file belongs to another one."""
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.executescript(
            "pragma journal_mode = wal; pragma synchronous = normal;"
            "create table if not exists stream (name text primary key, taken integer not null);"
            "create table if not exists waiting (number integer primary key, message blob not null);"
        )
        row = self._db.execute("select name from stream").fetchone()
        if row is None:
            self._db.execute("insert into stream values (?, 0)", (stream,))
        elif row[0] != stream:
            raise ValueError(f'{path} keeps the stream "{row[0]}", not "{stream}"; use another file or delete it')

    @property
    def taken(self) -> int:
        """How many messages were taken from the stream."""
        (taken,) = self._db.execute("select taken from stream").fetchone()
        return int(taken)

    def waiting(self) -> list[tuple[int, Message]]:
        """Messages taken but not answered, in order."""
        rows = self._db.execute("select number, message from waiting order by number")
        return [(number, msgspec.msgpack.decode(data, type=Message)) for number, data in rows]

    def take(self, numbered: list[tuple[int, Message]]) -> None:
        """Note that these messages were taken from the stream."""
        self._db.execute("begin")
        self._db.executemany(
            "insert into waiting values (?, ?)",
            [(number, msgspec.msgpack.encode(message)) for number, message in numbered],
        )
        self._db.execute("update stream set taken = ?", (numbered[-1][0],))
        self._db.execute("commit")

    def answered(self, number: int) -> None:
        """Forget a message that the insurer accepted or refused."""
        self._db.execute("delete from waiting where number = ?", (number,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class _NoAnswer(Exception):
    """The insurer did not answer; the message is sent again."""


class _MllpLine:
    """One hospital's connection to the MLLP door."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, message: Message) -> tuple[Outcome, str]:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_SECONDS):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(*self._address)
                reader, writer = self._streams
                writer.write(_START + message.body + _END)
                await writer.drain()
                frame = await reader.readuntil(_END)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError) as problem:
            await self.close()
            raise _NoAnswer(type(problem).__name__) from problem
        code, control_id, text = acknowledged(frame)
        if code in ("AA", "CA") and control_id == message.id:
            return "accepted", code
        if code in ("AE", "AR", "CE", "CR") and control_id in (message.id, ""):
            return "refused", f"{code} {text}".strip()
        await self.close()
        raise _NoAnswer(f"answered {code or 'nothing readable'} to {control_id}")

    async def close(self) -> None:
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


class _HttpLine:
    """One hospital's way to the HTTP doors, over connections shared by all."""

    def __init__(self, client: httpx.AsyncClient, url: str, token: str) -> None:
        self._client, self._url, self._token = client, url, token

    async def send(self, message: Message) -> tuple[Outcome, str]:
        headers = {"content-type": CONTENT_TYPES[message.door], "authorization": f"Bearer {self._token}"}
        try:
            answer = await self._client.post(self._url + _PATHS[message.door], content=message.body, headers=headers)
        except httpx.HTTPError as problem:
            raise _NoAnswer(type(problem).__name__) from problem
        if answer.is_success:
            return "accepted", str(answer.status_code)
        if answer.status_code in (408, 425, 429) or answer.is_server_error:
            raise _NoAnswer(f"HTTP {answer.status_code}")
        return "refused", f"HTTP {answer.status_code} {answer.text[:200]}"

    async def close(self) -> None:
        """Nothing to close: the connections belong to the run."""


def acknowledged(frame: bytes) -> tuple[str, str, str]:
    """The code, control id and text of an HL7 acknowledgement in its MLLP frame; empty where it has none."""
    for segment in frame.strip(b"\x0b\x1c\r\n").replace(b"\n", b"\r").split(b"\r"):
        if segment.startswith(b"MSA"):
            fields = [field.decode("utf-8", "replace") for field in segment.split(b"|")] + [""] * 3
            return fields[1], fields[2], fields[3]
    return "", "", ""


async def deliver(
    messages: Iterable[Message],
    doors: Doors,
    *,
    stream: str = "",
    state: Path | None = None,
    rate: float = 0.0,
    seconds: float | None = None,
    patience: float = 10.0,
    on_event: OnEvent | None = None,
    stop: Stop | None = None,
) -> Tally:
    """Send the messages; the counts of what became of them.

    `rate` is how many new messages are taken in a second (0: as fast as they are answered); after `seconds` (None: no
    end), or when `stop` is set, no new ones are taken. Then, or when the stream ends, unanswered messages are tried for
    `patience` more seconds, and what still has no answer is left in the `state` file, from which the next call with the
    same `stream` name and the same messages goes on.
    """
    return await _Run(doors, State(state, stream), on_event, stop or asyncio.Event()).all(
        iter(messages), rate=rate, seconds=seconds, patience=patience
    )


class _Run:
    def __init__(self, doors: Doors, state: State, on_event: OnEvent | None, stop: Stop) -> None:
        self.doors, self.state, self.on_event, self.stop = doors, state, on_event, stop
        self.client = httpx.AsyncClient(timeout=_ANSWER_WITHIN_SECONDS, trust_env=False, verify=trusting())
        self.tally = Tally()
        self.queues: dict[tuple[str, bool], asyncio.Queue[tuple[int, Message]]] = {}
        self.lines: list[asyncio.Task[None]] = []
        self.unanswered = 0
        self.progress = asyncio.Event()

    async def all(self, messages: Iterator[Message], *, rate: float, seconds: float | None, patience: float) -> Tally:
        begun = seconds_running()
        try:
            number = self.state.taken
            for _ in zip(range(number), messages, strict=False):
                pass
            for waiting in self.state.waiting():
                self.enqueue(*waiting)
            await self.take(messages, number, rate, None if seconds is None else begun + seconds)
            last = seconds_running() + patience
            while self.unanswered and seconds_running() < last and not self.failed():
                await self.wait_for_progress(last - seconds_running())
        finally:
            for line in self.lines:
                line.cancel()
            ended = await asyncio.gather(*self.lines, return_exceptions=True)
            await self.client.aclose()
            self.tally.waiting = self.unanswered
            self.tally.seconds = seconds_running() - begun
            self.state.close()
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome
        return self.tally

    async def take(self, messages: Iterator[Message], number: int, rate: float, until: float | None) -> None:
        """Take new messages at the rate, in batches, while there is time and not too many wait for an answer."""
        begun, taken = seconds_running(), 0
        while not self.stop.is_set() and not self.failed():
            now = seconds_running()
            if until is not None and now >= until:
                return
            due = int((now - begun) * rate) - taken if rate else _BATCH
            room = min(due, _BATCH, _WAITING_AT_MOST - self.unanswered)
            if room <= 0:
                pause = 1 / rate if rate and due <= 0 else 0.5
                await self.wait_for_progress(min(pause, until - now if until is not None else pause))
                continue
            batch = [(number + place, message) for place, message in enumerate(_first(messages, room), 1)]
            if not batch:
                self.tally.exhausted = True
                return
            number, taken = batch[-1][0], taken + len(batch)
            self.tally.taken += len(batch)
            self.state.take(batch)
            for waiting in batch:
                self.enqueue(*waiting)
            await asyncio.sleep(0)

    def enqueue(self, number: int, message: Message) -> None:
        key = (message.hospital, message.door == "mllp")
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = asyncio.Queue()
            line: _MllpLine | _HttpLine
            if message.door == "mllp":
                line = _MllpLine(self.doors.of(message.hospital).mllp)
            else:
                token = self.doors.tokens.get(message.hospital, "")
                line = _HttpLine(self.client, self.doors.of(message.hospital).http, token)
            self.lines.append(asyncio.create_task(self.work(line, queue)))
        self.unanswered += 1
        queue.put_nowait((number, message))

    async def work(self, line: _MllpLine | _HttpLine, queue: asyncio.Queue[tuple[int, Message]]) -> None:
        """Send what stands in the queue, one after another, each until it is answered."""
        try:
            while True:
                number, message = await queue.get()
                await self.until_answered(line, message)
                self.state.answered(number)
                self.unanswered -= 1
                self.progress.set()
        finally:
            self.progress.set()
            await line.close()

    async def until_answered(self, line: _MllpLine | _HttpLine, message: Message) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            begun = seconds_running()
            try:
                outcome, answer = await line.send(message)
            except _NoAnswer as problem:
                self.tell(Delivery(message, "retried", str(problem), seconds_running() - begun))
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            self.tell(Delivery(message, outcome, answer, seconds_running() - begun))
            return

    def tell(self, delivery: Delivery) -> None:
        match delivery.outcome:
            case "accepted":
                self.tally.accepted += 1
            case "refused":
                self.tally.refused += 1
            case "retried":
                self.tally.retried += 1
        if self.on_event:
            self.on_event(delivery)

    def failed(self) -> bool:
        """Whether a line ended, which it never does by itself."""
        return any(line.done() for line in self.lines)

    async def wait_for_progress(self, seconds: float) -> None:
        self.progress.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self.progress.wait()


def _first(messages: Iterator[Message], count: int) -> Iterator[Message]:
    for _, message in zip(range(count), messages, strict=False):
        yield message

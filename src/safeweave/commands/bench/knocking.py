"""A hospital's traffic through the doors of `safeweave serve`: the most they let through, and waiting at half of that.

Every claim is three messages: admission and discharge by HL7 v2 over MLLP, and the bill by FHIR over HTTP.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from datetime import datetime, timedelta
from random import Random
from statistics import median

from safeweave.clock import now, pause, seconds_running
from safeweave.commands.bench.arriving import AUTHORISED
from safeweave.commands.bench.baselines import bare_commits, percentile, seconds_of
from safeweave.commands.bench.figure import Engine, Figure
from safeweave.commands.bench.stays import Stays
from safeweave.commands.bench.stores import HOST, Bench, Store
from safeweave.database import Database, at_of
from safeweave.errors import InvariantBroken, Unavailable
from safeweave.exchange import mllp

CONNECTIONS = 48  # of either kind, all of one generator
SEED = 7  # of the moments at which claims arrive at half load
PATIENCE_SECONDS = 60.0
COMMITS = 50


def doors(bench: Bench) -> list[Figure]:
    """Claims a second through the doors, and from bill to instruction at half of that."""
    return [figure for engine in bench.engines for figure in _doors(bench, engine)]


def _doors(bench: Bench, engine: Engine) -> list[Figure]:
    counts, processes = bench.counts, bench.feeders if engine == "postgresql" else 1
    rates: list[float] = []
    waits: list[list[float]] = []
    with bench.store(engine, "doors") as store:
        insured = 2 * counts.runs * counts.door_claims + counts.door_claims // 5
        with store.opened(insured) as (_, given), bare_commits(store) as commit:
            commits = [1e3 * seconds_of(lambda: commit(given.bill(0))) for _ in range(COMMITS)]
        numbers = iter(range(insured))

        def next_stays(count: int) -> list[int]:
            return [number for _, number in zip(range(count), numbers, strict=False)]

        with serving(store, processes), closing(Database(store.settings.store)) as database:
            traffic = _Traffic(store, given, database)
            traffic.at_once(next_stays(counts.door_claims // 5))  # opens connections and reads products
            for _ in range(counts.runs):
                rates.append(traffic.at_once(next_stays(counts.door_claims)))
            half = median(rates) / 2
            for _ in range(counts.runs):
                claims = max(1, min(counts.door_claims, int(half * counts.load_seconds)))
                waits.append(traffic.spread(next_stays(claims), half))
    return [
        Figure("door_claims_per_second", median(rates), "1/s", engine=engine),
        Figure("half_load_bill_to_instruction_p50", median(median(some) for some in waits), "ms", median(commits),
               engine=engine),
        Figure("half_load_bill_to_instruction_p99", median(percentile(some, 0.99) for some in waits), "ms",
               percentile(commits, 0.99), target=500, aim=150, engine=engine),
    ]  # fmt: skip


@contextmanager
def serving(store: Store, processes: int, pages: bool = False) -> Iterator[int]:
    """`safeweave serve` over this store, as processes of its own; the number of the first one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAFEWEAVE_")} | {
        "SAFEWEAVE_HOME": str(store.home),
        "SAFEWEAVE_DATABASE": store.database,
        "SAFEWEAVE_HOST": HOST,
        "SAFEWEAVE_HTTP_PORT": str(store.http_port),
        "SAFEWEAVE_MLLP_PORT": str(store.mllp_port),
        **({"SAFEWEAVE_PAGES": "1"} if pages else {}),
    }
    command = [sys.executable, "-m", "safeweave.main", "serve", "--processes", str(processes)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            if not child.stdout.readline():
                raise Unavailable("the node of the bench did not open its doors; what it said stands above")
            pause(1.0 * (processes > 1))  # the other processes open theirs after the first one
            yield child.pid
        finally:
            child.terminate()
            child.wait()


class _Traffic:
    """What one load generator sends, and what became of it in the store."""

    def __init__(self, store: Store, given: Stays, database: Database) -> None:
        self._store, self._given, self._database = store, given, database
        self._instructed = 0

    def at_once(self, numbers: Sequence[int]) -> float:
        """Claims a second when each connection sends its next claim as soon as the last one is acknowledged."""
        claims = [self._messages(number) for number in numbers]
        began = now()
        asyncio.run(self._send_at_once(claims))
        instructed = self._wait_for(numbers)
        return len(numbers) / (max(instructed.values()) - began).total_seconds()

    def spread(self, numbers: Sequence[int], rate: float) -> list[float]:
        """Milliseconds from the bill to its instruction, when claims arrive by chance, so many a second."""
        random, at = Random(SEED), 0.0
        moments = []
        for _ in numbers:
            at += random.expovariate(rate)
            moments.append(at)
        claims = [self._messages(number) for number in numbers]
        due = asyncio.run(self._send_spread(claims, moments))
        instructed = self._wait_for(numbers)
        return [1e3 * (instructed[n] - at).total_seconds() for n, at in zip(numbers, due, strict=True)]

    def _messages(self, number: int) -> tuple[bytes, bytes, bytes]:
        given = self._given
        return given.admission(number, False), given.discharge(number, False), _request(given.bill(number))

    async def _send_at_once(self, claims: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        waiting = iter(claims)

        async def hospital(hl7: "_Wire", http: "_Wire") -> None:
            for admission, discharge, bill in waiting:
                await hl7.hl7(admission)
                await hl7.hl7(discharge)
                await http.http(bill)

        async with self._wires() as (hl7s, https):
            await asyncio.gather(*map(hospital, hl7s, https))

    async def _send_spread(
        self, claims: Sequence[tuple[bytes, bytes, bytes]], moments: Sequence[float]
    ) -> list[datetime]:
        """When each bill was due to be sent, its stay having been told before; it is sent then, or once there is a
        connection free."""
        lead = min(len(claims), 2 * CONNECTIONS)
        due: list[datetime] = []
        async with self._wires() as (hl7s, https):
            lines, desks = _Pool(hl7s), _Pool(https)

            async def tell(number: int) -> None:
                async with lines.one() as wire:
                    await wire.hl7(claims[number][0])
                    await wire.hl7(claims[number][1])

            async def send(number: int, told: "asyncio.Task[None]") -> None:
                await told
                async with desks.one() as wire:
                    await wire.http(claims[number][2])

            stays = [asyncio.create_task(tell(number)) for number in range(lead)]
            await asyncio.gather(*stays)
            began, start = seconds_running(), now()
            bills = []
            for number, moment in enumerate(moments):
                await asyncio.sleep(max(0.0, began + moment - seconds_running()))
                due.append(start + timedelta(seconds=moment))
                bills.append(asyncio.create_task(send(number, stays[number])))
                if number + lead < len(claims):
                    stays.append(asyncio.create_task(tell(number + lead)))
            await asyncio.gather(*bills, *stays)
        return due

    @asynccontextmanager
    async def _wires(self) -> AsyncIterator[tuple[list["_Wire"], list["_Wire"]]]:
        async with AsyncExitStack() as stack:
            ports = (self._store.mllp_port, self._store.http_port)
            opened = [[await stack.enter_async_context(_wire(port)) for _ in range(CONNECTIONS)] for port in ports]
            yield opened[0], opened[1]

    def _wait_for(self, numbers: Sequence[int]) -> dict[int, datetime]:
        """When each of these stays got its payment instruction, once all have."""
        visits = {self._given.visit(number): number for number in numbers}
        deadline = seconds_running() + PATIENCE_SECONDS
        while True:
            with self._database.reading() as tx:
                ((ready,),) = tx.rows("select count(*) from payout_timing")
                if ready >= self._instructed + len(visits):
                    rows = tx.rows(
                        "select c.visit, t.instructed_at from claim_case c join payout p on p.case_id = c.id"
                        " and p.shard = c.shard join payout_timing t on t.payout = p.id and t.shard = p.shard"
                        " where c.visit in ?",
                        (list(visits),),
                    )
                    break
            if seconds_running() > deadline:
                raise InvariantBroken(f"{len(visits)} claims were sent and {ready - self._instructed} paid")
            pause(0.1)
        self._instructed += len(visits)
        return {visits[visit]: at_of(at) for visit, at in rows}


class _Wire:
    """One connection to a door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def hl7(self, message: bytes) -> None:
        """Send a message and wait until it is acknowledged."""
        self._writer.write(mllp.START + message + mllp.END)
        answer = await self._reader.readuntil(mllp.END)
        if b"|AA|" not in answer:
            raise InvariantBroken(f"the MLLP door refused a message: {answer.decode(errors='replace')}")

    async def http(self, request: bytes) -> None:
        """Send a request and wait for its answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await self._reader.readexactly(int(length.partition(b":")[2]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise InvariantBroken(f"the HTTP door refused a message: {body.decode(errors='replace')}")


@asynccontextmanager
async def _wire(port: int) -> AsyncIterator[_Wire]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield _Wire(reader, writer)
    finally:
        writer.close()


class _Pool:
    """Connections of which each serves one sender at a time."""

    def __init__(self, wires: Sequence[_Wire]) -> None:
        self._free: asyncio.LifoQueue[_Wire] = asyncio.LifoQueue()
        for wire in wires:
            self._free.put_nowait(wire)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[_Wire]:
        wire = await self._free.get()
        try:
            yield wire
        finally:
            self._free.put_nowait(wire)


def _request(body: bytes) -> bytes:
    fields = {"host": HOST, **AUTHORISED, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /fhir HTTP/1.1\r\n{head}\r\n".encode() + body

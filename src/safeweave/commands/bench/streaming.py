"""Many open pages, each told what changes: the memory and the time they cost the server."""

import asyncio
import os
from contextlib import AsyncExitStack, closing
from pathlib import Path

from safeweave.clock import now, seconds_running
from safeweave.commands.bench.browsing import Browser
from safeweave.commands.bench.figure import Engine, Figure
from safeweave.commands.bench.knocking import serving
from safeweave.commands.bench.stores import Bench, Store
from safeweave.database import Database
from safeweave.errors import InvariantBroken
from safeweave.web import accounts, live

STREAMS = 200
SETTLING_SECONDS = 20.0  # longer than every stream takes to ask once whose changes it is told of
IDLE_SECONDS = 5.0
EVERY_SECONDS = 1.0  # something changes
GROWTH_MB = 8.0  # that counts as flat: the allocator's own pages come and go


def streams(bench: Bench) -> list[Figure]:
    """Memory that open streams take and how it grows, and CPU time while nothing and while something changes."""
    return [figure for engine in bench.engines for figure in _streams(bench, engine)]


def _streams(bench: Bench, engine: Engine) -> list[Figure]:
    with bench.store(engine, "streams") as store:
        with closing(store.node()) as node, node.database.transaction() as tx:
            at = node.clock()
            tokens = [
                accounts.begin_session(tx, accounts.add_account(tx, "examiner", f"{n}", at).id, "bench", at)
                for n in range(STREAMS)
            ]
        with serving(store, 1, pages=True) as process:
            return asyncio.run(_watched(store, tokens, process, bench.counts.stream_seconds, engine))


async def _watched(store: Store, tokens: list[str], process: int, seconds: float, engine: Engine) -> list[Figure]:
    heard = 0

    async def follow(events: object) -> None:
        nonlocal heard
        async for _ in events:  # type: ignore[attr-defined]
            heard += 1

    async with AsyncExitStack() as opened:
        before = _memory(process)
        streams = [await opened.enter_async_context(Browser(store.http_port, token).stream()) for token in tokens]
        following = [asyncio.create_task(follow(events)) for events in streams]
        with closing(Database(store.settings.store)) as database:
            await _changing(database, SETTLING_SECONDS)
            start, idle = _memory(process), _cpu(process)
            await asyncio.sleep(IDLE_SECONDS)
            idle_share = (_cpu(process) - idle) / IDLE_SECONDS
            busy, heard = _cpu(process), 0
            changes = await _changing(database, seconds)
            busy_share = (_cpu(process) - busy) / seconds
            end = _memory(process)
        for task in following:
            task.cancel()
    if heard < STREAMS * (changes - 3):
        raise InvariantBroken(f"{STREAMS} streams should have heard of {changes} changes each and heard of {heard}")
    return [
        Figure("streams_memory", end / 1e6, "MB", engine=engine,
               parts={"before": before / 1e6, "opened": start / 1e6, "ended": end / 1e6}),
        Figure("streams_memory_growth", max(end - start, 0) / 1e6, "MB", target=GROWTH_MB, engine=engine),
        Figure("streams_idle_cpu", 1e3 * idle_share, "ms/s", engine=engine),
        Figure("streams_busy_cpu", 1e3 * busy_share, "ms/s", engine=engine),
    ]  # fmt: skip


async def _changing(database: Database, seconds: float) -> int:
    """Something changes every second, for so long; how often."""
    until, changes = seconds_running() + seconds, 0
    while seconds_running() < until:
        await asyncio.to_thread(_notice, database)
        changes += 1
        await asyncio.sleep(EVERY_SECONDS)
    return changes


def _notice(database: Database) -> None:
    with database.transaction() as tx:
        live.notify(tx, "desk", "", now())


def _memory(process: int) -> int:
    """Bytes that the process holds in memory of its own: without files that it maps, such as an embedded store."""
    status = Path(f"/proc/{process}/status").read_text()
    (kilobytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return 1024 * int(kilobytes)


def _cpu(process: int) -> float:
    """CPU seconds of the process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

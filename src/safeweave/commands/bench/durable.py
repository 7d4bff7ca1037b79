"""Whole stays, from the bytes of messages to the committed payment instruction, and on to the closed case."""

from contextlib import closing
from statistics import median

from safeweave.commands.bench.baselines import BareStore, added, pgbench, rows_of
from safeweave.commands.bench.feeders import Fed, feeders
from safeweave.commands.bench.figure import Engine, Figure
from safeweave.commands.bench.samples import ALL_PARTS, Sampled
from safeweave.commands.bench.stores import Bench, Store

HOTTEST = 25  # functions that are told apart in the profile


def durable(bench: Bench) -> list[Figure]:
    """Durable claims a second of each engine beside a bare COPY of their rows, and statements and CPU of a claim."""
    return [figure for engine in bench.engines for figure in _durable(bench, engine)]


def _durable(bench: Bench, engine: Engine) -> list[Figure]:
    counts, batch = bench.counts, min(bench.batch, bench.counts.claims // bench.feeders)
    ours: list[Fed] = []
    theirs: list[float] = []
    server_cpu: list[float] = []
    with bench.store(engine, "durable") as store, bench.store(engine, "durable-bare") as bare_store:
        warm = warmed(store, counts.runs * counts.claims, bench.feeders * batch)
        with feeders(store, bench.feeders) as feeding:
            feeding.feed(warm, batch)
            with closing(store.node()) as node:
                before, bare = rows_of(node.database), None
                for run in range(counts.runs):
                    first = warm.stop + run * counts.claims
                    used = _server_cpu(bench, engine)
                    fed = feeding.feed(range(first, first + counts.claims), batch)
                    server_cpu += [] if used is None else [(_server_cpu(bench, engine) or used) - used]
                    ours.append(fed)
                    if bare is None:
                        rows = added(node.database, before)
                        bare = BareStore(bare_store, rows, -(-counts.claims // batch), bench.feeders)
                        before.clear()
                    theirs.append(counts.claims / bare.seconds())
    cpu = {"client": 1e6 * median(fed.cpu_seconds / fed.claims for fed in ours)}
    if engine == "postgresql" and server_cpu:
        cpu["server"] = 1e6 * median(server_cpu) / counts.claims
    target, aim = {"sqlite": (1_500, 4_000), "postgresql": (1_000, 3_000)}[engine]
    return [
        Figure("durable_claims_per_second", median(fed.claims_per_second for fed in ours), "1/s", median(theirs),
               target=target, aim=aim, engine=engine),
        Figure("statements_per_claim_under_load", median(fed.statements / fed.claims for fed in ours), "statements",
               target=0.5, aim=0.1, engine=engine),
        Figure("cpu_per_claim", sum(cpu.values()), "us", engine=engine, parts=cpu),
    ]  # fmt: skip


def warmed(store: Store, claims: int, warming: int) -> range:
    """The numbers of stays to warm with, first of all; after them so many claims are registered too."""
    with store.opened(warming + claims):
        return range(warming)


def _server_cpu(bench: Bench, engine: Engine) -> float | None:
    return bench.postgresql.cpu_seconds() if engine == "postgresql" else None


def closed(bench: Bench) -> list[Figure]:
    """The same until the book bank has answered, cases are closed and messages delivered."""
    figures = []
    for engine in bench.engines:
        counts, batch = bench.counts, min(bench.batch, bench.counts.claims // bench.feeders)
        with bench.store(engine, "closed") as store:
            warm = warmed(store, counts.runs * counts.claims, bench.feeders * batch)
            with feeders(store, bench.feeders) as feeding:
                feeding.feed(warm, batch, to_closed=True)
                starts = range(warm.stop, warm.stop + counts.runs * counts.claims, counts.claims)
                ours = [feeding.feed(range(first, first + counts.claims), batch, to_closed=True) for first in starts]
        rate = median(fed.claims_per_second for fed in ours)
        figures.append(Figure("closed_claims_per_second", rate, "1/s", engine=engine))
    return figures


def profile(bench: Bench) -> list[Figure]:
    """Where the time of a claim goes in one feeder with nothing beside it."""
    figures = []
    for engine in bench.engines:
        claims, batch = bench.counts.claims, min(bench.batch, bench.counts.claims)
        with bench.store(engine, "profile") as store:
            warm = warmed(store, claims, batch)
            with feeders(store, 1) as feeding:
                feeding.feed(warm, batch)
                fed = feeding.feed(range(warm.stop, warm.stop + claims), batch, sampled=True)
        figures += _sampled(fed, engine)
    return figures


def _sampled(fed: Fed, engine: Engine) -> list[Figure]:
    each = 1e6 * (fed.ended - fed.began) / fed.claims
    seen = fed.sampled or Sampled({}, {})
    scale = 1e6 / fed.claims
    hottest = sorted(seen.functions.items(), key=lambda item: -item[1])[:HOTTEST]
    return [
        Figure("time_of_a_claim", each, "us", engine=engine,
               parts={part: scale * seen.parts.get(part, 0.0) for part in ALL_PARTS}),
        Figure("hottest_functions", each, "us", engine=engine,
               parts={name: scale * seconds for name, seconds in hottest}),
    ]  # fmt: skip


def simple_updates(bench: Bench) -> list[Figure]:
    """Transactions a second of pgbench's simple update on the server: what other people's systems are measured by."""
    if not bench.server:
        return []
    rate = pgbench(bench.postgresql, bench.counts.seconds)
    if rate is None:
        bench.remark("bench.no_pgbench")
        return []
    return [Figure("pgbench_simple_updates_per_second", rate, "1/s", engine="postgresql")]

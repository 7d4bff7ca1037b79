"""Claims a second in a store that holds millions of closed cases, beside those in an empty one, run by run in turn."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median

from safeweave.commands.bench.durable import warmed
from safeweave.commands.bench.feeders import Feeders, feeders
from safeweave.commands.bench.figure import Figure
from safeweave.commands.bench.filling import fill
from safeweave.commands.bench.stores import Bench
from safeweave.errors import Conflict
from safeweave.words import say


def growth(bench: Bench) -> list[Figure]:
    """Claims a second in a store of `bench.grown` cases. Raises Conflict if there is no server or no room for them."""
    if not bench.server:
        raise Conflict(say("bench.grown_needs_server", bench.language))
    counts, batch = bench.counts, min(bench.batch, bench.counts.claims // bench.feeders)
    grown_rates: list[float] = []
    empty_rates: list[float] = []
    with _store(bench, "grown", bench.grown) as (grown, first), _store(bench, "empty", 0) as (empty, _):
        for start in range(first, first + counts.runs * counts.claims, counts.claims):
            numbers = range(start, start + counts.claims)
            grown_rates.append(grown.feed(numbers, batch).claims_per_second)
            empty_rates.append(empty.feed(numbers, batch).claims_per_second)
    rates = median(grown_rates), median(empty_rates)
    return [
        Figure("grown_claims_per_second", rates[0], "1/s", rates[1], engine="postgresql"),
        Figure("growth_ratio", rates[0] / rates[1], "x", target=0.8, aim=0.95, engine="postgresql"),
    ]


@contextmanager
def _store(bench: Bench, name: str, cases: int) -> Iterator[tuple[Feeders, int]]:
    """Warm feeders of a store with that many closed cases, and the first stay for them to feed."""
    batch = min(bench.batch, bench.counts.claims // bench.feeders)
    with bench.store("postgresql", name) as store:
        if cases:
            with closing(store.node()):
                pass  # makes the tables
            fill(bench, store, cases)
        warm = warmed(store, bench.counts.runs * bench.counts.claims, bench.feeders * batch)
        with feeders(store, bench.feeders) as feeding:
            feeding.feed(warm, batch)
            yield feeding, warm.stop

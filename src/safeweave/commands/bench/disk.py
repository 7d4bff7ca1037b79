"""How much of the disk one case takes once it is closed."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing

from safeweave.commands.bench.feeders import feeders
from safeweave.commands.bench.figure import Engine, Figure
from safeweave.commands.bench.stores import Bench, Store, connected

BIGGEST = 20  # tables and indexes that are told apart


def size(bench: Bench) -> list[Figure]:
    """Bytes of a closed case with all that was said and paid, and of an insured person with a policy."""
    return [figure for engine in bench.engines for figure in _size(bench, engine)]


def _size(bench: Bench, engine: Engine) -> list[Figure]:
    claims = bench.counts.size_claims
    with bench.store(engine, "size") as store:
        with closing(store.node()):
            pass  # makes the tables
        fresh = sizes(store)
        insured = 2 * claims
        with store.opened(insured):
            registered = sizes(store)
        with feeders(store, 1) as feeding:
            feeding.feed(range(claims), min(bench.batch, claims), to_closed=True)
            warm = sizes(store)
            feeding.feed(range(claims, insured), min(bench.batch, claims), to_closed=True)
        grown = sizes(store)
    case, person = _each(warm, grown, claims), _each(fresh, registered, insured)
    return [
        Figure("bytes_per_closed_case", sum(case.values()), "bytes", target=25_000, aim=10_000, engine=engine,
               parts=_biggest(case)),
        Figure("bytes_per_insured", sum(person.values()), "bytes", engine=engine, parts=_biggest(person)),
    ]  # fmt: skip


def _each(before: Mapping[str, int], after: Mapping[str, int], count: int) -> dict[str, float]:
    return {name: (size - before.get(name, 0)) / count for name, size in after.items()}


def _biggest(each: Mapping[str, float]) -> dict[str, float]:
    inorder = sorted(each.items(), key=lambda item: -item[1])
    return dict(inorder[:BIGGEST]) | {"all_others": sum(value for _, value in inorder[BIGGEST:])}


def sizes(store: Store) -> dict[str, int]:
    """Bytes of each table and index, after everything was written to its place and swept."""
    how: Mapping[Engine, Callable[[Store], dict[str, int]]] = {"sqlite": _embedded, "postgresql": _served}
    return how[store.engine](store)


def _embedded(store: Store) -> dict[str, int]:
    with closing(sqlite3.connect(store.settings.store, isolation_level=None)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        try:
            return dict(connection.execute("select name, sum(pgsize) from dbstat group by name"))
        except sqlite3.OperationalError:  # built without dbstat
            ((pages, free, size),) = connection.execute(
                "select page_count, freelist_count, page_size"
                " from pragma_page_count, pragma_freelist_count, pragma_page_size"
            )
            return {"": (pages - free) * size}


def _served(store: Store) -> dict[str, int]:
    with connected(store.database) as connection:
        for _ in range(2):  # pages of an index that one sweep has emptied are free for others after the next
            connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")
        return dict(
            connection.execute(
                "select relname::text, case when relkind = 'r' then pg_table_size(oid) else pg_relation_size(oid) end"
                " from pg_class where relkind in ('r', 'i', 'S') and relnamespace = 'public'::regnamespace"
            ).fetchall()
        )

"""A whole embedded store brought into a fresh PostgreSQL database, compared row by row, and closed where it was."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path

from msgspec import Struct

from safeweave.database.sqlite import SQLite
from safeweave.database.tables import NotOurStore, fresh_store
from safeweave.database.transaction import Database, Row, Transaction

ROWS_AT_ONCE = 5_000


class Table(Struct, frozen=True):
    """A table and its columns; `numbered` is the one by which rows number themselves, "" if they do not."""

    name: str
    columns: tuple[str, ...]
    numbered: str

    @property
    def query(self) -> str:
        """All rows, in any order."""
        return f"select {', '.join(self.columns)} from {self.name}"

    @property
    def insert(self) -> str:
        """One row more."""
        return f"insert into {self.name} ({', '.join(self.columns)}) values ({', '.join('?' for _ in self.columns)})"


def move(source: Path, target: str, told: Callable[[str, int], None]) -> Mapping[str, int]:
    """Bring every row of the store at `source` into the database at `target`; how many there are of each table.

    It is all of them or none. Afterwards nobody opens the old store any more. If the rows are there already, because
    it was stopped just before the old store was closed, only that is done. `told` hears of each table how many rows
    were brought so far. Raises NotOurStore if others have the old store open or the database holds something else,
    StoreUnavailable if one of them cannot be reached.
    """
    with SQLite.withdrawn(source) as old, closing(Database(target)) as database, database.transaction() as new:
        tables = list(_tables())
        if not any(new.row(f"{table.query} limit 1") for table in tables):
            for table in tables:
                brought = 0
                for rows in old.parts(table.query, ROWS_AT_ONCE):
                    brought += new.run_many(table.insert, rows)
                    told(table.name, brought)
                if brought and table.numbered:
                    new.number_on(table.name, table.numbered)
                new.run(f"analyze {table.name}")
        counts = {table.name: _compared(table, old, new) for table in tables}
        if None in counts.values():
            raise NotOurStore("move.other", target_shown(target))
        return {table: count for table, count in counts.items() if count}


def target_shown(target: str) -> str:
    """The address without what a password may stand in."""
    return target.rpartition("@")[2].partition("?")[0]


def _tables() -> Iterator[Table]:
    with closing(sqlite3.connect(":memory:")) as plain:
        for statement in fresh_store():
            plain.execute(statement)
        for (name,) in plain.execute(
            "select name from sqlite_master where type = 'table' and name <> 'alembic_version' order by rowid"
        ).fetchall():
            columns = plain.execute(f"pragma table_info({name})").fetchall()
            keys = [column for _, column, kind, *_, key in columns if key and kind.lower() == "integer"]
            alone = sum(bool(column[-1]) for column in columns) == 1
            yield Table(name, tuple(column for _, column, *_ in columns), keys[0] if keys and alone else "")


def _compared(table: Table, old: Transaction, new: Transaction) -> int | None:
    """How many rows both have; None unless they have the same. They are read side by side, so that neither idles."""
    counts, sums = [0, 0], [0, 0]
    for both in zip_longest(*(tx.parts(table.query, ROWS_AT_ONCE) for tx in (old, new)), fillvalue=()):
        for side, rows in enumerate(both):
            counts[side] += len(rows)
            sums[side] += sum(map(_digest, rows))
    return counts[0] if counts[0] == counts[1] and sums[0] == sums[1] else None


def _digest(row: Sequence[object] | Row) -> int:
    return int.from_bytes(blake2b(repr(tuple(row)).encode(), digest_size=16).digest(), "big")

"""What every engine offers: transactions in which stores speak plain SQL."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safeweave.errors import Crossed

Row = tuple[Any, ...]


class Transaction:
    """One open transaction; gone with its `with` block.

    SQL has `?` for each value. A list is one value too: `id in ?` takes a list of values, `(policy, person) in ?` a
    list of tuples, so that the text of a statement never depends on how much it is asked for.
    """

    numbered_in_order = False  # rows that number themselves have their numbers in the order they were committed
    skipping_locked = ""  # behind a query: lock its rows, and leave out those another transaction has locked

    def __init__(self, alone: bool) -> None:
        self.alone = alone  # no other transaction writes meanwhile
        self.memo: dict[Any, Any] = {}  # what stores have read or written in this transaction, by id
        self.fresh: set[str] = set()  # ids of what it was the first to write: nothing about them was written before
        self.committed: list[Callable[[], None]] = []  # what may be remembered outside of it once it has committed
        self._queued: dict[str, dict[object, Sequence[object]]] = {}
        self._must_change: set[str] = set()

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows of a query."""
        raise NotImplementedError

    def row(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        """The first row of a query, or None."""
        raise NotImplementedError

    def parts(self, sql: str, size: int) -> Iterator[list[Row]]:
        """All rows of a query, so many at a time, that need not fit into memory together."""
        raise NotImplementedError

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """How many rows the statement changed."""
        raise NotImplementedError

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> int:
        """How many rows changed when the statement ran for each; nothing is sent for no rows."""
        raise NotImplementedError

    def rows_many(self, sql: str, rows: Iterable[Sequence[object]]) -> list[Row]:
        """What `insert ... values (?, ...) ... returning ...` gave back when it ran for each of these, in any order."""
        raise NotImplementedError

    def queue(
        self,
        sql: str,
        rows: Iterable[Sequence[object]],
        key: Callable[[Sequence[object]], object] = id,
        every: bool = False,
        joined: Callable[[Sequence[object], Sequence[object]], Sequence[object]] | None = None,
    ) -> None:
        """Write these rows with the same statement just before the transaction commits, in one go.

        Whoever reads such rows in this transaction has them written first (`flush`). Of rows with the same `key`
        only the last is written, or what they are `joined` to. If `every` row must change something, and one does
        not, Crossed is raised then.
        """
        if every:
            self._must_change.add(sql)
        waiting = self._queued.setdefault(sql, {})
        for row in rows:
            of = key(row)
            waiting[of] = joined(waiting[of], row) if joined is not None and of in waiting else row

    def flush(self, *statements: str) -> None:
        """Write what was queued, statement by statement in the order they were first queued; or only of these."""
        if not self._queued:
            return
        queued = {sql: self._queued.pop(sql) for sql in list(self._queued) if not statements or sql in statements}
        for sql, rows in queued.items():
            changed = self.run_many(sql, rows.values())
            if changed < len(rows) and sql in self._must_change:
                raise Crossed(f"{len(rows) - changed} rows were changed by another transaction since they were read")

    def hold(self, keys: Collection[str]) -> set[str]:
        """Those of these named locks that this transaction now holds until it ends; it waits for none."""
        raise NotImplementedError

    def wait_for(self, keys: Collection[str]) -> None:
        """Hold these named locks until the transaction ends, waiting for each."""
        raise NotImplementedError

    def numbers(self, table: str, count: int) -> int:
        """The first of `count` fresh numbers in a row for rows of this table.

        They are higher than those of every transaction that had committed when this one asked.
        """
        raise NotImplementedError

    def numbering(self, table: str) -> str:
        """SQL with one `?`, a count, for the first of so many fresh numbers: for asking it with something else.

        What it answers is for `reserve` alone, which some engines ask instead.
        """
        raise NotImplementedError

    def reserve(self, table: str, count: int, first: int) -> None:
        """Let `numbers` give these numbers, for which `numbering` answered `first`; then it need not ask."""
        raise NotImplementedError

    def number_on(self, table: str, column: str) -> None:
        """Let the rows of a table that number themselves by this column go on behind the highest there is."""
        raise NotImplementedError

    def under_way(self) -> tuple[int, int]:
        """Two marks: every writer below the first has ended; ours is the second, above all who wrote before we began.

        Of no use where rows are `numbered_in_order`.
        """
        raise NotImplementedError

    def notify(self, word: str) -> None:
        """Once this has committed, wake those in other processes who listen, with this word."""
        raise NotImplementedError


class Slot:
    """A name that at most one holder has, among all processes over one store, until it lets go or dies."""

    def still_held(self) -> bool:
        """Whether the name is ours; asked again before it is relied on, since a connection may have been lost."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of the name."""
        raise NotImplementedError


class Database:
    """The store of a node; safe to use from several threads.

    `Database(where)` is the embedded store for a path, and PostgreSQL for a `postgresql://` address.
    """

    statements: int  # SQL statements sent so far, for the bench
    shared: bool  # other processes may work on it too, and they can be woken

    def __new__(cls, where: Path | str, connecting: type[sqlite3.Connection] = sqlite3.Connection) -> "Database":
        """The engine that `where` names."""
        return super().__new__(engine_of(where) if cls is Database else cls)

    def __init__(self, where: Path | str, connecting: type[sqlite3.Connection] = sqlite3.Connection) -> None:
        """Opens the store, with its tables; a simulation gives embedded connections that fail on demand.

        Raises NotOurStore if something else lies there, StoreUnavailable if it cannot be reached or is damaged.
        """
        raise NotImplementedError

    @classmethod
    def version_at(cls, where: Path | str) -> int:
        """The version of the tables there, 0 if there are none yet. Raises as opening it does."""
        raise NotImplementedError

    @classmethod
    def migrate(cls, where: Path | str) -> int:
        """Bring the tables there up to this version, all or nothing; the version they had. Raises as opening does."""
        raise NotImplementedError

    @contextmanager
    def transaction(self, beside: bool = False) -> Iterator[Transaction]:
        """A writing transaction: committed at the end of the block, rolled back if it raises.

        It is alone: no other one writes meanwhile. With `beside`, others such may write meanwhile, if the engine can;
        whoever asks for that holds what it changes (`hold`). Raises StoreUnavailable if the store takes nothing now,
        and Crossed if another transaction came in between.
        """
        raise NotImplementedError
        yield

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A consistent view for reading only. Raises StoreUnavailable if the store cannot be reached now."""
        raise NotImplementedError
        yield

    def settle(self) -> None:
        """Come back when all that was read so far is sure to be there after a power cut."""

    def listen(self, wake: Callable[[str], None]) -> None:
        """Have `wake` called, in a thread, with each word that a transaction notified of; "*" if some were missed."""
        raise NotImplementedError

    def slot(self, name: str) -> Slot | None:
        """The slot of this name if nobody has it; None, at once, if somebody has."""
        raise NotImplementedError

    def close(self) -> None:
        """Close every connection."""
        raise NotImplementedError


def engine_of(where: Path | str) -> type[Database]:
    """The engine for this place."""
    if isinstance(where, str) and where.startswith(("postgresql://", "postgres://")):
        from safeweave.database.postgresql import PostgreSQL  # its driver is needed by nobody else

        return PostgreSQL
    from safeweave.database.sqlite import SQLite

    return SQLite

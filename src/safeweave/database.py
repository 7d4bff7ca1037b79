"""Transactions over the embedded store, and how days and instants are written in it.

SQLite in WAL mode with full fsync: one writer, many readers. Stores speak plain SQL that PostgreSQL understands too,
with `?` for parameters; only this module knows which engine answers.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from safeweave.errors import Conflict, StoreUnavailable
from safeweave.words import Language, say

Row = tuple[Any, ...]

APPLICATION_ID = int.from_bytes(b"safe")  # in the file's header: whose it is
SCHEMA_VERSION = 1  # in the file's header too; raised whenever a tables.sql changes what is there already

# Every package that remembers keeps its tables beside its store, in `tables.sql`.
PACKAGES_WITH_TABLES = ("safeweave", "safeweave.people", "safeweave.coverage", "safeweave.exchange", "safeweave.cases",
                        "safeweave.adjudication", "safeweave.payments", "safeweave.telling")  # fmt: skip


def at_text(at: datetime) -> str:
    """An aware instant as sortable UTC text, such as 2026-03-06T07:21:05.123456Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def at_of(text: str) -> datetime:
    """The aware instant that `at_text` wrote."""
    return datetime.fromisoformat(text)


def marks(values: Sequence[object]) -> str:
    """The `?, ?, ?` for `in (...)` over these values."""
    return ", ".join("?" * len(values))


class Transaction:
    """One open transaction; gone with its `with` block."""

    def __init__(self, connection: sqlite3.Connection, database: "Database") -> None:
        self._connection = connection
        self._database = database
        self.memo: dict[Any, Any] = {}  # what stores have read or written in this transaction, by id
        self.committed: list[Callable[[], None]] = []  # what may be remembered outside of it once it has committed
        self._queued: dict[str, dict[object, Sequence[object]]] = {}

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows of a query."""
        self._database.statements += 1
        return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        """The first row of a query, or None."""
        self._database.statements += 1
        found: Row | None = self._connection.execute(sql, values).fetchone()
        return found

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """How many rows the statement changed."""
        self._database.statements += 1
        return self._connection.execute(sql, values).rowcount

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> int:
        """How many rows changed when the statement ran for each; nothing is sent for no rows."""
        rows = list(rows)
        if not rows:
            return 0
        self._database.statements += 1
        return self._connection.executemany(sql, rows).rowcount

    def queue(self, sql: str, rows: Iterable[Sequence[object]], key: Callable[[Sequence[object]], object] = id) -> None:
        """Write these rows with the same statement just before the transaction commits, in one go.

        For rows nothing in this transaction reads back. Of rows with the same `key` only the last is written.
        """
        waiting = self._queued.setdefault(sql, {})
        for row in rows:
            waiting[key(row)] = row

    def flush(self) -> None:
        """Write what was queued, statement by statement in the order they were first queued."""
        queued, self._queued = self._queued, {}
        for sql, rows in queued.items():
            self.run_many(sql, rows.values())


class NotOurStore(Conflict):
    """The file is no store of this version; nothing was changed in it."""

    def __init__(self, why: str, path: Path, found: int = 0) -> None:
        self._key, self._values = f"cli.store.{why}", {"path": path, "found": found, "needed": SCHEMA_VERSION}
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """What was found and what to do, in one language."""
        return say(self._key, language, **self._values)


class Database:
    """The store of one node; safe to use from several threads, each with a connection of its own."""

    def __init__(self, path: Path | str, connecting: type[sqlite3.Connection] = sqlite3.Connection) -> None:
        """Opens the file, with its tables; a simulation gives connections that fail on demand.

        Raises NotOurStore if something else lies there, StoreUnavailable if it cannot be reached or is damaged.
        """
        self.path = str(path)
        self._connecting = connecting
        self.statements = 0  # SQL statements sent so far, for the bench
        self._local = threading.local()
        self._writing = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        if self.path == ":memory:":
            raise ValueError("use a file: every thread has a connection of its own, and memory is not shared")
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        is_new = _is_new(Path(self.path))
        with self.transaction() as tx:
            if is_new:
                tx.run(f"pragma application_id = {APPLICATION_ID}")
                tx.run(f"pragma user_version = {SCHEMA_VERSION}")
            for package in PACKAGES_WITH_TABLES:
                tables = files(package).joinpath("tables.sql")
                if tables.is_file():
                    for statement in _statements(tables.read_text(encoding="utf-8")):
                        tx.run(statement)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with _told_if_unavailable():
                connection = sqlite3.connect(
                    self.path, isolation_level=None, timeout=60, check_same_thread=False, factory=self._connecting
                )
                connection.execute("pragma journal_mode = wal")
                connection.execute("pragma synchronous = full")
                connection.execute("pragma foreign_keys = on")
                connection.execute("pragma cache_size = -32000")
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A writing transaction: committed at the end of the block, rolled back if it raises.

        Raises StoreUnavailable if the disk is full or the file cannot be reached now.
        """
        connection = self._connection()
        with self._writing, _told_if_unavailable():  # threads queue here fairly instead of spinning on SQLite's lock
            connection.execute("begin immediate")
            try:
                transaction = Transaction(connection, self)
                yield transaction
                transaction.flush()
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
        for remember in transaction.committed:
            remember()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A consistent view for reading only. Raises StoreUnavailable if the file cannot be reached now."""
        connection = self._connection()
        with _told_if_unavailable():
            connection.execute("begin")
            try:
                yield Transaction(connection, self)
            finally:
                connection.execute("rollback")

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._local = threading.local()


# What says nothing about the statement: the same one may work once there is room, or the other writer has finished.
_PASSING = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}  # fmt: skip


@contextmanager
def _told_if_unavailable() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of an extended code says where it happened
        if code in _PASSING:
            raise StoreUnavailable(f"the store cannot be used now: {error}") from error
        raise


def _is_new(path: Path) -> bool:
    """Whether nothing lies there yet; it is only looked at. Raises NotOurStore unless it is a store of this version."""
    if path.is_dir():
        raise NotOurStore("folder", path)
    if not path.exists() or not path.stat().st_size:
        return True
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as looking:
            application, version, tables = looking.execute(
                "select application_id, user_version, (select count(*) from sqlite_master)"
                " from pragma_application_id, pragma_user_version"
            ).fetchone()
    except sqlite3.OperationalError:
        return False  # locked, or not ours to read: opening it says so
    except sqlite3.DatabaseError as error:
        raise NotOurStore("damaged" if error.sqlite_errorcode == sqlite3.SQLITE_CORRUPT else "no_database", path) from (
            error
        )
    if application != APPLICATION_ID and (application or tables):
        raise NotOurStore("foreign", path)
    if application == APPLICATION_ID and version != SCHEMA_VERSION:
        raise NotOurStore("older" if version < SCHEMA_VERSION else "newer", path, version)
    return bool(application != APPLICATION_ID)


def _statements(script: str) -> list[str]:
    statements, pending = [], ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    return [statement for statement in statements if statement]

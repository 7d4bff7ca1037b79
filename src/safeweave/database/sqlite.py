"""The embedded engine: SQLite in WAL mode, one writer at a time, many readers.

Every transaction is on the disk before it returns, and so is all it has read. It is synced there behind the commit and
not within it, so that the next one writes meanwhile.
"""

import os
import re
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO

import msgspec

from safeweave.database import locks
from safeweave.database.locks import Locks
from safeweave.database.tables import SCHEMA_VERSION, NotOurStore, fresh_store
from safeweave.database.transaction import Database, Row, Slot, Transaction
from safeweave.database.waits import waiting
from safeweave.errors import Crossed, StoreUnavailable

try:
    import fcntl
except ImportError:  # not a POSIX system: processes then wait for SQLite's own lock
    fcntl = None  # type: ignore[assignment]

_MOVED = 2**31 - 1  # in place of the version: what was here lies elsewhere, and an earlier program refuses it too
APPLICATION_ID = int.from_bytes(b"safe")  # in the file's header: whose it is; its version stands there too

_WRITES = ("insert", "update", "delete")

_json = msgspec.json.Encoder().encode
_LIST = re.compile(r"(?:(?<!\w)\(([^()]+,[^()]+)\)\s+)?\b(not\s+)?in\s+\?", re.IGNORECASE)
_ONE_ROW = re.compile(r"\bvalues\s*\(\s*\?(?:\s*,\s*\?)*\s*\)", re.IGNORECASE)


@lru_cache(maxsize=1000)
def _with_lists(sql: str) -> str:
    """The statement with each list as the rows of a JSON array, so that one value holds it however long it is."""

    def rows(found: re.Match[str]) -> str:
        columns, negated = found[1], found[2] or ""
        if columns is None:
            return f"{negated}in (select value from json_each(?))"
        parts = ", ".join(f"json_extract(value, '$[{i}]')" for i in range(columns.count(",") + 1))
        return f"({columns}) {negated}in (select {parts} from json_each(?))"

    return _LIST.sub(rows, sql)


_ROWS_AT_ONCE = (50, 10, 1)  # a few sizes, so that SQLite's cache keeps the statements; JSON would cost five times it


@lru_cache(maxsize=1000)
def _of_rows(sql: str, count: int) -> str:
    """The `insert ... values (?, ...)` for so many rows."""
    one = _ONE_ROW.search(sql)
    assert one is not None, sql
    row = one[0][one[0].index("(") :]
    return f"{sql[: one.end()]}{f', {row}' * (count - 1)}{sql[one.end() :]}"


def _bound(values: Sequence[object]) -> Sequence[object]:
    return [_listed(value) if isinstance(value, list | tuple) else value for value in values]


def _listed(values: Sequence[object]) -> str:
    text = _json(values).decode()
    if "\\u0000" in text:  # JSON functions of SQLite end a text there; nothing that is stored has one
        text = _json([value for value in values if b"\\u0000" not in _json(value)]).decode()
    return text


class SQLiteTransaction(Transaction):
    """A transaction over one connection.

    Beside others it reads what has been committed last, and has its turn to write only from its first write on.
    """

    numbered_in_order = True

    def __init__(
        self, connection: sqlite3.Connection, database: "SQLite", held: Locks | None, begin: Callable[[], None] | None
    ) -> None:
        super().__init__(alone=held is None or begin is None)
        self._connection = connection
        self._database = database
        self._held = held
        self._begin = begin
        self._reserved: dict[str, tuple[int, int]] = {}

    def _write(self) -> None:
        if self._begin is not None:
            begin, self._begin = self._begin, None
            begin()

    @property
    def writes(self) -> bool:
        """Whether it has begun to write."""
        return self._begin is None

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        return self._asked(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        found: Row | None = self._asked(sql, values).fetchone()
        return found

    def parts(self, sql: str, size: int) -> Iterator[list[Row]]:
        cursor = self._asked(sql, ())
        while rows := cursor.fetchmany(size):
            yield rows

    def _asked(self, sql: str, values: Sequence[object]) -> sqlite3.Cursor:
        self._database.statements += 1
        if self._begin is not None and sql.startswith(_WRITES):
            self._write()
        return self._connection.execute(_with_lists(sql), _bound(values))

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        self._database.statements += 1
        self._write()
        return self._connection.execute(_with_lists(sql), _bound(values)).rowcount

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> int:
        rows = list(rows)
        if not rows:
            return 0
        self._database.statements += 1
        self._write()
        return self._connection.executemany(sql, rows).rowcount

    def rows_many(self, sql: str, rows: Iterable[Sequence[object]]) -> list[Row]:
        rows, found, start = list(rows), list[Row](), 0
        if rows:
            self._database.statements += 1
            self._write()
        for count in _ROWS_AT_ONCE:
            some = _of_rows(sql, count)
            while len(rows) - start >= count:
                values = [value for row in rows[start : start + count] for value in row]
                found += self._connection.execute(some, values)
                start += count
        return found

    def hold(self, keys: Collection[str]) -> set[str]:
        return set(keys) if self.alone or self._held is None else self._held.hold(keys)

    def wait_for(self, keys: Collection[str]) -> None:
        if not self.alone and self._held is not None:
            with waiting():
                self._held.wait_for(keys)

    def numbers(self, table: str, count: int) -> int:
        first, end = self._reserved.get(table, (0, 0))
        if end - first < count:
            first = self._drawn(table, count)
            end = first + count
        self._reserved[table] = (first + count, end)
        return first

    def _drawn(self, table: str, count: int) -> int:
        if self._held is not None:
            return self._held.draw(table, count, lambda: self._database.highest(self, table))
        ((highest,),) = self.rows(f"select coalesce(max(id), 0) from {table}")
        return max(int(highest) + 1, self._reserved.get(table, (0, 0))[1])

    def numbering(self, table: str) -> str:
        return "?"  # nothing is saved by asking with something else

    def reserve(self, table: str, count: int, first: int) -> None:
        if count > 0:
            drawn = self._drawn(table, count)
            self._reserved[table] = (drawn, drawn + count)

    def under_way(self) -> tuple[int, int]:
        return 0, 0

    def number_on(self, table: str, column: str) -> None:
        """They do so by themselves."""

    def notify(self, word: str) -> None:
        pass


class SQLite(Database):
    """A store in one file, each thread with a connection of its own."""

    shared = False

    def __init__(self, where: Path | str, connecting: type[sqlite3.Connection] = sqlite3.Connection) -> None:
        self.path = str(where).removeprefix("sqlite://")
        self._connecting = connecting
        self.statements = 0
        self._local = threading.local()
        self._writing = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        self._all_locks: list[Locks] = []
        self._counted: set[str] = set()
        self._queue: IO[bytes] | None = None
        self._logs: list[int] = []
        self._failed = self._mended = 0  # syncs that failed, and how many of them no longer matter
        self._mending = threading.Lock()
        self._naming = threading.Lock()
        self._taken: dict[str, _FileSlot] = {}
        if self.path == ":memory:":
            raise ValueError("use a file: every thread has a connection of its own, and memory is not shared")
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        version = self.version_at(self.path)
        if not version:
            self._make_tables()
        elif version < SCHEMA_VERSION:
            self._bring_up()
        else:
            with self.reading() as tx:
                tx.row("select count(*) from sqlite_master")

    @classmethod
    def version_at(cls, where: Path | str) -> int:
        path = Path(str(where).removeprefix("sqlite://"))
        found = _header(path)
        if found is None:
            return 0
        application, version, tables = found
        if application != APPLICATION_ID:
            if application or tables:
                raise NotOurStore("foreign", path)
            return 0
        if version == _MOVED:
            raise NotOurStore("moved", path)
        if not 0 < version <= SCHEMA_VERSION:
            raise NotOurStore("newer" if version > SCHEMA_VERSION else "older", path, version)
        return version

    @classmethod
    def migrate(cls, where: Path | str) -> int:
        version = cls.version_at(where)
        cls(where).close()
        return version

    @classmethod
    @contextmanager
    def withdrawn(cls, where: Path) -> Iterator[Transaction]:
        """The whole store to read for the last time; nobody else has it open now, nor opens it meanwhile.

        At the end of the block it is closed for good: whoever opens it is told that it has moved. If the block raises,
        it stays what it was. Raises NotOurStore if others have it open, and as opening does.
        """
        store = cls(where)
        store.close()
        with _told_if_unavailable(), closing(sqlite3.connect(where, isolation_level=None, timeout=1)) as connection:
            try:
                connection.execute("pragma journal_mode = delete")  # who has it open shares the log, which cannot go
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                raise NotOurStore("in_use", where) from error
            connection.execute("begin exclusive")
            yield SQLiteTransaction(connection, store, None, None)
            connection.execute(f"pragma user_version = {_MOVED}")
            connection.execute("commit")

    def _make_tables(self) -> None:
        with self.transaction() as tx:
            if self._version(tx) == 0:
                tx.run(f"pragma application_id = {APPLICATION_ID}")
                tx.run(f"pragma user_version = {SCHEMA_VERSION}")
                for statement in fresh_store():
                    tx.run(statement)

    def _bring_up(self) -> None:
        from safeweave.database import migrating

        with self._turn(), _told_if_unavailable():
            version = self.version_at(self.path)  # another process may have done it before our turn came
            if version < SCHEMA_VERSION:
                with migrating.connected("sqlite", self._opened, "begin immediate") as connection:
                    migrating.up(connection, version)
                    connection.exec_driver_sql(f"pragma user_version = {SCHEMA_VERSION}")
                self._to_the_platter()

    @staticmethod
    def _version(tx: Transaction) -> int:
        ((version,),) = tx.rows("pragma user_version")
        return int(version)

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=60, check_same_thread=False, factory=self._connecting
        )
        connection.execute("pragma page_size = 8192")  # of a new file: a bill with its lines fits on one page
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma wal_autocheckpoint = 4000")  # pages: those changed again and again are moved once
        connection.execute("pragma synchronous = normal")  # at checkpoints; for the rest see `_to_the_platter`
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma cache_size = -32000")
        connection.execute("pragma mmap_size = 1000000000")
        return connection

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with _told_if_unavailable():
                connection = self._opened()
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait to write, in the order of asking: threads for one another, processes for a lock beside the file.

        SQLite's own lock would be polled for, with sleeps, and whoever asks most often would get it.
        """
        with self._writing:
            if fcntl is None:
                yield
                return
            if self._queue is None:
                try:
                    self._queue = open(f"{self.path}-turn", "ab")  # noqa: SIM115 - open as long as the store
                except OSError as error:
                    raise StoreUnavailable(f"the store cannot be used now: {error}") from error
            fcntl.flock(self._queue, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._queue, fcntl.LOCK_UN)

    @contextmanager
    def _among(self, alone: bool) -> Iterator[Locks | None]:
        """The locks of a transaction, which may hold keys until it ends; None where there are none to be had."""
        if not locks.AVAILABLE:
            yield None
            return
        held: Locks | None = getattr(self._local, "locks", None)
        if held is None:
            held = self._local.locks = Locks(f"{self.path}-keys")
            self._all_locks.append(held)
        try:
            with waiting():
                held.enter(alone)
            yield held
        finally:
            held.leave()

    def _deciding(self) -> sqlite3.Connection:
        """The connection of this thread, whose in-between rows, of which whoever decides has few, stay in memory.

        For a file of its own that is hardly ever written SQLite needs as long as for the rest of a statement.
        """
        connection = self._connection()
        if not getattr(self._local, "decides", False):
            connection.execute("pragma temp_store = memory")
            self._local.decides = True
        return connection

    @contextmanager
    def transaction(self, beside: bool = False) -> Iterator[Transaction]:
        connection = self._deciding()

        def begin() -> None:
            with waiting():
                turn.enter_context(self._turn())
                connection.execute("begin immediate")

        with self._among(alone=not beside) as held, ExitStack() as turn, _told_if_unavailable(beside):
            beside = beside and held is not None
            if not beside:
                begin()
            try:
                transaction = SQLiteTransaction(connection, self, held, begin if beside else None)
                yield transaction
                transaction.flush()
                if transaction.writes:
                    connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
        self._to_the_platter()
        for remember in transaction.committed:
            remember()

    def _to_the_platter(self) -> None:
        """Sync what has been committed so far, by us and by those whose rows we have read.

        The system tells of what it could not write once, and forgets it: after that, a sync that succeeds says nothing
        of what is in the log, until all of it has been brought into the file and the log begins anew.
        """
        try:
            if self._failed > self._mended:
                self._begin_log_anew()
            else:
                _sync(self._log())
        except FileNotFoundError:
            pass  # whoever closed the store last has brought all of it into the file, and synced that
        except OSError as error:
            with self._naming:
                self._failed += 1
            raise StoreUnavailable(f"the store cannot be used now: {error}") from error

    def _log(self) -> int:
        """The log as this thread has opened it: each who has opened it is told once of what could not be written."""
        log: int | None = getattr(self._local, "log", None)
        if log is None:
            with self._naming:
                log = self._local.log = _opened_log(f"{self.path}-wal", named=bool(self._logs))
                self._logs.append(log)
        return log

    def _begin_log_anew(self) -> None:
        with self._mending:
            failed = self._failed
            if failed > self._mended:
                with _told_if_unavailable(), closing(self._opened()) as connection:
                    connection.execute(f"pragma busy_timeout = {_READERS_LEAVE_SECONDS * 1000:.0f}")
                    connection.execute("pragma synchronous = full")
                    ((busy, *_),) = connection.execute("pragma wal_checkpoint(truncate)").fetchall()
                    if busy:
                        raise StoreUnavailable("the log could not be synced, and others use it now")
                    _sync(self._log())
                self._mended = failed

    def settle(self) -> None:
        self._to_the_platter()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        connection = self._connection()
        with _told_if_unavailable():
            connection.execute("begin")
            try:
                yield SQLiteTransaction(connection, self, None, None)
            finally:
                connection.execute("rollback")

    def highest(self, tx: Transaction, table: str) -> int:
        """The highest number in this table, asked for once: those drawn since then are known."""
        if table in self._counted:
            return 0
        ((found,),) = tx.rows(f"select coalesce(max(id), 0) from {table}")
        tx.committed.append(lambda: self._counted.add(table))
        return int(found)

    def listen(self, wake: Callable[[str], None]) -> None:
        """Nobody in another process notifies."""

    def slot(self, name: str) -> Slot | None:
        with self._naming:
            if name in self._taken:
                return None
            slot = _FileSlot(self, name)
            if not slot.still_held():
                return None
            self._taken[name] = slot
            return slot

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        for held in self._all_locks:
            held.close()
        self._all_locks.clear()
        self._local = threading.local()
        for slot in list(self._taken.values()):
            slot.release()
        if self._queue is not None:
            self._queue.close()
            self._queue = None
        for log in self._logs:
            os.close(log)
        self._logs.clear()


_sync = getattr(os, "fdatasync", os.fsync)
_READERS_LEAVE_SECONDS = 5.0  # so long they are waited for before the log begins anew


def _opened_log(path: str, named: bool) -> int:
    """The write-ahead log, which has its name for good; `named` if that was seen to."""
    log = os.open(path, os.O_RDWR)
    if os.name == "posix" and not named:
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return log


class _FileSlot(Slot):
    """A name held by a locked file beside the store; the lock goes with its process."""

    def __init__(self, store: SQLite, name: str) -> None:
        self._store, self._name = store, name
        self._file: IO[bytes] | None = None
        self._held = fcntl is None
        if fcntl is not None:
            self._file = open(f"{store.path}-slot-{name}", "ab")  # noqa: SIM115 - open as long as it is held
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._held = True
            except OSError:
                self._file.close()

    def still_held(self) -> bool:
        return self._held

    def release(self) -> None:
        if self._held:
            self._held = False
            self._store._taken.pop(self._name, None)
            if self._file is not None:
                self._file.close()


# What says nothing about the statement: the same one may work once there is room, or the other writer has finished.
_PASSING = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}  # fmt: skip


_TWICE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}


@contextmanager
def _told_if_unavailable(beside: bool = False) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if beside and code in _TWICE:
            raise Crossed(f"another transaction crossed this one: {error}") from error
        if code & 0xFF in _PASSING:  # the rest of an extended code says where it happened
            raise StoreUnavailable(f"the store cannot be used now: {error}") from error
        raise


def _header(path: Path) -> tuple[int, int, int] | None:
    """Whose the file is, its version and how many tables it has, only looked at; None if nothing lies there yet.

    Raises NotOurStore if it is no file of SQLite, StoreUnavailable if it cannot be read now.
    """
    if path.is_dir():
        raise NotOurStore("folder", path)
    if not path.exists() or not path.stat().st_size:
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as looking:
            found: tuple[int, int, int] = looking.execute(
                "select application_id, user_version, (select count(*) from sqlite_master)"
                " from pragma_application_id, pragma_user_version"
            ).fetchone()
            return found
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"the store cannot be used now: {error}") from error
    except sqlite3.DatabaseError as error:
        raise NotOurStore("damaged" if error.sqlite_errorcode == sqlite3.SQLITE_CORRUPT else "no_database", path) from (
            error
        )

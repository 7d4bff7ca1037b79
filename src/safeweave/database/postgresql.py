"""The engine for several processes and hosts: PostgreSQL 15 or later, through psycopg."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
from psycopg import RawCursor, RawServerCursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper

from safeweave.database.bulk import Bulk, bulk_of, copied
from safeweave.database.dialect import among, table_translated, text_array, translated
from safeweave.database.tables import SCHEMA_VERSION, NotOurStore, fresh_store
from safeweave.database.transaction import Database, Row, Slot, Transaction
from safeweave.database.waits import waiting
from safeweave.errors import Crossed, InvariantBroken, StoreUnavailable

log = logging.getLogger("safeweave.database")

Connection = psycopg.Connection[Row]

MOST_CONNECTIONS = 32  # of one process, but for those of slots and of listening
COPIED_FROM = 100  # rows; fewer are sent as arrays, which takes one round trip less
CHANNEL = "safeweave"
_OURS = int.from_bytes(b"safe")  # of all advisory locks in pairs; the second half says what is locked
_WRITING, _NUMBERING = 1, 2

_SESSION = {
    "statement_timeout": "60s",  # also how long a transaction waits for its turn
    "idle_in_transaction_session_timeout": "120s",  # a host that hangs lets go of what it holds
    "tcp_keepalives_idle": "10",  # and so does one that is gone
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "enable_seqscan": "off",  # a plan made while a table was small must do when it has grown
    "jit": "off",
    "timezone": "UTC",  # how instants are written for `_Instant`
    "datestyle": "ISO",
}
_DRIVER = {
    "application_name": "safeweave",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_BEGIN_ALONE = f"begin; select pg_advisory_xact_lock({_OURS}, {_WRITING})"
_BEGIN_BESIDE = f"begin; select pg_advisory_xact_lock_shared({_OURS}, {_WRITING})"
_BEGIN_READING = (
    "begin isolation level repeatable read read only;"
    " set local enable_seqscan = on; set local statement_timeout = '600s';"
    " set local idle_in_transaction_session_timeout = '1h'"  # what is read may be long computed with
)

FUNCTIONS = f"""
create or replace function json_extract(document text, path text) returns text
language sql immutable parallel safe as
$$ select document::json #>> string_to_array(substr(path, 3), '.') $$;

create or replace function take_numbers(of_table text, how_many bigint) returns bigint
language plpgsql as
$$
declare
    numbers regclass := pg_get_serial_sequence(of_table, 'id');
    first bigint;
begin
    if how_many <= 0 then
        return null;
    end if;
    perform pg_advisory_lock({_OURS}, {_NUMBERING});
    first := nextval(numbers);
    if how_many > 1 then
        perform setval(numbers, first + how_many - 1);
    end if;
    perform pg_advisory_unlock({_OURS}, {_NUMBERING});
    return first;
end
$$
"""

# Rows that are changed in place stay in their page; a table that is emptied all the time is swept by count, not share.
STORAGE = """
alter table task set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0);
alter table claim_case set (fillfactor = 75);
alter table clock set (fillfactor = 85);
alter table payout set (fillfactor = 80);
alter table message set (fillfactor = 95)
"""


class PostgreSQLTransaction(Transaction):
    """A transaction over one connection."""

    skipping_locked = " for update skip locked"

    def __init__(self, connection: Connection, database: "PostgreSQL", alone: bool, reading: bool = False) -> None:
        super().__init__(alone)
        self._connection = connection
        self._database = database
        self._prepare = False if reading else None  # a plan for reports is made with their values
        self._held: set[str] = set()
        self._reserved: dict[str, tuple[int, int]] = {}
        self.words: dict[str, None] = {}

    def _execute(self, sql: str, values: Sequence[object]) -> psycopg.Cursor[Row]:
        self._database.statements += 1
        query = translated(sql)
        text, given = query.pieces[0], values
        if True in query.lists:
            given = []
            rest = zip(query.heads, query.pieces[1:], strict=True)
            for value, is_list, (number, width) in zip(values, query.lists, query.values, strict=True):
                if not is_list:
                    given.append(value)
                elif width == 1:
                    assert isinstance(value, list | tuple)
                    given.append(text_array(value))
                else:
                    assert isinstance(value, list | tuple)
                    head, piece = next(rest)
                    text += among(head, value, number) + piece
                    given += [text_array(column) for column in zip(*value, strict=True)] or [None] * width
        cursor = self._connection.cursor()
        cursor.execute(text, given, prepare=self._prepare)
        return cursor

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        return self._execute(sql, values).fetchall()

    def parts(self, sql: str, size: int) -> Iterator[list[Row]]:
        self._database.statements += 1
        with RawServerCursor(self._connection, "parts") as cursor:
            cursor.execute("".join(translated(sql).pieces))
            while rows := cursor.fetchmany(size):
                yield rows

    def row(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        return self._execute(sql, values).fetchone()

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        return self._execute(sql, values).rowcount

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> int:
        rows = list(rows)
        if len(rows) <= 1:
            return self.run(sql, rows[0]) if rows else 0
        bulk = self._bulk(sql)
        if bulk is None:
            self._database.statements += 1
            cursor = self._connection.cursor()
            cursor.executemany("".join(translated(sql).pieces), rows)
            return cursor.rowcount
        if bulk.copied and len(rows) >= COPIED_FROM:
            return self._copy(bulk, rows)
        return sum(cursor.rowcount for cursor in self._over_arrays(bulk, rows))

    def rows_many(self, sql: str, rows: Iterable[Sequence[object]]) -> list[Row]:
        rows = list(rows)
        bulk = self._bulk(sql) if len(rows) > 1 else None
        if bulk is None:
            return [found for row in rows for found in self.rows(sql, row)]
        return [found for cursor in self._over_arrays(bulk, rows) for found in cursor.fetchall()]

    def _bulk(self, sql: str) -> Bulk | None:
        bulk = bulk_of(sql)
        if bulk is None or not set(bulk.columns) <= self._database.types_of(self._connection, bulk.table).keys():
            return None
        return bulk

    def _over_arrays(self, bulk: Bulk, rows: Sequence[Sequence[object]]) -> Iterator[psycopg.Cursor[Row]]:
        sql = bulk.over(self._database.types_of(self._connection, bulk.table))
        for some in bulk.rounds(rows):
            self._database.statements += 1
            cursor = self._connection.cursor()
            columns = [text_array(column) for column in zip(*some, strict=True)]
            yield cursor.execute(sql, columns, prepare=self._prepare)

    def _copy(self, bulk: Bulk, rows: Sequence[Sequence[object]]) -> int:
        self._database.statements += 1
        cursor = self._connection.cursor()
        text = f"copy {bulk.table} ({', '.join(bulk.columns)}) from stdin"
        with cursor.copy(text) as copy:
            copy.write(copied(rows))
        return cursor.rowcount

    def hold(self, keys: Collection[str]) -> set[str]:
        wanted = {lock_of(key): key for key in keys if key not in self._held}
        if self.alone:
            return set(keys)
        if wanted:
            self._held.update(
                wanted[lock]
                for (lock,) in self.rows(
                    "select l from unnest(?::bigint[]) as w (l) where pg_try_advisory_xact_lock(l)",
                    (text_array(list(wanted)),),
                )
            )
        return self._held.intersection(keys)

    def wait_for(self, keys: Collection[str]) -> None:
        wanted = {lock_of(key): key for key in keys if key not in self._held}
        if self.alone or not wanted:
            return
        with waiting():
            self.rows(
                "select pg_advisory_xact_lock(l) from unnest(?::bigint[]) as w (l)", (text_array(sorted(wanted)),)
            )
        self._held.update(wanted.values())

    def numbers(self, table: str, count: int) -> int:
        first, end = self._reserved.get(table, (0, 0))
        if end - first < count:
            ((first,),) = self.rows("select take_numbers(?, ?)", (table, count))
            end = first + count
        self._reserved[table] = (first + count, end)
        return first

    def numbering(self, table: str) -> str:
        return f"take_numbers('{table}', ?)"

    def reserve(self, table: str, count: int, first: int) -> None:
        if count > 0:
            self._reserved[table] = (first, first + count)

    def under_way(self) -> tuple[int, int]:
        ((lowest, own),) = self.rows(
            "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_current_xact_id()::text::bigint"
        )
        return int(lowest), int(own)

    def number_on(self, table: str, column: str) -> None:
        self.row(f"select setval(pg_get_serial_sequence(?, ?), (select max({column}) from {table}))", (table, column))

    def notify(self, word: str) -> None:
        self.words[word] = None


def lock_of(key: str) -> int:
    """The 64-bit number of a named lock."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)


class PostgreSQL(Database):
    """A database shared by any number of processes."""

    shared = True

    def __init__(self, where: Path | str, connecting: type[sqlite3.Connection] = sqlite3.Connection) -> None:
        self._reach(where)
        self._set_up()

    def _reach(self, where: Path | str) -> None:
        try:
            given = conninfo_to_dict(str(where))
        except psycopg.Error:  # its words may hold the password
            raise NotOurStore("no_address", "SAFEWEAVE_DATABASE") from None
        options = " ".join([*(f"-c {name}={value}" for name, value in _SESSION.items()), str(given.get("options", ""))])
        self._given: dict[str, Any] = {**_DRIVER, **given, "options": options}
        self.name = f"postgresql://{given.get('host', '')}:{given.get('port', 5432)}/{given.get('dbname', '')}"
        self.statements = 0
        self._types: dict[str, dict[str, str]] = {}
        self._idle: list[Connection] = []
        self._guard = threading.Lock()
        self._free = threading.Semaphore(MOST_CONNECTIONS)
        self._slots = _Slots(self)
        self._closed = threading.Event()
        self._listening: threading.Thread | None = None

    # ------------------------------------------------------------ connections

    def connect(self) -> Connection:
        """A new connection of one's own, for the caller to close. Raises StoreUnavailable."""
        with _told():
            connection: Connection = psycopg.connect(
                **self._given, autocommit=True, cursor_factory=RawCursor, prepare_threshold=2
            )
        connection.prepared_max = 500
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.adapters.register_dumper(bool, _TruthDumper)
        connection.adapters.register_loader("numeric", _WholeNumber)
        connection.adapters.register_loader("timestamptz", _Instant)
        return connection

    @contextmanager
    def _lent(self, begin: str) -> Iterator[Connection]:
        """A connection in a transaction begun like this, rolled back unless it was committed."""
        if not self._free.acquire(timeout=60):
            raise StoreUnavailable(f"all {MOST_CONNECTIONS} connections to the store are busy")
        try:
            connection = self._begun(begin)
            try:
                yield connection
            finally:
                self._take_back(connection)
        finally:
            self._free.release()

    def _begun(self, begin: str) -> Connection:
        while True:
            with self._guard:
                connection = self._idle.pop() if self._idle else None
            is_new = connection is None
            connection = connection or self.connect()
            try:
                with _told():
                    connection.execute(begin, prepare=False)
                return connection
            except BaseException as error:
                self._take_back(connection)
                if is_new or not isinstance(error, StoreUnavailable) or not connection.closed:
                    raise  # else it had broken while nobody used it, and so perhaps have the others

    def _take_back(self, connection: Connection) -> None:
        with suppress(psycopg.Error):
            if connection.pgconn.transaction_status != TransactionStatus.IDLE:
                connection.execute("rollback; select pg_advisory_unlock_all()", prepare=False)
        if connection.closed or connection.pgconn.transaction_status != TransactionStatus.IDLE or self._closed.is_set():
            connection.close()
            return
        with self._guard:
            self._idle.append(connection)

    # ------------------------------------------------------------ transactions

    @contextmanager
    def transaction(self, beside: bool = False) -> Iterator[Transaction]:
        with ExitStack() as lent:
            with waiting():
                connection = lent.enter_context(self._lent(_BEGIN_BESIDE if beside else _BEGIN_ALONE))
            transaction = PostgreSQLTransaction(connection, self, not beside)
            with _told(connection, beside):
                yield transaction
                transaction.flush()
                if connection.pgconn.transaction_status == TransactionStatus.INERROR:
                    raise InvariantBroken("a statement failed in a transaction that went on as if it had not")
                connection.execute("commit", prepare=False)
            if transaction.words:
                # Behind the commit: told within it, every commit would wait for the one before to reach the disk.
                with suppress(psycopg.Error):
                    connection.execute(
                        f"select pg_notify('{CHANNEL}', w) from unnest($1::text[]) as w",
                        (text_array(list(transaction.words)),),
                    )
        for remember in transaction.committed:
            remember()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._lent(_BEGIN_READING) as connection, _told(connection):
            yield PostgreSQLTransaction(connection, self, alone=False, reading=True)

    def types_of(self, connection: Connection, table: str) -> dict[str, str]:
        """The type of each column of a table, asked for once."""
        known = self._types.get(table)
        if known is None:
            known = self._types[table] = dict(
                connection.execute(
                    "select attname, format_type(atttypid, null) from pg_attribute"
                    " where attrelid = to_regclass($1) and attnum > 0 and not attisdropped",
                    (table,),
                ).fetchall()
            )
        return known

    # ------------------------------------------------------------ between processes

    def listen(self, wake: Callable[[str], None]) -> None:
        self._listening = threading.Thread(target=self._listen, args=(wake,), name="listening", daemon=True)
        self._listening.start()

    def _listen(self, wake: Callable[[str], None]) -> None:
        while not self._closed.is_set():
            try:
                with self.connect() as connection:
                    connection.execute(f"listen {CHANNEL}")
                    wake("*")
                    while not self._closed.is_set():
                        for told in connection.notifies(timeout=1):
                            wake(told.payload)
            except (StoreUnavailable, psycopg.Error) as error:
                log.warning("not listening for other processes now: %s", _said(error))
                self._closed.wait(1)

    def slot(self, name: str) -> Slot | None:
        return self._slots.take(name)

    def close(self) -> None:
        self._closed.set()
        self._slots.close()
        if self._listening is not None:
            self._listening.join(timeout=5)
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # ------------------------------------------------------------ tables

    @classmethod
    def version_at(cls, where: Path | str) -> int:
        store = object.__new__(cls)
        store._reach(where)
        try:
            return store._version()
        finally:
            store.close()

    @classmethod
    def migrate(cls, where: Path | str) -> int:
        from safeweave.database import migrating

        store = object.__new__(cls)
        store._reach(where)
        try:
            version = store._version()
            if not version:
                store._set_up()
            elif version < SCHEMA_VERSION:
                begin = f"set local statement_timeout = 0; select pg_advisory_xact_lock({_OURS}, {_WRITING})"
                with (
                    _told(),
                    migrating.connected("postgresql+psycopg", lambda: psycopg.connect(**store._given), begin) as bind,
                ):
                    migrating.up(bind, version)
            return version
        finally:
            store.close()

    def _set_up(self) -> None:
        """Make the tables if there are none. Raises NotOurStore unless they are of this version."""
        version = self._version()
        if not version:
            with self.transaction() as tx:
                if not self._version_in(tx):  # nobody else was quicker
                    self._make_tables(tx)
        elif version < SCHEMA_VERSION:
            raise NotOurStore("unmigrated", self.name, version)

    def _version(self) -> int:
        """The version of the tables, 0 if there are none. Raises NotOurStore if it is later than ours, or not ours."""
        with self.reading() as tx:
            return self._version_in(tx)

    def _version_in(self, tx: Transaction) -> int:
        ((versions, cases),) = tx.rows("select to_regclass('alembic_version'), to_regclass('claim_case')")
        if versions is None:
            if cases is not None:
                raise NotOurStore("foreign", self.name)
            return 0
        ((found,),) = tx.rows("select version_num from alembic_version")
        if not found.isdigit():
            raise NotOurStore("foreign", self.name)
        if int(found) > SCHEMA_VERSION:
            raise NotOurStore("newer", self.name, int(found))
        return int(found)

    def _make_tables(self, tx: Transaction) -> None:
        ((lz4,),) = tx.rows(
            "select coalesce((select 'lz4' = any(enumvals) from pg_settings where name = 'default_toast_compression'),"
            " false)"
        )
        for statement in fresh_store():
            tx.run(table_translated(statement, bool(lz4)))
        for script in (FUNCTIONS, STORAGE):
            tx.run(script)


@contextmanager
def _told(connection: Connection | None = None, beside: bool = False) -> Iterator[None]:
    """Errors of the server as ours: what may work again, what was crossed; never with what the rows hold."""
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state in _CROSSED or (beside and state == _TWICE):
            raise Crossed(f"another transaction crossed this one: {_said(error)}") from None
        if (not state and isinstance(error, _DRIVERS)) or state.startswith(_PASSING):
            if connection is not None and state in _ELSEWHERE:
                connection.close()
            raise StoreUnavailable(f"the store cannot be used now: {_said(error)}") from None
        if isinstance(error, psycopg.IntegrityError):
            raise type(error)(_said(error)) from None  # its details would quote the row
        raise


_DRIVERS = (psycopg.OperationalError, psycopg.InterfaceError)
_TWICE = "23505"  # unique_violation
_CROSSED = {"40001", "40P01", "55P03", "53200"}  # serialization, deadlock, lock not available, no room for more locks
_ELSEWHERE = {"25006"}  # read-only: the server is a replica now, and the next connection may find its successor
# Connections, resources, shutdown and cancelling, input and output, damaged pages, transactions timed out, log-in,
# and a role that may not do this yet.
_PASSING = ("08", "53", "57", "58", "XX001", "XX002", "25006", "25P03", "28", "42501")


def _said(error: Exception) -> str:
    diagnosed = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (diagnosed or str(error)).strip().replace("\n", "; ")


class _TruthDumper(Int8BinaryDumper):
    """True and False as the 1 and 0 they are in columns."""

    def dump(self, obj: int) -> psycopg.adapt.Buffer | None:
        return super().dump(int(obj))


class _WholeNumber(psycopg.adapt.Loader):
    """Sums of whole numbers, which the server gives as decimals, as the whole numbers they are."""

    def load(self, data: psycopg.adapt.Buffer) -> int:
        return int(bytes(data))


class _Instant(psycopg.adapt.Loader):
    """Instants as `at_text` writes them."""

    def load(self, data: psycopg.adapt.Buffer) -> str:
        day, _, time = bytes(data).decode().removesuffix("+00").partition(" ")
        whole, _, part = time.partition(".")
        return f"{day}T{whole}.{part:0<6}Z"


class _Slots:
    """The names this process holds, on one connection: they are lost with it, and with the process."""

    def __init__(self, database: PostgreSQL) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._connection: Connection | None = None
        self._held: dict[str, _LockSlot] = {}

    def take(self, name: str) -> Slot | None:
        with self._guard, _told():
            self._renew()
            if name in self._held or not self._ask("select pg_try_advisory_lock($1)", (lock_of(f"slot {name}"),)):
                return None
            slot = self._held[name] = _LockSlot(self, name)
            return slot

    def still_held(self, slot: "_LockSlot") -> bool:
        with self._guard:
            if self._held.get(slot.name) is not slot:
                return False
            with suppress(psycopg.Error):
                return bool(self._ask("select true"))
            self._forget()
            return False

    def release(self, slot: "_LockSlot") -> None:
        with self._guard:
            if self._held.get(slot.name) is slot:
                del self._held[slot.name]
                with suppress(psycopg.Error):
                    self._ask("select pg_advisory_unlock($1)", (lock_of(f"slot {slot.name}"),))

    def close(self) -> None:
        with self._guard:
            self._forget()

    def _renew(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._ask("select true")
                return
            self._forget()
        self._connection = self._database.connect()

    def _forget(self) -> None:
        self._held.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, sql: str, values: Sequence[object] = ()) -> object:
        assert self._connection is not None
        row = self._connection.execute(sql, values).fetchone()
        return row and row[0]


class _LockSlot(Slot):
    def __init__(self, slots: _Slots, name: str) -> None:
        self._slots, self.name = slots, name

    def still_held(self) -> bool:
        return self._slots.still_held(self)

    def release(self) -> None:
        self._slots.release(self)

"""What bare engines and a bare loop take for the same: the physical limits that figures stand beside."""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from importlib.resources import files
from pathlib import Path
from time import process_time
from urllib.parse import unquote, urlsplit, urlunsplit

from safeweave.clock import seconds_running
from safeweave.commands.bench.stores import Server, Store, connected
from safeweave.database import PACKAGES_WITH_TABLES, Database, Row
from safeweave.database.bulk import copied
from safeweave.errors import InvariantBroken

CENT = Decimal("0.01")
_TABLE = re.compile(r"create table (?:if not exists )?(\w+)")
PGBENCH_SCALE = 10
PGBENCH_SESSIONS = 8

Rows = Mapping[str, Sequence[Row]]  # by table


def seconds_of(work: Callable[[], object], times: int = 1) -> float:
    """Seconds that one of `times` calls took on average."""
    began = seconds_running()
    for _ in range(times):
        work()
    return (seconds_running() - began) / times


def cpu_seconds_of(work: Callable[[], object], times: int) -> float:
    """CPU seconds that one of `times` calls took on average."""
    began = process_time()
    for _ in range(times):
        work()
    return (process_time() - began) / times


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


# ---------------------------------------------------------------- deciding


def decimal_loop(
    lines: Sequence[tuple[Decimal, Decimal]], fund: Decimal, deductible: Decimal, ratio: Decimal
) -> tuple[Decimal, list[Decimal]]:
    """What a bill of these (amount, part 医保 shares) pays, and the share of each line: plain, and nothing checked."""
    total = within = Decimal(0)
    for amount, shared in lines:
        total += amount
        within += shared
    payable = ((total - fund - deductible) * ratio).quantize(CENT, ROUND_HALF_UP)
    social, share = fund / within, payable / (total - fund)
    return payable, [((amount - shared * social) * share).quantize(CENT, ROUND_HALF_UP) for amount, shared in lines]


# ---------------------------------------------------------------- the same rows, and nothing else


def table_names() -> list[str]:
    """Every table of ours."""
    return [
        name
        for package in PACKAGES_WITH_TABLES
        for name in _TABLE.findall(files(package).joinpath("tables.sql").read_text(encoding="utf-8"))
    ]


def rows_of(database: Database) -> dict[str, set[Row]]:
    """All rows of all tables."""
    with database.reading() as tx:
        return {table: set(tx.rows(f"select * from {table}")) for table in table_names()}


def added(database: Database, before: Mapping[str, set[Row]]) -> Rows:
    """The rows that were not there before, or not so."""
    return {table: list(rows - before[table]) for table, rows in rows_of(database).items() if rows - before[table]}


class BareStore:
    """A store of the same tables and indexes that only takes rows, so many commits for all of them."""

    def __init__(self, store: Store, rows: Rows, commits: int, sessions: int) -> None:
        with closing(Database(store.settings.store)):
            pass  # makes the tables
        if store.engine == "postgresql":
            _let_stand_alone(store)
        self._store, self._sessions = store, sessions
        self._parts: list[Rows] = [
            {table: rows[table][len(rows[table]) * n // commits : len(rows[table]) * (n + 1) // commits]
             for table in rows} for n in range(commits)
        ]  # fmt: skip
        self._tables = list(rows)

    def seconds(self) -> float:
        """How long writing them all takes, with full fsync; the tables are empty before and afterwards."""
        return self._embedded() if self._store.engine == "sqlite" else self._copied()

    def _embedded(self) -> float:
        with plain_sqlite(Path(self._store.settings.store)) as bare:

            def write() -> None:
                for part in self._parts:
                    bare.execute("begin immediate")
                    for table, rows in part.items():
                        if rows:
                            bare.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)
                    bare.execute("commit")

            took = seconds_of(write)
            for table in self._tables:
                bare.execute(f"delete from {table}")
        return took

    def _copied(self) -> float:
        texts = [{table: copied(rows).encode() for table, rows in part.items()} for part in self._parts]

        def write(session: int) -> None:
            with connected(self._store.database) as connection:
                for part in texts[session :: self._sessions]:
                    with connection.transaction(), connection.cursor() as cursor:
                        for table, text in part.items():
                            with cursor.copy(f"copy {table} from stdin") as copy:
                                copy.write(text)

        with ThreadPoolExecutor(self._sessions) as threads:
            took = seconds_of(lambda: list(threads.map(write, range(self._sessions))))
        with connected(self._store.database) as connection:
            connection.execute(f"truncate {', '.join(self._tables)} cascade")
        return took


def _let_stand_alone(store: Store) -> None:
    """Take off the references between tables: the persons of these rows are not in it."""
    with connected(store.database) as connection:
        for table, name in connection.execute(
            "select conrelid::regclass::text, quote_ident(conname) from pg_constraint where contype = 'f'"
        ).fetchall():
            connection.execute(f"alter table {table} drop constraint {name}")


@contextmanager
def plain_sqlite(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection as our own store has it: WAL, full fsync; but for references between tables."""
    with closing(sqlite3.connect(file, isolation_level=None)) as bare:
        bare.execute("pragma journal_mode = wal")
        bare.execute("pragma synchronous = full")
        yield bare


# ---------------------------------------------------------------- bare commits


@contextmanager
def bare_commits(store: Store) -> Iterator[Callable[[bytes], None]]:
    """What keeps some bytes as one row of one table, committed with full fsync."""
    create = "create table kept (id integer primary key, body blob not null)"
    if store.engine == "sqlite":
        with plain_sqlite(store.home / "bare.db") as bare:
            bare.execute(create)
            yield lambda body: (bare.execute("insert into kept (body) values (?)", (body,)), None)[1]
        return
    with connected(store.database) as connection:
        connection.execute("create table kept (id bigint generated always as identity primary key, body bytea)")
        yield lambda body: (connection.execute("insert into kept (body) values (%s)", (body,)), None)[1]


def pgbench(server: Server, seconds: float) -> float | None:
    """Transactions a second of pgbench's simple update on this server; None if there is no pgbench here."""
    program = shutil.which("pgbench") or _beside_the_server(server)
    if program is None:
        return None
    with server.database() as address:
        parts = urlsplit(address)
        environment = os.environ | ({"PGPASSWORD": unquote(parts.password)} if parts.password else {})
        netloc = f"{parts.username}@{parts.netloc.rpartition('@')[2]}" if parts.password else parts.netloc
        run = partial(_said_by, environment, program)
        run("--initialize", "--quiet", f"--scale={PGBENCH_SCALE}", urlunsplit(parts._replace(netloc=netloc)))
        told = run("--skip-some-updates", "--no-vacuum", f"--time={max(1, round(seconds))}", "--jobs=1",
                   f"--client={PGBENCH_SESSIONS}", urlunsplit(parts._replace(netloc=netloc)))  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", told)
    if found is None:
        raise InvariantBroken(f"pgbench did not say how many transactions it made: {told[-500:]}")
    return float(found[1])


def _beside_the_server(server: Server) -> str | None:
    import psycopg

    try:
        rows = server.run("select setting from pg_config where name = 'BINDIR'")
    except psycopg.errors.InsufficientPrivilege:
        return None
    program = Path(rows[0][0]) / "pgbench"
    return str(program) if program.is_file() else None


def _said_by(environment: Mapping[str, str], program: str, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise InvariantBroken(f"pgbench ended with code {done.returncode}: {done.stderr[-500:]}")
    return done.stdout

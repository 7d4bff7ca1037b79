"""The two engines a test's store can be on, and the one PostgreSQL server that a run of the tests shares.

What opens a store asks for the fixture `store` (or `pytestmark = pytest.mark.usefixtures("store")`), so that it runs on
both engines, and opens `Database(place(path))`. `SAFEWEAVE_TEST_STORE=sqlite` or `=postgresql` runs one of them only.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
import pytest

from safeweave.database import Database, Transaction
from safeweave.database.dialect import table_translated
from safeweave_simulator.postgresql import programs

ENGINES = ("sqlite", "postgresql")
asked_for = os.environ.get("SAFEWEAVE_TEST_STORE", "")
if asked_for and asked_for not in ENGINES:
    raise ValueError(f"SAFEWEAVE_TEST_STORE is {asked_for!r}, not one of {ENGINES}")

_MEMORY = Path("/dev/shm")  # where Linux keeps files in memory: a database is made there in a tenth of the time
_MEMORY_NEEDED = 8 << 30
_folder = Path(tempfile.gettempdir())  # shared by all workers of a run, see `share`
_here: dict[Path, str] = {}  # where the stores of the present test are on PostgreSQL, if that is its engine
_on_postgresql = False
_clean: list[str] = []  # databases made by earlier tests of this process, emptied
_made = 0


def in_memory() -> str | None:
    """A folder of files in memory, if all that a run writes has room there."""
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_NEEDED
    return str(_MEMORY) if has_room else None


def engines() -> Sequence[str]:
    """The engines this run is for."""
    return [asked_for] if asked_for else ENGINES


def place(path: Path) -> Path | str:
    """Where a fresh store is for this path: there, or in a database of its own for this test."""
    if not _on_postgresql:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_fresh(), path)
        return path
    return _here.setdefault(path, _clean.pop() if _clean else _new("fresh"))


@cache
def _fresh() -> Path:
    """An embedded store of this process with nothing but its tables: to copy one takes a tenth of making them."""
    found = _folder / f"fresh-{os.getpid()}.db"
    Database(found).close()
    assert not found.with_name(f"{found.name}-wal").exists()
    return found


def keep(name: str, make: Callable[[Path | str], None], like: str | None = None) -> str:
    """Keep a store for `copied`, made once in a run by the first who asks, from an empty place or another kept one."""
    with (_folder / f"{name}.kept").open("a+") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        note.seek(0)
        engine = "postgresql" if _on_postgresql else "sqlite"
        if engine not in note.read().split():
            make(_copy(like, name))
            note.write(f"{engine}\n")
    return name


def copied(name: str, path: Path) -> Path | str:
    """Where a copy of this kept store is, at this path or in a database of its own for this test."""
    if not _on_postgresql:
        return shutil.copyfile(_folder / f"{name}.db", path)
    return _here.setdefault(path, _new(name))


def on_postgresql() -> bool:
    """Whether the present test's stores are on PostgreSQL."""
    return _on_postgresql


def looks_up(tx: Transaction, table: str, sql: str, values: Sequence[object]) -> bool:
    """Whether a query goes through an index of this table, and does not read it whole."""
    if tx.skipping_locked:
        plan = "\n".join(row[0] for row in tx.rows(f"explain {sql}", values))
        return f" on {table}" in plan and f"Seq Scan on {table}" not in plan
    return any(f"SEARCH {table}" in row[3] for row in tx.rows(f"explain query plan {sql}", values))


def create(tx: Transaction, sql: str) -> None:
    """Make a table of a test's own, as a tables.sql would."""
    tx.run(table_translated(sql, compressed=False) if tx.skipping_locked else sql)


def tables(tx: Transaction) -> list[str]:
    """The names of all tables."""
    if tx.skipping_locked:
        return [name for (name,) in tx.rows("select tablename from pg_tables where schemaname = current_schema()")]
    return [name for (name,) in tx.rows("select name from sqlite_master where type = 'table'")]


def share(folder: Path) -> None:
    """Use the server of this folder, which all processes of the run have in common."""
    global _folder
    _folder = folder


@contextmanager
def on(engine: str) -> Iterator[None]:
    """Let stores be on this engine meanwhile; they are gone afterwards."""
    global _on_postgresql
    _on_postgresql = engine == "postgresql"
    try:
        if _on_postgresql:
            try:
                _postgresql_is_here()
            except Exception as missing:
                pytest.fail(str(missing), pytrace=False)
        yield
    finally:
        _on_postgresql = False
        used = list(_here.values())
        _here.clear()
        os.environ.pop("SAFEWEAVE_DATABASE", None)
        for address in used:
            _clear(address)


@cache
def _postgresql_is_here() -> None:
    programs()


def server() -> str:
    """The address of the run's server with %s for the database; the first who asks starts it."""
    with (_folder / "postgresql").open("a+") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        note.seek(0)
        address = note.read().strip()
        if not address:
            folder = Path(tempfile.mkdtemp(prefix="safeweave-tests-", dir=in_memory()))
            folder.chmod(0o755)
            run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
            command = [sys.executable, "-m", "safeweave_simulator.postgresql", str(folder)]
            started = subprocess.Popen(
                [*command, "--without-fsync", "--while", str(run)], stdout=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip
            assert started.stdout is not None
            address = started.stdout.readline().strip().replace("/postgres?", "/%s?")
            assert address, "PostgreSQL did not start; see above"
            _run(address % "postgres", "create database fresh template template0")
            Database(address % "fresh").close()
            note.write(address)
    return address


def _copy(like: str | None, name: str) -> Path | str:
    if _on_postgresql:
        _run(server() % "postgres", f"drop database if exists {name}")
        return _database(name, like or "template0")
    path = _folder / f"{name}.db"
    path.unlink(missing_ok=True)
    return shutil.copyfile(_folder / f"{like}.db", path) if like else path


def _new(template: str) -> str:
    global _made
    _made += 1
    return _database(f"test_{os.getpid()}_{_made}", template)


def _database(name: str, template: str) -> str:
    address = server()
    with _copying():
        _run(address % "postgres", f"create database {name} template {template}")
    return address % name


@contextmanager
def _copying() -> Iterator[None]:
    """One at a time: nobody else may be connected to what is copied."""
    with (_folder / "postgresql.copying").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        yield


_EMPTIED = """
do $$
declare
    named text;
begin
    for named in select oid::regclass::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
        and relname <> 'alembic_version' and pg_relation_size(oid) > 0 loop
        execute 'delete from ' || named;
    end loop;
    perform setval(oid, 1, false) from pg_class where relkind = 'S' and relnamespace = 'public'::regnamespace;
end
$$
"""
_OTHERS = (
    "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid()"
)
_TABLES = "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
_standard: list[set[str]] = []  # the tables of a fresh store, once they were looked up


def _clear(address: str) -> None:
    """Empty a database for the next test, or drop it if a test changed its tables."""
    with psycopg.connect(address, autocommit=True, options="-c session_replication_role=replica") as connection:
        connection.execute(_OTHERS)
        version = connection.execute("select to_regclass('alembic_version')").fetchone()
        name = connection.info.dbname
        whole = version is not None and version[0] is not None and _tables(connection) == _standard_tables()
        if whole:
            connection.execute(_EMPTIED)
            _clean.append(address)
    if not whole:
        _run(server() % "postgres", f"drop database {name} with (force)")


def _standard_tables() -> set[str]:
    if not _standard:
        with _copying(), psycopg.connect(server() % "fresh") as connection:
            _standard.append(_tables(connection))
    return _standard[0]


def _tables(connection: psycopg.Connection) -> set[str]:
    return {name for (name,) in connection.execute(_TABLES)}


def _run(address: str, sql: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql)

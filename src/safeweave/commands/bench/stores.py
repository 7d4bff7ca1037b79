"""The stores that are measured: fresh ones of either engine, gone when they have been measured."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from safeweave.commands.bench.figure import Counts, Engine
from safeweave.commands.bench.stays import Stays, stays_of
from safeweave.errors import Conflict, Unavailable
from safeweave.node import Node, open_node
from safeweave.ports import free_port
from safeweave.settings import Settings
from safeweave.words import Language, say

if TYPE_CHECKING:
    import psycopg

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Store:
    """One store: a file in its home, or a database of a PostgreSQL server."""

    engine: Engine
    home: Path  # a folder of its own, also for the letters and messages that leave
    database: str = ""  # the address, if it is no file
    http_port: int = 0
    mllp_port: int = 0

    @property
    def settings(self) -> Settings:
        """Of a node over this store."""
        return Settings(
            home=self.home, database=self.database, host=HOST, http_port=self.http_port, mllp_port=self.mllp_port
        )

    def node(self) -> Node:
        """A node over this store, for the caller to close."""
        return open_node(self.settings)

    @contextmanager
    def opened(self, insured: int) -> Iterator[tuple[Node, Stays]]:
        """A node with that many insured persons, who are registered."""
        with closing(self.node()) as node:
            given = stays_of(node)
            given.register(node, self.home, range(insured))
            yield node, given


@dataclass(frozen=True)
class Bench:
    """Where and how much is measured; `home` is a folder of its own on the disk of the user's data."""

    home: Path
    counts: Counts
    data: Path | None = None
    server: str = ""  # address of a PostgreSQL server that lets us make databases; "": only the embedded engine
    feeders: int = 2  # processes beside each other on one store
    batch: int = 500  # messages taken at once
    grown: int = 0  # cases in the store that is measured against an empty one
    language: Language = "en"
    tell: Callable[[str], None] = lambda text: None  # what is being done now
    remarks: list[str] = field(default_factory=list)  # what the reader is told below the figures

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Those that can be measured."""
        return ("sqlite", "postgresql") if self.server else ("sqlite",)

    @contextmanager
    def store(self, engine: Engine, name: str) -> Iterator[Store]:
        """A fresh, empty store."""
        home = self.home / f"{name}-{engine}"
        home.mkdir()
        if engine == "sqlite":
            yield Store(engine, home, "", free_port(), free_port())
            return
        with self.postgresql.database() as address:
            yield Store(engine, home, address, free_port(), free_port())

    @cached_property
    def postgresql(self) -> "Server":
        """The server. Raises Unavailable if it cannot be reached."""
        return Server(self.server, self.language)

    def remark(self, key: str, **values: object) -> None:
        """Tell the reader something below the figures."""
        self.remarks.append(say(key, self.language, **values))


class Server:
    """A PostgreSQL server on which databases are made and dropped."""

    def __init__(self, address: str, language: Language) -> None:
        self.address = address
        self.language = language
        self.run("select 1")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a new database, which is dropped in the end. Raises Conflict if we may not make one."""
        import psycopg

        name = f"safeweave_bench_{secrets.token_hex(6)}"
        try:
            self.run(f"create database {name}")
        except psycopg.errors.InsufficientPrivilege as refused:
            raise Conflict(say("bench.may_not_create", self.language)) from refused
        try:
            yield self.address_of(name)
        finally:
            self.run(f"drop database {name} with (force)")

    def address_of(self, database: str) -> str:
        """The address of another database of this server."""
        return urlunsplit(urlsplit(self.address)._replace(path=f"/{database}"))

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a statement in the database that was named."""
        with connected(self.address, self.language) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    @cached_property
    def folder(self) -> Path | None:
        """Where its data lie, if that can be seen from here."""
        shown = self.run("select current_setting('data_directory', true)")[0][0]
        folder = Path(shown) if shown else None
        try:
            return folder if folder is not None and folder.exists() else None
        except PermissionError:
            return None

    @cached_property
    def first_process(self) -> int | None:
        """The process all others of the server come from, if it runs here."""
        with connected(self.address, self.language) as connection:
            row = connection.execute("select pg_backend_pid()").fetchone()
            parent = _processes().get(row[0], (0, 0.0))[0] if row else 0
        try:
            return parent if parent and "postgres" in Path(f"/proc/{parent}/comm").read_text() else None
        except OSError:
            return None

    def cpu_seconds(self) -> float | None:
        """What all processes of the server have used so far, if they run here."""
        first = self.first_process
        if first is None:
            return None
        return sum(seconds for pid, (parent, seconds) in _processes().items() if first in (pid, parent))


def connected(address: str, language: Language = "en") -> "psycopg.Connection[tuple[Any, ...]]":
    """A plain connection, each statement its own transaction. Raises Unavailable."""
    import psycopg

    try:
        return psycopg.connect(address, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        why = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise Unavailable(say("bench.no_server", language, why=why)) from None


def _processes() -> dict[int, tuple[int, float]]:
    """For each process here: its parent, and the CPU seconds of it and its ended children."""
    ticks = os.sysconf("SC_CLK_TCK")
    found: dict[int, tuple[int, float]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        found[int(file.parent.name)] = int(fields[1]), sum(map(int, fields[11:15])) / ticks
    return found

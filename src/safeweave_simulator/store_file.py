"""The file in which the worlds of one job live, one after another, and its connections, which stay open meanwhile.

To empty its tables takes a tenth of the time that it takes to open a new file and to prepare every statement again.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from safeweave.database.sqlite import SQLite
from safeweave.database.tables import SCHEMA_VERSION
from safeweave_simulator.mishaps import Fragile, Mishaps
from safeweave_simulator.watching import connection_of

STORE = "safeweave.db"
_FRESH = "fresh.db"


class Store(SQLite):
    """A process's store. Its tables are those of this version, and no other operating-system process waits to write."""

    @classmethod
    def version_at(cls, where: Path | str) -> int:
        """The version of the tables there."""
        return SCHEMA_VERSION

    @contextmanager
    def _turn(self) -> Iterator[None]:
        yield

    def _to_the_platter(self) -> None:
        pass  # processes die here, but nobody pulls the plug


class StoreFile:
    """A store in `folder`; `begin` makes it the one that a world begins with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._idle: list[Fragile] = []
        self._fresh = b""
        self._filling: sqlite3.Connection | None = None
        self.looking: sqlite3.Connection

    def begin(self, fresh: bytes) -> None:
        """From now on every row is one of this file, which has the same tables."""
        path = self.folder / STORE
        shutil.rmtree(self.folder / f"{STORE}-keys", ignore_errors=True)  # numbers begin anew
        if self._filling is None:
            path.write_bytes(fresh)
            self._filling = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._filling.execute("pragma synchronous = off")
            self.looking = connection_of(str(path))
            return
        if fresh != self._fresh:
            if self._fresh:
                self._filling.execute("detach fresh")
            (self.folder / _FRESH).write_bytes(fresh)
            self._filling.execute("attach ? as fresh", (str(self.folder / _FRESH),))
            self._fresh = fresh
        self._fill(self._filling)

    @staticmethod
    def _fill(filling: sqlite3.Connection) -> None:
        tables = [name for (name,) in filling.execute("select name from main.sqlite_master where type = 'table'")]
        filling.execute("begin immediate")
        for table in tables:
            filling.execute(f"delete from main.{table}")
            filling.execute(f"insert into main.{table} select * from fresh.{table}")
        filling.execute("commit")

    def opened_by(self, mishaps: Mishaps) -> Store:
        """The store as a process begins with it, to which this may happen."""
        return Store(self.folder / STORE, partial(self._connection, mishaps))  # type: ignore[arg-type]  # makes one

    def _connection(self, mishaps: Mishaps, *arguments: Any, **options: Any) -> Fragile:
        if not self._idle:
            return Fragile(mishaps, self._idle.append, *arguments, **options)
        connection = self._idle.pop()
        connection.mishaps = mishaps
        return connection

    def close(self) -> None:
        """Every connection that nobody uses is closed, and the file is gone; a world may still begin."""
        for connection in self._idle:
            connection.close_for_good()
        self._idle.clear()
        if self._filling is not None:
            self._filling.close()
            self.looking.close()
            self._filling, self._fresh = None, b""
        shutil.rmtree(self.folder / f"{STORE}-keys", ignore_errors=True)
        for path in self.folder.iterdir():
            path.unlink()


@contextmanager
def stored_in(folder: Path) -> Iterator[StoreFile]:
    """A store in this folder, which is gone in the end."""
    store = StoreFile(folder)
    try:
        yield store
    finally:
        store.close()
        shutil.rmtree(folder, ignore_errors=True)

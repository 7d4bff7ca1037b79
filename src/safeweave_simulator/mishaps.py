"""Mishaps of one simulated process: killed at any statement or outside call, or writing to a full disk.

Every statement of the store and every call to the outside is a moment. A mishap is set some moments ahead; when it
comes, the process dies before or after that moment, or the disk takes no more for a while.
"""

import sqlite3
from collections.abc import Iterable
from random import Random
from typing import Any, Literal

_WRITES = ("insert", "update", "delete", "commit", "create")
Where = Literal["anywhere", "outside"]


class Killed(BaseException):
    """The process ends here: no `except Exception` may hold it back."""


class Mishaps:
    """What is to go wrong next in the process under simulation, and whether it has."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.moments = 0
        self.dead = False
        self._kill_in: dict[Where, int] = {}
        self._full_for = 0
        self._after = False
        self.seen: list[str] = []  # what has gone wrong since it was last looked at

    def kill_in(self, moments: int, where: Where) -> None:
        """Kill the process that many moments from now, before or after that moment."""
        self._kill_in[where] = moments
        self._after = self._random.random() < 0.5

    def fill_disk(self, writes: int) -> None:
        """The next writes fail."""
        self._full_for = writes

    def begin_again(self) -> None:
        """A new process: it lives, and nothing is set for it. The disk stays as full as it is."""
        self.dead = False
        self._kill_in.clear()

    def end(self) -> None:
        """From now on nothing goes wrong."""
        self._kill_in.clear()
        self._full_for = 0

    def statement(self, sql: str) -> bool:
        """Called before each statement: whether the process dies after it. Raises what goes wrong before it."""
        if self.dead:
            raise Killed
        dies_after = self._moment("anywhere")
        if self._full_for and sql.startswith(_WRITES):
            self._full_for -= 1
            self.seen.append("disk full")
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode, full.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
            raise full
        return dies_after

    def outside(self) -> None:
        """Called before and after what reaches the outside: raises Killed if the process dies there."""
        if self.dead or self._moment("anywhere") or self._moment("outside"):
            self.die()

    def die(self) -> None:
        """Raises Killed: from now on the process does nothing any more."""
        self.dead = True
        raise Killed

    def _moment(self, where: Where) -> bool:
        self.moments += 1
        left = self._kill_in.get(where)
        if left is None:
            return False
        if left > 0:
            self._kill_in[where] = left - 1
            return False
        del self._kill_in[where]
        if not self._after:
            self.die()
        return True

    def connections(self) -> type[sqlite3.Connection]:
        """Connections of the process, each statement of which is a moment."""
        mishaps = self

        class Fragile(sqlite3.Connection):
            def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
                if sql == "rollback":  # what the store does by itself when a process is gone
                    return super().execute(sql)
                dies_after = mishaps.statement(sql)
                cursor = super().execute(sql, values)
                if dies_after:
                    mishaps.die()
                return cursor

            def executemany(self, sql: str, rows: Iterable[Any]) -> sqlite3.Cursor:
                dies_after = mishaps.statement(sql)
                cursor = super().executemany(sql, rows)
                if dies_after:
                    mishaps.die()
                return cursor

        return Fragile

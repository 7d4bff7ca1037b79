"""Mishaps of a simulated process: killed at any statement or outside call, paused between two, or on a full disk.

Every statement of the store and every call to the outside is a moment. A mishap is set some moments ahead; when it
comes, the process dies before or after that moment, or waits there while other processes go on, or the disk takes no
more for a while.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random
from typing import Any, Literal

from safeweave.database import Transaction
from safeweave.ids import person_key
from safeweave_simulator.broken import Broken
from safeweave_simulator.watching import IN_OUR_BOOKS, Watch, watch

_WRITES = ("insert", "update", "delete", "commit", "create")
_BEGIN, _COMMIT, _ROLLBACK = "begin immediate", "commit", "rollback"
_TO_THE_PLATTER = "pragma synchronous = "
Where = Literal["anywhere", "outside"]
Begin = Callable[[bool], AbstractContextManager[Transaction]]


class Killed(BaseException):
    """The process ends here: no `except Exception` may hold it back."""


class Disk:
    """What all processes write to."""

    def __init__(self) -> None:
        self.full_for = 0  # so many writes fail


class Mishaps:
    """What is to go wrong next in one process under simulation, and whether it has."""

    def __init__(self, random: Random, disk: Disk, watch: Watch) -> None:
        self._random, self._disk, self.watch = random, disk, watch
        self.dead = False
        self.seen: list[str] = []  # what has gone wrong since it was last looked at
        self.refuses = 0.0  # the share of locks somebody else holds
        self.is_beside = False  # whether its transactions hold what they change, as where others may write meanwhile
        self._kill_in: dict[Where, int] = {}
        self._after = False
        self._pause_in: dict[Where, int] = {}
        self._pause: Callable[[], None] = lambda: None
        self._is_writing = False
        self._has_turn = False  # nobody else can write meanwhile, so that it must not wait for others
        self._held: set[str] | None = None  # None: alone

    # ------------------------------------------------------------ what is to come

    def kill_in(self, moments: int, where: Where) -> None:
        """Kill the process that many moments from now, before or after that moment."""
        self._kill_in[where] = moments
        self._after = self._random.random() < 0.5

    def pause_in(self, moments: int, where: Where, pause: Callable[[], None]) -> None:
        """Have the process wait there, that many moments from now."""
        self._pause_in, self._pause = {where: moments}, pause

    def stop_pausing(self) -> None:
        """What it was to wait in has ended."""
        self._pause_in.clear()

    def begin_again(self) -> None:
        """A new process: it lives, and nothing is set for it."""
        self.dead = self._is_writing = self._has_turn = False
        self.end()

    def end(self) -> None:
        """From now on nothing goes wrong in it."""
        self._kill_in.clear()
        self._pause_in.clear()

    def die(self) -> None:
        """Raises Killed: from now on the process does nothing any more."""
        self.dead = True
        raise Killed

    # ------------------------------------------------------------ moments

    def outside(self) -> None:
        """Called before and after what reaches the outside: the process may die or wait there."""
        if self._is_writing:
            raise Broken("no transaction waits for the outside", sorted(self.watch.now))
        if self.dead or self._moment("anywhere") or self._moment("outside"):
            self.die()
        if self._pause_in and not self._has_turn:
            self._wait("anywhere")
            self._wait("outside")

    def _statement(self, sql: str) -> bool:
        """Called before each statement: whether the process dies after it. Raises what goes wrong before it."""
        if self.dead:
            raise Killed
        dies_after = self._moment("anywhere")
        if self._pause_in and not self._has_turn:
            self._wait("anywhere")
        if self._disk.full_for and sql.startswith(_WRITES):
            self._disk.full_for -= 1
            self.seen.append("disk full")
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode, full.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
            raise full
        return dies_after

    def _moment(self, where: Where) -> bool:
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

    def _wait(self, where: Where) -> None:
        left = self._pause_in.get(where)
        if left is None:
            return
        if left > 0:
            self._pause_in[where] = left - 1
            return
        self._pause_in.clear()
        self._pause()
        if self.dead:  # killed while it waited
            raise Killed

    # ------------------------------------------------------------ transactions

    def around(self, begin: Begin) -> Begin:
        """Transactions begun with this, where somebody else may come before one and hold what it wants to change."""

        @contextmanager
        def transaction(beside: bool = False) -> Iterator[Transaction]:
            if self.dead:
                raise Killed
            if self._pause_in:
                self._wait("anywhere")
            self._has_turn = True
            try:
                with begin(beside) as tx:
                    self.watch.now.clear()
                    self._held = None
                    if beside and self.is_beside:
                        self._held = set()
                        tx.alone = False
                        tx.hold = self._hold  # type: ignore[method-assign]
                        tx.wait_for = self._wait_for  # type: ignore[method-assign]
                    yield tx
            finally:
                self._has_turn = False

        return transaction

    def _hold(self, keys: Collection[str]) -> set[str]:
        assert self._held is not None
        for key in sorted(set(keys) - self._held):
            if self._random.random() >= self.refuses:
                self._held.add(key)
        return self._held.intersection(keys)

    def _wait_for(self, keys: Collection[str]) -> None:
        assert self._held is not None
        self._held.update(keys)

    def _check_held(self) -> None:
        """Where others may write meanwhile, what is not held may not be changed."""
        if self._held is not None:
            loose = {which for which in self.watch.now if "_" in which and person_key(which) not in self._held}
            if loose:
                raise Broken("only what is held is changed beside others", sorted(loose))


class Fragile(sqlite3.Connection):
    """A connection of a process, each statement of which is a moment; whoever closes it gives it back."""

    def __init__(
        self, mishaps: Mishaps, give_back: Callable[["Fragile"], None], *arguments: Any, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.mishaps = mishaps
        self._give_back = give_back
        self._is_watched = False

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        """Run one statement; the process may die before or after it."""
        mishaps = self.mishaps
        if sql == _ROLLBACK:  # what the store does by itself when a process is gone
            mishaps._is_writing = False
            return super().execute(sql)
        dies_after = mishaps._statement(sql)
        if sql.startswith(_TO_THE_PLATTER):
            sql = f"{_TO_THE_PLATTER}off"  # processes die here, but nobody pulls the plug
        if sql == _BEGIN and not self._is_watched:
            watch(super(), IN_OUR_BOOKS, self._note)  # type: ignore[arg-type]  # as a plain connection
            self._is_watched = True
        elif sql == _COMMIT:
            mishaps._check_held()
        cursor = super().execute(sql, values)
        if sql == _BEGIN:
            mishaps._is_writing = True
        elif sql == _COMMIT:
            mishaps._is_writing = False
        if dies_after:
            cursor.close()  # what it has not read would keep the connection in this moment
            mishaps.die()
        return cursor

    def executemany(self, sql: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        """Run one statement for each of these; the process may die before or after them."""
        dies_after = self.mishaps._statement(sql)
        cursor = super().executemany(sql, rows)
        if dies_after:
            self.mishaps.die()
        return cursor

    def close(self) -> None:
        """The process is gone: what it had not committed is rolled back."""
        if self.in_transaction:
            super().execute(_ROLLBACK)
        self._give_back(self)

    def close_for_good(self) -> None:
        """Close the file."""
        super().close()

    def _note(self, *said: str) -> None:
        self.mishaps.watch.note(*said)

"""Which rows a store was asked to change: told by temporary triggers of each connection, not by the store's own code.

A trigger tells of a change before it is committed, and of one that is rolled back; whoever reads what was touched finds
it as it was. So a law that looks again at everything touched has looked at everything that changed.
"""

import sqlite3
from collections.abc import Callable, Iterable

# What is touched when a row of a table is written: (what is looked at again, the column that says which). ONLY_HELD:
# nothing is, no law reads the table, but whose it is must be held. No row of these is ever deleted; a look at all of
# them would tell.
ONLY_HELD = "held"
Touches = dict[str, tuple[tuple[str, str], ...]]
IN_OUR_BOOKS: Touches = {
    "claim_case": (("case", "id"),),
    "case_step": ((ONLY_HELD, "case_id"),),
    "clock": (("case", "case_id"),),
    "determination": (("decision", "case_id"), ("person", "person")),
    "usage_addition": (("person", "person"),),
    "payout": (("payout", "id"), ("decision", "case_id"), ("case", "case_id")),
    "recovery": (("decision", "case_id"), ("booking", "id")),
    "journal_entry": (("booking", "ref"),),
    "letter": ((ONLY_HELD, "case_id"),),
    "message": (("message", "id"),),
}
AT_THE_BANK: Touches = {"payment": (("payout", "key"),), "entry": (("payout", "key"),)}
WHAT = ("case", "decision", "person", "payout", "booking", "message")


class Watch:
    """What was touched, by what it is looked at as."""

    def __init__(self) -> None:
        self._touched: dict[str, set[str]] = {what: set() for what in WHAT}
        self.now: set[str] = set()  # all that was touched since the transaction began

    def note(self, *said: str) -> None:
        """What was touched: what it is looked at as, and which."""
        for what, which in zip(said[::2], said[1::2], strict=True):
            self.now.add(which)
            if what != ONLY_HELD:
                self._touched[what].add(which)

    def taken(self) -> dict[str, set[str]]:
        """What was touched since this was last asked."""
        touched, self._touched = self._touched, {what: set() for what in WHAT}
        return touched

    def again(self, what: str, which: Iterable[str]) -> None:
        """Look at these again next time."""
        self._touched[what].update(which)


def watch(connection: sqlite3.Connection, tables: Touches, note: Callable[..., None]) -> None:
    """From now on notice what this connection writes to these tables, which are there already."""
    connection.execute("pragma temp_store = memory")
    connection.create_function("touched", -1, note)
    for table, touches in tables.items():
        said = ", ".join(f"'{what}', new.{column}" for what, column in touches)
        for happening in ("insert", "update"):
            connection.execute(
                f"create temp trigger touched_{happening}_{table} after {happening} on main.{table}"
                f" begin select touched({said}); end"
            )


def connection_of(file: str) -> sqlite3.Connection:
    """A connection that only looks."""
    looking = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    looking.execute("pragma query_only = on")
    return looking

"""Who looked at whose data: a row for every view, in the store before the page is shown.

Views that come at the same time are written with one commit.
"""

from collections import deque
from collections.abc import Collection
from datetime import datetime
from threading import Condition, Lock

from safeweave.database import Database, Transaction, at_of, at_text
from safeweave.facts import Fact
from safeweave.ids import PersonId
from safeweave.web.access import Role


class View(Fact, frozen=True):
    """Somebody looked at something of a person's."""

    person: PersonId
    account: str
    role: Role
    action: str
    thing: str
    seen_at: datetime


class _Waiting:
    """Views of one page, until they are written."""

    def __init__(self, views: Collection[View]) -> None:
        self.views = views
        self.is_written = False
        self.error: BaseException | None = None


class Audit:
    """Writes views down, those of many pages at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: deque[_Waiting] = deque()
        self._changed = Condition(Lock())
        self._writing = False

    def note(self, views: Collection[View]) -> None:
        """Come back when these are in the store. Raises StoreUnavailable if it takes nothing now."""
        if not views:
            return
        mine = _Waiting(views)
        with self._changed:
            self._queue.append(mine)
            while self._writing and not mine.is_written and mine.error is None:
                self._changed.wait()
            if mine.is_written or mine.error is not None:
                if mine.error is not None:
                    raise mine.error
                return
            self._writing = True
            group, self._queue = list(self._queue), deque()
        error: BaseException | None = None
        try:
            with self._database.transaction(beside=True) as tx:
                note_views(tx, [view for each in group for view in each.views])
        except BaseException as failed:
            error = failed
        with self._changed:
            for each in group:
                each.is_written, each.error = error is None, error
            self._writing = False
            self._changed.notify_all()
        if error is not None:
            raise error


def note_views(tx: Transaction, views: Collection[View]) -> None:
    """Write these down, in order."""
    first = tx.numbers("page_view", len(views))
    tx.run_many(
        "insert into page_view (id, person, account, role, action, thing, seen_at) values (?, ?, ?, ?, ?, ?, ?)",
        [(first + n, v.person, v.account, v.role, v.action, v.thing, at_text(v.seen_at)) for n, v in enumerate(views)],
    )


def views_of(tx: Transaction, persons: Collection[PersonId], limit: int = 1000) -> list[View]:
    """Who looked at these ids of a person, the latest first."""
    return [
        View(person, account, role, action, thing, at_of(at))
        for person, account, role, action, thing, at in tx.rows(
            "select person, account, role, action, thing, seen_at from page_view where person in ?"
            " order by id desc limit ?",
            (sorted(persons), limit),
        )
    ]


def told_of(tx: Transaction, things: Collection[str]) -> set[str]:
    """Those of these things that the customer, or a guardian, has looked at."""
    return {
        thing
        for (thing,) in tx.rows(
            "select distinct thing from page_view where thing in ? and role in ?",
            (sorted(set(things)), ["guardian", "insured"]),
        )
    }

"""Statutory clocks: when a decision, a payment, a refusal notice or an advance is due.

Counting (民法典 200-203): calendar days, the first day excluded; a last day on a public holiday moves to the next
working day; the day ends at 24:00 in Shanghai. Clocks (保险法 23, 24, 25; 解释二-15): decide within 30 days of the
request with its documents, pausing once while a supplement is asked for; pay within 10 days of agreement; notify a
refusal in writing within 3 days; after 60 days pay the determinable part in advance.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal

import chinese_calendar  # type: ignore[import-untyped]

from safeweave.clock import SHANGHAI, shanghai_day
from safeweave.database import Row, Transaction, at_of, at_text
from safeweave.events import ClockDue
from safeweave.facts import Fact
from safeweave.ids import CaseId, person_key

ClockKind = Literal["decision", "payment", "refusal_notice", "advance", "papers"]

# "papers" is our own: bill and settlement should have come by then, or a person asks the hospital for them.
DAYS: dict[ClockKind, int] = {"decision": 30, "payment": 10, "refusal_notice": 3, "advance": 60, "papers": 7}
MARKS_PERCENT = (50, 80, 100)
MOST_AT_ONCE = 500  # clocks that ring at one look: the case of each is locked, and a server has room for few locks


@lru_cache(maxsize=1000)
def is_working_day(day: date) -> bool:
    """Whether offices work on that day in mainland China; Monday to Friday for years not yet announced."""
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        return day.weekday() < 5


def due_day(
    kind: ClockKind, started_on: date, paused_days: int = 0, works: Callable[[date], bool] = is_working_day
) -> date:
    """The last day of a clock that started on that day."""
    day = started_on + timedelta(days=DAYS[kind] + paused_days)
    while not works(day):
        day += timedelta(days=1)
    return day


def mark_at(started_at: datetime, due_on: date, percent: int) -> datetime:
    """The instant at which that share of a clock has run; all of it at midnight after its last day."""
    end = datetime.combine(due_on + timedelta(days=1), time(), SHANGHAI)
    return (started_at + (end - started_at) * percent / 100).astimezone(UTC)


class ClockRow(Fact):
    """A clock as it stands."""

    case: CaseId
    kind: ClockKind
    started_at: datetime
    due_on: date
    paused_at: datetime | None = None
    stopped_at: datetime | None = None


Clock = tuple[CaseId, ClockKind]


def start(tx: Transaction, clocks: Iterable[Clock], now: datetime) -> None:
    """Start these clocks when the transaction commits; one that runs already runs on."""
    _begin(tx, f"{_INSERT} do nothing", clocks, now)


def restart(tx: Transaction, clocks: Iterable[Clock], now: datetime) -> None:
    """Start these clocks when the transaction commits; one that runs already begins anew."""
    _begin(
        tx,
        f"{_INSERT} do update set started_at = excluded.started_at, due_on = excluded.due_on,"
        " next_mark_at = excluded.next_mark_at, marked = 0",
        clocks,
        now,
    )


_INSERT = (
    "insert into clock (case_id, kind, shard, started_at, due_on, next_mark_at, stopped_at)"
    " values (?, ?, ?, ?, ?, ?, ?) on conflict (case_id, kind, shard) where stopped_at is null"
)
# Not `stopped_at is null`: where few clocks run, PostgreSQL takes its indexes of running clocks for empty, reads all
# of one for every batch, and is ten times slower once many run. So it looks them up by their cases.
_STOP = (
    "update clock set stopped_at = ?, next_mark_at = null"
    " where case_id = ? and kind = ? and case when stopped_at is null then 1 else 0 end = 1"
)
_BEGUN = "clocks begun"  # in this transaction, with the statement and the row that will begin each


def _begin(tx: Transaction, sql: str, clocks: Iterable[Clock], now: datetime) -> None:
    tx.queue(_STOP, [])  # what was stopped before is written before
    rows = [(*row, None) for row in _rows(clocks, now)]
    tx.queue(sql, rows, key=lambda row: row[:2])
    tx.memo.setdefault(_BEGUN, {}).update({row[:2]: (sql, row) for row in rows})


def _rows(clocks: Iterable[Clock], now: datetime) -> list[tuple[CaseId, ClockKind, str, str, str, str]]:
    days: dict[ClockKind, tuple[str, str, str]] = {}  # what all clocks of a kind have in common that start now
    rows = []
    for case, kind in clocks:
        if kind not in days:
            due_on = due_day(kind, shanghai_day(now))
            days[kind] = at_text(now), due_on.isoformat(), at_text(mark_at(now, due_on, MARKS_PERCENT[0]))
        rows.append((case, kind, person_key(case), *days[kind]))
    return rows


def stop(tx: Transaction, clocks: Iterable[Clock], now: datetime) -> None:
    """Stop these clocks when the transaction commits, those of them that run."""
    clocks, at = list(clocks), at_text(now)
    tx.queue(_STOP, [(at, *clock) for clock in clocks], key=lambda row: row[1:])
    begun = tx.memo.get(_BEGUN, {})
    for clock in clocks:
        if clock in begun:  # it will never have run: it is written as it ends
            sql, (*row, _, _) = begun.pop(clock)
            tx.queue(sql, [(*row, None, at)], key=lambda row: row[:2])


def pause(tx: Transaction, case: CaseId, now: datetime) -> bool:
    """Pause the decision clock while a supplement is asked for; False if none runs or it was paused before."""
    return bool(
        tx.run(
            "update clock set paused_at = ? where case_id = ? and kind = 'decision' and stopped_at is null"
            " and paused_at is null and paused_days = 0",
            (at_text(now), case),
        )
    )


def resume(tx: Transaction, case: CaseId, now: datetime) -> bool:
    """The supplement has come: the decision clock runs on, its last day moved by the days it stood. False if it ran.

    A mark that was told is not told again.
    """
    row = tx.row(
        "select started_at, paused_at, marked from clock where case_id = ? and kind = 'decision' and stopped_at is null"
        " and paused_at is not null",
        (case,),
    )
    if row is None:
        return False
    started_at, paused_at, marked = at_of(row[0]), at_of(row[1]), row[2]
    days = max((shanghai_day(now) - shanghai_day(paused_at)).days, 1)
    due_on = due_day("decision", shanghai_day(started_at), days)
    tx.run(
        "update clock set paused_at = null, paused_days = ?, due_on = ?, next_mark_at = ?"
        " where case_id = ? and kind = 'decision' and stopped_at is null",
        (days, due_on.isoformat(), _next_mark(started_at, due_on, marked), case),
    )
    return True


def is_paused(tx: Transaction, case: CaseId) -> bool:
    """Whether the decision clock stands still because something was asked for."""
    return bool(
        tx.row(
            "select 1 from clock where case_id = ? and kind = 'decision' and stopped_at is null"
            " and paused_at is not null",
            (case,),
        )
    )


def ring(tx: Transaction, now: datetime) -> list[ClockDue]:
    """The marks that clocks have reached since the last look, each told once, however long nobody looked.

    A clock whose case somebody else works on rings at the next look, and so do those that are too many for this one.
    """
    if not (due := _due(tx, now)):
        return []
    held = tx.hold({person_key(case) for _, case, *_ in due})
    told, updates = [], []
    for id, case, kind, started, last_day, marked in _due(tx, now):  # again, as nobody can change them any more
        if person_key(case) not in held:
            continue
        started_at, due_on = at_of(started), date.fromisoformat(last_day)
        reached = [p for p in MARKS_PERCENT if p > marked and mark_at(started_at, due_on, p) <= now]
        told += [ClockDue(case, kind, percent) for percent in reached]
        marked = max(reached, default=marked)
        updates.append((_next_mark(started_at, due_on, marked), marked, id))
    tx.run_many("update clock set next_mark_at = ?, marked = ? where id = ?", updates)
    return told


def _due(tx: Transaction, now: datetime) -> list[Row]:
    return tx.rows(
        "select id, case_id, kind, started_at, due_on, marked from clock"
        " where next_mark_at <= ? and stopped_at is null and paused_at is null order by next_mark_at, id limit ?",
        (at_text(now), MOST_AT_ONCE),
    )


def _next_mark(started_at: datetime, due_on: date, marked: int) -> str | None:
    later = next((p for p in MARKS_PERCENT if p > marked), None)
    return None if later is None else at_text(mark_at(started_at, due_on, later))


def running(tx: Transaction, before: date | None = None) -> list[ClockRow]:
    """Clocks that have not stopped, the most urgent first; only those due on or before that day, if one is given."""
    rows = tx.rows(
        "select case_id, kind, started_at, due_on, paused_at from clock"
        " where stopped_at is null and kind <> 'papers' and due_on <= ?"
        " order by due_on, case_id",
        ((before or date.max).isoformat(),),
    )
    return [
        ClockRow(case, kind, at_of(started), date.fromisoformat(due), at_of(paused) if paused else None)
        for case, kind, started, due, paused in rows
    ]


def running_of(tx: Transaction, case: CaseId) -> list[ClockRow]:
    """The clocks of one case that have not stopped, the most urgent first."""
    rows = tx.rows(
        "select kind, started_at, due_on, paused_at from clock where case_id = ? and stopped_at is null"
        " order by due_on, kind",
        (case,),
    )
    return [
        ClockRow(case, kind, at_of(started), date.fromisoformat(due), at_of(paused) if paused else None)
        for kind, started, due, paused in rows
    ]

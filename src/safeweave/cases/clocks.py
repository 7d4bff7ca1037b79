"""Statutory clocks: when a decision, a payment, a refusal notice or an advance is due.

Counting (民法典 200-203): calendar days, the first day excluded; a last day on a public holiday moves to the next
working day; the day ends at 24:00 in Shanghai. Clocks (保险法 23, 24, 25; 解释二-15): decide within 30 days of the
request with its documents, pausing once while a supplement is asked for; pay within 10 days of agreement; notify a
refusal in writing within 3 days; after 60 days pay the determinable part in advance.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import chinese_calendar  # type: ignore[import-untyped]

from safeweave.clock import SHANGHAI, shanghai_day
from safeweave.database import Transaction, at_of, at_text, marks
from safeweave.events import ClockDue
from safeweave.facts import Fact
from safeweave.ids import CaseId

ClockKind = Literal["decision", "payment", "refusal_notice", "advance", "papers"]

# "papers" is our own: bill and settlement should have come by then, or a person asks the hospital for them.
DAYS: dict[ClockKind, int] = {"decision": 30, "payment": 10, "refusal_notice": 3, "advance": 60, "papers": 7}
MARKS_PERCENT = (50, 80, 100)


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


def start(tx: Transaction, clocks: Sequence[tuple[CaseId, ClockKind, datetime | None]], now: datetime) -> None:
    """Start clocks: (case, kind, and when it stopped if it did already)."""
    rows = []
    for case, kind, stopped_at in clocks:
        due_on = due_day(kind, shanghai_day(now))
        first_mark = None if stopped_at else at_text(mark_at(now, due_on, MARKS_PERCENT[0]))
        rows.append((case, kind, at_text(now), due_on.isoformat(), stopped_at and at_text(stopped_at), first_mark))
    tx.run_many(
        "insert into clock (case_id, kind, started_at, due_on, stopped_at, next_mark_at) values (?, ?, ?, ?, ?, ?)"
        " on conflict (case_id, kind, started_at) do nothing",
        rows,
    )


def stop(tx: Transaction, cases: Sequence[CaseId], kinds: Sequence[ClockKind], now: datetime) -> None:
    """Stop the running clocks of these kinds."""
    if cases:
        tx.run(
            f"update clock set stopped_at = ?, next_mark_at = null where stopped_at is null"
            f" and case_id in ({marks(cases)}) and kind in ({marks(kinds)})",
            (at_text(now), *cases, *kinds),
        )


def pause(tx: Transaction, case: CaseId, now: datetime) -> bool:
    """Pause the decision clock while a supplement is asked for; False if it was paused before (it may pause once)."""
    return bool(
        tx.run(
            "update clock set paused_at = ? where case_id = ? and kind = 'decision' and stopped_at is null"
            " and paused_at is null and paused_days = 0",
            (at_text(now), case),
        )
    )


def resume(tx: Transaction, case: CaseId, now: datetime) -> None:
    """The supplement has come: the decision clock runs on, its last day moved by the days it stood."""
    row = tx.row(
        "select started_at, paused_at from clock where case_id = ? and kind = 'decision' and stopped_at is null"
        " and paused_at is not null",
        (case,),
    )
    if row is None:
        return
    started_at, paused_at = at_of(row[0]), at_of(row[1])
    days = max((shanghai_day(now) - shanghai_day(paused_at)).days, 1)
    due_on = due_day("decision", shanghai_day(started_at), days)
    tx.run(
        "update clock set paused_at = null, paused_days = ?, due_on = ?, next_mark_at = ?, marked = 0"
        " where case_id = ? and kind = 'decision' and stopped_at is null",
        (days, due_on.isoformat(), at_text(mark_at(started_at, due_on, MARKS_PERCENT[0])), case),
    )


def ring(tx: Transaction, now: datetime) -> list[ClockDue]:
    """The marks that clocks have reached since the last look, each told once."""
    rows = tx.rows(
        "select case_id, kind, started_at, due_on, marked from clock"
        " where next_mark_at <= ? and stopped_at is null and paused_at is null",
        (at_text(now),),
    )
    told, updates = [], []
    for case, kind, started, due, marked in rows:
        started_at, due_on = at_of(started), date.fromisoformat(due)
        reached = max(p for p in MARKS_PERCENT if mark_at(started_at, due_on, p) <= now)
        later = next((p for p in MARKS_PERCENT if p > reached), None)
        following = at_text(mark_at(started_at, due_on, later)) if later else None
        updates.append((following, reached, case, kind, started))
        if reached > marked:
            told.append(ClockDue(case, kind, reached))
    tx.run_many(
        "update clock set next_mark_at = ?, marked = ? where case_id = ? and kind = ? and started_at = ?", updates
    )
    return told


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

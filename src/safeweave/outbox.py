"""The log of events and the work still to be done about them, written in the same transaction as what caused them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from safeweave import events
from safeweave.database import Transaction, at_of, at_text, marks
from safeweave.events import Event, HospitalEvent, MessageNoted, PersonsMerged

KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind not in (Event, HospitalEvent)
}
_encode = msgspec.json.Encoder().encode
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in KINDS.items()}
_SUBJECT_FIELDS = ("case", "payout", "message")


class Task(msgspec.Struct, frozen=True):
    """One event somebody still has to act on."""

    id: int
    event_id: int
    event: Event
    handler: str
    tries: int


def subject_of(event: Event) -> str:
    """Whose story an event belongs to: the visit for what hospitals say, else the case, payout or message."""
    if isinstance(event, MessageNoted | PersonsMerged) and not event.visit:
        return event.sender  # not a paper that waits for its visit
    if isinstance(event, HospitalEvent):
        return visit_subject(event.sender, event.visit)
    return next((getattr(event, field) for field in _SUBJECT_FIELDS if hasattr(event, field)), "")


def visit_subject(sender: str, visit: str) -> str:
    """The subject under which everything told of one visit stands."""
    return f"{sender}/{visit}"


def number(tx: Transaction, told: Sequence[Event]) -> list[tuple[int, Event]]:
    """These events with the log numbers they will have; nothing else may write to the log before this commits."""
    if _LAST not in tx.memo:
        last = tx.row(f"select {LAST_EVENT}")
        go_on_from(tx, last[0] if last else 0)
    first = tx.memo[_LAST] + 1
    tx.memo[_LAST] += len(told)
    return list(enumerate(told, start=first))


LAST_EVENT = "(select coalesce(max(id), 0) from event)"  # for a store that asks for it together with something else
_LAST = "last event"


def go_on_from(tx: Transaction, last_event: int) -> None:
    """Number events from here on, where `LAST_EVENT` was asked in this transaction already."""
    tx.memo.setdefault(_LAST, last_event)


_INSERT = "insert into event (id, kind, subject, told_at, payload) values (?, ?, ?, ?, ?)"


def append(tx: Transaction, told: Sequence[Event], now: datetime, read_back: bool = False) -> list[tuple[int, Event]]:
    """The log numbers of these events, with them; `read_back` if this transaction will read them again."""
    if not told:
        return []
    numbered = number(tx, told)
    at = at_text(now)
    rows = [(n, type(event).__name__, subject_of(event), at, _encode(event).decode()) for n, event in numbered]
    tx.queue(_INSERT, rows, _number_of)
    if read_back:
        _queued(tx).add(rows, [Logged(n, event, now) for n, event in numbered])
    return numbered


def _number_of(row: Sequence[object]) -> object:
    return row[0]


def event_from(kind: str, payload: str) -> Event:
    """The event a row holds."""
    event: Event = _decoders[kind].decode(payload)
    return event


class Logged(msgspec.Struct, frozen=True):
    """An event as it stands in the log."""

    number: int
    event: Event
    told_at: datetime


class _Queued:
    """Events of this transaction that it reads back before they are written."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[int, str, str, str, str]] = {}
        self.by_subject: dict[str, dict[int, Logged]] = {}

    def add(self, rows: Iterable[tuple[int, str, str, str, str]], logged: Iterable[Logged]) -> None:
        for row, entry in zip(rows, logged, strict=True):
            self.rows[row[0]] = row
            self.by_subject.setdefault(row[2], {})[row[0]] = entry

    def move(self, number: int, subject: str) -> tuple[int, str, str, str, str]:
        """The row as it is to be written instead."""
        n, kind, before, at, payload = self.rows[number]
        entry = self.by_subject[before].pop(number)
        row = (n, kind, subject, at, payload)
        self.add([row], [entry])
        return row


def _queued(tx: Transaction) -> _Queued:
    queued: _Queued = tx.memo.setdefault("queued events", _Queued())
    return queued


def of_subjects(tx: Transaction, subjects: Sequence[str]) -> dict[str, list[Logged]]:
    """Everything told of each subject, in order of arrival."""
    found: dict[str, list[Logged]] = {subject: [] for subject in subjects}
    wanted = list(found)
    for start in range(0, len(wanted), 5000):
        part = wanted[start : start + 5000]
        for number, kind, subject, payload, told_at in tx.rows(
            f"select id, kind, subject, payload, told_at from event where subject in ({marks(part)}) order by id", part
        ):
            found[subject].append(Logged(number, event_from(kind, payload), at_of(told_at)))
    queued = _queued(tx).by_subject
    for subject in wanted:
        if queued.get(subject):
            found[subject] = sorted([*found[subject], *queued[subject].values()], key=lambda logged: logged.number)
    return found


def move(tx: Transaction, numbers: Sequence[int], subject: str) -> None:
    """Put events that named no visit under the visit they turned out to belong to."""
    queued = _queued(tx)
    here = [number for number in numbers if number in queued.rows]
    tx.queue(_INSERT, [queued.move(number, subject) for number in here], _number_of)
    written = [(subject, number) for number in numbers if number not in queued.rows]
    tx.run_many("update event set subject = ? where id = ?", written)


def add_tasks(tx: Transaction, tasks: Iterable[tuple[str, int, str, datetime]]) -> None:
    """Work to do: (lane, event number, handler, due at)."""
    tx.queue(
        "insert into task (lane, event, handler, due_at) values (?, ?, ?, ?)",
        [(lane, event, handler, at_text(due_at)) for lane, event, handler, due_at in tasks],
    )


def due(tx: Transaction, lane: str, now: datetime, limit: int) -> list[Task]:
    """The next tasks of a lane whose time has come, oldest first."""
    rows = tx.rows(
        "select t.id, e.id, e.kind, e.payload, t.handler, t.tries from task t join event e on e.id = t.event"
        " where t.lane = ? and t.due_at <= ? and t.parked is null order by t.due_at, t.id limit ?",
        (lane, at_text(now), limit),
    )
    return [
        Task(i, number, event_from(kind, payload), handler, tries) for i, number, kind, payload, handler, tries in rows
    ]


def done(tx: Transaction, tasks: Sequence[Task]) -> None:
    """Strike these tasks off."""
    tx.run_many("delete from task where id = ?", [(task.id,) for task in tasks])


def again(tx: Transaction, tasks: Sequence[Task], due_at: datetime) -> None:
    """Try these tasks again later."""
    tx.run_many("update task set tries = tries + 1, due_at = ? where id = ?", [(at_text(due_at), t.id) for t in tasks])


def park(tx: Transaction, task: Task, error: str) -> None:
    """Set aside a task that cannot be done, with the reason; `unpark` gives it another try."""
    tx.run("update task set parked = ?, tries = tries + 1 where id = ?", (error, task.id))


def parked(tx: Transaction) -> list[tuple[int, str, str, str]]:
    """Tasks set aside: (task, event kind, subject, reason)."""
    return tx.rows(
        "select t.id, e.kind, e.subject, t.parked from task t join event e on e.id = t.event"
        " where t.parked is not null order by t.id"
    )


def unpark(tx: Transaction, tasks: Sequence[int], now: datetime) -> int:
    """How many of these parked tasks were given another try."""
    return tx.run(
        f"update task set parked = null, due_at = ? where parked is not null and id in ({marks(tasks)})",
        (at_text(now), *tasks),
    )


def next_due(tx: Transaction, lane: str) -> str | None:
    """When the next task of a lane is due, as text, if any."""
    row = tx.row("select min(due_at) from task where lane = ? and parked is null", (lane,))
    return row[0] if row else None


def waiting(tx: Transaction) -> int:
    """How many tasks are neither done nor parked, whenever they are due."""
    row = tx.row("select count(*) from task where parked is null")
    return int(row[0]) if row else 0

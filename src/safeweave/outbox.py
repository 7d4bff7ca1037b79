"""What hospitals told, by visit, and the work still to be done, written in the same transaction as what caused it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any, Union

import msgspec

from safeweave import events
from safeweave.database import Transaction, at_of, at_text, packed, unpacked
from safeweave.errors import Crossed
from safeweave.events import BillsReversed, Event, HospitalEvent, MessageNoted, PersonsMerged, VisitTold
from safeweave.ids import person_key

KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind not in (Event, HospitalEvent)
}
_encode = msgspec.json.Encoder().encode
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in KINDS.items()}
_OF_A_VISIT = HospitalEvent | VisitTold | BillsReversed
_VISIT = "visit"
_SUBJECT_FIELDS = ("case", "payout", "message", "consent", "document", "run", "subscription")


def event_from(kind: str, payload: str) -> Event:
    """The event a task holds. Raises KeyError or a msgspec error if this version cannot read it."""
    event: Event = _decoders[kind].decode(payload)
    return event


def subject_of(event: Event) -> str:
    """Whose story an event belongs to: the visit for what hospitals say, else the case, the payout or what it names."""
    field = _subject_field(type(event))
    if field != _VISIT:
        return getattr(event, field) if field else ""
    told: Any = event
    if not told.visit and isinstance(told, MessageNoted | PersonsMerged):
        return str(told.sender)  # not a paper that waits for its visit
    return visit_subject(told.sender, told.visit)


@cache
def _subject_field(kind: type[Event]) -> str:
    if issubclass(kind, _OF_A_VISIT):
        return _VISIT
    return next((field for field in _SUBJECT_FIELDS if field in kind.__struct_fields__), "")


def visit_subject(sender: str, visit: str) -> str:
    """The subject under which everything told of one visit stands."""
    return f"{sender}/{visit}"


def paper_subject(number: int) -> str:
    """The subject of a paper that names no visit and leads to none yet: its own, so that it is read by itself."""
    return f"/{number}"


def key_of(event: Event) -> str:
    """What must be held while an event is followed: its visit, or all that belongs to the person of its case."""
    subject = subject_of(event)
    return subject if _subject_field(type(event)) == _VISIT else person_key(subject)


# ---------------------------------------------------------------- what hospitals told

# What is told of one visit in one go is one row: its number is that of its last event, those before it are numbered
# just below. Only events that name a visit share a row, so that a paper that waits for its visit is moved by itself.


class Logged(msgspec.Struct, frozen=True):
    """An event as it stands in the log."""

    number: int
    event: Event
    told_at: datetime


_Row = tuple[int, str, str, str, bytes]

_INSERT = "insert into event (id, kind, subject, told_at, payload) values (?, ?, ?, ?, ?)"


def append(tx: Transaction, told: Sequence[Event], now: datetime, read_back: bool = False) -> list[tuple[int, Event]]:
    """The log numbers of these events, with them; `read_back` if this transaction will read them again."""
    if not told:
        return []
    numbered = list(enumerate(told, start=tx.numbers("event", len(told))))
    at = at_text(now)
    groups = [list(group) for _, group in groupby(numbered, key=_together)]
    rows = [_row(group, at) for group in groups]
    tx.queue(_INSERT, rows, _number_of)
    if read_back:
        _queued(tx).add(rows, [[Logged(n, event, now) for n, event in group] for group in groups])
    return numbered


def _together(numbered: tuple[int, Event]) -> object:
    """What is equal for events that share a row with those beside them."""
    number, event = numbered
    return subject_of(event) if isinstance(event, HospitalEvent) and event.visit else number


def _row(group: Sequence[tuple[int, Event]], at: str) -> _Row:
    last, event = group[-1]
    payload = _encode(event if len(group) == 1 else [each for _, each in group])
    return last, ",".join([type(each).__name__ for _, each in group]), subject_of(event), at, packed(payload)


def _number_of(row: Sequence[object]) -> object:
    return row[0]


_ANY: Any = Union[tuple(KINDS.values())]  # noqa: UP007 - of as many as there are
_one = msgspec.json.Decoder(_ANY)
_several = msgspec.json.Decoder(tuple[_ANY, ...])


def events_in(payload: str | bytes) -> tuple[Event, ...]:
    """The events a row of the log holds."""
    text = unpacked(payload)
    several: tuple[Event, ...] = _several.decode(text) if text.startswith(b"[") else (_one.decode(text),)
    return several


class _Queued:
    """Events of this transaction that it reads back before they are written."""

    def __init__(self) -> None:
        self.rows: dict[int, _Row] = {}
        self.by_subject: dict[str, dict[int, Logged]] = {}

    def add(self, rows: Iterable[_Row], logged: Iterable[Sequence[Logged]]) -> None:
        for row, entries in zip(rows, logged, strict=True):
            self.rows[row[0]] = row
            self.by_subject.setdefault(row[2], {}).update((entry.number, entry) for entry in entries)

    def move(self, number: int, subject: str) -> _Row:
        """The row as it is to be written instead."""
        n, kind, before, at, payload = self.rows[number]
        entry = self.by_subject[before].pop(number)
        row = (n, kind, subject, at, payload)
        self.add([row], [[entry]])
        return row


def _queued(tx: Transaction) -> _Queued:
    queued: _Queued = tx.memo.setdefault("queued events", _Queued())
    return queued


def of_subjects(tx: Transaction, subjects: Sequence[str]) -> dict[str, list[Logged]]:
    """Everything told of each subject, in order of arrival."""
    found: dict[str, list[Logged]] = {subject: [] for subject in subjects}
    for last, subject, payload, told_at in tx.rows(
        "select id, subject, payload, told_at from event where subject in ? order by id", (list(found),)
    ):
        told, at = events_in(payload), at_of(told_at)
        found[subject] += [Logged(n, event, at) for n, event in enumerate(told, start=last - len(told) + 1)]
    queued = _queued(tx).by_subject
    for subject in found:
        if queued.get(subject):
            found[subject] = sorted([*found[subject], *queued[subject].values()], key=lambda logged: logged.number)
    return found


def move(tx: Transaction, moved: Sequence[tuple[int, str, str]]) -> None:
    """Put events that named no visit under another subject: (number, subject until now, subject from now on).

    Raises Crossed if another transaction has put one of them somewhere else.
    """
    queued = _queued(tx)
    here = [(number, after) for number, _, after in moved if number in queued.rows]
    tx.queue(_INSERT, [queued.move(number, after) for number, after in here], _number_of)
    written = [(after, number, before) for number, before, after in moved if number not in queued.rows]
    if tx.run_many("update event set subject = ? where id = ? and subject = ?", written) < len(written):
        raise Crossed("another transaction has placed a paper that this one read as unplaced")


# ---------------------------------------------------------------- work to be done


class Task(msgspec.Struct, frozen=True):
    """One event somebody still has to act on."""

    id: int
    event: Event
    handler: str
    tries: int
    key: str
    due_at: str


INSIDE = ""  # the lane of what is done inside a transaction that others may run beside
ALONE = "alone"  # the lane of what changes what belongs to many, so that nothing may run beside it


def add_tasks(tx: Transaction, tasks: Iterable[tuple[str, Event, str, datetime]]) -> None:
    """Work to do: (lane, event, handler, due at)."""
    rows = [
        (lane, _queue_of(event), key_of(event), type(event).__name__, _encode(event).decode(), handler, at_text(due_at))
        for lane, event, handler, due_at in tasks
    ]
    if tx.skipping_locked:
        tx.queue(f"insert into task ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)", rows)
    elif rows:
        # SQLite itself numbers a new one like one just done; who had yet to strike that off would strike off this.
        first = tx.numbers("task", len(rows))
        numbered = [(first + place, *row) for place, row in enumerate(rows)]
        tx.queue(f"insert into task (id, {_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?)", numbered)
    for lane in {row[0] for row in rows}:
        tx.memo.setdefault(_LANES, set()).add(lane)
        tx.notify(lane)


_COLUMNS = "lane, queue, key, kind, payload, handler, due_at"
_LANES = "lanes with new work"


def lanes_told(tx: Transaction) -> set[str]:
    """The lanes in which this transaction has put work."""
    lanes: set[str] = tx.memo.get(_LANES, set())
    return lanes


def _queue_of(event: Event) -> str:
    return event.sender if isinstance(event, HospitalEvent | VisitTold) else ""


_TASK = "select id, kind, payload, handler, tries, key, due_at from task"

NOT_KNOWN = "not known to this version"  # begins the reason of what a version that knows it is to try again


class Unreadable(Exception):
    """Some of the tasks that were due cannot be read by this version; `why` says it by task."""

    def __init__(self, why: dict[int, str]) -> None:
        super().__init__(why)
        self.why = why


def _tasks(rows: Iterable[Sequence[Any]]) -> list[Task]:
    """The tasks of these rows. Raises Unreadable, for the caller to set those aside and take the others then."""
    tasks, why = [], {}
    for id, kind, payload, *rest in rows:
        if kind not in _decoders:
            why[id] = f"{NOT_KNOWN}: {kind}; once every process is of the version that told it, it is tried again"
            continue
        try:
            tasks.append(Task(id, event_from(kind, payload), *rest))
        except (msgspec.DecodeError, UnicodeError) as error:
            why[id] = f"{type(error).__name__}: {error}"
    if why:
        raise Unreadable(why)
    return tasks


def take(tx: Transaction, lane: str, now: datetime, limit: int, turn: int = 0) -> list[Task]:
    """Work of a lane whose time has come and that nobody else is doing, each sender in its turn and oldest first.

    One sender's flood leaves the others their share. What is taken is held, with its key, until the transaction ends.
    `turn` says where to begin when there are more senders than can have a share at once. Raises Unreadable.
    """
    at = at_text(now)
    queues = [queue for (queue,) in tx.rows(_QUEUES, (lane, lane, lane, at))]
    if len(queues) > _SHARES:
        begin = turn * _SHARES % len(queues)
        queues = (queues + queues)[begin : begin + _SHARES]
    if not queues:
        return []
    share = max(1, limit // len(queues))
    part = (
        f"select * from ({_TASK} where lane = ? and queue = ? and due_at <= ? and parked is null"
        f" order by due_at, id limit ?{tx.skipping_locked}) as part"
    )
    rows = tx.rows(
        " union all ".join([part] * len(queues)), [value for queue in queues for value in (lane, queue, at, share)]
    )
    tasks = _tasks(rows)
    return tasks if tx.alone else _undisturbed(tx, lane, tasks, at)


_SHARES = 32  # how many senders have a share of one batch
_QUEUES = (  # each queue of a lane with something due, found by leaps through the index
    "with recursive waiting (queue) as ("
    " select min(queue) from task where lane = ? and parked is null"
    " union all"
    " select (select min(t.queue) from task t where t.lane = ? and t.parked is null and t.queue > waiting.queue)"
    " from waiting where waiting.queue is not null)"
    " select queue from waiting where queue is not null"
    " and exists (select 1 from task t where t.lane = ? and t.queue = waiting.queue and t.parked is null"
    " and t.due_at <= ?)"
)


def take_these(tx: Transaction, lane: str, tasks: Sequence[Task]) -> list[Task]:
    """Those of these tasks that are still to be done and that nobody else is doing now."""
    rows = tx.rows(f"{_TASK} where id in ? and parked is null{tx.skipping_locked}", ([task.id for task in tasks],))
    left = {row[0] for row in rows}
    found = [task for task in tasks if task.id in left]
    if tx.alone or not found:
        return found
    held = tx.hold({task.key for task in found})
    return _still_there(tx, [task for task in found if task.key in held])


def _still_there(tx: Transaction, tasks: Sequence[Task]) -> list[Task]:
    """Those of these tasks, whose keys are held now, that nobody did between our reading and holding them."""
    if tx.skipping_locked or not tasks:
        return list(tasks)  # their rows were locked when they were read
    left = {id for (id,) in tx.rows("select id from task where id in ?", ([task.id for task in tasks],))}
    return [task for task in tasks if task.id in left]


def _undisturbed(tx: Transaction, lane: str, tasks: Sequence[Task], at: str) -> list[Task]:
    """Those of these tasks whose key could be held, and for whose key nothing was due before that we do not have."""
    held = tx.hold({task.key for task in tasks})
    mine: dict[str, str] = {}  # when the first that we have was due, by key
    for task in tasks:
        mine[task.key] = min(task.due_at, mine.get(task.key, task.due_at))
    first: dict[str, str] = dict(
        tx.rows(
            "select key, min(due_at) from task where lane = ? and parked is null and due_at <= ? and key in ?"
            " group by key",
            (lane, at, sorted(held)),
        )
    )
    found = [task for task in tasks if task.key in held and mine[task.key] <= first.get(task.key, task.due_at)]
    return _still_there(tx, found)


def due(tx: Transaction, lane: str, now: datetime, limit: int, slot: int = 0, slots: int = 1) -> list[Task]:
    """The next calls of a lane whose time has come, oldest first; of `slots` callers, those that are `slot`'s.

    Raises Unreadable.
    """
    rows = tx.rows(
        f"{_TASK} where lane = ? and due_at <= ? and parked is null and id % ? = ? order by due_at, id limit ?",
        (lane, at_text(now), slots, slot, limit),
    )
    return _tasks(rows)


def done(tx: Transaction, tasks: Sequence[Task]) -> None:
    """Strike these tasks off. Raises Crossed if another worker has done one of them."""
    if tasks and tx.run("delete from task where id in ?", ([task.id for task in tasks],)) < len(tasks):
        raise Crossed("another worker has done some of these tasks")


def again(tx: Transaction, tasks: Sequence[Task], due_at: datetime) -> None:
    """Try these tasks again later."""
    ids = [task.id for task in tasks]
    tx.run("update task set tries = tries + 1, due_at = ? where id in ?", (at_text(due_at), ids))


def park(tx: Transaction, why: Mapping[int, str]) -> None:
    """Set aside tasks that cannot be done, each with the reason; `unpark` gives them another try."""
    tx.run_many("update task set parked = ?, tries = tries + 1 where id = ?", [(said, id) for id, said in why.items()])


def parked(tx: Transaction) -> list[tuple[int, str, str, str]]:
    """Tasks set aside: (task, event kind, subject, reason); no subject if this version cannot read the event."""
    rows = tx.rows("select id, kind, payload, parked from task where parked is not null order by id")
    return [(id, kind, _subject_in(kind, payload), why) for id, kind, payload, why in rows]


def _subject_in(kind: str, payload: str) -> str:
    try:
        return subject_of(event_from(kind, payload))
    except (KeyError, msgspec.DecodeError, UnicodeError):
        return ""


def unpark(tx: Transaction, tasks: Sequence[int], now: datetime) -> int:
    """How many of these parked tasks were given another try."""
    count = tx.run(
        "update task set parked = null, due_at = ? where parked is not null and id in ?", (at_text(now), list(tasks))
    )
    tx.notify(INSIDE)
    return count


def unpark_known(tx: Transaction, now: datetime) -> None:
    """Give what a process of another version did not know another try, if this one knows it."""
    rows = tx.rows("select id from task where parked like ? and kind in ?", (f"{NOT_KNOWN}%", list(KINDS)))
    if rows:
        unpark(tx, [id for (id,) in rows], now)


def next_due(tx: Transaction, lane: str) -> str | None:
    """When the next task of a lane is due, as text, if any."""
    row = tx.row("select min(due_at) from task where lane = ? and parked is null", (lane,))
    return row[0] if row else None


def lanes_due(tx: Transaction, crowd: str, now: datetime) -> list[str]:
    """The lanes of many outsiders of a kind in which something is due."""
    rows = tx.rows(
        "select distinct lane from task where lane > ? and lane < ? and due_at <= ? and parked is null order by lane",
        (f"{crowd}/", f"{crowd}0", at_text(now)),  # the character after the stroke
    )
    return [lane for (lane,) in rows]


def parked_in(tx: Transaction, lane: str) -> str:
    """Why work of a lane was set aside; "" if none was."""
    row = tx.row("select parked from task where lane = ? and parked is not null order by id limit 1", (lane,))
    return str(row[0]) if row else ""


def forget_parked(tx: Transaction, lane: str) -> None:
    """Nobody wants any more what was set aside in a lane."""
    tx.run("delete from task where lane = ? and parked is not null", (lane,))
    answered(tx, lane)


def waiting(tx: Transaction) -> int:
    """How many tasks are neither done nor parked, whenever they are due."""
    row = tx.row("select count(*) from task where parked is null")
    return int(row[0]) if row else 0


class Backlog(msgspec.Struct, frozen=True):
    """What waits in one lane."""

    lane: str
    waiting: int
    parked: int
    oldest_due_at: datetime | None
    tries: int  # the most any of it was tried


def backlog(tx: Transaction) -> list[Backlog]:
    """What waits, lane by lane."""
    rows = tx.rows(
        "select lane, sum(case when parked is null then 1 else 0 end), sum(case when parked is null then 0 else 1 end),"
        " min(case when parked is null then due_at end), max(tries) from task group by lane order by lane"
    )
    return [
        Backlog(lane, int(waiting), int(parked), at_of(oldest) if oldest else None, tries)
        for lane, waiting, parked, oldest, tries in rows
    ]


# ---------------------------------------------------------------- those we call outside


class Circuit(msgspec.Struct, frozen=True):
    """How an outsider is doing: after some calls in a row without an answer, nobody calls for a while."""

    failures: int = 0
    open_until: datetime | None = None
    error: str = ""
    since: datetime | None = None


def circuits(tx: Transaction) -> dict[str, Circuit]:
    """The lanes whose last call had no answer."""
    return {
        lane: Circuit(failures, at_of(open_until), error, at_of(since))
        for lane, failures, open_until, error, since in tx.rows(
            "select lane, failures, open_until, error, since from outsider order by lane"
        )
    }


def circuit(tx: Transaction, lane: str) -> Circuit:
    """How the outsider of this lane is doing."""
    row = tx.row("select failures, open_until, error, since from outsider where lane = ?", (lane,))
    return Circuit(row[0], at_of(row[1]), row[2], at_of(row[3])) if row else Circuit()


def no_answer(tx: Transaction, lane: str, error: str, now: datetime, open_until: datetime) -> None:
    """Count one more call without an answer; nobody calls before `open_until`."""
    tx.run(
        "insert into outsider (lane, failures, open_until, error, since) values (?, 1, ?, ?, ?)"
        " on conflict (lane) do update set failures = outsider.failures + 1, open_until = excluded.open_until,"
        " error = excluded.error",
        (lane, at_text(open_until), error, at_text(now)),
    )


def answered(tx: Transaction, lane: str) -> None:
    """Forget the failures of an outsider that answers again."""
    tx.run("delete from outsider where lane = ?", (lane,))


def call_again(tx: Transaction, lane: str, now: datetime) -> int:
    """How many calls of a lane that wait for a later try were made due now, its circuit closed."""
    answered(tx, lane)
    count = tx.run(
        "update task set due_at = ? where lane = ? and parked is null and tries > 0 and due_at > ?",
        (at_text(now), lane, at_text(now)),
    )
    tx.notify(lane)
    return count

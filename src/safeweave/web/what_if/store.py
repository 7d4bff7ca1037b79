"""What-ifs as rows: what was asked, how far a process is with it, and what came out."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal

import msgspec

from safeweave import ids
from safeweave.bulk.moving import ByCase, Moved
from safeweave.database import Row, Transaction, at_of, at_text, packed, unpacked
from safeweave.facts import Fact
from safeweave.web import live
from safeweave.words import LANGUAGES, Language

State = Literal["waiting", "working", "done", "cancelled", "failed"]
OPEN: tuple[State, ...] = ("waiting", "working")
SILENT = timedelta(minutes=5)  # a process of another host that says nothing for so long is taken to be gone
MOST_SHOWN = 50  # cases that move most

_encode = msgspec.json.Encoder(order="deterministic").encode
_changes = msgspec.json.Decoder(tuple[tuple[str, str, str], ...])
_faults = msgspec.json.Decoder(dict[str, str])
_moved = msgspec.json.Decoder(tuple[Moved, ...])


class Answer(Fact, frozen=True):
    """What came out: the sums, and the cases that move most."""

    sums: ByCase
    most: tuple[Moved, ...]


_answers = msgspec.json.Decoder(Answer)


class Trial(Fact, frozen=True):
    """One what-if."""

    id: str
    product: str
    changes: tuple[tuple[str, str, str], ...]  # figure, before, after
    from_day: date | None
    until_day: date | None
    by: str  # an account
    by_name: str
    asked_at: datetime
    state: State
    host: str = ""
    process: int = 0
    tries: int = 0  # how many processes have begun with it
    beat_at: datetime | None = None
    step: str = ""
    done: int = 0
    total: int = 0
    finished_at: datetime | None = None
    as_of: datetime | None = None
    answer: Answer | None = None
    faults: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it is still to be worked on."""
        return self.state in OPEN

    @property
    def percent(self) -> int:
        """How far it is: writing the claims as columns is nine tenths of it."""
        share = self.done / self.total if self.total else 0
        return min(99, round(90 * share if self.step == "extract" else 90 + 10 * share if self.step else 0))

    def fault(self, language: Language) -> str:
        """Why it failed, in words."""
        return self.faults.get(language, "")


_COLUMNS = (
    "id, product, changes, from_day, until_day, by_account, by_name, asked_at, state, host, process, tries, beat_at,"
    " step, done, total, finished_at, as_of, answer, fault"
)


def topic(id: str) -> str:
    """What an open page of this what-if listens to."""
    return f"what-if:{id}"


def add(
    tx: Transaction, product: str, body: str, changes: Sequence[tuple[str, str, str]], from_day: date | None,
    until_day: date | None, by: str, by_name: str, now: datetime,
) -> str:  # fmt: skip
    """Ask for a what-if; its id."""
    id = ids.fresh("whatif")
    tx.run(
        "insert into what_if (id, product, body, changes, from_day, until_day, by_account, by_name, asked_at, state)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
        (id, product, body, _encode(changes).decode(), from_day and from_day.isoformat(),
         until_day and until_day.isoformat(), by, by_name, at_text(now)),
    )  # fmt: skip
    live.notify(tx, "what-if", "", now)
    return id


def trial(tx: Transaction, id: str) -> Trial | None:
    """The what-if with this id."""
    row = tx.row(f"select {_COLUMNS} from what_if where id = ?", (id,))
    return None if row is None else _trial(row)


def latest(tx: Transaction, most: int, behind: tuple[datetime, str] | None = None) -> list[Trial]:
    """The last what-ifs, the latest first; or those behind the one that was asked for then and has this id."""
    where, values = "", list[object]()
    if behind is not None:
        at, id = at_text(behind[0]), behind[1]
        where, values = "where asked_at < ? or (asked_at = ? and id > ?)", [at, at, id]
    rows = tx.rows(f"select {_COLUMNS} from what_if {where} order by asked_at desc, id limit ?", [*values, most])
    return [_trial(row) for row in rows]


def unfinished(tx: Transaction) -> list[Trial]:
    """Those that are still to be worked on, the oldest first."""
    return [_trial(row) for row in tx.rows(
        f"select {_COLUMNS} from what_if where state in ('waiting', 'working') order by asked_at, id")]  # fmt: skip


def body(tx: Transaction, id: str) -> str:
    """The changed product file."""
    return str(tx.rows("select body from what_if where id = ?", (id,))[0][0])


def _trial(row: Row) -> Trial:
    (id, product, changes, first, last, by, by_name, asked, state, host, process, tries, beat, step, done, total,
     finished, as_of, answer, fault) = row  # fmt: skip
    return Trial(
        id, product, _changes.decode(changes), _day(first), _day(last), by, by_name, at_of(asked), state, host,
        process, tries, _at(beat), step, done, total, _at(finished), _at(as_of),
        _answers.decode(answer) if answer else None, _faults.decode(fault) if fault else {},
    )  # fmt: skip


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _at(text: str | None) -> datetime | None:
    return at_of(text) if text else None


# ---------------------------------------------------------------- working on it


def take(tx: Transaction, before: Trial, host: str, process: int, now: datetime) -> bool:
    """Work on it from now on; False if another process was quicker, or it is wanted no more."""
    return bool(
        tx.run(
            "update what_if set state = 'working', host = ?, process = ?, beat_at = ?, tries = tries + 1 where id = ?"
            " and state in ('waiting', 'working') and host = ? and process = ?",
            (host, process, at_text(now), before.id, before.host, before.process),
        )
    )


def note_progress(
    tx: Transaction, id: str, process: int, step: str, done: int, total: int, as_of: datetime, now: datetime
) -> bool:
    """Say how far this process is; False if it is not to go on."""
    if not tx.run(
        "update what_if set step = ?, done = ?, total = ?, as_of = ?, beat_at = ? where id = ? and state = 'working'"
        " and process = ?",
        (step, done, total, at_text(as_of), at_text(now), id, process),
    ):
        return False
    live.notify(tx, topic(id), "", now)
    return True


def keep_part(tx: Transaction, id: str, no: int, moved: Sequence[Moved]) -> None:
    """Keep the cases that a part would move."""
    tx.run(
        "insert into what_if_part (run, no, kept) values (?, ?, ?) on conflict (run, no) do update set"
        " kept = excluded.kept",
        (id, no, packed(_encode(moved))),
    )


def moved(tx: Transaction, id: str, after: int) -> tuple[int, tuple[Moved, ...]] | None:
    """The next part behind this number with the cases it would move; None: there is no more."""
    row = tx.row("select no, kept from what_if_part where run = ? and no > ? order by no limit 1", (id, after))
    return None if row is None else (row[0], _moved.decode(unpacked(row[1])))


def finish(tx: Transaction, id: str, process: int, answer: Answer, now: datetime) -> None:
    """Keep what came out."""
    _end(tx, id, "done", now, " and process = ?", process, answer=_encode(answer).decode())


def fail(tx: Transaction, id: str, process: int, faults: dict[str, str], now: datetime) -> None:
    """Keep why nothing came out, in every language."""
    assert set(faults) == set(LANGUAGES)
    _end(tx, id, "failed", now, " and process = ?", process, fault=_encode(faults).decode())


def cancel(tx: Transaction, id: str, now: datetime) -> bool:
    """Have nobody work on it any more; False if it is over already."""
    return _end(tx, id, "cancelled", now, "")


def _end(tx: Transaction, id: str, state: State, now: datetime, where: str, *asked: object, **values: Any) -> bool:
    names = "".join(f", {name} = ?" for name in values)
    ended = tx.run(
        f"update what_if set state = ?, finished_at = ?{names} where id = ? and state in ('waiting', 'working'){where}",
        (state, at_text(now), *values.values(), id, *asked),
    )
    if ended:
        live.notify(tx, topic(id), "", now)
        live.notify(tx, "what-if", "", now)
    return bool(ended)

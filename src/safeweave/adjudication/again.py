"""Runs that decide paid cases again, as rows: who asked, what would change, who approved, what came of each case."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Literal, get_args

import msgspec

from safeweave import ids
from safeweave.clock import shanghai_day
from safeweave.database import Row, Transaction, at_of, at_text
from safeweave.errors import Conflict, NotAllowed
from safeweave.facts import Fact
from safeweave.ids import CaseId, DeterminationId, PersonId, PolicyId
from safeweave.words import Language, NotHere, say

State = Literal["reading", "proposed", "rejected", "approved", "undo_proposed", "undoing"]
CaseState = Literal["planned", "decided", "referred", "left", "undone", "stays"]

_encode = msgspec.json.Encoder(order="deterministic").encode


class Wanted(Fact, frozen=True):
    """Which paid decisions: those of these cases, or those made on these days."""

    cases: tuple[CaseId, ...] = ()
    from_day: date | None = None
    until_day: date | None = None


class Expected(Fact, frozen=True):
    """What is to come out for one policy of a case."""

    policy: PolicyId
    decision: str
    payable: int


class Plan(Fact, frozen=True):
    """What would change of one case; `before` are the determinations that stand, one a policy."""

    case: CaseId
    person: PersonId
    before: tuple[DeterminationId, ...]
    expected: tuple[Expected, ...]
    before_fen: int = 0
    after_fen: int = 0
    waits_fen: int = 0


class CaseRow(Fact, frozen=True):
    """One case of a run; `why` it is left as it is, or stays when the run is undone, is a code."""

    no: int
    plan: Plan
    state: CaseState
    why: str = ""
    made: tuple[DeterminationId, ...] = ()


class Run(Fact, frozen=True):
    """One run, from asked to undone."""

    id: str
    product: str
    product_digest: str
    why: str
    wanted: Wanted
    by: str  # an account, or a name where somebody works on the command line
    by_name: str
    asked_at: datetime
    state: State
    read_to: str
    looked: int
    answered_by: str
    answered_name: str
    answered_at: datetime | None
    answer: str
    undo_why: str
    undo_by: str
    undo_name: str
    undo_at: datetime | None
    undo_answered_by: str
    undo_answered_name: str
    undo_answered_at: datetime | None


class Sums(Fact, frozen=True):
    """The cases of a run in one state, and their money."""

    cases: int = 0
    before_fen: int = 0
    after_fen: int = 0
    waits_fen: int = 0


class NotNow(Conflict):
    """What was asked of a run cannot be done as it stands, with why."""

    def __init__(self, why: str, **values: object) -> None:
        self._why, self._values = why, values
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """Why, and what can be done instead."""
        return say(f"again.not_now.{self._why}", language, **self._values)


_RUN = (
    "id, product, product_digest, why, wanted, by_account, by_name, asked_at, state, read_to, looked, answered_by,"
    " answered_name, answered_at, answer, undo_why, undo_by, undo_name, undo_at, undo_answered_by, undo_answered_name,"
    " undo_answered_at"
)
_wanted = msgspec.json.Decoder(Wanted)


def _run(row: Row) -> Run:
    v = list(row)
    v[4] = _wanted.decode(v[4])
    for place in (7, 13, 18, 21):
        v[place] = at_of(v[place]) if v[place] else None
    return Run(*v)


def run_with(tx: Transaction, id: str) -> Run:
    """The run with this id. Raises NotFound."""
    row = tx.row(f"select {_RUN} from again where id = ?", (id,))
    if row is None:
        raise NotHere("cli.not_here.run", id=id)
    return _run(row)


def latest(tx: Transaction, most: int, behind: tuple[datetime, str] | None = None) -> list[Run]:
    """The last runs, the latest first; or those behind the one that was asked for then and has this id."""
    where, values = "", list[object]()
    if behind is not None:
        at, id = at_text(behind[0]), behind[1]
        where, values = "where asked_at < ? or (asked_at = ? and id > ?)", [at, at, id]
    rows = tx.rows(f"select {_RUN} from again {where} order by asked_at desc, id limit ?", [*values, most])
    return [_run(row) for row in rows]


# ---------------------------------------------------------------- people


def ask(
    tx: Transaction, product: str, digest: str, why: str, wanted: Wanted, by: str, by_name: str, now: datetime
) -> str:
    """Ask that these decisions be made again; the id of the run. NotAllowed without a reason in words."""
    if not why.strip():
        raise NotAllowed("deciding again needs the reason in words")
    id = ids.fresh("again")
    tx.run(
        "insert into again (id, product, product_digest, why, wanted, by_account, by_name, asked_at, state)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, 'reading')",
        (id, product, digest, why.strip(), _encode(wanted).decode(), by, by_name, at_text(now)),
    )
    return id


def answer(tx: Transaction, run: Run, approve: bool, by: str, name: str, words: str, now: datetime) -> None:
    """Approve or reject what another person asked for. Raises NotNow; NotAllowed to reject without words."""
    if run.state != "proposed":
        raise NotNow("not_proposed")
    if approve and run.by == by:
        raise NotNow("own")
    if not approve and not words.strip():
        raise NotAllowed("a rejection needs the reason in words")
    _moved(
        tx.run(
            "update again set state = ?, answered_by = ?, answered_name = ?, answered_at = ?, answer = ?"
            " where id = ? and state = 'proposed'",
            ("approved" if approve else "rejected", by, name, at_text(now), words, run.id),
        )
    )


def ask_undo(tx: Transaction, run: Run, why: str, by: str, name: str, now: datetime) -> None:
    """Ask that a run be undone. Raises NotNow; NotAllowed without a reason in words."""
    if not why.strip():
        raise NotAllowed("undoing needs the reason in words")
    if run.state != "approved":
        raise NotNow("not_done")
    if counts(tx, run.id)["planned"].cases:
        raise NotNow("under_way")
    _moved(
        tx.run(
            "update again set state = 'undo_proposed', undo_why = ?, undo_by = ?, undo_name = ?, undo_at = ?"
            " where id = ? and state = 'approved'",
            (why.strip(), by, name, at_text(now), run.id),
        )
    )


def answer_undo(tx: Transaction, run: Run, approve: bool, by: str, name: str, now: datetime) -> None:
    """Approve that a run is undone, or leave it as it is. Raises NotNow."""
    if run.state != "undo_proposed":
        raise NotNow("no_undo")
    if approve and run.undo_by == by:
        raise NotNow("own")
    _moved(
        tx.run(
            "update again set state = ?, undo_answered_by = ?, undo_answered_name = ?, undo_answered_at = ?"
            " where id = ? and state = 'undo_proposed'",
            ("undoing" if approve else "approved", by, name, at_text(now), run.id),
        )
    )


def _moved(changed: int) -> None:
    if not changed:
        raise NotNow("answered")


# ---------------------------------------------------------------- cases


def next_cases(tx: Transaction, run: Run, most: int) -> tuple[list[CaseId], str]:
    """The next cases of which a decision of the product stands paid, and the last case that was looked at.

    All of those that may be one person's are among them; "" says that there are no more.
    """
    if run.wanted.cases:
        left = sorted(case for case in set(run.wanted.cases) if case > run.read_to)
        keys = {ids.person_key(case) for case in left[:most]}
        part = [case for case in left if ids.person_key(case) in keys]
        rows = tx.rows(
            "select distinct case_id from determination where case_id in ? and product = ? and in_force = 1",
            (part, run.product),
        )
        return sorted(CaseId(case) for (case,) in rows), part[-1] if part else ""
    while True:
        found = tx.rows(
            "select case_id, product, in_force, made_at from determination where case_id > ? order by case_id limit ?",
            (run.read_to, most + 1),
        )
        part = _whole([row[0] for row in found], most)
        if part or not found:
            break
        most *= 2
    here = set(part)
    wanted = {
        CaseId(case) for case, product, in_force, made in found
        if case in here and in_force and product == run.product and _is_on(run.wanted, at_of(made))
    }  # fmt: skip
    return sorted(wanted), part[-1] if part else ""


def _whole(cases: Sequence[str], most: int) -> list[CaseId]:
    """These without the last person's, of whom there may be more, unless these are all there are."""
    if len(cases) <= most:
        return [CaseId(case) for case in cases]
    last = ids.person_key(cases[-1])
    return [CaseId(case) for case in cases if ids.person_key(case) != last]


def _is_on(wanted: Wanted, made_at: datetime) -> bool:
    day = shanghai_day(made_at)
    return (wanted.from_day is None or day >= wanted.from_day) and (wanted.until_day is None or day <= wanted.until_day)


def note_read(tx: Transaction, run: Run, read_to: str, looked: int) -> None:
    """Note how far it has been looked at what would change; without a case it is proposed now."""
    state = "reading" if read_to else "proposed"
    tx.run(
        "update again set read_to = ?, looked = looked + ?, state = ? where id = ? and state = 'reading'",
        (read_to or run.read_to, looked, state, run.id),
    )


_CASE = "case_id, person, before, expected, before_fen, after_fen, waits_fen, state, why, made"


def add_cases(tx: Transaction, run: str, found: Sequence[tuple[Plan, CaseState, str]]) -> None:
    """Keep what would change of these cases, or why they are left, in the order in which they are decided."""
    if not found:
        return
    (last,) = tx.rows("select coalesce(max(no), 0) from again_case where run = ?", (run,))[0]
    tx.run_many(
        f"insert into again_case (run, no, {_CASE}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')"
        " on conflict (run, case_id) do nothing",
        [
            (run, last + no, plan.case, plan.person, _encode(plan.before).decode(), _encode(plan.expected).decode(),
             plan.before_fen, plan.after_fen, plan.waits_fen, state, why)
            for no, (plan, state, why) in enumerate(found, start=1)
        ],
    )  # fmt: skip


_before = msgspec.json.Decoder(tuple[DeterminationId, ...])
_expected = msgspec.json.Decoder(tuple[Expected, ...])


def _case(row: Row) -> CaseRow:
    no, case, person, before, expected, before_fen, after_fen, waits_fen, state, why, made = row
    plan = Plan(
        case, person, _before.decode(before), _expected.decode(expected), before_fen, after_fen, waits_fen
    )  # fmt: skip
    return CaseRow(no, plan, state, why, _before.decode(made) if made else ())


def cases_in(
    tx: Transaction, run: str, states: Collection[CaseState], after: int = 0, most: int = 1000
) -> list[CaseRow]:
    """Cases of a run in these states, behind a number, in their order."""
    rows = tx.rows(
        f"select no, {_CASE} from again_case where run = ? and state in ? and no > ? order by no limit ?",
        (run, sorted(states), after, most),
    )
    return [_case(row) for row in rows]


def cases_of(tx: Transaction, run: str, cases: Iterable[CaseId]) -> dict[CaseId, CaseRow]:
    """These cases of a run."""
    rows = tx.rows(f"select no, {_CASE} from again_case where run = ? and case_id in ?", (run, sorted(set(cases))))
    return {row[1]: _case(row) for row in rows}


def of_person(tx: Transaction, run: str, case: CaseId) -> list[CaseRow]:
    """All cases of a run that are the person's of this case, in their order."""
    rows = tx.rows(
        f"select no, {_CASE} from again_case where run = ? and person = (select person from again_case"
        " where run = ? and case_id = ?) order by no",
        (run, run, case),
    )
    return [_case(row) for row in rows]


def move(tx: Transaction, run: str, moved: Sequence[CaseRow]) -> None:
    """Note what came of these cases."""
    tx.run_many(
        "update again_case set state = ?, why = ?, made = ? where run = ? and case_id = ?",
        [(row.state, row.why, _encode(row.made).decode(), run, row.plan.case) for row in moved],
    )


def counts(tx: Transaction, run: str, states: Collection[CaseState] = ()) -> dict[CaseState, Sums]:
    """How many cases of a run are in each state, and their money; states without any are there too."""
    found = {
        state: Sums(int(cases), int(before), int(after), int(waits)) for state, cases, before, after, waits in tx.rows(
            "select state, count(*), sum(before_fen), sum(after_fen), sum(waits_fen) from again_case where run = ?"
            " group by state",
            (run,),
        )
    }  # fmt: skip
    every: Collection[CaseState] = states or get_args(CaseState)
    return {state: found.get(state, Sums()) for state in every}

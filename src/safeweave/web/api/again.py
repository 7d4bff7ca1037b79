"""Deciding again in bulk in JSON: asked for, looked at, approved by another person, undone. The rules are the page's.

Amounts are whole fen, instants UTC.
"""

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta

from safeweave.adjudication import again
from safeweave.adjudication.again import CaseRow, CaseState, State
from safeweave.database import Transaction, at_text
from safeweave.errors import Malformed
from safeweave.facts import Fact
from safeweave.money import Fen
from safeweave.web.api.call import PAGED, Answer, Call, Endpoints, cursor_of
from safeweave.web.operations import again as rules
from safeweave.web.operations.again import EVERY, MOST_CASES, MOST_WORDS

endpoints = Endpoints()

Words = Annotated[str, Meta(max_length=MOST_WORDS)]
Named = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[!-~]+$")]


class Again(Fact, frozen=True):
    """What is to be decided again and why: paid decisions of a product, of these cases or made on these days."""

    product: Annotated[str, Meta(max_length=200)]
    why: Words
    cases: Annotated[tuple[Named, ...], Meta(max_length=MOST_CASES)] = ()
    from_day: date | None = None
    until_day: date | None = None


class AgainSums(Fact, frozen=True):
    """The cases of a run in one state, and their money; `waits` waits for a person."""

    state: CaseState
    cases: int
    paid: Fen
    paid_after: Fen
    waits: Fen


class Answered(Fact, frozen=True):
    """Who asked for something or answered it, when, and their words."""

    by: str
    at: datetime
    words: str


class AgainRun(Fact, frozen=True):
    """One run, from asked to undone; `looked` says at how many paid cases it has been looked so far."""

    id: str
    product: str
    state: State
    looked: int
    asked: Answered
    cases: tuple[str, ...]
    from_day: date | None
    until_day: date | None
    answered: Answered | None
    undo_asked: Answered | None
    undo_answered: Answered | None
    sums: tuple[AgainSums, ...]


class AgainRuns(Fact, frozen=True):
    """A page of runs, the latest first; `next` is the cursor of the next page, "" after the last."""

    items: tuple[AgainRun, ...]
    next: str


class AgainCase(Fact, frozen=True):
    """A case of a run; `why` it is left as it is, or stays when the run is undone, is a code."""

    case: str
    state: CaseState
    why: str
    paid: Fen
    paid_after: Fen
    waits: Fen
    decisions: tuple[str, ...]


class AgainCases(Fact, frozen=True):
    """A page of the cases of a run, in the order in which they are decided."""

    items: tuple[AgainCase, ...]
    next: str


class AgainAnswer(Fact, frozen=True):
    """The second person's word; `words` are needed to reject."""

    verdict: Literal["approve", "reject"]
    words: Words = ""


class AgainUndo(Fact, frozen=True):
    """Why a run is to be undone."""

    why: Words


class AgainUndoAnswer(Fact, frozen=True):
    """The second person's word about the undo: approve it, or leave the run as it is."""

    verdict: Literal["approve", "leave"]


# ---------------------------------------------------------------- asking


@endpoints.post("/api/again", "again_ask", AgainRun, takes=Again, status=201)
def ask(call: Call, tx: Transaction) -> Answer:
    """Ask that paid cases be decided again; what would change is looked at, and nothing is decided yet."""
    call.asked.must_ours("again.propose")
    told = call.body(Again)
    id = rules.propose(
        call.asked, tx, told.product, told.why.strip(), told.cases, told.from_day, told.until_day
    )  # fmt: skip
    return Answer(_run(tx, again.run_with(tx, id)), 201, f"/api/again/{id}")


@endpoints.get("/api/again", "agains", AgainRuns, query=PAGED)
def every(call: Call, tx: Transaction) -> Answer:
    """The runs there were, the latest first."""
    call.asked.must_ours("again.read")
    found = again.latest(tx, call.limit + 1, call.behind)
    shown = found[: call.limit]
    following = cursor_of((at_text(shown[-1].asked_at), shown[-1].id)) if len(found) > len(shown) else ""
    return Answer(AgainRuns(tuple(_run(tx, each) for each in shown), following))


@endpoints.get("/api/again/{run}", "again", AgainRun)
def one(call: Call, tx: Transaction) -> Answer:
    """What would change, or has."""
    call.asked.must_ours("again.read")
    return Answer(_here(call, tx))


@endpoints.get("/api/again/{run}/cases", "again_cases", AgainCases, query=PAGED)
def cases(call: Call, tx: Transaction) -> Answer:
    """The cases of a run."""
    call.asked.must_ours("again.read", f"again:{call.asked.place('run')}")
    run = again.run_with(tx, call.asked.place("run"))
    found = again.cases_in(tx, run.id, EVERY, _number(call), call.limit + 1)
    shown = found[: call.limit]
    following = cursor_of((str(shown[-1].no),)) if len(found) > len(shown) else ""
    return Answer(AgainCases(tuple(map(_case, shown)), following))


def _number(call: Call) -> int:
    """The number of the case behind which others are asked for. Raises Malformed."""
    text = (call.cursor or ("0",))[0] if len(call.cursor or ("",)) == 1 else ""
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise Malformed("the cursor is none that was given here; begin anew without it", field="cursor")
    return int(text)


# ---------------------------------------------------------------- the second person, and undoing


@endpoints.post("/api/again/{run}/approval", "again_answer", AgainRun, takes=AgainAnswer)
def answer(call: Call, tx: Transaction) -> Answer:
    """Approve what another person asked for, or reject it with words."""
    call.asked.must_ours("again.approve", f"again:{call.asked.place('run')}")
    told = call.body(AgainAnswer)
    rules.answer_proposal(call.asked, tx, told.verdict == "approve", told.words.strip())
    return Answer(_here(call, tx))


@endpoints.post("/api/again/{run}/undo", "again_undo", AgainRun, takes=AgainUndo)
def undo(call: Call, tx: Transaction) -> Answer:
    """Ask that a run be undone."""
    call.asked.must_ours("again.propose", f"again:{call.asked.place('run')}")
    rules.propose_undo(call.asked, tx, call.body(AgainUndo).why.strip())
    return Answer(_here(call, tx))


@endpoints.post("/api/again/{run}/undo/approval", "again_answer_undo", AgainRun, takes=AgainUndoAnswer)
def answer_undo(call: Call, tx: Transaction) -> Answer:
    """Approve that a run is undone, as another person asked, or leave it."""
    call.asked.must_ours("again.approve", f"again:{call.asked.place('run')}")
    rules.answer_undo_proposal(call.asked, tx, call.body(AgainUndoAnswer).verdict == "approve")
    return Answer(_here(call, tx))


# ---------------------------------------------------------------- what is shown


def _here(call: Call, tx: Transaction) -> AgainRun:
    return _run(tx, again.run_with(tx, call.asked.place("run")))


def _run(tx: Transaction, run: again.Run) -> AgainRun:
    sums = [
        AgainSums(state, each.cases, Fen(each.before_fen), Fen(each.after_fen), Fen(each.waits_fen))
        for state, each in again.counts(tx, run.id, EVERY).items()
    ]
    return AgainRun(
        run.id, run.product, run.state, run.looked, Answered(run.by_name, run.asked_at, run.why), run.wanted.cases,
        run.wanted.from_day, run.wanted.until_day, _answered(run.answered_name, run.answered_at, run.answer),
        _answered(run.undo_name, run.undo_at, run.undo_why),
        _answered(run.undo_answered_name, run.undo_answered_at, ""), tuple(sums),
    )  # fmt: skip


def _answered(by: str, at: datetime | None, words: str) -> Answered | None:
    return None if at is None else Answered(by, at, words)


def _case(row: CaseRow) -> AgainCase:
    plan = row.plan
    return AgainCase(
        plan.case, row.state, row.why, Fen(plan.before_fen), Fen(plan.after_fen), Fen(plan.waits_fen), row.made
    )

"""Paid cases decided again in bulk: asked for, looked at, approved by another person, carried out, undone."""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date

from starlette.responses import Response, StreamingResponse

from safeweave.adjudication import again
from safeweave.adjudication.again import Run, Wanted
from safeweave.database import Transaction
from safeweave.events import Event
from safeweave.ids import CaseId
from safeweave.money import yuan_text
from safeweave.web import live
from safeweave.web.asked import Asked
from safeweave.web.operations.around import Wrong, day, must_be_in_order, shown
from safeweave.web.operations.what_if import most_used, name_of, named
from safeweave.web.pages import Routes

routes = Routes()

MOST_RUNS = 12
MOST_SHOWN = 50
MOST_CASES = 500  # that are named one by one
MOST_WORDS = 2000
EVERY: tuple[again.CaseState, ...] = ("planned", "decided", "referred", "left", "undone", "stays")


@routes.get("/operations/again")
def form(asked: Asked) -> Response:
    """What to decide again and why; and the runs there were."""
    asked.must_ours("again.read")
    with asked.reading() as tx:
        return _form(asked, tx)


def _form(asked: Asked, tx: Transaction, status: int = 200, fault: str = "") -> Response:
    products = asked.site.adjudicator.products
    chosen = asked.field("product", 200)
    return shown(
        asked, tx, "operations/again.html", "again", status, products=named(asked),
        chosen=chosen if chosen in products else most_used(tx, products), fault=fault,
        typed={name: asked.field(name) for name in ("why", "cases", "from", "until")},
        runs=again.latest(tx, MOST_RUNS), name=lambda id: name_of(asked, id),
    )  # fmt: skip


@routes.post("/operations/again")
def ask(asked: Asked) -> Response:
    """Ask for it; what would change is looked at by the worker."""
    asked.must_ours("again.propose")
    try:
        named_cases = asked.field("cases").replace(",", " ").split()
        first, last = day(asked, "from"), day(asked, "until")
        with asked.writing(then="/operations/again") as tx:
            run = propose(
                asked, tx, asked.field("product", 200), asked.field("why", MOST_WORDS), named_cases, first, last
            )
    except Wrong as wrong:
        with asked.reading() as tx:
            return _form(asked, tx, 400, wrong.what)
    return asked.go(f"/operations/again/{run}", said="again.said_asked")


# ---------------------------------------------------------------- one run


@routes.get("/operations/again/{run}")
def one(asked: Asked) -> Response:
    """What would change, or has; and what whoever looks may do about it."""
    asked.must_ours("again.read")
    with asked.reading() as tx:
        return _one(asked, tx)


def _one(asked: Asked, tx: Transaction, status: int = 200, fault: str = "") -> Response:
    run = again.run_with(tx, asked.place("run"))
    sums = again.counts(tx, run.id)
    done = [sums[state] for state in ("planned", "decided", "referred", "undone", "stays")]
    left = {"approved": sums["planned"].cases, "undoing": sums["decided"].cases + sums["referred"].cases}
    return shown(
        asked, tx, "operations/again_run.html", "again", status, run=run, sums=sums, fault=fault,
        before=sum(each.before_fen for each in done), after=sum(each.after_fen for each in done),
        waits=sum(each.waits_fen for each in done), changing=sum(each.cases for each in done),
        rows=again.cases_in(tx, run.id, EVERY, most=MOST_SHOWN), under_way=left.get(run.state, 0),
        name=name_of(asked, run.product), words=asked.field("words"), undo_why=asked.field("undo_why"),
        own=asked.who.id == (run.undo_by if run.state == "undo_proposed" else run.by),
    )  # fmt: skip


def _to(asked: Asked) -> str:
    return f"/operations/again/{asked.place('run')}"


@routes.post("/operations/again/{run}/answer")
def answer(asked: Asked) -> Response:
    """Approve what another person asked for, or reject it with words."""
    asked.must_ours("again.approve", f"again:{asked.place('run')}")
    approve, words = asked.field("verdict", 20) == "approve", asked.field("words", MOST_WORDS)
    try:
        with asked.writing(then=_to(asked)) as tx:
            answer_proposal(asked, tx, approve, words)
    except Wrong as wrong:
        with asked.reading() as tx:
            return _one(asked, tx, 400, wrong.what)
    return asked.go(said="again.said_approved" if approve else "again.said_rejected")


@routes.post("/operations/again/{run}/undo")
def ask_undo(asked: Asked) -> Response:
    """Ask that the run be undone."""
    asked.must_ours("again.propose", f"again:{asked.place('run')}")
    try:
        with asked.writing(then=_to(asked)) as tx:
            propose_undo(asked, tx, asked.field("undo_why", MOST_WORDS))
    except Wrong as wrong:
        with asked.reading() as tx:
            return _one(asked, tx, 400, wrong.what)
    return asked.go(said="again.said_undo_asked")


@routes.post("/operations/again/{run}/undo/answer")
def answer_undo(asked: Asked) -> Response:
    """Approve that it is undone, as another person asked, or leave it."""
    asked.must_ours("again.approve", f"again:{asked.place('run')}")
    approve = asked.field("verdict", 20) == "approve"
    with asked.writing(then=_to(asked)) as tx:
        answer_undo_proposal(asked, tx, approve)
    return asked.go(said="again.said_undoing" if approve else "again.said_undo_left")


# ---------------------------------------------------------------- the same for pages and API


def propose(
    asked: Asked, tx: Transaction, product: str, why: str, cases: Sequence[str], first: date | None, last: date | None
) -> str:
    """Ask that paid decisions be made again: those of these cases, or made on these days; its id. Raises Wrong."""
    if not why:
        raise Wrong(asked.say("again.fault.why"), field="why")
    if product not in asked.site.adjudicator.products:
        raise Wrong(asked.say("what_if.fault.product"), field="product")
    if len(cases) > MOST_CASES:
        raise Wrong(asked.say("again.fault.too_many", most=MOST_CASES), field="cases")
    must_be_in_order(asked, first, last)
    wanted = Wanted(tuple(CaseId(case) for case in dict.fromkeys(cases)), first, last)
    run, told = asked.site.again.ask(tx, product, why, wanted, asked.who.id, asked.who.name, asked.now)
    _tell(asked, tx, told)
    return run


def answer_proposal(asked: Asked, tx: Transaction, approve: bool, words: str) -> None:
    """Approve the run of this address, or reject it with words. Raises Wrong, NotFound, NotNow."""
    if not approve and not words:
        raise Wrong(asked.say("again.fault.why"), field="words")
    run = again.run_with(tx, asked.place("run"))
    _tell(asked, tx, asked.site.again.answer(tx, run, approve, asked.who.id, asked.who.name, words, asked.now))


def propose_undo(asked: Asked, tx: Transaction, why: str) -> None:
    """Ask that the run of this address be undone. Raises Wrong, NotFound, NotNow."""
    if not why:
        raise Wrong(asked.say("again.fault.why"), field="why")
    again.ask_undo(tx, again.run_with(tx, asked.place("run")), why, asked.who.id, asked.who.name, asked.now)
    _tell(asked, tx, [])


def answer_undo_proposal(asked: Asked, tx: Transaction, approve: bool) -> None:
    """Approve that the run of this address is undone, or leave it. Raises NotFound, NotNow."""
    run = again.run_with(tx, asked.place("run"))
    _tell(asked, tx, asked.site.again.answer_undo(tx, run, approve, asked.who.id, asked.who.name, asked.now))


def _tell(asked: Asked, tx: Transaction, events: Sequence[Event]) -> None:
    asked.tell(tx, events)
    live.notify(tx, "again", "", asked.now)


# ---------------------------------------------------------------- every case


@routes.get("/operations/again/{run}/cases.csv")
def as_csv(asked: Asked) -> Response:
    """Every case of the run, as CSV."""
    asked.must_ours("again.read", f"again:{asked.place('run')}")
    with asked.reading() as tx:
        run = again.run_with(tx, asked.place("run"))
    return StreamingResponse(
        _written(asked, run), media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{run.id}.csv"'},
    )  # fmt: skip


def _written(asked: Asked, run: Run) -> Iterator[str]:
    yield "\ufeff" + _line(["case", "state", "why", "yuan", "afterwards", "for_a_person", "determinations"])
    after = 0
    while True:
        with asked.site.database.reading() as tx:
            rows = again.cases_in(tx, run.id, EVERY, after)
        if not rows:
            return
        after = rows[-1].no
        yield "".join(
            _line([row.plan.case, row.state, row.why, yuan_text(row.plan.before_fen), yuan_text(row.plan.after_fen),
                   yuan_text(row.plan.waits_fen), " ".join(row.made)])
            for row in rows
        )  # fmt: skip


def _line(values: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()

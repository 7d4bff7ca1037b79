"""What-ifs in JSON: the figures of a product, some of them asked to be others, how far it is, and what came out.

Nothing is decided by them. A figure is a whole number: fen, hundredths of a per cent, or a count, as its `unit` says.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from safeweave.bulk.moving import STEPS_YUAN, ByCase, Moved
from safeweave.coverage.figures import Figure, figures
from safeweave.database import Transaction, at_text
from safeweave.errors import Malformed, NotFound
from safeweave.facts import Fact
from safeweave.money import Fen
from safeweave.web.api.call import PAGED, Answer, Call, Endpoints, cursor_of
from safeweave.web.operations import questions
from safeweave.web.what_if import store as trials
from safeweave.web.what_if.store import State, Trial

endpoints = Endpoints()

Unit = Literal["fen", "basis_points", "count"]
MOST_CHANGED = 500
MOST_VALUE = 10**13
_UNITS: dict[str, tuple[Unit, int]] = {"yuan": ("fen", 100), "rate": ("basis_points", 10_000), "count": ("count", 1)}


# ---------------------------------------------------------------- what can be asked


class FigureShown(Fact, frozen=True):
    """A figure of a product: its name, what it is in words, and its present value in its unit."""

    name: str
    label: str
    unit: Unit
    value: int


class FiguresOf(Fact, frozen=True):
    """The figures of a product, those that move most first."""

    product: str
    items: tuple[FigureShown, ...]


@endpoints.get("/api/products/{product}/figures", "figures_of", FiguresOf)
def figures_of(call: Call, tx: Transaction) -> Answer:
    """The figures of a product, to be changed in a what-if."""
    call.asked.must_ours("what_if.read")
    product = call.asked.place("product")
    shown = [
        FigureShown(
            each.name, questions.said(each, call.asked.language), _UNITS[each.unit][0], _whole(each, each.value)
        )
        for each in _figures(call, product)
    ]
    return Answer(FiguresOf(product, tuple(shown)))


def _figures(call: Call, product: str) -> list[Figure]:
    if product not in call.asked.site.adjudicator.products:
        raise NotFound("there is no such product")
    return figures(call.asked.site.adjudicator.product_text(product))


def _whole(figure: Figure, value: str) -> int:
    """A value of the product file in whole fen, hundredths of a per cent, or as a count."""
    return int(Decimal(value) * _UNITS[figure.unit][1])


def _typed(figure: Figure, value: int) -> str:
    """The same as people type it: yuan, per cent, a count."""
    return str(value) if figure.unit == "count" else f"{Decimal(value) / 100:f}"


# ---------------------------------------------------------------- asking


class WhatIf(Fact, frozen=True):
    """A what-if that is asked: a product, the figures that are others by name, and the days cases were decided on."""

    product: Annotated[str, Meta(max_length=200)]
    figures: Annotated[dict[str, Annotated[int, Meta(ge=0, le=MOST_VALUE)]], Meta(max_length=MOST_CHANGED)]
    from_day: date | None = None
    until_day: date | None = None


class FigureChanged(Fact, frozen=True):
    """A figure before and after, in its unit."""

    figure: str
    label: str
    unit: Unit
    before: int
    after: int


class Step(Fact, frozen=True):
    """How many cases move by more than `above` and at most `up_to`; null: without a bound."""

    above: Fen | None
    up_to: Fen | None
    cases: int


class MovedCase(Fact, frozen=True):
    """A case that would be decided otherwise; `waits` would wait for a person."""

    case: str
    decided: str
    would_be: str
    paid: Fen
    would_be_paid: Fen
    waits: Fen


class CameOut(Fact, frozen=True):
    """What came out: cases, each counted once, their money now and with the change, and those that move most."""

    cases: int
    more: int
    less: int
    referred: int
    same: int
    paid: Fen
    would_be_paid: Fen
    waits: Fen
    steps: tuple[Step, ...]
    most: tuple[MovedCase, ...]


class Run(Fact, frozen=True):
    """A what-if: how far it is, and what came out once it is done."""

    id: str
    product: str
    state: State
    percent: int
    changes: tuple[FigureChanged, ...]
    from_day: date | None
    until_day: date | None
    by: str
    asked_at: datetime
    as_of: datetime | None
    finished_at: datetime | None
    fault: str
    answer: CameOut | None


class RunHead(Fact, frozen=True):
    """A what-if in a list."""

    id: str
    product: str
    state: State
    by: str
    asked_at: datetime


class Runs(Fact, frozen=True):
    """A page of what-ifs, the latest first; `next` is the cursor of the next page, "" after the last."""

    items: tuple[RunHead, ...]
    next: str


@endpoints.post("/api/what-if", "what_if_begin", Run, takes=WhatIf, status=201)
def begin(call: Call, tx: Transaction) -> Answer:
    """Ask for a what-if; another process works on it."""
    asked = call.asked
    asked.must_ours("what_if.run")
    told = call.body(WhatIf)
    if told.product not in asked.site.adjudicator.products:
        raise Malformed(asked.say("what_if.fault.product"), field="product")
    known = {each.name: each for each in _figures(call, told.product)}
    for name in told.figures:
        if name not in known:
            raise Malformed(asked.say("what_if.fault.no_figure", figure=name), field="figures")
    typed = {name: _typed(known[name], value) for name, value in told.figures.items()}
    wanted = questions.question(asked, told.product, typed, told.from_day, told.until_day)
    id = questions.begin(asked, tx, wanted)
    return Answer(_run(call, tx, questions.trial_with(tx, id)), 201, f"/api/what-if/{id}")


# ---------------------------------------------------------------- what came of it


@endpoints.get("/api/what-if", "what_ifs", Runs, query=PAGED)
def every(call: Call, tx: Transaction) -> Answer:
    """What was asked, the latest first."""
    call.asked.must_ours("what_if.read")
    found = trials.latest(tx, call.limit + 1, call.behind)
    shown = [RunHead(each.id, each.product, each.state, each.by_name, each.asked_at) for each in found[: call.limit]]
    following = cursor_of((at_text(shown[-1].asked_at), shown[-1].id)) if len(found) > len(shown) else ""
    return Answer(Runs(tuple(shown), following))


@endpoints.get("/api/what-if/{run}", "what_if", Run)
def one(call: Call, tx: Transaction) -> Answer:
    """How far a what-if is, or what came out."""
    call.asked.must_ours("what_if.read")
    return Answer(_run(call, tx, questions.trial_with(tx, call.asked.place("run"))))


@endpoints.post("/api/what-if/{run}/cancellation", "what_if_cancel", Run)
def cancel(call: Call, tx: Transaction) -> Answer:
    """Have nobody work on a what-if any more."""
    call.asked.must_ours("what_if.run")
    questions.cancel(call.asked, tx)
    return Answer(_run(call, tx, questions.trial_with(tx, call.asked.place("run"))))


def _run(call: Call, tx: Transaction, trial: Trial) -> Run:
    known = {figure.name: figure for figure in figures(trials.body(tx, trial.id))}
    return Run(
        trial.id, trial.product, trial.state, 100 if trial.state == "done" else trial.percent,
        tuple(_change(call, known[name], before, after) for name, before, after in trial.changes),
        trial.from_day, trial.until_day, trial.by_name, trial.asked_at, trial.as_of, trial.finished_at,
        trial.fault(call.asked.language), _came_out(trial.answer.sums, trial.answer.most) if trial.answer else None,
    )  # fmt: skip


def _change(call: Call, figure: Figure, before: str, after: str) -> FigureChanged:
    return FigureChanged(
        figure.name, questions.said(figure, call.asked.language), _UNITS[figure.unit][0], _whole(figure, before),
        _whole(figure, after),
    )  # fmt: skip


def _came_out(sums: ByCase, most: tuple[Moved, ...]) -> CameOut:
    edges = [None, *(Fen(yuan * 100) for yuan in STEPS_YUAN), None]
    steps = [Step(above, up_to, count) for above, up_to, count in zip(edges, edges[1:], sums.steps, strict=False)]
    return CameOut(
        sums.cases, sums.more, sums.less, sums.referred, sums.same, Fen(sums.before_fen), Fen(sums.after_fen),
        Fen(sums.waits_fen), tuple(steps),
        tuple(
            MovedCase(each.case, each.before, each.after, Fen(each.before_fen), Fen(each.after_fen),
                      Fen(each.waits_fen))
            for each in most
        ),
    )  # fmt: skip

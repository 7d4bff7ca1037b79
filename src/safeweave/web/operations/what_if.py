"""What if a product had other figures: a form with the present ones, how far a run is, and what came out."""

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import groupby, pairwise

from markupsafe import Markup
from starlette.responses import Response, StreamingResponse

from safeweave.bulk.moving import STEPS_YUAN, ByCase
from safeweave.coverage.figures import figures
from safeweave.coverage.product import Product
from safeweave.database import Transaction
from safeweave.money import yuan_text
from safeweave.web.asked import Asked
from safeweave.web.operations import chart, questions
from safeweave.web.operations.around import Wrong, day, shown
from safeweave.web.operations.chart import Series
from safeweave.web.operations.questions import entered, label, said, trial_with
from safeweave.web.pages import Routes
from safeweave.web.what_if import process
from safeweave.web.what_if import store as trials
from safeweave.web.what_if.store import Trial
from safeweave.words import Language

routes = Routes()

MOST_RUNS = 12
MOST_TYPED = 200  # characters
AT_ONCE = frozenset({"deductible", "ratio", "limit", "allowance", "lump_sum", "bed_cap"})  # the others are folded away


@routes.get("/operations/what-if")
def form(asked: Asked) -> Response:
    """The figures of a product, to be changed; and what was asked before."""
    asked.must_ours("what_if.read")
    with asked.reading() as tx:
        like = trials.trial(tx, asked.query("like")) if asked.query("like") else None
        return _form(asked, tx, like=like)


def _form(asked: Asked, tx: Transaction, status: int = 200, like: Trial | None = None, fault: str = "") -> Response:
    products = asked.site.adjudicator.products
    chosen = asked.field("product", 200) or asked.query("product") or (like.product if like else "")
    if chosen not in products:
        chosen = most_used(tx, products)
    known = figures(asked.site.adjudicator.product_text(chosen)) if chosen else []
    typed = {name: values[0] for name, values in asked.typed.items() if values}
    if like is not None and not typed:
        typed = {name: entered(figure, after) for name, _, after in like.changes
                 for figure in known if figure.name == name}  # fmt: skip
    return shown(
        asked, tx, "operations/what_if.html", "what_if", status,
        products=named(asked), chosen=chosen,
        groups=[(kind, list(own)) for kind, own in groupby(known, key=lambda figure: figure.kind)], at_once=AT_ONCE,
        value=lambda figure: typed.get(figure.name, entered(figure, figure.value)), entered=entered,
        label=lambda figure: label(figure, asked.language), first=typed.get("from", ""), last=typed.get("until", ""),
        fault=fault, runs=trials.latest(tx, MOST_RUNS), possible=process.is_possible(),
        name=lambda id: name_of(asked, id),
    )  # fmt: skip


def named(asked: Asked) -> list[tuple[str, str]]:
    """The products, each with its name."""
    return [(each.id, _name(each, asked.language)) for each in asked.site.adjudicator.products.values()]


def most_used(tx: Transaction, products: Mapping[str, Product]) -> str:
    """The product with the most payments; the first if nothing was paid."""
    for (product,) in tx.rows(
        "select key from tally where figure = 'product' group by key order by sum(count) desc, key"
    ):
        if product in products:
            return str(product)
    return next(iter(products), "")


def _name(product: Product, language: Language) -> str:
    return product.name_en if language == "en" and product.name_en else product.name


def name_of(asked: Asked, id: str) -> str:
    """The name of a product; its id if it is not here any more."""
    product = asked.site.adjudicator.products.get(id)
    return _name(product, asked.language) if product else id


@routes.post("/operations/what-if")
def ask(asked: Asked) -> Response:
    """Ask for a what-if; another process works on it."""
    asked.must_ours("what_if.run")
    try:
        typed = {name: asked.field(name, MOST_TYPED) for name in asked.typed}
        wanted = questions.question(
            asked, asked.field("product", MOST_TYPED), typed, day(asked, "from"), day(asked, "until")
        )
    except Wrong as wrong:
        with asked.reading() as tx:
            return _form(asked, tx, 400, fault=wrong.what)
    with asked.writing(then="/operations/what-if") as tx:
        run = questions.begin(asked, tx, wanted)
    return asked.go(f"/operations/what-if/{run}")


# ---------------------------------------------------------------- one run


@routes.get("/operations/what-if/{run}")
def one(asked: Asked) -> Response:
    """How far a what-if is, or what came out."""
    asked.must_ours("what_if.read")
    with asked.reading() as tx:
        found = trial_with(tx, asked.place("run"))
        sums = found.answer.sums if found.answer else None
        known = {figure.name: figure for figure in figures(trials.body(tx, found.id))}
        return shown(
            asked, tx, "operations/what_if_run.html", "what_if", run=found, sums=sums,
            name=name_of(asked, found.product), topic=trials.topic(found.id),
            changes=[(said(known[name], asked.language), known[name], entered(known[name], before),
                      entered(known[name], after)) for name, before, after in found.changes],
            chart=_chart(sums, asked) if sums else "", steps=_steps(sums, asked) if sums else [],
            most=found.answer.most if found.answer else (), present=found.product in asked.site.adjudicator.products,
        )  # fmt: skip


def _steps(sums: ByCase, asked: Asked) -> list[tuple[str, int]]:
    """How many cases move by how far."""
    edges = [_edge(edge, asked) for edge in STEPS_YUAN]
    names = [
        asked.say("what_if.below", edge=edges[0]),
        *(asked.say("what_if.between", least=least, most=most) for least, most in pairwise(edges)),
        asked.say("what_if.above", edge=edges[-1]),
    ]
    return list(zip(names, sums.steps, strict=True))


def _edge(yuan: int, asked: Asked) -> str:
    """So many yuan in few characters."""
    sign = "+" if yuan > 0 else "−" if yuan < 0 else ""
    return sign + (asked.say(f"what_if.edge.{abs(yuan)}") if abs(yuan) >= 1000 else str(abs(yuan)))


def _chart(sums: ByCase, asked: Asked) -> Markup:
    return chart.columns(
        asked.say("what_if.histogram"), [name for name, _ in _steps(sums, asked)],
        [Series("first", list(sums.steps))], lambda value: f"{value:,.0f}" if value >= 1 or value == 0 else "",
    )  # fmt: skip


@routes.post("/operations/what-if/{run}/cancel")
def cancel(asked: Asked) -> Response:
    """Have nobody work on it any more."""
    asked.must_ours("what_if.run")
    with asked.writing(then=f"/operations/what-if/{asked.place('run')}") as tx:
        questions.cancel(asked, tx)
    return asked.go(said="what_if.cancelled")


@routes.get("/operations/what-if/{run}/cases.csv")
def as_csv(asked: Asked) -> Response:
    """Every case that would move, as CSV."""
    asked.must_ours("what_if.read", f"what_if:{asked.place('run')}")
    with asked.reading() as tx:
        id = trial_with(tx, asked.place("run")).id

    def written() -> Iterator[str]:
        yield "﻿" + _line(["case", "decided", "would_be", "yuan", "would_be_yuan", "difference", "would_wait"])
        part = -1
        while True:
            with asked.site.database.reading() as tx:
                found = trials.moved(tx, id, part)
            if found is None:
                return
            part, moved = found
            yield "".join(
                _line([each.case, each.before, each.after,
                       *(yuan_text(fen) for fen in (each.before_fen, each.after_fen, each.moves_fen, each.waits_fen))])
                for each in moved
            )  # fmt: skip

    return StreamingResponse(
        written(), media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="what-if-{id}.csv"'},
    )  # fmt: skip


def _line(values: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()


@routes.get("/operations/what-if/{run}/product.toml")
def as_product(asked: Asked) -> Response:
    """The changed product file, to be put in the place of the present one."""
    asked.must_ours("what_if.read", f"what_if:{asked.place('run')}")
    with asked.reading() as tx:
        found = trial_with(tx, asked.place("run"))
        text = trials.body(tx, found.id)
    return Response(
        text, media_type="application/toml; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{found.product}.toml"'},
    )  # fmt: skip

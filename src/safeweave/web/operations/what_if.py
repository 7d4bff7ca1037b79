"""What if a product had other figures: a form with the present ones, how far a run is, and what came out."""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import groupby, pairwise

from markupsafe import Markup
from starlette.responses import Response, StreamingResponse

from safeweave.bulk.moving import STEPS_YUAN, ByCase
from safeweave.coverage.figures import Figure, changed, figures
from safeweave.coverage.product import Product
from safeweave.database import Transaction
from safeweave.errors import Conflict, Malformed, NotFound
from safeweave.money import yuan_text
from safeweave.web.asked import Asked
from safeweave.web.operations import chart
from safeweave.web.operations.around import shown
from safeweave.web.operations.chart import Series
from safeweave.web.pages import Routes
from safeweave.web.what_if import process
from safeweave.web.what_if import store as trials
from safeweave.web.what_if.store import Trial
from safeweave.words import Language, knows, say

routes = Routes()

MOST_RUNS = 12
MOST_FIGURE = 24  # characters
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
        typed = {name: _entered(figure, after) for name, _, after in like.changes
                 for figure in known if figure.name == name}  # fmt: skip
    return shown(
        asked, tx, "operations/what_if.html", "what_if", status,
        products=named(asked), chosen=chosen,
        groups=[(kind, list(own)) for kind, own in groupby(known, key=lambda figure: figure.kind)], at_once=AT_ONCE,
        value=lambda figure: typed.get(figure.name, _entered(figure, figure.value)), entered=_entered,
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


def label(figure: Figure, language: Language) -> str:
    """A figure in words: what it is, for which, by which clause and from when."""
    words = [say(f"what_if.key.{figure.key}", language)] if figure.unit == "count" else []
    if figure.basis:
        words.append(say(f"what_if.basis.{figure.basis}", language))
    if figure.of:
        words += [_beside(name, value, language) for name, value in figure.of]
    elif figure.is_rest:
        words.append(say("what_if.others", language))
    words.append(say("what_if.clause", language, block=figure.block, clause=figure.clause, day=figure.from_day))
    return say("what_if.joint", language).join(words)


def _beside(name: str, value: str, language: Language) -> str:
    key = f"what_if.beside.{name}.{value}"
    return say(key, language) if knows(key) else say(f"what_if.beside.{name}.any", language, value=value)


def _entered(figure: Figure, value: str) -> str:
    """A value as people type it: shares in per cent."""
    return f"{Decimal(value) * 100:f}".rstrip("0").rstrip(".") if figure.unit == "rate" else value


def _written(figure: Figure, text: str) -> str:
    """A typed value as product files have it. Malformed if it is none."""
    text = text.replace(",", "").replace("，", "").replace(" ", "").rstrip("%％元")
    try:
        number = Decimal(text)
        if not number.is_finite():
            raise InvalidOperation
        if figure.unit == "rate":
            share = number / 100
            if not 0 <= share <= 1 or share != share.quantize(Decimal("0.0001")):
                raise InvalidOperation
            return f"{share.normalize():f}"
        if number < 0 or number >= 10**11:
            raise InvalidOperation
        if figure.unit == "yuan":
            if number != number.quantize(Decimal("0.01")):
                raise InvalidOperation
            return f"{number:.2f}"
        if number != int(number) or number >= 10**9:
            raise InvalidOperation
        return str(int(number))
    except InvalidOperation:
        raise Malformed(text, field=figure.name) from None


@routes.post("/operations/what-if")
def ask(asked: Asked) -> Response:
    """Ask for a what-if; another process works on it."""
    asked.must_ours("what_if.run")
    try:
        product, body, changes = _changes(asked)
        first, last = _day(asked, "from"), _day(asked, "until")
        if first and last and last < first:
            raise _Wrong(asked.say("what_if.fault.order"))
        if not process.is_possible():
            raise _Wrong(asked.say("what_if.fault.not_installed"))
    except _Wrong as wrong:
        with asked.reading() as tx:
            return _form(asked, tx, 400, fault=str(wrong))
    with asked.writing(then="/operations/what-if") as tx:
        run = trials.add(tx, product, body, changes, first, last, asked.who.id, asked.who.name, asked.now)
    asked.site.trying.look()
    return asked.go(f"/operations/what-if/{run}")


class _Wrong(Exception):
    """Something must be filled in otherwise; a sentence says what."""


def _changes(asked: Asked) -> tuple[str, str, list[tuple[str, str, str]]]:
    """The product, its file with the changes, and these: (figure, before, after). Raises _Wrong."""
    product = asked.field("product", 200)
    if product not in asked.site.adjudicator.products:
        raise _Wrong(asked.say("what_if.fault.product"))
    text = asked.site.adjudicator.product_text(product)
    changes: list[tuple[str, str, str]] = []
    for figure in figures(text):
        if figure.name not in asked.typed:
            continue
        typed = asked.field(figure.name, MOST_FIGURE)
        try:
            after = _written(figure, typed)
        except Malformed:
            raise _Wrong(
                asked.say("what_if.fault.figure", typed=typed or "–", figure=_said(figure, asked.language))
            ) from None
        if Decimal(after) != Decimal(figure.value):
            changes.append((figure.name, figure.value, after))
    if not changes:
        raise _Wrong(asked.say("what_if.fault.no_change"))
    try:
        return product, changed(text, {name: after for name, _, after in changes}), changes
    except Malformed as malformed:
        raise _Wrong(asked.say("what_if.fault.terms", why=malformed.what)) from None


def _said(figure: Figure, language: Language) -> str:
    return f"{say(f'what_if.kind.{figure.kind}', language)}: {label(figure, language)}"


def _day(asked: Asked, name: str) -> date | None:
    text = asked.field(name, 20)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise _Wrong(asked.say("what_if.fault.day", text=text)) from None


# ---------------------------------------------------------------- one run


@routes.get("/operations/what-if/{run}")
def one(asked: Asked) -> Response:
    """How far a what-if is, or what came out."""
    asked.must_ours("what_if.read")
    with asked.reading() as tx:
        found = _trial(asked, tx)
        sums = found.answer.sums if found.answer else None
        known = {figure.name: figure for figure in figures(trials.body(tx, found.id))}
        return shown(
            asked, tx, "operations/what_if_run.html", "what_if", run=found, sums=sums,
            name=name_of(asked, found.product), topic=trials.topic(found.id),
            changes=[(_said(known[name], asked.language), known[name], _entered(known[name], before),
                      _entered(known[name], after)) for name, before, after in found.changes],
            chart=_chart(sums, asked) if sums else "", steps=_steps(sums, asked) if sums else [],
            most=found.answer.most if found.answer else (), present=found.product in asked.site.adjudicator.products,
        )  # fmt: skip


def _trial(asked: Asked, tx: Transaction) -> Trial:
    found = trials.trial(tx, asked.place("run"))
    if found is None:
        raise NotFound("there is no such what-if")
    return found


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
        found = _trial(asked, tx)
        if not trials.cancel(tx, found.id, asked.now):
            raise Conflict("it is over already")
    return asked.go(said="what_if.cancelled")


@routes.get("/operations/what-if/{run}/cases.csv")
def as_csv(asked: Asked) -> Response:
    """Every case that would move, as CSV."""
    asked.must_ours("what_if.read", f"what_if:{asked.place('run')}")
    with asked.reading() as tx:
        id = _trial(asked, tx).id

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
        found = _trial(asked, tx)
        text = trials.body(tx, found.id)
    return Response(
        text, media_type="application/toml; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{found.product}.toml"'},
    )  # fmt: skip

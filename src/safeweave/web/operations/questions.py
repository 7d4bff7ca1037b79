"""What a what-if asks, the same for pages and API: a product with some figures changed, in words and as typed."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from safeweave.coverage.figures import Figure, changed, figures
from safeweave.database import Transaction
from safeweave.errors import Conflict, Malformed, NotFound
from safeweave.web.asked import Asked
from safeweave.web.operations.around import Wrong, must_be_in_order
from safeweave.web.showing import day_shown
from safeweave.web.what_if import process
from safeweave.web.what_if import store as trials
from safeweave.web.what_if.store import Trial
from safeweave.words import Language, knows, say


class Question(NamedTuple):
    """A product, its file with the changes, these as (figure, before, after), and the days that are asked about."""

    product: str
    body: str
    changes: list[tuple[str, str, str]]
    first: date | None
    last: date | None


def question(asked: Asked, product: str, typed: Mapping[str, str], first: date | None, last: date | None) -> Question:
    """What is asked: figures by name, as people type them, shares in per cent. Raises Wrong."""
    if product not in asked.site.adjudicator.products:
        raise Wrong(asked.say("what_if.fault.product"), field="product")
    text = asked.site.adjudicator.product_text(product)
    changes: list[tuple[str, str, str]] = []
    for figure in figures(text):
        if figure.name not in typed:
            continue
        try:
            after = _written(figure, typed[figure.name])
        except Malformed:
            words = asked.say(
                "what_if.fault.figure", typed=typed[figure.name] or "–", figure=said(figure, asked.language)
            )
            raise Wrong(words, field=figure.name) from None
        if Decimal(after) != Decimal(figure.value):
            changes.append((figure.name, figure.value, after))
    if not changes:
        raise Wrong(asked.say("what_if.fault.no_change"), field="figures")
    try:
        body = changed(text, {name: after for name, _, after in changes})
    except Malformed as malformed:
        raise Wrong(asked.say("what_if.fault.terms", why=malformed.what), field="figures") from None
    must_be_in_order(asked, first, last)
    if not process.is_possible():
        raise Wrong(asked.say("what_if.fault.not_installed"))
    return Question(product, body, changes, first, last)


def begin(asked: Asked, tx: Transaction, wanted: Question) -> str:
    """Ask for it, and have another process work on it once this is committed; its id."""
    run = trials.add(
        tx, wanted.product, wanted.body, wanted.changes, wanted.first, wanted.last, asked.who.id, asked.who.name,
        asked.now,
    )  # fmt: skip
    tx.committed.append(asked.site.trying.look)
    return run


def trial_with(tx: Transaction, id: str) -> Trial:
    """The what-if with this id. Raises NotFound."""
    found = trials.trial(tx, id)
    if found is None:
        raise NotFound("there is no such what-if")
    return found


class Over(Conflict):
    """It is over already: there is nothing to cancel."""

    def said(self, language: Language) -> str:
        """So, in one language."""
        return say("what_if.over", language)


def cancel(asked: Asked, tx: Transaction) -> None:
    """Have nobody work on the what-if of this address any more. Raises NotFound, Over."""
    if not trials.cancel(tx, trial_with(tx, asked.place("run")).id, asked.now):
        raise Over("it is over already")


# ---------------------------------------------------------------- figures in words and as typed


def said(figure: Figure, language: Language) -> str:
    """A figure in words with its kind."""
    return f"{say(f'what_if.kind.{figure.kind}', language)}{say('pages.colon', language)}{label(figure, language)}"


def label(figure: Figure, language: Language) -> str:
    """A figure in words: what it is, for which, by which clause and from when."""
    words = [say(f"what_if.key.{figure.key}", language)] if figure.unit == "count" else []
    if figure.basis:
        words.append(say(f"what_if.basis.{figure.basis}", language))
    if figure.of:
        words += [_beside(name, value, language) for name, value in figure.of]
    elif figure.is_rest:
        words.append(say("what_if.others", language))
    words.append(
        say(
            "what_if.clause",
            language,
            block=figure.block,
            clause=figure.clause,
            day=day_shown(figure.from_day, language),
        )
    )
    return say("what_if.joint", language).join(words)


def _beside(name: str, value: str, language: Language) -> str:
    key = f"what_if.beside.{name}.{value}"
    if knows(key):
        return say(key, language)
    several = value.replace(" ", say("letters.clauses", language))
    return say(f"what_if.beside.{name}.any", language, value=several)


def entered(figure: Figure, value: str) -> str:
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

"""How things look on a page: templates, words, amounts, days and times. Times are Shanghai's."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from safeweave.clock import SHANGHAI
from safeweave.money import yuan_shown
from safeweave.words import Language, knows, say

MINUS = "−"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def day_shown(day: date, language: Language) -> str:
    """A day as people read it: 2026年3月6日, 6 Mar 2026."""
    if language == "zh":
        return f"{day.year}年{day.month}月{day.day}日"
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def time_shown(at: datetime, language: Language) -> str:
    """An instant as people in Shanghai read it, to the minute."""
    local = at.astimezone(SHANGHAI)
    return f"{day_shown(local.date(), language)} {local:%H:%M}"


def amount_shown(fen: int, language: Language) -> str:
    """An amount with separators as letters have it: 812.30 元, −5.00 yuan."""
    return say("letters.yuan", language, amount=yuan_shown(fen).replace("-", MINUS))


def moved_shown(fen: int, language: Language) -> str:
    """By how much money moves, with its sign: +812.30 元, −5.00 yuan."""
    return ("+" if fen > 0 else "") + amount_shown(fen, language)


def told_shown(note: str, language: Language) -> str:
    """What somebody said, as it is kept: their name, a colon and the words."""
    name, _, words = note.partition(": ")
    return f"{name}{say('pages.colon', language)}{words}" if words else note


def _in_language(show: Callable[[Any, Language], str]) -> Callable[[Context, Any], str]:
    @pass_context
    def filtered(context: Context, value: Any) -> str:
        return show(value, context["language"])

    return filtered


@cache
def pages() -> Environment:
    """The templates of all pages; whoever adds a folder beside them uses its name as in `portal/home.html`."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader("safeweave.web")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(day=_in_language(day_shown), time=_in_language(time_shown), yuan=_in_language(amount_shown))
    found.filters.update(moved=_in_language(moved_shown), told=_in_language(told_shown))
    found.globals.update(knows=knows)
    return found


def html(template: str, language: Language, values: Mapping[str, Any], block: str = "") -> str:
    """The page, or one block of it; `t(key, ...)` in it says words of `words/`."""

    def t(key: str, **filled: object) -> str:
        return say(key, language, **filled)

    page = pages().get_template(template)
    filled = {**values, "t": t, "language": language, "html_language": "zh-CN" if language == "zh" else "en"}
    if not block:
        return page.render(filled)
    return "".join(page.blocks[block](page.new_context(filled)))

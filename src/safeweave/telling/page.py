"""A letter laid out as a self-contained page that prints on A4, and as plain text for a terminal."""

import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from safeweave.telling.letter import Item, Letter, Section, Sum
from safeweave.words import say

_TEXT_WIDTH = 76  # columns; a Chinese character takes two


@cache
def _template() -> Template:
    loader = PackageLoader("safeweave.telling")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template("letter.html")


def html(letter: Letter) -> str:
    """The letter as one HTML page without scripts or outside files; the same letter always gives the same bytes."""

    def words(key: str) -> str:
        return say(f"letters.{key}", letter.language)

    return _template().render(letter=letter, words=words)


def text(letter: Letter) -> str:
    """The letter as plain text whose amounts stand in one column, Chinese characters counted as two wide."""
    return "\n".join(line.rstrip() for line in _lines(letter)) + "\n"


def _lines(letter: Letter) -> Iterator[str]:
    yield letter.title
    yield "=" * width(letter.title)
    if letter.headline:
        yield f"{letter.headline_label}  {letter.headline}"
    yield ""
    label_width = max(width(label) for label, _ in letter.about)
    for label, value in letter.about:
        yield padded(label, label_width + 2) + value
    yield ""
    yield letter.greeting
    for paragraph in letter.opening:
        yield from wrapped(paragraph, _TEXT_WIDTH)
    for section in letter.sections:
        yield ""
        yield section.heading
        yield "-" * width(section.heading)
        yield from _section(section)
    yield ""
    yield letter.closing
    yield letter.sender
    yield letter.made_on
    yield ""
    yield letter.footer


def _section(section: Section) -> Iterator[str]:
    for paragraph in section.paragraphs:
        yield from wrapped(paragraph, _TEXT_WIDTH)
    for row in section.sums:
        yield from _sum(row)
    if section.sums_foot:
        yield from wrapped(section.sums_foot, _TEXT_WIDTH)
    for item in section.items:
        yield from _item(item)
    for point in section.points:
        for number, line in enumerate(wrapped(point, _TEXT_WIDTH - 2)):
            yield ("  " if number else "· ") + line


def _sum(row: Sum) -> Iterator[str]:
    if row.total:
        yield " " * (_TEXT_WIDTH - 14) + "-" * 14
    yield padded(row.label, _TEXT_WIDTH - 14) + row.amount.rjust(14)
    if row.why:
        for line in wrapped(row.why, _TEXT_WIDTH - 2):
            yield "  " + line


def _item(item: Item) -> Iterator[str]:
    if item.total:
        yield "-" * _TEXT_WIDTH
    yield padded(item.label, _TEXT_WIDTH - 28) + item.amount.rjust(14) + item.paid.rjust(14)
    for label, amount in item.cuts:
        yield padded("     " + label, _TEXT_WIDTH - 28) + amount.rjust(14)


# ---------------------------------------------------------------- Chinese in columns


def width(text: str) -> int:
    """How many columns a terminal gives this text."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def padded(text: str, columns: int) -> str:
    """The text with spaces up to that many columns, one at least."""
    return text + " " * max(columns - width(text), 1)


def wrapped(text: str, columns: float) -> list[str]:
    """The text in lines of at most that many columns."""
    return broken(text, columns, width)


def broken(text: str, room: float, measure: Callable[[str], float]) -> list[str]:
    """The text in lines that measure no more than `room`.

    Lines break at spaces and between Chinese characters, never before a closing mark, after an opening one, or between
    a number and the Chinese word it belongs to; a word longer than a line is cut.
    """
    lines: list[str] = []
    line = ""
    for piece in _pieces(text):
        if not line or measure(line + piece.rstrip()) <= room:
            line += piece
        else:
            lines.append(line.rstrip())
            line = piece.lstrip()
        while measure(line.rstrip()) > room:
            cut = max(next((n for n in range(1, len(line)) if measure(line[: n + 1]) > room), 1), 1)
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


_CLOSING = set("，。、；：！？）】》〉」』”’%·…,.;:!?)]}")
_OPENING = set("（【《〈「『“‘([{")


def _pieces(text: str) -> list[str]:
    """The text cut wherever a line may break."""
    pieces: list[str] = []
    for sign in text:
        if pieces and _belongs(pieces[-1], sign):
            pieces[-1] += sign
        else:
            pieces.append(sign)
    return pieces


def _belongs(piece: str, sign: str) -> bool:
    last = piece[-1]
    if sign == " " or sign in _CLOSING or last in _OPENING:
        return True
    if last == " ":
        before = piece[-2:-1]
        return (before.isdigit() and _wide(sign)) or (sign.isdigit() and before != "" and _wide(before))
    return not _wide(sign) and not _wide(last)


def _wide(sign: str) -> bool:
    return unicodedata.east_asian_width(sign) in "WF"

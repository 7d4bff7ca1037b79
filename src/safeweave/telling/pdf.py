"""A letter as PDF on A4: real text in an embedded font, the same bytes for the same letter.

The font file holds every character of GBK and the rarer ones of names (`fonts/SOURCE.md`). Each letter embeds only the
characters it uses: they are lifted out of one font kept open, which is far quicker than subsetting the whole each time.
"""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import as_file, files
from io import BytesIO
from threading import Lock

from fontTools.fontBuilder import FontBuilder  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont, newTable  # type: ignore[import-untyped]
from fpdf import FPDF
from fpdf.enums import TextMode

from safeweave.telling.letter import Item, Letter, Sum
from safeweave.telling.page import broken
from safeweave.words import say

STAND_IN = "\u3013"  # the geta mark 〓, printers' sign for a character they do not have
_FAMILY = "letter"
_INK, _SOFT, _ACCENT, _PALE, _RULE = (29, 39, 51), (90, 102, 117), (12, 107, 100), (238, 246, 244), (216, 225, 223)
_NO_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # the letter says its day; the file must not differ from run to run
_LEFT, _RIGHT, _TOP, _BOTTOM = 22.0, 188.0, 17.0, 279.0  # millimetres
_WIDTH = _RIGHT - _LEFT
_POINT = 25.4 / 72  # millimetres
_BODY, _SMALL, _SMALL_LINE = 10.5, 8.8, 4.25
_LEADING = 0.55  # line height in millimetres per point of size

_lifting = Lock()  # fontTools reads glyphs lazily and not for two threads at once


def pdf(letter: Letter) -> bytes:
    """The letter as a PDF that says its language and title; a character no font has is shown as 〓."""
    sheet = _Sheet(letter)
    with tempfile.NamedTemporaryFile(suffix=".ttf") as font:
        font.write(_font_for(_characters(letter)))
        font.flush()
        sheet.add_font(_FAMILY, fname=font.name)
        sheet.fonts[_FAMILY].ttfont.recalcBBoxes = False  # type: ignore[union-attr] # right already, and slow to redo
        sheet.write_letter()
        return bytes(sheet.output())


# ---------------------------------------------------------------- the font


# What holds for every glyph of the master holds for some of them too, so it need not be worked out again.
_BOUNDS = {
    "head": ("created", "modified", "xMin", "yMin", "xMax", "yMax"),
    "maxp": ("maxPoints", "maxContours", "maxCompositePoints", "maxCompositeContours", "maxComponentElements",
             "maxComponentDepth"),
}  # fmt: skip


@cache
def _master() -> TTFont:
    with as_file(files("safeweave.telling").joinpath("fonts", "NotoSansSC-Letters.woff")) as path:
        font = TTFont(path, recalcTimestamp=False)
        font.ensureDecompiled(recurse=False)  # read now, while the file is there
    return font


def _font_for(characters: set[str]) -> bytes:
    """A small TrueType font with just these characters, all of which the master has."""
    with _lifting:
        master = _master()
        names = master.getBestCmap()
        cmap = {ord(sign): names[ord(sign)] for sign in sorted(characters)}
        order = [".notdef", *dict.fromkeys(cmap.values())]
        outlines, metrics = master["glyf"], master["hmtx"]
        builder = FontBuilder(master["head"].unitsPerEm, isTTF=True)
        builder.setupGlyphOrder(order)
        builder.setupCharacterMap(cmap)
        glyf = builder.font["glyf"] = newTable("glyf")
        glyf.glyphs = {name: outlines.glyphs[name] for name in order}  # `glyphs` leaves them packed as in the file
        glyf.glyphOrder = order
        builder.font["loca"] = newTable("loca")
        builder.setupHorizontalMetrics({name: metrics[name] for name in order})
    line = master["hhea"]
    builder.setupHorizontalHeader(ascent=line.ascent, descent=line.descent)
    builder.setupNameTable({"familyName": "Noto Sans SC", "styleName": "Regular", "fullName": "Noto Sans SC"})
    builder.setupOS2(sTypoAscender=line.ascent, sTypoDescender=line.descent, sCapHeight=master["OS/2"].sCapHeight)
    builder.setupPost(keepGlyphNames=False)
    for table, fields in _BOUNDS.items():
        for field in fields:
            setattr(builder.font[table], field, getattr(master[table], field))
    builder.font.recalcTimestamp = builder.font.recalcBBoxes = False
    buffer = BytesIO()
    builder.save(buffer)
    return buffer.getvalue()


@cache
def _advance(sign: str) -> int:
    """The width of a character in thousandths of the type size; 0 if the font does not have it."""
    with _lifting:
        name = _master().getBestCmap().get(ord(sign))
        return _master()["hmtx"][name][0] if name else 0


def _width(text: str, size: float) -> float:
    """The width of a printable text in millimetres."""
    return sum(map(_advance, text)) * size * _POINT / 1000


def _printable(text: str) -> str:
    return "".join(sign if _advance(sign) else STAND_IN for sign in text)


def _characters(letter: Letter) -> set[str]:
    seen = set(STAND_IN + "0123456789·/ ")

    def gather(value: object) -> None:
        if isinstance(value, str):
            seen.update(_printable(value))
        elif isinstance(value, tuple):
            for part in value:
                gather(part)
        elif hasattr(value, "__struct_fields__"):
            for field in value.__struct_fields__:
                gather(getattr(value, field))

    gather(letter)
    for key in ("items.what", "items.amount", "items.paid", "page"):
        gather(say(f"letters.{key}", letter.language, page=0))
    return seen


# ---------------------------------------------------------------- the layout


class _Sheet(FPDF):
    """A4 pages on which a letter is set from top to bottom."""

    def __init__(self, letter: Letter) -> None:
        super().__init__(format="A4")
        self.letter = letter
        self.set_auto_page_break(False)
        self.set_lang("zh-CN" if letter.language == "zh" else "en")
        self.set_title(f"{letter.title} {letter.id}")
        self.set_author(letter.sender)
        self.set_producer("safeweave")
        self.set_creation_date(_NO_TIME)
        self.y_at = _TOP

    def write_letter(self) -> None:
        letter = self.letter
        self.add_page()
        self._line(letter.sender, 9.5, _SOFT)
        self._line(letter.title, 20, _INK, strong=True)
        self.y_at += 1.5
        self._rule(_ACCENT, 0.6)
        self.y_at += 4.5
        if letter.headline:
            self._headline()
        self._about()
        self._paragraph(letter.greeting)
        for paragraph in letter.opening:
            self._paragraph(paragraph)
        for section in letter.sections:
            self._heading(section.heading)
            for paragraph in section.paragraphs:
                self._paragraph(paragraph)
            for row in section.sums:
                self._sum(row)
            if section.sums_foot:
                self.y_at += 1
                self._paragraph(section.sums_foot, 9, _SOFT)
            self._items(section.items)
            for point in section.points:
                self._point(point)
        self._need(22)
        self.y_at += 4.5
        for line in (letter.closing, letter.sender, letter.made_on):
            self._line(line, 10.5, _INK)

    def footer(self) -> None:
        self._set(8, _SOFT)
        self.set_draw_color(*_RULE)
        self.set_line_width(0.2)
        self.line(_LEFT, 282, _RIGHT, 282)
        self.text(_LEFT, 287, _printable(self.letter.footer))
        page = say("letters.page", self.letter.language, page=self.page_no())
        self.text(_RIGHT - _width(page, 8), 287, page)

    # ------------------------------------------------------------ pieces

    def _headline(self) -> None:
        self.set_fill_color(*_PALE)
        self.rect(_LEFT, self.y_at, _WIDTH, 16, style="F", round_corners=True, corner_radius=1.5)
        self._set(11, _INK)
        self._put(_LEFT + 5, self.y_at + 9.6, _printable(self.letter.headline_label), 11)
        self._set(19, _ACCENT)
        amount = _printable(self.letter.headline)
        self._put(_RIGHT - 5 - _width(amount, 19), self.y_at + 10.7, amount, 19, strong=True)
        self.y_at += 22

    def _about(self) -> None:
        indent = max(_width(_printable(label), 10) for label, _ in self.letter.about) + 6
        for label, value in self.letter.about:
            lines = self._broken(value, 10, _WIDTH - indent)
            self._need(len(lines) * 5.5)
            self._set(10, _SOFT)
            self._put(_LEFT, self.y_at + 4, _printable(label), 10)
            self._set(10, _INK)
            for line in lines:
                self._put(_LEFT + indent, self.y_at + 4, line, 10)
                self.y_at += 5.5
        self.y_at += 3

    def _heading(self, text: str) -> None:
        self._need(32)  # never a heading alone at the foot of a page
        self.y_at += 5 if self.y_at > _TOP else 0
        self._line(text, 12, _ACCENT, strong=True)
        self.y_at += 1

    def _paragraph(self, text: str, size: float = 10.5, colour: Sequence[int] = _INK) -> None:
        for line in self._broken(text, size, _WIDTH):
            self._line(line, size, colour)
        self.y_at += 1.2

    def _point(self, text: str) -> None:
        lines = self._broken(text, 10, _WIDTH - 5)
        self._need(len(lines) * 10 * _LEADING)
        self.set_fill_color(*_ACCENT)
        self.ellipse(_LEFT + 0.6, self.y_at + 2.3, 1.3, 1.3, style="F")
        for line in lines:
            self._line(line, 10, _INK, indent=5)
        self.y_at += 1.4

    def _sum(self, row: Sum) -> None:
        small = self._broken(row.why, _SMALL, _WIDTH - 36) if row.why else []
        self._need(10 + len(small) * _SMALL_LINE)
        self._amounts(row.label, (row.amount,), row.total)
        for line in small:
            self._set(_SMALL, _SOFT)
            self.text(_LEFT, self.y_at + 3.4, line)
            self.y_at += _SMALL_LINE
        self._end_row(row.total)

    def _items(self, items: Sequence[Item]) -> None:
        """Bill lines, each with its cuts on one page; the column heads stand again on every page."""
        for number, item in enumerate(items):
            if self._need(10 + len(item.cuts) * _SMALL_LINE) or number == 0:
                self._columns()
            self._amounts(item.label, (item.amount, item.paid), item.total)
            for label, amount in item.cuts:
                self._set(_SMALL, _SOFT)
                self.text(_LEFT + 4, self.y_at + 3.4, self._broken(label, _SMALL, _WIDTH - 70)[0])
                self._right((amount, ""), self.y_at + 3.4, _SMALL)
                self.y_at += _SMALL_LINE
            self._end_row(item.total)

    def _columns(self) -> None:
        self._set(9, _SOFT)
        what, *amounts = (say(f"letters.items.{key}", self.letter.language) for key in ("what", "amount", "paid"))
        self.text(_LEFT, self.y_at + 3.5, what)
        self._right(amounts, self.y_at + 3.5, 9)
        self.y_at += 5.5
        self._rule(_RULE, 0.2)

    def _amounts(self, label: str, amounts: Sequence[str], total: bool) -> None:
        """A label on the left, its amounts on the right; below a dark rule and stronger if it is a total."""
        if total:
            self._rule(_INK, 0.35)
        self.y_at += 1.3
        self._set(_BODY, _INK)
        self._right(amounts, self.y_at + 4.3, _BODY, strong=total)
        for line in self._broken(label, _BODY, _WIDTH - 32 * len(amounts)):
            self._put(_LEFT, self.y_at + 4.3, line, _BODY, strong=total)
            self.y_at += 5.7

    def _end_row(self, total: bool) -> None:
        self.y_at += 1.2
        if not total:
            self._rule(_RULE, 0.2)

    def _right(self, amounts: Sequence[str], baseline: float, size: float, *, strong: bool = False) -> None:
        """Amounts in columns of 30 mm, the last one at the right edge."""
        for place, amount in enumerate(reversed(amounts)):
            self._put(_RIGHT - place * 30 - _width(amount, size), baseline, amount, size, strong=strong)

    def _line(self, text: str, size: float, colour: Sequence[int], *, strong: bool = False, indent: float = 0) -> None:
        height = size * _LEADING
        self._need(height)
        self._set(size, colour)
        self._put(_LEFT + indent, self.y_at + height * 0.72, _printable(text), size, strong=strong)
        self.y_at += height

    def _put(self, x: float, baseline: float, text: str, size: float, *, strong: bool = False) -> None:
        """Text in the colour that is set; strong text, for the one weight we carry, has its outline drawn as well."""
        if strong:
            with self.local_context(text_mode=TextMode.FILL_STROKE, line_width=size * 0.009):
                self.set_draw_color(self.text_color)  # type: ignore[arg-type]
                self.text(x, baseline, text)
        elif text:
            self.text(x, baseline, text)

    def _rule(self, colour: Sequence[int], thickness: float) -> None:
        self.set_draw_color(*colour)
        self.set_line_width(thickness)
        self.line(_LEFT, self.y_at, _RIGHT, self.y_at)

    def _need(self, height: float) -> bool:
        """Whether a new page had to begin for something so high."""
        if self.y_at + height <= _BOTTOM:
            return False
        self.add_page()
        self.y_at = _TOP
        return True

    def _set(self, size: float, colour: Sequence[int]) -> None:
        self.set_font(_FAMILY, size=size)
        self.set_text_color(*colour)

    def _broken(self, text: str, size: float, room: float) -> list[str]:
        return broken(_printable(text), room, lambda part: _width(part, size))

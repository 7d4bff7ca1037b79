"""A letter as PDF on A4: real text in an embedded font, the same bytes for the same letter.

The font file holds every character of GBK and the rarer ones of names (`fonts/SOURCE.md`). Each letter embeds only the
characters it uses: they are lifted out of one font kept open, which is far quicker than subsetting the whole each time.
"""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, time
from functools import cache
from importlib.resources import as_file, files
from threading import Lock

from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib import TTFont
from fpdf import FPDF
from fpdf.enums import TextMode

from safeweave.telling.letter import Letter
from safeweave.telling.page import broken
from safeweave.words import say

STAND_IN = "\u3013"  # the geta mark 〓, printers' sign for a character they do not have
_REGULAR = "letter"
_INK, _SOFT, _ACCENT, _PALE, _RULE = (29, 39, 51), (90, 102, 117), (12, 107, 100), (238, 246, 244), (216, 225, 223)
_LEFT, _RIGHT, _TOP, _BOTTOM = 22.0, 188.0, 20.0, 274.0  # millimetres
_WIDTH = _RIGHT - _LEFT
_LEADING = 0.62  # line height in millimetres per point of size

_lifting = Lock()  # fontTools reads glyphs lazily and not for two threads at once


def pdf(letter: Letter) -> bytes:
    """The letter as a PDF that says its language and title; a character no font has is shown as 〓."""
    sheet = _Sheet(letter)
    with tempfile.NamedTemporaryFile(suffix=".ttf") as font:
        font.write(_font_for(_characters(letter)))
        font.flush()
        sheet.add_font(_REGULAR, fname=font.name)
        sheet.write_letter()
        return bytes(sheet.output())


# ---------------------------------------------------------------- the font


@cache
def _master() -> TTFont:
    with as_file(files("safeweave.telling").joinpath("fonts", "NotoSansSC-Letters.woff")) as path:
        font = TTFont(path, recalcTimestamp=False)
        font["glyf"], font["hmtx"]  # noqa: B018 - read now, while the file is there
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
        builder.setupGlyf({name: outlines[name] for name in order}, calcGlyphBounds=False)
        builder.setupHorizontalMetrics({name: metrics[name] for name in order})
    line = master["hhea"]
    builder.setupHorizontalHeader(ascent=line.ascent, descent=line.descent)
    builder.setupNameTable({"familyName": "Noto Sans SC", "styleName": "Regular", "fullName": "Noto Sans SC"})
    builder.setupOS2(sTypoAscender=line.ascent, sTypoDescender=line.descent, sCapHeight=master["OS/2"].sCapHeight)
    builder.setupPost(keepGlyphNames=False)
    builder.font["head"].created = builder.font["head"].modified = master["head"].created
    builder.font.recalcTimestamp = False
    buffer = tempfile.SpooledTemporaryFile(max_size=1 << 22)
    with buffer:
        builder.save(buffer)
        buffer.seek(0)
        return buffer.read()


@cache
def _has(sign: str) -> bool:
    with _lifting:
        return ord(sign) in _master().getBestCmap()


def _printable(text: str) -> str:
    return "".join(sign if _has(sign) else STAND_IN for sign in text)


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
        self.set_creation_date(datetime.combine(datetime(2000, 1, 1).date(), time(), UTC))
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
                self._row((row.label,), (row.why,) if row.why else (), (row.amount,), row.total)
            if section.sums_foot:
                self.y_at += 1
                self._paragraph(section.sums_foot, 9, _SOFT)
            if section.items:
                self._columns()
            for item in section.items:
                self._row((item.label,), item.cuts, (item.amount, item.paid), item.total)
            for point in section.points:
                self._point(point)
        self._need(26)
        self.y_at += 7
        for line in (letter.closing, letter.sender, letter.made_on):
            self._line(line, 10.5, _INK)

    def footer(self) -> None:
        self._set(8, _SOFT)
        self.set_draw_color(*_RULE)
        self.set_line_width(0.2)
        self.line(_LEFT, 281, _RIGHT, 281)
        self.text(_LEFT, 286, _printable(self.letter.footer))
        page = say("letters.page", self.letter.language, page=self.page_no())
        self.text(_RIGHT - self.get_string_width(page), 286, page)

    # ------------------------------------------------------------ pieces

    def _headline(self) -> None:
        self.set_fill_color(*_PALE)
        self.rect(_LEFT, self.y_at, _WIDTH, 16, style="F", round_corners=True, corner_radius=1.5)
        self._set(11, _INK)
        self.text(_LEFT + 5, self.y_at + 9.6, _printable(self.letter.headline_label))
        self._set(19, _ACCENT)
        amount = _printable(self.letter.headline)
        self._strong(_RIGHT - 5 - self.get_string_width(amount), self.y_at + 10.7, amount, 19)
        self.y_at += 22

    def _about(self) -> None:
        self._set(10, _SOFT)
        indent = max(self.get_string_width(_printable(label)) for label, _ in self.letter.about) + 6
        for label, value in self.letter.about:
            lines = self._broken(value, 10, _WIDTH - indent)
            self._need(len(lines) * 6)
            for number, line in enumerate(lines):
                if number == 0:
                    self._set(10, _SOFT)
                    self.text(_LEFT, self.y_at + 4, _printable(label))
                self._set(10, _INK)
                self.text(_LEFT + indent, self.y_at + 4, line)
                self.y_at += 6
        self.y_at += 3.5

    def _heading(self, text: str) -> None:
        self._need(26)  # never a heading alone at the foot of a page
        self.y_at += 6
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

    def _columns(self) -> None:
        self._set(9, _SOFT)
        words = [say(f"letters.items.{key}", self.letter.language) for key in ("what", "amount", "paid")]
        self.text(_LEFT, self.y_at + 3.5, words[0])
        self._right(words[1:], self.y_at + 3.5)
        self.y_at += 5.5
        self._rule(_RULE, 0.2)

    def _row(self, labels: Sequence[str], notes: Sequence[str], amounts: Sequence[str], total: bool) -> None:
        """A label with small notes below it on the left, amounts on the right, a rule below (above a total)."""
        room = _WIDTH - 30 * len(amounts) - 6
        head = [line for label in labels for line in self._broken(label, 10.5, room)]
        small = [line for note in notes for line in self._broken(note, 8.8, room)]
        self._need(len(head) * 6 + len(small) * 4.8 + 4)
        if total:
            self._rule(_INK, 0.35)
        self.y_at += 1.8
        self._set(10.5, _INK)
        if total:
            self._right(amounts, self.y_at + 4.3, strong=True)
        else:
            self._right(amounts, self.y_at + 4.3)
        for line in head:
            self._set(10.5, _INK)
            if total:
                self._strong(_LEFT, self.y_at + 4.3, line, 10.5)
            else:
                self.text(_LEFT, self.y_at + 4.3, line)
            self.y_at += 6
        for line in small:
            self._set(8.8, _SOFT)
            self.text(_LEFT, self.y_at + 3.4, line)
            self.y_at += 4.8
        self.y_at += 1.6
        if not total:
            self._rule(_RULE, 0.2)

    def _right(self, amounts: Sequence[str], baseline: float, strong: bool = False) -> None:
        for place, amount in enumerate(reversed(amounts)):
            x = _RIGHT - place * 30 - self.get_string_width(amount)
            if strong:
                self._strong(x, baseline, amount, 10.5)
            else:
                self.text(x, baseline, amount)

    def _line(self, text: str, size: float, colour: Sequence[int], *, strong: bool = False, indent: float = 0) -> None:
        height = size * _LEADING
        self._need(height)
        self._set(size, colour)
        baseline = self.y_at + height * 0.72
        if strong:
            self._strong(_LEFT + indent, baseline, _printable(text), size)
        else:
            self.text(_LEFT + indent, baseline, _printable(text))
        self.y_at += height

    def _strong(self, x: float, y: float, text: str, size: float) -> None:
        """Bolder text: the one weight we carry, with its outline drawn as well."""
        with self.local_context(text_mode=TextMode.FILL_STROKE, line_width=size * 0.009):
            colour = self.text_color
            self.set_draw_color(colour)
            self.text(x, y, text)

    def _rule(self, colour: Sequence[int], thickness: float) -> None:
        self.set_draw_color(*colour)
        self.set_line_width(thickness)
        self.line(_LEFT, self.y_at, _RIGHT, self.y_at)

    def _need(self, height: float) -> None:
        if self.y_at + height > _BOTTOM:
            self.add_page()
            self.y_at = _TOP

    def _set(self, size: float, colour: Sequence[int]) -> None:
        self.set_font(_REGULAR, size=size)
        self.set_text_color(*colour)

    def _broken(self, text: str, size: float, room: float) -> list[str]:
        self.set_font(_REGULAR, size=size)
        return broken(_printable(text), room, self.get_string_width)

import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from letter_stories import polyp

from safeweave.telling.letter import Named, letter
from safeweave.telling.page import broken, html, text, width

SNAPSHOTS = Path(__file__).parent / "snapshots"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_is_byte_for_byte_the_one_on_file(language):
    """To accept a change: write html(letter(polyp(), language)) to the snapshot and look at it in a browser."""
    assert html(letter(polyp(), language)) == (SNAPSHOTS / f"polyp.{language}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_text_is_the_one_on_file(language):
    assert text(letter(polyp(), language)) == (SNAPSHOTS / f"polyp.{language}.txt").read_text(encoding="utf-8")


def test_the_page_says_its_language_has_one_title_and_loads_nothing():
    page = html(letter(polyp(), "zh"))
    assert '<html lang="zh-CN">' in page
    assert page.count("<h1>") == 1
    assert not re.search(r'(src|href)="|@import|url\(|<script', page)


def test_every_table_cell_has_a_row_head_and_every_table_a_name():
    class Tables(HTMLParser):
        tables, unnamed, rows, headless = 0, 0, 0, 0
        in_row = False

        def handle_starttag(self, tag, attrs):
            if tag == "table":
                self.tables += 1
                self.unnamed += "aria-labelledby" not in dict(attrs)
            if tag == "tr":
                self.rows += 1
                self.headless += 1
                self.in_row = True
            if tag == "th" and self.in_row:
                self.headless -= 1
                self.in_row = False
                assert dict(attrs)["scope"] in ("row", "col")

    seen = Tables()
    seen.feed(html(letter(polyp(), "zh")))
    assert (seen.tables, seen.unnamed, seen.headless) == (2, 0, 0)
    assert seen.rows == 5 + 1 + 8 + 23 + 1


def test_names_cannot_write_into_the_page():
    page = html(letter(polyp(insured="<script>alert(1)</script>", product=Named("<b>")), "zh"))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_same_letter_is_the_same_page_after_it_was_stored():
    stored = msgspec.json.decode(msgspec.json.encode(polyp()), type=type(polyp()))
    assert html(letter(stored, "en")) == html(letter(polyp(), "en"))


def test_amounts_stand_in_one_column_whatever_is_written_before_them():
    lines = text(letter(polyp(), "zh")).splitlines()
    ends = {
        width(line)
        for line in lines
        if line.endswith(("7,600.00", "4,853.50", "100.00", "264.65")) and "元" not in line
    }
    assert ends == {76}


words = st.text(st.sampled_from("保险理赔，。（）: 12.3abc𠮷 "), max_size=60)


@given(words, st.integers(4, 20))
def test_lines_lose_no_character_and_are_never_too_long(said, columns):
    lines = broken(said, columns, width)
    assert "".join(lines).replace(" ", "") == said.replace(" ", "")
    assert all(width(line) <= columns for line in lines)


def test_no_line_begins_with_a_closing_mark_or_parts_a_number_from_its_word():
    assert broken("一共赔付 100.00 元。再见", 14, width) == ["一共赔", "付 100.00 元。", "再见"]
    assert broken("按合同由您承担（条款 1.4）。", 24, width) == ["按合同由您承担（条", "款 1.4）。"]

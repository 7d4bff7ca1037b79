"""Product files: what they may say, and where a fault stands (FORMAT.md §1, §2)."""

import io
from pathlib import Path

import pytest
from claims_given import ACCIDENT, ALLOWANCE, STAY, VISIT, block, day, product

from safeweave.adjudication.stories import products_check_command
from safeweave.coverage.product import load_products, parse_product
from safeweave.errors import Malformed

HEAD = 'format = 1\nproduct = "p"\nname = "试验"\n'
OVER = '[[benefit]]\nid = "over"\nkind = "overflow"\norder = 9\nname = "n"\nafter = "stay"\nicd = []\n'


def fault(text: str) -> Malformed:
    with pytest.raises(Malformed) as caught:
        parse_product(text, "p.toml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("", 1, '"format", "product", "name", "benefit"'),
        ("format = 2\n", 1, "write 1"),
        ("format = true\n", 1, "write 1"),
        ('format = 1\nproduct = 3\nname = "n"\n', 2, "a text in quotes"),
        (HEAD + "\ncolour = 1\n" + STAY, 5, "unknown key"),
        (HEAD, 1, 'missing "benefit"'),
        (HEAD + "benefit = 3\n", 4, "a list"),
        (HEAD + "benefit = [3]\n", 4, "a table"),
        (HEAD + STAY.replace("inpatient", "dental"), 6, 'one of "inpatient"'),
        (HEAD + STAY.replace('kind = "inpatient"\n', ""), 4, 'missing "kind"'),
        (HEAD + STAY.replace("order = 1", "order = true"), 7, "a whole number"),
        (HEAD + STAY.replace("order = 1", "order = 1.0"), 7, "a whole number"),
        (HEAD + STAY + "treatments = []\n", 9, "unknown key"),
        (HEAD + VISIT + "accident_only = true\n", 9, "unknown key"),
        (HEAD + STAY + STAY, 10, "stated twice"),
        (HEAD + STAY + VISIT.replace("order = 2", "order = 1"), 12, "taken by another"),
        (HEAD + STAY + OVER.replace('after = "stay"\n', ""), 9, 'missing "after"'),
        (HEAD + STAY + OVER.replace('after = "stay"', 'after = "x"'), 14, "no benefit whose limits"),
        (HEAD + STAY + OVER.replace('after = "stay"', 'after = "over"'), 14, "no benefit whose limits"),
        (
            HEAD + STAY + '[[benefit]]\nid = "l"\nkind = "lump_sum"\norder = 2\nname = "n"\ntrigger = "birth"\n',
            14,
            "one of",
        ),
        (HEAD + STAY + block("authority", 'yuan = "1.0"'), 13, "two decimals"),
        (HEAD + STAY + block("authority", 'yuan = "-1.00"'), 13, "below 0"),
        (HEAD + STAY + block("authority", "yuan = 1.00"), 13, "yuan in quotes"),
        (HEAD + STAY + block("authority", 'yuan = "01.00"'), 13, "two decimals"),
        (HEAD + STAY + block("authority"), 9, 'missing "yuan"'),
        (HEAD + STAY + block("authority", 'yuan = "1.00"', start="2025-02-30"), 11, "date"),
        (HEAD + STAY + block("authority", 'yuan = "1.00"', start='"2025-02-30"'), 11, "no day of the calendar"),
        (HEAD + STAY + block("authority", 'yuan = "1.00"', start="2025-02-03T00:00:00"), 11, "a day"),
        (HEAD + STAY + block("authority", 'yuan = "1.00"', start='"2025-2-3"'), 11, "a day"),
        (HEAD + STAY + block("authority", 'yuan = "1.00"\nbenefits = ["x"]'), 14, 'no benefit "x"'),
        (HEAD + STAY + block("authority", 'yuan = "1.00"\nended = 1'), 14, "true or false"),
        (HEAD + STAY + block("cover", "tail_days = -1"), 13, "below 0"),
        (HEAD + STAY + block("cover", "tail_days = 99999999999999999999"), 13, "too large"),
        (HEAD + STAY + block("cover", 'stay_year = "both"'), 13, "one of"),
        (HEAD + STAY + block("deductible", 'yuan = "1.00"\nbasis = "lifetime"'), 14, "one of"),
        (HEAD + STAY + block("deductible", 'yuan = "1.00"\nbasis = "year"\noffset_by = ["me"]'), 15, "one of"),
        (HEAD + STAY + block("limit", 'yuan = "1.00"\nbasis = "day"'), 14, "one of"),
        (HEAD + STAY + block("ratio", "rows = []"), 13, "the last row"),
        (
            HEAD + STAY + block("ratio", 'rows = [\n{ rate = "1" },\n{ network = true, rate = "1" },\n]'),
            15,
            "the last row",
        ),
        (HEAD + STAY + block("ratio", 'rows = [\n{ rate = "1.1" }]'), 14, "from"),
        (HEAD + STAY + block("ratio", 'rows = [{ rate = "0.12345" }]'), 13, "at most four decimals"),
        (HEAD + STAY + block("ratio", "rows = [{ rate = 0.5 }]"), 13, "a share in quotes"),
        (HEAD + STAY + block("ratio", 'rows = [{ situation = ["x"], rate = "1" }, { rate = "1" }]'), 13, "one of"),
        (HEAD + STAY + block("waiting", "general_days = 1\nspecial = [\n{ days = 1 }]"), 15, 'missing "icd"'),
        (HEAD + STAY + block("sex_rule", "female_icd = []"), 9, 'missing "male_icd"'),
        (HEAD + STAY + block("hospital", 'network = "H1"'), 13, "a list"),
        (HEAD + STAY + block("scope", "own = 1"), 13, "true or false"),
        (HEAD + STAY + "[bed_cap]\nid = 1\n", 9, "a list"),
    ],
)
def test_a_fault_is_told_with_its_line_and_what_to_write(text, line, part):
    found = fault(text)
    assert (found.line, part in str(found)) == (line, True), str(found)
    assert str(found).startswith(f"p.toml:{line}: ")


def test_two_ids_of_one_kind_in_force_for_one_benefit_are_malformed():
    first, second = (
        block("bed_cap", 'yuan = "1.00"', id="a"),
        block("bed_cap", 'yuan = "1.00"', id="b", start="2024-01-01"),
    )
    found = fault(HEAD + STAY + first + second)
    assert (found.line, "on 2024-01-01" in found.what) == (14, True)
    apart = [
        block("bed_cap", 'yuan = "1.00"\nbenefits = ["stay"]', id="a"),
        block("bed_cap", 'yuan = "1.00"\nbenefits = ["visit"]', id="b"),
    ]
    product(*apart, benefits=STAY + VISIT)
    ended = block("bed_cap", "ended = true", id="a", start="2024-01-01")
    product(first, second, ended)


def test_several_exclusions_limits_and_sex_rules_may_be_in_force():
    for kind, text in (
        ("exclusion", ""),
        ("limit", 'yuan = "1.00"\nbasis = "year"'),
        ("sex_rule", "female_icd = []\nmale_icd = []"),
    ):
        product(block(kind, text, id="a"), block(kind, text, id="b"))


def test_one_id_cannot_begin_twice_on_one_day():
    assert "a later day" in fault(HEAD + STAY + block("bed_cap", 'yuan = "1.00"') * 2).what


def test_a_new_block_replaces_the_old_one_of_its_id_for_all_benefits():
    of = product(
        block("bed_cap", 'yuan = "1.00"'),
        block("bed_cap", 'yuan = "2.00"\nbenefits = ["visit"]', start="2025-01-01"),
        benefits=STAY + VISIT,
    )
    before, after = of.terms_on(day("2024-12-31")), of.terms_on(day("2025-01-01"))
    assert [before[id].bed_cap is not None for id in ("stay", "visit")] == [True, True]
    assert [after[id].bed_cap is not None for id in ("stay", "visit")] == [False, True]


def test_terms_are_compiled_once_for_each_stretch_of_days():
    of = product(block("bed_cap", 'yuan = "1.00"'), block("bed_cap", 'yuan = "2.00"', start="2025-01-01"))
    assert of.terms_on(day("2024-12-31")) is of.terms_on(day("2021-03-01"))
    assert of.terms_on(day("2025-01-01")) is not of.terms_on(day("2024-12-31"))


def test_names_may_be_in_two_languages():
    text = HEAD + 'name_en = "Trial"\n' + STAY + 'name_en = "Stay"\n'
    found = parse_product(text, "p.toml")
    assert (found.name, found.name_en, found.benefit("stay").name_en) == ("试验", "Trial", "Stay")
    with pytest.raises(KeyError):
        found.benefit("visit")


def test_the_digest_is_that_of_the_content_and_not_of_its_looks():
    plain = HEAD + STAY
    assert parse_product(plain, "a").digest == parse_product("# a remark\n" + plain.replace(" = ", "="), "b").digest
    assert parse_product(plain, "a").digest != parse_product(plain.replace("试验", "试"), "a").digest


def test_an_overflow_is_computed_right_after_its_benefit():
    of = product(benefits=STAY + ACCIDENT + ALLOWANCE + OVER)
    assert [benefit.id for benefit in of.sequence] == ["stay", "over", "accident", "daily"]
    assert [benefit.id for benefit in of.benefits] == ["stay", "accident", "daily", "over"]


def test_faults_that_are_no_toml_carry_their_line(tmp_path: Path):
    assert fault('format = 1\nproduct = "a\n').line == 2
    assert fault("format = 1\nformat = 1\n").line == 2
    assert fault("x = " + "[" * 2000 + "]" * 2000).what == "nested too deeply"
    (tmp_path / "p.toml").write_bytes(b"format = 1\n# caf\xe9\n")
    with pytest.raises(Malformed) as caught:
        load_products(tmp_path)
    assert (caught.value.line, "UTF-8" in caught.value.what) == (2, True)


def test_a_fault_is_found_behind_every_form_of_toml():
    text = (
        HEAD
        + "# [[benefit]]\n[[benefit]]\n'id' = 'stay' # remark\n\"kind\" = \"inpatient\"\norder = 1\n"
        + 'name = """two\n[[lines]]\nof \\"""text"""\n'
        + "[[ratio]]\nid='r'\nfrom=2020-01-01\nclause=''''c'\n'''\n"
        + 'rows = [ # remark ]\n  { "class" = [ "甲", ], rate = "1" }, # }\n  { rate = "2" },\n]\n'
    )
    found = fault(text)
    assert (found.line, found.field) == (text[: text.index('"2"')].count("\n") + 1, "ratio[0].rows[1].rate")


def test_checking_a_folder_tells_every_fault(tmp_path: Path):
    (tmp_path / "a.toml").write_text(HEAD + STAY, encoding="utf-8")
    (tmp_path / "b.toml").write_text(HEAD + STAY, encoding="utf-8")
    (tmp_path / "c.toml").write_text("", encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    assert products_check_command(str(tmp_path), out, err) == 2
    assert out.getvalue().startswith("p: 试验, ")
    assert [text.split(": ")[0].rpartition("/")[2] for text in err.getvalue().splitlines()] == ["b.toml:2", "c.toml:1"]
    (tmp_path / "b.toml").unlink()
    (tmp_path / "c.toml").unlink()
    assert products_check_command(str(tmp_path), io.StringIO(), io.StringIO()) == 0
    assert products_check_command(str(tmp_path / "none"), io.StringIO(), io.StringIO()) == 2

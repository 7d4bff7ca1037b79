"""Story files, the bulk form, comparison and the commands over them (FORMAT.md §3, §7, §8)."""

import io
import json
from pathlib import Path

import pytest

from safeweave.adjudication.stories import adjudicate_command, run_story, stories_command
from safeweave.adjudication.story_form import parse_story, told
from safeweave.coverage.product import load_products
from safeweave.errors import Malformed

GOLDEN = Path(__file__).parent.parent / "golden"
PRODUCTS = load_products(GOLDEN / "products")
REFUND = (GOLDEN / "examples/refund-line.toml").read_text(encoding="utf-8")
STORY = REFUND[: REFUND.index("[[then]]")]

BULK = {
    "format": 1,
    "id": "r1",
    "product": "hospital-expense-2020",
    "policy": {
        "birth": "1985-06-01",
        "sex": "F",
        "enrolled": False,
        "period": [{"first_day": "2021-03-01", "last_day": "2022-02-28"}],
    },
    "claim": [
        {
            "id": "c1",
            "kind": "inpatient",
            "claimed_on": "2021-12-06",
            "admitted_on": "2021-12-03",
            "discharged_on": "2021-12-06",
            "diagnoses": ["K35.800"],
            "hospital": {"id": "H33020000001", "level": 3, "public": True, "region": "330200"},
            "bill": [
                {
                    "code": "33060226",
                    "number": "0000020025",
                    "kind": "inpatient",
                    "on": "2021-12-06",
                    "total": "700.00",
                    "social": "none",
                    "line": [
                        {"no": 1, "category": "09", "class": "甲", "amount": "1000.00"},
                        {"no": 2, "category": "09", "class": "甲", "amount": "-300.00", "refund_of": 1},
                    ],
                }
            ],
        }
    ],
}


def fault(text: str) -> Malformed:
    with pytest.raises(Malformed) as caught:
        parse_story(text, "s.toml", PRODUCTS)
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("format = 1", "format = 1.0", "write 1"),
        ('id = "refund-line"', "id = 5", "a text"),
        ("story = ", "storey = ", "unknown key"),
        ("hospital-expense-2020", "hospital-expense-1999", "no product"),
        ('sex = "F"', 'sex = "X"', 'one of "F", "M"'),
        ("birth = 1985-06-01", 'birth = "1985-6-1"', "a day"),
        ("birth = 1985-06-01", "birth = 1985-06-01 00:00:00", "a day"),
        ("enrolled = false", "enrolled = 0", "true or false"),
        ("last_day = 2022-02-28", "last_day = 2021-02-28", "before its first day"),
        ('kind = "inpatient"\nclaimed_on', 'kind = "stay"\nclaimed_on', "one of"),
        ('diagnoses = ["K35.800"]', "diagnoses = [35]", "a text"),
        ("level = 3", "level = 4", "no hospital level"),
        ("level = 3", "level = true", "a whole number"),
        ('region = "330200"', 'region = "33020"', "six digits"),
        ('total = "700.00"', "total = 700.00", "yuan in quotes"),
        ('total = "700.00"', 'total = "-0.00"', "two decimals"),
        ('total = "700.00"', 'total = "1000000000000.00"', "two decimals"),
        ('social = "none"', 'social = "paid"', "one of"),
        ("no = 2", "no = 1", "there twice"),
        ("refund_of = 1", "refund_of = 1.5", "a whole number"),
        ("refund_of = 1", 'ward = "garden"', "one of"),
        ("refund_of = 1", 'split = { own = "0.00" }', 'missing "over", "first", "within"'),
    ],
)
def test_a_malformed_story_is_told_with_its_line(old, new, part):
    assert old in STORY
    found = fault(STORY.replace(old, new))
    assert part in str(found), str(found)
    assert found.line == STORY[: STORY.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("added", "part"),
    [
        ('[[usage]]\nscope = "2025"\n', "a day"),
        ("[[usage]]\nscope = 2025-01-01\n", "a text"),
        ('[[usage]]\nscope = "lifetime"\ncount = { x = -1 }\n', "below 0"),
        ('[[usage]]\nscope = "lifetime"\n[[usage]]\nscope = "lifetime"\n', "there twice"),
        ('[[overlay]]\nid = "o"\nlifts = ["limit"]\nfirst_day = 2025-01-01\nlast_day = 2025-01-01\n', "one of"),
        ('[[paid_bill]]\ncode = "1"\nnumber = "2"\n', 'missing "total"'),
        ('[[then]]\ndecision = "refuse"\n', "one of"),
        ('[[then]]\nadjusted = "1.00"\n', "unknown key"),
        ('[[then]]\npayable = "1"\n', "two decimals"),
        ('[[claim]]\nid = "c1"\nkind = "death"\nclaimed_on = 2025-01-01\n', "there twice"),
        ('[[claim]]\nid = "c2"\nkind = "death"\nclaimed_on = 2025-01-01\nicu_days = -1\n', "below 0"),
    ],
)
def test_a_malformed_part_is_told(added, part):
    assert part in str(fault(STORY + added))


def test_a_bill_must_have_lines_but_a_claim_need_not_have_bills():
    without = STORY[: STORY.index("line = [")]
    assert 'missing "line"' in fault(without).what
    assert fault(without).field == "claim[0].bill[0]"
    parse_story(STORY[: STORY.index("[[claim.bill]]")], "s.toml", PRODUCTS)


# --- commands ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "products").mkdir()
    for path in (GOLDEN / "products").glob("hospital*.toml"):
        (tmp_path / "products" / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper/refund.toml").write_text(REFUND, encoding="utf-8")
    return tmp_path


def stories(*paths: Path | str, products: str | None = None, as_json: bool = False) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = stories_command([str(path) for path in paths], products, as_json, out, err)
    return code, out.getvalue(), err.getvalue()


def test_stories_that_agree_exit_with_nothing(folder: Path):
    assert stories(folder) == (0, "1 agree, 0 differ\n", "")
    assert stories(folder / "deeper/refund.toml", products=str(GOLDEN / "products")) == (0, "1 agree, 0 differ\n", "")


def test_what_lies_below_products_is_no_story(folder: Path):
    (folder / "deeper/products").mkdir()
    (folder / "deeper/products/broken.toml").write_text("x", encoding="utf-8")
    assert stories(folder, products=str(folder / "products"))[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('payable = "420.00"\nrefer', 'payable = "420.01"\nrefer', 'payable: stated "420.01", came out "420.00"'),
        ('paid = "420.00"', 'paid = "419.00"', "lines[inpatient, 2021-03-01, 33060226-0000020025, 1].paid"),
        ('reason = "copayment"', 'reason = "deductible"', "cuts"),
        ("no = 2, amount", "no = 3, amount", "stated, but did not come out"),
        ("duplicates = []", 'duplicates = ["x-y"]', "duplicates"),
        ('payee = "insured"', 'payee = "estate"', "payee"),
        ('{ scope = "2021-03-01", limit = { stay_year = "420.00" } },', "", "usage"),
        ("[[then]]", '[[then]]\nadjustment = "0.00"', "adjustment"),
        ("[[then]]", '[[then]]\nclaim = "c1"\n[[then]]', "states 2 determinations, 1 came out"),
    ],
)
def test_what_is_stated_must_agree(folder: Path, old: str, new: str, part: str):
    assert old in REFUND
    (folder / "deeper/refund.toml").write_text(REFUND.replace(old, new), encoding="utf-8")
    code, out, err = stories(folder)
    assert (code, err, out.splitlines()[-1]) == (1, "", "0 agree, 1 differ")
    assert part in out


@pytest.mark.parametrize(
    "then",
    [
        "",
        "[[then]]\n",
        '[[then]]\nclaim = "c1"\n',
        '[[then]]\nbenefits = [{ benefit = "inpatient", payable = "420.00" }]\n',
        '[[then]]\nlines = [{ no = 1, paid = "420.00" }]\n',
        '[[then]]\nlines = [{ no = 2, cuts = [{ reason = "netted" }] }]\n',
        '[[then]]\nusage = [{ scope = "2021-03-01", limit = { stay_year = "420.00" } }]\n',
    ],
)
def test_what_is_not_stated_is_not_compared(folder: Path, then: str):
    (folder / "deeper/refund.toml").write_text(STORY + then, encoding="utf-8")
    assert stories(folder)[0] == 0


def test_a_list_that_is_stated_empty_must_be_empty(folder: Path):
    (folder / "deeper/refund.toml").write_text(STORY + "[[then]]\nlines = []\n", encoding="utf-8")
    assert stories(folder)[0] == 1


def test_a_malformed_file_is_told_and_the_others_are_run(folder: Path):
    broken = folder / "broken.toml"
    broken.write_text(STORY.replace('sex = "F"', 'sex = "X"'), encoding="utf-8")
    code, out, err = stories(folder)
    assert (code, out) == (2, "1 agree, 0 differ\n")
    assert err.startswith(f"{broken}:9: policy.sex: ")
    broken.write_bytes(b"\xff")
    assert stories(folder)[2] == f"{broken}:1: this is not UTF-8; save the file as UTF-8\n"
    broken.write_bytes(b"")
    assert stories(folder)[2].startswith(f"{broken}:1: missing ")
    assert stories(folder / "nowhere")[0] == 2


def test_a_malformed_product_is_told_by_its_own_file(folder: Path):
    product = folder / "products/other.toml"
    product.write_text("format = 2\n", encoding="utf-8")
    code, out, err = stories(folder)
    assert (code, out, err.startswith(f"{product}:1: format: ")) == (2, "1 agree, 0 differ\n", True)


def test_a_story_without_a_folder_of_products_has_an_unknown_product(tmp_path: Path):
    path = tmp_path / "s.toml"
    path.write_text(STORY, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    code, _, err = stories(path, products=str(tmp_path / "empty"))
    assert (code, err.startswith(f"{path}:5: product: ")) == (2, True)


def test_the_summary_as_json_carries_what_was_computed(folder: Path):
    code, out, _ = stories(folder, as_json=True)
    summary = json.loads(out)
    assert (code, summary["agree"], summary["disagree"]) == (0, 1, 0)
    (row,) = summary["stories"]
    assert (row["id"], row["agree"], row["differences"]) == ("refund-line", True, [])
    assert row["path"] == str(folder / "deeper/refund.toml")
    assert row["then"][0]["payable"] == "420.00"


# --- bulk ---


def adjudicate(content: bytes) -> tuple[int, list[dict], str]:
    out, err = io.BytesIO(), io.StringIO()
    code = adjudicate_command(str(GOLDEN / "products"), io.BytesIO(content), out, err)
    return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


def as_line(**changed) -> bytes:
    return json.dumps({**BULK, **changed}, ensure_ascii=False).encode() + b"\n"


def test_the_bulk_form_gives_what_the_story_gives():
    code, rows, err = adjudicate(as_line() + as_line(id="r2").rstrip(b"\n"))
    assert (code, err, [row["id"] for row in rows]) == (0, "", ["r1", "r2"])
    story = parse_story(STORY, "s.toml", PRODUCTS)
    assert rows[0]["then"] == [told(determination) for determination in run_story(story)]
    assert list(rows[0]["then"][0]) == [
        "claim", "decision", "payable", "refer", "duplicates", "overlays", "benefits", "lines", "usage",
    ]  # fmt: skip


def test_nothing_in_gives_nothing_out():
    assert adjudicate(b"") == (0, [], "")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b"\n", "not JSON"),
        (b"[]\n", "a table"),
        (b'{"format":1,"format":1}\n', "there twice"),
        (b'{"format":NaN}\n', "format: "),
        (b'{"format":1e400}\n', "format: "),
        (b'{"format":' + b"9" * 5000 + b"}\n", "too large"),
        (b"[" * 100000 + b"\n", "too deeply"),
        (b'{"format":1} x\n', "not JSON"),
        (b"\xff\n", "not UTF-8"),
        (b"\xef\xbb\xbf{}\n", "not JSON"),
        (b'{"format":1,"id":"\\ud800"}\n', "not UTF-8"),
        (as_line(story="s"), "unknown key"),
        (as_line(then=[]), "unknown key"),
        (as_line(product="none"), "no product"),
        (as_line(format=1.0), "write 1"),
        (as_line(claim={}), "a list"),
        (as_line(policy={**BULK["policy"], "birth": 19850601}), "policy.birth"),
        (as_line(policy={**BULK["policy"], "enrolled": None}), "policy.enrolled"),
    ],
)
def test_a_malformed_line_is_told_after_the_earlier_ones_are_answered(line, part):
    code, rows, err = adjudicate(as_line() + line + as_line())
    assert (code, [row["id"] for row in rows]) == (2, ["r1"])
    assert err.startswith("-:2: ")
    assert part in err


def test_a_faulty_folder_of_products_answers_nothing(tmp_path: Path):
    err = io.StringIO()
    assert adjudicate_command(str(tmp_path / "none"), io.BytesIO(as_line()), io.BytesIO(), err) == 2
    assert err.getvalue() == f"{tmp_path / 'none'}:1: there is no such folder of products\n"

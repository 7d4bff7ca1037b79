"""Determinations of a store decided again: nothing changes by itself, and a changed product says what it moves."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from given import OTHER_PERSON, House, a_bill, a_house, admitted, billed, day, discharged, lines_of, reversed_bill, yuan
from payments.given_payments import RunningBank
from people.given_people import SAMPLE_MALE
from safeweave.adjudication import product_files
from safeweave.bulk import extract as extracting
from safeweave.bulk import run as running
from safeweave.bulk.extract import NoSuchExtract, OtherExtract, extract
from safeweave.bulk.preview import ProductSums
from safeweave.bulk.run import NotDone, OtherRun, Question, run
from safeweave.errors import Malformed
from safeweave.facts import BillRef
from stores import on

EXPENSE = dict(product_files(None))["hospital-expense-2020.toml"]
WITHOUT_DEDUCTIBLE = EXPENSE.replace('yuan = "100.00"\nbasis = "claim"', 'yuan = "0.00"\nbasis = "claim"')


def stay(visit: str, number: str, total: str = "1000.00", fund: str = "400.00", icd: str = "K80.100", when: str = "03"):
    """A stay of three days in a month of 2026 with one settled bill."""
    first, last = f"2026-{when}-03", f"2026-{when}-06"
    bill = a_bill(number, total, fund, on=day(last), lines=lines_of(total, first))
    return (
        admitted(f"{first}T08:40", icd, visit=visit),
        discharged(f"{last}T15:05", icd=icd, visit=visit),
        billed(bill, f"{last}T15:20", visit=visit),
    )


def lives(house: House) -> House:
    """One person under three policies: stays in a row, a bill that was issued again, and a refusal."""
    house.insures("P-2", "million-medical-2025", since="2025-03-01")
    house.insures("P-3", "daily-allowance-2022", since="2024-01-01")
    house.hears(*stay("ZY1", "1", when="01"))
    house.hears(*stay("ZY2", "2", "30000.00", "9000.00", when="02"))
    house.hears(*stay("ZY3", "3", "20000.00", "1000.00", icd="C50.900", when="03"))
    reissued = a_bill("4", "1200.00", on=day("2026-01-06"), lines=lines_of("1200.00", "2026-01-03"),
                      replaces=BillRef("33060226", "0000000001"))  # fmt: skip
    house.hears(reversed_bill("1", "2026-03-09T09:12", visit="ZY1"), billed(reissued, "2026-03-09T09:30", visit="ZY1"))
    house.hears(*stay("ZY5", "5", icd="F32.900", when="03"))  # an illness that is not covered: a person looks
    house.decides(refuse=True, visit="ZY5")
    house.is_sound()
    return house


@pytest.fixture
def portfolio(house: House) -> House:
    """A node over each engine in which a person has lived."""
    return lives(house)


@pytest.fixture(scope="module")
def extract_of_a_life(tmp_path_factory: pytest.TempPathFactory, one_bank: RunningBank) -> Path:
    """The extract of such a node, with one more stay decided in April; for what has nothing more to do with a store."""
    folder = tmp_path_factory.mktemp("life")
    with on("sqlite"):
        house = lives(a_house(folder, one_bank))
        house.waits(days=30)
        house.hears(*stay("ZY7", "7", when="04"))
        extracted(house, folder / "x")
        house.node.close()
    return folder / "x"


def sells(house: House, text: str) -> None:
    """The product is from now on the one of this text, and the node started again."""
    folder = house.folder / "products"
    folder.mkdir(exist_ok=True)
    for name, other in product_files(None):
        (folder / name).write_text(text if name == "hospital-expense-2020.toml" else other, encoding="utf-8")
    house.node.settings = replace(house.node.settings, products=folder)
    house.restarts()


def extracted(house: House, folder: Path):
    return extract(house.node.database, "the store", folder, house.time())


def determinations(house: House) -> int:
    return house.rows("select count(*) from determination")[0][0]


def test_decided_again_without_a_change_everything_comes_out_as_it_was(portfolio: House, tmp_path: Path):
    manifest = extracted(portfolio, tmp_path / "x")
    assert manifest.claims == determinations(portfolio) > 12
    answer = run(Question(str(tmp_path / "x")), tmp_path / "run")
    total = answer.preview.total
    assert (total.claims, total.changed, total.before_fen) == (manifest.claims, 0, total.after_fen)
    assert total.before_fen == portfolio.rows("select sum(payable) from determination where in_force = 1")[0][0]
    assert answer.preview.moved == {}


def test_a_changed_deductible_moves_its_own_policy_and_what_the_other_one_finds_left(portfolio: House, tmp_path: Path):
    extracted(portfolio, tmp_path / "x")
    changed = (("hospital-expense-2020.toml", WITHOUT_DEDUCTIBLE),)
    answer = run(Question(str(tmp_path / "x"), changed), tmp_path / "run")
    own = answer.preview.products["hospital-expense-2020"]
    other = answer.preview.products["million-medical-2025"]
    assert own.after_fen > own.before_fen
    assert own.paid_less == 0
    assert other.changed > 0  # it sees more compensation by another insurer
    assert answer.preview.products["daily-allowance-2022"].changed == 0
    before, after = answer.preview.reasons["deductible"]
    assert after < before
    # ZY1 as its last bill says: (1200 - 400) x 90 %, and 100 more of it without the deductible
    rows = pq.read_table(tmp_path / "run" / "part-00000" / "claims.parquet").to_pylist()
    own_case, product = portfolio.case("ZY1").id, "hospital-expense-2020"
    (last,) = [r for r in rows if (r["case"], r["product"], r["in_force_after"]) == (own_case, product, True)]
    assert last["payable_after"] - last["payable_before"] == yuan("90.00")


def test_every_line_that_changed_adds_up_with_its_cuts(extract_of_a_life: Path, tmp_path: Path):
    run(Question(str(extract_of_a_life), (("e.toml", WITHOUT_DEDUCTIBLE),)), tmp_path / "run")
    found = pq.read_table(tmp_path / "run" / "part-00000" / "lines.parquet").to_pylist()
    assert found
    assert all(line["amount"] == line["paid"] + sum(cut["fen"] for cut in line["cuts"]) for line in found)
    assert {cut["reason"] for line in found for cut in line["cuts"]} >= {"social_paid", "copayment"}


def test_what_was_decided_before_the_day_asked_about_stands(extract_of_a_life: Path, tmp_path: Path):
    changed = (("e.toml", WITHOUT_DEDUCTIBLE),)
    answer = run(Question(str(extract_of_a_life), changed, date(2026, 4, 1)), tmp_path / "run")
    assert answer.preview.products["hospital-expense-2020"].claims == 1
    assert answer.preview.products["hospital-expense-2020"].after_fen == yuan("540.00")  # (1000 - 400) x 90 %
    assert answer.preview.total.claims == 3  # the stay of April, under each policy
    unchanged = run(Question(str(extract_of_a_life), (), date(2026, 4, 1)), tmp_path / "run2")
    assert unchanged.preview.total.changed == 0


def test_an_interrupted_extract_goes_on_with_the_next_part(portfolio: House, tmp_path: Path, monkeypatch):
    another = {"name": "测试乙", "document": SAMPLE_MALE}
    portfolio.insures("P-9", **another)
    admission, *rest = stay("ZY9", "9")
    portfolio.hears(msgspec.structs.replace(admission, person=OTHER_PERSON), *rest)
    monkeypatch.setattr(extracting, "PART_CLAIMS", 1)
    monkeypatch.setattr(extracting, "PERSONS_READ", 1)
    written = []

    def fail_after_one(manifest):
        written.append(manifest.claims)
        if len(manifest.parts) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(portfolio.node.database, "the store", tmp_path / "x", portfolio.time(), fail_after_one)
    with pytest.raises(NoSuchExtract, match="is not finished"):
        run(Question(str(tmp_path / "x")), tmp_path / "run")
    first = (tmp_path / "x" / "part-00000" / "claims.parquet").stat().st_mtime_ns
    manifest = extracted(portfolio, tmp_path / "x")
    assert (len(manifest.parts), manifest.claims) == (2, determinations(portfolio))
    assert (tmp_path / "x" / "part-00000" / "claims.parquet").stat().st_mtime_ns == first
    answer = run(Question(str(tmp_path / "x")), tmp_path / "run", jobs=2)
    assert (answer.done, answer.preview.total.changed) == (2, 0)


def test_what_is_decided_while_an_extract_is_written_is_not_in_it(portfolio: House, tmp_path: Path):
    begun_at, before = portfolio.time(), determinations(portfolio)
    portfolio.waits(seconds=60)
    portfolio.hears(*stay("ZY8", "8", when="03"))
    assert determinations(portfolio) > before
    manifest = extract(portfolio.node.database, "the store", tmp_path / "x", begun_at)
    assert manifest.claims == before


def test_a_part_that_is_done_is_not_decided_again(extract_of_a_life: Path, tmp_path: Path, monkeypatch):
    once = run(Question(str(extract_of_a_life)), tmp_path / "run")
    monkeypatch.setattr(running, "decide_part", lambda task: pytest.fail("decided again"))
    assert run(Question(str(extract_of_a_life)), tmp_path / "run") == once
    (tmp_path / "run" / "part-00000.json").write_text('{"products":', encoding="utf-8")  # killed while it was written
    with pytest.raises(pytest.fail.Exception):
        run(Question(str(extract_of_a_life)), tmp_path / "run")


def test_a_folder_with_the_answer_to_another_question_is_not_taken_for_this_one(
    extract_of_a_life: Path, tmp_path: Path
):
    run(Question(str(extract_of_a_life)), tmp_path / "run")
    changed = Question(str(extract_of_a_life), (("e.toml", WITHOUT_DEDUCTIBLE),))
    with pytest.raises(OtherRun, match="another question") as other:
        run(changed, tmp_path / "run")
    assert "另一次试算" in other.value.said("zh")
    assert run(changed, tmp_path / "other").preview.total.changed > 0


@pytest.mark.parametrize("noted", [None, '{"question":'])
def test_parts_of_which_nobody_knows_what_they_answer_are_not_taken(
    extract_of_a_life: Path, tmp_path: Path, noted: str | None
):
    run(Question(str(extract_of_a_life)), tmp_path / "run")
    if noted is None:
        (tmp_path / "run" / "question.json").unlink()
    else:
        (tmp_path / "run" / "question.json").write_text(noted, encoding="utf-8")
    with pytest.raises(OtherRun):
        run(Question(str(extract_of_a_life)), tmp_path / "run")


def test_nothing_is_written_to_the_store(portfolio: House, tmp_path: Path):
    kept = portfolio.rows("select * from determination order by id")
    usage = portfolio.rows("select * from usage_addition order by determination, scope, kind, id")
    extracted(portfolio, tmp_path / "x")
    run(Question(str(tmp_path / "x"), (("e.toml", WITHOUT_DEDUCTIBLE),)), tmp_path / "run")
    assert portfolio.rows("select * from determination order by id") == kept
    assert portfolio.rows("select * from usage_addition order by determination, scope, kind, id") == usage


def test_an_extract_holds_no_name(extract_of_a_life: Path, tmp_path: Path):
    for file in extract_of_a_life.rglob("*.parquet"):
        assert "测试甲" not in str(pq.read_table(file).to_pylist()), file


# ---------------------------------------------------------------- asked wrongly


def test_another_store_does_not_go_on_with_an_extract(portfolio: House, tmp_path: Path):
    extracted(portfolio, tmp_path / "x")
    with pytest.raises(OtherExtract, match="was taken from another store"):
        extract(portfolio.node.database, "another store", tmp_path / "x", portfolio.time())


def test_an_extract_of_another_version_is_not_read(tmp_path: Path):
    (tmp_path / "extract.json").write_text('{"format": 99, "later": true}', encoding="utf-8")
    with pytest.raises(OtherExtract, match="format 99"):
        run(Question(str(tmp_path)), tmp_path / "run")


def test_a_manifest_that_is_no_json_is_not_read(tmp_path: Path):
    (tmp_path / "extract.json").write_text('{"format": 1, "par', encoding="utf-8")
    with pytest.raises(OtherExtract, match="cannot be read"):
        run(Question(str(tmp_path)), tmp_path / "run")


def test_where_nothing_was_extracted_the_command_to_do_so_is_named(tmp_path: Path):
    with pytest.raises(NoSuchExtract, match="safeweave what-if extract"):
        run(Question(str(tmp_path)), tmp_path / "run")


def test_a_product_that_decided_nothing_ends_well_with_no_claims_and_moves_nothing(
    extract_of_a_life: Path, tmp_path: Path
):
    text = EXPENSE.replace('product = "hospital-expense-2020"', 'product = "hospital-expense-2099"')
    answer = run(Question(str(extract_of_a_life), (("new.toml", text),)), tmp_path / "run")
    assert answer.preview.products["hospital-expense-2099"] == ProductSums()
    assert (answer.done, answer.preview.total.changed) == (answer.parts, 0)
    assert answer.preview.total.before_fen == answer.preview.total.after_fen > 0


def test_a_malformed_product_is_told_with_its_place(extract_of_a_life: Path, tmp_path: Path):
    text = EXPENSE.replace('yuan = "100.00"', 'yuan = "100"')
    with pytest.raises(Malformed, match=r"changed\.toml:\d+"):
        run(Question(str(extract_of_a_life), (("changed.toml", text),)), tmp_path / "run")


def test_a_disk_that_takes_no_more_leaves_what_is_done(extract_of_a_life: Path, tmp_path: Path, monkeypatch):

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(running, "write_folder", full)
    with pytest.raises(NotDone, match="No space left on device"):
        run(Question(str(extract_of_a_life)), tmp_path / "run")
    monkeypatch.undo()
    assert run(Question(str(extract_of_a_life)), tmp_path / "run").done == 1


def test_on_ray_the_answer_is_the_same(extract_of_a_life: Path, tmp_path: Path):
    pytest.importorskip("ray")
    question = Question(str(extract_of_a_life), (("e.toml", WITHOUT_DEDUCTIBLE),))
    here = run(question, tmp_path / "here")
    assert run(question, tmp_path / "there", "ray", jobs=1) == here

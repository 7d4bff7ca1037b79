"""What persons said of stored claims stands when they are decided again: amounts, refusals, and in which order."""

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from adjudication.test_deciding_again import answers, undoes
from adjudication.test_deciding_again import asks as asks_again
from bulk.test_what_if import EXPENSE, WITHOUT_DEDUCTIBLE, extracted, sells, stay
from given import House, a_bill, billed, day, lines_of, ref, reversed_bill, yuan
from safeweave import worker
from safeweave.adjudication import store as determinations
from safeweave.adjudication.determination import Adjustment, Change
from safeweave.bulk.engine import decide_all
from safeweave.bulk.moving import by_case
from safeweave.bulk.run import Answer, Question, run
from safeweave.coverage.figures import changed

PRODUCT = "hospital-expense-2020"
MORE_AUTHORITY = EXPENSE.replace('yuan = "10000.00"', 'yuan = "100000.00"', 1)
COVERING_F = EXPENSE.replace('icd = ["F", "O", "Q", "Z"]', 'icd = ["O", "Q", "Z"]')


@pytest.fixture(params=["sqlite"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["in columns", "one by one"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to decide what both can."""
    few = {"in columns": 1, "one by one": 1_000}[request.param]
    monkeypatch.setattr(decide_all, "__kwdefaults__", decide_all.__kwdefaults__ | {"few": few})
    return str(request.param)


def adjusts(house: House, visit: str, paid: str) -> None:
    """A person pays an amount of the person's own for the first line of the first bill."""
    case = house.case(visit).id
    [waiting] = house.asks(lambda tx: determinations.waiting_for_a_person(tx, case))
    change = Change("inpatient", "2026-01-01", waiting.claim.bills[0].key, 1, yuan(paid))
    house.time.pass_(60)
    with house.node.database.transaction() as tx:
        told = house.node.adjudicator.decide_by_person(
            tx, case, "李核赔", "病历写明为必要治疗", False, house.time(),
            {waiting.policy: Adjustment("1.6", (change,))},
        )  # fmt: skip
        worker.tell(tx, told, house.time())
    house.works()


def decides(house: House, visit: str, refuse: bool = False) -> None:
    house.time.pass_(60)  # a person needs a moment
    house.decides(refuse=refuse, visit=visit)


def asks(house: House, folder: Path, product: str = "", **days: date) -> Answer:
    """The answer to a what-if on a fresh extract; with the text of a changed product or none."""
    extracted(house, folder / "x")
    return run(Question(str(folder / "x"), (("p.toml", product),) if product else (), **days), folder / "run")


def rows(folder: Path, case: str) -> list[tuple[str, int, bool, str]]:
    """What would be decided of a case, determination by determination: decision, fen, whether it counts, and how."""
    found = pq.read_table(folder / "run" / "part-00000" / "claims.parquet").to_pylist()
    return [
        (row["decision_after"], row["payable_after"], row["in_force_after"], row["decided_by"])
        for row in found
        if row["case"] == case
    ]


def nothing_moves(answer: Answer) -> bool:
    total = answer.preview.total
    return (total.changed, total.after_fen, answer.preview.moved) == (0, total.before_fen, {})


# ---------------------------------------------------------------- amounts


def test_an_amount_that_a_person_said_stands_and_counts_towards_limits(house: House, tmp_path: Path):
    house.hears(*stay("ZY1", "1", icd="F32.900", when="01"))  # an illness that is not covered: a person looks
    adjusts(house, "ZY1", "100.00")
    house.hears(*stay("ZY2", "2", "30000.00", "9000.00", when="02"))  # up to the limit of the year
    decides(house, "ZY2")
    house.hears(*stay("ZY3", "3", when="03"))
    answer = asks(house, tmp_path)
    assert answer.preview.total.before_fen == yuan("15000.00")
    assert nothing_moves(answer)
    assert rows(tmp_path, house.case("ZY1").id) == [
        ("refuse-proposed", 0, False, "few"), ("pay", yuan("100.00"), True, "stands"),
    ]  # fmt: skip


def test_an_amount_that_a_person_said_stands_under_a_changed_product(house: House, tmp_path: Path):
    house.hears(*stay("ZY1", "1", icd="F32.900", when="01"))
    adjusts(house, "ZY1", "100.00")
    house.hears(*stay("ZY2", "2", when="02"))
    answer = asks(house, tmp_path, WITHOUT_DEDUCTIBLE)
    total = answer.preview.total
    assert (total.before_fen, total.after_fen) == (yuan("550.00"), yuan("640.00"))  # of the other stay
    assert "adjusted" in answer.preview.reasons
    lines = pq.read_table(tmp_path / "run" / "part-00000" / "lines.parquet").to_pylist()
    assert all(line["amount"] == line["paid"] + sum(cut["fen"] for cut in line["cuts"]) for line in lines)


def test_what_the_rules_would_now_pay_is_replaced_by_the_amount_that_a_person_said(house: House, tmp_path: Path):
    house.hears(*stay("ZY1", "1", icd="F32.900", when="01"))
    adjusts(house, "ZY1", "100.00")
    answer = asks(house, tmp_path, COVERING_F)
    assert answer.preview.total.after_fen == yuan("100.00")
    assert rows(tmp_path, house.case("ZY1").id) == [
        ("pay", yuan("450.00"), False, "few"), ("pay", yuan("100.00"), True, "stands"),
    ]  # fmt: skip


def test_what_is_paid_by_hand_where_the_rules_computed_nothing_stands(house: House, tmp_path: Path):
    house.hears(*stay("ZY1", "1", icd="??", when="01"))
    adjusts(house, "ZY1", "600.00")  # all that others have left: nothing is cut by the person
    answer = asks(house, tmp_path)
    assert answer.preview.total.before_fen == yuan("600.00")
    assert nothing_moves(answer)


def test_a_later_bill_of_a_claim_with_such_an_amount_is_decided_by_the_rules(house: House, tmp_path: Path):
    house.hears(*stay("ZY1", "1", "20000.00", when="01"))
    adjusts(house, "ZY1", "12000.00")
    reissued = a_bill("2", "21000.00", on=day("2026-01-06"), lines=lines_of("21000.00", "2026-01-03"), replaces=ref())
    house.hears(reversed_bill(visit="ZY1"), billed(reissued, "2026-03-09T10:00", visit="ZY1"))
    decides(house, "ZY1")
    assert nothing_moves(asks(house, tmp_path))
    assert [(decision, counts) for decision, _, counts, _ in rows(tmp_path, house.case("ZY1").id)] == [
        ("refer", False), ("pay", False), ("refer", False), ("pay", True),
    ]  # fmt: skip


# ---------------------------------------------------------------- what was put back


def undone(house: House) -> None:
    """Two stays paid, decided again with a smaller deductible, and put back as they were."""
    house.hears(*stay("ZY1", "1", when="01"), *stay("ZY2", "2", "2000.00", when="02"))
    sells(house, changed(EXPENSE, {"deductible[0].yuan": "50.00"}))
    again = asks_again(house)
    house.time.pass_(60)
    answers(house, again)
    house.time.pass_(60)
    undoes(house, again)


def test_what_an_undo_put_back_stands_while_its_product_does(house: House, tmp_path: Path):
    undone(house)
    answer = asks(house, tmp_path)
    assert answer.preview.total.before_fen == yuan("1800.00")
    assert nothing_moves(answer)
    assert [how for *_, how in rows(tmp_path, house.case("ZY1").id)] == ["few", "history", "stands"]


def test_what_an_undo_put_back_is_decided_by_a_changed_product(house: House, tmp_path: Path):
    undone(house)
    answer = asks(house, tmp_path, WITHOUT_DEDUCTIBLE)
    assert (answer.preview.total.before_fen, answer.preview.total.after_fen) == (yuan("1800.00"), yuan("1980.00"))


# ---------------------------------------------------------------- refusals


def test_a_refusal_stays_a_refusal_when_the_rules_would_now_pay(house: House, tmp_path: Path, engine: str):
    house.hears(*stay("ZY1", "1", "20000.00", when="01"))  # above the authority
    decides(house, "ZY1", refuse=True)
    house.hears(*stay("ZY2", "2", when="02"))
    answer = asks(house, tmp_path, MORE_AUTHORITY)
    total = answer.preview.total
    assert (total.before_fen, total.after_fen) == (yuan("450.00"), yuan("450.00"))  # of the other stay
    sums, moved = by_case(tmp_path / "run" / "part-00000", PRODUCT)
    assert (sums.cases, sums.same, moved) == (2, 2, [])
    first, last = rows(tmp_path, house.case("ZY1").id)
    assert first == ("refer", yuan("15000.00"), False, "columns" if engine == "in columns" else "few")
    assert last[:3] == ("refuse", 0, False)


def test_every_bill_of_a_case_that_a_person_then_refused_stays_unpaid(house: House, tmp_path: Path):
    """What was referred first was answered by the next bill, and only that by the person."""
    house.hears(*stay("ZY1", "1", "20000.00", when="01"))
    reissued = a_bill("2", "21000.00", on=day("2026-01-06"), lines=lines_of("21000.00", "2026-01-03"), replaces=ref())
    house.hears(reversed_bill(visit="ZY1"), billed(reissued, "2026-03-09T10:00", visit="ZY1"))
    decides(house, "ZY1", refuse=True)
    answer = asks(house, tmp_path, MORE_AUTHORITY)
    assert (answer.preview.total.before_fen, answer.preview.total.after_fen) == (0, 0)


def test_a_refusal_to_take_money_back_leaves_what_was_paid(house: House, tmp_path: Path):
    house.hears(*stay("ZY1", "1", when="01"))
    cheaper = a_bill("2", "900.00", on=day("2026-01-06"), lines=lines_of("900.00", "2026-01-03"), replaces=ref())
    house.hears(reversed_bill(visit="ZY1"), billed(cheaper, "2026-03-09T10:00", visit="ZY1"))
    assert house.decided("ZY1")[-1].decision == "refer"
    decides(house, "ZY1", refuse=True)
    assert len(house.in_force("ZY1")) == 1
    answer = asks(house, tmp_path, EXPENSE.replace('rate = "0.90"', 'rate = "0.95"'))
    assert answer.preview.total.after_fen == yuan("475.00")  # (1000 - 400 - 100) x 95 %


def test_another_policy_finds_nothing_paid_by_one_whose_claim_a_person_refused(
    house: House, tmp_path: Path, engine: str
):
    """The bills are shared; what the first policy would now pay is not paid, so the second one pays what it paid."""
    house.insures("P-2", "million-medical-2025", since="2025-03-01")
    house.hears(*stay("ZY1", "1", "40000.00", "9000.00", when="01"))
    refused = house.decided("ZY1")
    assert [decided.decision for decided in refused].count("refer") >= 1
    decides(house, "ZY1", refuse=True)
    before = asks(house, tmp_path).preview.products["million-medical-2025"]
    after = run(Question(str(tmp_path / "x"), (("p.toml", MORE_AUTHORITY),)), tmp_path / "more")
    assert after.preview.products["million-medical-2025"].after_fen == before.before_fen


# ---------------------------------------------------------------- two policies at once


def released_together(house: House) -> None:
    """A stay ready while no product is there, and released by a person for both policies at once when they are."""
    house.insures("P-2", again=False)
    products = house.node.adjudicator.products
    gone = products.pop(PRODUCT)
    house.hears(*stay("ZY1", "1", when="03"))
    assert (house.stage("ZY1"), house.decided("ZY1")) == ("referred", [])
    products[gone.id] = gone
    decides(house, "ZY1")
    assert [paid.payable for paid in house.in_force("ZY1")] == [yuan("450.00"), yuan("45.00")]


def test_what_a_person_released_for_two_policies_at_once_is_decided_as_it_was(house: House, tmp_path: Path):
    released_together(house)
    answer = asks(house, tmp_path)
    assert answer.preview.total.before_fen == yuan("495.00")
    assert nothing_moves(answer)


def test_the_second_of_two_policies_finds_what_the_first_one_would_now_pay(house: House, tmp_path: Path):
    released_together(house)
    answer = asks(house, tmp_path, WITHOUT_DEDUCTIBLE)
    assert answer.preview.total.after_fen == yuan("594.00")  # 540, and 90 % of the 60 that are left

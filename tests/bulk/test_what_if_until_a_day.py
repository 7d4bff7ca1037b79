"""A what-if about the claims decided up to a day: each at its turn, whatever came later."""

from datetime import date
from pathlib import Path

import pytest

from bulk.test_what_if import EXPENSE, WITHOUT_DEDUCTIBLE, extracted, sells, stay
from given import House, a_bill, billed, day, lines_of, ref, reversed_bill, yuan
from safeweave.bulk.moving import by_case
from safeweave.bulk.run import Answer, Question, run

PRODUCT = "hospital-expense-2020"
MARCH = date(2026, 3, 10)  # the day on which the tests begin
YEARLY = EXPENSE.replace('yuan = "100.00"\nbasis = "claim"', 'yuan = "100.00"\nbasis = "year"')


@pytest.fixture(params=["sqlite"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def asks(house: House, folder: Path, product: str = "", **days: date) -> Answer:
    if not (folder / "x").exists():
        extracted(house, folder / "x")
    name = f"run-{len(list(folder.iterdir()))}"
    answer = run(Question(str(folder / "x"), (("p.toml", product),) if product else (), **days), folder / name)
    sums, _ = by_case(folder / name / "part-00000", PRODUCT)  # what the page shows says the same
    total = answer.preview.total
    assert (sums.before_fen, sums.after_fen) == (total.before_fen, total.after_fen)
    return answer


def money(answer: Answer) -> tuple[int, int, int, int]:
    """How many claims, how many changed, and the money before and after."""
    total = answer.preview.total
    return total.claims, total.changed, total.before_fen, total.after_fen


@pytest.fixture
def corrected(house: House) -> House:
    """A stay paid on 10 March; in April its bill is issued again, and dearer. Another stay between the two."""
    house.hears(*stay("ZY1", "1", when="01"))
    house.waits(days=10)
    house.hears(*stay("ZY2", "2", when="03"))
    house.waits(days=30)
    dearer = a_bill("3", "1200.00", on=day("2026-01-06"), lines=lines_of("1200.00", "2026-01-03"), replaces=ref())
    house.hears(reversed_bill("1", "2026-04-19T09:12", visit="ZY1"), billed(dearer, "2026-04-19T09:30", visit="ZY1"))
    assert [paid.payable for paid in house.in_force("ZY1")] == [yuan("630.00")]
    return house


def test_nothing_moves_without_a_change_whatever_the_days(corrected: House, tmp_path: Path):
    assert money(asks(corrected, tmp_path)) == (3, 0, yuan("1080.00"), yuan("1080.00"))
    assert money(asks(corrected, tmp_path, until_day=MARCH)) == (1, 0, 0, 0)
    between = {"from_day": date(2026, 3, 11), "until_day": date(2026, 4, 1)}
    assert money(asks(corrected, tmp_path, **between)) == (1, 0, yuan("450.00"), yuan("450.00"))
    assert money(asks(corrected, tmp_path, from_day=date(2026, 4, 1))) == (1, 0, yuan("630.00"), yuan("630.00"))


def test_what_was_replaced_after_the_last_day_counts_on_neither_side(corrected: House, tmp_path: Path):
    assert money(asks(corrected, tmp_path, WITHOUT_DEDUCTIBLE, until_day=MARCH)) == (1, 1, 0, 0)
    both = asks(corrected, tmp_path, WITHOUT_DEDUCTIBLE, until_day=date(2026, 4, 1))
    assert money(both) == (2, 2, yuan("450.00"), yuan("540.00"))


def test_what_would_now_be_paid_is_replaced_by_what_a_person_released_after_the_last_day(house: House, tmp_path: Path):
    house.hears(*stay("ZY1", "1", "20000.00", when="01"))  # above the authority
    house.waits(days=30)
    house.decides(visit="ZY1")
    more = EXPENSE.replace('yuan = "10000.00"', 'yuan = "100000.00"', 1)
    assert money(asks(house, tmp_path, more, until_day=MARCH)) == (1, 1, 0, 0)
    assert money(asks(house, tmp_path, more)) == (2, 2, yuan("15000.00"), yuan("15000.00"))


@pytest.fixture
def yearly(house: House) -> House:
    """A yearly limit of 15,000.00 of which the stay in March uses 9,000.00 and that of April the rest."""
    house.hears(*stay("ZY1", "1", "10500.00", when="01"))
    house.waits(days=40)
    house.hears(*stay("ZY2", "2", "10500.00", when="04"))
    assert [paid.payable for visit in ("ZY1", "ZY2") for paid in house.in_force(visit)] == [
        yuan("9000.00"), yuan("6000.00"),
    ]  # fmt: skip
    return house


def test_what_was_used_after_the_last_day_is_not_used_yet(yearly: House, tmp_path: Path):
    assert money(asks(yearly, tmp_path, until_day=MARCH)) == (1, 0, yuan("9000.00"), yuan("9000.00"))
    cheaper = asks(yearly, tmp_path, WITHOUT_DEDUCTIBLE, until_day=MARCH)
    assert money(cheaper) == (1, 1, yuan("9000.00"), yuan("9090.00"))


def test_a_deductible_met_after_the_last_day_is_not_met_yet(house: House, tmp_path: Path):
    """Of 100.00 a year a stay bears 60.00, a later one 40.00; of 50.00 the first one would bear all."""
    sells(house, YEARLY)
    house.hears(*stay("ZY1", "1", "460.00", when="01"))
    house.waits(days=40)
    house.hears(*stay("ZY2", "2", when="04"))
    assert [paid.payable for visit in ("ZY1", "ZY2") for paid in house.in_force(visit)] == [0, yuan("504.00")]
    lower = YEARLY.replace('yuan = "100.00"\nbasis = "year"', 'yuan = "50.00"\nbasis = "year"')
    answer = asks(house, tmp_path, lower, until_day=MARCH)
    assert money(answer) == (1, 1, 0, yuan("9.00"))
    assert answer.preview.reasons["deductible"] == (yuan("60.00"), yuan("50.00"))


def test_what_was_replaced_later_had_still_been_used_between(house: House, tmp_path: Path):
    """The stay of April finds the limit as the stay of March left it, before the bill of that was issued again."""
    house.hears(*stay("ZY1", "1", "10500.00", when="01"))
    house.waits(days=40)
    house.hears(*stay("ZY2", "2", "10500.00", when="04"))
    house.waits(days=10)
    cheaper = a_bill("3", "9000.00", on=day("2026-01-06"), lines=lines_of("9000.00", "2026-01-03"), replaces=ref())
    house.hears(reversed_bill("1", "2026-04-29T09:12", visit="ZY1"), billed(cheaper, "2026-04-29T09:30", visit="ZY1"))
    house.waits(seconds=60)
    house.decides(visit="ZY1")
    assert [paid.payable for paid in house.in_force("ZY1")] == [yuan("7650.00")]
    days = {"from_day": date(2026, 4, 1), "until_day": date(2026, 4, 20)}
    assert money(asks(house, tmp_path, **days)) == (1, 0, yuan("6000.00"), yuan("6000.00"))

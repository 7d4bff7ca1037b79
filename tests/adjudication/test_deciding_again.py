"""Decisions made again in bulk: looked at, approved by another person, carried out in the flow, put back exactly."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulk.test_what_if import stay
from given import House, a_house, reversed_bill, settled, yuan
from payments.given_payments import RunningBank
from safeweave import worker
from safeweave.adjudication import again, product_files
from safeweave.adjudication.again import NotNow, Wanted
from safeweave.adjudication.replay import replay
from safeweave.coverage import opening_usage
from safeweave.coverage.figures import changed
from safeweave.errors import NotAllowed, NotFound
from safeweave.payments.journal import trial_balance_fen
from stores import engines, on

EXPENSE = "hospital-expense-2020"
DEDUCTIBLE, SHARE = "deductible[0].yuan", "ratio[1].rows[0].rate"


@pytest.fixture(params=["sqlite"])  # one test asks both engines
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def corrects(house: House, **figures: str) -> None:
    """The product file is put right, and the node started again."""
    folder = house.folder / "products"
    folder.mkdir(exist_ok=True)
    for name, text in product_files(None):
        is_ours = name == f"{EXPENSE}.toml"
        (folder / name).write_text(changed(text, figures) if is_ours else text, encoding="utf-8")
    house.node.settings = replace(house.node.settings, products=folder)
    house.restarts()


def asks(house: House, why: str = "免赔额写错了", by: str = "张", **wanted) -> str:
    """One person asks; what would change has been looked at."""
    with house.node.database.transaction() as tx:
        run, told = house.node.again.ask(tx, EXPENSE, why, Wanted(**wanted), by, by, house.time())
        worker.tell(tx, told, house.time())
    house.works()
    return run


def answers(house: House, run: str, by: str = "李", approve: bool = True) -> None:
    with house.node.database.transaction() as tx:
        told = house.node.again.answer(tx, again.run_with(tx, run), approve, by, by, "看过", house.time())
        worker.tell(tx, told, house.time())
    house.works()


def undoes(house: House, run: str, by: str = "张", second: str = "李") -> None:
    with house.node.database.transaction() as tx:
        again.ask_undo(tx, again.run_with(tx, run), "更正有误", by, by, house.time())
    with house.node.database.transaction() as tx:
        told = house.node.again.answer_undo(tx, again.run_with(tx, run), True, second, second, house.time())
        worker.tell(tx, told, house.time())
    house.works()


def lives(house: House, *totals: str) -> None:
    """Stays in a row, month by month; 医保 has borne 400.00 of each bill."""
    for number, total in enumerate(totals, start=1):
        house.hears(*stay(f"ZY{number}", str(number), total, when=f"{number:02}"))


def counts(house: House, run: str) -> dict[str, int]:
    return {state: sums.cases for state, sums in house.asks(lambda tx: again.counts(tx, run)).items() if sums.cases}


def money(house: House) -> dict[str, int]:
    """What stands paid for each case."""
    return dict(house.rows("select case_id, sum(payable) from determination where in_force = 1 group by case_id"))


def why_left(house: House, run: str, state: str = "left") -> list[str]:
    return [why for (why,) in house.rows(
        "select why from again_case where run = ? and state = ? order by no", run, state)]  # fmt: skip


def holds_together(house: House) -> None:
    """The books balance, and every determination and usage comes out again."""
    house.is_sound()
    with house.node.database.reading() as tx:
        assert trial_balance_fen(tx) == 0
        cases = [case for (case,) in tx.rows("select id from claim_case")]
        faults = [fault for each in replay(tx, cases, lambda keys: opening_usage(tx, keys)) for fault in each.faults]
    assert faults == []


@pytest.mark.parametrize("store", engines(), indirect=True)
def test_more_is_paid_as_approved_and_an_undo_puts_back_what_stood(house: House):
    lives(house, "1000.00", "2000.00")
    before, used = money(house), house.usage()
    corrects(house, **{DEDUCTIBLE: "50.00"})
    run = asks(house)
    looked = house.asks(lambda tx: again.run_with(tx, run))
    assert (looked.state, looked.looked) == ("proposed", 2)
    planned = house.asks(lambda tx: again.counts(tx, run))["planned"]
    assert (planned.cases, planned.after_fen - planned.before_fen) == (2, yuan("90.00"))
    assert money(house) == before  # nothing is decided before another person approved
    answers(house, run)
    assert counts(house, run) == {"decided": 2}
    assert sorted(money(house).values()) == [yuan("495.00"), yuan("1395.00")]
    assert sorted(amount for _, amount in house.payouts("ZY1")) == [yuan("45.00"), yuan("450.00")]
    assert house.stage("ZY1") == "closed"
    holds_together(house)
    undoes(house, run)
    assert counts(house, run) == {"undone": 2}
    assert (money(house), house.usage()) == (before, used)
    assert house.recoveries("ZY1") == [yuan("45.00")]
    assert [each.decision for each in house.decided("ZY1")] == ["pay", "pay", "pay"]
    assert house.decided("ZY1")[-1].decided_by == "张 / 李"
    holds_together(house)


def test_what_would_be_less_goes_to_a_person_and_stands_until_then(house: House):
    lives(house, "1000.00")
    before, used = money(house), house.usage()
    corrects(house, **{DEDUCTIBLE: "300.00"})
    run = asks(house)
    planned = house.asks(lambda tx: again.counts(tx, run))["planned"]
    assert (planned.after_fen, planned.waits_fen) == (planned.before_fen, yuan("270.00"))
    answers(house, run)
    assert counts(house, run) == {"referred": 1}
    assert (money(house), house.stage("ZY1")) == (before, "referred")
    assert house.decided("ZY1")[-1].result.refer == ("recovery",)
    undoes(house, run)
    assert (money(house), house.usage(), house.stage("ZY1")) == (before, used, "closed")
    assert house.recoveries("ZY1") == []
    holds_together(house)


def test_nothing_changes_under_the_same_terms(house: House):
    lives(house, "1000.00", "2000.00")
    run = asks(house)
    assert counts(house, run) == {}
    assert house.asks(lambda tx: again.run_with(tx, run)).looked == 2


def test_only_the_cases_or_days_that_were_asked_for(house: House):
    lives(house, "1000.00", "2000.00")
    case = house.case("ZY2").id
    corrects(house, **{DEDUCTIBLE: "0.00"})
    assert counts(house, asks(house, cases=(case,))) == {"planned": 1}
    assert counts(house, asks(house, from_day=house.time().date())) == {"planned": 2}
    assert counts(house, asks(house, from_day=house.time().date().replace(year=2027))) == {}


def test_whoever_asked_does_not_approve_and_an_answer_is_given_once(house: House):
    lives(house, "1000.00")
    corrects(house, **{DEDUCTIBLE: "0.00"})
    run = asks(house)
    with pytest.raises(NotNow, match="another person"):
        answers(house, run, by="张")
    answers(house, run, approve=False)
    with pytest.raises(NotNow):
        answers(house, run)
    assert counts(house, run) == {"planned": 1}
    assert money(house) == {house.case("ZY1").id: yuan("450.00")}
    with pytest.raises(NotAllowed):
        asks(house, why=" ")
    with house.node.database.transaction() as tx, pytest.raises(NotFound):
        house.node.again.ask(tx, "none", "x", Wanted(), "张", "张", house.time())
    other = asks(house)
    answers(house, other)
    with pytest.raises(NotNow, match="another person"):
        undoes(house, other, second="张")


def test_other_terms_than_those_that_were_looked_at_decide_nothing(house: House):
    lives(house, "1000.00")
    corrects(house, **{DEDUCTIBLE: "0.00"})
    run = asks(house)
    corrects(house, **{DEDUCTIBLE: "20.00"})
    with pytest.raises(NotNow, match="terms"):
        answers(house, run)


def test_a_case_that_changed_since_it_was_looked_at_is_left(house: House):
    lives(house, "1000.00", "2000.00")
    corrects(house, **{DEDUCTIBLE: "0.00"})
    run = asks(house)
    house.hears(settled(visit="ZY1", fund="500.00", when="2026-03-09T10:00"))
    answers(house, run)
    assert counts(house, run) == {"decided": 1, "left": 1}
    holds_together(house)


def test_what_persons_decided_is_left_to_persons(house: House):
    lives(house, "1000.00")
    house.hears(reversed_bill("1", "2026-03-09T09:12", visit="ZY1"))
    corrects(house, **{DEDUCTIBLE: "0.00"})
    run = asks(house)
    assert why_left(house, run) == ["moved"]


def test_an_undo_leaves_a_person_whose_later_claim_counts_on_it(house: House):
    lives(house, "1000.00", "2000.00")
    corrects(house, **{DEDUCTIBLE: "50.00"})
    run = asks(house)
    answers(house, run)
    house.waits(days=40)
    house.hears(*stay("ZY9", "9", "3000.00", when="04"))
    after = money(house)
    undoes(house, run)
    assert counts(house, run) == {"stays": 2}
    assert why_left(house, run, "stays") == ["later", "later"]
    assert money(house) == after
    holds_together(house)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    totals=st.lists(st.sampled_from(["450.00", "1000.00", "9000.00", "30000.00"]), min_size=1, max_size=3),
    deductible=st.sampled_from(["0.00", "50.00", "300.00"]),
    share=st.sampled_from(["0.90", "0.95", "0.80"]),
    year=st.sampled_from(["3000.00", "15000.00", "20000.00"]),
)
def test_a_run_and_its_undo_leave_payable_usage_and_books_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, one_bank: RunningBank, totals, deductible, share, year
):
    with on("sqlite"):
        house = a_house(tmp_path_factory.mktemp("again"), one_bank)
        try:
            lives(house, *totals)
            before, used = money(house), house.usage()
            corrects(house, **{DEDUCTIBLE: deductible, SHARE: share, "limit[3].yuan": year})
            run = asks(house)
            answers(house, run)
            assert set(counts(house, run)) <= {"decided", "referred", "left"}
            holds_together(house)
            undoes(house, run)
            assert (money(house), house.usage()) == (before, used)
            holds_together(house)
        finally:
            house.node.close()

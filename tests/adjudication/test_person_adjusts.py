"""A person pays another amount than the rules: line by line, with clause and reason, and everything counts it."""

import msgspec
import pytest

from given import House, a_bill, admitted, billed, discharged, ref, reversed_bill, yuan
from safeweave import coverage, worker
from safeweave.adjudication import replay as replaying
from safeweave.adjudication import store as determinations
from safeweave.adjudication.adjusting import NotAdjustable
from safeweave.adjudication.determination import Adjustment, Change
from safeweave.errors import Conflict
from safeweave.money import Fen
from safeweave.telling import letter_text
from safeweave.words import Language

KEY = "33060226-0000000001"


def adjusts(house: House, *paid: str, clause: str = "1.6", benefit: str = "inpatient", bill: str = KEY) -> None:
    """A person pays these amounts for the lines of the bill, one after the other."""
    case = house.case().id
    [waiting] = house.asks(lambda tx: determinations.waiting_for_a_person(tx, case))
    changes = tuple(
        Change(benefit, "2026-01-01", bill, no, yuan(amount)) for no, amount in enumerate(paid, 1) if amount != ""
    )
    with house.node.database.transaction() as tx:
        told = house.node.adjudicator.decide_by_person(
            tx, case, "李核赔", "病历写明为必要治疗", False, house.time(),
            {waiting.policy: Adjustment(clause, changes)},
        )  # fmt: skip
        worker.tell(tx, told, house.time())
    house.works()


def refers(house: House, total: str = "20000.00", **bill: object) -> None:
    """A stay above the machine's authority: the rules pay (20000 - 400 - 100) x 90 %, cut to 15,000 a year."""
    house.hears(admitted(), discharged(), billed(a_bill(total=total, **bill)))
    assert house.stage() == "referred"


def letter_in(house: House, language: Language) -> str:
    decided = house.in_force()[0].id
    return house.asks(lambda tx: letter_text(tx, decided, language))


def replays(house: House) -> None:
    case = house.case().id
    results = house.asks(
        lambda tx: replaying.replay(tx, [case], lambda keys: coverage.opening_usage(tx, keys))
    )  # fmt: skip
    assert [fault for result in results for fault in result.faults] == []
    assert results


def test_less_than_the_rules_is_paid_counted_and_explained(house):
    refers(house)
    adjusts(house, "12000.00")
    assert house.payouts() == [("paid", yuan("12000.00"))]
    assert house.usage()["limit", "stay_year"] == yuan("12000.00")
    [line] = house.in_force()[0].result.lines
    assert (line.cuts[-1].reason, line.cuts[-1].amount, line.cuts[-1].clause) == ("adjusted", yuan("3000.00"), "1.6")
    told = letter_in(house, "zh")
    assert "病历写明为必要治疗" in told
    assert "李核赔" in told
    assert "条款 1.6" in told
    replays(house)
    house.is_sound()


def test_more_than_the_rules_is_paid_up_to_what_others_left(house):
    refers(house)
    with pytest.raises(NotAdjustable, match=r"at most 19,600\.00"):
        adjusts(house, "19600.01")
    adjusts(house, "19600.00")
    assert house.payouts() == [("paid", yuan("19600.00"))]
    [line] = house.in_force()[0].result.lines
    assert line.amount == line.paid + sum(cut.amount for cut in line.cuts)
    assert line.cuts[-1].amount == -yuan("4600.00")
    assert letter_in(house, "en")
    replays(house)
    house.is_sound()


def test_what_the_rules_could_not_compute_is_paid_by_hand(house):
    house.hears(admitted(), discharged(icd="?"), billed())
    assert house.reasons() == [("unknown_code",)]
    with pytest.raises(NotAdjustable, match=r"at most 600\.00"):
        adjusts(house, "600.01")
    adjusts(house, "500.00", clause="1.2")
    assert house.payouts() == [("paid", yuan("500.00"))]
    assert house.usage()["limit", "stay_year"] == yuan("500.00")
    assert letter_in(house, "zh")
    assert house.rows("select bill from paid_bill") == [(KEY,)]
    replays(house)
    house.is_sound()


def test_a_clause_and_a_line_that_is_there_are_needed(house):
    refers(house)
    for amounts, facts in (((), {}), (("1.00",), {"clause": " "}), (("1.00",), {"bill": "x"}), (("", "1.00"), {})):
        with pytest.raises(NotAdjustable):
            adjusts(house, *amounts, **facts)
    assert house.stage() == "referred"


def test_nothing_is_adjusted_where_nothing_waits(house):
    house.hears(admitted(), discharged(), billed())
    house.hears(admitted(visit="Z2"), discharged(visit="Z2"), billed(a_bill("2", total="20000.00"), visit="Z2"))
    wrong = {"policy_x": Adjustment("1", (Change("inpatient", "2026-01-01", KEY, 1, Fen(1)),))}
    case = house.case("Z2").id
    with house.node.database.transaction() as tx, pytest.raises(Conflict, match="policy_x"):
        house.node.adjudicator.decide_by_person(tx, case, "李核赔", "x", False, house.time(), wrong)


def test_what_replaces_an_adjusted_bill_is_decided_by_the_rules_again_and_may_be_adjusted_again(house):
    refers(house)
    adjusts(house, "12000.00")
    second = a_bill("2", "20000.00", fund="5000.00", replaces=ref("1"))
    house.hears(reversed_bill(), billed(second, "2026-03-09"))
    last = house.decided()[-1]
    assert (last.result.adjusted, last.result.adjustment) == (None, yuan("13410.00") - yuan("12000.00"))
    adjusts(house, "12500.00", bill="33060226-0000000002")
    assert house.payouts() == [("paid", yuan("12000.00")), ("paid", yuan("500.00"))]
    assert house.usage()["limit", "stay_year"] == yuan("12500.00")
    replays(house)
    house.is_sound()


def test_a_changed_adjustment_is_noticed_by_replay(house):
    refers(house)
    adjusts(house, "12000.00")
    decided = house.in_force()[0]
    other = msgspec.structs.replace(
        decided.result,
        adjusted=Adjustment("1.6", (Change("inpatient", "2026-01-01", KEY, 1, yuan("13000.00")),)),
    )
    row = determinations.row_of(msgspec.structs.replace(decided, result=other))
    with house.node.database.transaction() as tx:
        tx.run("update determination set kept = ?, digest = ? where id = ?", (row[-1], row[-2], decided.id))
    case = house.case().id
    [result] = [
        each
        for each in house.asks(lambda tx: replaying.replay(tx, [case], lambda keys: coverage.opening_usage(tx, keys)))
        if each.determination == decided.id
    ]
    assert "payable" in " ".join(result.faults)

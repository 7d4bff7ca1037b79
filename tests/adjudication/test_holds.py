"""What the machine holds back although the rules of the product would pay: the claim may not be what it seems."""

from collections.abc import Iterator
from datetime import date

import msgspec
import pytest

from given import (
    CLEAN_STAY,
    PATIENT,
    VISIT,
    House,
    a_bill,
    a_house,
    admission_cancelled,
    admitted,
    billed,
    discharged,
    lines_of,
    ref,
    updated,
)
from safeweave import coverage
from safeweave.adjudication import replay
from safeweave.cases.stay import folded, happened
from safeweave.events import Identifier, PersonSeen

OTHER = "34052419800101001X"


@pytest.fixture
def house(tmp_path, store, one_bank) -> Iterator[House]:
    world = a_house(tmp_path, one_bank)
    yield world
    world.node.close()


def another_name(name: str) -> PersonSeen:
    return msgspec.structs.replace(PATIENT, name=name)


def test_a_bill_paid_to_one_patient_is_not_paid_to_another(house):
    house.insures("P-2", document=OTHER, name="测试乙")
    somebody = PersonSeen((Identifier("resident_id", OTHER),), "测试乙", date(1980, 1, 1), "M")
    house.hears(*CLEAN_STAY)
    house.hears(
        admitted("2026-03-03T08:00", visit="ZY9", person=somebody),
        discharged("2026-03-06T10:00", visit="ZY9"),
        billed(a_bill("1"), "2026-03-06T12:30", visit="ZY9"),
    )
    assert house.stage() == "closed"
    assert house.stage("ZY9") == "referred"
    assert house.decided("ZY9")[0].result.refer == ("duplicate_bill",)
    assert house.payouts("ZY9") == []


def test_what_a_person_refuses_though_the_rules_would_pay_it_leaves_nothing_in_force(house):
    house.hears(*CLEAN_STAY)
    house.hears(
        admitted("2026-03-04T08:00", visit="ZY9"),
        discharged("2026-03-05T10:00", visit="ZY9"),
        billed(a_bill("9"), "2026-03-06T12:30", visit="ZY9"),
    )
    house.decides(refuse=True, visit="ZY9")
    assert house.in_force("ZY9") == []
    cases = [house.case(visit).id for visit in (VISIT, "ZY9")]
    again = house.asks(lambda tx: replay.replay(tx, cases, lambda keys: coverage.opening_usage(tx, keys)))
    assert [result.faults for result in again] == [(), (), ()]


def test_two_stays_on_the_same_days_are_not_both_paid_by_machine(house):
    house.hears(*CLEAN_STAY)
    house.hears(
        admitted("2026-03-04T08:00", visit="ZY9"),
        discharged("2026-03-05T10:00", visit="ZY9"),
        billed(a_bill("9"), "2026-03-06T12:30", visit="ZY9"),
    )
    assert house.decided("ZY9")[0].result.refer == ("overlapping_stay",)
    assert house.decided("ZY9")[0].usage_before == house.decided("ZY9")[0].result.usage


def test_entering_another_hospital_on_the_day_of_leaving_the_first_is_no_overlap(house):
    house.hears(*CLEAN_STAY)
    house.hears(
        admitted("2026-03-06T18:00", visit="ZY9"),
        discharged("2026-03-08T10:00", visit="ZY9"),
        billed(a_bill("9", lines=lines_of("1000.00", "2026-03-07")), "2026-03-08T12:30", visit="ZY9"),
    )
    assert house.stage("ZY9") == "closed"


@pytest.mark.parametrize(
    "stranger", [another_name("王不同"), PersonSeen((Identifier("resident_id", OTHER),), PATIENT.name)]
)
def test_papers_of_somebody_else_hold_the_case_whatever_their_order(house, stranger):
    events = [admitted(), updated("2026-03-04T09:00", person=stranger), discharged(), billed()]
    house.hears(*events)
    assert house.stage() == "referred"
    assert house.decided()[0].result.refer == ("person_doubtful",)
    for order in (events, events[::-1]):
        assert folded(happened(order)).doubts == ("person_doubtful",)


def test_a_name_written_in_another_form_is_nobody_else():
    written = another_name(f" {PATIENT.name[0]} {PATIENT.name[1:]}")
    assert folded(happened([admitted(), updated("2026-03-04T09:00", person=written)])).doubts == ()


def test_a_doubt_that_comes_after_the_payment_goes_to_a_person_who_may_leave_it_as_it_is(house):
    house.hears(*CLEAN_STAY)
    paid = house.payouts()
    house.hears(updated("2026-03-05T09:00", person=another_name("王不同")))
    assert house.stage() == "referred"
    house.decides()
    assert (house.stage(), house.payouts()) == ("closed", paid)
    assert house.history()[-2:] == ["case_confirmed", "everything_settled"]


def test_one_bill_told_with_two_totals_is_a_persons_to_sort_out(house):
    house.hears(admitted(), discharged(), billed(a_bill("1", "1000.00")))
    paid = house.payouts()
    house.hears(billed(a_bill("1", "1200.00"), "2026-03-06T13:00"))
    assert house.stage() == "referred"
    assert house.payouts() == paid


def test_a_person_waives_what_the_machine_holds(house):
    house.hears(*CLEAN_STAY)
    house.hears(
        admitted("2026-03-04T08:00", visit="ZY9"),
        discharged("2026-03-05T10:00", visit="ZY9"),
        billed(a_bill("9"), "2026-03-06T12:30", visit="ZY9"),
    )
    house.decides(visit="ZY9")
    assert house.stage("ZY9") == "closed"
    assert [decided.decision for decided in house.decided("ZY9")] == ["refer", "pay"]


def test_a_bill_for_a_cancelled_stay_is_shown_to_a_person(house):
    house.hears(admitted(), admission_cancelled("2026-03-04T08:00"), billed(a_bill("1"), "2026-03-06T13:00"))
    assert house.stage() == "referred"
    assert house.payouts() == []
    house.decides()
    assert house.stage() == "closed"


def test_a_reissue_of_the_bill_of_the_same_case_is_held_by_nothing(house):
    house.hears(*CLEAN_STAY, billed(a_bill("2", "1200.00", replaces=ref("1")), "2026-03-09T10:00"))
    assert house.stage() == "closed"


def test_while_one_policys_payment_is_in_question_no_other_policy_pays_more(house):
    house.insures("P-2")
    house.hears(*CLEAN_STAY)
    paid = house.payouts()
    assert sum(amount for _, amount in paid) == 49500  # 450.00, then (1000 - 400 - 450 - 100) x 0.9 = 45.00
    house.hears(billed(a_bill("2", "800.00", replaces=ref("1")), "2026-03-09T10:00"))
    assert house.stage() == "referred"
    assert house.payouts() == paid
    assert {code for decided in house.decided()[2:] for code in decided.result.refer} == {"recovery"}

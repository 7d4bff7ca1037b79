"""A stay from its first word to closed: case, money and usage, with the whole node running."""

import pytest
from msgspec.structs import replace

from given import (
    BILLED,
    CLEAN_STAY,
    HOSPITAL,
    VISIT,
    a_bill,
    a_house,
    admission_cancelled,
    admitted,
    at,
    billed,
    charged,
    day,
    discharge_cancelled,
    discharged,
    orders,
    ref,
    reversed_bill,
    settled,
    settlement_cancelled,
    summary_bill,
    updated,
    visited,
    yuan,
)
from safeweave import outbox, payments, worker
from safeweave.cases import store
from safeweave.cases.store import HospitalRow
from safeweave.errors import Conflict
from safeweave.events import PayoutConfirmed, VisitTold
from safeweave.main import main

# hospital-expense-2020 pays (total - 医保 - 100.00) x 90 % of a stay that 医保 has settled.
DEARER = billed(a_bill("2", "1200.00", "400.00", replaces=ref("1")), "2026-03-09T09:30")  # 630.00
CHEAPER = billed(a_bill("2", "900.00", "400.00", replaces=ref("1")), "2026-03-09T09:30")  # 360.00


# ---------------------------------------------------------------- the usual way


def test_a_clean_stay_is_paid_and_closed_with_nobody_touching_it(house):
    house.hears(*CLEAN_STAY)
    assert house.history() == [
        "admission_reported", "patient_discharged", "bill_verified", "case_determined", "payout_confirmed",
        "everything_settled",
    ]  # fmt: skip
    assert (house.stage(), house.payouts()) == ("closed", [("paid", yuan("450.00"))])
    assert house.clocks() == []
    house.is_sound()


def test_any_order_of_arrival_pays_the_same_once(tmp_path, store, one_bank):
    events = (admitted(), charged("2026-03-04", ("CHG1", "900.00")), discharged(), settled(), summary_bill())
    for number, arrived in enumerate(orders(events)):
        home = tmp_path / str(number)
        home.mkdir()
        house = a_house(home, one_bank)
        house.hears(*arrived)
        assert (house.stage(), house.payouts()) == ("closed", [("paid", yuan("450.00"))]), number
        house.is_sound()
        house.node.close()


def test_one_message_that_tells_everything_pays_at_once(house):
    house.hears(*CLEAN_STAY, apart=False)
    assert (house.stage(), house.payouts()) == ("closed", [("paid", yuan("450.00"))])


def test_each_stage_of_a_stay_is_seen(house):
    stages = []
    for event in (admitted(), charged("2026-03-04", ("C1", "900.00")), discharged(), summary_bill()):
        house.hears(event)
        stages.append(house.stage())
    assert stages == ["admitted", "charged", "discharged", "discharged"]
    house.hears(settled())
    assert house.stage() == "closed"


def test_a_stage_without_a_case_is_not_taken_for_a_store_without_cases(house, capsys):
    def listed(*asked: str, language: str = "en") -> str:
        assert main(["--home", str(house.node.settings.home), "--language", language, "case", "list", *asked]) == 0
        return capsys.readouterr().out

    assert listed().startswith("there are no cases yet")
    house.hears(*CLEAN_STAY)
    assert listed("--stage", "referred", language="zh") == "没有处于“转人工”阶段的案件\n"
    assert listed("--stage", "referred", "--stage", "paid") == "no case is in stage “with a person / paid”\n"
    assert house.case().id in listed("--stage", "closed")


def test_transfer_and_death_wait_for_the_bill_like_any_discharge(house):
    house.hears(admitted(), discharged(disposition="2"))
    assert house.stage() == "transferred"
    house.hears(discharged("2026-03-06T15:30", disposition="5"))
    assert house.stage() == "died"


def test_an_outpatient_visit_is_decided_when_its_bill_has_come(house):
    house.hears(visited(), billed(a_bill(kind="outpatient")))
    assert house.stage() == "closed"  # hospital-expense-2020 pays no ordinary outpatient visits: nothing is claimed
    assert house.payouts() == []
    assert house.decided() == []


def test_an_inpatient_who_turns_out_to_be_an_outpatient_is_decided_as_one(house):
    house.hears(admitted(), visited("2026-03-03T11:00"), billed(a_bill(kind="outpatient")))
    assert house.stage() == "closed"
    assert house.decided() == []


def test_a_second_bill_of_the_stay_is_paid_with_the_first_once_it_is_settled(house):
    house.hears(*CLEAN_STAY)
    house.hears(summary_bill("2", "200.00"))
    assert house.stage() == "reopened"
    house.hears(settled("S2", "2", "200.00", "50.00", when="2026-03-06T16:00"))
    assert house.stage() == "closed"
    assert [amount for _, amount in house.payouts()] == [yuan("450.00"), yuan("135.00")]


# ---------------------------------------------------------------- taken back


def test_an_admission_cancelled_before_anything_was_paid_leaves_nothing_behind(house):
    house.hears(admitted(), admission_cancelled("2026-03-03T09:00"))
    assert house.stage() == "withdrawn"
    assert (house.decided(), house.clocks()) == ([], [])


def test_an_admission_cancelled_after_payment_goes_to_a_person_who_takes_the_money_back(house):
    house.hears(*CLEAN_STAY)
    before = house.usage()
    house.hears(admission_cancelled("2026-03-09T09:00"))
    assert house.stage() == "referred"
    house.decides(note="入院系误登记")
    assert house.recoveries() == [yuan("450.00")]
    assert before
    assert house.usage() == {}
    assert (house.stage(), house.clocks()) == ("closed", [])
    house.is_sound()


def test_a_stay_that_waits_for_a_person_and_is_cancelled_waits_no_more(house):
    house.hears(admitted(icd="K80.999x999x"), discharged(icd="??"), billed())
    assert house.stage() == "referred"
    house.hears(admission_cancelled("2026-03-09T09:00"))
    assert (house.stage(), house.clocks()) == ("withdrawn", [])


def test_an_admission_reported_again_after_its_cancellation_is_paid(house):
    house.hears(*CLEAN_STAY, admission_cancelled("2026-03-03T09:00"))
    assert house.stage() == "referred"
    house.hears(admitted("2026-03-03T10:00"))
    assert house.stage() == "closed"
    assert [decided.payable for decided in house.in_force()] == [yuan("450.00")]
    assert house.payouts() == [("paid", yuan("450.00"))]
    assert house.recoveries() == []


def test_a_discharge_cancelled_before_the_bill_waits_for_the_real_one(house):
    house.hears(admitted(), discharged(), discharge_cancelled("2026-03-06T16:00"))
    assert house.stage() == "admitted"
    house.hears(discharged("2026-03-07T10:00"), billed())
    assert (house.stage(), house.payouts()) == ("closed", [("paid", yuan("450.00"))])


def test_a_discharge_cancelled_after_payment_freezes_the_decision_and_keeps_what_was_paid(house):
    house.hears(*CLEAN_STAY, discharge_cancelled("2026-03-06T16:00"))
    assert house.stage() == "reopened"
    assert len(house.decided()) == 1
    house.hears(discharged("2026-03-07T10:00"))
    assert house.stage() == "closed"
    assert house.payouts() == [("paid", yuan("450.00"))]
    assert [decided.claim.discharged_on for decided in house.in_force()] == [day("2026-03-07")]


def test_a_person_cannot_decide_what_the_hospital_has_taken_back_meanwhile(house):
    house.hears(admitted(), discharged(), billed(a_bill(total="30000.00", fund="4000.00")))
    assert house.stage() == "referred"
    house.hears(reversed_bill())
    assert house.stage() == "discharged"
    with pytest.raises(Conflict):
        house.decides()


# ---------------------------------------------------------------- reversed and reissued


def test_a_bill_reissued_dearer_pays_only_the_difference(house):
    house.hears(*CLEAN_STAY, reversed_bill(), DEARER)
    assert house.payouts() == [("paid", yuan("450.00")), ("paid", yuan("180.00"))]
    assert [decided.payable for decided in house.in_force()] == [yuan("630.00")]
    assert house.stage() == "closed"


def test_the_reissued_bill_may_come_before_the_red_one(house):
    house.hears(*CLEAN_STAY, DEARER, reversed_bill())
    assert house.payouts() == [("paid", yuan("450.00")), ("paid", yuan("180.00"))]
    assert house.stage() == "closed"


def test_a_bill_reissued_before_it_was_decided_is_the_only_one_that_is_paid(house):
    house.hears(admitted(), billed(), reversed_bill(), DEARER, discharged())
    assert house.payouts() == [("paid", yuan("630.00"))]


def test_a_bill_reissued_cheaper_goes_to_a_person_who_takes_the_difference_back(house):
    house.hears(*CLEAN_STAY, reversed_bill(), CHEAPER)
    assert house.stage() == "referred"
    assert house.reasons() == [("recovery",)]
    house.decides()
    assert house.recoveries() == [yuan("90.00")]
    assert [decided.payable for decided in house.in_force()] == [yuan("360.00")]
    assert house.payouts() == [("paid", yuan("450.00"))]
    assert (house.stage(), house.clocks()) == ("closed", [])
    house.is_sound()


def test_money_that_comes_back_is_told_as_what_it_settled(house, capsys):
    house.hears(*CLEAN_STAY, reversed_bill(), CHEAPER)
    house.decides()
    (recovery,) = house.asks(payments.open_recoveries)

    def receives(recovery: str, reference: str, language: str = "en") -> list[str]:
        asked = ["recoveries", "receive", recovery, "--yuan", "60.00", "--reference", reference]
        assert main(["--home", str(house.node.settings.home), "--language", language, *asked]) == 0
        return capsys.readouterr().out.splitlines()

    assert receives("rec_x", "E1") == [
        "rec_x is no open recovery: 60.00 yuan is kept as unallocated; see safeweave recoveries list"
    ]
    assert receives(recovery.id, "E2") == ["60.00 yuan booked as received"]
    assert receives(recovery.id, "E2") == ["reference E2 was booked before; nothing was booked again"]
    assert receives(recovery.id, "E2", "zh") == ["流水号 E2 已经登记过，未重复记账"]
    assert receives(recovery.id, "E3", "zh") == [
        "已登记收到 30.00 元",
        f"没有编号为 {recovery.id} 的未收齐追回款：30.00 元记入待核销收款；见 safeweave recoveries list",
    ]
    assert house.asks(payments.open_recoveries) == []
    house.is_sound()


def test_a_person_may_leave_the_insured_what_was_paid(house):
    house.hears(*CLEAN_STAY, reversed_bill(), CHEAPER)
    house.decides(refuse=True)
    assert house.recoveries() == []
    assert [decided.payable for decided in house.in_force()] == [yuan("450.00")]


def test_a_bill_reversed_and_not_reissued_reopens_the_case_and_after_seven_days_a_person_sees_it(house):
    house.hears(*CLEAN_STAY, reversed_bill())
    assert house.stage() == "reopened"
    house.waits(days=8)
    assert house.stage() == "referred"
    house.decides(note="票据已冲红，未重开")
    assert house.recoveries() == [yuan("450.00")]
    assert house.usage() == {}


def test_what_one_policy_paid_on_a_bill_taken_back_comes_before_a_person_while_another_still_waits(house):
    house.insures("P-2", product="million-medical-2025")
    house.hears(admitted(), discharged(), billed(a_bill(total="40000.00", fund="4000.00")))
    assert house.stage() == "referred"
    ((_, paid),) = house.payouts()
    house.hears(reversed_bill())
    house.waits(days=8)
    assert (house.stage(), house.reasons()[-1]) == ("referred", ("recovery",))
    house.decides(note="票据已冲红，未重开")
    assert house.recoveries() == [paid]
    assert (house.stage(), house.usage()) == ("closed", {})
    house.is_sound()


def test_an_allowance_stands_when_the_bill_is_taken_back_and_a_person_sees_that_it_is_missing(house):
    house.insures("P-2", product="daily-allowance-2022")
    house.hears(admitted(), discharged(), billed(a_bill(total="40000.00", fund="4000.00")))
    paid = house.payouts()
    house.hears(reversed_bill())
    house.waits(days=8)
    assert house.stage() == "referred"
    house.decides(note="票据已冲红，未重开")
    assert (house.stage(), house.payouts(), house.recoveries()) == ("closed", paid, [])
    house.is_sound()


def test_a_settlement_undone_after_payment_and_done_again_pays_the_difference(house):
    house.hears(admitted(), discharged(), summary_bill(), settled())
    assert house.stage() == "closed"
    house.hears(settlement_cancelled("S1", "2026-03-07"))
    assert house.stage() == "reopened"
    house.hears(settled("S2", "1", fund="300.00", when="2026-03-08"))
    assert house.payouts() == [("paid", yuan("450.00")), ("paid", yuan("90.00"))]
    assert house.stage() == "closed"


def test_a_settlement_undone_while_a_person_looks_takes_the_case_off_the_desk(house):
    house.hears(admitted(), discharged(), summary_bill("1", "30000.00"), settled("S1", "1", "30000.00", "4000.00"))
    assert house.stage() == "referred"
    house.hears(settlement_cancelled("S1", "2026-03-07"))
    assert house.stage() == "discharged"


def test_the_same_bill_through_two_doors_is_paid_once(house):
    house.hears(*CLEAN_STAY)
    house.hears(replace(billed(), first_day=day("2026-03-03"), told_at=at("2026-03-06T16:00")))
    assert house.payouts() == [("paid", yuan("450.00"))]
    assert house.stage() == "closed"


def test_a_decision_that_moves_nothing_does_not_close_a_case_whose_money_is_on_its_way(house):
    house.bank.fails("booked_later", ms=30_000)
    house.hears(*CLEAN_STAY)
    assert house.stage() == "determined"
    house.hears(updated("2026-03-05", ward="icu"))
    assert house.stage() == "determined"
    assert [amount for _, amount in house.payouts()] == [yuan("450.00")]
    house.waits(seconds=60)
    assert (house.stage(), house.payouts()) == ("closed", [("paid", yuan("450.00"))])


# ---------------------------------------------------------------- papers that do not come


def test_papers_that_do_not_come_within_seven_days_go_to_a_person_and_are_still_paid_when_they_come(house):
    house.hears(admitted(), discharged())
    house.waits(days=6)
    assert house.stage() == "discharged"
    house.waits(days=3)
    assert house.stage() == "referred"
    assert [kind for kind, _ in house.clocks()] == ["decision"]
    house.hears(billed())
    assert (house.stage(), house.clocks()) == ("closed", [])


def test_the_seven_days_begin_again_with_a_new_discharge(house):
    house.hears(admitted(), discharged())
    house.waits(days=5)
    house.hears(discharge_cancelled("2026-03-06T16:00"), discharged("2026-03-07T10:00"))
    house.waits(days=5)
    assert house.stage() == "discharged"


# ---------------------------------------------------------------- at the same time


def test_a_payment_that_arrives_together_with_news_of_the_stay_still_closes_the_case(house):
    house.message(*CLEAN_STAY)
    ((payout, case, amount),) = house.rows("select id, case_id, amount_fen from payout")
    news = replace(charged("2026-03-05", ("CHG1", "900.00")), sender=HOSPITAL, hospital=HOSPITAL)
    with house.node.database.transaction() as tx:
        outbox.append(tx, [news], house.time())
        arrived = PayoutConfirmed(payout, case, amount, house.time())
        worker.tell(tx, [arrived, VisitTold(HOSPITAL, VISIT)], house.time())
    house.works()
    assert house.history()[-3:] == ["payout_confirmed", "everything_settled", "charges_posted"]
    assert (house.stage(), house.clocks()) == ("closed", [])


def test_what_a_person_decided_for_two_policies_may_be_followed_at_different_times(house):
    house.insures("P-2")
    house.hears(admitted(), discharged(), billed(a_bill(total="16000.00", fund="4000.00")))
    node, case = house.node, house.case().id
    with node.database.transaction() as tx:
        decided = node.adjudicator.decide_by_person(tx, case, "李核赔", "看过病历", False, house.time())
        worker.tell(tx, decided, house.time())
    node.worker.batch = 1  # as where the other one comes first in the next batch
    node.worker.work()
    assert node.worker.call_out("bank/main") == 1
    assert house.payouts() == [("paid", yuan("10710.00"))]
    node.worker.work()
    assert sorted(house.payouts()) == [("ordered", yuan("1071.00")), ("paid", yuan("10710.00"))]
    assert (house.stage(), [kind for kind, _ in house.clocks()]) == ("determined", ["payment"])
    house.works()
    assert [state for state, _ in house.payouts()] == ["paid", "paid"]
    assert (house.stage(), house.clocks()) == ("closed", [])
    house.is_sound()


def test_a_case_that_a_person_leaves_as_it_was_decided_is_open_until_its_money_has_arrived(house):
    house.bank.fails("booked_later", ms=30_000)
    house.insures("P-2", "daily-allowance-2022", again=False)
    house.node.adjudicator.products.pop("hospital-expense-2020")  # a person looks at what it would pay
    house.hears(*CLEAN_STAY)
    assert (house.stage(), house.payouts()) == ("referred", [("unconfirmed", yuan("240.00"))])
    house.decides(note="只赔津贴")
    assert (house.stage(), [kind for kind, _ in house.clocks()]) == ("determined", ["payment"])
    house.waits(seconds=60)
    assert (house.stage(), house.payouts()) == ("closed", [("paid", yuan("240.00"))])
    assert house.clocks() == []


# ---------------------------------------------------------------- hospital facts


def test_a_hospital_counts_as_what_it_was_on_the_day_of_the_stay(house):
    with house.node.database.transaction() as tx:
        fallen = HospitalRow(HOSPITAL, "示例市第一医院", "First Hospital", 1, True, "330200", day("2026-03-08"))
        store.save_hospitals(tx, [fallen])
    house.hears(*CLEAN_STAY)
    assert [decided.claim.hospital.level for decided in house.in_force()] == [3]
    assert house.payouts() == [("paid", yuan("450.00"))]


def test_the_time_a_bill_was_complete_is_when_its_last_message_came(house):
    house.hears(admitted(), discharged())
    house.time.pass_(90)
    house.hears(billed(when=BILLED))
    assert house.case().completed_at == house.time.at


def reissued_while_its_product_is_gone(house):
    house.insures("P-2", "daily-allowance-2022", again=False)
    house.hears(*CLEAN_STAY)
    products = house.node.adjudicator.products
    gone = products.pop("hospital-expense-2020")
    house.hears(reversed_bill(), CHEAPER, settled("S2", "2", "900.00", "400.00", when="2026-03-09T10:00"))
    return products, gone


def test_a_person_looks_although_another_policy_was_decided_while_a_product_was_gone(house):
    products, gone = reissued_while_its_product_is_gone(house)
    assert house.stage() == "referred"
    products[gone.id] = gone
    house.decides(note="条款已登记")  # computed now; that money is to come back is for a person to see
    house.decides(note="追回差额")
    assert (house.stage(), house.recoveries()) == ("closed", [yuan("90.00")])
    assert {bill.number for decided in house.in_force() for bill in decided.claim.bills} == {"0000000002"}
    house.is_sound()


def test_nothing_is_decided_without_the_product_that_paid_on_a_bill_taken_back(house):
    products, gone = reissued_while_its_product_is_gone(house)
    with pytest.raises(Conflict, match="hospital-expense-2020"):
        house.decides()
    assert house.stage() == "referred"
    products[gone.id] = gone
    house.decides(note="条款已登记")
    house.decides(note="追回差额")
    assert (house.stage(), house.recoveries()) == ("closed", [yuan("90.00")])

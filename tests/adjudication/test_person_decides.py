"""What the machine may not decide a person decides: with a name and a reason, and on what is true today."""

import pytest

from given import CLEAN_STAY, HOSPITAL, a_bill, admitted, billed, discharged, lines_of, settled, summary_bill, yuan
from safeweave.cases import store
from safeweave.cases.store import HospitalRow
from safeweave.errors import Conflict, NotAllowed, NotFound
from safeweave.main import main

ABOVE_AUTHORITY = (admitted(), discharged(), billed(a_bill(total="16000.00", fund="4000.00")))  # 10,710.00


def test_a_person_approves_what_the_rules_yield(house):
    house.hears(*ABOVE_AUTHORITY)
    assert (house.stage(), house.reasons(), house.payouts()) == ("referred", [("above_authority",)], [])
    house.decides(by="李核赔", note="病历与费用相符")
    machine, person = house.decided()
    assert (machine.decision, machine.decided_by) == ("refer", "machine")
    assert (person.decision, person.decided_by, person.note) == ("pay", "李核赔", "病历与费用相符")
    assert (house.stage(), house.payouts()) == ("closed", [("paid", yuan("10710.00"))])
    assert house.usage()["limit", "stay_year"] == yuan("10710.00")


def test_a_person_refuses_and_nothing_is_paid_or_used(house):
    house.hears(*ABOVE_AUTHORITY)
    house.decides(refuse=True, note="既往症，合同第四条")
    assert (house.stage(), house.payouts(), house.usage()) == ("refused", [], {})
    assert [decided.decision for decided in house.decided()] == ["refer", "refuse"]
    assert [decided.payable for decided in house.decided()][1] == 0


@pytest.mark.parametrize(("by", "note"), [("", "看过"), ("李核赔", ""), (" ", "看过"), ("李核赔", "  ")])
def test_a_decision_needs_a_name_and_a_reason(house, by, note):
    house.hears(*ABOVE_AUTHORITY)
    with pytest.raises(NotAllowed):
        house.decides(by=by, note=note)
    assert house.stage() == "referred"


def test_what_was_decided_is_not_decided_again(house):
    house.hears(*ABOVE_AUTHORITY)
    house.decides()
    with pytest.raises(NotFound):
        house.decides(refuse=True)
    assert house.payouts() == [("paid", yuan("10710.00"))]


def test_a_case_that_needs_nobody_has_nothing_to_decide(house):
    house.hears(*CLEAN_STAY)
    with pytest.raises(NotFound):
        house.decides()


def test_a_case_whose_product_file_is_gone_waits_until_it_is_back(house):
    house.hears(*ABOVE_AUTHORITY)
    products = house.node.adjudicator.products
    (decided,) = house.decided()
    gone = products.pop(decided.product)
    with pytest.raises(Conflict, match="whose file is not here"):
        house.decides()
    products[decided.product] = gone
    house.decides()
    assert house.payouts() == [("paid", yuan("10710.00"))]


def test_what_the_rules_cannot_compute_must_be_repaired_first(house):
    house.hears(admitted(icd="??"), discharged(icd="??"), billed())
    assert house.reasons() == [("unknown_code",)]
    with pytest.raises(Conflict, match="unknown_code"):
        house.decides()
    house.decides(refuse=True)
    assert house.stage() == "refused"


def test_a_hospital_entered_after_the_referral_is_known_to_the_decision(house):
    with house.node.database.transaction() as tx:
        tx.run("delete from hospital")
    house.hears(*CLEAN_STAY)
    assert house.reasons() == [("hospital_unknown",)]
    with pytest.raises(Conflict):
        house.decides()
    with house.node.database.transaction() as tx:
        store.save_hospitals(tx, [HospitalRow(HOSPITAL, "示例市第一医院", "First Hospital", 3, True, "330200")])
    house.decides(note="医院已登记")
    assert house.payouts() == [("paid", yuan("450.00"))]


def test_a_decision_counts_what_was_used_meanwhile(house):
    house.hears(*ABOVE_AUTHORITY)
    other = {"visit": "ZY2"}
    house.hears(
        admitted("2026-03-07T08:00", **other), discharged("2026-03-09T10:00", **other),
        billed(a_bill("9", "10000.00", "1000.00", lines=lines_of("10000.00", "2026-03-08")), "2026-03-09", **other),
    )  # fmt: skip
    assert [decided.payable for decided in house.in_force("ZY2")] == [yuan("8010.00")]
    house.decides()
    (approved,) = house.in_force()
    assert approved.payable == yuan("6990.00")  # the rest of the year's 15,000.00


def test_new_papers_take_a_referred_case_off_the_desk_and_decide_it_anew(house):
    house.hears(admitted(), discharged(), summary_bill("1", "16000.00"), settled("S1", "1", "16000.00", "4000.00"))
    assert house.stage() == "referred"
    house.hears(settled("S2", "1", "16000.00", "15000.00", when="2026-03-07"))
    assert (house.stage(), house.payouts()) == ("closed", [("paid", yuan("810.00"))])
    with pytest.raises(NotFound):
        house.decides()


def test_the_command_says_what_became_of_the_case(house, capsys):
    house.hears(*ABOVE_AUTHORITY)
    home, case = str(house.node.settings.home), house.case().id
    decide = ["--home", home, "--language", "en", "case", "decide", case, "--by", "Li", "--reason", "seen"]
    assert main([*decide, "--approve"]) == 0
    house.works()
    assert house.payouts() == [("paid", yuan("10710.00"))]
    assert main([*decide, "--refuse"]) == 1
    assert "waits for a person" in capsys.readouterr().err
    decide[3] = "zh"
    assert main([*decide, "--refuse"]) == 1
    assert capsys.readouterr().err == f"案件 {case} 没有待人决定的事；见 safeweave case show {case}\n"
    with pytest.raises(SystemExit):
        main(decide)

"""A stay is what the hospital told, folded in the order in which it happened."""

from msgspec.structs import replace

from given import (
    a_bill,
    admission_cancelled,
    admitted,
    at,
    billed,
    came_back,
    charged,
    day,
    discharge_cancelled,
    discharged,
    left,
    reversed_bill,
    settled,
    settlement_cancelled,
    summary_bill,
    updated,
    visited,
    yuan,
)
from safeweave.cases.claim import claim_of, days_in_icu, interim_total, settled_bill, waits_for
from safeweave.cases.stay import Stay, folded, happened, leave_days, ward_on
from safeweave.events import Diagnosis, HospitalEvent, Identifier, PersonSeen


def stay(*events: HospitalEvent) -> Stay:
    """The stay after these events, whatever order they are given in."""
    return folded(happened(events))


def live(found: Stay) -> list[str]:
    return [seen.bill.number[-1] for seen in found.live_bills]


# ---------------------------------------------------------------- coming and going


def test_a_discharge_that_comes_before_its_admission_ends_in_the_same_stay():
    assert stay(discharged(), admitted()) == stay(admitted(), discharged())
    assert stay(discharged()).discharged_at == at("2026-03-06T15:05")


def test_a_feed_that_tells_only_of_the_discharge_says_when_the_stay_began():
    found = stay(discharged(admitted_at=at("2026-03-03T08:40")))
    assert (found.kind, found.admitted_at) == ("inpatient", at("2026-03-03T08:40"))
    assert waits_for(found) == "bill"


def test_a_stay_whose_admission_is_cancelled_never_was():
    found = stay(admitted(), admission_cancelled("2026-03-03T09:00"))
    assert found.cancelled
    assert waits_for(found) == "discharge"


def test_an_admission_told_again_after_its_cancellation_is_in_force():
    assert not stay(admitted(), admission_cancelled("2026-03-03T09:00"), admitted("2026-03-03T10:00")).cancelled


def test_a_cancelled_discharge_means_the_patient_is_still_here():
    found = stay(admitted(), discharged(), discharge_cancelled("2026-03-06T16:30"))
    assert (found.discharged_at, found.disposition) == (None, "")
    assert waits_for(found) == "discharge"


def test_a_cancellation_that_bears_the_time_of_the_discharge_comes_after_it():
    """EVN-6 of an A13 is when the discharge was; only MSH-7 tells them apart."""
    gone = replace(discharged(), told_at=at("2026-03-06T15:07"))
    still_here = replace(discharge_cancelled("2026-03-06T15:05"), told_at=at("2026-03-06T16:30"))
    assert stay(still_here, gone, admitted()).discharged_at is None


def test_a_second_discharge_corrects_the_first():
    again = discharged("2026-03-07T10:00", "2")
    found = stay(admitted(), discharged(), again)
    assert (found.discharged_at, found.disposition) == (at("2026-03-07T10:00"), "2")


def test_in_progress_after_finished_takes_the_discharge_back_with_its_disposition():
    """FHIR has no A13: the encounter is in progress again, in a later version."""
    again = replace(admitted(), occurred_at=at("2026-03-06T17:00"))
    found = stay(admitted(), discharged(disposition="5"), again)
    assert (found.discharged_at, found.died) == (None, False)


def test_a_discharge_dated_before_the_admission_is_kept_so_that_a_person_sees_it():
    gone = discharged("2026-03-01T15:00", admitted_at=at("2026-03-03T08:40"))
    found = stay(admitted(), gone, billed())
    assert (found.admitted_at, found.discharged_at) == (at("2026-03-03T08:40"), at("2026-03-01T15:00"))
    assert waits_for(found) == ""


def test_death_and_transfer_are_ways_to_be_discharged():
    assert stay(admitted(), discharged(disposition="5")).died
    assert not stay(admitted(), discharged(disposition="2")).died
    claim = claim_of(stay(admitted(), discharged(disposition="5"), billed()), "c", day("2026-03-10"), {})
    assert claim.died_on == day("2026-03-06")


def test_an_outpatient_who_is_admitted_is_an_inpatient_and_the_other_way_round():
    assert stay(visited("2026-03-03T07:00"), admitted()).kind == "inpatient"
    assert stay(admitted(), visited("2026-03-03T11:00")).kind == "outpatient"


# ---------------------------------------------------------------- who, what, where


def test_final_diagnoses_outrank_those_of_admission_whenever_they_come():
    assert [d.code for d in stay(discharged(icd="N84.001"), admitted(icd="R10")).diagnoses] == ["N84.001"]
    corrected = updated("2026-03-05", diagnoses=(Diagnosis("K80.200", role="W"),))
    assert [d.code for d in stay(admitted(icd="R10"), corrected).diagnoses] == ["K80.200"]


def test_the_main_diagnosis_comes_first():
    told = (Diagnosis("I10", role="F"), Diagnosis("K80.100", role="F", main=True))
    assert [d.code for d in stay(admitted(), discharged(diagnoses=told)).diagnoses] == ["K80.100", "I10"]


def test_what_a_later_message_leaves_out_stays_known_of_the_person():
    more = PersonSeen((Identifier("mr", "B1", "H001"),), sex="F")
    person = stay(admitted(), updated("2026-03-04", person=more)).person
    assert person is not None
    assert (person.name, person.birth, len(person.identifiers)) == ("测试甲", day("1949-12-31"), 2)


def test_a_move_of_ward_holds_from_its_day_on():
    found = stay(admitted(), updated("2026-03-05", ward="vip"), discharged())
    assert [ward_on(found, day(f"2026-03-0{n}")) for n in (3, 4, 5, 6)] == ["ordinary", "ordinary", "vip", "vip"]


def test_lines_after_the_move_to_a_paid_ward_are_lines_of_that_ward():
    lines = tuple(replace(a_bill().lines[0], no=n, on=day(f"2026-03-0{n + 2}"), amount=50_000) for n in (1, 2, 3, 4))
    found = stay(
        admitted(), updated("2026-03-05", ward="vip"), discharged(), billed(a_bill(total="2000.00", lines=lines))
    )
    assert [line.ward for line in settled_bill(found, found.live_bills[0]).lines] == [
        "ordinary",
        "ordinary",
        "vip",
        "vip",
    ]


def test_an_encounter_that_tells_of_another_ward_later_holds_from_then_on():
    """FHIR has no A02: the encounter in progress names another ward."""
    moved = replace(admitted(ward="vip"), occurred_at=at("2026-03-05T10:00"))
    found = stay(admitted(), moved, moved, discharged("2026-03-06T15:05"))
    assert [ward_on(found, day(f"2026-03-0{n}")) for n in (3, 4, 5, 6)] == ["ordinary", "ordinary", "vip", "vip"]


def test_nights_in_intensive_care_are_counted_from_the_moves():
    moved = updated("2026-03-04", ward="icu"), updated("2026-03-06T08:00", ward="ordinary")
    assert days_in_icu(stay(admitted(), *moved, discharged("2026-03-09"))) == 2
    assert claim_of(stay(admitted(), *moved, discharged("2026-03-09")), "c", day("2026-03-10"), {}).icu_days == 2


def test_each_night_on_leave_counts_once():
    away = left("2026-03-04T09:00"), came_back("2026-03-06T08:00")
    assert leave_days(stay(admitted(), *away, discharged("2026-03-09"))) == 2
    assert leave_days(stay(admitted(), away[0], discharged("2026-03-09"))) == 5  # never came back: until discharge
    assert leave_days(stay(admitted(), left("2026-03-04T09:00"), came_back("2026-03-04T20:00"), discharged())) == 0


def test_a_leave_still_running_is_not_counted_before_the_discharge():
    assert leave_days(stay(admitted(), left("2026-03-04T09:00"))) == 0


# ---------------------------------------------------------------- charges, bills and settlements


def test_a_credit_counts_against_the_charges_and_a_charge_told_twice_counts_once():
    posted = charged("2026-03-04", ("CHG1", "900.00"), ("CHG2", "-450.00"))
    assert interim_total(stay(admitted(), posted, posted)) == yuan("450.00")
    assert interim_total(stay(posted, charged("2026-03-05", ("CHG3", "10.00")), admitted())) == yuan("460.00")


def test_a_red_bill_takes_its_bill_back_even_if_it_comes_first():
    assert live(stay(admitted(), reversed_bill(), billed(), discharged())) == []
    assert live(stay(admitted(), billed(), discharged(), reversed_bill())) == []


def test_a_bill_that_names_the_one_it_replaces_takes_it_back():
    again = billed(a_bill("2", replaces=a_bill("1") and reversed_bill("1").bill), "2026-03-09")
    assert live(stay(admitted(), discharged(), billed(), again)) == ["2"]


def test_several_bills_of_one_stay_all_stand():
    found = stay(admitted(), discharged(), billed(a_bill("1")), billed(a_bill("2", "30.00", None)))
    assert live(found) == ["1", "2"]
    assert waits_for(found) == ""
    assert len(claim_of(found, "c", day("2026-03-10"), {}).bills) == 2


def test_a_bill_without_line_list_waits_for_its_settlement():
    found = stay(admitted(), discharged(), summary_bill())
    assert waits_for(found) == "settlement"
    assert waits_for(stay(admitted(), discharged(), summary_bill(), settled())) == ""


def test_a_settlement_before_its_bill_says_the_same_as_one_after_it():
    early = settled(when="2026-03-06T15:10")
    late = settled(when="2026-03-06T15:50")
    stays = (
        stay(admitted(), early, summary_bill(), discharged()),
        stay(admitted(), summary_bill(), discharged(), late),
    )
    bills = [settled_bill(found, found.live_bills[0]) for found in stays]
    assert bills[0] == bills[1]
    assert (bills[0].social, bills[0].fund, bills[0].lines[0].catalogue_class) == ("settled", yuan("400.00"), "甲")


def test_each_of_several_bills_needs_its_own_settlement():
    two = summary_bill("1"), summary_bill("2", "50.00")
    assert waits_for(stay(admitted(), discharged(), *two, settled("S1", "1"))) == "settlement"
    assert (
        waits_for(stay(admitted(), discharged(), *two, settled("S1", "1"), settled("S2", "2", "50.00", "0.00"))) == ""
    )


def test_a_settlement_that_names_no_bill_belongs_to_the_only_one():
    found = stay(admitted(), discharged(), summary_bill(), settled(bill=None))
    assert waits_for(found) == ""
    two = stay(admitted(), discharged(), summary_bill("1"), summary_bill("2"), settled(bill=None))
    assert waits_for(two) == "settlement"


def test_a_settlement_that_was_undone_counts_for_nothing_whenever_that_is_heard():
    undone = settlement_cancelled("S1")
    assert stay(undone, settled("S1")).settlements == ()
    redone = settled("S2", fund="350.00", when="2026-03-07T14:00")
    found = stay(admitted(), discharged(), summary_bill(), settled("S1"), undone, redone)
    assert [s.settlement for s in found.settlements] == ["S2"]
    assert settled_bill(found, found.live_bills[0]).fund == yuan("350.00")


def test_a_bill_and_a_settlement_that_disagree_go_on_without_a_split():
    found = stay(admitted(), discharged(), billed(a_bill(fund="401.00")), settled(fund="400.00"))
    assert settled_bill(found, found.live_bills[0]).social is None

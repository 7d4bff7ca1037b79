"""Reasons that leave a whole benefit unpaid (FORMAT.md §5.3)."""

from claims_given import (
    ACCIDENT,
    STAY,
    bill,
    block,
    cover,
    cuts,
    day,
    decided,
    line,
    payable,
    period,
    product,
    stay,
    visit,
)

BILL = bill(line(1, "100.00"), line(2, "50.00"))
NEW = cover(period(since="2025-01-01"))


def test_an_event_in_no_policy_year_is_outside_cover():
    determination = decided(product(), stay(BILL), cover(period("2024-01-01", "2025-04-30")))
    assert cuts(determination) == [("outside_cover", "100.00", "")]
    assert cuts(determination, 2) == [("outside_cover", "50.00", "")]
    assert [(row.benefit, row.period) for row in determination.benefits] == [("stay", "")]
    assert {row.period for row in determination.lines} == {""}
    assert determination.decision == "refuse-proposed"


def test_the_first_and_the_last_day_of_a_policy_year_are_inside():
    assert payable(decided(product(), stay(BILL), cover(period("2025-05-01", "2025-05-11")))) == "150.00"
    last = stay(BILL, discharged_on=day("2025-05-01"))
    assert payable(decided(product(), last, cover(period("2025-01-01", "2025-05-01")))) == "150.00"


def test_cover_may_end_after_some_days_counted_from_the_first():
    of = product(block("cover", "cover_days = 10"))
    begun = cover(period("2025-04-22", "2026-04-21"))  # 1 May is day 10
    assert payable(decided(of, stay(BILL), begun)) == "150.00"
    earlier = cover(period("2025-04-21", "2026-04-20"))  # 1 May is day 11
    determination = decided(of, stay(BILL), earlier)
    assert cuts(determination) == [("outside_cover", "100.00", "cover")]
    assert determination.benefits[0].period == "2025-04-21"


def test_who_is_not_on_the_roster_on_the_event_day_is_not_covered():
    of = product()
    assert payable(decided(of, stay(BILL), cover(roster_first_day=day("2025-05-01")))) == "150.00"
    assert payable(decided(of, stay(BILL), cover(roster_last_day=day("2025-05-01")))) == "150.00"
    assert cuts(decided(of, stay(BILL), cover(roster_first_day=day("2025-05-02")))) == [("not_on_roster", "100.00", "")]
    assert cuts(decided(of, stay(BILL), cover(roster_last_day=day("2025-04-30")))) == [("not_on_roster", "100.00", "")]


WAITING = product(block("waiting", 'general_days = 121\nspecial = [{ days = 10, icd = ["K80", "K81"] }]'))


def test_an_illness_waits_until_the_last_waiting_day_and_not_longer():
    # 1 May is day 121 of a cover that began on 1 January
    other = {"diagnoses": ("J18.900",)}
    assert cuts(decided(WAITING, stay(BILL, **other), NEW)) == [("waiting_period", "100.00", "waiting")]
    later = stay(BILL, admitted_on=day("2025-05-02"), **other)
    assert payable(decided(WAITING, later, NEW)) == "150.00"


def test_the_first_special_waiting_period_that_matches_replaces_the_general_one():
    assert payable(decided(WAITING, stay(BILL), NEW)) == "150.00"
    found = stay(BILL, first_found_on=day("2025-01-10"))
    assert cuts(decided(WAITING, found, NEW)) == [("waiting_period", "100.00", "waiting")]
    assert payable(decided(WAITING, stay(BILL, first_found_on=day("2025-01-11")), NEW)) == "150.00"


def test_the_day_of_discovery_counts_instead_of_the_event():
    other = {"diagnoses": ("J18.900",)}
    late = stay(BILL, admitted_on=day("2025-05-05"), first_found_on=day("2025-04-30"), **other)
    assert cuts(decided(WAITING, late, NEW))[0][0] == "waiting_period"


def test_what_was_found_before_cover_began_is_no_matter_of_waiting_but_of_doubt():
    determination = decided(WAITING, stay(BILL, first_found_on=day("2024-12-31")), NEW)
    assert (determination.refer, payable(determination)) == (("preexisting_doubt",), "150.00")


def test_waiting_counts_from_the_first_day_of_unbroken_cover():
    assert payable(decided(WAITING, stay(BILL, diagnoses=("J18.900",)), cover())) == "150.00"


def test_an_accident_never_waits():
    hurt = stay(BILL, diagnoses=("S61.000",), accident=True, accident_on=day("2025-05-01"))
    assert payable(decided(WAITING, hurt, NEW)) == "150.00"


EXCLUDING = product(
    block("exclusion", 'icd = ["F", "K80"]', id="a", clause="a1"),
    block("exclusion", 'icd = ["K", "S"]\nunless_accident = true', id="b", clause="b1"),
)


def test_an_excluded_illness_is_cut_by_the_first_exclusion_by_id():
    assert cuts(decided(EXCLUDING, stay(BILL))) == [("excluded_diagnosis", "100.00", "a1")]
    assert cuts(decided(EXCLUDING, stay(BILL, diagnoses=("K35.800",)))) == [("excluded_diagnosis", "100.00", "b1")]
    assert payable(decided(EXCLUDING, stay(BILL, diagnoses=("J18.900",)))) == "150.00"


def test_an_exclusion_may_not_hold_after_an_accident():
    hurt = {"accident": True, "accident_on": day("2025-05-01")}
    assert payable(decided(EXCLUDING, stay(BILL, diagnoses=("S61.000",), **hurt))) == "150.00"
    assert cuts(decided(EXCLUDING, stay(BILL, **hurt))) == [("excluded_diagnosis", "100.00", "a1")]


def test_the_first_reason_that_matches_is_told():
    of = product(block("waiting", "general_days = 200"), block("exclusion", 'icd = ["K80"]'))
    off_roster = cover(period(since="2025-01-01"), roster_last_day=day("2025-04-01"))
    assert cuts(decided(of, stay(BILL), off_roster)) == [("not_on_roster", "100.00", "")]
    assert cuts(decided(of, stay(BILL), NEW)) == [("waiting_period", "100.00", "waiting")]
    assert cuts(decided(of, stay(BILL))) == [("excluded_diagnosis", "100.00", "exclusion")]


def test_the_event_of_an_accident_benefit_is_the_accident():
    hurt = visit(bill(line(1, "100.00"), kind="outpatient"), accident=True, accident_on=day("2024-12-31"))
    first_year = cover(period())
    determination = decided(product(benefits=ACCIDENT + STAY), hurt, first_year)
    assert cuts(determination) == [("outside_cover", "100.00", "")]
    two_years = cover(period("2024-01-01", "2024-12-31"), period())
    assert decided(product(benefits=ACCIDENT), hurt, two_years).benefits[0].period == "2024-01-01"


def test_a_benefit_without_bills_is_shown_in_the_year_of_the_event():
    determination = decided(product(), stay())
    assert (determination.decision, payable(determination), determination.lines) == ("pay", "0.00", ())
    assert [(row.benefit, row.period) for row in determination.benefits] == [("stay", "2025-01-01")]


def test_nothing_is_consumed_by_a_benefit_that_is_cut_as_a_whole():
    of = product(
        block("exclusion", 'icd = ["K80"]'),
        block("deductible", 'yuan = "50.00"\nbasis = "year"'),
        block("limit", 'yuan = "90.00"\nbasis = "year"'),
    )
    determination = decided(of, stay(BILL))
    assert [found[0] for found in cuts(determination)] == ["excluded_diagnosis"]
    assert determination.uses.scopes == {}


def test_terms_are_those_of_the_first_day_of_the_policy_year():
    of = product(
        block("exclusion", 'icd = ["K80"]', start="2025-01-02"),
        block("exclusion", 'icd = ["J"]', start="2024-01-01"),
    )
    assert payable(decided(of, stay(BILL))) == "150.00"
    renewed = cover(period("2025-01-02", "2026-01-01"))
    assert cuts(decided(of, stay(BILL), renewed)) == [("excluded_diagnosis", "100.00", "exclusion")]


def test_a_rule_that_ended_no_longer_holds():
    of = product(block("exclusion", 'icd = ["K80"]'), block("exclusion", "ended = true", start="2025-01-01"))
    assert payable(decided(of, stay(BILL))) == "150.00"
    assert cuts(decided(of, stay(BILL), cover(period("2024-12-31", "2025-12-30"))))[0][0] == "excluded_diagnosis"

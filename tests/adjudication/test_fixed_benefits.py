"""Allowances and lump sums (FORMAT.md §6)."""

import pytest
from claims_given import (
    ALLOWANCE,
    CLINIC,
    DEATH,
    ILLNESS,
    benefit_cuts,
    block,
    cover,
    day,
    decided,
    diagnosis,
    in_order,
    payable,
    period,
    product,
    stay,
    yuan,
)

from safeweave.adjudication.history import History
from safeweave.coverage.usage import Usage, Used
from safeweave.facts import Claim


def daily(more: str = "", *blocks: str):
    return product(block("allowance", f'daily_yuan = "10.00"\n{more}'), *blocks, benefits=ALLOWANCE)


def used_days(days: int) -> Usage:
    return Usage({"2025-01-01": Used(days={"daily": days})})


def from_to(first: str, last: str, id: str = "c1", **known) -> Claim:
    return stay(id=id, admitted_on=day(first), discharged_on=day(last), claimed_on=day("2025-12-31"), **known)


def days_of(determination) -> int | None:
    return determination.benefits[0].days


# --- allowance ---


def test_a_stay_pays_its_nights_and_a_same_day_stay_one_day():
    assert payable(decided(daily(), stay())) == "100.00"
    same_day = decided(daily(), from_to("2025-05-01", "2025-05-01"))
    assert (payable(same_day), days_of(same_day), same_day.usage) == ("10.00", 1, used_days(1))


def test_cuts_in_days_come_in_their_order():
    of = daily("skip_days = 2\nmax_days_stay = 5\nmax_days_year = 10", block("cover", "tail_days = 1"))
    insured = cover(period("2025-01-01", "2025-05-08"))
    history = History(used_days(7))
    claim = from_to("2025-05-01", "2025-05-11", leave_days=1)
    # 10 days; 2 after 9 May; 1 on leave; 2 skipped; at most 5; 3 left of the year
    determination = decided(of, claim, insured, history)
    assert benefit_cuts(determination) == [
        ("after_cover", "10.00", "cover"),
        ("leave_days", "10.00", "allowance"),
        ("skip_days", "20.00", "allowance"),
        ("stay_day_limit", "10.00", "allowance"),
        ("year_day_limit", "20.00", "allowance"),
    ]
    assert (payable(determination), days_of(determination), determination.usage) == ("30.00", 3, used_days(10))


def test_days_after_the_policy_year_are_covered_by_a_continuous_renewal_and_count_in_the_first():
    renewed = (period("2024-05-06", "2025-05-05", "2023-01-01"), period("2025-05-06", "2026-05-05", "2023-01-01"))
    determination = decided(daily(), stay(), cover(*renewed))
    assert (payable(determination), determination.benefits[0].period) == ("100.00", "2024-05-06")
    broken = (renewed[0], period("2025-05-06", "2026-05-05", "2025-05-06"))
    assert benefit_cuts(decided(daily(), stay(), cover(*broken))) == [("after_cover", "50.00", "")]


def test_more_leave_than_days_leaves_nothing():
    determination = decided(daily(), from_to("2025-05-01", "2025-05-03", leave_days=5))
    assert benefit_cuts(determination) == [("leave_days", "20.00", "allowance")]
    assert (determination.decision, days_of(determination)) == ("refuse-proposed", 0)


def test_days_of_another_stay_in_force_are_not_paid_again():
    first, second = from_to("2025-05-01", "2025-05-11"), from_to("2025-05-08", "2025-05-14", "c2")
    _, two = in_order(daily(), first, second)
    assert benefit_cuts(two) == [("day_already_paid", "30.00", "allowance")]
    assert (payable(two), two.usage) == ("30.00", used_days(13))


def test_days_that_an_earlier_stay_skipped_are_its_days_all_the_same():
    of = daily("skip_days = 10")
    _, two = in_order(of, from_to("2025-05-01", "2025-05-11"), from_to("2025-05-01", "2025-05-13", "c2"))
    # the first stay is refused with nothing paid, so it is not in force
    assert benefit_cuts(two) == [("skip_days", "100.00", "allowance")]
    some = daily("skip_days = 9")
    _, two = in_order(some, from_to("2025-05-01", "2025-05-11"), from_to("2025-05-01", "2025-05-13", "c2"))
    assert benefit_cuts(two) == [("day_already_paid", "100.00", "allowance"), ("skip_days", "20.00", "allowance")]


def test_intensive_care_pays_more_for_as_many_days_as_are_paid():
    of = daily("icu_times = 3")
    assert payable(decided(of, from_to("2025-05-01", "2025-05-11", icu_days=4))) == "180.00"
    assert payable(decided(of, from_to("2025-05-01", "2025-05-03", icu_days=4))) == "60.00"


def test_limits_in_yuan_cut_what_is_paid_but_not_the_days():
    of = daily("", block("limit", 'yuan = "35.00"\nbasis = "claim"'))
    determination = decided(of, stay())
    assert benefit_cuts(determination) == [("claim_limit", "65.00", "limit")]
    assert (payable(determination), days_of(determination), determination.usage) == ("35.00", 10, used_days(10))


def test_a_hospital_that_is_not_covered_cuts_all_days():
    of = daily("", block("hospital", "min_level = 2\nemergency_exempt = true"))
    determination = decided(of, stay(hospital=CLINIC, icu_days=3))
    assert benefit_cuts(determination) == [("hospital_not_covered", "100.00", "hospital")]
    assert (days_of(determination), determination.decision, determination.stays) == (0, "refuse-proposed", ())
    assert payable(decided(of, stay(hospital=CLINIC, emergency=True))) == "100.00"


def test_a_whole_reason_is_shown_even_where_nothing_says_what_a_day_is_worth():
    determination = decided(daily(), stay(), cover(period("2024-01-01", "2024-12-31")))
    assert benefit_cuts(determination) == [("outside_cover", "0.00", "")]
    assert (determination.benefits[0].period, days_of(determination)) == ("", 0)
    assert determination.decision == "refuse-proposed"


def test_an_allowance_for_accidents_needs_one_but_counts_from_the_admission():
    of = product(block("allowance", 'daily_yuan = "10.00"'), benefits=ALLOWANCE + "accident_only = true\n")
    assert decided(of, stay()).benefits == ()
    hurt = stay(accident=True, accident_on=day("2024-12-31"))
    assert decided(of, hurt).benefits[0].period == "2025-01-01"


MERGING = "skip_days = 3\nmax_days_stay = 12\nmerge_days = 5"


def test_stays_for_one_illness_soon_after_each_other_are_one():
    first = from_to("2025-05-01", "2025-05-11")
    second = from_to("2025-05-16", "2025-05-26", "c2", diagnoses=("K80.200",))
    one, two = in_order(daily(MERGING), first, second)
    assert (days_of(one), benefit_cuts(one)) == (7, [("skip_days", "30.00", "allowance")])
    assert (days_of(two), benefit_cuts(two)) == (5, [("stay_day_limit", "50.00", "allowance")])


@pytest.mark.parametrize(
    "second",
    [
        from_to("2025-05-17", "2025-05-27", "c2"),
        from_to("2025-05-16", "2025-05-26", "c2", diagnoses=("K81.100",)),
        from_to("2025-04-20", "2025-04-30", "c2"),
    ],
)
def test_a_later_another_or_an_earlier_stay_begins_anew(second):
    _, two = in_order(daily(MERGING), from_to("2025-05-01", "2025-05-11"), second)
    assert (days_of(two), benefit_cuts(two)) == (7, [("skip_days", "30.00", "allowance")])


def test_without_merge_days_stays_are_never_one():
    _, two = in_order(
        daily("skip_days = 3"), from_to("2025-05-01", "2025-05-11"), from_to("2025-05-11", "2025-05-16", "c2")
    )
    assert days_of(two) == 2


def test_what_was_skipped_of_a_short_stay_counts_towards_the_merged_one():
    of = daily("skip_days = 4\nmerge_days = 5")
    one, two, three = in_order(
        of,
        from_to("2025-05-01", "2025-05-06"),
        from_to("2025-05-06", "2025-05-07", "c2"),
        from_to("2025-05-08", "2025-05-09", "c3"),
    )
    assert [days_of(found) for found in (one, two, three)] == [1, 1, 1]


def test_a_chain_of_merged_stays_keeps_counting():
    of = daily("max_days_stay = 12\nmerge_days = 5")
    found = in_order(
        of,
        from_to("2025-05-01", "2025-05-06"),
        from_to("2025-05-08", "2025-05-13", "c2"),
        from_to("2025-05-15", "2025-05-20", "c3"),
    )
    assert [days_of(one) for one in found] == [5, 5, 2]


def test_of_several_stays_the_last_discharged_is_continued_and_of_those_the_first_decided():
    of = daily("max_days_stay = 9\nmerge_days = 5")
    long, short = from_to("2025-05-01", "2025-05-09"), from_to("2025-05-03", "2025-05-09", "c2")
    third = from_to("2025-05-10", "2025-05-14", "c3")
    _, two, three = in_order(of, long, short, third)
    assert (days_of(two), two.decision) == (0, "refuse-proposed")
    assert days_of(three) == 1  # nine at most, eight paid


# --- lump sum ---

ROWS = (
    'rows = [{ grade = "mild", icd = ["C73", "D0"], rate = "0.3", times = 2 }, '
    '{ grade = "moderate", icd = ["I63"], severity = "moderate", rate = "0.5" }, '
    '{ grade = "severe", icd = ["C", "I63"], rate = "1" }]'
)
SUM = product(block("lump_sum", f'yuan = "1000.01"\nsurvival_days = 14\n{ROWS}'), benefits=ILLNESS)


def grade(determination) -> tuple[str | None, str]:
    return determination.benefits[0].grade, payable(determination)


def counted(name: str, times: int) -> History:
    return History(Usage({"lifetime": Used(count={f"illness/{name}": times})}))


def test_the_first_row_that_matches_gives_the_grade_and_the_share_is_rounded_half_up():
    assert grade(decided(SUM, diagnosis())) == ("mild", "300.00")  # 300.003
    assert grade(decided(SUM, diagnosis(diagnoses=("C34.900",)))) == ("severe", "1000.01")
    assert grade(decided(SUM, diagnosis(diagnoses=("I63.900",), severity="moderate"))) == ("moderate", "500.01")  # .005
    assert grade(decided(SUM, diagnosis(diagnoses=("I63.900",), severity="mild"))) == ("severe", "1000.01")
    assert grade(decided(SUM, diagnosis(diagnoses=("I63.900",)))) == ("severe", "1000.01")


def test_an_illness_that_is_not_listed_has_no_grade_and_its_cut_is_shown():
    determination = decided(SUM, diagnosis(diagnoses=("K80.100",)))
    assert grade(determination) == ("", "0.00")
    assert benefit_cuts(determination) == [("not_listed_condition", "0.00", "lump_sum")]
    assert (determination.decision, determination.usage) == ("refuse-proposed", Usage())


def test_an_excluded_illness_cuts_the_sum_of_its_grade():
    of = product(
        block("lump_sum", f'yuan = "1000.00"\n{ROWS}'), block("exclusion", 'icd = ["C", "K"]'), benefits=ILLNESS
    )
    excluded = decided(of, diagnosis(confirmed=False))
    assert (grade(excluded), benefit_cuts(excluded)) == (
        ("mild", "0.00"),
        [("excluded_diagnosis", "300.00", "exclusion")],
    )
    assert (excluded.refer, excluded.usage) == ((), Usage())
    unlisted = decided(of, diagnosis(diagnoses=("K80.100",)))
    assert (grade(unlisted), benefit_cuts(unlisted)) == (("", "0.00"), [("excluded_diagnosis", "0.00", "exclusion")])
    outside = decided(of, diagnosis(), cover(period("2024-01-01", "2024-12-31")))
    assert (outside.benefits[0].grade, benefit_cuts(outside)) == ("", [("outside_cover", "0.00", "")])


@pytest.mark.parametrize(("died", "survived"), [("2025-05-14", False), ("2025-05-15", True)])
def test_an_illness_must_be_survived_for_some_days(died, survived):
    determination = decided(SUM, diagnosis(died_on=day(died)))
    assert benefit_cuts(determination) == ([] if survived else [("survival_period", "300.00", "lump_sum")])
    assert determination.decision == ("pay" if survived else "refuse-proposed")


@pytest.mark.parametrize(("claimed", "refer"), [("2025-05-14", ("survival_period_open",)), ("2025-05-15", ())])
def test_a_claim_before_the_survival_days_are_over_waits_for_a_person(claimed, refer):
    assert decided(SUM, diagnosis(claimed_on=day(claimed))).refer == refer


def test_a_grade_is_paid_only_so_many_times():
    assert decided(SUM, diagnosis(), history=counted("mild", 1)).usage == Usage(
        {"lifetime": Used(count={"illness/mild": 2})}
    )
    determination = decided(SUM, diagnosis(), history=counted("mild", 2))
    assert benefit_cuts(determination) == [("count_limit", "300.00", "lump_sum")]
    assert determination.benefits[0].grade == "mild"
    severe = diagnosis(diagnoses=("C34.900",))
    assert decided(SUM, severe, history=counted("mild", 2)).decision == "pay"
    assert decided(SUM, severe, history=counted("severe", 1)).decision == "refuse-proposed"


def test_reasons_come_in_their_order():
    both = diagnosis(died_on=day("2025-05-02"))
    assert benefit_cuts(decided(SUM, both, history=counted("mild", 2)))[0][0] == "survival_period"


def test_an_illness_that_is_not_confirmed_waits_for_a_person():
    assert decided(SUM, diagnosis(confirmed=False)).refer == ("definition_unconfirmed",)
    barred = decided(SUM, diagnosis(confirmed=False), history=counted("mild", 2))
    assert barred.refer == ()


def test_a_death_is_not_asked_to_be_survived():
    of = product(
        block("lump_sum", 'yuan = "10.00"\nsurvival_days = 14\nrows = [{ grade = "d", icd = [""], rate = "1" }]'),
        benefits=DEATH,
    )
    died = Claim("c1", "death", day("2025-05-03"), ("I21.900",), died_on=day("2025-05-02"), confirmed=True)
    assert (decided(of, died).decision, payable(decided(of, died))) == ("pay", "10.00")


def test_a_limit_cuts_the_sum_and_the_count_grows_all_the_same():
    of = product(
        block("lump_sum", f'yuan = "1000.00"\n{ROWS}'),
        block("limit", 'yuan = "300.00"\nbasis = "lifetime"'),
        benefits=ILLNESS,
    )
    one, two = in_order(of, diagnosis(), diagnosis(id="c2", diagnoses=("C34.900",)))
    assert (payable(one), one.usage.of("count", "lifetime", "illness/mild")) == ("300.00", 1)
    assert benefit_cuts(two) == [("lifetime_limit", "1000.00", "limit")]
    assert (two.decision, two.uses.of("count", "lifetime", "illness/severe")) == ("refuse-proposed", 1)
    assert two.usage == Usage({"lifetime": Used(limit={"b": yuan("300.00")}, count={"illness/mild": 1})})


def test_a_benefit_without_terms_in_force_pays_nothing():
    later = product(
        block("allowance", 'daily_yuan = "10.00"', start="2026-01-01"),
        block("lump_sum", f'yuan = "10.00"\n{ROWS}', start="2026-01-01"),
        benefits=ALLOWANCE + ILLNESS,
    )
    assert (payable(decided(later, stay())), decided(later, stay()).usage) == ("0.00", Usage())
    assert benefit_cuts(decided(later, diagnosis())) == [("not_listed_condition", "0.00", "")]

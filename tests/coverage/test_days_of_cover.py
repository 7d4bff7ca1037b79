"""Days of cover built from dated changes: renewals, lapses, reinstatements, cancellations."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coverage.given_policies import day, period
from safeweave.coverage.policy import Change, Insured, Policy, check_change, first_day_without_cover, periods_of
from safeweave.facts import Period
from safeweave.people.identity import Unusable


def years(*changes):
    return [(str(p.first_day), str(p.last_day), str(p.since)) for p in periods_of(changes)]


def lapse(first):
    return Change("lapse", day(first))


def reinstatement(first, last=None):
    return Change("reinstatement", day(first), None if last is None else day(last))


Y2025, Y2026 = period("2025-01-01", "2025-12-31"), period("2026-01-01", "2026-12-31")


def test_a_renewal_without_a_gap_keeps_since():
    assert years(Y2025, Y2026) == [
        ("2025-01-01", "2025-12-31", "2025-01-01"),
        ("2026-01-01", "2026-12-31", "2025-01-01"),
    ]


def test_a_renewal_after_a_gap_of_a_day_starts_anew():
    assert years(Y2025, period("2026-01-02", "2026-12-31"))[1] == ("2026-01-02", "2026-12-31", "2026-01-02")


def test_the_order_of_recording_does_not_matter_for_years():
    assert years(Y2026, Y2025) == years(Y2025, Y2026)


def test_since_can_be_stated_where_earlier_years_are_not_on_file():
    assert years(period("2026-01-01", "2026-12-31", "2019-01-01"), period("2027-01-01", "2027-12-31"))[1] == (
        "2027-01-01",
        "2027-12-31",
        "2019-01-01",
    )


def test_a_year_that_begins_on_29_february_is_renewed_on_1_march_or_28_february():
    leap = period("2024-02-29", "2025-02-28")
    assert years(leap, period("2025-03-01", "2026-02-28"))[1][2] == "2024-02-29"


def test_a_later_statement_about_a_year_replaces_it():
    assert years(Y2025, period("2025-01-01", "2025-06-30")) == [("2025-01-01", "2025-06-30", "2025-01-01")]


def test_a_lapse_ends_the_year_the_day_before_and_takes_later_years_away():
    assert years(Y2025, Y2026, lapse("2025-07-01")) == [("2025-01-01", "2025-06-30", "2025-01-01")]


def test_a_lapse_on_the_first_day_leaves_nothing_of_that_year():
    assert years(Y2025, Y2026, lapse("2026-01-01")) == [("2025-01-01", "2025-12-31", "2025-01-01")]


def test_a_reinstatement_opens_the_rest_of_the_year_with_a_new_since():
    assert years(Y2026, lapse("2026-03-02"), reinstatement("2026-05-01")) == [
        ("2026-01-01", "2026-03-01", "2026-01-01"),
        ("2026-05-01", "2026-12-31", "2026-05-01"),
    ]


def test_years_after_a_reinstatement_continue_from_it():
    assert years(Y2025, Y2026, lapse("2025-07-01"), reinstatement("2025-08-01")) == [
        ("2025-01-01", "2025-06-30", "2025-01-01"),
        ("2025-08-01", "2025-12-31", "2025-08-01"),
        ("2026-01-01", "2026-12-31", "2025-08-01"),
    ]


def test_a_stated_since_does_not_survive_a_gap():
    long_insured = period("2026-01-01", "2026-12-31", "2010-01-01")
    assert years(long_insured, lapse("2026-03-01"), reinstatement("2026-04-01"))[1][2] == "2026-04-01"


def test_a_reinstatement_on_the_day_of_the_lapse_undoes_it():
    assert years(Y2025, Y2026, lapse("2026-03-01"), reinstatement("2026-03-01")) == years(Y2025, Y2026)


def test_a_reinstatement_can_name_its_last_day():
    assert years(Y2026, lapse("2026-03-01"), reinstatement("2026-04-01", "2026-06-30"))[1][1] == "2026-06-30"


def test_a_second_lapse_and_reinstatement_follow_the_first():
    assert years(
        Y2026, lapse("2026-03-01"), reinstatement("2026-04-01"), lapse("2026-06-01"), reinstatement("2026-07-01")
    ) == [
        ("2026-01-01", "2026-02-28", "2026-01-01"),
        ("2026-04-01", "2026-05-31", "2026-04-01"),
        ("2026-07-01", "2026-12-31", "2026-07-01"),
    ]


def test_a_cancellation_ends_the_cover_and_is_not_reinstated():
    cancelled = Change("cancellation", day("2026-03-01"))
    assert years(Y2026, cancelled) == [("2026-01-01", "2026-02-28", "2026-01-01")]
    with pytest.raises(Unusable, match="no year that lapsed"):
        check_change([Y2026, cancelled], reinstatement("2026-04-01"))


def test_a_void_policy_never_covered_anything():
    void = Change("void", day("2026-01-10"))
    assert years(Y2026, void) == []
    with pytest.raises(Unusable, match="takes no more changes"):
        check_change([Y2026, void], period("2027-01-01", "2027-12-31"))


@pytest.mark.parametrize(
    ("due", "demanded", "suspended"),
    [
        ("2026-01-01", None, "2026-03-03"),  # day 60 is 2 March, still covered
        ("2026-01-01", "2026-01-10", "2026-02-10"),  # day 30 after the demand is 9 February
        ("2026-01-01", "2026-02-20", "2026-03-03"),
        ("2023-12-31", None, "2024-03-01"),  # 2024 has a 29 February
    ],
)
def test_an_unpaid_premium_suspends_on_day_61_or_day_31_after_the_demand(due, demanded, suspended):
    assert first_day_without_cover(day(due), demanded and day(demanded)) == day(suspended)


@pytest.mark.parametrize(("on", "covered"), [("2026-03-01", True), ("2026-03-02", True), ("2026-03-03", False)])
def test_events_up_to_day_60_are_covered(on, covered):
    cut = periods_of([Y2026, Change("lapse", first_day_without_cover(day("2026-01-01")))])
    assert any(p.first_day <= day(on) <= p.last_day for p in cut) == covered


@pytest.mark.parametrize(
    ("known", "change", "told"),
    [
        ([Y2026], period("2026-12-31", "2027-12-30"), "begin on 2027-01-01"),
        ([Y2026], period("2027-12-31", "2027-01-01"), "before the first day"),
        ([Y2026], period("2027-01-01", "2027-12-31", "2027-02-01"), "cannot begin after"),
        ([Y2026], Change("period", day("2027-01-01")), "needs its last day"),
        ([Y2026], lapse("2027-01-01"), "no cover on or after"),
        ([Y2026], reinstatement("2026-05-01"), "in force on 2026-05-01"),
        ([Y2026], reinstatement("2027-05-01"), "or renew the policy"),
        ([Y2026, lapse("2026-03-01")], reinstatement("2027-01-01"), "or renew the policy"),
    ],
)
def test_a_change_that_cannot_follow_is_refused_with_what_to_do(known, change, told):
    with pytest.raises(Unusable, match=told):
        check_change(known, change)


def test_changes_of_one_person_leave_the_others_alone():
    policy = Policy(
        "policy_1",
        "P-1",
        "x",
        None,
        "main",
        (Insured("person_a", True), Insured("person_b", True)),
        (Y2026, Change("cancellation", day("2026-04-01"), person="person_b")),
    )
    assert policy.periods() == {
        "person_a": (Period(day("2026-01-01"), day("2026-12-31"), day("2026-01-01")),),
        "person_b": (Period(day("2026-01-01"), day("2026-03-31"), day("2026-01-01")),),
    }
    assert policy.status_on(day("2026-05-01")) == "in_force"


@pytest.mark.parametrize(
    ("changes", "on", "status"),
    [
        ([Y2026], "2025-12-31", "not_begun"),
        ([Y2026], "2026-01-01", "in_force"),
        ([Y2026], "2027-01-01", "ended"),
        ([Y2026, lapse("2026-03-01")], "2026-03-01", "lapsed"),
        ([Y2026, lapse("2026-03-01"), reinstatement("2026-04-01")], "2026-03-15", "lapsed"),
        ([Y2026, Change("cancellation", day("2026-03-01"))], "2026-03-01", "cancelled"),
        ([Y2026, Change("void", day("2026-01-10"))], "2026-02-01", "void"),
    ],
)
def test_how_a_policy_stands_on_a_day(changes, on, status):
    policy = Policy("policy_1", "P-1", "x", None, "main", (Insured("person_a", True),), tuple(changes))
    assert policy.status_on(day(on)) == status


days = st.integers(0, 1500).map(lambda n: day("2024-01-01") + timedelta(days=n))
some_changes = st.lists(
    st.one_of(
        st.builds(lambda first, n: Change("period", first, first + timedelta(days=n)), days, st.integers(0, 365)),
        st.builds(lambda first: Change("lapse", first), days),
        st.builds(lambda first: Change("reinstatement", first), days),
        st.builds(lambda first: Change("cancellation", first), days),
    ),
    max_size=12,
)


@given(some_changes)
def test_years_never_overlap_and_every_accepted_change_does_what_it_says(changes):
    known = []
    for change in changes:
        try:
            check_change(known, change)
        except Unusable:
            continue
        known.append(change)
        found = periods_of(known)
        assert all(a.last_day < b.first_day for a, b in pairwise(found))
        assert all(p.since <= p.first_day <= p.last_day for p in found)
        if change.kind in ("lapse", "cancellation"):
            assert all(p.last_day < change.first_day for p in found)
        else:
            assert any(p.first_day <= change.first_day <= p.last_day for p in found)


@given(some_changes)
def test_since_is_the_first_day_of_an_unbroken_row_of_years(changes):
    known = []
    for change in changes:
        try:
            check_change(known, change)
        except Unusable:
            continue
        known.append(change)
    for before, after in pairwise(periods_of(known)):
        unbroken = before.last_day + timedelta(days=1) == after.first_day
        assert after.since == (before.since if unbroken else after.first_day)

"""Which policy year a line belongs to (FORMAT.md §5.4)."""

import pytest
from claims_given import (
    ACCIDENT,
    STAY,
    VISIT,
    bill,
    block,
    cover,
    cuts,
    day,
    decided,
    line,
    paid,
    payable,
    period,
    product,
    stay,
    visit,
)

from safeweave.facts import Claim

TWO_YEARS = (period("2024-01-01", "2024-12-31"), period("2025-01-01", "2025-12-31"))
ENDED = cover(period("2024-06-01", "2025-05-05"))


def visit_bill(on: str, *lines):
    return bill(*(lines or (line(1, "10.00"),)), kind="outpatient", number="7", on=day(on))


def accident(*lines, **known) -> Claim:
    facts = {"accident": True, "accident_on": day("2025-05-01"), **known}
    return visit(bill(*lines, kind="outpatient", on=day("2025-05-11")), **facts)


def test_an_accident_line_is_covered_until_the_last_day_of_its_window():
    of = product(block("cover", "accident_days = 10"), benefits=ACCIDENT)
    lines = [line(no, "10.00", on=day(on)) for no, on in enumerate(("2025-04-30", "2025-05-01", "2025-05-10"), 1)]
    determination = decided(of, accident(*lines, line(4, "10.00", on=day("2025-05-11"))))
    assert paid(determination) == ["0.00", "10.00", "10.00", "0.00"]
    assert cuts(determination, 1) == cuts(determination, 4) == [("outside_accident_window", "10.00", "cover")]


def test_without_a_window_an_accident_is_treated_as_long_as_it_takes_even_after_the_policy():
    of = product(benefits=ACCIDENT)
    ended = cover(period("2025-01-01", "2025-05-02"))
    determination = decided(of, accident(line(1, "10.00", on=day("2025-05-11"))), ended)
    assert (paid(determination), determination.lines[0].period) == (["10.00"], "2025-01-01")


@pytest.mark.parametrize(
    ("on", "reason"),
    [
        ("2025-04-23", "outside_pre_post_window"),
        ("2025-04-24", None),
        ("2025-05-31", None),
        ("2025-06-01", "outside_pre_post_window"),
    ],
)
def test_visits_around_a_stay_count_within_their_window(on, reason):
    of = product(block("cover", "pre_days = 7\npost_days = 20"))
    determination = decided(of, stay(visit_bill(on), claimed_on=day("2025-07-01")))
    assert cuts(determination) == ([(reason, "10.00", "cover")] if reason else [])


def test_without_a_window_visits_count_only_during_the_stay():
    assert cuts(decided(product(), stay(visit_bill("2025-04-30"))))[0] == ("outside_pre_post_window", "10.00", "")
    assert payable(decided(product(), stay(visit_bill("2025-05-01")))) == "10.00"


def test_the_window_does_not_bound_the_visits_of_a_visit():
    of = product(benefits=VISIT)
    assert payable(decided(of, visit(visit_bill("2025-02-01")))) == "10.00"


def test_a_line_before_unbroken_cover_began_is_before_cover():
    of = product(benefits=VISIT)
    begun = cover(period("2025-05-01", "2026-04-30", "2025-05-01"))
    determination = decided(of, visit(visit_bill("2025-04-30")), begun)
    assert cuts(determination) == [("before_cover", "10.00", "")]
    assert determination.lines[0].period == "2025-05-01"


def test_an_earlier_line_counts_in_the_year_of_the_event_or_with_line_date_in_its_own():
    earlier = visit(visit_bill("2024-12-31"))
    by_event = product(benefits=VISIT)
    by_line = product(block("cover", 'stay_year = "line_date"'), benefits=VISIT)
    assert decided(by_event, earlier, cover(*TWO_YEARS)).lines[0].period == "2025-01-01"
    assert decided(by_line, earlier, cover(*TWO_YEARS)).lines[0].period == "2024-01-01"
    assert decided(by_line, earlier, cover(period())).lines[0].period == "2025-01-01"


def test_a_line_after_the_policy_year_is_covered_by_a_continuous_renewal():
    lines = (line(1, "10.00", on=day("2025-05-05")), line(2, "10.00", on=day("2025-05-06")))
    claim = stay(bill(*lines))
    renewed = (period("2024-05-06", "2025-05-05", "2023-01-01"), period("2025-05-06", "2026-05-05", "2023-01-01"))
    by_event = decided(product(), claim, cover(*renewed))
    assert [row.period for row in by_event.lines] == ["2024-05-06", "2024-05-06"]
    by_line = decided(product(block("cover", 'stay_year = "line_date"')), claim, cover(*renewed))
    assert [row.period for row in by_line.lines] == ["2024-05-06", "2025-05-06"]
    assert [row.period for row in by_line.benefits] == ["2024-05-06", "2025-05-06"]


def test_a_broken_renewal_covers_nothing_of_the_year_before():
    lines = (line(1, "10.00", on=day("2025-05-05")), line(2, "10.00", on=day("2025-05-06")))
    broken = (period("2024-05-06", "2025-05-05"), period("2025-05-06", "2026-05-05", "2025-05-06"))
    determination = decided(product(), stay(bill(*lines)), cover(*broken))
    assert cuts(determination, 2) == [("after_cover", "10.00", "")]
    assert determination.lines[1].period == "2024-05-06"


def test_a_stay_is_covered_some_days_after_the_end_but_a_visit_is_not():
    of = product(block("cover", "tail_days = 3"), benefits=STAY + VISIT)
    lines = (line(1, "10.00", on=day("2025-05-08")), line(2, "10.00", on=day("2025-05-09")))
    determination = decided(of, stay(bill(*lines)), ENDED)
    assert cuts(determination, 1) == []
    assert cuts(determination, 2) == [("after_cover", "10.00", "cover")]
    late = visit(visit_bill("2025-05-06"), visited_on=day("2025-05-05"))
    assert cuts(decided(of, late, ENDED)) == [("after_cover", "10.00", "cover")]


def test_a_line_without_a_day_counts_on_the_admission_or_the_day_of_the_bill():
    of = product(block("cover", "post_days = 30"))
    determination = decided(of, stay(bill(line(1, "10.00"), on=day("2025-06-30")), visit_bill("2025-05-20")))
    assert paid(determination) == ["10.00", "10.00"]


def test_each_line_is_under_the_terms_of_its_own_year():
    of = product(
        block("cover", 'stay_year = "line_date"'),
        block("ratio", 'rows = [{ rate = "0.50" }]', clause="old"),
        block("ratio", 'rows = [{ rate = "0.80" }]', start="2025-05-06", clause="new"),
    )
    renewed = (period("2024-05-06", "2025-05-05", "2023-01-01"), period("2025-05-06", "2026-05-05", "2023-01-01"))
    lines = (line(1, "10.00", on=day("2025-05-05")), line(2, "10.00", on=day("2025-05-06")))
    determination = decided(of, stay(bill(*lines)), cover(*renewed))
    assert cuts(determination, 1) == [("copayment", "5.00", "old")]
    assert cuts(determination, 2) == [("copayment", "2.00", "new")]


def test_a_refund_stands_in_the_year_of_its_original():
    of = product(block("cover", 'stay_year = "line_date"'))
    renewed = (period("2024-05-06", "2025-05-05", "2023-01-01"), period("2025-05-06", "2026-05-05", "2023-01-01"))
    lines = (line(1, "10.00", on=day("2025-05-06")), line(2, "-4.00", refund_of=1))
    determination = decided(of, stay(bill(*lines)), cover(*renewed))
    assert [(row.period, row.no) for row in determination.lines] == [("2025-05-06", 1), ("2025-05-06", 2)]
    assert [row.period for row in determination.benefits] == ["2025-05-06"]


def test_rows_stand_in_canonical_order_whatever_the_order_of_the_file():
    first = bill(line(2, "1.00"), line(1, "2.00"), number="9", on=day("2025-05-10"))
    second = bill(line(1, "3.00"), number="1", on=day("2025-05-11"))
    third = bill(line(1, "4.00"), code="1", number="5", on=day("2025-05-11"))
    determination = decided(product(), stay(second, first, third))
    assert paid(determination) == ["2.00", "1.00", "4.00", "3.00"]

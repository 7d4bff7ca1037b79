"""Compensation, deductible and share (FORMAT.md §5.6)."""

import msgspec
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
    in_order,
    line,
    paid,
    paid_by,
    payable,
    period,
    product,
    settled_bill,
    split,
    stay,
    visit,
    yuan,
)
from hypothesis import given
from hypothesis import strategies as st

from safeweave.adjudication.copayment import rounded_together
from safeweave.adjudication.deductible import deductible_left
from safeweave.adjudication.history import History
from safeweave.coverage.usage import Usage, Used

ENROLLED = cover(enrolled=True)
YEARLY = block("deductible", 'yuan = "100.00"\nbasis = "year"')


def after_deductible(amount: str) -> History:
    return History(Usage({"2025-01-01": Used(deductible={"b": yuan(amount)})}))


def test_a_later_stay_in_the_same_year_meets_only_the_rest():
    assert deductible_left(yuan("10000.00"), used=yuan("8200.00")) == yuan("1800.00")
    assert deductible_left(yuan("10000.00"), used=yuan("10000.01")) == yuan("0.00")


def test_compensation_is_taken_from_the_eligible_amount_in_order():
    of = product(block("scope", "own = false"), block("ratio", 'rows = [{ rate = "1" }]'))
    others = (paid_by("charity", "4.00"), paid_by("other_insurer", "6.00"), paid_by("other_insurer", "10.00"))
    found = settled_bill(line(1, "100.00", split=split(own="40.00", within="60.00")), fund="30.00", other_paid=others)
    determination = decided(of, stay(found), ENROLLED)
    assert cuts(determination) == [
        ("outside_catalogue", "40.00", "scope"),
        ("social_paid", "30.00", "ratio"),
        ("other_paid", "20.00", "ratio"),
    ]
    assert paid(determination) == ["10.00"]


def test_compensation_takes_no_more_than_is_eligible():
    of = product(block("scope", "own = false"))
    both = settled_bill(
        line(1, "100.00", split=split(own="90.00", within="10.00"), social_paid=yuan("8.00")),
        fund="8.00",
        other_paid=(paid_by("employer", "50.00"),),
    )
    assert cuts(decided(of, stay(both), ENROLLED))[1:] == [("social_paid", "8.00", ""), ("other_paid", "2.00", "")]


def test_social_insurance_paid_on_an_excluded_line_does_not_help_the_others():
    of = product(block("exclusion", 'treatments = ["ivf"]'))
    found = settled_bill(line(1, "60.00", treatment="ivf"), line(2, "40.00"), fund="50.00")
    determination = decided(of, stay(found), ENROLLED)
    assert cuts(determination, 1) == [("excluded_treatment", "60.00", "exclusion")]
    assert cuts(determination, 2) == [("social_paid", "20.00", "")]


def test_other_compensation_is_shared_over_all_lines_by_what_social_insurance_left():
    found = settled_bill(
        line(1, "60.00"), line(2, "40.00", "08", "丙"), fund="30.00", other_paid=(paid_by("charity", "7.00"),)
    )
    determination = decided(product(), stay(found), ENROLLED)  # left 30.00 and 40.00
    assert cuts(determination, 1) == [("social_paid", "30.00", ""), ("other_paid", "3.00", "")]
    assert cuts(determination, 2) == [("other_paid", "4.00", "")]


def test_fund_and_other_are_compensation_and_the_personal_account_is_not():
    found = settled_bill(
        line(1, "100.00"), fund="30.00", other=yuan("20.00"), account=yuan("40.00"), cash=yuan("10.00")
    )
    assert payable(decided(product(), stay(found), ENROLLED)) == "50.00"


def test_the_deductible_is_shared_over_what_is_left_and_counts_in_the_year():
    determination = decided(product(YEARLY), stay(bill(line(1, "200.00"), line(2, "100.00"))))
    assert cuts(determination, 1) == [("deductible", "66.67", "deductible")]
    assert cuts(determination, 2) == [("deductible", "33.33", "deductible")]
    assert determination.usage == Usage({"2025-01-01": Used(deductible={"b": yuan("100.00")})})


def test_a_deductible_of_the_year_is_met_together_by_all_claims():
    first = stay(bill(line(1, "70.00")))
    second = stay(bill(line(1, "70.00"), number="2"), id="c2")
    one, two = in_order(product(YEARLY), first, second)
    assert (one.decision, payable(one), payable(two)) == ("pay", "0.00", "40.00")
    assert two.usage == Usage({"2025-01-01": Used(deductible={"b": yuan("100.00")})})


def test_a_deductible_of_the_claim_is_taken_anew_and_never_reaches_the_usage():
    of = product(block("deductible", 'yuan = "100.00"\nbasis = "claim"'))
    determination = decided(of, stay(bill(line(1, "170.00"))), history=after_deductible("90.00"))
    assert payable(determination) == "70.00"
    assert determination.uses.scopes == {}


def test_a_deductible_of_the_claim_is_taken_once_over_all_its_years_and_benefits():
    of = product(
        block("cover", 'stay_year = "line_date"'),
        block("deductible", 'yuan = "100.00"\nbasis = "claim"'),
        benefits=STAY + ACCIDENT,
    )
    renewed = (period("2024-05-06", "2025-05-05", "2023-01-01"), period("2025-05-06", "2026-05-05", "2023-01-01"))
    lines = (line(1, "60.00", on=day("2025-05-05")), line(2, "60.00", on=day("2025-05-06")))
    determination = decided(of, stay(bill(*lines)), cover(*renewed))
    assert cuts(determination, 1) == [("deductible", "60.00", "deductible")]
    assert cuts(determination, 2) == [("deductible", "40.00", "deductible")]
    hurt = stay(bill(line(1, "130.00")), accident=True, accident_on=day("2025-05-01"))
    both = decided(of, hurt)
    assert cuts(both, benefit="stay") == [("deductible", "100.00", "deductible")]
    assert cuts(both, benefit="accident") == [("earlier_benefit", "30.00", "")]


def test_a_deductible_of_the_year_is_met_in_the_year_of_each_line():
    of = product(block("cover", 'stay_year = "line_date"'), YEARLY)
    renewed = (period("2024-05-06", "2025-05-05", "2023-01-01"), period("2025-05-06", "2026-05-05", "2023-01-01"))
    lines = (line(1, "60.00", on=day("2025-05-05")), line(2, "60.00", on=day("2025-05-06")))
    determination = decided(of, stay(bill(*lines)), cover(*renewed))
    assert paid(determination) == ["0.00", "0.00"]
    assert set(determination.usage.scopes) == {"2024-05-06", "2025-05-06"}


@pytest.mark.parametrize(
    ("offset_by", "taken"),
    [
        ("[]", "100.00"),
        ('["social"]', "70.00"),
        ('["employer"]', "80.00"),
        ('["social", "employer"]', "50.00"),
        ('["charity"]', "100.00"),
        ('["social", "employer", "charity", "other_insurer"]', "50.00"),
    ],
)
def test_compensation_that_offsets_uses_up_the_deductible(offset_by, taken):
    of = product(block("deductible", f'yuan = "100.00"\nbasis = "year"\noffset_by = {offset_by}'))
    found = settled_bill(line(1, "500.00"), fund="30.00", other_paid=(paid_by("employer", "20.00"),))
    determination = decided(of, stay(found), ENROLLED)
    assert cuts(determination)[-1] == ("deductible", taken, "deductible")
    assert determination.usage.of("deductible", "2025-01-01", "b") == yuan("100.00")


def test_no_more_offsets_than_is_left_of_the_deductible():
    of = product(block("deductible", 'yuan = "100.00"\nbasis = "year"\noffset_by = ["social"]'))
    found = settled_bill(line(1, "500.00"), fund="130.00")
    determination = decided(of, stay(found), ENROLLED, after_deductible("60.00"))
    assert cuts(determination) == [("social_paid", "130.00", "")]
    assert determination.usage.of("deductible", "2025-01-01", "b") == yuan("100.00")


def test_what_an_earlier_benefit_paid_may_offset_too():
    of = product(
        block(
            "deductible", 'yuan = "100.00"\nbasis = "year"\noffset_by = ["earlier_benefit"]\nbenefits = ["accident"]'
        ),
        block("ratio", 'rows = [{ rate = "0.30" }]\nbenefits = ["stay"]'),
        benefits=STAY + ACCIDENT,
    )
    hurt = stay(bill(line(1, "200.00")), accident=True, accident_on=day("2025-05-01"))
    determination = decided(of, hurt)  # the stay pays 60.00; 40.00 of the deductible are left
    assert cuts(determination, benefit="accident") == [
        ("earlier_benefit", "60.00", ""),
        ("deductible", "40.00", "deductible"),
    ]
    assert payable(determination) == "160.00"


def test_a_deductible_may_come_after_the_ratio():
    after = 'yuan = "30.00"\nbasis = "claim"\nstep = "after_ratio"'
    of = product(block("deductible", after), block("ratio", 'rows = [{ rate = "0.50" }]'))
    determination = decided(of, stay(bill(line(1, "100.00"), line(2, "50.00"))))
    assert cuts(determination, 1) == [("copayment", "50.00", "ratio"), ("deductible", "20.00", "deductible")]
    assert cuts(determination, 2) == [("copayment", "25.00", "ratio"), ("deductible", "10.00", "deductible")]


RATES = product(
    block(
        "ratio",
        'rows = [{ situation = ["settled"], class = ["甲", "乙"], rate = "0.9" }, '
        '{ situation = ["enrolled_not_used"], rate = "0.6" }, { situation = ["not_enrolled"], rate = "0.7" }, '
        '{ rate = "0.5" }]',
    )
)
PAIR = (line(1, "100.00"), line(2, "100.00", "08", "丙"))


@pytest.mark.parametrize(
    ("found", "insured", "expected"),
    [
        (settled_bill(*PAIR, fund="10.00"), ENROLLED, ["81.00", "50.00"]),
        (settled_bill(*PAIR, fund="0.00"), ENROLLED, ["60.00", "60.00"]),
        (bill(*PAIR), ENROLLED, ["60.00", "60.00"]),
        (bill(*PAIR), cover(), ["70.00", "70.00"]),
    ],
)
def test_the_first_row_that_matches_gives_the_rate(found, insured, expected):
    assert paid(decided(RATES, stay(found), insured)) == expected


def test_a_settlement_that_paid_nothing_counts_as_settled_where_the_product_says_so():
    of = product(
        block(
            "ratio", 'zero_settlement = "settled"\nrows = [{ situation = ["settled"], rate = "0.9" }, { rate = "0" }]'
        )
    )
    assert payable(decided(of, stay(settled_bill(line(1, "100.00"), fund="0.00")), ENROLLED)) == "90.00"
    assert payable(decided(of, stay(bill(line(1, "100.00"))), ENROLLED)) == "0.00"


def test_a_rate_may_depend_on_the_network():
    of = product(
        block("hospital", 'network = ["H1"]'),
        block("ratio", 'rows = [{ network = true, rate = "1" }, { network = false, rate = "0.8" }, { rate = "0" }]'),
    )
    inside = bill(line(1, "10.00"), number="2", hospital=msgspec.structs.replace(stay().hospital, id="H1"))
    assert paid(decided(of, stay(bill(line(1, "10.00")), inside))) == ["8.00", "10.00"]


def test_a_benefit_is_rounded_once_and_half_a_fen_rounds_up():
    of = product(block("ratio", 'rows = [{ rate = "0.5" }]'))
    lines = [line(no, "0.01") for no in (1, 2, 3)]
    determination = decided(of, stay(bill(*lines)))  # 3 x 0.005 = 0.015, half-up 0.02
    assert paid(determination) == ["0.01", "0.01", "0.00"]
    assert cuts(determination, 3) == [("copayment", "0.01", "ratio")]


def test_each_benefit_and_policy_year_is_rounded_on_its_own():
    of = product(block("cover", 'stay_year = "line_date"'), block("ratio", 'rows = [{ rate = "0.5" }]'))
    renewed = (period("2024-05-06", "2025-05-05", "2023-01-01"), period("2025-05-06", "2026-05-05", "2023-01-01"))
    lines = (line(1, "0.01", on=day("2025-05-05")), line(2, "0.01", on=day("2025-05-06")))
    assert paid(decided(of, stay(bill(*lines)), cover(*renewed))) == ["0.01", "0.01"]
    assert paid(decided(of, stay(bill(*lines)))) == ["0.01", "0.00"]


@given(st.lists(st.integers(0, 10**12), max_size=12))
def test_rounding_together_moves_no_line_by_a_fen_or_more(exact):
    rounded = rounded_together(exact)
    assert sum(rounded) == (2 * sum(exact) + 10_000) // 20_000
    assert all(abs(10_000 * whole - part) < 10_000 for whole, part in zip(rounded, exact, strict=True))


def test_a_later_benefit_shares_only_in_what_earlier_ones_left():
    of = product(block("ratio", 'rows = [{ rate = "0.6" }]', clause="r"), benefits=STAY + ACCIDENT)
    hurt = stay(bill(line(1, "100.00")), accident=True, accident_on=day("2025-05-01"))
    determination = decided(of, hurt)
    assert cuts(determination, benefit="accident") == [("earlier_benefit", "60.00", "r"), ("copayment", "16.00", "r")]
    assert payable(determination) == "84.00"


def test_treatments_open_an_outpatient_benefit():
    dialysis = VISIT + 'treatments = ["dialysis"]\n'
    found = visit(bill(line(1, "10.00"), kind="outpatient"), treatment="dialysis")
    assert payable(decided(product(benefits=dialysis), found)) == "10.00"
    other = msgspec.structs.replace(found, treatment=None)
    assert decided(product(benefits=dialysis), other).decision == "refuse-proposed"

"""Limits and overflow (FORMAT.md §5.7)."""

from claims_given import (
    ACCIDENT,
    ALLOWANCE,
    STAY,
    bill,
    block,
    cover,
    cuts,
    day,
    decided,
    in_order,
    line,
    paid,
    payable,
    period,
    product,
    stay,
    yuan,
)

from safeweave.adjudication.history import History
from safeweave.coverage.usage import Usage, Used

HUNDRED = bill(line(1, "60.00", "09"), line(2, "40.00", "06"))
OVER = '[[benefit]]\nid = "over"\nkind = "overflow"\norder = 0\nname = "恶性肿瘤"\nafter = "stay"\nicd = ["C", "K80"]\n'


def limit(amount: str, basis: str, id: str, more: str = "") -> str:
    return block("limit", f'yuan = "{amount}"\nbasis = "{basis}"\n{more}', id=id, clause=id)


def test_limits_work_categories_first_then_claim_year_lifetime_then_by_id():
    of = product(
        limit("10.00", "lifetime", "a"),
        limit("20.00", "year", "c"),
        limit("30.00", "year", "b"),
        limit("40.00", "claim", "z"),
        limit("50.00", "year", "y", 'categories = ["09"]'),
        limit("55.00", "claim", "x", 'categories = ["09"]'),
    )
    determination = decided(of, stay(bill(line(1, "60.00", "09"))))
    assert cuts(determination) == [
        ("category_limit", "5.00", "x"),
        ("category_limit", "5.00", "y"),
        ("claim_limit", "10.00", "z"),
        ("year_limit", "10.00", "b"),
        ("year_limit", "10.00", "c"),
        ("lifetime_limit", "10.00", "a"),
    ]


def test_the_excess_is_shared_over_what_is_paid_and_a_category_limit_leaves_other_lines_alone():
    determination = decided(product(limit("50.00", "claim", "a")), stay(HUNDRED))
    assert cuts(determination, 1) == [("claim_limit", "30.00", "a")]
    assert cuts(determination, 2) == [("claim_limit", "20.00", "a")]
    drugs = decided(product(limit("50.00", "claim", "a", 'categories = ["09"]')), stay(HUNDRED))
    assert (cuts(drugs, 1), cuts(drugs, 2)) == ([("category_limit", "10.00", "a")], [])


def test_used_grows_by_what_is_finally_paid_in_its_lines():
    of = product(
        limit("50.00", "year", "drugs", 'categories = ["09"]'),
        limit("45.00", "year", "all"),
        limit("1000.00", "lifetime", "life"),
    )
    determination = decided(of, stay(HUNDRED))  # drugs 50 + 40, together cut to 45: 25 + 20
    assert paid(determination) == ["25.00", "20.00"]
    assert determination.usage == Usage(
        {
            "2025-01-01": Used(limit={"drugs": yuan("25.00"), "all": yuan("45.00")}),
            "lifetime": Used(limit={"life": yuan("45.00")}),
        }
    )


def test_a_year_limit_lets_through_what_is_left_of_it():
    history = History(Usage({"2025-01-01": Used(limit={"a": yuan("30.00")})}))
    assert payable(decided(product(limit("50.00", "year", "a")), stay(HUNDRED), history=history)) == "20.00"
    over = History(Usage({"2025-01-01": Used(limit={"a": yuan("60.00")})}))
    assert payable(decided(product(limit("50.00", "year", "a")), stay(HUNDRED), history=over)) == "0.00"


def test_a_lifetime_limit_counts_every_year_and_claim():
    of = product(limit("150.00", "lifetime", "a"))
    second = stay(bill(line(1, "70.00"), number="2"), id="c2")
    one, two = in_order(of, stay(HUNDRED), second)
    assert (payable(one), payable(two)) == ("100.00", "50.00")
    assert two.usage == Usage({"lifetime": Used(limit={"a": yuan("150.00")})})


def test_a_claim_limit_counts_all_years_and_benefits_of_the_claim_and_is_never_used_up():
    of = product(block("cover", 'stay_year = "line_date"'), limit("70.00", "claim", "a"), benefits=STAY + ACCIDENT)
    renewed = (period("2024-05-06", "2025-05-05", "2023-01-01"), period("2025-05-06", "2026-05-05", "2023-01-01"))
    lines = (line(1, "60.00", on=day("2025-05-05")), line(2, "40.00", on=day("2025-05-06")))
    determination = decided(of, stay(bill(*lines)), cover(*renewed))
    assert paid(determination) == ["60.00", "10.00"]
    assert determination.uses.scopes == {}
    hurt = stay(bill(*lines), accident=True, accident_on=day("2025-05-01"))
    both = decided(of, hurt)
    assert payable(both) == "70.00"
    assert cuts(both, 1, "accident") == [("earlier_benefit", "42.00", ""), ("claim_limit", "18.00", "a")]


def test_what_claim_and_year_limits_cut_flows_over_line_by_line():
    of = product(
        limit("50.00", "claim", "drugs", 'categories = ["09"]\nbenefits = ["stay"]'),
        limit("60.00", "claim", "claim", 'benefits = ["stay"]'),
        limit("45.00", "year", "year", 'benefits = ["stay"]'),
        limit("40.00", "lifetime", "life", 'benefits = ["stay"]'),
        block("ratio", 'rows = [{ rate = "0.1" }]\nbenefits = ["over"]'),
        block("deductible", 'yuan = "10.00"\nbasis = "claim"\nbenefits = ["over"]'),
        benefits=STAY + OVER,
    )
    determination = decided(of, stay(HUNDRED))
    # stay 50 + 40 = 90; claim 60 takes 16.67 + 13.33; year 45 takes 8.33 + 6.67; lifetime 40 takes 2.78 + 2.22
    assert cuts(determination, 1, "stay") == [
        ("category_limit", "10.00", "drugs"),
        ("claim_limit", "16.67", "claim"),
        ("year_limit", "8.33", "year"),
        ("lifetime_limit", "2.78", "life"),
    ]
    over = [(row.no, row.amount, row.paid, row.cuts) for row in determination.lines if row.benefit == "over"]
    assert over == [(1, yuan("25.00"), yuan("25.00"), ()), (2, yuan("20.00"), yuan("20.00"), ())]
    assert [(row.benefit, row.payable) for row in determination.benefits] == [
        ("over", yuan("45.00")),
        ("stay", yuan("40.00")),
    ]


def test_an_overflow_has_limits_of_its_own():
    of = product(
        limit("50.00", "year", "a", 'benefits = ["stay"]'),
        limit("30.00", "year", "b", 'benefits = ["over"]'),
        benefits=STAY + OVER,
    )
    determination = decided(of, stay(HUNDRED))
    assert cuts(determination, 1, "over") == [("year_limit", "12.00", "b")]
    assert determination.usage == Usage({"2025-01-01": Used(limit={"a": yuan("50.00"), "b": yuan("30.00")})})


def test_an_overflow_pays_only_its_illnesses_and_has_no_entry_without_rows():
    of = product(limit("50.00", "year", "a", 'benefits = ["stay"]'), benefits=STAY + OVER)
    assert payable(decided(of, stay(HUNDRED))) == "100.00"
    other = decided(of, stay(HUNDRED, diagnoses=("J18.900",)))
    assert [row.benefit for row in other.benefits] == ["stay"]
    below = decided(of, stay(bill(line(1, "50.00"))))
    assert [row.benefit for row in below.benefits] == ["stay"]


def test_an_overflow_comes_right_after_its_benefit_and_counts_as_earlier_for_later_ones():
    late = OVER.replace("order = 0", "order = 9")
    of = product(
        limit("50.00", "year", "a", 'benefits = ["stay"]'),
        limit("30.00", "year", "b", 'benefits = ["over"]'),
        benefits=STAY + ACCIDENT + late,
    )
    hurt = stay(bill(line(1, "100.00")), accident=True, accident_on=day("2025-05-01"))
    determination = decided(of, hurt)
    assert cuts(determination, benefit="accident") == [("earlier_benefit", "80.00", "")]
    assert [row.benefit for row in determination.benefits] == ["stay", "accident", "over"]
    assert [row.benefit for row in determination.lines] == ["stay", "accident", "over"]


def test_an_overflow_has_a_group_for_each_year():
    of = product(
        block("cover", 'stay_year = "line_date"'),
        limit("50.00", "year", "a", 'benefits = ["stay"]'),
        benefits=STAY + OVER,
    )
    renewed = (period("2024-05-06", "2025-05-05", "2023-01-01"), period("2025-05-06", "2026-05-05", "2023-01-01"))
    lines = (line(1, "60.00", on=day("2025-05-05")), line(2, "70.00", on=day("2025-05-06")))
    determination = decided(of, stay(bill(*lines)), cover(*renewed))
    assert [(row.benefit, row.period, row.paid) for row in determination.lines] == [
        ("over", "2024-05-06", yuan("10.00")),
        ("over", "2025-05-06", yuan("20.00")),
        ("stay", "2024-05-06", yuan("50.00")),
        ("stay", "2025-05-06", yuan("50.00")),
    ]


def test_an_overflow_may_flow_over_itself():
    second = (
        OVER.replace('"over"', '"more"').replace("order = 0", "order = 7").replace('after = "stay"', 'after = "over"')
    )
    of = product(
        limit("50.00", "year", "a", 'benefits = ["stay"]'),
        limit("30.00", "year", "b", 'benefits = ["over"]'),
        benefits=STAY + OVER + second,
    )
    determination = decided(of, stay(HUNDRED))
    assert [(row.benefit, row.payable) for row in determination.benefits] == [
        ("over", yuan("30.00")),
        ("stay", yuan("50.00")),
        ("more", yuan("20.00")),
    ]


def test_fixed_amounts_pass_limits_with_categories_by():
    of = product(
        block("allowance", 'daily_yuan = "10.00"'),
        limit("5.00", "claim", "a", 'categories = ["01"]'),
        limit("70.00", "year", "b"),
        benefits=ALLOWANCE,
    )
    determination = decided(of, stay())
    assert payable(determination) == "70.00"
    assert [(cut.reason, cut.amount) for cut in determination.benefits[0].cuts] == [("year_limit", yuan("30.00"))]
    assert determination.usage == Usage({"2025-01-01": Used(limit={"b": yuan("70.00")}, days={"daily": 10})})


def test_a_new_figure_reaches_a_policy_at_its_renewal_and_shares_the_accumulators():
    of = product(
        limit("50.00", "year", "a"), block("limit", 'yuan = "80.00"\nbasis = "year"', id="a", start="2025-06-01")
    )
    assert payable(decided(of, stay(HUNDRED))) == "50.00"
    later = stay(HUNDRED, admitted_on=day("2025-06-05"), discharged_on=day("2025-06-07"), claimed_on=day("2025-06-08"))
    renewed = cover(period("2025-06-01", "2026-05-31"))
    history = History(Usage({"2025-06-01": Used(limit={"a": yuan("70.00")})}))
    assert payable(decided(of, later, renewed, history)) == "10.00"

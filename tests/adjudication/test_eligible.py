"""The eligible amount of a line (FORMAT.md §5.5)."""

import msgspec
import pytest
from claims_given import (
    CLINIC,
    GOOD,
    STAY,
    VISIT,
    bill,
    block,
    cuts,
    day,
    decided,
    line,
    paid,
    payable,
    product,
    reasons,
    split,
    stay,
    visit,
)

ONE = bill(line(1, "100.00"))


@pytest.mark.parametrize(
    ("rule", "hospital", "is_covered"),
    [
        ("min_level = 3", {"level": 3}, True),
        ("min_level = 3", {"level": 2}, False),
        ("public_only = true", {"public": False}, False),
        ("public_only = false", {"public": False}, True),
        ('network = ["H33020000001"]', {"id": "H9"}, True),
        ('network = ["H33020000001"]\nnetwork_only = true', {"id": "H9"}, False),
        ('network = ["H33020000001"]\nnetwork_only = true', {}, True),
        ("network_only = true", {"id": "H9"}, True),
    ],
)
def test_a_hospital_must_be_of_the_level_kind_and_network_that_the_product_asks_for(rule, hospital, is_covered):
    claim = stay(ONE, hospital=msgspec.structs.replace(GOOD, **hospital))
    expected = [] if is_covered else [("hospital_not_covered", "100.00", "hospital")]
    assert cuts(decided(product(block("hospital", rule)), claim)) == expected


def test_a_bill_of_another_hospital_is_judged_by_that():
    of = product(block("hospital", "min_level = 2"))
    elsewhere = bill(line(1, "30.00"), number="2", hospital=CLINIC)
    determination = decided(of, stay(ONE, elsewhere))
    assert paid(determination) == ["100.00", "0.00"]


def test_an_emergency_opens_every_hospital_where_the_product_says_so():
    claim = stay(ONE, hospital=CLINIC, emergency=True)
    exempting = product(block("hospital", "min_level = 2\nemergency_exempt = true"))
    assert payable(decided(exempting, claim)) == "100.00"
    assert payable(decided(product(block("hospital", "min_level = 2")), claim)) == "0.00"


def test_an_emergency_also_counts_as_inside_the_network():
    of = product(
        block("hospital", 'network = ["H1"]\nemergency_exempt = true'),
        block("ratio", 'rows = [{ network = false, rate = "0.50" }, { rate = "1" }]'),
    )
    assert payable(decided(of, stay(ONE))) == "50.00"
    assert payable(decided(of, stay(ONE, emergency=True))) == "100.00"


def test_only_ordinary_and_intensive_wards_are_ordinary_even_in_an_emergency():
    of = product(block("hospital", "ordinary_ward_only = true\nemergency_exempt = true"))
    wards = [line(no, "1.00", ward=ward) for no, ward in enumerate(("ordinary", "icu", "vip", "international"), 1)]
    determination = decided(of, stay(bill(*wards), emergency=True))
    assert paid(determination) == ["1.00", "1.00", "0.00", "0.00"]
    assert cuts(determination, 3) == [("ward_not_ordinary", "1.00", "hospital")]


def test_an_excluded_treatment_takes_out_its_line_by_the_first_exclusion_by_id():
    of = product(
        block("exclusion", 'treatments = ["ivf"]', id="z", clause="z1"),
        block("exclusion", 'treatments = ["ivf", "cosmetic"]\nunless_accident = true', id="a", clause="a1"),
    )
    claim = stay(bill(line(1, "1.00", treatment="ivf"), line(2, "2.00", treatment="cosmetic"), line(3, "3.00")))
    determination = decided(of, claim)
    assert cuts(determination, 1) == [("excluded_treatment", "1.00", "a1")]
    assert cuts(determination, 2) == [("excluded_treatment", "2.00", "a1")]
    hurt = msgspec.structs.replace(claim, accident=True, accident_on=day("2025-05-01"))
    assert cuts(decided(of, hurt), 1) == [("excluded_treatment", "1.00", "z1")]
    assert cuts(decided(of, hurt), 2) == []


def test_the_treatment_of_the_claim_is_not_that_of_its_lines():
    of = product(block("exclusion", 'treatments = ["ivf"]'), benefits=VISIT)
    found = visit(bill(line(1, "1.00"), kind="outpatient"), treatment="ivf")
    assert payable(decided(of, found)) == "1.00"


def test_a_drug_list_looks_at_its_categories_and_bars_more_strongly_than_it_allows():
    listed = 'categories = ["09"]\nclasses = ["甲"]\ncodes = ["OK", "BAD"]\nbarred = ["BAD", "WORSE"]'
    of = product(block("drug_list", listed), block("item_list", 'categories = ["05"]\nclasses = []\ncodes = ["OK"]'))
    lines = [
        line(1, "1.00", "09", "甲"),
        line(2, "1.00", "09", "乙"),
        line(3, "1.00", "09", "乙", code="OK"),
        line(4, "1.00", "09", "甲", code="WORSE"),
        line(5, "1.00", "09", "甲", code="BAD"),
        line(6, "1.00", "10", "丙", code="BAD"),
        line(7, "1.00", "05", "甲"),
        line(8, "1.00", "05", "丙", code="OK"),
    ]
    determination = decided(of, stay(bill(*lines)))
    assert [reasons(determination, no) for no in range(1, 9)] == [
        [],
        ["not_in_drug_list"],
        [],
        ["not_in_drug_list"],
        ["not_in_drug_list"],
        [],
        ["not_in_item_list"],
        [],
    ]


def test_the_first_reason_takes_the_whole_line():
    of = product(
        block("hospital", "min_level = 3\nordinary_ward_only = true"),
        block("exclusion", 'treatments = ["ivf"]'),
        block("drug_list", 'categories = ["09"]\nclasses = []'),
        block("scope", "own = false"),
    )
    worst = line(1, "1.00", "09", "丙", ward="vip", treatment="ivf")
    assert reasons(decided(of, stay(bill(worst), hospital=CLINIC))) == ["hospital_not_covered"]
    assert reasons(decided(of, stay(bill(worst)))) == ["ward_not_ordinary"]
    assert reasons(decided(of, stay(bill(msgspec.structs.replace(worst, ward="icu"))))) == ["excluded_treatment"]


def test_parts_outside_the_scope_are_cut_in_order_and_the_bed_cap_comes_last():
    of = product(block("scope", "own = false\nover = false\nfirst = false"), block("bed_cap", 'yuan = "2.00"'))
    found = bill(line(1, "20.00", "01", days=2, split=split("1.00", "2.00", "3.00", "14.00")))
    determination = decided(of, stay(found))
    assert cuts(determination) == [
        ("outside_catalogue", "1.00", "scope"),
        ("over_price_cap", "2.00", "scope"),
        ("first_self_pay", "3.00", "scope"),
        ("over_bed_cap", "10.00", "bed_cap"),
    ]
    assert paid(determination) == ["4.00"]


def test_parts_that_the_scope_covers_are_eligible():
    of = product(block("scope", "own = false"))
    assert cuts(decided(of, stay(bill(line(1, "6.00", split=split("1.00", "2.00", "3.00")))))) == [
        ("outside_catalogue", "1.00", "scope")
    ]
    assert cuts(decided(product(), stay(bill(line(1, "6.00", "08", "丙"))))) == []


def test_without_a_split_a_line_of_class_c_is_all_outside_the_catalogue():
    of = product(block("scope", "own = false"))
    determination = decided(of, stay(bill(line(1, "6.00", "08", "丙"), line(2, "5.00", "08", "乙"))))
    assert cuts(determination) == [("outside_catalogue", "6.00", "scope")]
    assert paid(determination) == ["0.00", "5.00"]


def test_the_bed_cap_is_for_beds_of_inpatient_bills():
    of = product(block("bed_cap", 'yuan = "2.00"'), benefits=STAY + VISIT)
    lines = (line(1, "9.00", "01", days=1), line(2, "9.00", "02", days=1))
    assert paid(decided(of, stay(bill(*lines)))) == ["2.00", "9.00"]
    assert paid(decided(of, visit(bill(*lines, kind="outpatient")))) == ["9.00", "9.00"]


def test_no_bed_days_leave_nothing_of_a_bed():
    of = product(block("bed_cap", 'yuan = "2.00"'))
    assert paid(decided(of, stay(bill(line(1, "9.00", "01", days=0))))) == ["0.00"]

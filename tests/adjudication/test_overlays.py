"""Dated relaxations (FORMAT.md §5.10)."""

import msgspec
import pytest
from claims_given import (
    CLINIC,
    GOOD,
    STAY,
    VISIT,
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
)

from safeweave.coverage.usage import Usage
from safeweave.facts import Overlay

HUNDRED = stay(bill(line(1, "100.00", "09")))
DRUGS = product(block("drug_list", 'categories = ["09"]\nclasses = []'))
LIFT = Overlay("relief", ("drug_list",), day("2025-05-01"), day("2025-05-31"))


def with_scope(**scope) -> Overlay:
    return msgspec.structs.replace(LIFT, **scope)


@pytest.mark.parametrize(
    ("scope", "in_force"),
    [
        ({}, True),
        ({"first_day": day("2025-05-02")}, False),
        ({"last_day": day("2025-05-01")}, True),
        ({"last_day": day("2025-04-30"), "first_day": day("2025-01-01")}, False),
        ({"products": ("p",)}, True),
        ({"products": ("q",)}, False),
        ({"regions": ("31", "33")}, True),
        ({"regions": ("31",)}, False),
        ({"icd": ("K8",)}, True),
        ({"icd": ("J",)}, False),
    ],
)
def test_an_overlay_is_in_force_on_its_days_for_its_products_regions_and_illnesses(scope, in_force):
    determination = decided(DRUGS, HUNDRED, overlays=[with_scope(**scope)])
    assert determination.overlays == (("relief",) if in_force else ())
    assert payable(determination) == ("100.00" if in_force else "0.00")


def test_an_unknown_region_is_in_no_region():
    nowhere = stay(*HUNDRED.bills, hospital=msgspec.structs.replace(GOOD, region=None))
    assert decided(DRUGS, nowhere, overlays=[with_scope(regions=("33",))]).overlays == ()
    assert decided(DRUGS, nowhere, overlays=[LIFT]).overlays == ("relief",)


def test_an_overlay_for_other_benefits_is_in_force_but_lifts_nothing_here():
    of = product(block("drug_list", 'categories = ["09"]\nclasses = []'), benefits=STAY + VISIT)
    determination = decided(of, HUNDRED, overlays=[with_scope(benefits=("visit",))])
    assert (determination.overlays, payable(determination)) == (("relief",), "0.00")


@pytest.mark.parametrize(
    ("lift", "rule"),
    [
        ("drug_list", block("drug_list", 'categories = ["09"]\nclasses = []')),
        ("item_list", block("item_list", 'categories = ["09"]\nclasses = []\nbarred = ["X"]')),
        ("hospital", block("hospital", "min_level = 3\npublic_only = true\nnetwork = []\nnetwork_only = true")),
        ("waiting_days", block("waiting", "general_days = 30\ndoubt_days = 300")),
        ("deductible", block("deductible", 'yuan = "100.00"\nbasis = "year"\noffset_by = ["social"]')),
    ],
)
def test_each_lift_removes_its_rule_and_no_other(lift, rule):
    claim = stay(bill(line(1, "100.00", "09", code="X")), hospital=CLINIC)
    insured = cover(period(since="2025-01-01"))
    without = decided(product(rule), claim, insured)
    others = [other for other in ("drug_list", "item_list", "hospital", "waiting_days", "deductible") if other != lift]
    assert decided(product(rule), claim, insured, overlays=[with_scope(lifts=tuple(others))]).lines == without.lines
    lifted = decided(product(rule), claim, insured, overlays=[with_scope(lifts=(lift,))])
    assert (lifted.decision, payable(lifted), lifted.usage) == ("pay", "100.00", Usage())
    assert without.lines != lifted.lines or without.refer == ("waiting_period_doubt",)


def test_lifting_the_hospital_rule_leaves_the_ward_rule_and_opens_the_network():
    of = product(
        block("hospital", 'min_level = 3\nordinary_ward_only = true\nnetwork = ["H1"]'),
        block("ratio", 'rows = [{ network = false, rate = "0.5" }, { rate = "1" }]'),
    )
    claim = stay(bill(line(1, "10.00"), line(2, "10.00", ward="vip")), hospital=CLINIC)
    determination = decided(of, claim, overlays=[with_scope(lifts=("hospital",))])
    assert cuts(determination, 1) == []
    assert cuts(determination, 2) == [("ward_not_ordinary", "10.00", "hospital")]


def test_several_overlays_add_up_and_are_told_sorted():
    of = product(
        block("drug_list", 'categories = ["09"]\nclasses = []'), block("deductible", 'yuan = "10.00"\nbasis = "claim"')
    )
    second = with_scope(id="a-second", lifts=("deductible",))
    determination = decided(of, HUNDRED, overlays=[LIFT, second])
    assert (determination.overlays, payable(determination)) == (("a-second", "relief"), "100.00")


def test_a_relaxation_never_costs_the_insured_money():
    # With the drug paid the claim limit is shared over both lines, and the other insurer's part offsets less.
    of = product(
        block("drug_list", 'categories = ["09"]\nclasses = []'),
        block("deductible", 'yuan = "50.00"\nbasis = "claim"\nstep = "after_ratio"', clause="d"),
        block("ratio", 'rows = [{ network = true, rate = "0.1" }, { rate = "0.9" }]'),
        block("hospital", "network = []"),
    )
    claim = stay(bill(line(1, "100.00")))
    assert payable(decided(of, claim)) == "40.00"
    determination = decided(of, claim, overlays=[with_scope(lifts=("hospital",))])
    assert (payable(determination), determination.overlays) == ("40.00", ())


def test_an_overlay_that_changes_nothing_of_the_payable_is_applied():
    of = product(block("deductible", 'yuan = "500.00"\nbasis = "year"'), block("ratio", 'rows = [{ rate = "0" }]'))
    determination = decided(of, HUNDRED, overlays=[with_scope(lifts=("deductible",))])
    assert (determination.overlays, determination.usage) == (("relief",), Usage())


def test_a_stopped_claim_tells_no_overlay():
    assert decided(DRUGS, stay(*HUNDRED.bills, diagnoses=()), overlays=[LIFT]).overlays == ()

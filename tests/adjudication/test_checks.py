"""The checks that stop a claim before anything is computed (FORMAT.md §5.2)."""

import msgspec
import pytest
from claims_given import (
    ACCIDENT,
    ALLOWANCE,
    GOOD,
    ILLNESS,
    STAY,
    VISIT,
    bill,
    block,
    cover,
    cuts,
    day,
    decided,
    diagnosis,
    line,
    paid,
    paid_before,
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

from safeweave.adjudication.history import History
from safeweave.coverage.usage import Usage, Used
from safeweave.facts import Bill, BillRef, Claim, Hospital

PLAIN = product(block("authority", 'yuan = "50000.00"'))
BOTH = product(benefits=STAY + VISIT)


def refer(claim: Claim, of=PLAIN, **known) -> list[str]:
    determination = decided(of, claim, **known)
    assert determination.decision == "refer"
    assert payable(determination) == "0.00"
    assert determination.benefits == determination.lines == determination.duplicates == determination.overlays == ()
    return list(determination.refer)


def is_paid(claim: Claim, of=PLAIN, **known) -> bool:
    return decided(of, claim, **known).decision == "pay"


ONE = bill(line(1, "100.00"))


# --- days ---


@pytest.mark.parametrize(
    "known",
    [
        {"admitted_on": None},
        {"discharged_on": None},
        {"discharged_on": day("2025-04-30")},
        {"accident": True},
        {"accident": True, "accident_on": day("2025-05-02")},
        {"accident_on": day("2025-05-02")},
        {"first_found_on": day("2025-05-02")},
        {"claimed_on": day("2025-04-30")},
    ],
)
def test_days_that_are_missing_or_in_the_wrong_order_go_to_a_person(known):
    assert refer(stay(ONE, **known)) == ["dates_unclear"]


def test_days_that_just_hold_together_are_paid():
    assert is_paid(stay(ONE, discharged_on=day("2025-05-01"), claimed_on=day("2025-05-01")))
    assert is_paid(stay(ONE, accident=True, accident_on=day("2025-05-01"), first_found_on=day("2025-05-01")))


def test_an_inpatient_bill_in_a_visit_is_unclear():
    assert refer(visit(ONE), BOTH) == ["dates_unclear"]


def test_a_line_dated_outside_the_stay_is_unclear_and_the_first_and_last_day_are_inside():
    inside = bill(line(1, "1.00", on=day("2025-05-01")), line(2, "1.00", on=day("2025-05-11")))
    assert is_paid(stay(inside))
    assert refer(stay(bill(line(1, "1.00", on=day("2025-05-12"))))) == ["dates_unclear"]
    assert refer(stay(bill(line(1, "1.00", on=day("2025-04-30"))))) == ["dates_unclear"]


def test_a_refund_may_be_dated_after_the_stay():
    refunded = bill(line(1, "10.00"), line(2, "-1.00", refund_of=1, on=day("2025-05-15")))
    assert is_paid(stay(refunded))


def test_days_of_a_claim_that_opens_no_benefit_are_checked_too():
    assert refer(diagnosis(diagnosed_on=None)) == ["dates_unclear"]


# --- codes ---


def test_a_claim_without_a_diagnosis_goes_to_a_person():
    assert refer(stay(ONE, diagnoses=())) == ["diagnosis_missing"]


@pytest.mark.parametrize("code", ["", "k80.100", "K8", "K80.", "K80.1000", "K80.100x1", "K80x001", "K80.100 ", "K８0"])
def test_a_code_that_is_no_icd_code_goes_to_a_person(code):
    assert refer(stay(ONE, diagnoses=("K80.100", code))) == ["unknown_code"]


@pytest.mark.parametrize("code", ["K80", "K80.1", "K80.100", "K80.100x001", "U07.1x002"])
def test_every_form_of_icd_code_is_read(code):
    assert is_paid(stay(ONE, diagnoses=(code,)))


@pytest.mark.parametrize(("category", "catalogue_class"), [("00", "甲"), ("15", "甲"), ("1", "甲"), ("06", "丁")])
def test_an_unknown_category_or_class_goes_to_a_person(category, catalogue_class):
    assert refer(stay(bill(line(1, "1.00", category, catalogue_class)))) == ["unknown_code"]


# --- hospital ---


@pytest.mark.parametrize("known", [{"id": None}, {"level": None}, {"public": None}])
def test_a_hospital_of_which_too_little_is_known_goes_to_a_person(known):
    unknown = msgspec.structs.replace(GOOD, **known)
    assert refer(stay(ONE, hospital=unknown)) == ["hospital_unknown"]
    assert refer(stay(msgspec.structs.replace(ONE, hospital=unknown))) == ["hospital_unknown"]
    assert refer(stay(ONE, hospital=None)) == ["hospital_unknown"]


def test_an_unknown_region_is_no_obstacle():
    assert is_paid(stay(ONE, hospital=Hospital("H1", 0, False)))


def test_the_hospital_is_not_read_for_a_diagnosis_nor_when_no_benefit_is_opened():
    lump = product(block("lump_sum", 'yuan = "1.00"\nrows = [{grade="g", icd=[""], rate="1"}]'), benefits=ILLNESS)
    assert decided(lump, diagnosis()).decision == "pay"
    assert decided(PLAIN, visit(hospital=None)).decision == "refuse-proposed"


def test_bills_are_not_read_if_only_an_allowance_is_opened():
    of = product(block("allowance", 'daily_yuan = "10.00"'), benefits=ALLOWANCE)
    broken = bill(line(1, "1.00", "99"), total=yuan("2.00"), social=None)
    determination = decided(of, stay(broken))
    assert (determination.decision, payable(determination), determination.bills) == ("pay", "100.00", ())


# --- bills ---


def test_a_reversed_bill_goes_to_a_person():
    assert refer(stay(bill(line(1, "1.00"), state="reversed"))) == ["bill_reversed"]


def test_a_bill_that_replaces_a_paid_one_must_say_which_claim_it_supersedes():
    reissued = bill(line(1, "1.00"), replaces=BillRef("33060226", "9"))
    history = History(paid_bills=(paid_before(number="9"),))
    assert refer(stay(reissued), history=history) == ["reissue_unlinked"]
    assert is_paid(stay(reissued))


def test_a_claim_that_supersedes_an_unknown_one_goes_to_a_person():
    assert refer(stay(ONE, supersedes="c0")) == ["reissue_unlinked"]


def test_two_bills_with_one_key_and_different_content_go_to_a_person():
    other = bill(line(1, "99.00"))
    assert refer(stay(ONE, other)) == ["duplicate_bill"]


def test_an_equal_second_copy_is_dropped_whatever_the_order_of_its_lists_and_the_names_of_its_lines():
    first, second = line(1, "60.00"), line(2, "40.00")
    others = (paid_by("charity", "1.00"), paid_by("employer", "2.00"))
    one = bill(first, second, other_paid=others)
    copy = bill(second, msgspec.structs.replace(first, name="西药费"), other_paid=others[::-1], hospital=GOOD)
    determination = decided(PLAIN, stay(one, copy))
    assert (determination.decision, payable(determination)) == ("pay", "97.00")
    assert determination.duplicates == ("33060226-0000000001",)


def test_a_bill_paid_before_is_dropped_and_not_looked_into():
    history = History(paid_bills=(paid_before(total="100.00"),))
    broken = bill(line(1, "100.00", "99"), social=None, state="reversed")
    determination = decided(PLAIN, stay(broken), history=history)
    assert (determination.decision, determination.duplicates) == ("refuse-proposed", ("33060226-0000000001",))


def test_a_bill_paid_before_with_another_total_goes_to_a_person():
    history = History(paid_bills=(paid_before(total="100.01"),))
    assert refer(stay(ONE), history=history) == ["duplicate_bill"]


# --- amounts ---


def test_a_total_below_zero_goes_to_a_person():
    assert refer(stay(bill(line(1, "-5.00")))) == ["negative_amount", "negative_line"]


@pytest.mark.parametrize("below", range(4))
def test_a_settlement_part_below_zero_goes_to_a_person(below):
    parts = [yuan("-1.00") if place == below else yuan("33.67") for place in range(4)]  # 3 x 33.67 - 1.00 = 100.01
    found = settled_bill(line(1, "100.01"), fund="0.00")
    found = msgspec.structs.replace(found, **dict(zip(("fund", "other", "account", "cash"), parts, strict=True)))
    assert refer(stay(found), insured=cover(enrolled=True)) == ["negative_amount"]


def test_totals_that_do_not_add_up_go_to_a_person():
    insured = cover(enrolled=True)
    assert refer(stay(bill(line(1, "100.00"), total=yuan("100.01")))) == ["totals_differ"]
    assert refer(stay(bill(line(1, "100.00", split=split(within="99.99"))))) == ["totals_differ"]
    assert refer(stay(settled_bill(line(1, "100.00"), fund="1.00", cash=yuan("98.00"))), insured=insured) == [
        "totals_differ"
    ]


def test_self_pay_and_self_cost_are_compared_only_if_both_are_given():
    insured = cover(enrolled=True)
    both = settled_bill(line(1, "100.00"), fund="60.00", self_pay=yuan("30.00"), self_cost=yuan("9.00"))
    one = settled_bill(line(1, "100.00"), fund="60.00", self_pay=yuan("30.00"))
    assert refer(stay(both), insured=insured) == ["totals_differ"]
    assert is_paid(stay(one), insured=insured)


def test_self_pay_and_self_cost_are_compared_even_where_account_and_cash_are_missing():
    found = settled_bill(
        line(1, "100.00"), fund="60.00", account=None, cash=None, self_pay=yuan("30.00"), self_cost=yuan("9.00")
    )
    assert refer(stay(found), insured=cover(enrolled=True)) == ["social_split_missing", "totals_differ"]


@pytest.mark.parametrize(
    "known", [{"social": None}, {"fund": None}, {"other": None}, {"account": None}, {"cash": None}]
)
def test_a_bill_that_does_not_say_what_social_insurance_paid_goes_to_a_person(known):
    found = msgspec.structs.replace(settled_bill(line(1, "100.00"), fund="60.00"), **known)
    assert refer(stay(found), insured=cover(enrolled=True)) == ["social_split_missing"]


def test_a_settled_bill_of_somebody_not_enrolled_goes_to_a_person():
    assert refer(stay(settled_bill(line(1, "100.00"), fund="60.00"))) == ["enrolment_conflict"]


# --- refunds ---


@pytest.mark.parametrize(
    "lines",
    [
        (line(1, "10.00"), line(2, "-1.00")),  # no refund_of
        (line(1, "10.00"), line(2, "1.00", refund_of=1)),  # above 0
        (line(1, "10.00"), line(2, "-1.00", refund_of=3)),  # names nothing
        (line(1, "10.00"), line(2, "-1.00", refund_of=2)),  # names itself
        (line(1, "10.00"), line(2, "-1.00", refund_of=1), line(3, "-1.00", refund_of=2)),  # names a refund
        (line(1, "10.00", split=split(within="10.00")), line(2, "-1.00", refund_of=1)),  # only one has a split
        (line(1, "10.00"), line(2, "-1.00", refund_of=1, split=split(within="-1.00"))),
        (line(1, "10.00"), line(2, "-10.01", refund_of=1), line(3, "5.00")),  # more than the original
        (
            line(1, "10.00", split=split(own="1.00", within="9.00")),
            line(2, "-2.00", refund_of=1, split=split(own="-2.00")),
        ),
        (line(1, "10.00", days=1), line(2, "-1.00", refund_of=1, days=-2)),
        (line(1, "10.00", split=split(own="-1.00", within="11.00")),),
        (line(1, "10.00", "06", days=-1),),
    ],
)
def test_a_negative_line_that_refunds_nothing_properly_goes_to_a_person(lines):
    assert refer(stay(bill(*lines))) == ["negative_line"]


def test_a_refund_is_netted_and_both_lines_show_it():
    found = bill(
        line(1, "10.00", "01", days=3, split=split(own="4.00", within="6.00")),
        line(2, "-3.00", "01", refund_of=1, days=-1, split=split(own="-1.00", within="-2.00")),
    )
    of = product(block("scope", "own = false"), block("bed_cap", 'yuan = "1.50"'))
    determination = decided(of, stay(found))
    # net 7.00 = own 3.00 + within 4.00; the cap leaves 2 x 1.50 = 3.00 of 4.00
    assert cuts(determination) == [
        ("netted", "3.00", ""),
        ("outside_catalogue", "3.00", "scope"),
        ("over_bed_cap", "1.00", "bed_cap"),
    ]
    assert cuts(determination, 2) == [("netted", "-3.00", "")]
    assert paid(determination) == ["3.00", "0.00"]


def test_a_refund_of_nothing_is_allowed_and_leaves_no_trace():
    determination = decided(PLAIN, stay(bill(line(1, "10.00"), line(2, "0.00", refund_of=1))))
    assert (determination.decision, paid(determination), cuts(determination, 2)) == ("pay", ["10.00", "0.00"], [])


# --- bed days and line dates ---


def test_a_stay_that_outlasts_its_policy_year_needs_a_date_on_each_line():
    ending = cover(period(last="2025-05-10"))
    assert refer(stay(ONE), insured=ending) == ["line_dates_missing"]
    assert is_paid(stay(ONE), insured=cover(period(last="2025-05-11")))
    dated = bill(line(1, "10.00", on=day("2025-05-02")), line(2, "-1.00", refund_of=1))
    assert is_paid(stay(dated), insured=ending)


def test_several_bed_lines_must_all_say_their_days():
    beds = bill(line(1, "10.00", "01", days=5), line(2, "10.00", "01"))
    assert refer(stay(beds)) == ["bed_days_missing"]


def test_bed_days_may_be_one_more_than_the_days_of_the_stay():
    def beds(days: int) -> Bill:
        return bill(line(1, "10.00", "01", days=5), line(2, "10.00", "01", days=days))

    assert is_paid(stay(beds(6)))
    assert refer(stay(beds(7))) == ["bed_days_differ"]


def test_bed_days_are_counted_over_all_inpatient_bills_only():
    first = bill(line(1, "10.00", "01", days=6))
    second = bill(line(1, "10.00", "01", days=6), number="2")
    visit_bed = bill(line(1, "10.00", "01"), number="3", kind="outpatient")
    assert refer(stay(first, second)) == ["bed_days_differ"]
    assert is_paid(stay(first, visit_bed))


def test_a_single_bed_line_without_days_gets_the_days_of_the_stay():
    of = product(block("bed_cap", 'yuan = "10.00"'))
    determination = decided(of, stay(bill(line(1, "150.00", "01"))))
    assert cuts(determination) == [("over_bed_cap", "50.00", "bed_cap")]  # ten days of 10.00
    same_day = stay(bill(line(1, "150.00", "01")), discharged_on=day("2025-05-01"))
    assert cuts(decided(of, same_day)) == [("over_bed_cap", "140.00", "bed_cap")]


def test_all_findings_of_the_first_round_are_told_together():
    broken = bill(line(1, "10.00", "99"), total=yuan("11.00"), social=None, state="reversed")
    assert refer(stay(broken, diagnoses=(), hospital=None)) == [
        "bill_reversed",
        "diagnosis_missing",
        "hospital_unknown",
        "social_split_missing",
        "totals_differ",
        "unknown_code",
    ]


# --- second round ---

ENROLLED = cover(enrolled=True)


def test_social_insurance_cannot_have_paid_more_than_its_scope():
    lines = (line(1, "60.00"), line(2, "40.00", catalogue_class="丙"))
    assert refer(stay(settled_bill(*lines, fund="60.01")), insured=ENROLLED) == ["social_exceeds_scope"]
    assert cuts(decided(PLAIN, stay(settled_bill(*lines, fund="60.00")), ENROLLED)) == [("social_paid", "60.00", "")]


def test_lines_that_say_what_social_insurance_paid_must_all_say_it():
    some = settled_bill(line(1, "60.00", social_paid=yuan("10.00")), line(2, "40.00"), fund="10.00")
    assert refer(stay(some), insured=ENROLLED) == ["social_split_missing"]


def test_while_a_line_does_not_say_what_social_insurance_paid_the_others_are_not_added_up():
    some = settled_bill(line(1, "60.00", social_paid=yuan("61.00")), line(2, "40.00"), fund="10.00")
    assert refer(stay(some), insured=ENROLLED) == ["social_split_missing"]


@pytest.mark.parametrize("parts", [("5.00", "4.00"), ("-1.00", "11.00"), ("61.00", "-51.00")])
def test_what_the_lines_say_must_be_what_the_bill_says(parts):
    lines = [line(no, amount, social_paid=yuan(parts[no - 1])) for no, amount in ((1, "60.00"), (2, "40.00"))]
    assert refer(stay(settled_bill(*lines, fund="10.00")), insured=ENROLLED) == ["totals_differ"]


def test_what_the_lines_say_is_taken_with_refunds_netted():
    lines = (
        line(1, "60.00", social_paid=yuan("30.00")),
        line(2, "-10.00", social_paid=yuan("-5.00"), refund_of=1),
        line(3, "40.00", social_paid=yuan("0.00")),
        line(4, "-1.00", refund_of=3),
    )
    determination = decided(PLAIN, stay(settled_bill(*lines, fund="25.00")), ENROLLED)
    assert cuts(determination) == [("netted", "10.00", ""), ("social_paid", "25.00", "")]
    assert paid(determination) == ["25.00", "0.00", "39.00", "0.00"]


def test_what_the_lines_say_does_not_matter_if_nothing_was_paid():
    found = settled_bill(line(1, "60.00", social_paid=yuan("30.00")), fund="0.00")
    assert paid(decided(PLAIN, stay(found), ENROLLED)) == ["60.00"]


def test_the_scope_of_a_line_with_a_split_is_its_within_part():
    lines = (line(1, "60.00", split=split(own="60.00")), line(2, "40.00", split=split(first="10.00", within="30.00")))
    determination = decided(PLAIN, stay(settled_bill(*lines, fund="30.00")), ENROLLED)
    assert (cuts(determination), cuts(determination, 2)) == ([], [("social_paid", "30.00", "")])


def test_compensation_by_others_below_zero_or_above_the_cost_goes_to_a_person():
    below = bill(line(1, "10.00"), other_paid=(paid_by("charity", "-1.00"),))
    above = bill(line(1, "10.00"), other_paid=(paid_by("charity", "6.00"), paid_by("employer", "4.01")))
    assert refer(stay(below)) == ["negative_amount"]
    assert refer(stay(above)) == ["compensation_exceeds_cost"]


def test_a_bill_accounted_by_another_insurer_must_say_what_that_paid():
    accounted = bill(line(1, "10.00"), accounted=True, other_paid=(paid_by("employer", "1.00"),))
    known = bill(line(1, "10.00"), accounted=True, other_paid=(paid_by("other_insurer", "0.00"),))
    assert refer(stay(accounted)) == ["other_insurer_unknown"]
    assert is_paid(stay(known))


def test_the_second_round_waits_for_the_first():
    found = bill(line(1, "10.00", "99"), accounted=True)
    assert refer(stay(found)) == ["unknown_code"]


def test_a_stopped_claim_leaves_the_usage_as_it_was():
    history = History(Usage({"2025-01-01": Used(limit={"b": yuan("5.00"), "zero": yuan("0.00")})}))
    determination = decided(PLAIN, stay(ONE, diagnoses=()), history=history)
    assert determination.usage == Usage({"2025-01-01": Used(limit={"b": yuan("5.00")})})


def test_an_accident_claim_reads_its_bills_for_the_accident_benefit():
    of = product(benefits=ACCIDENT)
    assert refer(
        visit(bill(line(1, "1.00", "99"), kind="outpatient"), accident=True, accident_on=day("2025-05-11")), of
    )
    assert decided(of, visit(bill(line(1, "1.00", "99"), kind="outpatient"))).decision == "refuse-proposed"

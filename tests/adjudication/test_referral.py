"""When a person looks first, and when a refusal is proposed (FORMAT.md §5.9, §5.11)."""

import pytest
from claims_given import (
    ACCIDENT,
    DEATH,
    ILLNESS,
    STAY,
    bill,
    block,
    cover,
    day,
    decided,
    diagnosis,
    line,
    paid_before,
    payable,
    period,
    product,
    settled_bill,
    stay,
    visit,
)

from safeweave.adjudication.history import History
from safeweave.facts import Claim

HUNDRED = stay(bill(line(1, "100.00")))
NEW = cover(period(since="2025-01-01"))


def test_a_payable_above_the_authority_of_the_day_of_the_claim_goes_to_a_person():
    of = product(block("authority", 'yuan = "100.00"'), block("authority", 'yuan = "99.99"', start="2025-05-20"))
    determination = decided(of, HUNDRED)
    assert (determination.refer, payable(determination)) == (("above_authority",), "100.00")
    assert decided(of, stay(*HUNDRED.bills, claimed_on=day("2025-05-19"))).decision == "pay"


def test_a_child_without_a_guardian_on_file_goes_to_a_person():
    of = product()
    born = day("2007-05-21")  # 17 on 20 May 2025
    assert decided(of, HUNDRED, cover(birth=born)).refer == ("guardian_missing",)
    with_guardian = decided(of, HUNDRED, cover(birth=born, guardian=True))
    assert (with_guardian.decision, with_guardian.benefits[0].payee) == ("pay", "guardian")
    assert decided(of, HUNDRED, cover(birth=day("2007-05-20"))).benefits[0].payee == "insured"


def test_who_was_born_on_29_february_comes_of_age_on_1_march():
    born = cover(birth=day("2008-02-29"), guardian=True)
    of = product()

    def payee(on: str) -> str:
        of_day = cover(period("2026-01-01", "2026-12-31"), birth=born.birth, guardian=True)
        claim = stay(admitted_on=day("2026-02-01"), discharged_on=day("2026-02-02"), claimed_on=day(on))
        return decided(of, claim, of_day).benefits[0].payee

    assert (payee("2026-02-28"), payee("2026-03-01")) == ("guardian", "insured")


def test_an_illness_of_the_other_sex_goes_to_a_person():
    rule = block("sex_rule", 'female_icd = ["N80"]\nmale_icd = ["N40"]')
    of = product(rule, block("sex_rule", 'female_icd = []\nmale_icd = ["N80", "C61"]', start="2025-05-02"))
    assert decided(of, stay(diagnoses=("N40.000",))).refer == ("sex_conflict",)
    assert decided(of, stay(diagnoses=("N40.000",)), cover(sex="M")).refer == ()
    assert decided(of, stay(diagnoses=("N80.000",)), cover(sex="M")).refer == ("sex_conflict",)
    assert decided(of, stay(diagnoses=("K80.000", "N40.000"))).refer == ()
    later = stay(diagnoses=("N80.000",), admitted_on=day("2025-05-02"))
    assert decided(of, later).refer == ("sex_conflict",)


@pytest.mark.parametrize(("found", "refer"), [("2024-12-31", ("preexisting_doubt",)), ("2025-01-01", ())])
def test_what_was_there_before_cover_began_goes_to_a_person(found, refer):
    claim = stay(bill(line(1, "100.00")), first_found_on=day(found))
    assert decided(product(), claim, NEW).refer == refer
    hurt = stay(bill(line(1, "100.00")), accident=True, accident_on=day(found))
    assert decided(product(), hurt, NEW).refer == refer


def test_after_an_accident_the_day_of_discovery_does_not_matter():
    hurt = stay(accident=True, accident_on=day("2025-05-01"), first_found_on=day("2024-12-31"))
    assert decided(product(), hurt, NEW).refer == ()


def test_a_benefit_that_is_out_of_cover_or_roster_raises_no_doubt():
    claim = stay(bill(line(1, "100.00")), first_found_on=day("2024-12-31"))
    assert decided(product(), claim, cover(period("2025-01-01", "2025-04-30", "2025-01-01"))).refer == ()
    assert decided(product(), claim, cover(NEW.periods[0], roster_last_day=day("2025-04-30"))).refer == ()
    excluded = product(block("exclusion", 'icd = ["K80"]'))
    assert decided(excluded, claim, NEW).refer == ("preexisting_doubt",)


DOUBT = block("waiting", "general_days = 100\ndoubt_days = 21")  # 1 May is day 121


def test_an_illness_soon_after_waiting_goes_to_a_person_unless_it_is_known_when_it_was_found():
    of = product(DOUBT)
    assert decided(of, HUNDRED, NEW).refer == ("waiting_period_doubt",)
    assert decided(of, stay(first_found_on=day("2025-04-20")), NEW).refer == ()
    assert decided(of, stay(admitted_on=day("2025-05-02")), NEW).refer == ()
    assert decided(of, stay(admitted_on=day("2025-04-11")), NEW).refer == ("waiting_period_doubt",)  # day 101
    assert decided(of, stay(admitted_on=day("2025-04-10")), NEW).refer == ()  # day 100: cut
    assert decided(of, stay(accident=True, accident_on=day("2025-05-01")), NEW).refer == ()


def test_doubt_begins_after_the_waiting_days_of_the_illness_itself():
    of = product(block("waiting", 'general_days = 5\nspecial = [{ days = 120, icd = ["K80"] }]\ndoubt_days = 1'))
    assert decided(of, HUNDRED, NEW).refer == ("waiting_period_doubt",)
    assert decided(of, stay(diagnoses=("J18.900",)), NEW).refer == ()


def test_an_excluded_illness_beside_the_main_one_goes_to_a_person():
    of = product(
        block("exclusion", 'icd = ["F"]', id="a"),
        block("exclusion", 'icd = ["S", "K80"]\nunless_accident = true', id="b"),
    )
    assert decided(of, stay(diagnoses=("J18.900", "K35.900", "F32.900"))).refer == ("diagnosis_doubt",)
    assert decided(of, stay(diagnoses=("J18.900", "S61.000"))).refer == ("diagnosis_doubt",)
    hurt = stay(diagnoses=("J18.900", "S61.000"), accident=True, accident_on=day("2025-05-01"))
    assert decided(of, hurt).refer == ()


def test_there_is_no_doubt_where_the_exclusion_matches_the_main_diagnosis_too():
    of = product(block("exclusion", 'icd = ["F"]'))
    assert decided(of, stay(bill(line(1, "1.00")), diagnoses=("F32.900", "F33.900"))).refer == ()


def test_all_codes_are_sorted():
    of = product(DOUBT, block("authority", 'yuan = "1.00"'), block("exclusion", 'icd = ["F"]'))
    claim = stay(bill(line(1, "100.00")), diagnoses=("K80.100", "F32.900"))
    found = decided(of, claim, cover(NEW.periods[0], birth=day("2020-01-01")))
    assert found.refer == ("above_authority", "diagnosis_doubt", "guardian_missing", "waiting_period_doubt")


# --- pay or propose to refuse ---


def test_a_bill_below_the_deductible_is_paid_with_nothing():
    of = product(block("deductible", 'yuan = "500.00"\nbasis = "year"'), block("ratio", 'rows = [{ rate = "0" }]'))
    assert (decided(of, HUNDRED).decision, payable(decided(of, HUNDRED))) == ("pay", "0.00")


def test_a_bill_that_others_paid_in_full_is_paid_with_nothing():
    paid_in_full = stay(settled_bill(line(1, "100.00"), fund="100.00"))
    assert decided(product(), paid_in_full, cover(enrolled=True)).decision == "pay"


def test_any_other_reason_for_nothing_is_proposed_to_a_person():
    of = product(block("limit", 'yuan = "0.00"\nbasis = "year"'))
    assert decided(of, HUNDRED).decision == "refuse-proposed"
    part = product(block("drug_list", 'categories = ["06"]\nclasses = []'))
    both = stay(bill(line(1, "100.00"), line(2, "1.00", "05")))
    assert decided(part, HUNDRED).decision == "refuse-proposed"
    assert decided(part, both).decision == "pay"


def test_a_claim_that_opens_no_benefit_is_proposed_to_a_person():
    found = decided(product(), visit())
    assert (found.decision, found.benefits, found.lines) == ("refuse-proposed", (), ())


def test_nothing_after_a_dropped_duplicate_is_proposed_to_a_person():
    history = History(paid_bills=(paid_before(total="100.00"),))
    assert decided(product(), HUNDRED, history=history).decision == "refuse-proposed"
    rest = stay(*HUNDRED.bills, bill(line(1, "1.00"), number="2"))
    assert decided(product(), rest, history=history).decision == "pay"


def test_doubt_comes_before_refusal():
    of = product(block("limit", 'yuan = "0.00"\nbasis = "year"'))
    assert decided(of, HUNDRED, cover(birth=day("2020-01-01"))).decision == "refer"


# --- who is paid ---


def lump(trigger: str) -> str:
    return block("lump_sum", 'yuan = "100.00"\nrows = [{ grade = "g", icd = [""], rate = "1" }]', id=trigger)


def death(**known) -> Claim:
    facts = {
        "claimed_on": day("2025-05-20"),
        "died_on": day("2025-05-02"),
        "diagnoses": ("I21.900",),
        "confirmed": True,
    }
    return Claim("c1", "death", **{**facts, **known})


def test_a_death_is_paid_to_the_beneficiary_or_else_to_the_estate():
    of = product(lump("d"), benefits=DEATH)
    assert decided(of, death(), cover(beneficiary="spouse")).benefits[0].payee == "beneficiary"
    assert decided(of, death()).benefits[0].payee == "estate"
    assert decided(of, death(), cover(birth=day("2020-01-01"), guardian=True)).benefits[0].payee == "estate"


def test_what_was_owed_to_somebody_who_died_since_goes_to_the_estate():
    of = product(lump("d"), benefits=ILLNESS)
    gone = diagnosis(died_on=day("2025-06-01"))
    assert decided(of, gone, cover(beneficiary="spouse")).benefits[0].payee == "estate"


def test_an_accident_without_a_bill_opens_the_accident_benefit():
    of = product(benefits=STAY + ACCIDENT)
    hurt = stay(accident=True, accident_on=day("2025-05-01"))
    assert [row.benefit for row in decided(of, hurt).benefits] == ["stay", "accident"]


def test_an_authority_for_some_benefits_looks_only_at_claims_that_open_them():
    of = product(block("authority", 'yuan = "1.00"\nbenefits = ["accident"]'), benefits=STAY + ACCIDENT)
    assert decided(of, HUNDRED).decision == "pay"
    hurt = stay(*HUNDRED.bills, accident=True, accident_on=day("2025-05-01"))
    assert decided(of, hurt).refer == ("above_authority",)

"""Several policies of one person on one stay: together never more than the cost, in the order that pays most."""

from given import CLEAN_STAY, a_bill, admitted, billed, discharged, ref, reversed_bill, yuan
from safeweave.adjudication.determination import Determination, LineResult
from safeweave.adjudication.turns import in_turn, with_compensation
from safeweave.facts import Claim
from safeweave.money import Fen

COST = yuan("600.00")  # of 1,000.00 after 医保


def by_policy(house):
    payables = "select p.number, d.payable from determination d join policy p on p.id = d.policy where d.in_force = 1"
    return dict(house.rows(payables))


def test_two_indemnity_policies_never_pay_more_than_the_cost(house):
    house.insures("P-2")
    house.hears(*CLEAN_STAY)
    paid = by_policy(house)
    assert sum(paid.values()) <= COST
    assert sorted(paid.values()) == [yuan("45.00"), yuan("450.00")]  # (600 - 450 - 100) x 90 %
    assert (house.stage(), len(house.payouts())) == ("closed", 2)


def test_what_the_first_policy_paid_is_another_insurer_s_compensation_for_the_second(house):
    house.insures("P-2")
    house.hears(*CLEAN_STAY)
    sources = [bill.other_paid for decided in house.in_force() for bill in decided.claim.bills]
    assert sorted(len(other) for other in sources) == [0, 1]
    assert [other.amount for found in sources for other in found] == [yuan("450.00")]


def test_a_daily_allowance_pays_in_full_beside_an_indemnity_policy(house):
    house.insures("P-2", product="daily-allowance-2022")
    house.hears(*CLEAN_STAY)
    paid = by_policy(house)
    alone = yuan("450.00")
    assert paid["P-1"] == alone
    assert paid["P-2"] > 0
    assert house.stage() == "closed"


def test_a_policy_that_a_person_approves_later_still_leaves_the_total_within_the_cost(house):
    """The first policy is above the machine's authority and waits; the second has paid by then."""
    house.insures("P-2", product="million-medical-2025")
    house.hears(admitted(), discharged(), billed(a_bill(total="40000.00", fund="4000.00")))
    house.decides()
    assert sum(by_policy(house).values()) <= yuan("36000.00")
    house.is_sound()


def test_two_policies_that_both_wait_for_a_person_are_approved_within_the_cost(house):
    house.insures("P-2")
    house.hears(admitted(), discharged(), billed(a_bill(total="16000.00", fund="4000.00")))
    assert house.stage() == "referred"
    house.decides()
    paid = by_policy(house)
    assert len(paid) == 2
    assert sum(paid.values()) <= yuan("12000.00")
    assert house.stage() == "closed"


def test_one_policy_paid_and_one_referred_is_a_case_with_a_person_that_still_pays_what_is_due(house):
    house.insures("P-2", product="hospital-expense-2020", first="2026-02-25", last="2027-02-24", since="2026-02-25")
    house.hears(*CLEAN_STAY)
    assert ("paid", yuan("450.00")) in house.payouts()
    house.is_sound()


def test_a_reissued_bill_is_decided_anew_under_every_policy(house):
    house.insures("P-2")
    house.hears(*CLEAN_STAY, reversed_bill(), billed(a_bill("2", "1200.00", replaces=ref("1")), "2026-03-09"))
    paid = by_policy(house)
    assert sorted(paid.values()) == [yuan("63.00"), yuan("630.00")]
    assert sum(amount for _, amount in house.payouts()) == sum(paid.values())


# ---------------------------------------------------------------- the order, as a pure function


def a_determination(claim: Claim, paid: int, decision: str = "pay") -> Determination:
    from safeweave.coverage.usage import NO_USAGE

    line = LineResult("stay", "2026-01-01", claim.bills[0].key, 1, Fen(paid), Fen(paid))
    return Determination(claim.id, decision, Fen(paid), (), (), (), (), (line,), NO_USAGE)  # type: ignore[arg-type]


def left_of(claim: Claim, cost: int) -> int:
    return cost - sum(other.amount for bill in claim.bills for other in bill.other_paid)


CLAIM = Claim(id="c", kind="inpatient", claimed_on=CLEAN_STAY[2].bill.on, bills=(a_bill(),))


def test_the_order_that_pays_most_is_taken():
    """`half` pays half of what is left and `gap` all of it above 200: gap first leaves less for half."""
    rules = {"half": lambda left: left // 2, "gap": lambda left: max(left - 200, 0)}
    found = in_turn(["half", "gap"], CLAIM, lambda key, seen: a_determination(seen, rules[key](left_of(seen, 1000))))
    assert [(key, made.payable) for key, _, made in found] == [("gap", 800), ("half", 100)]


def test_where_all_orders_pay_the_same_the_first_policy_comes_first():
    found = in_turn(["a", "b"], CLAIM, lambda key, seen: a_determination(seen, left_of(seen, 1000)))
    assert [(key, made.payable) for key, _, made in found] == [("a", 1000), ("b", 0)]


def test_what_only_waits_for_a_person_is_no_compensation_yet():
    found = in_turn(
        ["a", "b"], CLAIM,
        lambda key, seen: a_determination(seen, left_of(seen, 1000), "refer" if key == "a" else "pay"),
    )  # fmt: skip
    assert {key: made.payable for key, _, made in found} == {"a": 1000, "b": 1000} or found[0][0] == "b"


def test_more_than_four_policies_are_taken_in_their_own_order():
    found = in_turn(list("abcde"), CLAIM, lambda key, seen: a_determination(seen, left_of(seen, 1000) // 2))
    assert [key for key, _, _ in found] == list("abcde")
    assert sum(made.payable for _, _, made in found) <= 1000


def test_a_claim_nobody_has_paid_for_stays_as_it_is():
    assert with_compensation(CLAIM, {}) is CLAIM
    assert with_compensation(CLAIM, {"other": 5}) == CLAIM

"""Several claims of one policy (FORMAT.md §5.8)."""

import msgspec
import pytest
from claims_given import (
    ALLOWANCE,
    STAY,
    bill,
    block,
    day,
    decided,
    in_order,
    line,
    paid_before,
    payable,
    product,
    stay,
    yuan,
)

from safeweave.adjudication.history import History
from safeweave.coverage.usage import Usage, Used
from safeweave.errors import InvariantBroken
from safeweave.facts import BillRef, Claim

YEARLY = product(
    block("deductible", 'yuan = "100.00"\nbasis = "year"'),
    block("limit", 'yuan = "1000.00"\nbasis = "year"'),
    block("authority", 'yuan = "800.00"'),
)


def reissued(amount: str, **known) -> Claim:
    new = bill(line(1, amount), number="2", replaces=BillRef("33060226", "0000000001"))
    return stay(new, **{"id": "c2", "supersedes": "c1", **known})


FIRST = stay(bill(line(1, "300.00")))


def used(deductible: str, limit: str) -> Usage:
    return Usage({"2025-01-01": Used(deductible={"b": yuan(deductible)}, limit={"b": yuan(limit)})})


def test_only_a_paid_claim_moves_anything():
    referred = stay(bill(line(1, "950.00")))
    again = stay(bill(line(1, "950.00")), id="c2")
    one, two = in_order(YEARLY, referred, again)
    assert (one.decision, one.refer, one.usage) == ("refer", ("above_authority",), Usage())
    assert two.duplicates == ()


def test_a_reissued_bill_moves_only_the_difference():
    one, two = in_order(YEARLY, FIRST, reissued("340.00"))
    assert (payable(one), payable(two), two.adjustment, two.decision) == ("200.00", "240.00", yuan("40.00"), "pay")
    assert two.usage == used("100.00", "240.00")


def test_a_cheaper_reissue_recovers_and_goes_to_a_person_while_the_old_claim_stays_in_force():
    third = stay(bill(line(1, "50.00"), number="3"), id="c3")
    one, two, three = in_order(YEARLY, FIRST, reissued("250.00"), third)
    assert (two.decision, two.refer, two.adjustment) == ("refer", ("recovery",), yuan("-50.00"))
    assert two.usage == one.usage
    assert three.usage == used("100.00", "250.00")


def test_an_adjustment_of_nothing_is_told_and_paid():
    _, two = in_order(YEARLY, FIRST, reissued("300.00"))
    assert (two.decision, two.adjustment) == ("pay", yuan("0.00"))


def test_a_stopped_claim_has_no_adjustment():
    _, two = in_order(YEARLY, FIRST, reissued("300.00", diagnoses=()))
    assert (two.refer, two.adjustment) == (("diagnosis_missing",), None)


def test_a_superseded_claim_is_no_longer_in_force():
    again = stay(bill(line(1, "310.00"), number="3"), id="c3", supersedes="c1")
    chained = msgspec.structs.replace(again, supersedes="c2")
    _, _, stopped = in_order(YEARLY, FIRST, reissued("340.00"), again)
    assert stopped.refer == ("reissue_unlinked",)
    _, _, three = in_order(YEARLY, FIRST, reissued("240.00"), chained)
    assert three.refer == ("reissue_unlinked",)  # c2 was referred, so it never came into force
    _, _, three = in_order(YEARLY, FIRST, reissued("340.00"), msgspec.structs.replace(chained, id="c4"))
    assert three.adjustment == yuan("-30.00")


def test_the_bills_of_a_superseded_claim_are_free_again():
    same = stay(bill(line(1, "300.00")), id="c2", supersedes="c1", first_found_on=day("2025-04-01"))
    _, two = in_order(YEARLY, FIRST, same)
    assert (two.duplicates, two.decision, two.adjustment) == ((), "pay", yuan("0.00"))
    first_bill_again = stay(bill(line(1, "300.00")), id="c3")
    _, _, three = in_order(YEARLY, FIRST, reissued("340.00"), first_bill_again)
    assert (three.duplicates, payable(three)) == ((), "300.00")


def test_a_bill_that_another_claim_paid_cannot_be_replaced():
    third = stay(bill(line(1, "9.00"), number="3", replaces=BillRef("33060226", "0000000001")), id="c3")
    _, two = in_order(YEARLY, FIRST, third)
    assert two.refer == ("reissue_unlinked",)


def test_claims_decided_in_between_are_not_recomputed():
    between = stay(bill(line(1, "50.00"), number="5"), id="c9")
    one, two, three = in_order(YEARLY, FIRST, between, reissued("400.00"))
    assert (payable(one), payable(two)) == ("200.00", "50.00")
    assert (payable(three), three.usage) == ("300.00", used("100.00", "350.00"))


def test_a_dropped_duplicate_stays_the_bill_of_the_claim_that_paid_it():
    mixed = stay(bill(line(1, "300.00")), bill(line(1, "60.00"), number="3"), id="c2")
    freed = stay(bill(line(1, "400.00"), number="4"), id="c3", supersedes="c1")
    again = stay(bill(line(1, "300.00")), id="c4")
    _, two, three, four = in_order(YEARLY, FIRST, mixed, freed, again)
    assert two.duplicates == ("33060226-0000000001",)
    assert [bill.number for bill in two.bills] == ["3"]
    assert (three.decision, four.duplicates) == ("pay", ())


def test_days_of_a_superseded_stay_are_free_again():
    of = product(block("allowance", 'daily_yuan = "10.00"'), benefits=ALLOWANCE)
    longer = stay(id="c2", supersedes="c1", discharged_on=day("2025-05-13"))
    one, two = in_order(of, stay(), longer)
    assert (payable(one), payable(two), two.adjustment) == ("100.00", "120.00", yuan("20.00"))
    assert two.usage == Usage({"2025-01-01": Used(days={"daily": 12})})


def test_a_history_survives_being_stored():
    history = History(Usage({"lifetime": Used(limit={"x": yuan("1.00")})}), paid_bills=(paid_before(total="7.00"),))
    determination = decided(product(benefits=STAY), stay(bill(line(1, "5.00"), number="8")), history=history)
    after = history.after(stay(), determination)
    stored = msgspec.json.decode(msgspec.json.encode(after), type=History)
    assert stored == after
    assert stored.totals_paid == {"33060226-0000000001": {700}, "33060226-8": {500}}


def test_a_claim_in_force_cannot_be_settled_a_second_time():
    determination = decided(YEARLY, FIRST)
    history = History().after(FIRST, determination)
    with pytest.raises(InvariantBroken):
        history.after(FIRST, determination)

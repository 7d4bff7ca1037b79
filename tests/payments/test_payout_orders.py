"""What a determination moves, and what the books say at each step."""

from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from payments.given_payments import NOON, determination
from safeweave import payments
from safeweave.database import Database
from safeweave.errors import Conflict, InvariantBroken, NotFound
from safeweave.events import (
    CaseSettled,
    Event,
    PayoutConfirmed,
    PayoutOrdered,
    PayoutRefused,
    PayoutReturned,
    PayoutUnconfirmed,
    RecoveryOpened,
)
from safeweave.ids import CaseId, DeterminationId, PayoutId
from safeweave.money import Fen, fen_of, yuan_text
from safeweave.payments import Receipt, store
from safeweave.payments.journal import BOOKS, CHART, Booking, Entry, book, booking_for, entries_for, trial_balance
from safeweave.payments.payout import State, delay_before_asking, payout_id
from safeweave.words import LANGUAGES, say
from stores import place

HANDLERS = {
    PayoutConfirmed: payments.confirm,
    PayoutRefused: payments.refuse,
    PayoutReturned: payments.return_payment,
    PayoutUnconfirmed: payments.note_unconfirmed,
}


@pytest.fixture
def database(tmp_path: Path, store: str) -> Database:
    return Database(place(tmp_path / "node.sqlite"))


def order(database: Database, *made: object) -> list[Event]:
    with database.transaction() as tx:
        return payments.order_payouts(list(made), tx, NOON)


def hear(database: Database, *events: Event) -> None:
    for event in events:
        with database.transaction() as tx:
            HANDLERS[type(event)]([event], tx, NOON)


def balances(database: Database) -> dict[str, int]:
    with database.reading() as tx:
        return {account: fen for account, fen in trial_balance(tx).items() if fen}


def state_of(database: Database, payout: PayoutId) -> str:
    with database.reading() as tx:
        return store.payouts(tx, [payout])[payout].state


def test_a_payable_amount_is_ordered_once_under_one_key_made_from_the_determination(database: Database) -> None:
    told = order(database, determination("a", "2381.85"))
    key = payout_id(DeterminationId("det_a"))
    assert told == [PayoutOrdered(key, CaseId("case_a"), fen_of("2381.85"))]
    assert key.startswith("pay_")
    assert len(key) <= 35  # Max35Text of EndToEndId
    assert balances(database) == {"claims_incurred": 238185, "claims_payable": -238185}


def test_a_determination_told_twice_orders_once(database: Database) -> None:
    made = determination("a", "2381.85")
    assert len(order(database, made, made)) == 1
    assert order(database, made) == []
    assert balances(database) == {"claims_incurred": 238185, "claims_payable": -238185}


def test_nothing_moves_unless_the_decision_is_to_pay_more_than_nothing(database: Database) -> None:
    told = order(
        database,
        determination("zero", "0.00"),
        determination("refer", decision="refer"),
        determination("proposed", decision="refuse-proposed"),
        determination("refuse", decision="refuse"),
        determination("same", "500.00", supersedes=DeterminationId("det_old"), adjustment=Fen(0)),
    )
    assert told == [CaseSettled(CaseId("case_zero")), CaseSettled(CaseId("case_same"))]
    assert balances(database) == {}


def test_a_determination_that_supersedes_moves_only_the_difference(database: Database) -> None:
    more = determination("more", "900.00", supersedes=DeterminationId("det_a"), adjustment=fen_of("100.00"))
    less = determination("less", "300.00", supersedes=DeterminationId("det_b"), adjustment=fen_of("-200.00"))
    told = order(database, more, less)
    assert told == [
        PayoutOrdered(payout_id(DeterminationId("det_more")), CaseId("case_more"), fen_of("100.00")),
        RecoveryOpened(CaseId("case_less"), DeterminationId("det_less"), fen_of("200.00")),
        CaseSettled(CaseId("case_less")),
    ]
    assert balances(database) == {"claims_incurred": -10000, "claims_payable": -10000, "claims_recoverable": 20000}


def test_a_difference_that_is_not_said_is_not_guessed(database: Database) -> None:
    with pytest.raises(InvariantBroken, match="has no adjustment"):
        order(database, determination("a", supersedes=DeterminationId("det_old")))
    with pytest.raises(InvariantBroken, match="supersedes none"):
        order(database, determination("b", "-1.00"))


def test_a_confirmed_payout_has_left_the_bank_account(database: Database) -> None:
    (told,) = order(database, determination("a", "100.00"))
    assert isinstance(told, PayoutOrdered)
    hear(database, PayoutConfirmed(told.payout, told.case, told.amount, NOON))
    hear(database, PayoutConfirmed(told.payout, told.case, told.amount, NOON))
    assert state_of(database, told.payout) == "paid"
    assert balances(database) == {"claims_incurred": 10000, "bank": -10000}


def test_a_payout_without_an_answer_is_in_transit_until_the_bank_speaks(database: Database) -> None:
    (told,) = order(database, determination("a", "100.00"))
    assert isinstance(told, PayoutOrdered)
    hear(database, PayoutUnconfirmed(told.payout, told.case), PayoutUnconfirmed(told.payout, told.case))
    assert balances(database) == {"claims_incurred": 10000, "bank_in_transit": -10000}
    with database.reading() as tx:
        assert store.payouts(tx, [told.payout])[told.payout].asked == 2
    hear(database, PayoutConfirmed(told.payout, told.case, told.amount, NOON))
    assert balances(database) == {"claims_incurred": 10000, "bank": -10000}


def test_a_refusal_after_silence_is_payable_again_and_names_what_it_reverses(database: Database) -> None:
    (told,) = order(database, determination("a", "100.00"))
    assert isinstance(told, PayoutOrdered)
    hear(database, PayoutUnconfirmed(told.payout, told.case), PayoutRefused(told.payout, told.case, "AC04"))
    assert balances(database) == {"claims_incurred": 10000, "claims_payable": -10000}
    with database.reading() as tx:
        reversing = tx.rows("select distinct booking, reverses from journal_entry where reverses is not null")
        assert store.payouts(tx, [told.payout])[told.payout].reason == "AC04"
    assert reversing == [(f"transit_refused:{told.payout}", f"payout_unconfirmed:{told.payout}")]


@pytest.mark.parametrize("silent_first", [False, True])
def test_a_returned_payment_is_payable_again_and_reverses_the_payment(database: Database, silent_first: bool) -> None:
    (told,) = order(database, determination("a", "100.00"))
    assert isinstance(told, PayoutOrdered)
    if silent_first:
        hear(database, PayoutUnconfirmed(told.payout, told.case))
    hear(database, PayoutConfirmed(told.payout, told.case, told.amount, NOON))
    hear(database, PayoutReturned(told.payout, told.case, told.amount, "AC04"))
    hear(database, PayoutReturned(told.payout, told.case, told.amount, "AC04"))
    assert balances(database) == {"claims_incurred": 10000, "claims_payable": -10000}
    with database.reading() as tx:
        (booked,) = tx.rows("select distinct booking, reverses from journal_entry where reverses is not null")
    paid = "transit_paid" if silent_first else "payout_paid"
    assert booked == (f"payout_returned:{told.payout}", f"{paid}:{told.payout}")


def test_a_return_heard_before_its_confirmation_books_both(database: Database) -> None:
    (told,) = order(database, determination("a", "100.00"))
    assert isinstance(told, PayoutOrdered)
    hear(database, PayoutReturned(told.payout, told.case, told.amount, "AC04"))
    hear(database, PayoutConfirmed(told.payout, told.case, told.amount, NOON))
    assert state_of(database, told.payout) == "returned"
    with database.reading() as tx:
        assert sorted(fen for _, _, fen in store.bank_entries(tx)) == [-10000, 10000]
    assert balances(database) == {"claims_incurred": 10000, "claims_payable": -10000}


def test_a_bank_that_contradicts_itself_is_not_believed_and_a_person_looks(database: Database) -> None:
    (told,) = order(database, determination("a", "100.00"))
    assert isinstance(told, PayoutOrdered)
    hear(database, PayoutConfirmed(told.payout, told.case, told.amount, NOON))
    with pytest.raises(InvariantBroken, match="is paid, and the bank says it was refused"):
        hear(database, PayoutRefused(told.payout, told.case, "AC04"))
    assert balances(database) == {"claims_incurred": 10000, "bank": -10000}


def test_another_amount_than_ordered_is_never_booked(database: Database) -> None:
    (told,) = order(database, determination("a", "100.00"))
    assert isinstance(told, PayoutOrdered)
    with pytest.raises(InvariantBroken, match="10000 fen, and the bank says 10001 fen"):
        hear(database, PayoutConfirmed(told.payout, told.case, Fen(10001), NOON))
    with pytest.raises(NotFound):
        hear(database, PayoutConfirmed(PayoutId("pay_nowhere"), told.case, Fen(1), NOON))
    assert state_of(database, told.payout) == "ordered"


def test_only_a_failed_payout_is_paid_again_once_under_a_new_key(database: Database) -> None:
    (told,) = order(database, determination("a", "100.00"))
    assert isinstance(told, PayoutOrdered)
    with database.transaction() as tx, pytest.raises(Conflict, match="is ordered"):
        payments.pay_again(tx, told.payout, NOON)
    hear(database, PayoutRefused(told.payout, told.case, "AC04"))
    with database.transaction() as tx:
        (again,) = payments.pay_again(tx, told.payout, NOON)
    assert isinstance(again, PayoutOrdered)
    assert again.payout == payout_id(DeterminationId("det_a"), attempt=2) != told.payout
    assert again.amount == fen_of("100.00")
    with database.transaction() as tx, pytest.raises(Conflict, match="was paid again"):
        payments.pay_again(tx, told.payout, NOON)
    hear(database, PayoutConfirmed(again.payout, again.case, again.amount, NOON))
    assert balances(database) == {"claims_incurred": 10000, "bank": -10000}
    with database.reading() as tx:
        assert payments.unsettled(tx, 10) == []
        assert payments.totals(tx) == {"paid": (1, 10000)}


def test_what_comes_back_settles_its_recovery_and_the_rest_waits_for_a_name(database: Database) -> None:
    order(database, determination("a", "300.00", supersedes=DeterminationId("det_b"), adjustment=fen_of("-200.00")))
    with database.reading() as tx:
        (recovery,) = payments.open_recoveries(tx)
    receipts = [
        Receipt("E1", recovery.id, fen_of("150.00")),
        Receipt("E2", recovery.id, fen_of("80.00")),  # 30.00 too much
        Receipt("E3", "", fen_of("5.00")),
    ]
    for became in [["150.00", "0.00"], ["50.00", "30.00"], ["0.00", "5.00"]], [None, None, None]:  # told again: not new
        with database.transaction() as tx:
            told = payments.receive_recoveries(tx, receipts, NOON)
        assert [each and [yuan_text(each.settled), yuan_text(each.unallocated)] for each in told] == became
    assert balances(database) == {"claims_incurred": -20000, "bank": 23500, "unallocated_receipts": -3500}
    with database.reading() as tx:
        assert payments.open_recoveries(tx) == []
        assert payments.recoveries_of(tx, [CaseId("case_a")])[0].received == fen_of("200.00")


def test_the_number_of_statements_does_not_grow_with_the_batch(database: Database) -> None:
    def statements(*names: str) -> int:
        before = database.statements
        order(database, *(determination(name) for name in names))
        return database.statements - before

    assert statements("single") <= 5
    assert statements(*map(str, range(200))) == statements("another")


def test_every_booking_balances_and_every_account_and_booking_has_a_name_in_both_languages() -> None:
    for what in BOOKS:
        assert sum(entry.fen for entry in entries_for(what, Fen(7))) == 0
        assert {entry.account for entry in entries_for(what, Fen(7))} <= set(CHART)
        for language in LANGUAGES:
            assert say(f"payments.booking.{what}", language)
    for account in CHART:
        for language in LANGUAGES:
            assert say(f"payments.account.{account}", language)
    with pytest.raises(ValueError, match="above zero"):
        entries_for("claim_ordered", Fen(0))


def test_a_booking_that_does_not_balance_or_changes_is_never_written(database: Database) -> None:
    with database.transaction() as tx, pytest.raises(InvariantBroken, match="does not balance"):
        book(tx, [Booking("odd", "x", (Entry("bank", Fen(1)),))], NOON)
    with database.transaction() as tx:
        book(tx, [booking_for("claim_ordered", Fen(100), "x")], NOON)
    with database.transaction() as tx, pytest.raises(InvariantBroken, match="booked again with 101"):
        book(tx, [booking_for("claim_ordered", Fen(101), "x")], NOON)
    assert balances(database) == {"claims_incurred": 100, "claims_payable": -100}


def test_each_question_waits_longer_than_the_one_before_up_to_an_hour() -> None:
    assert [delay_before_asking(asked).total_seconds() for asked in (0, 1, 2, 3)] == [5, 10, 20, 40]
    assert delay_before_asking(1000) == timedelta(hours=1)


def test_the_reference_page_shows_the_chart_the_bookings_and_the_states_as_they_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "journal.md").read_text("utf-8")
    for account, kind in CHART.items():
        zh, en = (say(f"payments.account.{account}", language) for language in LANGUAGES)
        assert f"| `{account}` | {zh} | {en} | {kind} |" in page
    rows = {row.split(" | ")[0]: row.split(" | ")[2:4] for row in page.splitlines() if row.startswith("| `")}
    for what, (debited, credited) in BOOKS.items():
        assert rows[f"| `{what}`"] == [f"`{debited}`", f"`{credited}`"]
    for state in get_args(State):
        assert f"| `{state}` | {say(f'payments.state.{state}', 'zh')} |" in page
        assert say(f"payments.state.{state}", "en")

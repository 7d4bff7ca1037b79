"""Our books against the bank's statement, in words a bookkeeper can act on."""

import io
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from payments.given_payments import NOON, Accounts, determination
from safeweave import payments
from safeweave.database import Database
from safeweave.events import PayoutConfirmed, PayoutUnconfirmed
from safeweave.ids import CaseId, DeterminationId
from safeweave.money import Fen, fen_of
from safeweave.payments import BankDesk, Receipt
from safeweave.payments.bank import Instruction, Notice, Outcome, StatementEntry
from safeweave.payments.payout import payout_id
from safeweave.payments.reconcile import reconcile, reconcile_command
from stores import place

DAY = date(2026, 3, 6)
KEY = payout_id(DeterminationId("det_a"))
LATE = payout_id(DeterminationId("det_b"))


class Statement:
    """A bank of which only the statement matters."""

    def __init__(self, *entries: StatementEntry) -> None:
        self.entries = list(entries)

    def send(self, instructions: Sequence[Instruction], now: object) -> list[Outcome]:
        return [Outcome("silent") for _ in instructions]

    def ask(self, instructions: Sequence[Instruction], now: object) -> list[Outcome]:
        return [Outcome("silent") for _ in instructions]

    def statement(self, first_day: date, last_day: date) -> list[StatementEntry]:
        return [entry for entry in self.entries if first_day <= entry.booked_on <= last_day]

    def notices(self, after: int) -> list[Notice]:
        return []


@pytest.fixture
def database(tmp_path: Path, store: str) -> Database:
    """`a` was paid 2,381.85, `b` was sent 10.00 and is not confirmed."""
    database = Database(place(tmp_path / "node.sqlite"))
    with database.transaction() as tx:
        payments.order_payouts([determination("a", "2381.85"), determination("b", "10.00")], tx, NOON)
        payments.confirm([PayoutConfirmed(KEY, CaseId("case_a"), fen_of("2381.85"), NOON)], tx, NOON)
        payments.note_unconfirmed([PayoutUnconfirmed(LATE, CaseId("case_b"))], tx, NOON)
    return database


def line(key: str, yuan: str, id: str = "E1", kind: str = "payment") -> StatementEntry:
    return StatementEntry(id, kind, key, fen_of(yuan), DAY)  # type: ignore[arg-type]


def printed(
    database: Database, bank: Statement | BankDesk, language: str = "en", as_json: bool = False
) -> tuple[int, str]:
    out = io.StringIO()
    code = reconcile_command(database, bank, language, as_json, out)  # type: ignore[arg-type]
    return code, out.getvalue()


def test_books_that_agree_print_nothing_but_zero(database: Database) -> None:
    assert printed(database, Statement(line(KEY, "-2381.85"))) == (0, "0.00\n")


def test_the_banks_of_a_desk_are_one_account(database: Database) -> None:
    desk = BankDesk({"one": Statement(line(KEY, "-2381.85")), "two": Statement(line(LATE, "-10.00", "E2"))}, Accounts())
    with database.transaction() as tx:
        payments.confirm([PayoutConfirmed(LATE, CaseId("case_b"), fen_of("10.00"), NOON)], tx, NOON)
    assert printed(database, desk) == (0, "0.00\n")


def test_a_case_shows_its_own_entries(database: Database) -> None:
    with database.reading() as tx:
        assert payments.entries_of(tx, CaseId("case_a")) == [
            ("claims_incurred", 238185),
            ("claims_payable", -238185),
            ("claims_payable", 238185),
            ("bank", -238185),
        ]


def test_a_payment_the_bank_does_not_show_is_named(database: Database) -> None:
    code, text = printed(database, Statement())
    assert code == 1
    assert text.splitlines()[0] == "-2381.85"
    assert f"The bank's statement misses 2,381.85 yuan leaving that our journal has ({KEY})" in text
    _, text = printed(database, Statement(), "zh")
    assert f"银行对账单缺少：我方已记账付出2,381.85元（{KEY}）" in text


def test_a_payment_we_still_wait_for_settles_by_itself(database: Database) -> None:
    code, text = printed(database, Statement(line(KEY, "-2381.85"), line(LATE, "-10.00", "E2")))
    assert code == 1
    assert text.startswith("10.00\n")
    assert "we still await the bank's word" in text


def test_what_is_no_payout_of_ours_is_to_be_found_out(database: Database) -> None:
    _, text = printed(database, Statement(line(KEY, "-2381.85"), line("", "-1.00", "E9", "other")))
    assert "misses 1.00 yuan leaving that the bank has booked under E9, which is no payout of ours" in text


def test_a_payment_that_left_twice_or_at_another_amount_shows_on_both_sides(database: Database) -> None:
    with database.reading() as tx:
        twice = reconcile(tx, [line(KEY, "-2381.85", "E1"), line(KEY, "-2381.85", "E2")])
        other = reconcile(tx, [line(KEY, "-2381.86")])
    assert [(i.fault, i.fen) for i in twice.items] == [("missing_in_journal", 238185)]
    assert sorted((i.fault, i.fen) for i in other.items) == [
        ("missing_at_bank", -238185),
        ("missing_in_journal", 238186),
    ]
    assert other.difference_fen == 1


def test_a_receipt_split_over_two_accounts_is_one_line_at_the_bank(database: Database) -> None:
    with database.transaction() as tx:
        payments.order_payouts(
            [determination("c", supersedes=DeterminationId("det_a"), adjustment=fen_of("-100.00"))], tx, NOON
        )
        (recovery,) = payments.open_recoveries(tx)
        payments.receive_recoveries(tx, [Receipt("E2", recovery.id, fen_of("120.00"))], NOON)
    with database.reading() as tx:
        assert reconcile(tx, [line(KEY, "-2381.85"), line("", "120.00", "E2", "receipt")]).items == ()


def test_the_same_is_told_to_machines(database: Database) -> None:
    code, text = printed(database, Statement(), as_json=True)
    assert code == 1
    told = json.loads(text)
    assert (told["difference"], told["difference_fen"]) == ("-2381.85", -238185)
    assert told["items"][0]["fault"] == "missing_at_bank"
    assert told["items"][0]["amount_fen"] == -238185
    assert Fen(sum(item["difference_fen"] for item in told["items"])) == told["difference_fen"]

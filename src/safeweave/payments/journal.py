"""Our books: double entry, added to and never changed. `docs/reference/journal.md` shows the chart and what books what.

Debits are positive and credits negative, so every booking sums to zero. A booking has a key; booking it twice books it
once. A mistake is taken back by a booking that names the one it reverses.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from safeweave.database import Transaction, at_text
from safeweave.errors import InvariantBroken
from safeweave.facts import Fact
from safeweave.ids import person_key
from safeweave.money import Fen

Account = Literal[
    "bank", "bank_in_transit", "claims_recoverable", "claims_payable", "unallocated_receipts", "claims_incurred"
]  # fmt: skip
Kind = Literal["asset", "liability", "expense"]

CHART: dict[Account, Kind] = {
    "bank": "asset",  # 银行存款
    "bank_in_transit": "asset",  # 在途资金: sent, and not known to have left
    "claims_recoverable": "asset",  # 应收追回赔款
    "claims_payable": "liability",  # 应付赔付款
    "unallocated_receipts": "liability",  # 待核销收款: came in and belongs to no recovery yet
    "claims_incurred": "expense",  # 赔付支出
}

What = Literal[
    "claim_ordered", "payout_unconfirmed", "payout_paid", "transit_paid", "transit_refused", "payout_returned",
    "recovery_opened", "recovery_received", "receipt_unallocated",
]  # fmt: skip

# What each thing that happens debits and credits.
BOOKS: dict[What, tuple[Account, Account]] = {
    "claim_ordered": ("claims_incurred", "claims_payable"),
    "payout_unconfirmed": ("claims_payable", "bank_in_transit"),
    "payout_paid": ("claims_payable", "bank"),
    "transit_paid": ("bank_in_transit", "bank"),
    "transit_refused": ("bank_in_transit", "claims_payable"),
    "payout_returned": ("bank", "claims_payable"),
    "recovery_opened": ("claims_recoverable", "claims_incurred"),
    "recovery_received": ("bank", "claims_recoverable"),
    "receipt_unallocated": ("bank", "unallocated_receipts"),
}


class Entry(Fact):
    """One account's part of a booking: debit positive, credit negative."""

    account: Account
    fen: Fen


class Booking(Fact):
    """What is written at once: its entries sum to zero. `reverses` is the key of the booking it takes back."""

    key: str
    ref: str
    entries: tuple[Entry, ...]
    reverses: str | None = None


def entries_for(what: What, amount: Fen) -> tuple[Entry, ...]:
    """The entries that book `amount` (above zero), summing to zero; ValueError if it is not above zero."""
    if amount <= 0:
        raise ValueError(f"{what} books an amount above zero, not {amount} fen")
    debited, credited = BOOKS[what]
    return Entry(debited, amount), Entry(credited, Fen(-amount))


def booking_for(what: What, amount: Fen, ref: str, *, reverses: What | None = None) -> Booking:
    """The booking of this thing happening to `ref` (a payout, recovery or bank reference); it can happen once."""
    taken_back = None if reverses is None else f"{reverses}:{ref}"
    return Booking(f"{what}:{ref}", ref, entries_for(what, amount), taken_back)


def book(tx: Transaction, bookings: Sequence[Booking], now: datetime, new: bool = False) -> None:
    """Write these bookings; those written before stay as they are. With `new`, none can have been written before.

    Raises InvariantBroken if the entries of one do not sum to zero, or a key was booked before with another amount.
    """
    if not bookings:
        return
    turnover: dict[str, int] = {}
    for booking in bookings:
        if sum(entry.fen for entry in booking.entries):
            raise InvariantBroken(f"booking {booking.key} does not balance: {[e.fen for e in booking.entries]} fen")
        turnover[booking.key] = sum(entry.fen for entry in booking.entries if entry.fen > 0)
    at = at_text(now)
    rows = [
        (booking.key, no, entry.account, entry.fen, booking.ref, person_key(booking.ref), booking.reverses, at)
        for booking in bookings
        for no, entry in enumerate(booking.entries, 1)
    ]
    if new:
        tx.queue(BOOK, rows, every=True)
        return
    tx.flush(BOOK)
    if tx.run_many(BOOK, rows) != len(rows):
        _check(tx, turnover)


BOOK = (
    "insert into journal_entry (booking, no, account, fen, ref, shard, reverses, booked_at)"
    " values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing"
)


def _check(tx: Transaction, turnover: dict[str, int]) -> None:
    """Where something stood in the books before: it balances and is what we meant."""
    written = tx.rows(
        "select booking, sum(fen), sum(case when fen > 0 then fen else 0 end) from journal_entry"
        " where booking in ? group by booking",
        (list(turnover),),
    )
    for key, balance, debits in written:
        if balance:
            raise InvariantBroken(f"booking {key} is off by {balance} fen in the journal")
        if debits != turnover[key]:
            raise InvariantBroken(f"booking {key} stands at {debits} fen and was booked again with {turnover[key]} fen")


def trial_balance(tx: Transaction) -> dict[Account, Fen]:
    """The balance of every account of the chart: debit positive, credit negative."""
    tx.flush(BOOK)
    balances: dict[Account, Fen] = dict.fromkeys(CHART, Fen(0))
    balances.update(tx.rows("select account, sum(fen) from journal_entry group by account"))
    return balances


def trial_balance_fen(tx: Transaction) -> Fen:
    """The sum of all entries: 0, or the journal is broken."""
    ((fen,),) = tx.rows("select coalesce(sum(fen), 0) from journal_entry")
    return Fen(int(fen))

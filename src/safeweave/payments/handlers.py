"""What payments does when something happens: load, decide, remember, tell. `desk.py` speaks to the banks."""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from safeweave.database import Transaction
from safeweave.errors import Conflict, InvariantBroken, NotFound
from safeweave.events import (
    CaseConfirmed,
    CaseSettled,
    DeterminationMade,
    Event,
    PayoutConfirmed,
    PayoutOrdered,
    PayoutRefused,
    PayoutReturned,
    PayoutUnconfirmed,
    RecoveryOpened,
)
from safeweave.facts import Fact
from safeweave.ids import CaseId, PayoutId
from safeweave.money import Fen
from safeweave.payments import journal, store
from safeweave.payments.payout import (
    FAILED,
    Happened,
    Payout,
    Recovery,
    amount_to_move,
    payout_again,
    payout_for,
    recovery_for,
    state_after,
)
from safeweave.words import NotHere


class Receipt(Fact):
    """Money that came in: the bank's own `reference` of the line, and the recovery it belongs to ("" if not known)."""

    reference: str
    recovery: str
    amount: Fen


class Received(Fact):
    """What became of a receipt: how much settled its recovery, and how much waits for a person to know whose it is."""

    settled: Fen
    unallocated: Fen


def order_payouts(
    events: Sequence[DeterminationMade],
    tx: Transaction,
    now: datetime,
    pinned: Callable[[Sequence[Payout], Transaction], list[Payout]] | None = None,
) -> list[Event]:
    """Order what these determinations pay and open what they take back.

    A determination told twice orders once. `pinned` gives payouts with payee and account, where these are known by now;
    without it they are pinned before they are sent. Tells PayoutOrdered and RecoveryOpened, and CaseSettled of cases
    that are decided and have nothing to be paid any more.
    """
    payouts: dict[str, Payout] = {}
    recoveries: dict[str, Recovery] = {}
    for event in events:
        amount = amount_to_move(event)
        if amount > 0:
            payout = payout_for(event, now)
            payouts.setdefault(payout.id, payout)
        elif amount < 0:
            recovery = recovery_for(event, now)
            recoveries.setdefault(recovery.id, recovery)
    paying = {payout.case for payout in payouts.values()}
    decided = dict.fromkeys(event.case for event in events if event.decision == "pay" and event.case not in paying)
    settled = _settled(tx, list(decided))
    if not payouts and not recoveries:
        return settled

    to_pay = list(payouts.values())
    new = store.add_payouts(tx, pinned(to_pay, tx) if pinned and to_pay else to_pay)
    new |= store.add_recoveries(tx, recoveries.values())
    ordered = [payout for id, payout in payouts.items() if id in new]
    opened = [recovery for id, recovery in recoveries.items() if id in new]

    journal.book(
        tx,
        [journal.booking_for("claim_ordered", p.amount, p.id) for p in ordered]
        + [journal.booking_for("recovery_opened", r.amount, r.id) for r in opened],
        now,
        new=True,
    )
    return [
        *(PayoutOrdered(p.id, p.case, p.amount, p.bank) for p in ordered),
        *(RecoveryOpened(r.case, r.determination, r.amount) for r in opened),
        *settled,
    ]


def _settled(tx: Transaction, cases: Sequence[CaseId]) -> list[Event]:
    payouts = store.payouts_of(tx, cases) if cases else []
    still_open = {payout.case for payout in payouts if payout.state != "paid" and payout.replaced_by is None}
    return [CaseSettled(case) for case in cases if case not in still_open]


def confirm(events: Sequence[PayoutConfirmed], tx: Transaction, now: datetime) -> list[Event]:
    """Book that these payouts left the bank, and tell which cases have no payout open any more.

    Raises InvariantBroken if the bank paid another amount than ordered.
    """
    _move(tx, now, [(event, "confirmed", event.amount, "", event.paid_at) for event in events])
    return _settled(tx, list(dict.fromkeys(event.case for event in events)))


def settle_confirmed(events: Sequence[CaseConfirmed], tx: Transaction, now: datetime) -> list[Event]:
    """Tell which of the cases that a person leaves as they were decided have no payout open."""
    return _settled(tx, list(dict.fromkeys(event.case for event in events)))


def refuse(events: Sequence[PayoutRefused], tx: Transaction, now: datetime) -> list[Event]:
    """Keep why the bank will not pay; the claim stays payable until a person has it paid again."""
    _move(tx, now, [(event, "refused", None, event.reason, now) for event in events])
    return []


def return_payment(events: Sequence[PayoutReturned], tx: Transaction, now: datetime) -> list[Event]:
    """Book that the payee's bank sent these back; the payment is open again, the decision is not."""
    _move(tx, now, [(event, "returned", event.amount, event.reason, now) for event in events])
    return []


def note_unconfirmed(events: Sequence[PayoutUnconfirmed], tx: Transaction, now: datetime) -> list[Event]:
    """Book these payouts as in transit and count the question that is asked next, so that each waits longer."""
    _move(tx, now, [(event, "unconfirmed", None, "", None) for event in events])
    return []


_Told = PayoutConfirmed | PayoutRefused | PayoutReturned | PayoutUnconfirmed
_Word = tuple[_Told, Happened, Fen | None, str, datetime | None]  # who says it, what happened, amount, reason, when


def _move(tx: Transaction, now: datetime, words: Sequence[_Word]) -> None:
    before = {payout.id: payout for payout in store.payouts_of(tx, [event.case for event, *_ in words])}
    after = dict(before)
    bookings: list[journal.Booking] = []
    for event, happened, amount, reason, at in words:
        id = event.payout
        payout = after.get(id)
        if payout is None:
            raise NotFound(f"payout {id} is not here, and the bank says it was {happened}")
        if amount is not None and amount != payout.amount:
            raise InvariantBroken(f"payout {id} is {payout.amount} fen, and the bank says {amount} fen were {happened}")
        state, booked = state_after(payout, happened)
        bookings.extend(booked)
        asks_again = state == "unconfirmed"
        if state != payout.state or asks_again:
            after[id] = msgspec.structs.replace(
                payout, state=state, reason=reason, asked=payout.asked + asks_again, settled_at=at
            )
    store.move(tx, [payout for id, payout in after.items() if payout is not before[id]])
    journal.book(tx, bookings, now)


def pay_again(tx: Transaction, payout: PayoutId, now: datetime) -> list[Event]:
    """Order a new payment of what a refused or returned payout could not pay, to the account coverage then knows.

    The new payment has a key of its own; the claim was booked before and is not booked again. Tells PayoutOrdered.
    Raises NotFound, or Conflict if the payout has not failed or was paid again already.
    """
    failed = store.payouts(tx, [payout]).get(payout)
    if failed is None:
        raise NotHere("cli.not_here.payout", id=payout)
    if failed.state not in FAILED:
        raise Conflict(f"payout {payout} is {failed.state}; only a refused or returned one is paid again")
    if failed.replaced_by is not None:
        raise Conflict(f"payout {payout} was paid again as {failed.replaced_by}")
    again = payout_again(failed, now)
    store.add_payouts(tx, [again])
    store.move(tx, [msgspec.structs.replace(failed, replaced_by=again.id)])
    return [PayoutOrdered(again.id, again.case, again.amount, again.bank)]


def receive_recoveries(tx: Transaction, receipts: Sequence[Receipt], now: datetime) -> list[Received | None]:
    """Book money that came in. It settles the recovery it names, as far as that is open; what is more, or names none
    of ours, is kept as unallocated until a person knows whose it is. A reference told twice is booked once: what became
    of it the second time is None.
    """
    if not receipts:
        return []
    known = store.recoveries(tx, [receipt.recovery for receipt in receipts])
    settled = {f"{what}:{receipt.reference}" for receipt in receipts for what in _RECEIVED}
    seen = store.booked(tx, sorted(settled))
    received: dict[str, Fen] = {}
    bookings: list[journal.Booking] = []
    became: list[Received | None] = []
    for receipt in receipts:
        if receipt.amount <= 0:
            raise InvariantBroken(f"receipt {receipt.reference} is {receipt.amount} fen; a receipt is above zero")
        keys = {f"{what}:{receipt.reference}" for what in _RECEIVED}
        if keys & seen:
            became.append(None)
            continue
        seen |= keys
        recovery = known.get(receipt.recovery)
        still_open = 0 if recovery is None else recovery.amount - recovery.received - received.get(recovery.id, 0)
        due = Fen(min(receipt.amount, still_open))
        over = Fen(receipt.amount - due)
        if recovery is not None and due:
            received[recovery.id] = Fen(received.get(recovery.id, 0) + due)
            bookings.append(journal.booking_for("recovery_received", due, receipt.reference))
        if over:
            bookings.append(journal.booking_for("receipt_unallocated", over, receipt.reference))
        became.append(Received(due, over))
    store.receive(tx, received)
    journal.book(tx, bookings, now)
    return became


_RECEIVED: tuple[journal.What, ...] = ("recovery_received", "receipt_unallocated")

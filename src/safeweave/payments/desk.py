"""The bank desk: sends what is ordered, asks when no answer came, and takes what banks tell unasked.

No transaction waits for a bank. What is sent is pinned to the payout first, so a key never goes out with other content.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Protocol

import msgspec

from safeweave.database import Transaction
from safeweave.errors import Unavailable
from safeweave.events import (
    DeterminationMade,
    Event,
    PayoutConfirmed,
    PayoutOrdered,
    PayoutRefused,
    PayoutReturned,
    PayoutUnconfirmed,
)
from safeweave.facts import Fact
from safeweave.ids import CaseId, PayoutId, PersonId, PolicyId
from safeweave.money import Fen
from safeweave.payments import store
from safeweave.payments.bank import Bank, Instruction, Notice, Outcome, StatementEntry, account_fault
from safeweave.payments.handlers import order_payouts
from safeweave.payments.payout import MOVES, Happened, Payout, State, delay_before_asking, purpose_of
from safeweave.worker import Later

log = logging.getLogger("safeweave.payments")

MOST_RELEASED = 500  # at one look

PayeeKey = tuple[PolicyId, PersonId, str]  # whose policy, who, and as what: insured, guardian, estate, beneficiary


class Payee(Protocol):
    """Who is paid and where, as coverage knows it."""

    @property
    def role(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def bank_code(self) -> str: ...


Payees = Callable[[Transaction, Sequence[PayeeKey]], Mapping[PayeeKey, Payee]]


class Errand(Fact):
    """One instruction on its way to a bank, with what is needed to tell what became of it."""

    instruction: Instruction
    case: CaseId
    bank: str
    state: State
    asked: int

    @property
    def payout(self) -> PayoutId:
        """The payout, whose id is the key."""
        return PayoutId(self.instruction.key)


class BankDesk:
    """Every bank we pay through, by the name a product or an import gives it."""

    def __init__(self, banks: Mapping[str, Bank], payees: Payees) -> None:
        self.banks = banks
        self.payees = payees

    def order(self, events: Sequence[DeterminationMade], tx: Transaction, now: datetime) -> list[Event]:
        """Order what these determinations pay, pinned at once, and open what they take back (see `order_payouts`)."""
        return order_payouts(events, tx, now, self._pinned_at_once)

    def address(self, events: Sequence[PayoutOrdered], tx: Transaction, now: datetime) -> list[Event]:
        """Pin payee, account and purpose to these payouts before anything is sent, or keep why they wait.

        Those ordered in this very transaction are pinned already.
        """
        asked = [event.payout for event in events if ("pinned", event.payout) not in tx.memo]
        found = store.payouts(tx, asked) if asked else {}
        unpinned = [p for p in found.values() if p.state in ("ordered", "waiting") and not p.account]
        if unpinned:
            store.pin(tx, self._all_pinned(unpinned, tx))
        return []

    def _pinned_at_once(self, payouts: Sequence[Payout], tx: Transaction) -> list[Payout]:
        tx.memo.update(dict.fromkeys((("pinned", payout.id) for payout in payouts), True))
        return self._all_pinned(payouts, tx)

    def _all_pinned(self, payouts: Sequence[Payout], tx: Transaction) -> list[Payout]:
        """Only an account of the role the determination names will do: an estate is not paid into the insured's."""
        known = self.payees(tx, sorted({_payee_key(payout) for payout in payouts}))
        return [self._pinned(payout, known.get(_payee_key(payout))) for payout in payouts]

    def _pinned(self, payout: Payout, payee: Payee | None) -> Payout:
        if payout.bank not in self.banks:
            reason = "bank_unknown"
        elif payee is None or payee.role != payout.role:
            reason = "account_missing"
        else:
            reason = account_fault(payee.name, payee.account, payee.bank_code)
        if reason or payee is None:
            return msgspec.structs.replace(payout, state="waiting", reason=reason)
        return msgspec.structs.replace(
            payout, state="ordered", reason="", name=payee.name, account=payee.account, bank_code=payee.bank_code,
            purpose=purpose_of(payout),
        )  # fmt: skip

    def release_waiting(self, tx: Transaction, now: datetime) -> list[Event]:
        """Tell PayoutOrdered again for waiting payouts that can be sent now, because their account has come.

        They wait until that is followed, and are told again at each look; the oldest come first.
        """
        waiting = store.waiting(tx)
        if not waiting:
            return []
        known = self.payees(tx, sorted({_payee_key(payout) for payout in waiting}))
        ready = (p for p in waiting if self._pinned(p, known.get(_payee_key(p))).state == "ordered")
        return [
            PayoutOrdered(payout.id, payout.case, payout.amount, payout.bank) for payout in islice(ready, MOST_RELEASED)
        ]

    def load(
        self, events: Sequence[PayoutOrdered] | Sequence[PayoutUnconfirmed], tx: Transaction
    ) -> list[Errand | None]:
        """One errand per event; None if there is nothing to send or ask: it waits for an account, or is settled."""
        found = store.payouts(tx, [event.payout for event in events])
        errands: list[Errand | None] = []
        for event in events:
            payout = found.get(event.payout)
            if payout is None or payout.state not in ("ordered", "unconfirmed") or not payout.account:
                errands.append(None)
            else:
                errands.append(Errand(payout.instruction, payout.case, payout.bank, payout.state, payout.asked))
        return errands

    def send(self, errands: Sequence[Errand | None], now: datetime) -> list[Event | Later]:
        """Send these to their banks and tell what they answered. What is already being asked after is not sent here.

        Raises Unavailable if none of the banks could be reached.
        """

        def sent(bank: Bank, part: list[Errand]) -> list[Event]:
            return _answers(part, bank.send(_instructions(part), now), now)

        return self._each_bank(_once(errands, ("ordered",)), sent, now)

    def ask(self, errands: Sequence[Errand | None], now: datetime) -> list[Event | Later]:
        """Ask what became of these; one the bank has never seen is sent again, with the same key and content.

        Raises Unavailable if none of the banks could be reached.
        """

        def asked(bank: Bank, part: list[Errand]) -> list[Event | Later]:
            outcomes = bank.ask(_instructions(part), now)
            never_seen = [e for e, outcome in zip(part, outcomes, strict=True) if outcome.kind == "unknown"]
            if never_seen:
                sent = dict(zip(never_seen, bank.send(_instructions(never_seen), now), strict=True))
                outcomes = [sent.get(errand, outcome) for errand, outcome in zip(part, outcomes, strict=True)]
            return [
                Later(event, now + delay_before_asking(asked_before[event.payout]))
                if isinstance(event, PayoutUnconfirmed)
                else event
                for event in _answers(part, outcomes, now)
            ]

        asked_before = {errand.payout: errand.asked for errand in errands if errand is not None}
        return self._each_bank(_once(errands, ("ordered", "unconfirmed")), asked, now)

    def _each_bank(
        self, errands: list[Errand], call: Callable[[Bank, list[Errand]], Sequence[Event | Later]], now: datetime
    ) -> list[Event | Later]:
        told: list[Event | Later] = []
        out_of_reach: list[Errand] = []
        for name in dict.fromkeys(errand.bank for errand in errands):
            part = [errand for errand in errands if errand.bank == name]
            try:
                told += call(self.banks[name], part)
            except Unavailable:
                out_of_reach += part
        if out_of_reach and len(out_of_reach) == len(errands):
            names = ", ".join(sorted({errand.bank for errand in out_of_reach}))
            raise Unavailable(f"no answer from bank {names}; {len(out_of_reach)} payments stay open")
        return told + [
            Later(PayoutUnconfirmed(errand.payout, errand.case, errand.bank), now + delay_before_asking(errand.asked))
            for errand in out_of_reach
        ]

    def statement(self, first_day: date, last_day: date) -> list[StatementEntry]:
        """What all banks booked on these Shanghai days, both included; Unavailable if one does not answer."""
        return [entry for bank in self.banks.values() for entry in bank.statement(first_day, last_day)]

    def notice_cursors(self, tx: Transaction) -> dict[str, int]:
        """How far each bank's notices were read; hand it to `fetch`."""
        return store.notice_cursors(tx)

    def fetch(self, cursors: Mapping[str, int]) -> list[tuple[str, Notice]]:
        """What the banks have said unasked since then, returns above all; hand it to `take`.

        Called outside any transaction. A bank out of reach is asked next time.
        """
        notices: list[tuple[str, Notice]] = []
        for name, bank in self.banks.items():
            try:
                notices += [(name, notice) for notice in bank.notices(cursors.get(name, 0))]
            except Unavailable:
                log.warning("bank %s does not answer; its notices are read next time", name)
        return notices

    def take(self, notices: Sequence[tuple[str, Notice]], tx: Transaction, now: datetime) -> list[Event]:
        """Remember these notices and tell what they say of our payouts; one told before is told no more."""
        fresh = store.new_notices(tx, notices, now)
        if not fresh:
            return []
        payouts = store.payouts(tx, [notice.key for _, notice in fresh])
        told: list[Event] = []
        for _, notice in fresh:
            payout = payouts.get(PayoutId(notice.key))
            if payout is not None:
                move = MOVES.get((payout.state, _HAPPENED[notice.kind]))
                if move is None or move[0] != payout.state:  # what contradicts is told too: it is parked for a person
                    told.append(_told_unasked(payout, notice))
        return told


_HAPPENED: dict[str, Happened] = {"booked": "confirmed", "refused": "refused", "returned": "returned"}


def _payee_key(payout: Payout) -> PayeeKey:
    return payout.policy, payout.person, payout.role


def _instructions(errands: Sequence[Errand]) -> list[Instruction]:
    return [errand.instruction for errand in errands]


def _once(errands: Sequence[Errand | None], states: tuple[State, ...]) -> list[Errand]:
    """Each errand once, in order, of those in these states."""
    return list({errand.payout: errand for errand in errands if errand is not None and errand.state in states}.values())


def _answers(errands: Sequence[Errand], outcomes: Sequence[Outcome], now: datetime) -> list[Event]:
    return [_told(errand, outcome, now) for errand, outcome in zip(errands, outcomes, strict=True)]


def _told(errand: Errand, outcome: Outcome, now: datetime) -> Event:
    match outcome.kind:
        case "booked":
            return PayoutConfirmed(errand.payout, errand.case, errand.instruction.amount, outcome.at or now)
        case "refused":
            return PayoutRefused(errand.payout, errand.case, outcome.reason)
        case "conflict":
            # Neither paid nor refused: it stays open, in sight, and no money moves until a person has seen why.
            log.error("bank %s holds payment %s with other content", errand.bank, errand.payout)
            return PayoutUnconfirmed(errand.payout, errand.case, errand.bank)
        case _:
            return PayoutUnconfirmed(errand.payout, errand.case, errand.bank)


def _told_unasked(payout: Payout, notice: Notice) -> Event:
    amount = Fen(abs(notice.amount))
    match notice.kind:
        case "booked":
            return PayoutConfirmed(payout.id, payout.case, amount, notice.at)
        case "refused":
            return PayoutRefused(payout.id, payout.case, notice.reason)
        case "returned":
            return PayoutReturned(payout.id, payout.case, amount, notice.reason)

"""What follows what: the whole system on one page. No stage calls the next one; only this table knows the order."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from safeweave import cases, payments
from safeweave.adjudication import Adjudicator, DecidingAgain
from safeweave.database import Transaction
from safeweave.events import (
    AgainApproved,
    AgainAsked,
    BillsAnswered,
    BillsPut,
    CaseCleared,
    CaseConfirmed,
    CaseDueAgain,
    CaseDueToUndo,
    CaseMoved,
    CaseOpened,
    CaseReady,
    CaseReferred,
    CaseSettled,
    ClaimChosen,
    ClockDue,
    ConsentEnded,
    ConsentGiven,
    ConsentRenewed,
    ConsentRevoked,
    DeterminationMade,
    DocumentDue,
    Event,
    MessageDelivered,
    MessageTold,
    MessageUndeliverable,
    NothingClaimed,
    PayoutConfirmed,
    PayoutOrdered,
    PayoutRefused,
    PayoutReturned,
    PayoutUnconfirmed,
    PersonsMerged,
    RecoveryOpened,
    SubscriberDue,
    SubscriberTold,
    TicketsAwaited,
    UndoApproved,
    VisitTold,
)
from safeweave.payments import BankDesk
from safeweave.telling import Post
from safeweave.worker import Follows, Outside, Told

# What changes the records of many visits at once: nothing else is followed beside it.
ALONE = frozenset({PersonsMerged})


class Consortium(Protocol):
    """What a member insurer does with its ledger and its consents.

    It holds bills on the ledger before anything is decided about them, and says there what became of them; it decides
    nothing that no consent covers, and anchors what was decided.
    """

    def prepare(self, ready: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...
    def prepare_again(self, awaited: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...
    def load(self, put: Sequence[Any], tx: Transaction) -> Sequence[Any]: ...
    def put(self, asked: Sequence[Any], now: datetime) -> Told: ...
    def note(self, answered: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...
    def settle(self, over: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...
    def renew(self, tx: Transaction, now: datetime) -> Sequence[Event]: ...
    def consents_given(self, given: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...
    def consents_revoked(self, revoked: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...
    def documents_due(self, due: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...
    def go_on(self, renewed: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...
    def let_go(self, chosen: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...
    def answer(self, made: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...
    def look_around(self, tx: Transaction, now: datetime) -> Sequence[Event]: ...


class Subscribers(Protocol):
    """Machines that asked to be told of what happens."""

    def load(self, due: Sequence[Any], tx: Transaction) -> Sequence[Any]: ...
    def call(self, asked: Sequence[Any], now: datetime) -> Told: ...
    def note(self, told: Sequence[Any], tx: Transaction, now: datetime) -> Told: ...


def flow(
    adjudicator: Adjudicator,
    bank: BankDesk,
    post: Post,
    again: DecidingAgain,
    bills: Consortium | None = None,
    subscribers: Subscribers | None = None,
) -> Follows:
    """For each event, what is done about it, in this order; in a consortium, `bills` are held on its ledger first."""
    alone: Follows = {
        PersonsMerged: (cases.link_records,),
        VisitTold: (cases.hear,),
        CaseOpened: (post.tell,),
        CaseMoved: (post.tell,),
        CaseReady: (adjudicator.determine,),
        CaseCleared: (adjudicator.determine,),
        DeterminationMade: (
            bank.order,
            partial(cases.note_determinations, waiting_in=adjudicator.waiting_in),
            post.tell,
        ),
        AgainAsked: (again.look,),
        AgainApproved: (again.begin,),
        CaseDueAgain: (again.decide,),
        UndoApproved: (again.begin_undo,),
        CaseDueToUndo: (again.undo,),
        NothingClaimed: (cases.close_unclaimed,),
        CaseConfirmed: (cases.confirm_cases, payments.settle_confirmed),
        CaseReferred: (cases.refer_case, post.tell),
        RecoveryOpened: (post.tell,),
        PayoutOrdered: (bank.address, Outside("bank", bank.load, bank.send, "bank", bank.banks)),
        PayoutUnconfirmed: (payments.note_unconfirmed, Outside("bank", bank.load, bank.ask, "bank", bank.banks)),
        PayoutConfirmed: (payments.confirm, cases.note_payouts, post.tell),
        PayoutRefused: (payments.refuse, post.tell),
        PayoutReturned: (payments.return_payment, cases.note_returns, post.tell),
        CaseSettled: (cases.close_cases,),
        ClockDue: (post.warn, partial(cases.refer_without_papers, paid_in=adjudicator.paid_in)),
        MessageTold: (post.deliver,),
        MessageDelivered: (post.note_delivered,),
        MessageUndeliverable: (post.note_undeliverable,),
    }
    if subscribers is not None:
        called = Outside("subscriber", subscribers.load, subscribers.call, "subscription", many=True)
        alone = {**alone, SubscriberDue: (called,), SubscriberTold: (subscribers.note,)}
    if bills is None:
        return alone
    return {
        **alone,
        CaseReady: (bills.prepare,),
        TicketsAwaited: (bills.prepare_again,),
        BillsPut: (Outside("ledger", bills.load, bills.put),),
        BillsAnswered: (bills.note,),
        DeterminationMade: (*alone[DeterminationMade], bills.answer, bills.settle),
        NothingClaimed: (*alone[NothingClaimed], bills.settle),
        CaseSettled: (*alone[CaseSettled], bills.settle),
        ConsentGiven: (bills.consents_given,),
        ConsentRevoked: (bills.consents_revoked,),
        ConsentEnded: (cases.note_consents, post.tell),
        ConsentRenewed: (cases.note_consents, bills.go_on),
        ClaimChosen: (cases.end_chosen, bills.let_go, bills.settle, post.tell),
        DocumentDue: (bills.documents_due,),
    }

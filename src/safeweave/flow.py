"""What follows what: the whole system on one page. No stage calls the next one; only this table knows the order."""

from safeweave import cases, payments
from safeweave.adjudication import Adjudicator
from safeweave.events import (
    CaseConfirmed,
    CaseMoved,
    CaseOpened,
    CaseReady,
    CaseReferred,
    CaseSettled,
    ClockDue,
    DeterminationMade,
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
    VisitTold,
)
from safeweave.payments import BankDesk
from safeweave.telling import Post
from safeweave.worker import Follows, Outside

# What changes the records of many visits at once: nothing else is followed beside it.
ALONE = frozenset({PersonsMerged})


def flow(adjudicator: Adjudicator, bank: BankDesk, post: Post) -> Follows:
    """For each event, what is done about it, in this order."""
    return {
        PersonsMerged: (cases.link_records,),
        VisitTold: (cases.hear,),
        CaseOpened: (post.tell,),
        CaseMoved: (post.tell,),
        CaseReady: (adjudicator.determine,),
        DeterminationMade: (bank.order, cases.note_determinations, post.tell),
        NothingClaimed: (cases.close_unclaimed,),
        CaseConfirmed: (cases.confirm_cases,),
        CaseReferred: (cases.refer_case, post.tell),
        RecoveryOpened: (post.tell,),
        PayoutOrdered: (bank.address, Outside("bank", bank.load, bank.send, "bank", bank.banks)),
        PayoutUnconfirmed: (payments.note_unconfirmed, Outside("bank", bank.load, bank.ask, "bank", bank.banks)),
        PayoutConfirmed: (payments.confirm, cases.note_payouts, post.tell),
        PayoutRefused: (payments.refuse, post.tell),
        PayoutReturned: (payments.return_payment, cases.note_returns, post.tell),
        CaseSettled: (cases.close_cases,),
        ClockDue: (post.warn, cases.refer_without_papers),
        MessageTold: (post.deliver,),
        MessageDelivered: (post.note_delivered,),
        MessageUndeliverable: (post.note_undeliverable,),
    }

"""A payout: what a determination moves, and what may happen to it on its way to the payee.

    ordered ──> paid ──> returned       waiting: no account to send to; unconfirmed: sent, and no word whether it left
       │ ^        ^                     refused and returned end a payout; what they could not pay is paid again by a
       v │        │                     new payout with a new key, once a person has seen to the account
    waiting   unconfirmed ──> refused

Its id is its key at the bank: derived from the determination, so one determination can never be paid under two.
"""

from datetime import datetime, timedelta
from typing import Literal

from safeweave.errors import InvariantBroken
from safeweave.events import DeterminationMade
from safeweave.facts import Fact
from safeweave.ids import CaseId, DeterminationId, PayoutId, PersonId, PolicyId, derived
from safeweave.money import Fen
from safeweave.payments.bank import PURPOSE_LENGTH, Instruction
from safeweave.payments.journal import Booking, What, booking_for
from safeweave.words import say

State = Literal["waiting", "ordered", "unconfirmed", "paid", "refused", "returned"]
Happened = Literal["confirmed", "refused", "returned", "unconfirmed"]

OPEN: tuple[State, ...] = ("waiting", "ordered", "unconfirmed")
FAILED: tuple[State, ...] = ("refused", "returned")


class Payout(Fact):
    """One payment from determination to bank. Name, account and code are "" until they are pinned for sending."""

    id: PayoutId
    case: CaseId
    determination: DeterminationId
    policy: PolicyId
    person: PersonId
    role: str
    amount: Fen
    bank: str
    state: State
    ordered_at: datetime
    reason: str = ""  # why it waits or failed: a code of words/payments.toml
    attempt: int = 1
    replaced_by: PayoutId | None = None
    name: str = ""
    account: str = ""
    bank_code: str = ""
    purpose: str = ""
    asked: int = 0
    settled_at: datetime | None = None

    @property
    def instruction(self) -> Instruction:
        """What is sent to the bank, the same every time."""
        return Instruction(self.id, self.amount, self.name, self.account, self.bank_code, self.purpose)


class Recovery(Fact):
    """Money that is to come back, because more was paid than is due."""

    id: str
    case: CaseId
    determination: DeterminationId
    policy: PolicyId
    person: PersonId
    amount: Fen
    opened_at: datetime
    received: Fen = Fen(0)


def amount_to_move(determination: DeterminationMade) -> Fen:
    """What this determination moves: to the payee if above zero, back to us if below. Only "pay" moves anything.

    Raises InvariantBroken if one that supersedes another does not say its difference, or one that does not is negative.
    """
    if determination.decision != "pay":
        return Fen(0)
    if determination.supersedes is not None:
        if determination.adjustment is None:
            raise InvariantBroken(f"determination {determination.determination} supersedes one and has no adjustment")
        return determination.adjustment
    if determination.payable < 0:
        raise InvariantBroken(
            f"determination {determination.determination} pays {determination.payable} fen and supersedes none"
        )
    return determination.payable


def payout_id(determination: DeterminationId, attempt: int = 1) -> PayoutId:
    """The one key of a determination's payment; a further attempt, made once the bank gave one up, has its own."""
    parts = (determination,) if attempt == 1 else (determination, attempt)
    return PayoutId(derived("pay", *parts, of=determination))


def payout_for(determination: DeterminationMade, now: datetime) -> Payout:
    """The payout of a determination that moves money to the payee."""
    return Payout(
        id=payout_id(determination.determination),
        case=determination.case,
        determination=determination.determination,
        policy=determination.policy,
        person=determination.person,
        role=determination.payee,
        amount=amount_to_move(determination),
        bank=determination.bank,
        state="ordered",
        ordered_at=now,
    )


def recovery_for(determination: DeterminationMade, now: datetime) -> Recovery:
    """The recovery of a determination that takes money back."""
    return Recovery(
        id=derived("rec", determination.determination, of=determination.determination),
        case=determination.case,
        determination=determination.determination,
        policy=determination.policy,
        person=determination.person,
        amount=Fen(-amount_to_move(determination)),
        opened_at=now,
    )


def payout_again(failed: Payout, now: datetime) -> Payout:
    """The payout that pays what `failed` could not, under a key of its own."""
    return Payout(
        id=payout_id(failed.determination, failed.attempt + 1),
        case=failed.case,
        determination=failed.determination,
        policy=failed.policy,
        person=failed.person,
        role=failed.role,
        amount=failed.amount,
        bank=failed.bank,
        state="ordered",
        ordered_at=now,
        attempt=failed.attempt + 1,
    )


def purpose_of(payout: Payout) -> str:
    """What the payee reads on the bank statement; no diagnosis and no hospital."""
    return say("payments.purpose", "zh", case=payout.case)[:PURPOSE_LENGTH]


# What happens to a payout: (state, what the bank said) -> the state after, and what is booked. A bank's words may come
# twice or late: those that add nothing move nothing. A pair that is not here contradicts what the bank said before.
MOVES: dict[tuple[State, Happened], tuple[State, tuple[What, ...]]] = {
    ("ordered", "confirmed"): ("paid", ("payout_paid",)),
    ("ordered", "refused"): ("refused", ()),
    ("ordered", "returned"): ("returned", ("payout_paid", "payout_returned")),
    ("ordered", "unconfirmed"): ("unconfirmed", ("payout_unconfirmed",)),
    ("unconfirmed", "confirmed"): ("paid", ("transit_paid",)),
    ("unconfirmed", "refused"): ("refused", ("transit_refused",)),
    ("unconfirmed", "returned"): ("returned", ("transit_paid", "payout_returned")),
    ("unconfirmed", "unconfirmed"): ("unconfirmed", ()),
    ("paid", "confirmed"): ("paid", ()),
    ("paid", "unconfirmed"): ("paid", ()),
    ("paid", "returned"): ("returned", ("payout_returned",)),
    ("returned", "confirmed"): ("returned", ()),
    ("returned", "unconfirmed"): ("returned", ()),
    ("returned", "returned"): ("returned", ()),
    ("refused", "refused"): ("refused", ()),
    ("refused", "unconfirmed"): ("refused", ()),
}


def state_after(payout: Payout, happened: Happened) -> tuple[State, tuple[Booking, ...]]:
    """The state and bookings when this happens to this payout.

    Raises InvariantBroken if the bank contradicts itself (it confirmed what it had refused, or refused what it had
    confirmed) or speaks of a payout that was never sent: the statement shows which is true, and a person settles it.
    """
    move = MOVES.get((payout.state, happened))
    if move is None:
        raise InvariantBroken(f"payout {payout.id} is {payout.state}, and the bank says it was {happened}")
    after, booked = move
    return after, tuple(
        booking_for(what, payout.amount, payout.id, reverses=_taken_back(what, payout, booked)) for what in booked
    )


def _taken_back(what: What, payout: Payout, booked: tuple[What, ...]) -> What | None:
    if what == "transit_refused":
        return "payout_unconfirmed"
    if what == "payout_returned":
        through_transit = "transit_paid" in booked or (payout.state == "paid" and payout.asked > 0)
        return "transit_paid" if through_transit else "payout_paid"
    return None


def delay_before_asking(asked: int) -> timedelta:
    """How long to wait before the next question: 5 s, doubling with each one asked, at most an hour."""
    return timedelta(seconds=min(5 * 2 ** min(asked, 10), 3600))

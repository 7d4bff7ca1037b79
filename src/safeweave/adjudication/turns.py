"""Several policies on one stay: who pays first, and what the next one still finds uncompensated.

Indemnity benefits together never pay more than the cost: what an earlier policy paid for a bill counts as another
insurer's compensation for the next (domain: products §7.1, §7.3). Where no clause orders them, the order that pays the
insured most is taken (保险法 30), ties going to the policy that began first; fixed benefits all pay in full.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import TypeVar

import msgspec

from safeweave.adjudication.determination import Determination
from safeweave.facts import Bill, Claim, OtherPaid
from safeweave.money import Fen

Key = TypeVar("Key")
Decide = Callable[[Key, Claim], Determination]

MOST_POLICIES_TRIED_IN_ALL_ORDERS = 4


def with_compensation(claim: Claim, paid: Mapping[str, int]) -> Claim:
    """The claim as a later policy sees it: earlier payments by bill key are another insurer's."""
    if not any(paid.values()):
        return claim

    def after(bill: Bill) -> Bill:
        amount = paid.get(bill.key, 0)
        if not amount:
            return bill
        compensation = OtherPaid("other_insurer", Fen(amount))
        return msgspec.structs.replace(bill, other_paid=(*bill.other_paid, compensation))

    return msgspec.structs.replace(claim, bills=tuple(after(bill) for bill in claim.bills))


def paid_by_bill(determination: Determination) -> dict[str, int]:
    """What a released determination pays for each bill key, in fen."""
    paid: dict[str, int] = {}
    if determination.decision == "pay":
        for line in determination.lines:
            paid[line.bill] = paid.get(line.bill, 0) + line.paid
    return paid


def in_turn(keys: Sequence[Key], claim: Claim, decide: Decide[Key]) -> list[tuple[Key, Claim, Determination]]:
    """The determinations of all policies in the order that pays most, each with the claim it saw."""
    if len(keys) == 1:
        return [(keys[0], claim, decide(keys[0], claim))]
    orders = permutations(keys) if len(keys) <= MOST_POLICIES_TRIED_IN_ALL_ORDERS else [tuple(keys)]
    best: list[tuple[Key, Claim, Determination]] = []
    best_total = -1
    for order in orders:
        made, paid, total = [], dict[str, int](), 0
        for key in order:
            seen = with_compensation(claim, paid)
            determination = decide(key, seen)
            for bill, amount in paid_by_bill(determination).items():
                paid[bill] = paid.get(bill, 0) + amount
            total += determination.payable
            made.append((key, seen, determination))
        if total > best_total:
            best, best_total = made, total
    return best

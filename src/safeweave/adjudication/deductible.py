"""What the insured bears first (FORMAT.md §5.6.2)."""

from collections.abc import Sequence

from safeweave.adjudication.determination import Cut, left_after
from safeweave.adjudication.tally import Tally, scope_of
from safeweave.coverage.product import Deductible
from safeweave.money import share


def deductible_left(amount: int, used: int) -> int:
    """What is left of a deductible in fen; never below 0."""
    return max(0, amount - used)


def left_after_deductible(
    deductible: Deductible,
    amounts: Sequence[int],
    offsetting: int,
    year: str,
    tally: Tally,
    cuts: Sequence[list[Cut]],
) -> Sequence[int]:
    """The amounts after the deductible took its part, shared over them.

    Compensation that offsets uses the deductible up without taking anything from the insured.
    """
    scope = scope_of(deductible.basis, year)
    left = deductible_left(deductible.amount, tally.used("deductible", scope, deductible.id))
    offset = min(left, offsetting)
    taken = min(left - offset, sum(amounts))
    tally.add("deductible", scope, deductible.id, offset + taken)
    if taken == 0:
        return amounts
    return left_after(amounts, share(taken, amounts), cuts, "deductible", deductible.clause)

"""What the insured bears first (FORMAT.md §5.6.2)."""

from safeweave.adjudication.occurrence import PolicyYear
from safeweave.adjudication.tally import Tally
from safeweave.adjudication.worksheet import Worksheet
from safeweave.coverage.product import Deductible
from safeweave.money import share


def deductible_left(amount: int, used: int) -> int:
    """What is left of a deductible in fen; never below 0."""
    return max(0, amount - used)


def take_deductible(sheet: Worksheet, deductible: Deductible, offsetting: int, year: PolicyYear, tally: Tally) -> None:
    """Takes what is left of the deductible, shared over the lines.

    Compensation that offsets uses the deductible up without taking anything from the insured.
    """
    scope = year.scopes[deductible.basis]
    left = deductible_left(deductible.amount, tally.used("deductible", scope, deductible.id))
    offset = min(left, offsetting)
    borne = min(left - offset, sum(sheet.left))
    tally.add("deductible", scope, deductible.id, offset + borne)
    if borne:
        sheet.take("deductible", deductible.clause, share(borne, sheet.left))

"""What others have paid already of the eligible amounts: 医保, other payers, earlier benefits (FORMAT.md §5.6.1)."""

from collections.abc import Sequence
from operator import add, sub

from safeweave.adjudication.bills import Charges
from safeweave.adjudication.determination import Cut, left_after
from safeweave.coverage.product import BenefitTerms


def left_after_compensation(
    charges: Charges,
    eligible: Sequence[int],
    earlier: Sequence[int],
    terms: BenefitTerms,
    cuts: Sequence[list[Cut]],
) -> tuple[Sequence[int], int]:
    """What is left of the eligible amounts, and what of the compensation may offset the deductible.

    All other payers make one `other_paid` cut of a line. `earlier` is what earlier benefits of the claim paid of each
    line. The clause is that of the ratio: it says what the policy shares in.
    """
    clause = terms.ratio.clause if terms.ratio is not None else ""
    offset_by = terms.deductible.offset_by if terms.deductible is not None else frozenset[str]()
    left, offsetting = eligible, 0
    if any(charges.social):
        social = _at_most(left, charges.social)
        left = left_after(left, social, cuts, "social_paid", clause)
        if "social" in offset_by:
            offsetting += sum(social)
    if charges.others:
        others = [0] * len(left)
        for source, paid in charges.others.items():
            parts = _at_most(list(map(sub, left, others)), paid)
            others = list(map(add, others, parts))
            if source in offset_by:
                offsetting += sum(parts)
        left = left_after(left, others, cuts, "other_paid", clause)
    if any(earlier):
        parts = _at_most(left, earlier)
        left = left_after(left, parts, cuts, "earlier_benefit", clause)
        if "earlier_benefit" in offset_by:
            offsetting += sum(parts)
    return left, offsetting


def _at_most(left: Sequence[int], paid: Sequence[int]) -> list[int]:
    """What was paid of each line, but no more than is left of it."""
    return [part if part < rest else rest for part, rest in zip(paid, left, strict=True)]

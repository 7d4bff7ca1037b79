"""What can be worked out of a benefit's terms before any claim is known: once for each product version and day.

Everything here follows from the terms; it only says in one look what the rules would find out step by step.
"""

from datetime import date
from functools import lru_cache

import msgspec

from safeweave.coverage.product import BenefitTerms, Product


class Plan(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The terms of one benefit, with what a claim can be checked against in one look."""

    terms: BenefitTerms
    excluded: tuple[str, ...]  # all illnesses that some exclusion names
    waiting_days: int  # from this day of unbroken cover on (0 is the first) no waiting period and no doubt about it
    clause: str  # of the ratio: it says what the policy shares in


Plans = dict[str, Plan]  # by benefit id


@lru_cache(maxsize=16_384)  # policy years begin on a few hundred days
def plans_on(product: Product, first_day: date) -> Plans:
    """The plans of all benefits for a policy year that begins on this day."""
    return {benefit: _plan_of(terms) for benefit, terms in product.terms_on(first_day).items()}


def _plan_of(terms: BenefitTerms) -> Plan:
    waiting = terms.waiting
    longest = max([waiting.general_days, *(special.days for special in waiting.special)]) if waiting else 0
    return Plan(
        terms,
        tuple(icd for exclusion in terms.illnesses for icd in exclusion.icd),
        longest + waiting.doubt_days if waiting else 0,
        terms.ratio.clause if terms.ratio is not None else "",
    )

"""What others have paid already of the eligible amounts: 医保, other payers, earlier benefits (FORMAT.md §5.6.1)."""

from collections.abc import Sequence

from safeweave.adjudication.bills import Charges
from safeweave.adjudication.determination import Cut, cut_of
from safeweave.coverage.product import BenefitTerms


def left_after_compensation(
    charges: Charges,
    places: Sequence[int],
    eligible: Sequence[int],
    earlier: Sequence[int],
    terms: BenefitTerms,
    cuts: Sequence[list[Cut]],
) -> tuple[list[int], int]:
    """What is left of the eligible amounts, and what of the compensation may offset the deductible.

    All other payers make one `other_paid` cut of a line. `earlier` is what earlier benefits of the claim paid, by
    place. The clause is that of the ratio: it says what the policy shares in.
    """
    clause = terms.ratio.clause if terms.ratio is not None else ""
    offset_by = terms.deductible.offset_by if terms.deductible is not None else frozenset[str]()
    sources = [(parts, source in offset_by) for source, parts in charges.others.items()]
    social_offsets, earlier_offsets = "social" in offset_by, "earlier_benefit" in offset_by
    offsetting = 0
    left = []
    social_paid = charges.social
    for index, place in enumerate(places):
        rest = eligible[index]
        if rest:
            social = social_paid[place]
            if social:
                social = min(social, rest)
                rest -= social
                cuts[place].append(cut_of("social_paid", social, clause))
                if social_offsets:
                    offsetting += social
            if sources:
                others = 0
                for parts, offsets in sources:
                    part = min(parts[place], rest - others)
                    others += part
                    if offsets:
                        offsetting += part
                if others:
                    rest -= others
                    cuts[place].append(cut_of("other_paid", others, clause))
            paid_earlier = earlier[place]
            if paid_earlier and rest:
                paid_earlier = min(paid_earlier, rest)
                rest -= paid_earlier
                cuts[place].append(cut_of("earlier_benefit", paid_earlier, clause))
                if earlier_offsets:
                    offsetting += paid_earlier
        left.append(rest)
    return left, offsetting

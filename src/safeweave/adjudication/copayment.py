"""The share that is paid, rounded once for a benefit and policy year (FORMAT.md §5.6.3)."""

from collections.abc import Collection, Sequence
from operator import sub

from safeweave.adjudication.bills import Charges
from safeweave.adjudication.determination import Cut, cut_lines
from safeweave.adjudication.hospital import is_in_network
from safeweave.adjudication.occurrence import Occurrence
from safeweave.coverage.product import BenefitTerms, Ratio, Situation
from safeweave.money import WHOLE, Rate, half_up


def paid_shares(
    charges: Charges,
    places: Sequence[int],
    amounts: list[int],
    occurrence: Occurrence,
    terms: BenefitTerms,
    lifted: Collection[str],
    cuts: Sequence[list[Cut]],
) -> list[int]:
    """The part of each amount that the ratio pays; the rest becomes a copayment cut. Without a ratio, all of it."""
    ratio = terms.ratio
    if ratio is None:
        return amounts
    rates, bill_of, classes = _rates(charges, occurrence, terms, ratio, lifted), charges.bill_of, charges.classes
    paid = rounded_together(
        [amounts[index] * rates[bill_of[place]][classes[place]] for index, place in enumerate(places)]
    )
    if paid != amounts:
        cut_lines(cuts, places, list(map(sub, amounts, paid)), "copayment", ratio.clause)
    return paid


def rounded_together(exact: Sequence[int]) -> list[int]:
    """Amounts in ten-thousandths of a fen as whole fen that add up to their sum rounded half-up.

    The fen that the floors lack go to the largest fractional parts, ties to the earlier.
    """
    paid, fractions = [], []
    for amount in exact:
        whole, fraction = divmod(amount, WHOLE)
        paid.append(whole)
        fractions.append(fraction)
    missing = half_up(sum(exact), WHOLE) - sum(paid)
    if missing:
        for place in sorted(range(len(exact)), key=fractions.__getitem__, reverse=True)[:missing]:
            paid[place] += 1
    return paid


def _rates(
    charges: Charges, occurrence: Occurrence, terms: BenefitTerms, ratio: Ratio, lifted: Collection[str]
) -> list[dict[str, Rate]]:
    """For each bill the rates of the catalogue classes, by how 医保 took part in it and by its hospital."""
    claim, enrolled = occurrence.claim, occurrence.cover.enrolled
    rates: list[dict[str, Rate]] = []
    for index, bill in enumerate(charges.bills):
        situation: Situation = "enrolled_not_used" if enrolled else "not_enrolled"
        if bill.social == "settled" and (charges.settled[index] > 0 or ratio.zero_settlement == "settled"):
            situation = "settled"
        hospital = bill.hospital or claim.hospital
        rates.append(ratio.rates(situation, is_in_network(terms.hospital, claim, hospital, lifted)))
    return rates

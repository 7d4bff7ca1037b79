"""The share that is paid, rounded once for a benefit and policy year (FORMAT.md §5.6.3)."""

from collections.abc import Collection, Sequence
from operator import sub

from safeweave.adjudication.bills import Charges
from safeweave.adjudication.determination import Cut, cut_lines
from safeweave.adjudication.hospital import is_in_network
from safeweave.adjudication.occurrence import Occurrence
from safeweave.coverage.product import BenefitTerms, Ratio, Situation
from safeweave.money import WHOLE, Rate, completed, half_up


def paid_shares(
    charges: Charges,
    amounts: Sequence[int],
    occurrence: Occurrence,
    terms: BenefitTerms,
    lifted: Collection[str],
    cuts: Sequence[list[Cut]],
) -> Sequence[int]:
    """The part of each amount that the ratio pays; the rest becomes a copayment cut. Without a ratio, all of it."""
    ratio = terms.ratio
    if ratio is None:
        return amounts
    rates = _rates(charges, occurrence, terms, ratio, lifted)
    paid = rounded_together(
        [
            amount * rates[bill_of][line.catalogue_class]
            for amount, bill_of, line in zip(amounts, charges.bill_of, charges.lines, strict=True)
        ]
    )
    cut_lines(cuts, list(map(sub, amounts, paid)), "copayment", ratio.clause)
    return paid


def rounded_together(exact: Sequence[int]) -> list[int]:
    """Amounts in ten-thousandths of a fen as whole fen that add up to their sum rounded half-up.

    The fen that the floors lack go to the largest fractional parts, ties to the earlier.
    """
    return completed(exact, WHOLE, half_up(sum(exact), WHOLE))


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

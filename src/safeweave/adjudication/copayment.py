"""The share that is paid, rounded once for a benefit and policy year (FORMAT.md §5.6.3)."""

from collections.abc import Collection, Sequence
from operator import sub

from safeweave.adjudication.hospital import is_in_network
from safeweave.adjudication.occurrence import Occurrence
from safeweave.adjudication.worksheet import Worksheet
from safeweave.coverage.product import BenefitTerms, Ratio, Situation
from safeweave.facts import Bill
from safeweave.money import WHOLE, Rate, completed, half_up


def take_copayment(
    sheet: Worksheet, ratio: Ratio, occurrence: Occurrence, terms: BenefitTerms, lifted: Collection[str]
) -> None:
    """Leaves the part of each line that the ratio pays; the rest is taken as copayment."""
    charges, left = sheet.charges, sheet.left
    rates: list[dict[str, Rate]] = []
    for bill, settled in zip(charges.bills, charges.settled, strict=True):
        rates.append(_rates_of(bill, settled, occurrence, terms, ratio, lifted))
    exact: list[int] = []
    for amount, bill_of, line in zip(left, charges.bill_of, charges.lines, strict=True):
        exact.append(amount * rates[bill_of][line.catalogue_class])
    paid = rounded_together(exact)
    sheet.take("copayment", ratio.clause, list(map(sub, left, paid)))


def rounded_together(exact: Sequence[int]) -> list[int]:
    """Amounts in ten-thousandths of a fen as whole fen that add up to their sum rounded half-up.

    The fen that the floors lack go to the largest fractional parts, ties to the earlier.
    """
    return completed(exact, WHOLE, half_up(sum(exact), WHOLE))


def _rates_of(
    bill: Bill, settled: int, occurrence: Occurrence, terms: BenefitTerms, ratio: Ratio, lifted: Collection[str]
) -> dict[str, Rate]:
    """The rates of the catalogue classes for a bill, by how 医保 took part in it and by its hospital."""
    situation: Situation = "enrolled_not_used" if occurrence.cover.enrolled else "not_enrolled"
    if bill.social == "settled" and (settled > 0 or ratio.zero_settlement == "settled"):
        situation = "settled"
    claim, rule = occurrence.claim, terms.hospital
    if rule is None or rule.network is None:
        return ratio.rates(situation, True)
    return ratio.rates(situation, is_in_network(rule, claim, bill.hospital or claim.hospital, lifted))

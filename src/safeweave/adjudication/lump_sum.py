"""A fixed sum for a listed illness or for death (FORMAT.md §6, Lump sum)."""

from typing import NamedTuple

from safeweave.adjudication.determination import Cut
from safeweave.adjudication.limits import left_of_fixed
from safeweave.adjudication.occurrence import Occurrence, PolicyYear
from safeweave.adjudication.tally import Tally
from safeweave.adjudication.whole_benefit import Bar
from safeweave.coverage.product import Benefit, Grade, LumpSum
from safeweave.coverage.usage import LIFETIME
from safeweave.money import WHOLE, Fen, half_up


class LumpSumPaid(NamedTuple):
    """What a lump sum pays, for which grade ("" if none), what it cut, and what a person must confirm first."""

    amount: int
    grade: str
    cuts: list[Cut]
    holds: list[str]


def grade_of(occurrence: Occurrence, benefit: Benefit, year: PolicyYear | None) -> Grade | None:
    """The row that the illness matches, or None."""
    lump_sum = year.terms[benefit.id].lump_sum if year is not None else None
    return lump_sum.grade_of(occurrence.diagnosis, occurrence.claim.severity) if lump_sum is not None else None


def lump_sum_bar(
    occurrence: Occurrence, benefit: Benefit, year: PolicyYear, grade: Grade | None, tally: Tally
) -> Bar | None:
    """Why nothing is paid: the illness is not listed, was not survived, or was paid often enough."""
    lump_sum = year.terms[benefit.id].lump_sum
    if lump_sum is None or grade is None:
        return Bar("not_listed_condition", lump_sum.clause if lump_sum is not None else "")
    claim = occurrence.claim
    if (
        claim.kind == "diagnosis"
        and claim.died_on is not None
        and (claim.died_on.toordinal() - occurrence.day < lump_sum.survival_days)
    ):
        return Bar("survival_period", lump_sum.clause)
    if tally.used("count", LIFETIME, f"{benefit.id}/{grade.grade}") >= grade.times:
        return Bar("count_limit", lump_sum.clause)
    return None


def barred_lump_sum(benefit: Benefit, year: PolicyYear | None, grade: Grade | None, bar: Bar) -> LumpSumPaid:
    """The whole sum cut for one reason; 0 where no row says how much it is."""
    lump_sum = year.terms[benefit.id].lump_sum if year is not None else None
    amount = sum_of(lump_sum, grade) if lump_sum is not None and grade is not None else Fen(0)
    return LumpSumPaid(0, grade.grade if grade is not None else "", [Cut(bar.reason, amount, bar.clause)], [])


def lump_sum_paid(
    occurrence: Occurrence, benefit: Benefit, year: PolicyYear, grade: Grade, tally: Tally
) -> LumpSumPaid:
    """What the sum of a grade pays within the limits."""
    terms = year.terms[benefit.id]
    cuts: list[Cut] = []
    amount = sum_of(terms.lump_sum, grade) if terms.lump_sum is not None else Fen(0)
    paid = left_of_fixed(terms.limits, amount, year, tally, cuts)
    tally.add("count", LIFETIME, f"{benefit.id}/{grade.grade}", 1)
    return LumpSumPaid(paid, grade.grade, cuts, _holds(occurrence, terms.lump_sum))


def sum_of(lump_sum: LumpSum, grade: Grade) -> Fen:
    """A grade's share of the sum, rounded half-up."""
    return half_up(lump_sum.amount * grade.rate, WHOLE)


def _holds(occurrence: Occurrence, lump_sum: LumpSum | None) -> list[str]:
    claim = occurrence.claim
    holds = [] if claim.confirmed else ["definition_unconfirmed"]
    if (
        lump_sum is not None
        and claim.kind == "diagnosis"
        and claim.died_on is None
        and claim.claimed_on.toordinal() - occurrence.day < lump_sum.survival_days
    ):
        holds.append("survival_period_open")
    return holds

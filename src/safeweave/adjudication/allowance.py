"""A fixed amount for each day in hospital (FORMAT.md §6, Allowance). Everything counts in the admission's year."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from safeweave.adjudication.determination import Cut, StayDays
from safeweave.adjudication.history import History, Settled
from safeweave.adjudication.hospital import is_covered
from safeweave.adjudication.limits import left_of_fixed
from safeweave.adjudication.occurrence import Occurrence, PolicyYear
from safeweave.adjudication.policy_year import place_of_day
from safeweave.adjudication.reasons import CutReason
from safeweave.adjudication.tally import Tally
from safeweave.adjudication.whole_benefit import Bar
from safeweave.coverage.product import Allowance, Benefit, BenefitTerms
from safeweave.money import Fen


class AllowancePaid(NamedTuple):
    """What an allowance pays, for how many days, and what it cut; `stay` is None if it was cut as a whole."""

    amount: int
    days: int
    cuts: list[Cut]
    stay: StayDays | None


def hospital_bar(occurrence: Occurrence, terms: BenefitTerms, lifted: Collection[str]) -> Bar | None:
    """Why an allowance is not paid at all: the stay was in a hospital that is not covered."""
    claim = occurrence.claim
    if terms.hospital is None or is_covered(terms.hospital, claim, claim.hospital, lifted):
        return None
    return Bar("hospital_not_covered", terms.hospital.clause)


def barred_allowance(occurrence: Occurrence, benefit: Benefit, year: PolicyYear | None, bar: Bar) -> AllowancePaid:
    """All days cut for one reason; they cost nothing where no terms say what a day is worth."""
    allowance = year.terms[benefit.id].allowance if year is not None else None
    daily = allowance.daily if allowance is not None else 0
    return AllowancePaid(0, 0, [Cut(bar.reason, Fen(daily * occurrence.stay_days), bar.clause)], None)


def allowance_paid(
    occurrence: Occurrence, benefit: Benefit, year: PolicyYear, history: History, tally: Tally
) -> AllowancePaid:
    """What the days of a stay pay, and the cuts in days that lead there."""
    terms = year.terms[benefit.id]
    allowance = terms.allowance
    if allowance is None:
        return AllowancePaid(0, 0, [], StayDays(benefit.id, 0, 0))
    claim = occurrence.claim
    stays = [(settled, stay) for settled in history.in_force.values() if (stay := settled.stay_under(benefit.id))]
    before = _merged_with(occurrence, allowance, stays) or StayDays(benefit.id, 0, 0)
    covered = _covered_days(occurrence, terms, year)
    unpaid = _unpaid_days(covered, stays)
    cuts: list[Cut] = []
    days = occurrence.stay_days

    def cut_to(remaining: int, reason: CutReason, clause: str) -> None:
        nonlocal days
        remaining = max(0, min(days, remaining))
        if (days - remaining) * allowance.daily:
            cuts.append(Cut(reason, Fen((days - remaining) * allowance.daily), clause))
        days = remaining

    cut_to(len(covered), "after_cover", terms.window.clause)
    cut_to(len(unpaid), "day_already_paid", allowance.clause)
    cut_to(days - claim.leave_days, "leave_days", allowance.clause)
    present = days
    cut_to(days - max(0, allowance.skip_days - before.skipped), "skip_days", allowance.clause)
    skipped = present - days
    if allowance.max_days_stay is not None:
        cut_to(allowance.max_days_stay - before.paid, "stay_day_limit", allowance.clause)
    if allowance.max_days_year is not None:
        used = tally.used("days", year.scope, benefit.id)
        cut_to(allowance.max_days_year - used, "year_day_limit", allowance.clause)

    tally.add("days", year.scope, benefit.id, days)
    amount = allowance.daily * (days + (allowance.icu_times - 1) * min(claim.icu_days, days))
    amount = left_of_fixed(terms.limits, amount, year, tally, cuts)
    return AllowancePaid(amount, days, cuts, StayDays(benefit.id, before.skipped + skipped, before.paid + days))


def _covered_days(occurrence: Occurrence, terms: BenefitTerms, year: PolicyYear) -> Sequence[int]:
    """The days of the stay that some policy year or the tail covers."""
    days = range(occurrence.admission, occurrence.admission + occurrence.stay_days)
    if days[-1] <= year.last_day:
        return days
    return [day for day in days if place_of_day(occurrence, terms.window, year, day) != "after_cover"]


def _unpaid_days(days: Sequence[int], stays: Iterable[tuple[Settled, StayDays]]) -> Sequence[int]:
    """The days that belong to no stay paid already."""
    for settled, _ in stays:
        if settled.admitted_on is not None and settled.discharged_on is not None and days:
            first_day = settled.admitted_on.toordinal()
            end = max(first_day + 1, settled.discharged_on.toordinal())
            if first_day <= days[-1] and end > days[0]:
                days = [day for day in days if not first_day <= day < end]
    return days


def _merged_with(
    occurrence: Occurrence, allowance: Allowance, stays: Iterable[tuple[Settled, StayDays]]
) -> StayDays | None:
    """The earlier stay that is one with this one: of several the last discharged, of those the first decided."""
    if allowance.merge_days is None:
        return None
    found: StayDays | None = None
    last_discharge = 0
    for settled, stay in stays:
        if settled.admitted_on is None or settled.discharged_on is None:
            continue
        discharge = settled.discharged_on.toordinal()
        if (
            settled.illness == occurrence.diagnosis[:3]
            and settled.admitted_on.toordinal() <= occurrence.admission
            and occurrence.admission - discharge <= allowance.merge_days
            and discharge > last_discharge
        ):
            found, last_discharge = stay, discharge
    return found

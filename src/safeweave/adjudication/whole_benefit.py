"""Reasons that leave a whole benefit unpaid: cover, roster, waiting period, excluded illness (FORMAT.md §5.3)."""

from collections.abc import Collection
from typing import NamedTuple

from safeweave.adjudication.occurrence import Occurrence, PolicyYear
from safeweave.adjudication.reasons import CutReason
from safeweave.coverage.product import Benefit, BenefitTerms, Exclusion, Waiting
from safeweave.facts import Cover


class Bar(NamedTuple):
    """Why a whole benefit is not paid, and the clause of the block that caused it ("" if none did)."""

    reason: CutReason
    clause: str


OUTSIDE: frozenset[str] = frozenset({"outside_cover", "not_on_roster"})


def bar_of(
    occurrence: Occurrence, benefit: Benefit, year: PolicyYear | None, day: int, lifted: Collection[str]
) -> Bar | None:
    """The first reason that leaves the whole benefit unpaid, or None. `year` is the one that holds the event's day."""
    if year is None:
        return Bar("outside_cover", "")
    plan, claim, cover = year.plans[benefit.id], occurrence.claim, occurrence.cover
    cover_days, waiting = plan.terms.window.cover_days, plan.terms.waiting
    if cover_days is not None and day >= year.first_day + cover_days:
        return Bar("outside_cover", plan.terms.window.clause)
    if (cover.roster_first_day or cover.roster_last_day) and not is_on_roster(cover, day):
        return Bar("not_on_roster", "")
    if waiting is not None and not claim.accident and "waiting_days" not in lifted:
        days_since = (occurrence.found_day or day) - year.since
        if 0 <= days_since < plan.waiting_days and days_since < waiting.days_for(occurrence.diagnosis):
            return Bar("waiting_period", waiting.clause)
    if occurrence.diagnosis.startswith(plan.excluded):
        exclusion = exclusion_of(occurrence, plan.terms)
        if exclusion is not None:
            return Bar("excluded_diagnosis", exclusion.clause)
    return None


def is_on_roster(cover: Cover, day: int) -> bool:
    """Whether the insured was on the roster on a day; a roster day that is not given bounds nothing."""
    first_day, last_day = cover.roster_first_day, cover.roster_last_day
    return (first_day is None or day >= first_day.toordinal()) and (last_day is None or day <= last_day.toordinal())


def applies(exclusion: Exclusion, accident: bool) -> bool:
    """Whether an exclusion has force: some do not hold after an accident."""
    return not (accident and exclusion.unless_accident)


def exclusion_of(occurrence: Occurrence, terms: BenefitTerms) -> Exclusion | None:
    """The first exclusion, by id, that names the main diagnosis."""
    for exclusion in terms.illnesses:
        if occurrence.diagnosis.startswith(exclusion.icd) and applies(exclusion, occurrence.claim.accident):
            return exclusion
    return None


def is_soon_after_waiting(waiting: Waiting, diagnosis: str, days_since: int) -> bool:
    """Whether an illness shows so soon after its waiting period (`days_since` 0 on day 1) that it may be older."""
    last_day = waiting.days_for(diagnosis)
    return last_day <= days_since < last_day + waiting.doubt_days

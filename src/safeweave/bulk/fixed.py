"""`allowance.py` and `lump_sum.py` for a batch of claims: fixed amounts (FORMAT.md §6).

An allowance whose days meet those of an earlier stay never comes here: the plain engine merges stays.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from safeweave.adjudication.reasons import CutReason
from safeweave.bulk.amounts import Bools, Ints, half_up
from safeweave.bulk.batch import Batch
from safeweave.bulk.facts import Codes
from safeweave.bulk.hospital import stays_are_covered
from safeweave.bulk.occurrences import REFER_BIT
from safeweave.bulk.sheets import BenefitSheet
from safeweave.bulk.tally import LIFETIME, YEAR, Tally
from safeweave.coverage.product import Benefit, BenefitTerms, Limit, Window
from safeweave.money import WHOLE

if TYPE_CHECKING:
    from safeweave.bulk.settlement import BarHere

Stays = tuple[Ints, Ints, Ints]  # claims of the batch, days skipped, days paid


def allowance_sheet(
    batch: Batch,
    benefit: Benefit,
    terms: BenefitTerms | None,
    bars: Sequence["BarHere"],
    lifted: Collection[str],
    tally: Tally,
) -> tuple[BenefitSheet, Stays]:
    """What the days of each stay pay, with the cuts in days, and the days of the stays not cut as a whole."""
    allowance = terms.allowance if terms is not None else None
    daily = allowance.daily if allowance is not None else 0
    places = batch.place
    sheet = BenefitSheet(benefit, batch.everyone, places, np.zeros(batch.count, np.int64))
    sheet.days = np.zeros(batch.count, np.int64)
    open_ = np.ones(batch.count, np.bool_)

    def bar(reason: CutReason, clause: str, found: Bools) -> None:
        nonlocal open_
        found = found & open_
        sheet.cut(reason, clause, daily * batch.stay_days, found)
        open_ = open_ & ~found

    for one in bars:
        bar(one.reason, one.clause, one.claims)
    if terms is not None and terms.hospital is not None:
        bar("hospital_not_covered", terms.hospital.clause, ~stays_are_covered(terms.hospital, batch, lifted))
    (claims,) = np.nonzero(open_)
    if terms is None or allowance is None or not len(claims):
        return sheet, (claims, np.zeros(len(claims), np.int64), np.zeros(len(claims), np.int64))

    days = np.where(open_, batch.stay_days, 0)

    def cut_to(remaining: Ints, reason: CutReason, clause: str) -> None:
        nonlocal days
        remaining = np.maximum(0, np.minimum(days, remaining))
        parts = (days - remaining) * daily
        sheet.cut(reason, clause, parts, parts != 0)
        days = remaining

    facts = batch.facts
    cut_to(_covered_days(batch, terms.window), "after_cover", terms.window.clause)
    cut_to(days - facts.leave_days[batch.who], "leave_days", allowance.clause)
    present = days
    cut_to(days - allowance.skip_days, "skip_days", allowance.clause)
    skipped = present - days
    if allowance.max_days_stay is not None:
        cut_to(np.full(batch.count, allowance.max_days_stay), "stay_day_limit", allowance.clause)
    key = ("days", benefit.id)
    if allowance.max_days_year is not None:
        used = tally.used(YEAR, key, batch.everyone, places)
        cut_to(allowance.max_days_year - used + np.zeros(batch.count, np.int64), "year_day_limit", allowance.clause)
    tally.add(YEAR, key, batch.everyone, places, days)
    amounts = daily * (days + (allowance.icu_times - 1) * np.minimum(facts.icu_days[batch.who], days))
    sheet.days = days
    sheet.payable = _left_of_fixed(terms.limits, amounts, open_, places, tally, sheet)
    return sheet, (claims, skipped[claims], days[claims])


def _covered_days(batch: Batch, window: Window) -> Ints:
    """How many days of each stay some policy year or the tail covers."""
    first_day, last_day, _ = batch.years(batch.place)
    covered = batch.stay_days.copy()
    (long,) = np.nonzero(batch.admission + batch.stay_days - 1 > last_day)
    if not len(long):
        return covered
    counts = batch.stay_days[long]
    claims = np.repeat(long, counts)
    day = (batch.admission[claims] + np.arange(len(claims)) - np.repeat(np.cumsum(counts) - counts, counts)).astype(
        np.int32
    )
    periods = batch.facts.periods
    holding = periods.holding(day, batch.covers[claims])
    is_renewal = (holding >= 0) & (periods.since[batch.covers[claims], holding] <= first_day[claims])
    lost = (day > last_day[claims] + np.int64(window.tail_days)) & ~is_renewal
    np.subtract.at(covered, claims[lost], 1)
    return covered


def lump_sum_sheet(
    batch: Batch, benefit: Benefit, terms: BenefitTerms | None, bars: Sequence["BarHere"], tally: Tally
) -> tuple[BenefitSheet, Ints]:
    """What the sum of each claim's grade pays, and the doubts about it as bits."""
    lump_sum = terms.lump_sum if terms is not None else None
    rows = lump_sum.rows if lump_sum is not None else ()
    places, facts = batch.place, batch.facts
    row = np.full(batch.count, -1, np.int32)
    for number in reversed(range(len(rows))):
        matches = batch.has_illness(rows[number].icd)
        severity = rows[number].severity
        if severity is not None:
            matches = matches & batch.lookups.among(facts.severity, frozenset({severity}))[facts.severity.at[batch.who]]
        row[matches] = number
    clause = lump_sum.clause if lump_sum is not None else ""
    whole = lump_sum.amount if lump_sum is not None else 0
    rates, times = (np.array([*values, 0], np.int64) for values in ([r.rate for r in rows], [r.times for r in rows]))
    amounts = half_up(whole * rates, WHOLE)[row]

    grades = list(dict.fromkeys(r.grade for r in rows))
    grade = np.array([*(grades.index(r.grade) for r in rows), -1], np.int32)[row]
    sheet = BenefitSheet(benefit, batch.everyone, places, np.zeros(batch.count, np.int64), grades=grades, grade=grade)
    open_ = np.ones(batch.count, np.bool_)

    def bar(reason: CutReason, clause: str, found: Bools) -> None:
        nonlocal open_
        found = found & open_
        sheet.cut(reason, clause, amounts, found)
        open_ = open_ & ~found

    for one in bars:
        bar(one.reason, one.clause, one.claims)
    bar("not_listed_condition", clause, row < 0)
    died_on = facts.died_on[batch.who]
    survival_days = lump_sum.survival_days if lump_sum is not None else 0
    diagnosed = batch.shape.kind == "diagnosis"
    if diagnosed:
        bar("survival_period", clause, (died_on > 0) & (died_on - batch.day < survival_days))
    used: Ints = np.zeros(batch.count, np.int64)
    for number, name in enumerate(grades):
        counted = tally.used(LIFETIME, ("count", f"{benefit.id}/{name}"), batch.everyone, places)
        used = np.where(grade == number, counted, used)
    bar("count_limit", clause, used >= times[row])
    doubts = np.zeros(batch.count, np.int64)
    if terms is not None and open_.any():
        paid = np.where(open_, amounts, 0)
        sheet.payable = _left_of_fixed(terms.limits, paid, open_, places, tally, sheet)
        for number, name in enumerate(grades):
            key = ("count", f"{benefit.id}/{name}")
            tally.add(LIFETIME, key, batch.everyone, places, (open_ & (grade == number)).astype(np.int64))
        confirmed = facts.confirmed[batch.who]
        doubts |= (open_ & ~confirmed) * np.int64(REFER_BIT["definition_unconfirmed"])
        if diagnosed:
            early = (died_on == 0) & (batch.claimed_on - batch.day < survival_days)
            doubts |= (open_ & early) * np.int64(REFER_BIT["survival_period_open"])
    return sheet, doubts


def _left_of_fixed(
    limits: Sequence[Limit], amounts: Ints, open_: Bools, places: Codes, tally: Tally, sheet: BenefitSheet
) -> Ints:
    """The amounts within the limits; limits with categories pass fixed amounts by."""
    general = [limit for limit in limits if not limit.categories]
    for limit in general:
        used = tally.used(limit.basis, ("limit", limit.id), sheet.claims, places)
        parts = np.where(open_, np.maximum(amounts - np.maximum(0, limit.amount - used), 0), 0)
        sheet.cut(limit.reason, limit.clause, parts, parts != 0)
        amounts = amounts - parts
    for limit in general:
        tally.add(limit.basis, ("limit", limit.id), sheet.claims, places, amounts)
    return amounts

"""Which policy year a bill line belongs to, and which days no year covers (FORMAT.md §5.4)."""

from datetime import date

from safeweave.adjudication.bills import Charges
from safeweave.adjudication.occurrence import Occurrence, PolicyYear
from safeweave.adjudication.reasons import CutReason
from safeweave.coverage.product import Benefit, Window
from safeweave.facts import Bill

Place = PolicyYear | CutReason


def line_day(occurrence: Occurrence, bill: Bill, on: date | None) -> int:
    """The day a line counts for: its own, else the admission (inpatient bill) or the bill's."""
    if on is not None:
        return on.toordinal()
    return occurrence.admission if bill.kind == "inpatient" else bill.on.toordinal()


def all_lie_in(year: PolicyYear, charges: Charges, benefit: Benefit) -> bool:
    """Whether it is plain, without looking at each day, that all lines belong to `year`, as nearly all do."""
    first_day, last_day = charges.span
    return (
        year.first_day <= first_day
        and last_day <= year.last_day
        and not charges.is_mixed
        and benefit.kind != "accident"
    )


def lines_by_year(
    charges: Charges, occurrence: Occurrence, benefit: Benefit, year: PolicyYear
) -> tuple[dict[PolicyYear, list[int]], dict[CutReason, list[int]]]:
    """The places of the lines of each policy year, and by reason those that none covers.

    The latter stand under `year`, the event's, and a refund stands where its original stands.
    """
    known: dict[tuple[int, date | None], Place] = {}
    by_year: dict[PolicyYear, list[int]] = {}
    uncovered: dict[CutReason, list[int]] = {}
    for place, bill_of in enumerate(charges.bill_of):
        on = charges.lines[charges.originals.get(place, place)].on
        found = known.get((bill_of, on))
        if found is None:
            found = known[bill_of, on] = _place_of(charges.bills[bill_of], on, occurrence, benefit, year)
        if isinstance(found, str):
            uncovered.setdefault(found, []).append(place)
            found = year
        by_year.setdefault(found, []).append(place)
    return by_year, uncovered


def _place_of(bill: Bill, on: date | None, occurrence: Occurrence, benefit: Benefit, year: PolicyYear) -> Place:
    """The policy year of the lines of one day of a bill, or the reason why none covers them."""
    window = year.terms[benefit.id].window
    day = line_day(occurrence, bill, on)
    if benefit.kind == "accident":
        return _place_after_accident(occurrence, window, year, day)
    if (
        occurrence.claim.kind == "inpatient"
        and bill.kind == "outpatient"
        and not occurrence.admission - window.pre_days <= day <= occurrence.discharge + window.post_days
    ):
        return "outside_pre_post_window"
    return place_of_day(occurrence, window, year, day)


def _place_after_accident(occurrence: Occurrence, window: Window, year: PolicyYear, day: int) -> Place:
    since_accident = day - occurrence.accident_day
    if since_accident < 0 or (window.accident_days is not None and since_accident >= window.accident_days):
        return "outside_accident_window"
    return year


def place_of_day(occurrence: Occurrence, window: Window, year: PolicyYear, day: int) -> Place:
    """The policy year of a day of treatment for an event in `year`, or the reason why none covers it."""
    if day < year.first_day:
        if day < year.since:
            return "before_cover"
        return (occurrence.year_holding(day) or year) if window.stay_year == "line_date" else year
    if day <= year.last_day:
        return year
    renewal = occurrence.year_holding(day)
    if renewal is not None and renewal.since <= year.first_day:
        return renewal if window.stay_year == "line_date" else year
    if occurrence.claim.kind == "inpatient" and day <= year.last_day + window.tail_days:
        return year
    return "after_cover"

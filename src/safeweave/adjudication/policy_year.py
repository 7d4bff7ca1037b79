"""Which policy year a bill line belongs to, and which days no year covers (FORMAT.md §5.4)."""

from datetime import date

from safeweave.adjudication.bills import Charges
from safeweave.adjudication.occurrence import Occurrence, PolicyYear
from safeweave.adjudication.reasons import CutReason
from safeweave.coverage.product import Benefit, Window
from safeweave.facts import Bill, Line

Place = PolicyYear | CutReason


def line_day(occurrence: Occurrence, bill: Bill, line: Line) -> int:
    """The day a line counts for: its own, else the admission (inpatient bill) or the bill's."""
    if line.on is not None:
        return line.on.toordinal()
    return occurrence.admission if bill.kind == "inpatient" else bill.on.toordinal()


def places_of(charges: Charges, occurrence: Occurrence, benefit: Benefit, year: PolicyYear) -> list[Place]:
    """For each line its policy year, or the reason why none covers it. `year` is the event's.

    A refund stands where its original stands.
    """
    known: dict[tuple[int, date | None], Place] = {}  # most lines of a bill share their day
    places: list[Place] = []
    for line_place, bill in enumerate(charges.bill_of):
        line = charges.lines[line_place]
        key = (bill, line.on)
        place = known.get(key)
        if place is None:
            place = known[key] = _place_of(charges.bills[bill], line, occurrence, benefit, year)
        places.append(place)
    for refund, original in charges.originals.items():
        places[refund] = places[original]
    return places


def _place_of(bill: Bill, line: Line, occurrence: Occurrence, benefit: Benefit, year: PolicyYear) -> Place:
    window = year.terms[benefit.id].window
    day = line_day(occurrence, bill, line)
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

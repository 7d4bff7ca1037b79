"""Bills read into charges: duplicates dropped, refunds netted, compensation shared over the lines (FORMAT.md §5.2).

The checks that stop a claim add their codes to `codes`; a code says that a person must look, never that the
answer is no.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from operator import attrgetter, sub

from msgspec.structs import replace

from safeweave.adjudication.history import History
from safeweave.adjudication.occurrence import Occurrence
from safeweave.facts import SOURCES, Bill, Hospital, Line, Source, Split
from safeweave.money import ZERO, Fen, share

CATEGORIES = frozenset(f"{number:02d}" for number in range(1, 15))
CLASSES = frozenset({"甲", "乙", "丙"})
BED = "01"
_ICD = re.compile(r"[A-Z][0-9][0-9](?:\.[0-9]{1,3}(?:x[0-9]{3})?)?")

_canonical = attrgetter("on", "code", "number")
_by_no = attrgetter("no")


@lru_cache(maxsize=65_536)  # a few thousand illnesses make nearly all claims
def is_icd(code: str) -> bool:
    """Whether a code has the form of an ICD code (FORMAT.md §1)."""
    return _ICD.fullmatch(code) is not None


class Charges:
    """All lines of the bills that count, in canonical order, as parallel lists.

    `lines` are netted: an original is less its refunds, and a refund's amount is 0. `billed` is what the bill says.
    """

    __slots__ = (
        "beds",
        "bill_of",
        "billed",
        "bills",
        "days",
        "keys",
        "lines",
        "originals",
        "others",
        "settled",
        "social",
    )

    def __init__(self) -> None:
        self.bills: list[Bill] = []
        self.settled: list[int] = []  # for each bill, fund + other if 医保 settled it, else 0
        self.days: list[set[date | None]] = []  # for each bill, the days of its lines, refunds apart
        self.billed: list[int] = []  # the amounts before netting
        self.lines: list[Line] = []
        self.bill_of: list[int] = []
        self.keys: list[str] = []  # of the bills
        self.beds: list[int] = []  # the places of the bed lines of inpatient bills, refunds apart
        self.originals: dict[int, int] = {}  # the place of a refund -> the place of its original
        self.social: list[int] = []  # what 医保 paid of each line
        self.others: dict[Source, list[int]] = {}  # what others paid, in the order in which they compensate

    def at(self, places: Sequence[int]) -> "Charges":
        """The lines at some places, in their order, with what was paid of them; itself if that is all of them."""
        if len(places) == len(self.lines):
            return self
        part = Charges()
        part.bills, part.settled, part.days = self.bills, self.settled, self.days
        part.billed = [self.billed[place] for place in places]
        part.keys = [self.keys[place] for place in places]
        part.lines = [self.lines[place] for place in places]
        part.bill_of = [self.bill_of[place] for place in places]
        part.beds = [index for index, place in enumerate(places) if place in self.beds]
        part.social = [self.social[place] for place in places]
        part.others = {source: [parts[place] for place in places] for source, parts in self.others.items()}
        return part


def distinct_bills(
    bills: Sequence[Bill], hospital: Hospital | None, history: History, codes: set[str]
) -> tuple[list[Bill], tuple[str, ...]]:
    """The bills to look into, and the keys of those dropped as duplicates, each once; both in canonical order."""
    kept: list[Bill] = []
    dropped: list[str] = []
    contents: dict[str, list[object]] = {}
    for bill in sorted(bills, key=_canonical) if len(bills) > 1 else bills:
        key = bill.key
        totals = history.totals_paid.get(key)
        if totals is not None and bill.total not in totals:
            codes.add("duplicate_bill")
        if len(bills) > 1:
            content, seen = _content(bill, hospital), contents.setdefault(key, [])
            repeated = content in seen
            if seen and not repeated:
                codes.add("duplicate_bill")
            seen.append(content)
        else:
            repeated = False
        if repeated or (totals is not None and bill.total in totals):
            if key not in dropped:
                dropped.append(key)
        else:
            kept.append(bill)
    return kept, tuple(dropped)


def _content(bill: Bill, hospital: Hospital | None) -> object:
    """What two copies of a bill must have in common: defaults filled in, lists in one order, names apart."""
    lines = [_values(line) for line in sorted(bill.lines, key=_by_no)]
    others = sorted((paid.source, paid.amount) for paid in bill.other_paid)
    rest = [
        getattr(bill, field) for field in Bill.__struct_fields__ if field not in ("lines", "other_paid", "hospital")
    ]
    return rest, lines, others, bill.hospital or hospital


def _values(line: Line) -> list[object]:
    return [getattr(line, field) for field in Line.__struct_fields__ if field != "name"]


def read_charges(bills: Sequence[Bill], occurrence: Occurrence, history: History, codes: set[str]) -> Charges:
    """The charges of bills in canonical order, with the findings of the first round about them in `codes`."""
    charges = Charges()
    for bill in bills:
        _check_bill(bill, occurrence, history, codes)
        _read_lines(bill, charges, occurrence, codes)
    _fill_bed_days(charges, occurrence, codes)
    return charges


def _check_bill(bill: Bill, occurrence: Occurrence, history: History, codes: set[str]) -> None:
    if bill.kind == "inpatient" and occurrence.claim.kind != "inpatient":
        codes.add("dates_unclear")
    if bill.hospital is not None and is_unknown(bill.hospital):
        codes.add("hospital_unknown")
    if bill.replaces is not None and str(bill.replaces) in history.totals_paid:
        codes.add("reissue_unlinked")
    if bill.state == "reversed":
        codes.add("bill_reversed")
    if bill.total < 0:
        codes.add("negative_amount")
    if bill.social is None:
        codes.add("social_split_missing")
    elif bill.social == "settled":
        _check_settlement(bill, occurrence, codes)


def is_unknown(hospital: Hospital | None) -> bool:
    """Whether too little is known of a hospital to decide by it."""
    return hospital is None or hospital.id is None or hospital.level is None or hospital.public is None


def _check_settlement(bill: Bill, occurrence: Occurrence, codes: set[str]) -> None:
    if not occurrence.cover.enrolled:
        codes.add("enrolment_conflict")
    fund, other, account, cash = bill.fund, bill.other, bill.account, bill.cash
    if fund is None or other is None or account is None or cash is None:
        codes.add("social_split_missing")
    else:
        if fund < 0 or other < 0 or account < 0 or cash < 0:
            codes.add("negative_amount")
        if bill.total != fund + other + account + cash:
            codes.add("totals_differ")
    if fund is None or other is None or bill.self_pay is None or bill.self_cost is None:
        return
    if bill.total != fund + other + bill.self_pay + bill.self_cost:
        codes.add("totals_differ")


def _read_lines(bill: Bill, charges: Charges, occurrence: Occurrence, codes: set[str]) -> None:
    """Appends a bill's lines to the charges, each refund added to its original."""
    first = len(charges.lines)
    lines = sorted(bill.lines, key=_by_no)
    amounts: list[int] = [line.amount for line in lines]
    has_refunds = is_below_zero = False
    for line in lines:
        amount, split, days = line.amount, line.split, line.days
        if split is not None:
            own, over, first_part, within = split.own, split.over, split.first, split.within
            if own + over + first_part + within != amount:
                codes.add("totals_differ")
            if own < 0 or over < 0 or first_part < 0 or within < 0:
                is_below_zero = True
        if amount < 0 or (days is not None and days < 0):
            is_below_zero = True
        if line.category not in CATEGORIES or line.catalogue_class not in CLASSES:
            codes.add("unknown_code")
        if line.refund_of is not None:
            has_refunds = True
    if sum(amounts) != bill.total:
        codes.add("totals_differ")
    dated = {line.on for line in lines if line.refund_of is None}
    charges.bill_of += [len(charges.bills)] * len(lines)
    charges.bills.append(bill)
    charges.settled.append((bill.fund or 0) + (bill.other or 0) if bill.social == "settled" else 0)
    charges.days.append(dated)
    charges.keys += [bill.key] * len(lines)
    charges.billed += amounts
    charges.lines += lines
    if bill.kind == "inpatient":
        _check_dates(dated, occurrence, codes)
    if has_refunds:
        _net(charges, first, codes)
        is_below_zero = any(map(_has_part_below_zero, charges.lines[first:]))
    if is_below_zero:
        codes.add("negative_line")


def _check_dates(days: Iterable[date | None], occurrence: Occurrence, codes: set[str]) -> None:
    """Dates of an inpatient bill's lines; without a known stay there is nothing to compare them with."""
    admission, discharge = occurrence.admission, occurrence.discharge
    if not admission or not discharge:
        return
    for on in days:
        if on is None:
            year = occurrence.year_holding(admission)
            if year is not None and discharge > year.last_day:
                codes.add("line_dates_missing")
        elif not admission <= on.toordinal() <= discharge:
            codes.add("dates_unclear")


def _net(charges: Charges, first: int, codes: set[str]) -> None:
    """Adds each refund of a bill, whose lines begin at `first`, to its original and leaves nothing of it."""
    lines, billed = charges.lines, charges.lines[first:]
    ordinary = {
        line.no: place for place, line in enumerate(billed, first) if line.refund_of is None and line.amount >= 0
    }
    for place, refund in enumerate(billed, first):
        if refund.refund_of is None:
            continue
        original = ordinary.get(refund.refund_of)
        if original is None or refund.amount > 0 or (refund.split is None) != (lines[original].split is None):
            codes.add("negative_line")
        if original is not None:
            charges.originals[place] = original
            lines[original] = _netted(lines[original], refund)
        lines[place] = replace(refund, amount=ZERO, split=None, days=None, social_paid=None)


def _netted(original: Line, refund: Line) -> Line:
    """An original with a refund added. Where the original has no figure, the refund's has no place."""
    return replace(
        original,
        amount=original.amount + refund.amount,
        split=_sum_of(original.split, refund.split),
        days=_added(original.days, refund.days),
        social_paid=_added(original.social_paid, refund.social_paid),
    )


def _added(original: int | None, refund: int | None) -> int | None:
    return original if original is None or refund is None else original + refund


def _sum_of(original: Split | None, refund: Split | None) -> Split | None:
    if original is None or refund is None:
        return original
    return Split(
        Fen(original.own + refund.own),
        Fen(original.over + refund.over),
        Fen(original.first + refund.first),
        Fen(original.within + refund.within),
    )


def _has_part_below_zero(line: Line) -> bool:
    """Whether an amount, a part of a split or a number of days is below 0."""
    split, days = line.split, line.days
    return (
        line.amount < 0
        or (days is not None and days < 0)
        or (split is not None and min(split.own, split.over, split.first, split.within) < 0)
    )


def _fill_bed_days(charges: Charges, occurrence: Occurrence, codes: set[str]) -> None:
    """The days of the bed lines: they must fit the stay; a single line without days covers the whole of it."""
    lines, bill_of, bills = charges.lines, charges.bill_of, charges.bills
    charges.beds = beds = [
        place
        for place, line in enumerate(lines)
        if line.category == BED and line.refund_of is None and bills[bill_of[place]].kind == "inpatient"
    ]
    given = [days for place in beds if (days := lines[place].days) is not None]
    if len(given) < len(beds):
        if len(beds) > 1:
            codes.add("bed_days_missing")
        else:
            lines[beds[0]] = replace(lines[beds[0]], days=occurrence.stay_days)
    if occurrence.stay_days and sum(given) > occurrence.stay_days + 1:
        codes.add("bed_days_differ")


def share_compensation(charges: Charges, codes: set[str]) -> None:
    """The second round: what 医保 and others paid, shared over the lines of each bill (`social`, `others`)."""
    start = 0
    for bill, settled in zip(charges.bills, charges.settled, strict=True):
        end = start + len(bill.lines)
        social = _social_shares(charges.lines[start:end], settled, codes)
        charges.social += social
        if bill.other_paid or bill.accounted:
            _share_others(charges, bill, start, end, social, settled, codes)
        start = end
    if charges.others:
        charges.others = {source: charges.others[source] for source in SOURCES if source in charges.others}


def _social_shares(lines: Sequence[Line], settled: int, codes: set[str]) -> list[int]:
    if settled == 0:
        return [0] * len(lines)
    weights = []
    for line in lines:
        if line.social_paid is not None:
            return _stated_social(lines, settled, codes)
        split = line.split
        weights.append(split.within if split is not None else 0 if line.catalogue_class == "丙" else line.amount)
    if settled > sum(weights):
        codes.add("social_exceeds_scope")
        return [0] * len(weights)
    return share(settled, weights)


def _stated_social(lines: Sequence[Line], settled: int, codes: set[str]) -> list[int]:
    """What the lines themselves say 医保 paid; all must say it, except refunds, which are netted."""
    if any(line.social_paid is None and line.refund_of is None for line in lines):
        codes.add("social_split_missing")
        return [0] * len(lines)
    paid = [line.social_paid or 0 for line in lines]
    if sum(paid) != settled or not all(0 <= part <= line.amount for part, line in zip(paid, lines, strict=True)):
        codes.add("totals_differ")
    return paid


def _share_others(
    charges: Charges, bill: Bill, start: int, end: int, social: Sequence[int], settled: int, codes: set[str]
) -> None:
    paid: dict[Source, int] = {}
    for entry in bill.other_paid:
        if entry.amount < 0:
            codes.add("negative_amount")
        paid[entry.source] = paid.get(entry.source, 0) + entry.amount
    if sum(paid.values()) > bill.total - settled:
        codes.add("compensation_exceeds_cost")
    if bill.accounted and "other_insurer" not in paid:
        codes.add("other_insurer_unknown")
    if codes:
        return
    left = [line.amount - part for line, part in zip(charges.lines[start:end], social, strict=True)]
    for source in SOURCES:
        if paid.get(source):
            parts = share(paid[source], left)
            left = list(map(sub, left, parts))
            charges.others.setdefault(source, [0] * len(charges.lines))[start:end] = parts

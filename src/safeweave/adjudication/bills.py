"""Bills read into charges: duplicates dropped, refunds netted, compensation shared over the lines (FORMAT.md §5.2).

The checks that stop a claim add their codes to `codes`; a code says that a person must look, never that the
answer is no.
"""

import re
from collections.abc import Sequence
from operator import attrgetter, sub

from safeweave.adjudication.history import History
from safeweave.adjudication.occurrence import Occurrence
from safeweave.facts import SOURCES, Bill, Hospital, Line, Source, Split
from safeweave.money import Fen, share

CATEGORIES = frozenset(f"{number:02d}" for number in range(1, 15))
CLASSES = frozenset({"甲", "乙", "丙"})
BED = "01"
ICD = re.compile(r"[A-Z][0-9][0-9](?:\.[0-9]{1,3}(?:x[0-9]{3})?)?")

_canonical = attrgetter("on", "code", "number")
_by_no = attrgetter("no")


class Charges:
    """All lines of the bills that count, in canonical order, as parallel lists.

    `net` is what "amount" means once refunds are netted: 0 for a refund, less the refunds for its original.
    """

    __slots__ = (
        "bill_of",
        "bills",
        "categories",
        "classes",
        "days",
        "lines",
        "net",
        "originals",
        "others",
        "settled",
        "social",
        "splits",
        "stated",
    )

    def __init__(self) -> None:
        self.bills: list[Bill] = []
        self.settled: list[Fen] = []  # for each bill, fund + other if 医保 settled it, else 0
        self.lines: list[Line] = []
        self.bill_of: list[int] = []
        self.categories: list[str] = []
        self.classes: list[str] = []
        self.net: list[int] = []
        self.splits: list[Split | None] = []
        self.days: list[int | None] = []
        self.originals: dict[int, int] = {}  # the place of a refund -> the place of its original
        self.stated: list[int | None] = []  # what each line itself says 医保 paid
        self.social: list[int] = []
        self.others: dict[Source, list[int]] = {}  # in the order in which they compensate


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
    first, total, refunds = len(charges.lines), 0, []
    lines = sorted(bill.lines, key=_by_no)
    for place, line in enumerate(lines, first):
        amount, split = line.amount, line.split
        total += amount
        if split is not None and split.own + split.over + split.first + split.within != amount:
            codes.add("totals_differ")
        if line.category not in CATEGORIES or line.catalogue_class not in CLASSES:
            codes.add("unknown_code")
        if line.refund_of is not None:
            refunds.append(place)
    if total != bill.total:
        codes.add("totals_differ")
    charges.bill_of += [len(charges.bills)] * len(lines)
    charges.bills.append(bill)
    charges.lines += lines
    charges.net += [line.amount for line in lines]
    charges.splits += [line.split for line in lines]
    charges.days += [line.days for line in lines]
    charges.stated += [line.social_paid for line in lines]
    charges.categories += [line.category for line in lines]
    charges.classes += [line.catalogue_class for line in lines]
    charges.settled.append(Fen((bill.fund or 0) + (bill.other or 0)) if bill.social == "settled" else Fen(0))
    if bill.kind == "inpatient":
        _check_dates(lines, occurrence, codes)
    if refunds:
        _net(charges, first, refunds, codes)
    if _is_anything_below_zero(charges, first):
        codes.add("negative_line")


def _check_dates(lines: Sequence[Line], occurrence: Occurrence, codes: set[str]) -> None:
    """Dates of an inpatient bill's lines; without a known stay there is nothing to compare them with."""
    admission, discharge = occurrence.admission, occurrence.discharge
    if not admission or not discharge:
        return
    year = occurrence.year_holding(admission)
    outlasts_year = year is not None and discharge > year.last_day
    for line in lines:
        on = line.on
        if on is None:
            if outlasts_year and line.refund_of is None:
                codes.add("line_dates_missing")
        elif not admission <= on.toordinal() <= discharge and line.refund_of is None:
            codes.add("dates_unclear")


def _net(charges: Charges, first: int, refunds: Sequence[int], codes: set[str]) -> None:
    """Adds each refund of a bill, whose lines begin at `first`, to its original and leaves nothing of it."""
    lines, net, splits, days, stated = charges.lines, charges.net, charges.splits, charges.days, charges.stated
    ordinary = {
        lines[place].no: place
        for place in range(first, len(lines))
        if lines[place].refund_of is None and lines[place].amount >= 0
    }
    for place in refunds:
        refund = lines[place]
        original = None if refund.refund_of is None else ordinary.get(refund.refund_of)
        if original is None or refund.amount > 0 or (refund.split is None) != (lines[original].split is None):
            codes.add("negative_line")
        if original is not None:
            charges.originals[place] = original
            net[original] += refund.amount
            splits[original] = _sum_of(splits[original], refund.split)
            days[original] = _added(days[original], refund.days)
            stated[original] = _added(stated[original], refund.social_paid)
        net[place], splits[place], days[place], stated[place] = 0, None, None, None


def _is_anything_below_zero(charges: Charges, first: int) -> bool:
    """Whether netting leaves an amount, a part of a split or a number of days below 0."""
    for place in range(first, len(charges.net)):
        split, days = charges.splits[place], charges.days[place]
        if charges.net[place] < 0 or (days is not None and days < 0):
            return True
        if split is not None and (split.own < 0 or split.over < 0 or split.first < 0 or split.within < 0):
            return True
    return False


def _added(original: int | None, refund: int | None) -> int | None:
    """An original's figure with a refund's; where the original has none, the refund's has no place."""
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


def _fill_bed_days(charges: Charges, occurrence: Occurrence, codes: set[str]) -> None:
    """The days of the bed lines: they must fit the stay; a single line without days covers the whole of it."""
    if BED not in charges.categories:
        return
    beds = [
        place
        for place, line in enumerate(charges.lines)
        if line.category == BED and line.refund_of is None and charges.bills[charges.bill_of[place]].kind == "inpatient"
    ]
    given = [days for place in beds if (days := charges.days[place]) is not None]
    if len(given) < len(beds):
        if len(beds) > 1:
            codes.add("bed_days_missing")
        else:
            charges.days[beds[0]] = occurrence.stay_days
    if occurrence.stay_days and sum(given) > occurrence.stay_days + 1:
        codes.add("bed_days_differ")


def share_compensation(charges: Charges, codes: set[str]) -> None:
    """The second round: what 医保 and others paid, shared over the lines of each bill (`social`, `others`)."""
    start = 0
    for index, bill in enumerate(charges.bills):
        settled = charges.settled[index]
        end = start + len(bill.lines)
        social = _social_shares(charges, start, end, settled, codes)
        charges.social += social
        if bill.other_paid or bill.accounted:
            _share_others(charges, bill, start, end, social, settled, codes)
        start = end
    charges.others = {source: charges.others[source] for source in SOURCES if source in charges.others}


def _social_shares(charges: Charges, start: int, end: int, settled: int, codes: set[str]) -> list[int]:
    if settled == 0:
        return [0] * (end - start)
    if charges.stated[start:end].count(None) < end - start:
        return _stated_social(charges, start, end, settled, codes)
    splits, classes, net = charges.splits, charges.classes, charges.net
    weights = [
        split.within if (split := splits[place]) is not None else 0 if classes[place] == "丙" else net[place]
        for place in range(start, end)
    ]
    if settled > sum(weights):
        codes.add("social_exceeds_scope")
        return [0] * len(weights)
    return share(settled, weights)


def _stated_social(charges: Charges, start: int, end: int, settled: int, codes: set[str]) -> list[int]:
    """What the lines themselves say 医保 paid; all must say it, except refunds, which are netted."""
    stated = charges.stated[start:end]
    if any(part is None and place not in charges.originals for place, part in enumerate(stated, start)):
        codes.add("social_split_missing")
        return [0] * len(stated)
    paid = [part or 0 for part in stated]
    if sum(paid) != settled or not all(
        0 <= part <= amount for part, amount in zip(paid, charges.net[start:end], strict=True)
    ):
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
    left = list(map(sub, charges.net[start:end], social))
    for source in SOURCES:
        if paid.get(source):
            parts = share(paid[source], left)
            left = list(map(sub, left, parts))
            charges.others.setdefault(source, [0] * len(charges.lines))[start:end] = parts

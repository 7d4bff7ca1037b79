"""Bills read into charges: duplicates dropped, refunds netted, compensation shared over the lines (FORMAT.md §5.2).

The checks that stop a claim add their codes to `codes`; a code says that a person must look, never that the
answer is no.
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from operator import attrgetter, sub

import msgspec
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


class Charges(msgspec.Struct, gc=False):
    """All lines of the bills that count, in canonical order, as parallel columns.

    They are netted: an original is less its refunds, and a refund's amount is 0. Only `billed` is what the bills say.
    """

    bills: Sequence[Bill]
    settled: Sequence[int]  # for each bill, fund + other if 医保 settled it, else 0
    bill_of: list[int]
    keys: list[str]  # of the bills
    lines: list[Line]
    amounts: list[int]
    billed: list[int]
    within: list[int]  # what of each line lies within the 医保 scope
    beds: list[int]  # the places of the bed lines of inpatient bills, refunds apart
    special: list[int]  # the places of lines with a treatment, or in a ward that is not ordinary
    span: tuple[int, int]  # the first and last of the days the lines count for
    is_mixed: bool = False  # whether a bill is of another kind than the claim
    originals: dict[int, int] = {}  # the place of a refund -> the place of its original
    social: list[int] = []  # what 医保 paid of each line
    others: dict[Source, list[int]] = {}  # what others paid, in the order in which they compensate

    def at(self, places: Sequence[int]) -> "Charges":
        """The lines at some places, in their order, with what was paid of them."""
        part = replace(self, others={source: [paid[at] for at in places] for source, paid in self.others.items()})
        for column in ("bill_of", "keys", "lines", "amounts", "billed", "social"):
            values = getattr(self, column)
            setattr(part, column, [values[at] for at in places])
        part.beds = [index for index, at in enumerate(places) if at in self.beds]
        part.special = [index for index, at in enumerate(places) if at in self.special]
        return part


def joined(parts: Sequence[Charges]) -> Charges:
    """The charges of several bills as one."""
    if len(parts) == 1:
        return parts[0]
    whole = Charges([], [], [], [], [], [], [], [], [], [], (0, 0))
    bills, settled = list[Bill](), list[int]()
    for part in parts:
        first = len(whole.lines)
        whole.bill_of += [len(bills)] * len(part.lines)
        bills += part.bills
        settled += part.settled
        for column in ("keys", "lines", "amounts", "billed", "within", "social"):
            setattr(whole, column, getattr(whole, column) + getattr(part, column))
        whole.beds += [first + place for place in part.beds]
        whole.special += [first + place for place in part.special]
        whole.originals |= {first + refund: first + original for refund, original in part.originals.items()}
        whole.is_mixed = whole.is_mixed or part.is_mixed
    whole.bills, whole.settled = bills, settled
    whole.span = (min((part.span[0] for part in parts), default=0), max((part.span[1] for part in parts), default=0))
    for source in SOURCES:
        if any(source in part.others for part in parts):
            whole.others[source] = [paid for part in parts for paid in part.others.get(source) or [0] * len(part.lines)]
    return whole


def distinct_bills(
    bills: Sequence[Bill], hospital: Hospital | None, history: History, codes: set[str]
) -> tuple[Sequence[Bill], tuple[str, ...]]:
    """The bills to look into, and the keys of those dropped as duplicates, each once; both in canonical order."""
    paid = history.totals_paid
    if len(bills) == 1 and (not paid or bills[0].key not in paid):  # as nearly always
        return bills, ()
    kept: list[Bill] = []
    dropped: list[str] = []
    contents: dict[str, list[object]] = {}
    for bill in sorted(bills, key=_canonical):
        key = bill.key
        totals = paid.get(key)
        if totals is not None and bill.total not in totals:
            codes.add("duplicate_bill")
        content, seen = _content(bill, hospital), contents.setdefault(key, [])
        repeated = content in seen
        if seen and not repeated:
            codes.add("duplicate_bill")
        seen.append(content)
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


def read_bill(bill: Bill, occurrence: Occurrence, history: History, codes: set[str]) -> Charges:
    """The charges of a bill, each refund added to its original; the findings of the first round about it in `codes`."""
    lines = sorted(bill.lines, key=_by_no)
    amounts: list[int] = []
    within: list[int] = []
    beds: list[int] = []
    special: list[int] = []
    dates: set[date | None] = set()
    has_refunds = is_below_zero = False
    for place, line in enumerate(lines):
        amount, category, catalogue_class, split = line.amount, line.category, line.catalogue_class, line.split
        amounts.append(amount)
        if split is None:
            within.append(0 if catalogue_class == "丙" else amount)
        else:
            own, over, first_part, rest = split.own, split.over, split.first, split.within
            within.append(rest)
            if own + over + first_part + rest != amount:
                codes.add("totals_differ")
            if own < 0 or over < 0 or first_part < 0 or rest < 0:
                is_below_zero = True
        if amount < 0 or (line.days is not None and line.days < 0):
            is_below_zero = True
        if category not in CATEGORIES or catalogue_class not in CLASSES:
            codes.add("unknown_code")
        if line.treatment is not None or line.ward != "ordinary":
            special.append(place)
        if line.refund_of is not None:
            has_refunds = True
        else:
            dates.add(line.on)
            if category == BED:
                beds.append(place)
    if sum(amounts) != bill.total:
        codes.add("totals_differ")
    settled, count = _checked_settlement(bill, occurrence, history, codes), len(lines)
    span, is_mixed = _span_of(bill, dates, occurrence, codes), bill.kind != occurrence.claim.kind
    if bill.kind != "inpatient":
        beds = []
    charges = Charges(
        (bill,),
        (settled,),
        [0] * count,
        [bill.key] * count,
        lines,
        amounts,
        amounts,
        within,
        beds,
        special,
        span,
        is_mixed,
    )
    if has_refunds:
        _net(charges, codes)
        is_below_zero = any(map(_has_part_below_zero, lines))
    if is_below_zero:
        codes.add("negative_line")
    return charges


def _checked_settlement(bill: Bill, occurrence: Occurrence, history: History, codes: set[str]) -> int:
    """What 医保 paid of a bill; the findings about the bill as a whole in `codes`."""
    total, social, fund, other = bill.total, bill.social, bill.fund, bill.other
    if bill.kind == "inpatient" and occurrence.claim.kind != "inpatient":
        codes.add("dates_unclear")
    if bill.hospital is not None and is_unknown(bill.hospital):
        codes.add("hospital_unknown")
    if bill.replaces is not None and str(bill.replaces) in history.totals_paid:
        codes.add("reissue_unlinked")
    if bill.state == "reversed":
        codes.add("bill_reversed")
    if total < 0:
        codes.add("negative_amount")
    if social != "settled":
        if social is None:
            codes.add("social_split_missing")
        return 0
    if not occurrence.cover.enrolled:
        codes.add("enrolment_conflict")
    account, cash = bill.account, bill.cash
    if fund is None or other is None or account is None or cash is None:
        codes.add("social_split_missing")
    else:
        if min(fund, other, account, cash) < 0:
            codes.add("negative_amount")
        if fund + other + account + cash != total:
            codes.add("totals_differ")
    if fund is None or other is None:
        return 0
    own, cost = bill.self_pay, bill.self_cost
    if own is not None and cost is not None and fund + other + own + cost != total:
        codes.add("totals_differ")
    return fund + other


def is_unknown(hospital: Hospital | None) -> bool:
    """Whether too little is known of a hospital to decide by it."""
    return hospital is None or hospital.id is None or hospital.level is None or hospital.public is None


def _within(line: Line) -> int:
    """What of a line lies within the 医保 scope. Without a split a 丙 line is all 全自费."""
    if line.split is not None:
        return line.split.within
    return 0 if line.catalogue_class == "丙" else line.amount


def _span_of(bill: Bill, dates: set[date | None], occurrence: Occurrence, codes: set[str]) -> tuple[int, int]:
    """The first and last of the days a bill's lines count for: their own, else the admission (inpatient) or the bill's.

    Those of an inpatient bill lie in the stay; without a known stay there is nothing to compare them with.
    """
    admission, is_inpatient = occurrence.admission, bill.kind == "inpatient"
    days = [on.toordinal() for on in dates if on is not None]
    if len(days) != len(dates) or not dates:
        days.append(admission if is_inpatient else bill.on.toordinal())
        year = occurrence.year_holding(admission)
        if is_inpatient and dates and year is not None and occurrence.discharge > year.last_day:
            codes.add("line_dates_missing")
    first_day, last_day = min(days), max(days)
    if is_inpatient and occurrence.stay_days and (first_day < admission or last_day > occurrence.discharge):
        codes.add("dates_unclear")
    return first_day, last_day


def _net(charges: Charges, codes: set[str]) -> None:
    """Adds each refund of a bill to its original and leaves nothing of it."""
    lines, billed = charges.lines, list(charges.lines)
    ordinary = {line.no: place for place, line in enumerate(billed) if line.refund_of is None and line.amount >= 0}
    for place, refund in enumerate(billed):
        if refund.refund_of is None:
            continue
        original = ordinary.get(refund.refund_of)
        if original is None or refund.amount > 0 or (refund.split is None) != (lines[original].split is None):
            codes.add("negative_line")
        if original is not None:
            charges.originals[place] = original
            lines[original] = _netted(lines[original], refund)
        lines[place] = replace(refund, amount=ZERO, split=None, days=None, social_paid=None)
    charges.amounts = [line.amount for line in lines]
    charges.within = [_within(line) for line in lines]


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


def fill_bed_days(parts: Sequence[Charges], occurrence: Occurrence, codes: set[str]) -> None:
    """The days of the bed lines: they must fit the stay; a single line without days covers the whole of it."""
    beds = [(part.lines, place) for part in parts for place in part.beds]
    given = [days for lines, place in beds if (days := lines[place].days) is not None]
    if len(given) < len(beds):
        if len(beds) > 1:
            codes.add("bed_days_missing")
        else:
            ((lines, place),) = beds
            lines[place] = replace(lines[place], days=occurrence.stay_days)
    if occurrence.stay_days and sum(given) > occurrence.stay_days + 1:
        codes.add("bed_days_differ")


def share_compensation(charges: Charges, codes: set[str]) -> None:
    """The second round: what 医保 and others paid, shared over the lines of a bill (`social`, `others`)."""
    (bill,), (settled,) = charges.bills, charges.settled
    charges.social = _social_shares(charges.lines, charges.within, settled, codes)
    if bill.other_paid or bill.accounted:
        _share_others(charges, bill, settled, codes)


def _social_shares(lines: Sequence[Line], within: Sequence[int], settled: int, codes: set[str]) -> list[int]:
    """What 医保 paid of the lines of a bill: as they say themselves, else shared by what lies within its scope."""
    if settled == 0:
        return [0] * len(lines)
    for line in lines:
        if line.social_paid is not None:
            return _stated_social(lines, settled, codes)
    if settled > sum(within):
        codes.add("social_exceeds_scope")
        return [0] * len(lines)
    return share(settled, within)


def _stated_social(lines: Sequence[Line], settled: int, codes: set[str]) -> list[int]:
    """What the lines themselves say 医保 paid; all must say it, except refunds, which are netted."""
    if any(line.social_paid is None and line.refund_of is None for line in lines):
        codes.add("social_split_missing")
        return [0] * len(lines)
    paid = [line.social_paid or 0 for line in lines]
    if sum(paid) != settled or not all(0 <= part <= line.amount for part, line in zip(paid, lines, strict=True)):
        codes.add("totals_differ")
    return paid


def _share_others(charges: Charges, bill: Bill, settled: int, codes: set[str]) -> None:
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
    left = list(map(sub, charges.amounts, charges.social))
    for source in SOURCES:
        if paid.get(source):
            charges.others[source] = parts = share(paid[source], left)
            left = list(map(sub, left, parts))

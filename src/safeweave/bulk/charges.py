"""`bills.py` for many claims at once: refunds netted, codes found, compensation shared over the lines (FORMAT.md §5.2).

A matrix has a row for each line (or bill) of a claim and a column for each claim. All claims of a batch have about the
same number of lines; where one has fewer, `present` is false and every amount is 0, so that sums and shares do not
change. Bills that may be duplicates never come here.
"""

from collections.abc import Mapping
from copy import copy
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from safeweave.adjudication.bills import BED, CATEGORIES
from safeweave.adjudication.reasons import ReferCode
from safeweave.bulk.amounts import Bools, Ints, share
from safeweave.bulk.facts import Codes, Days, Facts, Numbers
from safeweave.bulk.occurrences import KINDS, REFER_BIT, Occurrences
from safeweave.coverage.product import CLASSES
from safeweave.facts import SOURCES, Source

INPATIENT = KINDS.index("inpatient")
_CATEGORY = {category: int(category) for category in CATEGORIES}  # 0: of an unknown form
_CLASS = {name: place for place, name in enumerate(CLASSES)}
UNKNOWN_CLASS = len(_CLASS)
PATIENT_PAYS_ALL = _CLASS["丙"]

N = TypeVar("N", bound=np.generic)


class Bills:
    """What the bills of `facts` say as flat columns, one entry a bill or line: the parts all batches read."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.inpatient = facts.words("bills", "kind").mapped({"inpatient": 1}, 0) == 1
        social = facts.words("bills", "social")
        self.says_nothing_of_social = social.at < 0
        self.settled = social.mapped({"settled": 1}, 0) == 1
        self.paid = np.where(self.settled, facts.fund.values + facts.other.values, 0)  # F of §5.2
        self.category = facts.category.mapped(_CATEGORY, 0)
        self.catalogue_class = facts.catalogue_class.mapped(_CLASS, UNKNOWN_CLASS)
        self.other_paid: dict[Source, Ints] = {}
        self.ours = np.zeros(len(facts.total), np.int64)  # what the person's other policies paid of each bill
        self.others_below_zero, self.says_other_insurer = self._others()
        self.codes = self._codes()

    def _others(self) -> tuple[Bools, Bools]:
        """Sums what others paid of each bill; which bills have an entry below 0, and which one of another insurer."""
        facts = self.facts
        count = len(facts.total)
        bills = np.repeat(np.arange(count), np.diff(facts.other_starts))
        below, named = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        if len(bills):
            sources = facts.words("others", "source").mapped(
                {source: place for place, source in enumerate(SOURCES)}, -1
            )
            below[bills[facts.other_amount < 0]] = True
            named[bills[sources == SOURCES.index("other_insurer")]] = True
            for place, source in enumerate(SOURCES):
                found = sources == place
                if found.any():
                    self.other_paid[source] = np.zeros(count, np.int64)
                    np.add.at(self.other_paid[source], bills[found], facts.other_amount[found])
        return below, named

    def _codes(self) -> Ints:
        """The codes of the first round that concern a bill apart from its lines and its claim, as bits."""
        facts = self.facts
        fund, other, account, cash = facts.fund, facts.other, facts.account, facts.cash
        is_reversed = facts.words("bills", "state").mapped({"reversed": 1}, 0) == 1
        codes: Ints = is_reversed * np.int64(REFER_BIT["bill_reversed"])
        codes |= (facts.total < 0) * REFER_BIT["negative_amount"]
        codes |= (facts.bill_hospital.known & ~facts.bill_hospital.complete) * REFER_BIT["hospital_unknown"]
        codes |= self.says_nothing_of_social * REFER_BIT["social_split_missing"]
        four = _all_given(fund, other, account, cash)
        codes |= (self.settled & ~four) * REFER_BIT["social_split_missing"]
        below = (fund.values < 0) | (other.values < 0) | (account.values < 0) | (cash.values < 0)
        codes |= (self.settled & four & below) * REFER_BIT["negative_amount"]
        differs = four & (facts.total != fund.values + other.values + account.values + cash.values)
        self_pay, self_cost = facts.self_pay, facts.self_cost
        differs |= _all_given(fund, other, self_pay, self_cost) & (
            facts.total != fund.values + other.values + self_pay.values + self_cost.values
        )
        codes |= (self.settled & differs) * REFER_BIT["totals_differ"]
        return codes


def _all_given(*columns: Numbers) -> Bools:
    given = np.ones(len(columns[0].values), np.bool_)
    for column in columns:
        if column.given is not None:
            given &= column.given
    return given


class Charges:
    """The lines of the bills of a batch of claims, in canonical order, netted; `billed` is what the bills say.

    `codes` says of each claim what stops it, as bits; of a claim with codes nothing else may be used.
    """

    def __init__(self, bills: Bills, who: Ints, lines: int, most_bills: int) -> None:
        """The claims `who`, which have at most so many `lines` and bills."""
        facts = bills.facts
        self.bills, self.who, self.lines = bills, who, lines
        self.codes = np.zeros(len(who), np.int64)
        starts = facts.line_starts[who]
        counts = facts.line_starts[who + 1] - starts
        place = np.arange(lines)[:, None]
        self.present: Bools | None = None  # None: all lines are
        self._at = starts + place
        if (counts != lines).any():
            self.present = place < counts
            self._at = np.where(self.present, self._at, 0)
        first_bill = facts.bill_starts[who]
        bill_counts = facts.bill_starts[who + 1] - first_bill
        self.bill_of: Codes | None = None  # None: no claim has a second bill
        self.has_bill = np.arange(most_bills)[:, None] < bill_counts
        self._bills_at = np.where(self.has_bill, first_bill + np.arange(most_bills)[:, None], 0)
        if most_bills > 1:
            ends = facts.line_starts_of_bill[self._bills_at + 1] - starts
            self.bill_of = np.zeros((lines, len(who)), np.int32)
            for bill in range(most_bills - 1):
                self.bill_of += self.has_bill[bill + 1] & (place >= ends[bill])
        self.billed = self.amount = self.on_line(facts.amount)
        self.is_refund: Bools | None = None  # None: no line is
        self.is_split, self.own, self.over, self.first, self.within = self._splits()
        self.has_days, self.days = self._given(facts.days), self.on_line(facts.days.values)
        self.states_social, self.stated_social = self._given(facts.social_paid), self.on_line(facts.social_paid.values)
        self.is_bed = np.zeros(self._at.shape, np.bool_)
        self.day = np.zeros(self._at.shape, np.int32)
        self.social: Ints | None = None  # what 医保 paid of each line; None: nothing of any
        self.others: dict[Source, Ints] = {}  # what others paid, in the order in which they compensate

    # ------------------------------------------------------------ from flat columns to lines and bills

    def on_line(self, flat: npt.NDArray[N]) -> npt.NDArray[N]:
        """What a column of lines says of each line; 0 where a claim has no more lines."""
        found = flat[self._at] if len(flat) else np.zeros(self._at.shape, flat.dtype)
        if self.present is not None:
            found = np.where(self.present, found, flat.dtype.type(0))
        return found

    def on_bill(self, flat: npt.NDArray[N]) -> npt.NDArray[N]:
        """What a column of bills says of each bill; 0 where a claim has no more bills."""
        if not len(flat):
            return np.zeros(self._bills_at.shape, flat.dtype)
        return np.where(self.has_bill, flat[self._bills_at], flat.dtype.type(0))

    def of_bill(self, values: npt.NDArray[N]) -> npt.NDArray[N]:
        """For each line what `values` say of its bill; one row where no claim has a second bill."""
        if self.bill_of is not None:
            return np.take_along_axis(values, self.bill_of, axis=0)
        return values if len(values) else np.zeros((1, values.shape[1]), values.dtype)

    def sums_by_bill(self, values: Ints) -> Ints:
        """For each bill the sum over its lines."""
        if self.bill_of is None:
            return values.sum(axis=0)[None, :] if len(self.has_bill) else values[:0]
        return np.stack([values.sum(axis=0, where=self.bill_of == bill) for bill in range(len(self.has_bill))])

    def add_to_bills(self, flat: Ints, values: Ints) -> None:
        """Adds the sums over their lines to a column of bills."""
        flat[self._bills_at[self.has_bill]] += self.sums_by_bill(values)[self.has_bill]

    def _given(self, column: Numbers) -> Bools:
        if column.given is None:
            return np.ones(self._at.shape, np.bool_) if self.present is None else self.present
        return self.on_line(column.given)

    def _splits(self) -> tuple[Bools, Ints, Ints, Ints, Ints]:
        facts = self.bills.facts
        own, over, first, within = (
            self.on_line(part.values) for part in (facts.own, facts.over, facts.first, facts.within)
        )
        return self._given(facts.own), own, over, first, within

    def at(self, claims: Ints, places: Bools | None = None) -> "Charges":
        """Some of the claims; with `places`, only these of their lines count, and the others are 0."""
        part = copy(self)
        part.who, part.codes = self.who[claims], self.codes[claims]
        for name in _OF_LINES:
            value = getattr(self, name)
            setattr(part, name, None if value is None else value[:, claims])
        part.others = {source: paid[:, claims] for source, paid in self.others.items()}
        if places is not None:
            part.present = places
            part.amount, part.billed = np.where(places, part.amount, 0), np.where(places, part.billed, 0)
            part.is_bed = part.is_bed & places
            if part.social is not None:
                part.social = np.where(places, part.social, 0)
            part.others = {source: np.where(places, paid, 0) for source, paid in part.others.items()}
        return part

    # ------------------------------------------------------------ the first round

    def read(self, occurrences: Occurrences, has_refunds: bool) -> None:
        """Nets refunds, fills in days, and adds the codes of the first round that concern bills and lines."""
        bills, who = self.bills, self.who
        category, catalogue_class = self.on_line(bills.category), self.on_line(bills.catalogue_class)
        self._stop("totals_differ", self.is_split & (self.own + self.over + self.first + self.within != self.billed))
        unknown = (category == 0) | (catalogue_class == UNKNOWN_CLASS)
        self._stop("unknown_code", unknown if self.present is None else unknown & self.present)
        self._check_bills(occurrences)
        if has_refunds:
            self._net()
        # A bit pattern is below 0 if one of those it was made of is.
        below = (self.amount | self.own | self.over | self.first | self.within | self.days) < 0
        self._stop("negative_line", below)
        of_inpatient_bill = self.of_bill(self.on_bill(bills.inpatient))
        self._read_days(occurrences, of_inpatient_bill)
        self.is_bed = (category == _CATEGORY[BED]) & of_inpatient_bill
        if self.is_refund is not None:
            self.is_bed &= ~self.is_refund
        self._fill_bed_days(occurrences.stay_days[who])

    def _stop(self, code: ReferCode, found: Bools) -> None:
        """Adds a code to the claims of which anything was found."""
        if found.any():
            self.codes |= np.where(found.any(axis=0), REFER_BIT[code], 0)

    def _check_bills(self, occurrences: Occurrences) -> None:
        bills, who, facts = self.bills, self.who, self.bills.facts
        if not len(self.has_bill):
            return
        self.codes |= np.bitwise_or.reduce(self.on_bill(bills.codes), axis=0)
        self._stop("dates_unclear", self.on_bill(bills.inpatient) & (occurrences.kind[who] != INPATIENT))
        self._stop("enrolment_conflict", self.on_bill(bills.settled) & ~facts.enrolled[who])
        self._stop("totals_differ", self.has_bill & (self.sums_by_bill(self.billed) != self.on_bill(facts.total)))

    def _net(self) -> None:
        """Adds each refund to its original and leaves nothing of it."""
        facts = self.bills.facts
        self.is_refund = is_refund = self._given(facts.refund_of)
        refund_of, no = self.on_line(facts.refund_of.values), self.on_line(facts.no)
        is_ordinary = ~is_refund & (self.billed >= 0)
        if self.present is not None:
            is_ordinary &= self.present
        self.original = original = np.full(self._at.shape, -1, np.int32)
        for place in range(self.lines):
            found = is_refund & is_ordinary[place] & (refund_of == no[place])
            if self.bill_of is not None:
                found &= self.bill_of == self.bill_of[place]
            original[found] = place
        is_linked = original >= 0
        split_of_original = np.take_along_axis(self.is_split, np.maximum(original, 0), axis=0)
        wrong = is_refund & (~is_linked | (self.billed > 0) | (self.is_split != split_of_original))
        self._stop("negative_line", wrong)
        kept = {name: getattr(self, name).copy() for name in ("amount", *_PARTS, "days", "stated_social")}
        for place in range(self.lines):
            claims = np.flatnonzero(is_linked[place])
            if not len(claims):
                continue
            to = original[place, claims]
            kept["amount"][to, claims] += self.billed[place, claims]
            splits = self.is_split[place, claims] & self.is_split[to, claims]
            days = self.has_days[place, claims] & self.has_days[to, claims]
            social = self.states_social[place, claims] & self.states_social[to, claims]
            for name, where in (*((part, splits) for part in _PARTS), ("days", days), ("stated_social", social)):
                kept[name][to[where], claims[where]] += getattr(self, name)[place, claims[where]]
        for name, values in kept.items():
            setattr(self, name, np.where(is_refund, 0, values))
        self.is_split, self.has_days, self.states_social = (
            given & ~is_refund for given in (self.is_split, self.has_days, self.states_social)
        )

    def _read_days(self, occurrences: Occurrences, of_inpatient_bill: Bools) -> None:
        """The day of each line, and the codes of those of inpatient bills."""
        facts, who = self.bills.facts, self.who
        admission, discharge = occurrences.admission[who], occurrences.discharge[who]
        on = self.on_line(facts.on)
        self.day = np.where(
            on > 0, on, np.where(of_inpatient_bill, admission, self.of_bill(self.on_bill(facts.bill_on)))
        )
        if self.is_refund is not None:  # a refund stands where its original stands
            moved = np.take_along_axis(self.day, np.maximum(self.original, 0), axis=0)
            self.day = np.where(self.original >= 0, moved, self.day)
        looked_at = of_inpatient_bill & ((admission > 0) & (discharge > 0))
        if self.is_refund is not None:
            looked_at = looked_at & ~self.is_refund
        self._stop("dates_unclear", looked_at & (on > 0) & ((on < admission) | (on > discharge)))
        missing = looked_at & (on == 0) & (discharge > occurrences.last_day_of_admission[who])
        self._stop("line_dates_missing", missing if self.present is None else missing & self.present)

    def _fill_bed_days(self, stay_days: Days) -> None:
        """The days of the bed lines: they must fit the stay; a single line without days covers the whole of it."""
        if not self.is_bed.any():
            return
        is_given = self.is_bed & self.has_days
        lacking = self.is_bed & ~self.has_days
        beds = self.is_bed.sum(axis=0)
        self._stop("bed_days_missing", lacking & (beds > 1))
        differ = (stay_days > 0) & (self.days.sum(axis=0, where=is_given) > stay_days + 1)
        self.codes |= np.where(differ, REFER_BIT["bed_days_differ"], 0)
        self.days = np.where(lacking & (beds == 1), stay_days, self.days)

    # ------------------------------------------------------------ the second round

    def share_compensation(self) -> None:
        """What 医保 and others paid, shared over the lines of each bill; adds the codes of the second round."""
        bills = self.bills
        paid = self.on_bill(bills.paid)
        if paid.any():
            self.social = self._social(paid)
        others = {source: self.on_bill(amounts) for source, amounts in bills.other_paid.items()}
        ours = self.on_bill(bills.ours)
        if ours.any():
            others["other_insurer"] = others.get("other_insurer", 0) + ours
        others = {source: amounts for source, amounts in others.items() if amounts.any()}
        self._stop("negative_amount", self.on_bill(bills.others_below_zero))
        if others:
            total = sum(others.values(), np.zeros_like(paid))
            self._stop("compensation_exceeds_cost", total > self.on_bill(bills.facts.total) - paid)
        accounted = self.on_bill(bills.facts.accounted)
        self._stop("other_insurer_unknown", accounted & ~self.on_bill(bills.says_other_insurer) & (ours == 0))
        if others:
            self._share_others(others)

    def _social(self, paid: Ints) -> Ints:
        """What 医保 paid of each line: as the lines themselves say, else by their parts within its scope."""
        is_class_c = self.on_line(self.bills.catalogue_class) == PATIENT_PAYS_ALL
        weights = np.where(self.is_split, self.within, np.where(is_class_c, 0, self.amount))
        states = self.states_social
        is_stated = self.sums_by_bill(states.astype(np.int64)) > 0
        exceeds = ~is_stated & (paid > self.sums_by_bill(weights))
        self._stop("social_exceeds_scope", exceeds)
        shared = self._share_by_bill(np.where(is_stated | exceeds, 0, paid), weights)
        if not is_stated.any():
            return shared
        matters = is_stated & (paid > 0)
        of_stated = self.of_bill(matters)
        silent = of_stated & ~states
        if self.is_refund is not None:
            silent &= ~self.is_refund
        if self.present is not None:
            silent &= self.present
        self._stop("social_split_missing", silent)
        spoken = matters & (self.sums_by_bill(silent.astype(np.int64)) == 0)
        stated = np.where(self.of_bill(spoken), self.stated_social, 0)
        self._stop("totals_differ", spoken & (self.sums_by_bill(stated) != paid))
        self._stop("totals_differ", (stated < 0) | (stated > np.maximum(self.amount, 0)))
        return np.where(of_stated, stated, shared)

    def _share_others(self, others: Mapping[Source, Ints]) -> None:
        clean = self.codes == 0  # of the others nothing is used, and their numbers may not be shareable
        left = self.amount if self.social is None else self.amount - self.social
        left = np.where(clean, left, 0)
        for source in SOURCES:
            if source in others:
                self.others[source] = self._share_by_bill(np.where(clean, others[source], 0), left)
                left = left - self.others[source]

    def _share_by_bill(self, totals: Ints, weights: Ints) -> Ints:
        if self.bill_of is None:
            return share(totals[0], weights) if len(totals) else weights
        parts = np.zeros_like(weights)
        for bill in range(len(totals)):
            if totals[bill].any():
                parts += share(totals[bill], np.where(self.bill_of == bill, weights, 0))
        return parts


_PARTS = ("own", "over", "first", "within")
_OF_LINES = (
    "_at", "_bills_at", "present", "bill_of", "has_bill", "billed", "amount", "is_refund", "is_split", *_PARTS,
    "has_days", "days", "states_social", "stated_social", "is_bed", "day", "social",
)  # fmt: skip

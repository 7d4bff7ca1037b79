"""The steps from a claim to its determination, in order (FORMAT.md §5). Start here.

Everything is pure: the same product, cover, history, claim and overlays always give the same determination.
"""

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import TypeVar

from safeweave.adjudication.allowance import allowance_paid, barred_allowance, hospital_bar
from safeweave.adjudication.bills import Charges
from safeweave.adjudication.checks import checked_charges
from safeweave.adjudication.compensation import left_after_compensation
from safeweave.adjudication.copayment import paid_shares
from safeweave.adjudication.deductible import left_after_deductible
from safeweave.adjudication.determination import (
    BenefitResult,
    Cut,
    Determination,
    LineResult,
    StayDays,
    cut_lines,
    cut_of,
    line_result_of,
    payable_of,
)
from safeweave.adjudication.eligible import eligible_amounts
from safeweave.adjudication.history import History
from safeweave.adjudication.limits import left_after_limits
from safeweave.adjudication.lump_sum import barred_lump_sum, grade_of, lump_sum_bar, lump_sum_paid
from safeweave.adjudication.occurrence import Occurrence, PolicyYear
from safeweave.adjudication.overlays import NOTHING, Lifts, lifts_of, overlays_in_force
from safeweave.adjudication.policy_year import lines_by_year
from safeweave.adjudication.reasons import ORDINARY_CUTS, Decision
from safeweave.adjudication.referral import benefit_doubts, claim_doubts
from safeweave.adjudication.tally import Tally
from safeweave.adjudication.whole_benefit import OUTSIDE, Bar, bar_of
from safeweave.coverage.product import Benefit, Product
from safeweave.coverage.usage import Usage, tidied, usage_with
from safeweave.facts import Claim, Cover, Overlay, PaidBill
from safeweave.money import ZERO, Fen

_by_first_day = attrgetter("first_day")
FLOWING_OVER = frozenset({"claim_limit", "year_limit"})  # what these cut, an overflow may pay


def decide(
    product: Product, cover: Cover, history: History, claim: Claim, overlays: Sequence[Overlay] = ()
) -> Determination:
    """The determination of one claim: what is paid, and why not more, to the fen.

    It never refuses: what the rules do not pay is proposed to a person. It needs the history of the whole policy.
    """
    linked = claim.supersedes is None or claim.supersedes in history.in_force
    replaced = history.in_force.get(claim.supersedes) if claim.supersedes is not None else None
    before = history.without(claim.supersedes) if replaced is not None and claim.supersedes is not None else history
    occurrence = Occurrence(product, cover, claim)

    codes: set[str] = set()
    charges, duplicates = checked_charges(occurrence, before, linked, codes)
    if codes:
        return _stopped(claim, history.usage, codes)

    settlement, applied = _settled_with_overlays(occurrence, charges, before, overlays)
    payable = settlement.payable
    adjustment = Fen(payable - replaced.payable) if replaced is not None else None
    refer = settlement.doubts.union(claim_doubts(occurrence, payable, adjustment))
    decision = _decision(occurrence, settlement, bool(refer), bool(duplicates))
    return Determination(
        claim.id,
        decision,
        payable,
        tuple(sorted(refer)),
        duplicates,
        applied,
        tuple(settlement.benefits),
        tuple(settlement.lines),
        usage_with(before.usage, settlement.uses) if decision == "pay" else tidied(history.usage),
        adjustment,
        settlement.uses,
        tuple([PaidBill(bill.code, bill.number, bill.total) for bill in charges.bills]),
        tuple(settlement.stays),
    )


def _stopped(claim: Claim, usage: Usage, codes: Collection[str]) -> Determination:
    """What is said of a claim whose facts do not hold together: a person looks, nothing is computed (§5.2)."""
    return Determination(
        claim=claim.id,
        decision="refer",
        payable=ZERO,
        refer=tuple(sorted(codes)),
        duplicates=(),
        overlays=(),
        benefits=(),
        lines=(),
        usage=tidied(usage),
    )


def _settled_with_overlays(
    occurrence: Occurrence, charges: Charges, history: History, overlays: Sequence[Overlay]
) -> tuple["Settlement", tuple[str, ...]]:
    """The settlement and the overlays applied: none of them, if with them the claim would pay less (§5.10)."""
    in_force = overlays_in_force(occurrence, overlays) if overlays else []
    if not in_force:
        return Settlement(occurrence, charges, history, {}), ()
    relaxed = Settlement(occurrence, charges, history, lifts_of(occurrence, in_force))
    plain = Settlement(occurrence, charges, history, {})
    if relaxed.payable < plain.payable:
        return plain, ()
    return relaxed, tuple(sorted({overlay.id for overlay in in_force}))


def _decision(occurrence: Occurrence, settlement: "Settlement", is_doubtful: bool, has_duplicates: bool) -> Decision:
    """`refer`, `refuse-proposed` or `pay` (§5.9). A claim that the deductible swallows is paid with 0.00."""
    if is_doubtful:
        return "refer"
    if settlement.payable == 0 and (not occurrence.triggered or has_duplicates or settlement.has_refusing_cut()):
        return "refuse-proposed"
    return "pay"


class Settlement:
    """What every benefit pays for a claim, benefit by benefit in the order of computation (§5.3-§5.7, §6)."""

    __slots__ = (
        "_charges",
        "_earlier",
        "_flowing_over",
        "_history",
        "_lifts",
        "_occurrence",
        "_tally",
        "benefits",
        "doubts",
        "lines",
        "payable",
        "stays",
        "uses",
    )

    def __init__(self, occurrence: Occurrence, charges: Charges, history: History, lifts: Lifts) -> None:
        self.benefits: list[BenefitResult] = []
        self.lines: list[LineResult] = []
        self.doubts: set[str] = set()
        self.stays: list[StayDays] = []
        self._occurrence = occurrence
        self._charges = charges
        self._history = history
        self._lifts = lifts
        self._tally = Tally(history.usage)
        self._earlier: list[tuple[Sequence[int], Sequence[int]]] = []  # places, and what was paid there
        self._flowing_over: dict[str, list[tuple[PolicyYear, dict[int, int]]]] = {}  # by benefit
        self._settle()
        self.payable = payable_of(self.benefits)
        self.uses = self._tally.uses()

    def has_refusing_cut(self) -> bool:
        """Whether anything was cut for another reason than compensation and the insured's own share."""
        cuts = [result.cuts for result in self.lines] + [result.cuts for result in self.benefits]
        return any(cut.reason not in ORDINARY_CUTS for found in cuts for cut in found)

    def _settle(self) -> None:
        triggered = self._occurrence.triggered
        for benefit in self._occurrence.product.sequence:
            if benefit.kind == "overflow":
                self._settle_overflow(benefit)
            elif benefit in triggered:
                self._settle_benefit(benefit)
        if self._occurrence.product.has_early_overflow:  # what was computed early is shown in its order
            order = {benefit.id: benefit.order for benefit in self._occurrence.product.benefits}
            self.benefits.sort(key=lambda result: order[result.benefit])
            self.lines.sort(key=lambda result: order[result.benefit])

    def _settle_benefit(self, benefit: Benefit) -> None:
        occurrence, lifted = self._occurrence, self._lifts.get(benefit.id, NOTHING)
        year = occurrence.year_holding(occurrence.event_day(benefit))
        bar = bar_of(occurrence, benefit, year, lifted)
        if year is not None and (bar is None or bar.reason not in OUTSIDE):
            self.doubts.update(benefit_doubts(occurrence, benefit, year, lifted))
        if benefit.kind == "allowance":
            self._settle_allowance(benefit, year, bar, lifted)
        elif benefit.kind == "lump_sum":
            self._settle_lump_sum(benefit, year, bar)
        elif year is None or bar is not None:
            self._bar_lines(benefit, year, bar or Bar("outside_cover", ""))
        else:
            self._settle_lines(benefit, year, lifted)

    # --- by bill ---

    def _bar_lines(self, benefit: Benefit, year: PolicyYear | None, bar: Bar) -> None:
        """Every line cut in full for a reason that concerns the whole benefit; nothing is consumed."""
        charges, cuts = self._charges, self._netted_cuts()
        cut_lines(cuts, [line.amount for line in charges.lines], bar.reason, bar.clause)
        places = range(len(charges.lines))
        self._report(benefit, year.scope if year is not None else "", places, [0] * len(places), cuts)

    def _settle_lines(self, benefit: Benefit, year: PolicyYear, lifted: Collection[str]) -> None:
        charges, cuts = self._charges, self._netted_cuts()
        amounts: list[int] = [line.amount for line in charges.lines] if charges.originals else list(charges.billed)
        by_year, uncovered = lines_by_year(charges, self._occurrence, benefit, year)
        for place, reason in uncovered.items():
            if amounts[place]:
                cuts[place].append(cut_of(reason, amounts[place], year.terms[benefit.id].window.clause))
                amounts[place] = 0
        if not by_year:
            self._report(benefit, year.scope, (), (), ())
        for own_year in sorted(by_year, key=_by_first_day):
            places = by_year[own_year]
            paid = self._settle_group(benefit, own_year, places, _at(places, amounts), lifted, _at(places, cuts))
            self._report(benefit, own_year.scope, places, paid, _at(places, cuts))

    def _settle_group(
        self,
        benefit: Benefit,
        year: PolicyYear,
        places: Sequence[int],
        amounts: Sequence[int],
        lifted: Collection[str],
        cuts: Sequence[list[Cut]],
    ) -> Sequence[int]:
        """What the lines of one benefit and policy year are paid (§5.5 to §5.7)."""
        occurrence, charges, tally = self._occurrence, self._charges.at(places), self._tally
        terms = year.terms[benefit.id]
        earlier = _at(places, self._paid_before()) if self._earlier else ()
        deductible = None if "deductible" in lifted else terms.deductible
        eligible = eligible_amounts(charges, amounts, occurrence, terms, lifted, cuts)
        left, offsetting = left_after_compensation(charges, eligible, earlier, terms, cuts)
        if deductible is not None and deductible.step == "before_ratio":
            left = left_after_deductible(deductible, left, offsetting, year.scope, tally, cuts)
        paid = paid_shares(charges, left, occurrence, terms, lifted, cuts)
        if deductible is not None and deductible.step == "after_ratio":
            paid = left_after_deductible(deductible, paid, offsetting, year.scope, tally, cuts)
        return self._limited(benefit, year, places, paid, cuts)

    def _limited(
        self,
        benefit: Benefit,
        year: PolicyYear,
        places: Sequence[int],
        paid: Sequence[int],
        cuts: Sequence[list[Cut]],
    ) -> Sequence[int]:
        """What is paid within the benefit's limits; what claim and year limits cut may flow over."""
        limits = year.terms[benefit.id].limits
        if not limits:
            return paid
        lines = self._charges.lines
        left, found = left_after_limits(
            limits, paid, [lines[place].category for place in places], year.scope, self._tally
        )
        over: dict[int, int] = {}
        for limit, parts in found:
            cut_lines(cuts, parts, limit.reason, limit.clause)
            if limit.reason in FLOWING_OVER:
                for place, part in zip(places, parts, strict=True):
                    if part:
                        over[place] = over.get(place, 0) + part
        if over:
            self._flowing_over.setdefault(benefit.id, []).append((year, dict(sorted(over.items()))))
        return left

    def _settle_overflow(self, benefit: Benefit) -> None:
        """Pays what limits cut off in the benefit before it, up to limits of its own (§5.7).

        Only limits hold for it: it is not triggered, so no reason of §5.3 or doubt of §5.9 concerns it.
        """
        if not self._occurrence.diagnosis.startswith(benefit.icd):
            return
        for year, over in self._flowing_over.get(benefit.after, ()):
            places, amounts = list(over), list(over.values())
            cuts: list[list[Cut]] = [[] for _ in places]
            paid = self._limited(benefit, year, places, amounts, cuts)
            self._report(benefit, year.scope, places, paid, cuts, amounts)

    def _netted_cuts(self) -> list[list[Cut]]:
        """For each line its cuts so far: what netting moved between refunds and their originals."""
        charges = self._charges
        cuts: list[list[Cut]] = [[] for _ in charges.lines]
        if charges.originals:
            moved = [billed - line.amount for billed, line in zip(charges.billed, charges.lines, strict=True)]
            cut_lines(cuts, moved, "netted", "")
        return cuts

    def _report(
        self,
        benefit: Benefit,
        period: str,
        places: Sequence[int],
        paid: Sequence[int],
        cuts: Sequence[list[Cut]],
        amounts: Sequence[int] | None = None,
    ) -> None:
        """Adds the rows of one benefit and policy year; `amounts` where they are not those of the bills."""
        charges, id = self._charges, benefit.id
        lines, keys = charges.lines, charges.keys
        if amounts is None:
            amounts = _at(places, charges.billed)
        self.lines += [
            line_result_of(id, period, keys[place], lines[place].no, amount, part, tuple(found))
            for place, amount, part, found in zip(places, amounts, paid, cuts, strict=True)
        ]
        self.benefits.append(BenefitResult(id, period, Fen(sum(paid)), self._occurrence.payee))
        self._earlier.append((places, paid))

    def _paid_before(self) -> list[int]:
        """What earlier benefits paid of each line."""
        paid_before = [0] * len(self._charges.lines)
        for places, paid in self._earlier:
            for place, part in zip(places, paid, strict=True):
                paid_before[place] += part
        return paid_before

    # --- fixed amounts ---

    def _settle_allowance(
        self, benefit: Benefit, year: PolicyYear | None, bar: Bar | None, lifted: Collection[str]
    ) -> None:
        occurrence = self._occurrence
        if bar is None and year is not None:
            bar = hospital_bar(occurrence, year.terms[benefit.id], lifted)
        if year is None or bar is not None:
            paid = barred_allowance(occurrence, benefit, year, bar or Bar("outside_cover", ""))
        else:
            paid = allowance_paid(occurrence, benefit, year, self._history, self._tally)
        if paid.stay is not None:
            self.stays.append(paid.stay)
        self.benefits.append(
            BenefitResult(
                benefit.id,
                year.scope if year is not None else "",
                Fen(paid.amount),
                occurrence.payee,
                days=paid.days,
                cuts=tuple(paid.cuts),
            )
        )

    def _settle_lump_sum(self, benefit: Benefit, year: PolicyYear | None, bar: Bar | None) -> None:
        occurrence = self._occurrence
        grade = grade_of(occurrence, benefit, year)
        if bar is None and year is not None:
            bar = lump_sum_bar(occurrence, benefit, year, grade, self._tally)
        if year is None or grade is None or bar is not None:
            paid = barred_lump_sum(benefit, year, grade, bar or Bar("outside_cover", ""))
        else:
            paid = lump_sum_paid(occurrence, benefit, year, grade, self._tally)
        self.doubts.update(paid.holds)
        self.benefits.append(
            BenefitResult(
                benefit.id,
                year.scope if year is not None else "",
                Fen(paid.amount),
                occurrence.payee,
                grade=paid.grade,
                cuts=tuple(paid.cuts),
            )
        )


T = TypeVar("T")


def _at(places: Sequence[int], values: Sequence[T]) -> Sequence[T]:
    """The values at some places; all of them, if these are all the places."""
    return values if len(places) == len(values) else [values[place] for place in places]

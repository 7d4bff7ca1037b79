"""The steps from a claim to its determination, in order (FORMAT.md §5). Start here.

Everything is pure: the same product, cover, history, claim and overlays always give the same determination.
"""

from collections.abc import Collection, Sequence
from operator import attrgetter

import msgspec

from safeweave.adjudication.allowance import allowance_paid, barred_allowance, hospital_bar
from safeweave.adjudication.bills import Charges
from safeweave.adjudication.checks import checked_charges
from safeweave.adjudication.compensation import take_compensation
from safeweave.adjudication.copayment import take_copayment
from safeweave.adjudication.deductible import take_deductible
from safeweave.adjudication.determination import (
    BenefitResult,
    Determination,
    LineResult,
    StayDays,
    cut_of,
    line_result_of,
    payable_of,
)
from safeweave.adjudication.eligible import take_ineligible
from safeweave.adjudication.history import History
from safeweave.adjudication.limits import cut_to_limits
from safeweave.adjudication.lump_sum import barred_lump_sum, grade_of, lump_sum_bar, lump_sum_paid
from safeweave.adjudication.occurrence import Occurrence, PolicyYear, occurrence_of
from safeweave.adjudication.overlays import NOTHING, Lifts, lifts_of, overlays_in_force
from safeweave.adjudication.policy_year import all_lie_in, lines_by_year
from safeweave.adjudication.reasons import ORDINARY_CUTS, Decision
from safeweave.adjudication.referral import benefit_doubts, claim_doubts
from safeweave.adjudication.tally import Tally
from safeweave.adjudication.whole_benefit import OUTSIDE, Bar, bar_of
from safeweave.adjudication.worksheet import Worksheet
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
    replaced, before, linked = None, history, True
    if claim.supersedes is not None:
        replaced = history.in_force.get(claim.supersedes)
        before, linked = (history.without(claim.supersedes), True) if replaced is not None else (history, False)
    occurrence = occurrence_of(product, cover, claim)

    codes: set[str] = set()
    charges, duplicates = checked_charges(occurrence, before, linked, codes)
    if codes:
        return _stopped(claim, history.usage, codes)

    settlement, applied = _settlement_of(occurrence, charges, before, overlays)
    payable, uses, refer = payable_of(settlement.benefits), settlement.tally.uses(), settlement.doubts
    adjustment = Fen(payable - replaced.payable) if replaced is not None else None
    refer.update(claim_doubts(occurrence, payable, adjustment))
    decision: Decision = "pay"
    if refer:
        decision = "refer"
    elif payable == 0 and _is_refused(settlement, duplicates):
        decision = "refuse-proposed"
    if decision != "pay":
        usage = tidied(history.usage)
    elif before.usage.scopes:
        usage = usage_with(before.usage, uses)
    else:
        usage = uses
    return Determination(
        claim.id,
        decision,
        payable,
        tuple(sorted(refer)) if refer else (),
        duplicates,
        applied,
        tuple(settlement.benefits),
        tuple(settlement.lines),
        usage,
        adjustment,
        uses,
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


def _settlement_of(
    occurrence: Occurrence, charges: Charges, history: History, overlays: Sequence[Overlay]
) -> tuple["Settlement", tuple[str, ...]]:
    """The settlement and the overlays applied: none of them, if with them the claim would pay less (§5.10)."""
    plain = Settlement(occurrence, charges, history, {}, Tally(history.usage))
    plain.settle()
    in_force = overlays_in_force(occurrence, overlays) if overlays else ()
    if not in_force:
        return plain, ()
    relaxed = Settlement(occurrence, charges, history, lifts_of(occurrence, in_force), Tally(history.usage))
    relaxed.settle()
    if payable_of(relaxed.benefits) < payable_of(plain.benefits):
        return plain, ()
    return relaxed, tuple(sorted({overlay.id for overlay in in_force}))


def _is_refused(settlement: "Settlement", duplicates: Sequence[str]) -> bool:
    """Whether a claim that pays nothing is to be refused (§5.9). One that the deductible swallows is not."""
    return bool(not settlement.occurrence.opening.triggered or duplicates or settlement.has_refusing_cut())


class Settlement(msgspec.Struct, eq=False, gc=False):
    """What every benefit pays for a claim, benefit by benefit in the order of computation (§5.3-§5.7, §6)."""

    occurrence: Occurrence
    charges: Charges
    history: History
    lifts: Lifts
    tally: Tally
    benefits: list[BenefitResult] = []
    lines: list[LineResult] = []
    doubts: set[str] = set()
    stays: list[StayDays] = []
    earlier: list[tuple[Sequence[int], Sequence[int]]] = []  # places, and what was paid there
    flowing_over: dict[str, list[tuple[PolicyYear, dict[int, int]]]] = {}  # by benefit

    def has_refusing_cut(self) -> bool:
        """Whether anything was cut for another reason than compensation and the insured's own share."""
        cuts = [result.cuts for result in self.lines] + [result.cuts for result in self.benefits]
        return any(cut.reason not in ORDINARY_CUTS for found in cuts for cut in found)

    def settle(self) -> None:
        """Settles every benefit that the claim opens."""
        product = self.occurrence.product
        for benefit in self.occurrence.opening.sequence:
            if benefit.kind == "overflow":
                self.settle_overflow(benefit)
            else:
                self.settle_benefit(benefit)
        if product.has_early_overflow:  # what was computed early is shown in its order
            order = {benefit.id: benefit.order for benefit in product.benefits}
            self.benefits.sort(key=lambda result: order[result.benefit])
            self.lines.sort(key=lambda result: order[result.benefit])

    def settle_benefit(self, benefit: Benefit) -> None:
        """Settles a benefit of its own kind, unless a reason bars all of it; a person looks at its doubts."""
        occurrence = self.occurrence
        day = occurrence.accident_day if benefit.kind == "accident" else occurrence.day
        year, lifted = occurrence.year_holding(day), self.lifts.get(benefit.id, NOTHING)
        bar = bar_of(occurrence, benefit, year, day, lifted)
        if year is not None and (bar is None or bar.reason not in OUTSIDE):
            self.doubts.update(benefit_doubts(occurrence, benefit, year, day, lifted))
        if benefit.kind == "allowance":
            self.settle_allowance(benefit, year, bar, lifted)
        elif benefit.kind == "lump_sum":
            self.settle_lump_sum(benefit, year, bar)
        elif year is None or bar is not None:
            self.bar_lines(benefit, year, bar or Bar("outside_cover", ""))
        else:
            self.settle_lines(benefit, year, lifted)

    # --- by bill ---

    def bar_lines(self, benefit: Benefit, year: PolicyYear | None, bar: Bar) -> None:
        """Every line cut in full for a reason that concerns the whole benefit; nothing is consumed."""
        sheet = self.sheet_of_all()
        sheet.take(bar.reason, bar.clause, self.charges.amounts)
        self.report(benefit, year.scope if year is not None else "", sheet, self.charges.billed)

    def settle_lines(self, benefit: Benefit, year: PolicyYear, lifted: Collection[str]) -> None:
        """Settles the lines of each policy year by themselves; what no year covers stands under the event's."""
        sheet = self.sheet_of_all()
        if all_lie_in(year, self.charges, benefit):
            self.settle_sheet(benefit, year, sheet, lifted)
            return
        by_year, uncovered = lines_by_year(self.charges, self.occurrence, benefit, year)
        for reason, places in uncovered.items():
            sheet.take_whole(reason, year.terms[benefit.id].window.clause, places)
        if not by_year:
            self.report(benefit, year.scope, sheet, ())
        for own_year in sorted(by_year, key=_by_first_day):
            self.settle_sheet(benefit, own_year, sheet.at(by_year[own_year]), lifted)

    def settle_sheet(self, benefit: Benefit, year: PolicyYear, sheet: Worksheet, lifted: Collection[str]) -> None:
        """Pays the lines of one benefit and policy year (§5.5 to §5.7)."""
        occurrence, tally, terms = self.occurrence, self.tally, year.terms[benefit.id]
        earlier = self.paid_before(sheet.places) if self.earlier else ()
        deductible = None if "deductible" in lifted else terms.deductible

        take_ineligible(sheet, occurrence, terms, lifted)
        offsetting = take_compensation(sheet, earlier, terms)
        if deductible is not None and deductible.step == "before_ratio":
            take_deductible(sheet, deductible, offsetting, year, tally)
        if terms.ratio is not None:
            take_copayment(sheet, terms.ratio, occurrence, terms, lifted)
        if deductible is not None and deductible.step == "after_ratio":
            take_deductible(sheet, deductible, offsetting, year, tally)
        if terms.limits:
            self.limit(benefit, year, sheet)
        self.report(benefit, year.scope, sheet, sheet.charges.billed)

    def limit(self, benefit: Benefit, year: PolicyYear, sheet: Worksheet) -> None:
        """Takes what exceeds the benefit's limits; what claim and year limits cut may flow over."""
        found = cut_to_limits(year.terms[benefit.id].limits, sheet.left, sheet.charges.lines, year, self.tally)
        if not found:
            return
        over: dict[int, int] = {}
        for limit, parts in found:
            sheet.take(limit.reason, limit.clause, parts)
            if limit.reason in FLOWING_OVER:
                for place, part in zip(sheet.places, parts, strict=True):
                    if part:
                        over[place] = over.get(place, 0) + part
        if over:
            self.flowing_over.setdefault(benefit.id, []).append((year, dict(sorted(over.items()))))

    def settle_overflow(self, benefit: Benefit) -> None:
        """Pays what limits cut off in the benefit before it, up to limits of its own (§5.7).

        Only limits hold for it: it is not triggered, so no reason of §5.3 or doubt of §5.9 concerns it.
        """
        if not self.occurrence.diagnosis.startswith(benefit.icd):
            return
        for year, over in self.flowing_over.get(benefit.after, ()):
            places, amounts = list(over), list(over.values())
            sheet = Worksheet(self.charges.at(places), places, amounts)
            self.limit(benefit, year, sheet)
            self.report(benefit, year.scope, sheet, amounts)

    def sheet_of_all(self) -> Worksheet:
        """All lines of the claim, with what netting moved between refunds and their originals as their first cuts."""
        charges = self.charges
        sheet = Worksheet(charges, range(len(charges.lines)), charges.amounts)
        if charges.originals:
            for found, billed, amount in zip(sheet.cuts, charges.billed, charges.amounts, strict=True):
                if billed != amount:
                    found.append(cut_of("netted", billed - amount, ""))
        return sheet

    def report(self, benefit: Benefit, period: str, sheet: Worksheet, amounts: Sequence[int]) -> None:
        """Adds the rows of one benefit and policy year."""
        id, charges, paid = benefit.id, sheet.charges, sheet.left
        for key, line, amount, part, cuts in zip(charges.keys, charges.lines, amounts, paid, sheet.cuts, strict=True):
            self.lines.append(line_result_of(id, period, key, line.no, amount, part, tuple(cuts)))
        self.benefits.append(BenefitResult(id, period, Fen(sum(paid)), self.occurrence.payee))
        self.earlier.append((sheet.places, paid))

    def paid_before(self, places: Sequence[int]) -> list[int]:
        """What earlier benefits paid of the lines at these places."""
        paid_before = [0] * len(self.charges.lines)
        for there, paid in self.earlier:
            for place, part in zip(there, paid, strict=True):
                paid_before[place] += part
        return [paid_before[place] for place in places]

    # --- fixed amounts ---

    def settle_allowance(
        self, benefit: Benefit, year: PolicyYear | None, bar: Bar | None, lifted: Collection[str]
    ) -> None:
        occurrence = self.occurrence
        if bar is None and year is not None:
            bar = hospital_bar(occurrence, year.terms[benefit.id], lifted)
        if year is None or bar is not None:
            paid = barred_allowance(occurrence, benefit, year, bar or Bar("outside_cover", ""))
        else:
            paid = allowance_paid(occurrence, benefit, year, self.history, self.tally)
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

    def settle_lump_sum(self, benefit: Benefit, year: PolicyYear | None, bar: Bar | None) -> None:
        occurrence = self.occurrence
        grade = grade_of(occurrence, benefit, year)
        if bar is None and year is not None:
            bar = lump_sum_bar(occurrence, benefit, year, grade, self.tally)
        if year is None or grade is None or bar is not None:
            paid = barred_lump_sum(benefit, year, grade, bar or Bar("outside_cover", ""))
        else:
            paid = lump_sum_paid(occurrence, benefit, year, grade, self.tally)
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

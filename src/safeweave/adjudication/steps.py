"""The steps from a claim to its determination, in order (FORMAT.md §5). Start here.

Everything is pure: the same product, cover, history, claim and overlays always give the same determination.
"""

from collections.abc import Collection, Sequence

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
    payable_of,
)
from safeweave.adjudication.eligible import eligible_amounts
from safeweave.adjudication.history import History
from safeweave.adjudication.limits import left_after_limits
from safeweave.adjudication.lump_sum import barred_lump_sum, grade_of, lump_sum_bar, lump_sum_paid
from safeweave.adjudication.occurrence import Occurrence, PolicyYear
from safeweave.adjudication.overlays import NOTHING, Lifts, lifts_of, overlays_in_force
from safeweave.adjudication.policy_year import places_of
from safeweave.adjudication.reasons import ORDINARY_CUTS, Decision
from safeweave.adjudication.referral import benefit_doubts, claim_doubts
from safeweave.adjudication.tally import Tally
from safeweave.adjudication.whole_benefit import OUTSIDE, Bar, bar_of
from safeweave.coverage.product import Benefit, Product
from safeweave.coverage.usage import Usage, tidied, usage_with
from safeweave.facts import Claim, Cover, Overlay, PaidBill
from safeweave.money import ZERO, Fen

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
        claim=claim.id,
        decision=decision,
        payable=payable,
        refer=tuple(sorted(refer)),
        duplicates=duplicates,
        overlays=applied,
        benefits=tuple(settlement.benefits),
        lines=tuple(settlement.lines),
        usage=usage_with(before.usage, settlement.uses) if decision == "pay" else tidied(history.usage),
        adjustment=adjustment,
        uses=settlement.uses,
        bills=tuple(PaidBill(bill.code, bill.number, bill.total) for bill in charges.bills),
        stays=tuple(settlement.stays),
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
        self._earlier = [0] * len(charges.lines)  # what earlier benefits paid, by line
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
        for place, amount in enumerate(charges.net):
            if amount:
                cuts[place].append(cut_of(bar.reason, amount, bar.clause))
        places = range(len(charges.lines))
        self._report(benefit, year.scope if year is not None else "", places, [0] * len(places), cuts)

    def _settle_lines(self, benefit: Benefit, year: PolicyYear, lifted: Collection[str]) -> None:
        charges, cuts = self._charges, self._netted_cuts()
        amounts = list(charges.net)
        groups: dict[PolicyYear, list[int]] = {}
        for place, found in enumerate(places_of(charges, self._occurrence, benefit, year)):
            if isinstance(found, str):
                if amounts[place]:
                    cuts[place].append(cut_of(found, amounts[place], year.terms[benefit.id].window.clause))
                    amounts[place] = 0
                found = year
            if found in groups:
                groups[found].append(place)
            else:
                groups[found] = [place]
        if not groups:
            self._report(benefit, year.scope, (), (), cuts)
        for own_year in sorted(groups, key=lambda year: year.first_day):
            places = groups[own_year]
            paid = self._settle_group(benefit, own_year, places, amounts, lifted, cuts)
            self._report(benefit, own_year.scope, places, paid, cuts)

    def _settle_group(
        self,
        benefit: Benefit,
        year: PolicyYear,
        places: Sequence[int],
        amounts: Sequence[int],
        lifted: Collection[str],
        cuts: Sequence[list[Cut]],
    ) -> list[int]:
        """What the lines of one benefit and policy year are paid (§5.5 to §5.7)."""
        occurrence, charges, tally = self._occurrence, self._charges, self._tally
        terms = year.terms[benefit.id]
        deductible = None if "deductible" in lifted else terms.deductible
        eligible = eligible_amounts(charges, places, amounts, occurrence, terms, lifted, cuts)
        left, offsetting = left_after_compensation(charges, places, eligible, self._earlier, terms, cuts)
        if deductible is not None and deductible.step == "before_ratio":
            left = left_after_deductible(deductible, places, left, offsetting, year.scope, tally, cuts)
        paid = paid_shares(charges, places, left, occurrence, terms, lifted, cuts)
        if deductible is not None and deductible.step == "after_ratio":
            paid = left_after_deductible(deductible, places, paid, offsetting, year.scope, tally, cuts)
        return self._limited(benefit, year, places, paid, cuts)

    def _limited(
        self,
        benefit: Benefit,
        year: PolicyYear,
        places: Sequence[int],
        paid: list[int],
        cuts: Sequence[list[Cut]],
    ) -> list[int]:
        """What is paid within the benefit's limits; what claim and year limits cut may flow over."""
        limits = year.terms[benefit.id].limits
        categories = [self._charges.categories[place] for place in places] if limits else []
        left, found = left_after_limits(limits, paid, categories, year.scope, self._tally)
        over: dict[int, int] = {}
        for limit, parts in found:
            cut_lines(cuts, places, parts, limit.reason, limit.clause)
            if limit.reason in FLOWING_OVER:
                for index, part in enumerate(parts):
                    if part:
                        over[places[index]] = over.get(places[index], 0) + part
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
            cuts: list[list[Cut]] = [[] for _ in self._charges.lines]
            places = list(over)
            paid = self._limited(benefit, year, places, list(over.values()), cuts)
            self._report(benefit, year.scope, places, paid, cuts, over)

    def _netted_cuts(self) -> list[list[Cut]]:
        """For each line its cuts so far: what netting moved between refunds and their originals."""
        charges = self._charges
        cuts: list[list[Cut]] = [[] for _ in charges.lines]
        for place in {*charges.originals, *charges.originals.values()}:
            moved = charges.lines[place].amount - charges.net[place]
            if moved:
                cuts[place].append(cut_of("netted", moved, ""))
        return cuts

    def _report(
        self,
        benefit: Benefit,
        period: str,
        places: Sequence[int],
        paid: Sequence[int],
        cuts: Sequence[list[Cut]],
        amounts: dict[int, int] | None = None,
    ) -> None:
        """Adds the rows of one benefit and policy year; `amounts` where they are not those of the bills."""
        charges, earlier = self._charges, self._earlier
        keys = [bill.key for bill in charges.bills]
        for index, place in enumerate(places):
            line, part = charges.lines[place], paid[index]
            amount = line.amount if amounts is None else Fen(amounts[place])
            earlier[place] += part
            self.lines.append(
                LineResult(
                    benefit.id, period, keys[charges.bill_of[place]], line.no, amount, Fen(part), tuple(cuts[place])
                )
            )
        self.benefits.append(BenefitResult(benefit.id, period, Fen(sum(paid)), self._occurrence.payee))

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

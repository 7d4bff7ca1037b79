"""`steps.py` for a batch of claims at once, benefit by benefit in the order of computation (FORMAT.md §5.3 to §5.7).

Read it beside `adjudication/steps.py`: the same names, each amount a matrix of lines by claims. An amount of 0 changes
no sum, share or cut, so whatever does not count (a barred claim, a line of another policy year) is 0 here.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from safeweave.adjudication.overlays import NOTHING, Lifts
from safeweave.adjudication.reasons import CutReason
from safeweave.adjudication.steps import FLOWING_OVER
from safeweave.adjudication.whole_benefit import OUTSIDE, applies
from safeweave.bulk import hospital
from safeweave.bulk.amounts import FITS, Bools, Ints, completed, half_up, share
from safeweave.bulk.batch import Batch
from safeweave.bulk.charges import INPATIENT, PATIENT_PAYS_ALL, Charges
from safeweave.bulk.facts import Codes
from safeweave.bulk.fixed import allowance_sheet, lump_sum_sheet
from safeweave.bulk.occurrences import KINDS, REFER_BIT
from safeweave.bulk.sheets import BenefitSheet, LineSheet
from safeweave.bulk.tally import Tally
from safeweave.coverage.product import (
    CLASSES,
    Benefit,
    BenefitTerms,
    Deductible,
    Ratio,
    Scope,
    ServiceList,
    Situation,
    Window,
)
from safeweave.money import WHOLE

SITUATIONS: tuple[Situation, ...] = ("settled", "enrolled_not_used", "not_enrolled")
_ORDINARY_WARDS = frozenset({"ordinary", "icu"})


class BarHere(NamedTuple):
    """A reason that leaves a whole benefit unpaid, its clause, and the claims it concerns."""

    reason: CutReason
    clause: str
    claims: Bools


class Group(NamedTuple):
    """The lines of one benefit and policy year for some claims of the batch."""

    claims: Ints  # places in the batch
    years: Codes  # places of the policy year in the claims' covers
    terms: dict[str, BenefitTerms]  # of that year
    charges: Charges


class Settlement:
    """What every benefit pays for the claims of a batch, as sheets of rows."""

    def __init__(self, batch: Batch, charges: Charges, tally: Tally, lifts: Lifts) -> None:
        self.batch, self.charges, self.tally, self.lifts = batch, charges, tally, lifts
        self.benefits: list[BenefitSheet] = []
        self.stays: list[tuple[Benefit, Ints, Ints, Ints]] = []  # claims, skipped days, paid days
        self.doubts = np.zeros(batch.count, np.int64)
        self._earlier: Ints | None = None  # what earlier benefits paid of each line
        self._flowing_over: dict[str, list[tuple[Group, Ints]]] = {}
        for benefit in batch.shape.product.sequence:
            if benefit.kind == "overflow":
                self._settle_overflow(benefit)
            elif benefit in batch.shape.opening.triggered:
                self._settle_benefit(benefit)
        self.payable = np.zeros(batch.count, np.int64)
        for sheet in self.benefits:
            self.payable[sheet.claims] += sheet.payable

    def sheets(self) -> Iterator[LineSheet]:
        """The rows of lines."""
        return (sheet.lines for sheet in self.benefits if sheet.lines is not None)

    def has_refusing_cut(self) -> Bools:
        """Of which claims anything was cut for another reason than compensation and the insured's own share."""
        found = np.zeros(self.batch.count, np.bool_)
        for sheet in self.benefits:
            found[sheet.claims] |= sheet.refusing()
        return found

    def _settle_benefit(self, benefit: Benefit) -> None:
        batch, lifted = self.batch, self.lifts.get(benefit.id, NOTHING)
        _, places, in_force = batch.event(benefit)
        terms = in_force[benefit.id] if in_force is not None else None
        bars = self._bars(benefit, terms, lifted)
        if terms is not None:
            outside = np.zeros(batch.count, np.bool_)
            for bar in bars:
                if bar.reason in OUTSIDE:
                    outside |= bar.claims
            self._note_doubts(benefit, terms, lifted, ~outside)
        if benefit.kind == "allowance":
            self._add_fixed(*allowance_sheet(batch, benefit, terms, bars, lifted, self.tally), benefit)
        elif benefit.kind == "lump_sum":
            sheet, doubts = lump_sum_sheet(batch, benefit, terms, bars, self.tally)
            self.benefits.append(sheet)
            self.doubts |= doubts
        else:
            self._settle_lines(benefit, places, bars, lifted)

    def _add_fixed(self, sheet: BenefitSheet, stays: tuple[Ints, Ints, Ints], benefit: Benefit) -> None:
        self.benefits.append(sheet)
        self.stays.append((benefit, *stays))

    # ------------------------------------------------------------ reasons of a whole benefit

    def _bars(self, benefit: Benefit, terms: BenefitTerms | None, lifted: Collection[str]) -> list[BarHere]:
        """Why a benefit is not paid at all, in order of their strength; each claim stands under the first."""
        batch = self.batch
        bars: list[BarHere] = []
        open_ = np.ones(batch.count, np.bool_)

        def bar(reason: CutReason, clause: str, found: Bools) -> None:
            found = found & open_
            if found.any():
                bars.append(BarHere(reason, clause, found))
                np.logical_and(open_, ~found, out=open_)

        if terms is None:
            bar("outside_cover", "", open_.copy())
            return bars
        day, places, _ = batch.event(benefit)
        first_day, _, since = batch.years(places)
        if terms.window.cover_days is not None:
            bar("outside_cover", terms.window.clause, day >= first_day.astype(np.int64) + terms.window.cover_days)
        roster_first, roster_last = batch.facts.roster_first_day[batch.who], batch.facts.roster_last_day[batch.who]
        bar("not_on_roster", "", (day < roster_first) | ((roster_last > 0) & (day > roster_last)))
        accident = batch.shape.accident
        waiting = terms.waiting
        if waiting is not None and not accident and "waiting_days" not in lifted:
            waits = batch.lookups.numbers(batch.facts.diagnosis, waiting, waiting.days_for)[batch.diagnosis]
            days_since = np.where(batch.found_day > 0, batch.found_day, day) - since
            bar("waiting_period", waiting.clause, (days_since >= 0) & (days_since < waits))
        for exclusion in terms.illnesses:
            if applies(exclusion, accident):
                bar("excluded_diagnosis", exclusion.clause, batch.has_illness(exclusion.icd))
        return bars

    def _note_doubts(self, benefit: Benefit, terms: BenefitTerms, lifted: Collection[str], in_cover: Bools) -> None:
        """The doubts of §5.9 about a triggered benefit."""
        batch, accident = self.batch, self.batch.shape.accident
        day, places, _ = batch.event(benefit)
        _, _, since = batch.years(places)
        shown = batch.accident_day if accident else np.where(batch.found_day > 0, batch.found_day, day)
        self.doubts |= (in_cover & (shown < since)) * np.int64(REFER_BIT["preexisting_doubt"])
        waiting = terms.waiting
        if waiting is not None and waiting.doubt_days and "waiting_days" not in lifted and not accident:
            waits = batch.lookups.numbers(batch.facts.diagnosis, waiting, waiting.days_for)[batch.diagnosis]
            days_since = day - since
            soon = (waits <= days_since) & (days_since < waits + waiting.doubt_days) & (batch.found_day == 0)
            self.doubts |= (in_cover & soon) * np.int64(REFER_BIT["waiting_period_doubt"])
        for exclusion in terms.illnesses:
            if applies(exclusion, accident):
                hidden = in_cover & batch.has_secondary_only(exclusion.icd)
                self.doubts |= hidden * np.int64(REFER_BIT["diagnosis_doubt"])

    # ------------------------------------------------------------ by bill

    def _settle_lines(self, benefit: Benefit, places: Codes, bars: Sequence[BarHere], lifted: Collection[str]) -> None:
        batch, charges = self.batch, self.charges
        _, _, in_force = batch.event(benefit)
        sheet = LineSheet(benefit, batch.everyone, places, charges, charges.present, charges.billed)
        amounts = charges.amount
        if charges.is_refund is not None:
            sheet.cut("netted", "", charges.billed - amounts)
        open_ = np.ones(batch.count, np.bool_)
        for bar in bars:
            amounts = sheet.taken(bar.reason, bar.clause, bar.claims, amounts)
            open_ &= ~bar.claims
        if in_force is None:
            self._report(sheet, amounts)
            return
        window = in_force[benefit.id].window
        uncovered, own_places = self._policy_years(benefit, window, places, open_)
        for reason, found in uncovered:
            amounts = sheet.taken(reason, window.clause, found, amounts)
        group = Group(batch.everyone, places, in_force, charges)
        if own_places is None:
            self._settle_group(benefit, group, amounts, lifted, sheet)
            return
        for part, shown in self._groups(group, own_places):
            own = sheet.at(part.claims, part.years, part.charges, shown)
            self._settle_group(benefit, part, _within(amounts, part.claims, shown), lifted, own)

    def _policy_years(
        self, benefit: Benefit, window: Window, places: Codes, open_: Bools
    ) -> tuple[list[tuple[CutReason, Bools]], Codes | None]:
        """The lines that no policy year covers, by reason, and the place of each line's own year (§5.4).

        None instead of the places if all lines belong to the year of the event, as nearly always. Of claims that are
        not open nothing is said: all their lines stand under the event's year.
        """
        batch, charges = self.batch, self.charges
        day = charges.day
        if benefit.kind == "accident":
            since_accident = day - batch.accident_day
            outside = since_accident < 0
            if window.accident_days is not None:
                outside |= since_accident >= window.accident_days
            return [("outside_accident_window", outside)], None
        first_day, last_day, since = batch.years(places)
        elsewhere = (day < first_day) | (day > last_day)
        uncovered: list[tuple[CutReason, Bools]] = []
        if batch.shape.kind == KINDS[INPATIENT]:
            of_visit = charges.of_bill(charges.has_bill & ~charges.on_bill(charges.bills.inpatient))
            if of_visit.any():
                begin, end = batch.admission - np.int64(window.pre_days), batch.discharge + np.int64(window.post_days)
                outside = of_visit & ((day < begin) | (day > end))
                uncovered.append(("outside_pre_post_window", outside))
                elsewhere &= ~outside
        elsewhere &= open_
        if charges.present is not None:
            elsewhere &= charges.present
        if not elsewhere.any():
            return uncovered, None
        lines, claims = np.nonzero(elsewhere)
        day, event_place, periods = day[lines, claims], places[claims], batch.facts.periods
        first_day, last_day, since = first_day[claims], last_day[claims], since[claims]
        holding = periods.holding(day, batch.covers[claims])
        is_before = day < first_day
        is_renewal = ~is_before & (holding >= 0) & (periods.since[batch.covers[claims], holding] <= first_day)
        in_tail = ~is_before & (day <= last_day + np.int64(window.tail_days)) & (batch.shape.kind == KINDS[INPATIENT])
        too_early = is_before & (day < since)
        too_late = ~is_before & ~is_renewal & ~in_tail
        reasons: tuple[tuple[CutReason, Bools], ...] = (("before_cover", too_early), ("after_cover", too_late))
        for reason, found in reasons:
            matrix = np.zeros(charges.day.shape, np.bool_)
            matrix[lines[found], claims[found]] = True
            uncovered.append((reason, matrix))
        if window.stay_year != "line_date":
            return uncovered, None
        moves = (is_before & ~too_early & (holding >= 0)) | is_renewal
        own_places = np.broadcast_to(places, charges.day.shape).copy()
        own_places[lines, claims] = np.where(moves, holding, event_place)
        return uncovered, own_places if (own_places != places).any() else None

    def _groups(self, group: Group, own_places: Codes) -> Iterator[tuple[Group, Bools | None]]:
        """The lines by policy year, years ascending, each with the lines that count (None: all there are)."""
        batch, charges = self.batch, self.charges
        is_split = (own_places != group.years).any(axis=0)
        whole = np.flatnonzero(~is_split)
        if len(whole):
            part = charges.at(whole)
            yield Group(whole, group.years[whole], group.terms, part), part.present
        for place in range(batch.facts.periods.most):
            shown = (own_places == place) & is_split
            if charges.present is not None:
                shown &= charges.present
            claims = np.flatnonzero(shown.any(axis=0))
            first_days = batch.facts.periods.first_day[batch.covers[claims], place]
            for first_day in np.unique(first_days).tolist():
                some = claims[first_days == first_day]
                terms = batch.shape.product.terms_on(date.fromordinal(first_day))
                part = charges.at(some, shown[:, some])
                yield Group(some, np.full(len(some), place, np.int32), terms, part), part.present

    def _settle_group(
        self, benefit: Benefit, group: Group, amounts: Ints, lifted: Collection[str], sheet: LineSheet
    ) -> None:
        """What the lines of one benefit and policy year are paid (§5.5 to §5.7)."""
        terms = group.terms[benefit.id]
        deductible = None if "deductible" in lifted else terms.deductible
        eligible = self._eligible(group, terms, amounts, lifted, sheet)
        left, offsetting = self._left_after_compensation(group, terms, eligible, sheet)
        if deductible is not None and deductible.step == "before_ratio":
            left = self._left_after_deductible(deductible, group, left, offsetting, sheet)
        paid = self._paid_shares(group, terms, left, lifted, sheet)
        if deductible is not None and deductible.step == "after_ratio":
            paid = self._left_after_deductible(deductible, group, paid, offsetting, sheet)
        self._report(sheet, self._limited(benefit, group, paid, sheet))

    def _eligible(
        self, group: Group, terms: BenefitTerms, amounts: Ints, lifted: Collection[str], sheet: LineSheet
    ) -> Ints:
        """The eligible amount of each line (§5.5)."""
        batch, charges, facts, lookups = self.batch, group.charges, self.batch.facts, self.batch.lookups
        eligible = amounts
        rule = terms.hospital
        if rule is not None:
            covered = hospital.bills_are_covered(rule, batch, group.claims, charges, lifted)
            if not covered.all():
                eligible = sheet.taken("hospital_not_covered", rule.clause, ~charges.of_bill(covered), eligible)
            if rule.ordinary_ward_only:
                ordinary = lookups.among(facts.ward, _ORDINARY_WARDS)[charges.on_line(facts.ward.at)]
                eligible = sheet.taken("ward_not_ordinary", rule.clause, ~ordinary, eligible)
        clauses = terms.treatments_after_accident if batch.shape.accident else terms.treatments
        if clauses:
            treatment = charges.on_line(facts.line_treatment.at)
            for clause in dict.fromkeys(clauses.values()):
                excluded = frozenset(name for name, its_clause in clauses.items() if its_clause == clause)
                found = lookups.among(facts.line_treatment, excluded)[treatment]
                eligible = sheet.taken("excluded_treatment", clause, found, eligible)
        if terms.drug_list is not None and "drug_list" not in lifted:
            barred = self._not_in(terms.drug_list, charges)
            eligible = sheet.taken("not_in_drug_list", terms.drug_list.clause, barred, eligible)
        if terms.item_list is not None and "item_list" not in lifted:
            barred = self._not_in(terms.item_list, charges)
            eligible = sheet.taken("not_in_item_list", terms.item_list.clause, barred, eligible)
        if terms.scope is not None:
            eligible = _within_scope(terms.scope, charges, eligible, sheet)
        if terms.bed_cap is not None and charges.is_bed.any():
            cap = min(terms.bed_cap.amount, FITS)  # no line is dearer
            excess = np.maximum(eligible - cap * charges.days, 0)
            eligible = sheet.taken("over_bed_cap", terms.bed_cap.clause, charges.is_bed, eligible, excess)
        return eligible

    def _not_in(self, services: ServiceList, charges: Charges) -> Bools:
        """The lines of the categories a list looks at which it does not allow."""
        facts, lookups = self.batch.facts, self.batch.lookups
        looked_at = lookups.among(facts.category, services.categories)[charges.on_line(facts.category.at)]
        if not looked_at.any():
            return looked_at
        code = charges.on_line(facts.code.at)
        allowed = lookups.among(facts.catalogue_class, services.classes)[charges.on_line(facts.catalogue_class.at)]
        if services.codes:
            allowed |= lookups.among(facts.code, services.codes)[code]
        if services.barred:
            allowed &= ~lookups.among(facts.code, services.barred)[code]
        return looked_at & ~allowed

    def _left_after_compensation(
        self, group: Group, terms: BenefitTerms, eligible: Ints, sheet: LineSheet
    ) -> tuple[Ints, Ints]:
        """What is left of the eligible amounts, and what of the compensation may offset the deductible (§5.6.1)."""
        clause = terms.ratio.clause if terms.ratio is not None else ""
        offset_by = terms.deductible.offset_by if terms.deductible is not None else frozenset[str]()
        left, offsetting = eligible, np.zeros(len(group.claims), np.int64)
        if group.charges.social is not None:
            social = np.minimum(left, group.charges.social)
            left = left - social
            sheet.cut("social_paid", clause, social)
            if "social" in offset_by:
                offsetting = social.sum(axis=0)
        if group.charges.others:
            others = np.zeros_like(left)
            for source, paid in group.charges.others.items():
                parts = np.minimum(left - others, paid)
                others += parts
                if source in offset_by:
                    offsetting = offsetting + parts.sum(axis=0)
            left = left - others
            sheet.cut("other_paid", clause, others)
        if self._earlier is not None:
            parts = np.minimum(left, self._earlier[:, group.claims])
            left = left - parts
            sheet.cut("earlier_benefit", clause, parts)
            if "earlier_benefit" in offset_by:
                offsetting = offsetting + parts.sum(axis=0)
        return left, offsetting

    def _left_after_deductible(
        self, deductible: Deductible, group: Group, amounts: Ints, offsetting: Ints, sheet: LineSheet
    ) -> Ints:
        """The amounts after the deductible took its part, shared over them (§5.6.2)."""
        key = ("deductible", deductible.id)
        used = self.tally.used(deductible.basis, key, group.claims, group.years)
        left = np.maximum(0, deductible.amount - used)
        offset = np.minimum(left, offsetting)
        taken = np.minimum(left - offset, amounts.sum(axis=0))
        self.tally.add(deductible.basis, key, group.claims, group.years, offset + taken)
        if not taken.any():
            return amounts
        parts = share(taken, amounts)
        sheet.cut("deductible", deductible.clause, parts)
        return amounts - parts

    def _paid_shares(
        self, group: Group, terms: BenefitTerms, amounts: Ints, lifted: Collection[str], sheet: LineSheet
    ) -> Ints:
        """The part of each amount that the ratio pays, rounded once for the group (§5.6.3)."""
        ratio = terms.ratio
        if ratio is None:
            return amounts
        exact = amounts * self._rates(group, terms, ratio, lifted)
        paid = completed(exact, WHOLE, half_up(exact.sum(axis=0), WHOLE))
        sheet.cut("copayment", ratio.clause, amounts - paid)
        return paid

    def _rates(self, group: Group, terms: BenefitTerms, ratio: Ratio, lifted: Collection[str]) -> Ints:
        """The rate of each line: by how 医保 took part in its bill, by its class, and by its bill's hospital."""
        charges = group.charges
        table = np.array(
            [
                [[*(ratio.rates(situation, inside)[name] for name in CLASSES), 0] for inside in (False, True)]
                for situation in SITUATIONS
            ],
            np.int64,
        )
        bills = charges.bills
        is_settled = charges.on_bill(bills.settled)
        if ratio.zero_settlement != "settled":
            is_settled &= charges.on_bill(bills.paid) > 0
        unsettled = np.where(self.batch.enrolled[group.claims], 1, 2)
        situation = np.where(is_settled, 0, unsettled)
        inside = hospital.bills_are_in_network(terms.hospital, self.batch, group.claims, charges, lifted)
        row = situation * 2 + (1 if inside is None else inside)
        flat = table.reshape(len(SITUATIONS) * 2, len(CLASSES) + 1)
        found = flat[row]  # bills x claims x classes
        same_for_all_classes = (table[:, :, :-1] == table[:, :, :1]).all()
        if same_for_all_classes:
            return charges.of_bill(found[:, :, 0])
        place = charges.of_bill(row) * (len(CLASSES) + 1) + charges.on_line(bills.catalogue_class)
        rates: Ints = flat.ravel()[place]
        return rates

    def _limited(self, benefit: Benefit, group: Group, paid: Ints, sheet: LineSheet) -> Ints:
        """What is paid within the benefit's limits; what claim and year limits cut may flow over (§5.7)."""
        limits = group.terms[benefit.id].limits
        if not limits:
            return paid
        category = group.charges.on_line(self.batch.facts.category.at)
        counted = [
            self.batch.lookups.among(self.batch.facts.category, limit.categories)[category]
            if limit.categories
            else None
            for limit in limits
        ]
        over: Ints | None = None
        for limit, counts in zip(limits, counted, strict=True):
            amounts = paid if counts is None else np.where(counts, paid, 0)
            used = self.tally.used(limit.basis, ("limit", limit.id), group.claims, group.years)
            excess = np.maximum(amounts.sum(axis=0) - np.maximum(0, limit.amount - used), 0)
            (exceeding,) = np.nonzero(excess)
            if not len(exceeding):
                continue
            parts = np.zeros_like(paid)
            parts[:, exceeding] = share(excess[exceeding], amounts[:, exceeding])
            paid = paid - parts
            sheet.cut(limit.reason, limit.clause, parts)
            if limit.reason in FLOWING_OVER:
                over = parts if over is None else over + parts
        for limit, counts in zip(limits, counted, strict=True):
            total = paid.sum(axis=0) if counts is None else np.where(counts, paid, 0).sum(axis=0)
            self.tally.add(limit.basis, ("limit", limit.id), group.claims, group.years, total)
        if over is not None:
            self._flowing_over.setdefault(benefit.id, []).append((group, over))
        return paid

    def _settle_overflow(self, benefit: Benefit) -> None:
        """Pays what limits cut off in the benefit before it, up to limits of its own (§5.7)."""
        if benefit.after not in self._flowing_over:
            return
        is_ill = self.batch.has_illness(benefit.icd)
        for group, over in self._flowing_over[benefit.after]:
            (some,) = np.nonzero(over.any(axis=0) & is_ill[group.claims])
            if not len(some):
                continue
            part = Group(group.claims[some], group.years[some], group.terms, group.charges.at(some))
            amounts = over[:, some]
            sheet = LineSheet(benefit, part.claims, part.years, part.charges, amounts > 0, amounts)
            self._report(sheet, self._limited(benefit, part, amounts, sheet))

    def _report(self, sheet: LineSheet, paid: Ints) -> None:
        """Adds the rows of one benefit and policy year."""
        sheet.paid = paid
        self.benefits.append(BenefitSheet(sheet.benefit, sheet.claims, sheet.years, paid.sum(axis=0), sheet))
        if self._earlier is None:
            self._earlier = np.zeros(self.charges.billed.shape, np.int64)
        self._earlier[:, sheet.claims] += paid


def _within(values: Ints, claims: Ints, shown: Bools | None) -> Ints:
    return values[:, claims] if shown is None else np.where(shown, values[:, claims], 0)


def _within_scope(scope: Scope, charges: Charges, eligible: Ints, sheet: LineSheet) -> Ints:
    """What is left without the parts that `scope` does not cover. Without a split a 丙 line is all 全自费."""
    counts = eligible != 0
    if not scope.own:
        is_class_c = charges.on_line(charges.bills.catalogue_class) == PATIENT_PAYS_ALL
        own = np.where(charges.is_split, charges.own, np.where(is_class_c, eligible, 0))
        eligible = sheet.taken("outside_catalogue", scope.clause, counts, eligible, own)
    if not scope.over:
        eligible = sheet.taken("over_price_cap", scope.clause, counts, eligible, charges.over)
    if not scope.first:
        eligible = sheet.taken("first_self_pay", scope.clause, counts, eligible, charges.first)
    return eligible

"""A person pays another amount than the rules yield: line by line, with a clause, and counted like any payment. Pure.

The rules are computed first, also where a person pays; what the person changes is laid over them, so that replay can
do the same again. What the rules could not compute at all is paid by hand: the lines are then those of the bills.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import msgspec

from safeweave.adjudication.determination import (
    Adjustment,
    BenefitResult,
    Change,
    Cut,
    Determination,
    LineResult,
    cut_of,
    payable_of,
)
from safeweave.adjudication.history import History
from safeweave.adjudication.occurrence import Occurrence, occurrence_of
from safeweave.coverage.product import BY_BILL, Benefit, Product
from safeweave.coverage.usage import LIFETIME, Usage, tidied, usage_of, usage_with
from safeweave.errors import Malformed
from safeweave.facts import Bill, Claim, Cover, Line, PaidBill
from safeweave.money import ZERO, Fen, yuan_shown
from safeweave.words import Language, say

BORNE_BY_OTHERS = frozenset({"netted", "social_paid", "other_paid", "earlier_benefit"})
"""What these cuts take was paid already: nobody is paid for a line more than is left."""

# Bills of which nobody can say that they are owed: they are put right by the hospital, not paid by hand.
UNSOUND = frozenset({"bill_reversed", "duplicate_bill", "reissue_unlinked", "totals_differ", "negative_amount"})


class NotAdjustable(Malformed):
    """A change a person may not make, with why, in either language."""

    def __init__(self, why: str, **values: object) -> None:
        self._why, self._values = why, values
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """What is wrong, and what may be paid."""
        return say(f"workbench.not_adjustable.{self._why}", language, **self._values)


Row = tuple[str, str, str, int]  # benefit, period, bill, number of the line


def most_of(line: LineResult) -> int:
    """The most a person may pay for a line: what neither social insurance, nor others, nor a refund has paid."""
    return max(line.amount - sum(cut.amount for cut in line.cuts if cut.reason in BORNE_BY_OTHERS), 0)


def by_hand(result: Determination, product: Product, cover: Cover, claim: Claim) -> Determination:
    """The result a person starts from: itself, or every line unpaid under each benefit that pays by bill.

    The latter where the rules could compute nothing. Nothing can be paid for bills that are unsound, or where no policy
    year holds the day.
    """
    if result.benefits or UNSOUND.intersection(result.refer):
        return result
    occurrence = occurrence_of(product, cover, claim)
    year = occurrence.year_holding(occurrence.day)
    bills = [bill for bill in claim.bills if bill.state == "issued"]
    if year is None or not bills:
        return result
    benefits = [benefit for benefit in product.benefits if benefit.kind in BY_BILL and _may_pay(benefit, occurrence)]
    lines = tuple(
        LineResult(benefit.id, year.scope, bill.key, line.no, line.amount, ZERO, tuple(_borne(line, bill)))
        for benefit in benefits
        for bill in bills
        for line in bill.lines
        if line.amount > 0
    )
    return msgspec.structs.replace(
        result,
        benefits=tuple(BenefitResult(benefit.id, year.scope, ZERO, occurrence.payee) for benefit in benefits),
        lines=tuple(_completed(line) for line in lines),
        bills=tuple(PaidBill(bill.code, bill.number, bill.total) for bill in bills),
    )


def _may_pay(benefit: Benefit, occurrence: Occurrence) -> bool:
    claim = occurrence.claim
    return benefit.kind == claim.kind or (benefit.kind == "accident" and claim.accident)


def _borne(line: Line, bill: Bill) -> Iterator[Cut]:
    """What others paid of a line, as far as it is said; else its share of what they paid of the bill, rounded up."""
    paid = line.social_paid
    if paid is None:
        together = (bill.fund or 0) + (bill.other or 0)
        paid = Fen(-(-line.amount * together // bill.total)) if bill.total > 0 else ZERO
    if paid:
        yield cut_of("social_paid", min(paid, line.amount), "")
    other = sum(each.amount for each in bill.other_paid)
    if other and bill.total > 0:
        left = line.amount - min(paid, line.amount)
        yield cut_of("other_paid", min(-(-line.amount * other // bill.total), left), "")


def _completed(line: LineResult) -> LineResult:
    """A line of which nothing is paid: what the others left is, until a person pays it, the person's cut."""
    left = line.amount - sum(cut.amount for cut in line.cuts)
    return msgspec.structs.replace(line, cuts=(*line.cuts, cut_of("adjusted", left, ""))) if left else line


def check(adjustment: Adjustment, base: Determination) -> None:
    """Raises NotAdjustable for a change without a clause, of what is not there, or beyond what may be paid.

    `base` is what `by_hand` gives.
    """
    if not adjustment.clause.strip():
        raise NotAdjustable("no_clause")
    if not adjustment.changes:
        raise NotAdjustable("no_change")
    if not base.benefits:
        raise NotAdjustable("bills_unsound")
    rows = {_row(line): line for line in base.lines}
    fixed = {(result.benefit, result.period): result for result in _fixed(base)}
    for change in adjustment.changes:
        line = rows.get(_of(change))
        if line is not None:
            most = most_of(line)
        elif not change.bill and (change.benefit, change.period) in fixed:
            result = fixed[change.benefit, change.period]
            most = result.payable + sum(cut.amount for cut in result.cuts)
        else:
            raise NotAdjustable("no_line", line=change.no, bill=change.bill or change.benefit)
        if not 0 <= change.paid <= most:
            raise NotAdjustable("too_much", line=change.no, amount=yuan_shown(change.paid), most=yuan_shown(most))
    paid: dict[tuple[str, int], int] = {}
    left: dict[tuple[str, int], int] = {}
    changed = {_of(change): change.paid for change in adjustment.changes}
    for line in base.lines:
        place = line.bill, line.no
        paid[place] = paid.get(place, 0) + changed.get(_row(line), line.paid)
        borne = sum(cut.amount for cut in line.cuts if cut.reason in BORNE_BY_OTHERS - {"earlier_benefit"})
        left[place] = max(left.get(place, 0), line.amount - borne)
    for (_, no), amount in paid.items():
        if amount > left[_, no]:
            raise NotAdjustable("too_much", line=no, amount=yuan_shown(amount), most=yuan_shown(left[_, no]))


def adjusted(
    result: Determination, adjustment: Adjustment, product: Product, cover: Cover, history: History, claim: Claim
) -> Determination:
    """The determination with a person's changes: what is paid, why it differs, and what it uses up.

    Deductibles and days that were met stay met; limits count what is paid in the end.
    """
    base = by_hand(result, product, cover, claim)
    changed = {_of(change): change.paid for change in adjustment.changes}
    lines = tuple(_line(line, changed.get(_row(line)), adjustment.clause) for line in base.lines)
    sums: dict[tuple[str, str], int] = {}
    for line in lines:
        sums[line.benefit, line.period] = sums.get((line.benefit, line.period), 0) + line.paid
    benefits = tuple(
        msgspec.structs.replace(each, payable=Fen(sums[each.benefit, each.period]))
        if (each.benefit, each.period) in sums
        else _benefit(each, changed.get((each.benefit, each.period, "", 0)), adjustment.clause)
        for each in base.benefits
    )
    payable = payable_of(benefits)
    uses = usage_with(base.uses, _more_used(base, lines, benefits, product, claim))
    before = history
    replaced = history.in_force.get(claim.supersedes) if claim.supersedes else None
    if replaced is not None and claim.supersedes:
        before = history.without(claim.supersedes)
    return msgspec.structs.replace(
        base,
        payable=payable,
        benefits=benefits,
        lines=lines,
        uses=uses,
        usage=usage_with(before.usage, uses) if base.decision == "pay" else tidied(history.usage),
        adjustment=Fen(payable - replaced.payable) if replaced is not None else base.adjustment,
        adjusted=adjustment,
    )


def _row(line: LineResult) -> Row:
    return line.benefit, line.period, line.bill, line.no


def _of(change: Change) -> Row:
    return change.benefit, change.period, change.bill, change.no


def _fixed(result: Determination) -> Sequence[BenefitResult]:
    """The benefits that pay without lines."""
    with_lines = {(line.benefit, line.period) for line in result.lines}
    return [each for each in result.benefits if (each.benefit, each.period) not in with_lines]


def _line(line: LineResult, paid: Fen | None, clause: str) -> LineResult:
    if paid is None or paid == line.paid:
        return line
    return msgspec.structs.replace(line, paid=paid, cuts=_with_cut(line.cuts, line.paid - paid, clause))


def _benefit(result: BenefitResult, paid: Fen | None, clause: str) -> BenefitResult:
    if paid is None or paid == result.payable:
        return result
    return msgspec.structs.replace(result, payable=paid, cuts=_with_cut(result.cuts, result.payable - paid, clause))


def _with_cut(cuts: tuple[Cut, ...], less: int, clause: str) -> tuple[Cut, ...]:
    """The cuts with one more of a person; what a person cut before and gives back is gone."""
    less += sum(cut.amount for cut in cuts if cut.reason == "adjusted")
    kept = tuple(cut for cut in cuts if cut.reason != "adjusted")
    return (*kept, cut_of("adjusted", less, clause)) if less else kept


def _more_used(
    base: Determination, lines: Sequence[LineResult], benefits: Sequence[BenefitResult], product: Product, claim: Claim
) -> Usage:
    """What the changes add to what limits count, below zero where less is paid."""
    categories = {(bill.key, line.no): line.category for bill in claim.bills for line in bill.lines}
    more: list[tuple[str, str, str, int]] = []
    for old, new in zip(base.lines, lines, strict=True):
        if new.paid != old.paid:
            category = categories.get((new.bill, new.no), "")
            more += _counted(product, new.benefit, new.period, category, new.paid - old.paid)
    with_lines = {(line.benefit, line.period) for line in lines}
    for before, after in zip(base.benefits, benefits, strict=True):
        if (after.benefit, after.period) not in with_lines and after.payable != before.payable:
            more += _counted(product, after.benefit, after.period, "", after.payable - before.payable)
    return usage_of(more)


def _counted(
    product: Product, benefit: str, period: str, category: str, amount: int
) -> Iterator[tuple[str, str, str, int]]:
    scopes: Mapping[str, str] = {"year": period, "lifetime": LIFETIME}
    for limit in product.terms_on(date.fromisoformat(period))[benefit].limits if period else ():
        if limit.basis in scopes and (not limit.categories or category in limit.categories):
            yield "limit", scopes[limit.basis], limit.id, amount

"""The answer to a claim: decision, amounts, and a reason with its clause for every fen not paid (FORMAT.md §4)."""

from collections.abc import Callable, Iterable
from typing import cast

from safeweave.adjudication.reasons import CutReason, Decision, Payee, PersonReason
from safeweave.coverage.usage import NO_USAGE, Usage
from safeweave.facts import Fact, PaidBill
from safeweave.money import Fen


class Cut(Fact, frozen=True, gc=False):
    """Part of an amount that is not paid, why, and by which clause ("" if no block caused it).

    Below zero only where a person pays more than the rules.
    """

    reason: CutReason | PersonReason
    amount: Fen
    clause: str


# A cut of an amount that is whole fen already. Calling `Fen` for each would cost as much as making the cut.
cut_of = cast("Callable[[CutReason | PersonReason, int, str], Cut]", Cut)


class LineResult(Fact, frozen=True, gc=False):
    """One line of a bill under one benefit and policy year; amount = paid + sum of cuts."""

    benefit: str
    period: str
    bill: str
    no: int
    amount: Fen
    paid: Fen
    cuts: tuple[Cut, ...] = ()


# The same for a row: what comes in is whole fen.
line_result_of = cast("Callable[[str, str, str, int, int, int, tuple[Cut, ...]], LineResult]", LineResult)


class BenefitResult(Fact, frozen=True, gc=False):
    """What one benefit pays in one policy year, and to whom.

    `days` belongs to allowances and `grade` to lump sums ("" if none); only these two have cuts of their own.
    """

    benefit: str
    period: str  # the first day of the policy year; "" if no period holds the event
    payable: Fen
    payee: Payee
    days: int | None = None
    grade: str | None = None
    cuts: tuple[Cut, ...] = ()


class StayDays(Fact, frozen=True):
    """The days of a stay under one allowance, those of the stays merged with it included."""

    benefit: str
    skipped: int
    paid: int


class Change(Fact, frozen=True):
    """What a person pays, instead of what the rules yield, for one line under one benefit and policy year.

    Without a bill it is what a benefit pays that has no lines.
    """

    benefit: str
    period: str
    bill: str
    no: int
    paid: Fen


class Adjustment(Fact, frozen=True):
    """A person's changes to one determination, and the clause they rest on."""

    clause: str
    changes: tuple[Change, ...]


class Determination(Fact, frozen=True):
    """The decision on one claim. `payable` is what the rules yield; it is released only on `pay`."""

    claim: str
    decision: Decision
    payable: Fen
    refer: tuple[str, ...]  # codes, sorted
    duplicates: tuple[str, ...]  # keys of the bills that were dropped
    overlays: tuple[str, ...]  # ids in force, sorted
    benefits: tuple[BenefitResult, ...]
    lines: tuple[LineResult, ...]
    usage: Usage  # after the claim
    adjustment: Fen | None = None  # payable less the superseded claim's
    uses: Usage = NO_USAGE  # what `pay` adds to the usage
    bills: tuple[PaidBill, ...] = ()  # what `pay` makes paid: the bills that were read and not dropped
    stays: tuple[StayDays, ...] = ()  # one for each allowance that was not cut as a whole
    adjusted: Adjustment | None = None  # what a person changed; it is worked into all of the above
    restores: str | None = None  # the earlier determination that all of the above is put back from


def payable_of(benefits: Iterable[BenefitResult]) -> Fen:
    """The sum of what the benefits pay."""
    return Fen(sum(benefit.payable for benefit in benefits))

"""The insured occurrence behind a claim: its days, policy years and triggered benefits (FORMAT.md §5.1, §5.4).

Days are day numbers (`date.toordinal`) here, so that adding any number of days never leaves the calendar.
"""

from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from operator import attrgetter

import msgspec

from safeweave.adjudication.plan import Plans, plans_on
from safeweave.adjudication.reasons import Payee
from safeweave.coverage.product import BY_BILL, Benefit, BenefitKind, Product, TermsInForce
from safeweave.coverage.usage import LIFETIME
from safeweave.facts import Claim, ClaimKind, Cover, Period

ADULT_AGE = 18
CLAIM = "claim"  # the scope of what only counts within one claim; it never reaches the usage

CLAIM_DAY: dict[ClaimKind, Callable[[Claim], date | None]] = {
    "inpatient": attrgetter("admitted_on"),
    "outpatient": attrgetter("visited_on"),
    "diagnosis": attrgetter("diagnosed_on"),
    "death": attrgetter("died_on"),
}


class PolicyYear:
    """One period of the policy with the terms in force on its first day."""

    __slots__ = ("first_day", "last_day", "plans", "scope", "scopes", "since", "terms")

    def __init__(
        self, first_day: int, last_day: int, since: int, scope: str, terms: TermsInForce, plans: Plans
    ) -> None:
        self.first_day = first_day
        self.last_day = last_day
        self.since = since
        self.scope = scope  # its first day as text
        self.scopes = {"claim": CLAIM, "year": scope, "lifetime": LIFETIME}  # where a figure counts, by its basis
        self.terms = terms
        self.plans = plans


class Opening(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a kind of claim opens of a product."""

    triggered: tuple[Benefit, ...]
    sequence: tuple[Benefit, ...]  # the triggered ones and all overflows, in the order of computation
    reads_bills: bool
    reads_hospital: bool


class Occurrence(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A claim with everything about it that several rules read."""

    product: Product
    cover: Cover
    claim: Claim
    diagnosis: str  # the main one, "" if there is none
    claim_day: date | None
    day: int  # the same; 0 stands for every day that is not known
    admission: int
    discharge: int
    stay_days: int  # 0 without a known stay
    accident_day: int
    found_day: int
    years: Sequence[PolicyYear]
    opening: Opening
    age: int
    payee: Payee

    def event_day(self, benefit: Benefit) -> int:
        """The day on which the occurrence counts for a benefit."""
        return self.accident_day if benefit.kind == "accident" else self.day

    def year_holding(self, day: int) -> PolicyYear | None:
        """The policy year that holds a day, or None."""
        for year in self.years:
            if year.first_day <= day <= year.last_day:
                return year
        return None


def occurrence_of(product: Product, cover: Cover, claim: Claim) -> Occurrence:
    """The occurrence behind a claim."""
    day = CLAIM_DAY[claim.kind](claim)
    admitted_on, discharged_on = claim.admitted_on, claim.discharged_on
    admission = 0 if admitted_on is None else admitted_on.toordinal()
    discharge = 0 if discharged_on is None else discharged_on.toordinal()
    age = age_on(cover.birth, claim.claimed_on)
    payee: Payee = "insured" if age >= ADULT_AGE and claim.died_on is None else _payee(cover, claim, age)
    return Occurrence(
        product,
        cover,
        claim,
        claim.diagnoses[0] if claim.diagnoses else "",
        day,
        0 if day is None else day.toordinal(),
        admission,
        discharge,
        (discharge - admission if discharge > admission else 1) if admission and discharge else 0,
        0 if claim.accident_on is None else claim.accident_on.toordinal(),
        0 if claim.first_found_on is None else claim.first_found_on.toordinal(),
        _years(product, cover.periods),
        _opening(product, claim.kind, claim.accident, claim.treatment),
        age,
        payee,
    )


# Whether a claim of some kind, by accident or not, opens a benefit. An overflow is never opened: it follows what it
# flows over from.
IS_TRIGGERED: dict[BenefitKind, Callable[[Benefit, ClaimKind, bool, str | None], bool]] = {
    "inpatient": lambda benefit, kind, accident, treatment: kind == "inpatient",
    "outpatient": lambda benefit, kind, accident, treatment: (
        kind == "outpatient" and (not benefit.treatments or treatment in benefit.treatments)
    ),
    "accident": lambda benefit, kind, accident, treatment: accident and kind in ("inpatient", "outpatient"),
    "allowance": lambda benefit, kind, accident, treatment: (
        kind == "inpatient" and (accident or not benefit.accident_only)
    ),
    "lump_sum": lambda benefit, kind, accident, treatment: kind == benefit.trigger,
    "overflow": lambda benefit, kind, accident, treatment: False,
}


@lru_cache(maxsize=4_096)
def _opening(product: Product, kind: ClaimKind, accident: bool, treatment: str | None) -> Opening:
    triggered = tuple(
        benefit for benefit in product.benefits if IS_TRIGGERED[benefit.kind](benefit, kind, accident, treatment)
    )
    sequence = tuple(benefit for benefit in product.sequence if benefit.kind == "overflow" or benefit in triggered)
    reads_bills = not BY_BILL.isdisjoint([benefit.kind for benefit in triggered])
    return Opening(triggered, sequence, reads_bills, bool(triggered) and kind in ("inpatient", "outpatient"))


def age_on(birth: date, day: date) -> int:
    """Full years; who is born on 29 February has the birthday on 1 March in common years."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


@lru_cache(maxsize=4_096)  # the policies of a portfolio begin on a few hundred days
def _years(product: Product, periods: tuple[Period, ...]) -> Sequence[PolicyYear]:
    """The policy years by first day."""
    years = [
        PolicyYear(
            period.first_day.toordinal(),
            period.last_day.toordinal(),
            period.since.toordinal(),
            period.first_day.isoformat(),
            product.terms_on(period.first_day),
            plans_on(product, period.first_day),
        )
        for period in periods
    ]
    return sorted(years, key=lambda year: year.first_day)


def _payee(cover: Cover, claim: Claim, age: int) -> Payee:
    """Who receives what is paid (§5.11)."""
    if claim.kind == "death":
        return "beneficiary" if cover.beneficiary else "estate"
    if claim.died_on is not None:
        return "estate"
    return "guardian" if age < ADULT_AGE else "insured"

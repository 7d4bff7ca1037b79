"""The insured occurrence behind a claim: its days, policy years and triggered benefits (FORMAT.md §5.1, §5.4).

Days are day numbers (`date.toordinal`) here, so that adding any number of days never leaves the calendar.
"""

from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from operator import attrgetter

from safeweave.adjudication.reasons import Payee
from safeweave.coverage.product import BY_BILL, Benefit, BenefitKind, Product, TermsInForce
from safeweave.facts import Claim, ClaimKind, Cover, Period

ADULT_AGE = 18

CLAIM_DAY: dict[ClaimKind, Callable[[Claim], date | None]] = {
    "inpatient": attrgetter("admitted_on"),
    "outpatient": attrgetter("visited_on"),
    "diagnosis": attrgetter("diagnosed_on"),
    "death": attrgetter("died_on"),
}


class PolicyYear:
    """One period of the policy with the terms in force on its first day."""

    __slots__ = ("first_day", "last_day", "scope", "since", "terms")

    def __init__(self, first_day: int, last_day: int, since: int, scope: str, terms: TermsInForce) -> None:
        self.first_day = first_day
        self.last_day = last_day
        self.since = since
        self.scope = scope  # its first day as text
        self.terms = terms


class Occurrence:
    """A claim with everything about it that several rules read."""

    __slots__ = (
        "accident_day",
        "admission",
        "age",
        "claim",
        "claim_day",
        "cover",
        "day",
        "diagnosis",
        "discharge",
        "found_day",
        "payee",
        "product",
        "reads_bills",
        "reads_hospital",
        "stay_days",
        "triggered",
        "years",
    )

    def __init__(self, product: Product, cover: Cover, claim: Claim) -> None:
        self.product = product
        self.cover = cover
        self.claim = claim
        self.diagnosis = claim.diagnoses[0] if claim.diagnoses else ""
        self.claim_day = day = CLAIM_DAY[claim.kind](claim)
        self.day = 0 if day is None else day.toordinal()  # 0 stands for every day that is not known
        self.admission = 0 if claim.admitted_on is None else claim.admitted_on.toordinal()
        self.discharge = 0 if claim.discharged_on is None else claim.discharged_on.toordinal()
        self.accident_day = 0 if claim.accident_on is None else claim.accident_on.toordinal()
        self.found_day = 0 if claim.first_found_on is None else claim.first_found_on.toordinal()
        self.stay_days = max(1, self.discharge - self.admission) if self.admission and self.discharge else 0
        self.years = _years(product, cover.periods)
        self.triggered = _triggered(product, claim.kind, claim.accident, claim.treatment)
        self.reads_bills = not BY_BILL.isdisjoint([benefit.kind for benefit in self.triggered])
        self.reads_hospital = bool(self.triggered) and claim.kind in ("inpatient", "outpatient")
        self.age = age_on(cover.birth, claim.claimed_on)
        self.payee = _payee(cover, claim, self.age)

    def event_day(self, benefit: Benefit) -> int:
        """The day on which the occurrence counts for a benefit."""
        return self.accident_day if benefit.kind == "accident" else self.day

    def year_holding(self, day: int) -> PolicyYear | None:
        """The policy year that holds a day, or None."""
        for year in self.years:
            if year.first_day <= day <= year.last_day:
                return year
        return None


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
def _triggered(product: Product, kind: ClaimKind, accident: bool, treatment: str | None) -> Sequence[Benefit]:
    return tuple(
        benefit for benefit in product.benefits if IS_TRIGGERED[benefit.kind](benefit, kind, accident, treatment)
    )


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

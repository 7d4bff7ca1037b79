"""The insured occurrence behind a claim: its days, policy years and triggered benefits (FORMAT.md §5.1, §5.4).

Days are day numbers (`date.toordinal`) here, so that adding any number of days never leaves the calendar.
"""

from collections.abc import Callable, Sequence
from datetime import date
from operator import attrgetter

from safeweave.adjudication.reasons import Payee
from safeweave.coverage.product import BY_BILL, Benefit, BenefitKind, Product, TermsInForce
from safeweave.facts import Claim, ClaimKind, Cover

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
        self.claim_day = CLAIM_DAY[claim.kind](claim)
        self.day = _number(self.claim_day)
        self.admission = _number(claim.admitted_on)
        self.discharge = _number(claim.discharged_on)
        self.accident_day = _number(claim.accident_on)
        self.found_day = _number(claim.first_found_on)
        self.stay_days = max(1, self.discharge - self.admission) if self.admission and self.discharge else 0
        self.years = _years(product, cover)
        self.triggered = [benefit for benefit in product.benefits if IS_TRIGGERED[benefit.kind](benefit, claim)]
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


# Whether a claim opens a benefit. An overflow is never opened: it follows what it flows over from.
IS_TRIGGERED: dict[BenefitKind, Callable[[Benefit, Claim], bool]] = {
    "inpatient": lambda benefit, claim: claim.kind == "inpatient",
    "outpatient": lambda benefit, claim: (
        claim.kind == "outpatient" and (not benefit.treatments or claim.treatment in benefit.treatments)
    ),
    "accident": lambda benefit, claim: claim.accident and claim.kind in ("inpatient", "outpatient"),
    "allowance": lambda benefit, claim: claim.kind == "inpatient" and (claim.accident or not benefit.accident_only),
    "lump_sum": lambda benefit, claim: claim.kind == benefit.trigger,
    "overflow": lambda benefit, claim: False,
}


def age_on(birth: date, day: date) -> int:
    """Full years; who is born on 29 February has the birthday on 1 March in common years."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def _number(day: date | None) -> int:
    """The number of a day; 0 if it is not known."""
    return 0 if day is None else day.toordinal()


def _years(product: Product, cover: Cover) -> Sequence[PolicyYear]:
    """The policy years by first day. The usual single one needs no sorting."""
    years = [
        PolicyYear(
            period.first_day.toordinal(),
            period.last_day.toordinal(),
            period.since.toordinal(),
            period.first_day.isoformat(),
            product.terms_on(period.first_day),
        )
        for period in cover.periods
    ]
    if len(years) > 1:
        years.sort(key=lambda year: year.first_day)
    return years


def _payee(cover: Cover, claim: Claim, age: int) -> Payee:
    """Who receives what is paid (§5.11)."""
    if claim.kind == "death":
        return "beneficiary" if cover.beneficiary else "estate"
    if claim.died_on is not None:
        return "estate"
    return "guardian" if age < ADULT_AGE else "insured"

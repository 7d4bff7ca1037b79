"""When a person looks first, although everything is computed (FORMAT.md §5.9)."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from functools import lru_cache

from safeweave.adjudication.occurrence import ADULT_AGE, Occurrence, PolicyYear
from safeweave.adjudication.whole_benefit import applies, is_soon_after_waiting
from safeweave.coverage.product import Authority, Benefit, BenefitTerms, Product, SexRule


def claim_doubts(occurrence: Occurrence, payable: int, adjustment: int | None) -> list[str]:
    """The codes that concern the claim as a whole. A rule with `benefits` looks at claims that open one of them."""
    claim, cover = occurrence.claim, occurrence.cover
    authorities, sex_rules = _rules(occurrence.product, claim.claimed_on, occurrence.claim_day or claim.claimed_on)
    codes: list[str] = []
    for authority in authorities:
        if payable > authority.amount and _concerns(authority.benefits, occurrence):
            codes.append("above_authority")
    if occurrence.age < ADULT_AGE and not cover.guardian:
        codes.append("guardian_missing")
    for rule in sex_rules:
        conflicting = rule.female_icd if cover.sex == "M" else rule.male_icd
        if occurrence.diagnosis.startswith(conflicting) and _concerns(rule.benefits, occurrence):
            codes.append("sex_conflict")
    if adjustment is not None and adjustment < 0:
        codes.append("recovery")
    return codes


@lru_cache(maxsize=4_096)
def _rules(product: Product, claimed_on: date, day: date) -> tuple[Sequence[Authority], Sequence[SexRule]]:
    """The authorities in force when a claim is made, and the sex rules on the day of what happened."""
    return product.authorities_on(claimed_on), product.sex_rules_on(day)


def _concerns(benefits: Collection[str] | None, occurrence: Occurrence) -> bool:
    return benefits is None or any(benefit.id in benefits for benefit in occurrence.opening.triggered)


def benefit_doubts(
    occurrence: Occurrence, benefit: Benefit, year: PolicyYear, day: int, lifted: Collection[str]
) -> Iterator[str]:
    """The codes of a triggered benefit whose event on `day` is in cover (in `year`) and on the roster."""
    claim, plan = occurrence.claim, year.plans[benefit.id]
    if (occurrence.accident_day if claim.accident else occurrence.found_day or day) < year.since:
        yield "preexisting_doubt"
    if day < year.since + plan.waiting_days and not claim.accident and claim.first_found_on is None:
        waiting = plan.terms.waiting
        if (
            waiting is not None
            and "waiting_days" not in lifted
            and is_soon_after_waiting(waiting, occurrence.diagnosis, day - year.since)
        ):
            yield "waiting_period_doubt"
    if len(claim.diagnoses) > 1 and _secondary_is_excluded(occurrence, plan.terms):
        yield "diagnosis_doubt"


def _secondary_is_excluded(occurrence: Occurrence, terms: BenefitTerms) -> bool:
    """Whether an exclusion names a secondary diagnosis but not the main one."""
    main, *others = occurrence.claim.diagnoses
    return any(
        applies(exclusion, occurrence.claim.accident)
        and not main.startswith(exclusion.icd)
        and any(other.startswith(exclusion.icd) for other in others)
        for exclusion in terms.illnesses
    )

"""When a person looks first, although everything is computed (FORMAT.md §5.9)."""

from collections.abc import Collection, Iterator

from safeweave.adjudication.occurrence import ADULT_AGE, Occurrence, PolicyYear
from safeweave.adjudication.whole_benefit import applies, is_soon_after_waiting
from safeweave.coverage.product import Benefit, BenefitTerms


def claim_doubts(occurrence: Occurrence, payable: int, adjustment: int | None) -> Iterator[str]:
    """The codes that concern the claim as a whole. A rule with `benefits` looks at claims that open one of them."""
    claim, cover, product = occurrence.claim, occurrence.cover, occurrence.product
    for authority in product.authorities_on(claim.claimed_on):
        if payable > authority.amount and _concerns(authority.benefits, occurrence):
            yield "above_authority"
    if occurrence.age < ADULT_AGE and not cover.guardian:
        yield "guardian_missing"
    for rule in product.sex_rules_on(occurrence.claim_day or claim.claimed_on):
        conflicting = rule.female_icd if cover.sex == "M" else rule.male_icd
        if occurrence.diagnosis.startswith(conflicting) and _concerns(rule.benefits, occurrence):
            yield "sex_conflict"
    if adjustment is not None and adjustment < 0:
        yield "recovery"


def _concerns(benefits: Collection[str] | None, occurrence: Occurrence) -> bool:
    return benefits is None or any(benefit.id in benefits for benefit in occurrence.triggered)


def benefit_doubts(
    occurrence: Occurrence, benefit: Benefit, year: PolicyYear, lifted: Collection[str]
) -> Iterator[str]:
    """The codes of a triggered benefit whose event is in cover (in `year`) and on the roster."""
    claim, terms = occurrence.claim, year.terms[benefit.id]
    day = occurrence.event_day(benefit)
    if (occurrence.accident_day if claim.accident else occurrence.found_day or day) < year.since:
        yield "preexisting_doubt"
    if (
        terms.waiting is not None
        and "waiting_days" not in lifted
        and not claim.accident
        and claim.first_found_on is None
        and is_soon_after_waiting(terms.waiting, occurrence.diagnosis, day - year.since)
    ):
        yield "waiting_period_doubt"
    if len(claim.diagnoses) > 1 and _secondary_is_excluded(occurrence, terms):
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

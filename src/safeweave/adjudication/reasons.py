"""The closed lists of what a determination may say, so that whoever words them can prove that none is missing."""

from typing import Literal, get_args

Decision = Literal["pay", "refer", "refuse-proposed"]
Payee = Literal["insured", "guardian", "beneficiary", "estate"]

CutReason = Literal[
    # a refund and its original (§5.2)
    "netted",
    # the whole benefit (§5.3, §6)
    "outside_cover",
    "not_on_roster",
    "waiting_period",
    "excluded_diagnosis",
    "hospital_not_covered",
    "not_listed_condition",
    "survival_period",
    "count_limit",
    # the day of a line (§5.4)
    "outside_accident_window",
    "outside_pre_post_window",
    "before_cover",
    "after_cover",
    # the eligible amount of a line (§5.5)
    "ward_not_ordinary",
    "excluded_treatment",
    "not_in_drug_list",
    "not_in_item_list",
    "outside_catalogue",
    "over_price_cap",
    "first_self_pay",
    "over_bed_cap",
    # what others paid, and the insured's own share (§5.6)
    "social_paid",
    "other_paid",
    "earlier_benefit",
    "deductible",
    "copayment",
    # limits (§5.7)
    "category_limit",
    "claim_limit",
    "year_limit",
    "lifetime_limit",
    # days of an allowance (§6)
    "day_already_paid",
    "leave_days",
    "skip_days",
    "stay_day_limit",
    "year_day_limit",
]

# A person's change of what the rules yield; no rule says it, so FORMAT.md does not know it.
PersonReason = Literal["adjusted"]

ReferCode = Literal[
    # the facts do not hold together (§5.2)
    "dates_unclear",
    "diagnosis_missing",
    "unknown_code",
    "hospital_unknown",
    "reissue_unlinked",
    "bill_reversed",
    "duplicate_bill",
    "negative_amount",
    "totals_differ",
    "social_split_missing",
    "enrolment_conflict",
    "negative_line",
    "line_dates_missing",
    "bed_days_missing",
    "bed_days_differ",
    "social_exceeds_scope",
    "compensation_exceeds_cost",
    "other_insurer_unknown",
    # a person looks first (§5.9)
    "above_authority",
    "guardian_missing",
    "sex_conflict",
    "recovery",
    "preexisting_doubt",
    "waiting_period_doubt",
    "diagnosis_doubt",
    "definition_unconfirmed",
    "survival_period_open",
]

DECISIONS: tuple[Decision, ...] = get_args(Decision)
PAYEES: tuple[Payee, ...] = get_args(Payee)
CUT_REASONS: tuple[CutReason, ...] = get_args(CutReason)
PERSON_REASONS: tuple[PersonReason, ...] = get_args(PersonReason)
REFER_CODES: tuple[ReferCode, ...] = get_args(ReferCode)

# What the insured bears by the plain working of the policy: a claim cut by these alone is settled, not refused (§5.9).
ORDINARY_CUTS: frozenset[str] = frozenset(
    {"netted", "social_paid", "other_paid", "earlier_benefit", "deductible", "copayment"}
)

"""The life of a case in one table: which happening moves which stage where.

`docs/concepts/case.md` draws its picture from this table. What stands in no row changes no stage; it is noted in the
history of the case all the same.
"""

from typing import Literal, get_args

Stage = Literal[
    "reported",  # 报案: heard of, not yet known to be in hospital
    "admitted",  # 已入院
    "charged",  # 住院费用产生中: interim charges were posted
    "discharged",  # 已出院，待票据
    "transferred",  # 已转院，待票据
    "died",  # 身故，待票据
    "verified",  # 票据已核验: everything a determination needs is here
    "referred",  # 转人工
    "determined",  # 已核定
    "paid",  # 已赔付
    "closed",  # 已结案
    "reopened",  # 重开: discharge cancelled, bill reversed or settlement undone after the decision
    "withdrawn",  # 已撤销: the admission was cancelled
    "refused",  # 人工拒赔
]
Happening = Literal[
    "visit_reported",
    "admission_reported",
    "charges_posted",
    "patient_discharged",
    "patient_transferred",
    "patient_died",
    "bill_verified",
    "bill_reversed",
    "settlement_cancelled",
    "bill_added",
    "admission_cancelled",
    "discharge_cancelled",
    "case_referred",
    "case_determined",
    "case_refused",
    "case_confirmed",
    "payout_confirmed",
    "payout_returned",
    "everything_settled",
    "nothing_claimed",
    "supplement_asked",
    "supplement_received",
    "consent_ended",
    "consent_renewed",
    "claim_withdrawn",
    "claim_applied_for",
]

STAGES: tuple[Stage, ...] = get_args(Stage)
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)

_IN_HOSPITAL: tuple[Stage, ...] = ("reported", "admitted", "charged", "reopened")
AWAITING_BILL: tuple[Stage, ...] = ("discharged", "transferred", "died")
BEFORE_DECISION: tuple[Stage, ...] = (*_IN_HOSPITAL, *AWAITING_BILL, "verified", "referred")
DECIDED: tuple[Stage, ...] = ("determined", "paid", "closed", "refused")

# (stages, happening, next stage)
TABLE: tuple[tuple[tuple[Stage | None, ...], Happening, Stage], ...] = (
    ((None, "admitted", "charged", *AWAITING_BILL, "verified", "referred", "withdrawn"), "visit_reported", "reported"),
    ((*DECIDED,), "visit_reported", "reopened"),
    ((None, "reported", "verified", "referred", "withdrawn"), "admission_reported", "admitted"),
    ((*DECIDED,), "admission_reported", "reopened"),
    (("admitted",), "charges_posted", "charged"),
    ((*_IN_HOSPITAL,), "patient_discharged", "discharged"),
    ((*_IN_HOSPITAL, "discharged"), "patient_transferred", "transferred"),
    ((*_IN_HOSPITAL, "discharged", "transferred"), "patient_died", "died"),
    (("reported", *AWAITING_BILL, "referred", *DECIDED, "reopened"), "bill_verified", "verified"),
    ((*BEFORE_DECISION, *DECIDED), "admission_cancelled", "withdrawn"),
    ((*AWAITING_BILL, "verified", "referred"), "discharge_cancelled", "admitted"),
    ((*DECIDED,), "discharge_cancelled", "reopened"),
    *(
        row
        for happening in ("bill_reversed", "settlement_cancelled", "bill_added")
        for row in (
            (("verified", "referred"), happening, "discharged"),
            ((*DECIDED,), happening, "reopened"),
        )
    ),
    (("verified", *AWAITING_BILL, *DECIDED, "reopened", "withdrawn"), "case_referred", "referred"),
    (("referred",), "case_confirmed", "determined"),
    # A case is closed by what was ordered; what is heard of its determinations later may order more.
    (("verified", "referred", "reopened", "closed"), "case_determined", "determined"),
    (("verified", "referred", "reopened"), "case_refused", "refused"),
    (("determined",), "payout_confirmed", "paid"),
    (("paid", "closed"), "payout_returned", "determined"),
    (("determined", "paid"), "everything_settled", "closed"),
    (("verified", "referred", "reopened"), "nothing_claimed", "closed"),
    ((*BEFORE_DECISION,), "claim_withdrawn", "withdrawn"),
    ((*BEFORE_DECISION,), "claim_applied_for", "withdrawn"),
)
_NEXT: dict[tuple[Stage | None, Happening], Stage] = {
    (stage, happening): after for stages, happening, after in TABLE for stage in stages
}


def stage_after(stage: Stage | None, happening: Happening) -> Stage | None:
    """The stage once this has happened; the same stage if it moves nothing."""
    return _NEXT.get((stage, happening), stage)


def picture() -> str:
    """The table as a Mermaid state diagram."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for stages, happening, after in TABLE:
        for stage in stages:
            arrows.setdefault((stage or "[*]", after), []).append(happening)
    lines = ["stateDiagram-v2"]
    lines += [f"    {before} --> {after}: {', '.join(why)}" for (before, after), why in arrows.items()]
    return "\n".join([*lines, "    closed --> [*]", "    withdrawn --> [*]", ""])

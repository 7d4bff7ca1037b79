"""What we tell in FHIR R4, as JSON values: determinations as ClaimResponse and ExplanationOfBenefit, cases as Task.

Each determination is a ClaimResponse and an ExplanationOfBenefit under one id. Source: HL7 FHIR 4.0.1.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from safeweave.adjudication.store import Decided
from safeweave.cases.case import CaseHead
from safeweave.cases.lifecycle import Stage
from safeweave.consents import fhir as consent_fhir
from safeweave.money import yuan_text

PERSON_SYSTEM = consent_fhir.PERSON_SYSTEM
DETERMINATION_SYSTEM, CASE_SYSTEM = "urn:safeweave:determination", "urn:safeweave:case"
REASON_SYSTEM, CUT_SYSTEM = "urn:safeweave:cut-reason", "urn:safeweave:adjudication"
TERMS = "http://terminology.hl7.org/CodeSystem/"
STAGE_SYSTEM = "urn:safeweave:stage"
_TYPES = {"inpatient": "institutional", "outpatient": "professional"}
_TASK_STATES = {"closed": "completed", "refused": "rejected", "withdrawn": "cancelled", "referred": "on-hold"}


def fhir_id(id: str) -> str:
    """An id as FHIR allows it: a hyphen in place of the underscore."""
    return id.replace("_", "-")


def own_id(id: str) -> str:
    """Our id for one of FHIR's."""
    return id.replace("-", "_", 1)


def instant(at: datetime) -> str:
    """An instant as FHIR writes it."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def money(fen: int) -> dict[str, Any]:
    """An amount in yuan, exact: it is written as a number with two decimals."""
    return {"value": Decimal(yuan_text(fen)), "currency": "CNY"}


def concept(system: str, code: str) -> dict[str, Any]:
    """A concept with one coding."""
    return {"coding": [{"system": system, "code": code}]}


def patient(person: str) -> dict[str, Any]:
    """A reference to a person of the register."""
    return {"type": "Patient", "identifier": {"system": PERSON_SYSTEM, "value": person}}


# ---------------------------------------------------------------- determinations


def _common(decided: Decided, company: str, kind: str) -> dict[str, Any]:
    return {
        "resourceType": kind,
        "id": fhir_id(decided.id),
        "identifier": [{"system": DETERMINATION_SYSTEM, "value": decided.id}],
        "status": "active",
        "type": concept(f"{TERMS}claim-type", _TYPES.get(decided.claim.kind, "institutional")),
        "use": "claim",
        "patient": patient(decided.person),
        "created": instant(decided.made_at),
        "insurer": {"type": "Organization", "display": company},
        "outcome": "queued" if decided.decision in ("refer", "refuse-proposed") else "complete",
        "disposition": decided.decision,
    }


def _items(decided: Decided) -> list[dict[str, Any]]:
    """The lines of all benefits, each with what was asked, paid and cut for a reason."""
    found = []
    for number, line in enumerate(decided.result.lines, 1):
        parts = [
            {"category": concept(f"{TERMS}adjudication", "submitted"), "amount": money(line.amount)},
            {"category": concept(f"{TERMS}adjudication", "benefit"), "amount": money(line.paid)},
        ]
        for cut in line.cuts:
            reason = {**concept(REASON_SYSTEM, cut.reason), **({"text": cut.clause} if cut.clause else {})}
            parts.append({"category": concept(CUT_SYSTEM, "cut"), "reason": reason, "amount": money(cut.amount)})
        found.append({"sequence": number, "line": line, "adjudication": parts})
    return found


def claim_response(decided: Decided, company: str) -> dict[str, Any]:
    """The determination as the answer to the claim."""
    claim = {"type": "Claim", "identifier": {"system": CASE_SYSTEM, "value": decided.case}}
    made: dict[str, Any] = {**_common(decided, company, "ClaimResponse"), "request": claim}
    items = [{"itemSequence": each["sequence"], "adjudication": each["adjudication"]} for each in _items(decided)]
    if items:
        made["item"] = items
    made["total"] = [{"category": concept(f"{TERMS}adjudication", "benefit"), "amount": money(decided.payable)}]
    if decided.decision == "pay" and decided.payable > 0:
        made["payment"] = {"type": concept(f"{TERMS}ex-paymenttype", "complete"), "amount": money(decided.payable)}
    return made


def explanation(decided: Decided, company: str) -> dict[str, Any]:
    """The determination as an explanation for the insured: line by line, what was paid and why not more."""
    bills = {bill.key: bill for bill in decided.claim.bills}
    made: dict[str, Any] = {
        **_common(decided, company, "ExplanationOfBenefit"),
        "claim": {"type": "Claim", "identifier": {"system": CASE_SYSTEM, "value": decided.case}},
        "provider": {"type": "Organization", "identifier": {
            "system": "urn:safeweave:hospital",
            "value": (decided.claim.hospital.id if decided.claim.hospital else None) or "unknown",
        }},
        "insurance": [{"focal": True, "coverage": {
            "type": "Coverage", "identifier": {"system": "urn:safeweave:policy", "value": decided.policy},
        }}],
        "total": [
            {"category": concept(f"{TERMS}adjudication", "submitted"),
             "amount": money(sum(bill.total for bill in bills.values()))},
            {"category": concept(f"{TERMS}adjudication", "benefit"), "amount": money(decided.payable)},
        ],
    }  # fmt: skip
    items = []
    for each in _items(decided):
        line = each["line"]
        bill = bills.get(line.bill)
        charge = next((one for one in bill.lines if one.no == line.no), None) if bill else None
        items.append({
            "sequence": each["sequence"],
            "productOrService": {
                **concept("urn:safeweave:charge-class", charge.category if charge else "unknown"),
                **({"text": charge.name} if charge and charge.name else {}),
            },
            **({"servicedDate": charge.on.isoformat()} if charge and charge.on else {}),
            "net": money(line.amount),
            "adjudication": each["adjudication"],
        })  # fmt: skip
    if items:
        made["item"] = items
    return made


def task(head: CaseHead, stage: Stage) -> dict[str, Any]:
    """How far a case has come, as far as the reader may know (`stage`): a Task about its Claim."""
    return {
        "resourceType": "Task",
        "id": fhir_id(head.id),
        "identifier": [{"system": CASE_SYSTEM, "value": head.id}],
        "status": _TASK_STATES.get(stage, "in-progress"),
        "businessStatus": concept(STAGE_SYSTEM, stage),
        "intent": "order",
        "code": concept("http://hl7.org/fhir/CodeSystem/task-code", "fulfill"),
        "focus": {"type": "Claim", "identifier": {"system": CASE_SYSTEM, "value": head.id}},
        "for": patient(head.person),
        "authoredOn": instant(head.opened_at),
    }

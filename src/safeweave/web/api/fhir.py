"""FHIR R4 for those who read: CapabilityStatement, ClaimResponse, ExplanationOfBenefit and Consent.

Each determination is a ClaimResponse and an ExplanationOfBenefit under one id. Source: HL7 FHIR 4.0.1.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from safeweave import consents
from safeweave.adjudication import store as determinations
from safeweave.adjudication.store import Decided
from safeweave.cases import store as case_store
from safeweave.clock import shanghai_day
from safeweave.consents import ConsentId, Kept, Revocation, state_at
from safeweave.consents import fhir as consent_fhir
from safeweave.consents.consent import check
from safeweave.database import Transaction
from safeweave.errors import Conflict, Malformed, NotFound
from safeweave.ids import DeterminationId, PersonId
from safeweave.money import yuan_text
from safeweave.people import Person
from safeweave.web import audit, live
from safeweave.web.api.call import ITEMS, MOST_ITEMS, Answer, Call, Endpoints, Parameter
from safeweave.web.api.problem import FHIR
from safeweave.web.doors import CAPABILITIES
from safeweave.web.portal.around import own_ids

endpoints = Endpoints()

PERSON_SYSTEM = consent_fhir.PERSON_SYSTEM
DETERMINATION_SYSTEM, CASE_SYSTEM = "urn:safeweave:determination", "urn:safeweave:case"
REASON_SYSTEM, CUT_SYSTEM = "urn:safeweave:cut-reason", "urn:safeweave:adjudication"
_TERMS = "http://terminology.hl7.org/CodeSystem/"
_TYPES = {"inpatient": "institutional", "outpatient": "professional"}

SEARCH = (
    Parameter("patient", {"type": "string", "minLength": 1, "maxLength": 80}, required=True),
    Parameter("_count", {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS, "default": ITEMS}),
    Parameter("cursor", {"type": "string", "maxLength": 400}),
)


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


def _common(decided: Decided, call: Call, kind: str) -> dict[str, Any]:
    settings = call.asked.site.settings
    return {
        "resourceType": kind,
        "id": fhir_id(decided.id),
        "identifier": [{"system": DETERMINATION_SYSTEM, "value": decided.id}],
        "status": "active",
        "type": concept(f"{_TERMS}claim-type", _TYPES.get(decided.claim.kind, "institutional")),
        "use": "claim",
        "patient": patient(decided.person),
        "created": instant(decided.made_at),
        "insurer": {"type": "Organization", "display": settings.company},
        "outcome": "queued" if decided.decision in ("refer", "refuse-proposed") else "complete",
        "disposition": decided.decision,
    }


def _items(decided: Decided) -> list[dict[str, Any]]:
    """The lines of all benefits, each with what was asked, paid and cut for a reason."""
    found = []
    for number, line in enumerate(decided.result.lines, 1):
        parts = [
            {"category": concept(f"{_TERMS}adjudication", "submitted"), "amount": money(line.amount)},
            {"category": concept(f"{_TERMS}adjudication", "benefit"), "amount": money(line.paid)},
        ]
        for cut in line.cuts:
            reason = {**concept(REASON_SYSTEM, cut.reason), **({"text": cut.clause} if cut.clause else {})}
            parts.append({"category": concept(CUT_SYSTEM, "cut"), "reason": reason, "amount": money(cut.amount)})
        found.append({"sequence": number, "line": line, "adjudication": parts})
    return found


def claim_response(decided: Decided, call: Call) -> dict[str, Any]:
    """The determination as the answer to the claim."""
    claim = {"type": "Claim", "identifier": {"system": CASE_SYSTEM, "value": decided.case}}
    made: dict[str, Any] = {**_common(decided, call, "ClaimResponse"), "request": claim}
    items = [{"itemSequence": each["sequence"], "adjudication": each["adjudication"]} for each in _items(decided)]
    if items:
        made["item"] = items
    made["total"] = [{"category": concept(f"{_TERMS}adjudication", "benefit"), "amount": money(decided.payable)}]
    if decided.decision == "pay" and decided.payable > 0:
        made["payment"] = {"type": concept(f"{_TERMS}ex-paymenttype", "complete"), "amount": money(decided.payable)}
    return made


def explanation(decided: Decided, call: Call) -> dict[str, Any]:
    """The determination as an explanation for the insured: line by line, what was paid and why not more."""
    bills = {bill.key: bill for bill in decided.claim.bills}
    made: dict[str, Any] = {
        **_common(decided, call, "ExplanationOfBenefit"),
        "claim": {"type": "Claim", "identifier": {"system": CASE_SYSTEM, "value": decided.case}},
        "provider": {"type": "Organization", "identifier": {
            "system": "urn:safeweave:hospital",
            "value": (decided.claim.hospital.id if decided.claim.hospital else None) or "unknown",
        }},
        "insurance": [{"focal": True, "coverage": {
            "type": "Coverage", "identifier": {"system": "urn:safeweave:policy", "value": decided.policy},
        }}],
        "total": [
            {"category": concept(f"{_TERMS}adjudication", "submitted"),
             "amount": money(sum(bill.total for bill in bills.values()))},
            {"category": concept(f"{_TERMS}adjudication", "benefit"), "amount": money(decided.payable)},
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


def _one(call: Call, tx: Transaction, write: Callable[[Decided, Call], dict[str, Any]]) -> Answer:
    id = DeterminationId(own_id(call.asked.place("id")))
    decided = determinations.by_id(tx, [id]).get(id)
    if decided is None:
        raise NotFound("there is no such resource")
    person = call.asked.someone(tx, decided.person)
    call.must(tx, "decisions.read", person, decided.id, told=decided.id in audit.told_of(tx, [decided.id]))
    return Answer(write(decided, call))


def _whose(call: Call, tx: Transaction) -> Person:
    asked = call.asked.query("patient").rpartition("|")[2].rpartition("/")[2]
    if not asked:
        raise Malformed("say whose: patient=person-…", field="patient")
    return call.asked.someone(tx, own_id(asked) if "_" not in asked else asked)


def _bundle(call: Call, kind: str, resources: Sequence[dict[str, Any]], total: int, following: str) -> Answer:
    url = call.asked.request.url
    links = [{"relation": "self", "url": f"{url.path}?{url.query}"}]
    if following:
        after = url.include_query_params(cursor=following)
        links.append({"relation": "next", "url": f"{after.path}?{after.query}"})
    made: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": total, "link": links}
    if resources:
        made["entry"] = [
            {"fullUrl": f"urn:safeweave:{kind}:{each['id']}", "resource": each, "search": {"mode": "match"}}
            for each in resources
        ]
    return Answer(made)


def _search(call: Call, tx: Transaction, kind: str, write: Callable[[Decided, Call], dict[str, Any]]) -> Answer:
    person = _whose(call, tx)
    cases = [head.id for id in own_ids(person) for head in case_store.cases_in(tx, person=id)]
    every = sorted(determinations.of_cases(tx, cases), key=lambda each: (each.made_at, each.id), reverse=True)
    told = audit.told_of(tx, [each.id for each in every])
    seen = [each for each in every if call.asked.may(tx, "decisions.read", person, each.id in told)]
    if not seen:
        call.must(tx, "decisions.read", person, told=True)
    shown, following = call.page(seen, lambda each: (each.id,))
    for each in shown:
        call.must(tx, "decisions.read", person, each.id, told=each.id in told)
    return _bundle(call, kind, [write(each, call) for each in shown], len(seen), following)


@endpoints.get("/fhir/ClaimResponse/{id}", "claim_response", scope="ClaimResponse", kind=FHIR)
def one_claim_response(call: Call, tx: Transaction) -> Answer:
    """One determination as a ClaimResponse."""
    return _one(call, tx, claim_response)


@endpoints.get("/fhir/ClaimResponse", "claim_responses", scope="ClaimResponse", kind=FHIR, query=SEARCH)
def claim_responses(call: Call, tx: Transaction) -> Answer:
    """The determinations of a patient as ClaimResponses."""
    return _search(call, tx, "ClaimResponse", claim_response)


@endpoints.get("/fhir/ExplanationOfBenefit/{id}", "explanation", scope="ExplanationOfBenefit", kind=FHIR)
def one_explanation(call: Call, tx: Transaction) -> Answer:
    """One determination as an ExplanationOfBenefit."""
    return _one(call, tx, explanation)


@endpoints.get("/fhir/ExplanationOfBenefit", "explanations", scope="ExplanationOfBenefit", kind=FHIR, query=SEARCH)
def explanations(call: Call, tx: Transaction) -> Answer:
    """The determinations of a patient as ExplanationOfBenefits."""
    return _search(call, tx, "ExplanationOfBenefit", explanation)


# ---------------------------------------------------------------- consents


@endpoints.get("/fhir/Consent/{id}", "consent", scope="Consent", kind=FHIR)
def one_consent(call: Call, tx: Transaction) -> Answer:
    """One consent, with what it is worth now."""
    kept, person = _consent(call, tx, "consents.read")
    return Answer(consent_fhir.write(kept, state_at(kept, person, call.asked.now)))


def _consent(call: Call, tx: Transaction, action: str) -> tuple[Kept, Person]:
    id = ConsentId(own_id(call.asked.place("id")))
    kept = consents.consents_by_id(tx, [id]).get(id)
    if kept is None:
        raise NotFound("there is no such consent")
    person = call.asked.someone(tx, kept.consent.person)
    call.must(tx, action, person, id)
    return kept, person


@endpoints.get("/fhir/Consent", "consents", scope="Consent", kind=FHIR, query=SEARCH)
def every_consent(call: Call, tx: Transaction) -> Answer:
    """The consents of a patient, the latest first."""
    person = _whose(call, tx)
    call.must(tx, "consents.read", person)
    kept = list(reversed(consents.consents_of(tx, [person.id]).get(person.id, [])))
    shown, following = call.page(kept, lambda each: (each.consent.id,))
    written = [consent_fhir.write(each, state_at(each, person, call.asked.now)) for each in shown]
    return _bundle(call, "Consent", written, len(kept), following)


@endpoints.post("/fhir/Consent", "give_consent", scope="Consent", kind=FHIR, status=201)
def give_consent(call: Call, tx: Transaction) -> Answer:
    """Give a consent, or take one back that is here (status inactive); only the person or a guardian may."""
    told = consent_fhir.read(call.raw)
    person = call.asked.someone(tx, told.consent.person)
    now = call.asked.now
    known = consents.consents_by_id(tx, [told.consent.id]).get(told.consent.id)
    if told.revoked_at is not None:
        call.must(tx, "consents.withdraw", person, told.consent.id)
        if known is None:
            raise NotFound("there is no such consent")
        by = call.asked.person.id if call.asked.person else person.id
        consents.revoke(tx, [Revocation(known.consent.id, now, by, "screen")], now)
    else:
        call.must(tx, "consents.give", person, told.consent.id)
        by = PersonId(call.asked.person.id if call.asked.person else "")
        if told.consent.given_by != by:
            raise Malformed("a consent is given by whoever sends it", field="performer[0]")
        if known is not None and known.revoked_at is not None:
            raise Conflict("it was taken back; give a new one")
        check(told.consent, person)
        consents.give(tx, [told.consent], now)
    live.notify(tx, f"consents:{person.id}", person.id, now)
    kept = consents.consents_by_id(tx, [told.consent.id])[told.consent.id]
    written = consent_fhir.write(kept, state_at(kept, person, now))
    return Answer(written, 201, f"/fhir/Consent/{written['id']}")


# ---------------------------------------------------------------- what there is

_READS: dict[str, tuple[str, ...]] = {
    "ClaimResponse": ("read", "search-type"),
    "ExplanationOfBenefit": ("read", "search-type"),
    "Consent": ("read", "search-type", "create"),
    "CoverageEligibilityRequest": ("create",),
}


@endpoints.get("/fhir/metadata", "capabilities", kind=FHIR, open=True)
def capabilities(call: Call, tx: Transaction) -> Answer:
    """What can be done here: what the hospital door takes, and what can be read."""
    rest = CAPABILITIES["rest"][0]
    resources = [dict(each) for each in rest["resource"]]
    for each in resources:
        if each["type"] == "Claim":
            each["operation"] = [
                {"name": "submit", "definition": "http://hl7.org/fhir/OperationDefinition/Claim-submit"}
            ]
    for name, verbs in _READS.items():
        resources.append({
            "type": name, "interaction": [{"code": verb} for verb in verbs],
            **({"searchParam": [{"name": "patient", "type": "reference"}]} if "search-type" in verbs else {}),
        })  # fmt: skip
    security = {
        "cors": False,
        "service": [concept(f"{_TERMS}restful-security-service", "SMART-on-FHIR")],
        "extension": [{
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [{"url": "token", "valueUri": f"{call.asked.site.settings.pages_url}/api/token"}],
        }],
    }  # fmt: skip
    return Answer({**CAPABILITIES, "date": shanghai_day(call.asked.now).isoformat(),
                   "rest": [{**rest, "security": security, "resource": resources}]})  # fmt: skip

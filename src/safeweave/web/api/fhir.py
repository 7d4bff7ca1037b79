"""FHIR R4 for those who read: CapabilityStatement, ClaimResponse, ExplanationOfBenefit, Task and Consent.

A hospital reads what answers its own claims, as ClaimResponse, and how far they have come, as Task; nothing else of its
patients. Source: HL7 FHIR 4.0.1.
"""

from collections.abc import Callable, Sequence
from typing import Any

from safeweave import consents
from safeweave.adjudication import store as determinations
from safeweave.adjudication.store import Decided
from safeweave.cases import store as case_store
from safeweave.cases.case import CaseHead
from safeweave.cases.lifecycle import Stage
from safeweave.clock import shanghai_day
from safeweave.consents import ConsentId, Kept, Revocation, state_at
from safeweave.consents import fhir as consent_fhir
from safeweave.consents.consent import check
from safeweave.database import Transaction
from safeweave.errors import Conflict, Malformed, NotFound
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits
from safeweave.ids import CaseId, DeterminationId, PersonId
from safeweave.people import Person
from safeweave.web import audit, live
from safeweave.web.access import stage_for
from safeweave.web.api.call import ITEMS, MOST_ITEMS, Answer, Call, Endpoints, Parameter
from safeweave.web.api.problem import FHIR
from safeweave.web.doors import CAPABILITIES
from safeweave.web.notices.topics import TOPICS
from safeweave.web.portal.around import own_ids
from safeweave.web.resources import TERMS, claim_response, concept, explanation, instant, own_id, task

endpoints = Endpoints()

SEARCH = (
    Parameter("patient", {"type": "string", "minLength": 1, "maxLength": 80}, required=True),
    Parameter("_count", {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS, "default": ITEMS}),
    Parameter("cursor", {"type": "string", "maxLength": 400}),
)


# ---------------------------------------------------------------- determinations


def _company(call: Call) -> str:
    return call.asked.site.settings.company


def _answers(call: Call, kind: str) -> bool:
    """Whether a hospital asks what answers its own claims."""
    return kind == "ClaimResponse" and call.asked.who.role == "hospital"


def _must_decided(call: Call, tx: Transaction, kind: str, decided: Decided) -> None:
    """Go on only if the caller may read this determination in this form."""
    person = call.asked.someone(tx, decided.person)
    if not _answers(call, kind):
        call.must(tx, "decisions.read", person, decided.id, told=decided.id in audit.told_of(tx, [decided.id]))
        return
    if case_store.heads(tx, [decided.case])[decided.case].sender != call.asked.who.sender:
        raise NotFound("there is no such resource")
    call.must(tx, "claims.answered", person, decided.id)


def _one(call: Call, tx: Transaction, kind: str, write: Callable[[Decided, str], dict[str, Any]]) -> Answer:
    id = DeterminationId(own_id(call.asked.place("id")))
    decided = determinations.by_id(tx, [id]).get(id)
    if decided is None:
        raise NotFound("there is no such resource")
    _must_decided(call, tx, kind, decided)
    return Answer(write(decided, _company(call)))


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


def _search(call: Call, tx: Transaction, kind: str, write: Callable[[Decided, str], dict[str, Any]]) -> Answer:
    person = _whose(call, tx)
    heads = [head for id in own_ids(person) for head in case_store.cases_in(tx, person=id)]
    action = "decisions.read"
    if _answers(call, kind):
        heads, action = [head for head in heads if head.sender == call.asked.who.sender], "claims.answered"
    every = determinations.of_cases(tx, [head.id for head in heads])
    every.sort(key=lambda each: (each.made_at, each.id), reverse=True)
    told = audit.told_of(tx, [each.id for each in every])
    seen = [each for each in every if call.asked.may(tx, action, person, each.id in told)]
    if not seen:
        call.must(tx, action, person, told=True)
    shown, following = call.page(seen, lambda each: (each.id,))
    for each in shown:
        call.must(tx, action, person, each.id, told=each.id in told)
    return _bundle(call, kind, [write(each, _company(call)) for each in shown], len(seen), following)


@endpoints.get("/fhir/ClaimResponse/{id}", "claim_response", scope="ClaimResponse", kind=FHIR)
def one_claim_response(call: Call, tx: Transaction) -> Answer:
    """One determination as a ClaimResponse; what answers a submitted message, by its number ("message-7")."""
    kind, _, number = call.asked.place("id").partition("-")
    if kind == "message" and _answers(call, "ClaimResponse"):
        return _to_message(call, tx, number)
    return _one(call, tx, "ClaimResponse", claim_response)


def _to_message(call: Call, tx: Transaction, number: str) -> Answer:
    """The latest that answers a claim this hospital submitted; while nothing is decided, that it waits."""
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise NotFound("there is no such resource")
    of, raw = inbound.original(tx, int(number))
    sender = senders.every(tx).get(of)
    if sender is None or of != call.must_as_sender(tx, "claims.submit"):
        raise NotFound("there is no such resource")
    limits = Limits(max_bytes=call.asked.site.settings.max_message_bytes)
    reading = inbound.open_message(raw, sender, limits, "application/fhir+json").reading
    told = reading.events if reading is not None else ()
    keys = [(of, "bill", bill.key) for event in told if (bill := getattr(event, "bill", None)) is not None]
    visits = {event.visit for event in told if event.visit} | set(case_store.aliases(tx, keys).values())
    known = case_store.visits(tx, [(of, visit) for visit in sorted(visits)])
    cases = [row.case.id for row in known.values() if row.case is not None]
    decided = determinations.of_cases(tx, cases)
    if decided:
        _must_decided(call, tx, "ClaimResponse", decided[-1])
        return Answer(claim_response(decided[-1], _company(call)))
    return Answer({
        "resourceType": "ClaimResponse", "id": f"message-{number}", "status": "active", "use": "claim",
        "type": concept(f"{TERMS}claim-type", "institutional"), "patient": {"display": "-"},
        "created": instant(call.asked.now), "insurer": {"type": "Organization", "display": _company(call)},
        "outcome": "queued",
    })  # fmt: skip


@endpoints.get("/fhir/ClaimResponse", "claim_responses", scope="ClaimResponse", kind=FHIR, query=SEARCH)
def claim_responses(call: Call, tx: Transaction) -> Answer:
    """The determinations of a patient as ClaimResponses."""
    return _search(call, tx, "ClaimResponse", claim_response)


@endpoints.get("/fhir/ExplanationOfBenefit/{id}", "explanation", scope="ExplanationOfBenefit", kind=FHIR)
def one_explanation(call: Call, tx: Transaction) -> Answer:
    """One determination as an ExplanationOfBenefit."""
    return _one(call, tx, "ExplanationOfBenefit", explanation)


@endpoints.get("/fhir/ExplanationOfBenefit", "explanations", scope="ExplanationOfBenefit", kind=FHIR, query=SEARCH)
def explanations(call: Call, tx: Transaction) -> Answer:
    """The determinations of a patient as ExplanationOfBenefits."""
    return _search(call, tx, "ExplanationOfBenefit", explanation)


@endpoints.get("/fhir/Task/{id}", "task", scope="Task", kind=FHIR)
def one_task(call: Call, tx: Transaction) -> Answer:
    """How far a case has come."""
    id = CaseId(own_id(call.asked.place("id")))
    head = case_store.heads(tx, [id]).get(id)
    if head is None:
        raise NotFound("there is no such resource")
    person = call.asked.someone(tx, head.person)
    call.must(tx, "stays.read", person, head.id)
    if call.asked.who.role == "hospital" and head.sender != call.asked.who.sender:
        raise NotFound("there is no such resource")
    return Answer(task(head, _stage(call, tx, head, person)))


def _stage(call: Call, tx: Transaction, head: CaseHead, person: Person) -> Stage:
    every = determinations.of_cases(tx, [head.id])
    told = audit.told_of(tx, [each.id for each in every])
    return stage_for(head.stage, all(call.asked.may(tx, "decisions.read", person, each.id in told) for each in every))


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
    "Task": ("read",),
    "Subscription": ("create", "read", "search-type", "delete"),
    "CoverageEligibilityRequest": ("create",),
}
_BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport"


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
        resources.append({"type": name, "interaction": [{"code": verb} for verb in verbs], **_more(name, verbs)})
    security = {
        "cors": False,
        "service": [concept(f"{TERMS}restful-security-service", "SMART-on-FHIR")],
        "extension": [{
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [{"url": "token", "valueUri": f"{call.asked.site.settings.pages_url}/api/token"}],
        }],
    }  # fmt: skip
    return Answer({**CAPABILITIES, "date": shanghai_day(call.asked.now).isoformat(),
                   "rest": [{**rest, "security": security, "resource": resources}]})  # fmt: skip


def _more(name: str, verbs: Sequence[str]) -> dict[str, Any]:
    """What else can be done with a kind of resource."""
    if name == "Subscription":
        return {
            "extension": [
                {"url": f"{_BACKPORT}/StructureDefinition/capabilitystatement-subscriptiontopic-canonical",
                 "valueCanonical": topic.canonical} for topic in TOPICS.values()
            ],
            "supportedProfile": [f"{_BACKPORT}/StructureDefinition/backport-subscription"],
            "operation": [
                {"name": each, "definition": f"{_BACKPORT}/OperationDefinition/backport-subscription-{each}"}
                for each in ("status", "events")
            ],
        }  # fmt: skip
    return {"searchParam": [{"name": "patient", "type": "reference"}]} if "search-type" in verbs else {}

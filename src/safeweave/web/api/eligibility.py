"""CoverageEligibilityRequest: whether somebody is insured on a day, and no more than that to a hospital."""

from datetime import date
from typing import Any

import msgspec

from safeweave import coverage, people
from safeweave.clock import shanghai_day
from safeweave.database import Transaction
from safeweave.errors import Malformed, NotFound
from safeweave.events import Identifier, PersonSeen
from safeweave.ids import PersonId, fresh
from safeweave.people import Person
from safeweave.web.api.call import Answer, Call, Endpoints
from safeweave.web.api.problem import FHIR
from safeweave.web.resources import PERSON_SYSTEM, instant

endpoints = Endpoints()

DOCUMENT_SYSTEM = "urn:safeweave:document:"  # followed by the kind, such as resident_id


class _Identifier(msgspec.Struct):
    system: str = ""
    value: str = ""


class _Reference(msgspec.Struct):
    identifier: _Identifier | None = None
    display: str = ""


class _Asked(msgspec.Struct, rename="camel"):
    resource_type: str
    patient: _Reference
    serviced_date: date | None = None


@endpoints.post("/fhir/CoverageEligibilityRequest", "eligibility", scope="CoverageEligibilityRequest", kind=FHIR)
def eligibility(call: Call, tx: Transaction) -> Answer:
    """Whether a person, named by document or by our id, is insured on a day (today, if none is said)."""
    asked = call.body(_Asked)
    if asked.resource_type != "CoverageEligibilityRequest":
        raise Malformed("it is no CoverageEligibilityRequest", field="resourceType")
    identifier = asked.patient.identifier
    if identifier is None or not identifier.value:
        raise Malformed("say who: patient.identifier", field="patient.identifier")
    day = asked.serviced_date or shanghai_day(call.asked.now)
    person = _found(call, tx, identifier, asked.patient.display)
    held = coverage.policies_of(tx, [person.id], day)[person.id] if person is not None else []
    answer: dict[str, Any] = {
        "resourceType": "CoverageEligibilityResponse",
        "id": fresh("eligible").replace("_", "-"),
        "status": "active",
        "purpose": ["validation"],
        "patient": {"type": "Patient", "identifier": {"system": identifier.system, "value": identifier.value}},
        "servicedDate": day.isoformat(),
        "created": instant(call.asked.now),
        "request": {"type": "CoverageEligibilityRequest"},
        "outcome": "complete",
        "insurer": {"type": "Organization", "display": call.asked.site.settings.company},
    }
    insurance = [
        {
            "coverage": {"type": "Coverage", "identifier": {"system": "urn:safeweave:policy", "value": each.number}},
            "inforce": each.holds_on([day]),
            "benefitPeriod": next(
                {"start": year.first_day.isoformat(), "end": year.last_day.isoformat()}
                for year in each.cover.periods if year.first_day <= day <= year.last_day
            ),
        }
        for each in held if each.holds_on([day])
    ]  # fmt: skip
    if insurance:
        answer["insurance"] = insurance
    else:
        answer["disposition"] = "not insured here on that day"
    return Answer(answer)


def _found(call: Call, tx: Transaction, identifier: _Identifier, name: str) -> Person | None:
    """The person that is meant, if the caller may ask about them; a hospital learns of nobody more than it asks."""
    if identifier.system == PERSON_SYSTEM:
        known = call.asked.someone(tx, identifier.value)
        call.must(tx, "policies.read", known)
        return known
    if not identifier.system.startswith(DOCUMENT_SYSTEM):
        raise Malformed(f"the system is {PERSON_SYSTEM} or {DOCUMENT_SYSTEM}resident_id", field="patient.identifier")
    kind = identifier.system.removeprefix(DOCUMENT_SYSTEM)
    if call.asked.who.role == "hospital":
        call.must_as_sender(tx, "coverage.check")
    seen = PersonSeen((Identifier(kind, identifier.value),), name)
    (found,) = people.find_people(tx, [seen])
    person = people.people_by_id(tx, [found.person]).get(PersonId(found.person)) if found.person else None
    if call.asked.who.role != "hospital":
        if person is None:
            raise NotFound("there is no such person, or not for you")
        call.must(tx, "policies.read", person)
    return person

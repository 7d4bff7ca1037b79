"""FHIR R4 Coverage bundles read into policies as text: Coverage with its Patient, RelatedPerson and Organization.

One Coverage is one insured person's year under one policy. The policy number is the first identifier (else
`subscriberId`), the product the `class` of type plan. A RelatedPerson whose relationship says guardian or parent is the
guardian of its patient. Whether somebody is enrolled in 医保 is said by a Coverage of type PUBLICPOL for the same
person, or by the extension .../social-insurance-enrolled. Source: HL7 FHIR R4, Coverage, Patient, RelatedPerson.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from safeweave.coverage.told import (
    ChangeText,
    DocumentText,
    GuardianText,
    InsuredText,
    PayeeText,
    PersonText,
    PolicyText,
    Remark,
)
from safeweave.people.identity import PERSONAL_KINDS, Unusable, kind_of

# Systems of identifiers: Chinese CDA and FHIR code write the resident number under this OID.
_KIND_BY_SYSTEM = {"urn:oid:2.16.156.10011.1.3": "resident_id"}
_PASSPORT_SYSTEM = "http://hl7.org/fhir/sid/passport-"
_GUARDIAN_CODES = {"GUARD", "PRN", "PRNFOST", "ADOPTP", "MTH", "FTH", "NMTH", "NFTH", "ADOPTM", "ADOPTF", "GRPRN"}
_RELATIONS = {"self", "spouse", "child", "parent", "other"}


class Part(msgspec.Struct, rename="camel"):
    """A part of a resource; elements that are not read here are passed over."""


class Coding(Part):
    code: str = ""
    system: str = ""


class Concept(Part):
    coding: list[Coding] = []
    text: str = ""


class Reference(Part):
    reference: str = ""


class Days(Part):
    start: str = ""
    end: str = ""


class Identifier(Part):
    system: str = ""
    value: str = ""
    type: Concept = msgspec.field(default_factory=Concept)
    period: Days = msgspec.field(default_factory=Days)


class HumanName(Part):
    text: str = ""
    family: str = ""
    given: list[str] = []


class Contact(Part):
    system: str = ""
    value: str = ""


class Extension(Part):
    url: str = ""
    value_boolean: bool | None = None
    value_string: str = ""
    value_code: str = ""
    extension: list["Extension"] = []

    @property
    def text(self) -> str:
        return self.value_string or self.value_code


class Classed(Part):
    type: Concept = msgspec.field(default_factory=Concept)
    value: str = ""


class Person(Part):
    """A Patient or a RelatedPerson."""

    id: str = ""
    identifier: list[Identifier] = []
    name: list[HumanName] = []
    gender: str = ""
    birth_date: str = ""
    telecom: list[Contact] = []
    deceased_date_time: str = ""
    communication: list[dict[str, Any]] = []
    patient: Reference = msgspec.field(default_factory=Reference)
    relationship: list[Concept] = []
    period: Days = msgspec.field(default_factory=Days)
    extension: list[Extension] = []


class Organization(Part):
    id: str = ""
    identifier: list[Identifier] = []
    name: str = ""


class Coverage(Part):
    id: str = ""
    status: str = ""
    identifier: list[Identifier] = []
    type: Concept = msgspec.field(default_factory=Concept)
    policy_holder: Reference = msgspec.field(default_factory=Reference)
    subscriber_id: str = ""
    beneficiary: Reference = msgspec.field(default_factory=Reference)
    relationship: Concept = msgspec.field(default_factory=Concept)
    period: Days = msgspec.field(default_factory=Days)
    class_: list[Classed] = msgspec.field(default_factory=list, name="class")
    extension: list[Extension] = []


class Entry(Part):
    resource: msgspec.Raw
    full_url: str = ""


class Bundle(Part):
    resource_type: str
    entry: list[Entry] = []


class Head(Part):
    resource_type: str
    id: str = ""


_SHAPES: dict[str, type[Any]] = {
    "Coverage": Coverage,
    "Patient": Person,
    "RelatedPerson": Person,
    "Organization": Organization,
}


class _Found(msgspec.Struct):
    """A resource of the file, with its place."""

    kind: str
    resource: Any
    line: int
    raw: str


def policies_in(content: bytes) -> Iterator[tuple[int, str, PolicyText | None, list[Remark]]]:
    """For each Coverage of a Bundle: its line, the entries it needs (JSON texts, one a line), the policy, the faults.

    Raises msgspec.DecodeError or ValidationError if the file is no Bundle.
    """
    bundle = msgspec.json.decode(content, type=Bundle)
    if bundle.resource_type != "Bundle":
        raise msgspec.ValidationError(f'`Bundle` expected, got "{bundle.resource_type}" - at `$.resourceType`')
    resources: dict[str, _Found] = {}
    position, line = 0, 1
    broken: list[tuple[int, str, PolicyText | None, list[Remark]]] = []
    for index, entry in enumerate(bundle.entry):
        raw = bytes(entry.resource)
        start = content.index(raw, position)
        line += content.count(b"\n", position, start)
        position = start
        head = msgspec.json.decode(raw, type=Head)
        if head.resource_type not in _SHAPES:
            continue
        try:
            resource = msgspec.json.decode(raw, type=_SHAPES[head.resource_type])
        except msgspec.ValidationError as error:
            detail, _, place = str(error).partition(" - at `$")
            field = f"entry[{index}].resource{place.rstrip('`')}"
            broken.append((line, raw.decode(), None, [Remark(field, "coverage.fault.shape", {"detail": detail})]))
            continue
        found = _Found(head.resource_type, resource, line, raw.decode())
        for name in (f"{head.resource_type}/{head.id}", entry.full_url):
            if name.strip("/"):
                resources[name] = found
    yield from broken
    for each in _once(resources.values()):
        if each.kind == "Coverage" and not _is_public(each.resource):
            yield _policy(each, resources)


def _once(resources: Iterable[_Found]) -> list[_Found]:
    """Each resource once, though it has several names."""
    return list({id(each): each for each in resources}.values())


def _is_public(coverage: Coverage) -> bool:
    return any(coding.code == "PUBLICPOL" for coding in coverage.type.coding)


def _policy(found: _Found, resources: dict[str, _Found]) -> tuple[int, str, PolicyText | None, list[Remark]]:
    coverage: Coverage = found.resource
    faults: list[Remark] = []
    needed = [found.raw]

    def follow(reference: Reference, field: str) -> _Found | None:
        target = resources.get(reference.reference)
        if target is None:
            where = f"Coverage/{coverage.id}.{field}"
            faults.append(Remark(where, "coverage.fault.reference", {"reference": reference.reference}))
        else:
            needed.append(target.raw)
        return target

    if coverage.status != "active":
        where = f"Coverage/{coverage.id}.status"
        faults.append(Remark(where, "coverage.fault.status", {"status": coverage.status}))
    patient = follow(coverage.beneficiary, "beneficiary")
    holder = follow(coverage.policy_holder, "policyHolder") if coverage.policy_holder.reference else None
    if patient is None or faults:
        return found.line, "\n".join(needed), None, faults
    related = [
        each
        for each in _once(resources.values())
        if each.kind == "RelatedPerson" and resources.get(each.resource.patient.reference) is patient
    ]
    public = [
        each
        for each in _once(resources.values())
        if each.kind == "Coverage"
        and _is_public(each.resource)
        and resources.get(each.resource.beneficiary.reference) is patient
    ]
    needed += [each.raw for each in (*related, *public)]
    insured = InsuredText(
        _person(patient.resource),
        next((c.code for c in coverage.relationship.coding if c.code in _RELATIONS), ""),
        "yes" if public else _enrolled(coverage.extension),
        guardians=[_guardian(each.resource) for each in related if _is_guardian(each.resource)],
        payees=[_payee(each) for each in coverage.extension if each.url.endswith("/payee-account")],
    )
    number = next((i.value for i in coverage.identifier if i.value), coverage.subscriber_id)
    product = next((c.value for c in coverage.class_ if any(t.code == "plan" for t in c.type.coding)), "")
    changes = [ChangeText("period", coverage.period.start[:10], coverage.period.end[:10], "", "", 1)]
    policy = PolicyText(number, product, "", _holder(holder) if holder else None, [insured], changes)
    return found.line, "\n".join(needed), policy, faults


def _holder(found: _Found) -> PersonText:
    if found.kind == "Organization":
        numbers = [each for each in found.resource.identifier if each.value]
        return PersonText(found.resource.name, [DocumentText("credit_code", each.value) for each in numbers[:1]])
    return _person(found.resource)


def _person(person: Person) -> PersonText:
    name = person.name[0] if person.name else HumanName()
    contacts = {contact.system: contact.value for contact in reversed(person.telecom)}
    languages = [
        coding.get("code", "")[:2]
        for each in person.communication
        for coding in each.get("language", {}).get("coding", [])
    ]
    return PersonText(
        name.text or " ".join([*name.given, name.family]).strip(),
        list(_documents(person.identifier)),
        person.birth_date,
        {"male": "M", "female": "F"}.get(person.gender, ""),
        person.deceased_date_time[:10],
        languages[0] if languages and languages[0] in ("zh", "en") else "",
        contacts.get("phone", ""),
        contacts.get("email", ""),
    )


def _documents(identifiers: Sequence[Identifier]) -> Iterator[DocumentText]:
    for each in identifiers:
        last_day = each.period.end[:10]
        if each.system.startswith(_PASSPORT_SYSTEM):
            yield DocumentText("passport", each.value, each.system.removeprefix(_PASSPORT_SYSTEM), last_day)
        elif each.system in _KIND_BY_SYSTEM:
            yield DocumentText(_KIND_BY_SYSTEM[each.system], each.value, "", last_day)
        else:
            for coding in each.type.coding:
                try:
                    kind = kind_of(coding.code)
                except Unusable:
                    continue  # a medical-record or local number
                if kind in PERSONAL_KINDS:
                    yield DocumentText(kind, each.value, "", last_day)
                    break


def _is_guardian(person: Person) -> bool:
    return any(coding.code in _GUARDIAN_CODES for concept in person.relationship for coding in concept.coding)


def _guardian(person: Person) -> GuardianText:
    proof = next((each.text for each in person.extension if each.url.endswith("/guardian-proof")), "")
    return GuardianText(_person(person), proof, person.period.start[:10], person.period.end[:10])


def _payee(extension: Extension) -> PayeeText:
    parts = {part.url: part.text for part in extension.extension}
    return PayeeText(parts.get("role", ""), parts.get("name", ""), parts.get("account", ""), parts.get("bank-code", ""))


def _enrolled(extensions: Sequence[Extension]) -> str:
    for each in extensions:
        if each.url.endswith("/social-insurance-enrolled") and each.value_boolean is not None:
            return "yes" if each.value_boolean else "no"
    return ""

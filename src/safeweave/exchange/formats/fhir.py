"""FHIR R4 bundles and resources, decoded as far as a claim needs them.

The profile (extensions, code systems, which state is which event) stands in docs/reference/wire.md §1. Only the fields
named here are decoded; amounts are exact decimals. Source: FHIR 4.0.1.
"""

import hashlib
import re
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from safeweave.clock import SHANGHAI, shanghai_day
from safeweave.errors import Malformed
from safeweave.events import (
    AdmissionCancelled,
    AdmissionReported,
    BillIssued,
    BillReversed,
    Charge,
    ChargesPosted,
    Diagnosis,
    HospitalEvent,
    Identifier,
    LeaveBegan,
    LeaveEnded,
    MessageNoted,
    OutpatientVisited,
    PatientDischarged,
    PersonSeen,
    SettlementReported,
    VisitUpdated,
)
from safeweave.exchange.formats.reading import EobSeen, Limits, Reading, Sender
from safeweave.exchange.formats.values import (
    BED,
    DISCHARGES,
    DISPOSITIONS,
    birthday_in,
    category_of,
    check_currency,
    day_in,
    diagnoses_for,
    fen_in,
    instant_in,
    is_icd_10,
    note,
    noted,
    other_hospital,
    whole_in,
)
from safeweave.facts import Bill, BillKind, BillRef, Line, Sex, Social, Split, Ward
from safeweave.money import Fen

PROFILE = "https://safeweave.example/fhir/"
BILL = PROFILE + "bill"

_RESIDENT_ID = ("urn:oid:2.16.156.10011.1.3", "2.16.156.10011.1.3")
_VISIT_NUMBERS = ("urn:oid:2.16.156.10011.1.12", "urn:oid:2.16.156.10011.1.11")  # 住院号, 门诊号
_KIND_BY_TYPE = {
    "NI": "resident_id",
    "NNCHN": "resident_id",
    "PPN": "passport",
    "MR": "mr",
    "PRC": "foreign_permanent_resident",
}
_SEXES: dict[str, Sex] = {"female": "F", "male": "M"}
_INPATIENT = ("IMP", "ACUTE", "NONAC")
_HERE = ("arrived", "triaged", "in-progress", "onleave")
_ENCOUNTER_STATUSES = (*_HERE, "planned", "finished", "cancelled", "entered-in-error", "unknown")
_NEVER_WAS = ("cancelled", "entered-in-error")
_DISPOSITIONS = {
    "home": "1",
    "alt-home": "1",
    "other-hcf": "2",
    "aadvice": "4",
    "exp": "5",
    "oth": "9",
    "hosp": "9",
    "rehab": "9",
}
_ROLES: dict[str, Literal["A", "W", "F"]] = {"AD": "A", "DD": "F"}
_BUNDLES = ("transaction", "batch", "collection", "message", "history", "searchset", "document")
_WARDS = ("ordinary", "icu", "vip", "international")
_TAKEN_OFF = ("deduction", "discount")


class _Struct(msgspec.Struct, gc=False):
    pass


class _Coding(_Struct):
    system: str = ""
    code: str = ""
    display: str = ""


class _Concept(_Struct):
    coding: list[_Coding] = []
    text: str = ""

    def codes(self) -> list[str]:
        return [c.code for c in self.coding]


class _Identifier(_Struct):
    system: str = ""
    value: str = ""
    type: _Concept | None = None

    def type_code(self) -> str:
        return next((c.code for c in self.type.coding if c.code), "") if self.type else ""


class _Reference(_Struct):
    reference: str = ""
    identifier: _Identifier | None = None
    display: str = ""


class _Money(_Struct):
    value: Decimal | None = None
    currency: str = ""


class _Quantity(_Struct):
    value: Decimal | None = None


class _Period(_Struct):
    start: str = ""
    end: str = ""


class _Extension(_Struct):
    url: str = ""
    valueString: str | None = None
    valueCode: str | None = None
    valueDate: str | None = None
    valueInteger: int | None = None
    valueBoolean: bool | None = None
    valueMoney: _Money | None = None
    valueReference: _Reference | None = None
    valueIdentifier: _Identifier | None = None
    extension: list["_Extension"] = []


class _Meta(_Struct):
    lastUpdated: str = ""


class _HumanName(_Struct):
    use: str = ""
    text: str = ""
    family: str = ""
    given: list[str | None] = []


class _Patient(_Struct):
    id: str = ""
    identifier: list[_Identifier] = []
    name: list[_HumanName] = []
    gender: str = ""
    birthDate: str = ""
    deceasedDateTime: str = ""


class _EncounterDiagnosis(_Struct):
    condition: _Reference = msgspec.field(default_factory=_Reference)
    use: _Concept | None = None
    rank: int | None = None


class _Hospitalization(_Struct):
    admitSource: _Concept | None = None
    dischargeDisposition: _Concept | None = None


class _StatusHistory(_Struct):
    status: str = ""
    period: _Period = msgspec.field(default_factory=_Period)


class _Encounter(_Struct):
    id: str = ""
    meta: _Meta | None = None
    extension: list[_Extension] = []
    identifier: list[_Identifier] = []
    status: str = ""
    statusHistory: list[_StatusHistory] = []
    class_: _Coding | None = msgspec.field(default=None, name="class")
    priority: _Concept | None = None
    subject: _Reference | None = None
    period: _Period | None = None
    diagnosis: list[_EncounterDiagnosis] = []
    hospitalization: _Hospitalization | None = None
    serviceProvider: _Reference | None = None


class _Condition(_Struct):
    id: str = ""
    code: _Concept | None = None
    verificationStatus: _Concept | None = None
    encounter: _Reference | None = None


class _Item(_Struct):
    sequence: int = 0
    extension: list[_Extension] = []
    category: _Concept | None = None
    productOrService: _Concept | None = None
    servicedDate: str = ""
    servicedPeriod: _Period | None = None
    quantity: _Quantity | None = None
    net: _Money | None = None
    encounter: list[_Reference] = []


class _Related(_Struct):
    claim: _Reference | None = None
    relationship: _Concept | None = None


class _ClaimDiagnosis(_Struct):
    sequence: int = 0
    diagnosisCodeableConcept: _Concept | None = None
    diagnosisReference: _Reference | None = None
    type: list[_Concept] = []


class _Claim(_Struct):
    id: str = ""
    extension: list[_Extension] = []
    identifier: list[_Identifier] = []
    status: str = ""
    type: _Concept | None = None
    use: str = ""
    patient: _Reference | None = None
    billablePeriod: _Period | None = None
    created: str = ""
    provider: _Reference | None = None
    related: list[_Related] = []
    diagnosis: list[_ClaimDiagnosis] = []
    item: list[_Item] = []
    total: _Money | None = None


class _Payment(_Struct):
    amount: _Money | None = None


class _Eob(_Struct):
    id: str = ""
    status: str = ""
    claim: _Reference | None = None
    payment: _Payment | None = None


class _PriceComponent(_Struct):
    type: str = ""
    amount: _Money | None = None


class _InvoiceLine(_Struct):
    sequence: int = 0
    extension: list[_Extension] = []
    chargeItemCodeableConcept: _Concept | None = None
    chargeItemReference: _Reference | None = None
    priceComponent: list[_PriceComponent] = []


class _Invoice(_Struct):
    id: str = ""
    extension: list[_Extension] = []
    identifier: list[_Identifier] = []
    status: str = ""
    subject: _Reference | None = None
    date: str = ""
    issuer: _Reference | None = None
    lineItem: list[_InvoiceLine] = []
    totalNet: _Money | None = None
    totalGross: _Money | None = None


class _ChargeItem(_Struct):
    id: str = ""
    extension: list[_Extension] = []
    identifier: list[_Identifier] = []
    status: str = ""
    code: _Concept | None = None
    context: _Reference | None = None
    occurrenceDateTime: str = ""
    occurrencePeriod: _Period | None = None
    enteredDate: str = ""
    quantity: _Quantity | None = None
    priceOverride: _Money | None = None


class _Organization(_Struct):
    id: str = ""
    identifier: list[_Identifier] = []


class _Entry(_Struct):
    fullUrl: str = ""
    resource: msgspec.Raw = msgspec.Raw(b"")


class _Top(_Struct):
    """A bundle, or any resource as far as it is like one."""

    resourceType: str = ""
    id: str = ""
    type: Any = None
    identifier: msgspec.Raw = msgspec.Raw(b"")
    timestamp: Any = None
    entry: list[_Entry] = []


class _Kind(_Struct):
    resourceType: str = ""


_TOP = msgspec.json.Decoder(_Top)
_IDENTIFIER = msgspec.json.Decoder(_Identifier)
_KIND = msgspec.json.Decoder(_Kind)
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "Patient": msgspec.json.Decoder(_Patient),
    "Encounter": msgspec.json.Decoder(_Encounter),
    "Condition": msgspec.json.Decoder(_Condition),
    "Claim": msgspec.json.Decoder(_Claim),
    "ExplanationOfBenefit": msgspec.json.Decoder(_Eob),
    "Invoice": msgspec.json.Decoder(_Invoice),
    "ChargeItem": msgspec.json.Decoder(_ChargeItem),
    "Organization": msgspec.json.Decoder(_Organization),
    "Location": msgspec.json.Decoder(_Organization),
}


# ---------------------------------------------------------------- decoding


def _decode(decoder: "msgspec.json.Decoder[Any]", raw: bytes | msgspec.Raw, path: str) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as wrong:
        what, _, where = str(wrong).partition(" - at `")
        inner = where.rstrip("`").removeprefix("$").removeprefix(".")
        raise Malformed(
            f"{what.replace('`', '')}; send it as FHIR R4 says", field=".".join(p for p in (path, inner) if p)
        ) from None
    except msgspec.DecodeError as wrong:
        raise _not_json(wrong, bytes(raw), path) from None
    except RecursionError:
        raise Malformed("nested too deeply; send the resource plainly", field=path, line=1) from None


def _not_json(wrong: msgspec.DecodeError, raw: bytes, path: str) -> Malformed:
    place = re.search(r"\(byte ([0-9]+)\)", str(wrong))
    line = raw[: int(place[1])].count(b"\n") + 1 if place else raw.count(b"\n") + 1
    what = re.sub(r"\s*\(byte [0-9]+\)", "", str(wrong))
    return Malformed(f"{what}; send JSON as FHIR R4 says", field=path, line=line)


def _checked_text(raw: bytes) -> bytes:
    body = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = body[: wrong.start].count(b"\n") + 1
        raise Malformed(f"byte {wrong.start} is not UTF-8; FHIR is sent in UTF-8", line=line) from None
    if (at := body.find(b"\\u0000")) >= 0:
        raise Malformed("a NUL character; leave it out", line=body[:at].count(b"\n") + 1)
    return body


class _Found:
    """The resources of one message: `path` of each, and who is who by url, type/id."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.notes: dict[str, int] = {}
        self.by_url: dict[str, Any] = {}
        self.kinds: dict[str, list[tuple[str, Any]]] = {kind: [] for kind in _DECODERS}
        self.sent_at: datetime | None = None

    def add(self, kind: str, full_url: str, resource: Any, path: str) -> None:
        self.kinds[kind].append((path, resource))
        if full_url:
            self.by_url[full_url] = resource
        if resource.id:
            self.by_url[f"{kind}/{resource.id}"] = resource

    def resolve(self, reference: _Reference | None, wanted: type) -> Any:
        """The resource a reference means, None if it is not in this message."""
        if reference is None or not reference.reference:
            return None
        url = reference.reference.partition("/_history/")[0]
        found = self.by_url.get(url)
        if found is None and url.startswith(("http:", "https:")):
            found = self.by_url.get("/".join(url.split("/")[-2:]))
        return found if isinstance(found, wanted) else None


def read(raw: bytes, sender: Sender, limits: Limits) -> Reading:
    """One bundle or resource; Malformed names the field, such as entry[4].resource.item[2].net.value."""
    body = _checked_text(raw)
    top = _decode(_TOP, body, "")
    if not top.resourceType:
        raise Malformed("no resourceType; send a FHIR resource or a 医保 envelope with infno", field="resourceType")
    found = _Found(sender)
    unread: dict[str, int] = {}
    control_id = ""
    if top.resourceType == "Bundle":
        if top.type not in _BUNDLES:
            raise Malformed(f"a bundle of this type tells nothing; send one of {', '.join(_BUNDLES)}", field="type")
        if len(top.entry) > limits.max_entries:
            raise Malformed(
                f"{len(top.entry)} entries, {limits.max_entries} are allowed; send it in parts", field="entry"
            )
        if top.timestamp is not None and not isinstance(top.timestamp, str):
            raise Malformed("no time; write it as 2026-03-06T15:20:41+08:00", field="timestamp")
        found.sent_at = instant_in(top.timestamp, "timestamp") if top.timestamp else None
        if memoryview(top.identifier).nbytes:
            control_id = _decode(_IDENTIFIER, top.identifier, "identifier").value
        control_id = control_id or top.id
        entries = [(e.fullUrl, e.resource, f"entry[{i}].resource") for i, e in enumerate(top.entry)]
    else:
        entries = [("", msgspec.Raw(body), "")]
    for full_url, resource, path in entries:
        if not memoryview(resource).nbytes:
            note(found.notes, "an entry without a resource, such as a DELETE, tells nothing")
            continue
        kind = _decode(_KIND, resource, path).resourceType
        decoder = _DECODERS.get(kind)
        if decoder is None:
            unread[kind] = unread.get(kind, 0) + 1
        else:
            found.add(kind, full_url, _decode(decoder, resource, path), path)

    events: list[HospitalEvent] = []
    encounters = _Encounters(found)
    for path, encounter in found.kinds["Encounter"]:
        events += encounters.told(encounter, path)
    events += _Bills(found, encounters).told()
    events += _charges(found, encounters)
    eobs = _eobs(found)
    for kind, count in sorted(unread.items()):
        note(found.notes, f"{kind[:40] or 'a resource without type'} not read", count)
    if not events and found.sent_at is not None:
        events.append(MessageNoted(occurred_at=found.sent_at, sender=sender.id, what=f"FHIR {top.resourceType}"))
    return Reading(
        format="fhir",
        control_id=control_id or hashlib.sha256(raw).hexdigest(),
        sent_at=found.sent_at,
        sequence=None,
        kind=top.resourceType,
        events=tuple(events),
        notes=noted(found.notes),
        eobs=eobs,
    )


# ---------------------------------------------------------------- small readers


def _at(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _extension(extensions: list[_Extension], name: str) -> _Extension | None:
    if not extensions:
        return None
    url = PROFILE + name
    return next((e for e in extensions if e.url == url), None)


def _code_of(extensions: list[_Extension], name: str) -> str:
    found = _extension(extensions, name)
    return ((found.valueCode or found.valueString or "") if found else "").strip()


def _fen(money: _Money | None, path: str, found: _Found, *, rounded: bool = False) -> Fen | None:
    if money is None or money.value is None:
        return None
    check_currency(money.currency, found.sender, f"{path}.currency")
    return fen_in(money.value, f"{path}.value", rounded=rounded)


def _first_code(concept: _Concept | None, system_end: str = "") -> str:
    if concept is None:
        return ""
    return next((c.code for c in concept.coding if c.code and c.system.endswith(system_end)), "")


def _name_of(concept: _Concept | None) -> str:
    if concept is None:
        return ""
    return concept.text or next((c.display for c in concept.coding if c.display), "")


def _person(found: _Found, reference: _Reference | None, path: str) -> PersonSeen:
    patient: _Patient | None = found.resolve(reference, _Patient)
    if patient is not None:
        return _patient_seen(found, patient)
    if reference is None:
        raise Malformed("no patient; send who it is about", field=path)
    if reference.reference.startswith("urn:uuid:"):
        raise Malformed("names a resource that is not in the bundle; send it too", field=f"{path}.reference")
    identifiers = [_identifier(reference.identifier)] if reference.identifier and reference.identifier.value else []
    if not identifiers and reference.reference:
        identifiers = [Identifier("other", reference.reference, "FHIR reference")]
        note(found.notes, "a patient is only referred to; send the Patient in the same bundle")
    if not identifiers and not reference.display:
        raise Malformed("names nobody; refer to a Patient", field=path)
    return PersonSeen(tuple(identifiers), reference.display)


def _identifier(told: _Identifier) -> Identifier:
    type_ = told.type_code()
    if told.system in _RESIDENT_ID:
        return Identifier("resident_id", told.value)
    if told.system == PROFILE + "policy-number":
        return Identifier("policy", told.value)
    kind = _KIND_BY_TYPE.get(type_, "other")
    return Identifier(kind, told.value, told.system if kind in ("mr", "other") else "")


def _patient_seen(found: _Found, patient: _Patient) -> PersonSeen:
    names = sorted(patient.name, key=lambda n: n.use != "official")
    birth = patient.birthDate
    return PersonSeen(
        identifiers=tuple(_identifier(told) for told in patient.identifier if told.value),
        name=_full_name(names[0]) if names else "",
        birth=birthday_in(birth, "Patient.birthDate") if birth else None,
        sex=_SEXES.get(patient.gender),
    )


def _full_name(name: _HumanName) -> str:
    if name.text:
        return name.text
    given = [part for part in name.given if part]
    if any(c >= "\u2e80" for c in name.family + "".join(given)):
        return name.family + "".join(given)
    return " ".join([*given, name.family]).strip()


def _hospital(found: _Found, *references: _Reference | None) -> str:
    for reference in references:
        told = [reference.identifier] if reference and reference.identifier else []
        organization = found.resolve(reference, _Organization)
        for identifier in [*told, *(organization.identifier if organization else [])]:
            if identifier.system == PROFILE + "institution":
                return other_hospital(identifier.value, found.sender)
    return ""


def _diagnosis(
    concept: _Concept | None, role: Literal["A", "W", "F", ""], main: bool, found: _Found
) -> Diagnosis | None:
    codings = [c for c in concept.coding if c.code] if concept else []
    if not codings:
        if concept is not None:
            note(found.notes, "diagnoses without a code")
        return None
    coding = next((c for c in codings if is_icd_10(c.system)), codings[0])
    return Diagnosis(coding.code, coding.display or (concept.text if concept else ""), role, main, coding.system)


# ---------------------------------------------------------------- encounters


class _Encounters:
    def __init__(self, found: _Found) -> None:
        self.found = found
        self.conditions: dict[int, list[_Condition]] = {}
        for _, condition in found.kinds["Condition"]:
            encounter = found.resolve(condition.encounter, _Encounter)
            if encounter is not None:
                self.conditions.setdefault(id(encounter), []).append(condition)

    def visit(self, encounter: _Encounter, path: str = "") -> str:
        number = "" if self.found.sender.claims_from_encounters else self._number(encounter)
        if not number and not encounter.id:
            raise Malformed("no identifier and no id; send the number of the visit", field=_at(path, "identifier"))
        return number or encounter.id

    @staticmethod
    def _number(encounter: _Encounter) -> str:
        told = [i for i in encounter.identifier if i.value]
        best = [i for i in told if i.system in _VISIT_NUMBERS or i.type_code() == "VN"]
        return (best or told)[0].value if told else ""

    def visit_of(self, reference: _Reference | None) -> str:
        """The visit a reference means: its identifier, else the Encounter in this message, else the id it names."""
        if reference is None:
            return ""
        if reference.identifier is not None and reference.identifier.value:
            return reference.identifier.value
        encounter = self.found.resolve(reference, _Encounter)
        if encounter is not None:
            return self.visit(encounter)
        url = reference.reference.partition("/_history/")[0]
        return url.rsplit("/", 1)[-1].removeprefix("urn:uuid:")

    def told(self, encounter: _Encounter, path: str) -> list[HospitalEvent]:
        found, sender = self.found, self.found.sender
        visit = self.visit(encounter, path)
        status, class_ = encounter.status, encounter.class_.code if encounter.class_ else ""
        if status not in _ENCOUNTER_STATUSES:
            raise Malformed(
                f"no Encounter status of R4; write one of {', '.join(_ENCOUNTER_STATUSES)}", field=_at(path, "status")
            )
        hospital = _hospital(found, encounter.serviceProvider)
        period = encounter.period or _Period()
        start = instant_in(period.start, _at(path, "period.start")) if period.start else None
        end = instant_in(period.end, _at(path, "period.end")) if period.end else None
        recorded = encounter.meta.lastUpdated if encounter.meta else ""
        recorded_at = instant_in(recorded, _at(path, "meta.lastUpdated")) if recorded else None

        if status in _NEVER_WAS:
            at = recorded_at or found.sent_at or end or start
            if at is None:
                raise Malformed("no time; send meta.lastUpdated", field=_at(path, "meta.lastUpdated"))
            return [AdmissionCancelled(occurred_at=at, visit=visit, sender=sender.id, hospital=hospital)]
        if status in ("planned", "unknown") or class_ == "PRENC":
            note(found.notes, f"Encounter {class_[:10]} {status} moves no case")
            return []
        if start is None:
            raise Malformed("missing; send when the visit began", field=_at(path, "period.start"))
        person = _person(found, encounter.subject, _at(path, "subject"))
        diagnoses = diagnoses_for(self._diagnoses(encounter, path), sender, found.notes)
        emergency = self._emergency(encounter, class_)
        accident = _extension(encounter.extension, "accident-on")
        accident_on = None
        if accident is not None and accident.valueDate:
            accident_on = day_in(accident.valueDate, _at(path, "extension.accident-on.valueDate"))

        if class_ not in _INPATIENT:
            return [
                OutpatientVisited(
                    occurred_at=recorded_at or start,
                    visit=visit,
                    sender=sender.id,
                    hospital=hospital,
                    person=person,
                    visited_at=start,
                    diagnoses=diagnoses,
                    treatment=_code_of(encounter.extension, "treatment"),
                    emergency=emergency,
                    accident_on=accident_on,
                )
            ]
        leaves = self._leaves(encounter, visit, hospital, path)
        ward = self._ward(encounter)
        discharged: list[HospitalEvent] = []
        if status == "finished":
            if end is None:
                raise Malformed("missing; a finished stay has an end", field=_at(path, "period.end"))
            icu = _extension(encounter.extension, "icu-days")
            told = PatientDischarged(
                occurred_at=recorded_at or end,
                visit=visit,
                sender=sender.id,
                hospital=hospital,
                discharged_at=end,
                diagnoses=diagnoses,
                disposition="5" if self._died(encounter, start, end) else self._disposition(encounter),
                icu_days=icu.valueInteger or 0 if icu else 0,
                person=person,
                admitted_at=start,
            )
            if ward == "ordinary" and not emergency and accident_on is None:
                return [*leaves, told]
            discharged = [told]  # a discharge says nothing of these three, so the admission is told with it
        at = start if status == "finished" else recorded_at or found.sent_at or start
        admitted = AdmissionReported(
            occurred_at=at,
            visit=visit,
            sender=sender.id,
            hospital=hospital,
            person=person,
            admitted_at=start,
            diagnoses=diagnoses,
            ward=ward,
            emergency=emergency,
            accident_on=accident_on,
        )
        if status == "onleave" and not any(h.status == "onleave" and not h.period.end for h in encounter.statusHistory):
            leaves.append(LeaveBegan(occurred_at=at, visit=visit, sender=sender.id, hospital=hospital))
        return [admitted, *leaves, *discharged]

    def _diagnoses(self, encounter: _Encounter, path: str) -> list[Diagnosis]:
        found = self.found
        listed: list[tuple[int, Diagnosis]] = []
        seen: set[int] = set()
        for told in encounter.diagnosis:
            condition: _Condition | None = found.resolve(told.condition, _Condition)
            if condition is None:
                note(found.notes, "a diagnosis refers to a Condition that is not in this message")
                continue
            seen.add(id(condition))
            role = next((_ROLES[c] for c in (told.use.codes() if told.use else ()) if c in _ROLES), "W")
            diagnosis = _diagnosis(condition.code, role, told.rank == 1, found)  # type: ignore[arg-type]
            if diagnosis is not None and _stands(condition):
                listed.append((told.rank or 1_000_000, diagnosis))
        listed.sort(key=lambda pair: pair[0])
        for condition in self.conditions.get(id(encounter), ()):
            if id(condition) not in seen and _stands(condition):
                diagnosis = _diagnosis(condition.code, "W", False, found)
                if diagnosis is not None:
                    listed.append((0, diagnosis))
        return [diagnosis for _, diagnosis in listed]

    def _emergency(self, encounter: _Encounter, class_: str) -> bool:
        told = _extension(encounter.extension, "emergency")
        if told is not None and told.valueBoolean is not None:
            return told.valueBoolean
        source = encounter.hospitalization.admitSource if encounter.hospitalization else None
        priority = encounter.priority.codes() if encounter.priority else ()
        return class_ == "EMER" or "EM" in priority or "emd" in (source.codes() if source else ())

    def _ward(self, encounter: _Encounter) -> Ward:
        told = _code_of(encounter.extension, "ward")
        if told and told not in _WARDS:
            note(self.found.notes, f'ward "{told[:20]}" is not known')
        return told if told in _WARDS else "ordinary"  # type: ignore[return-value]

    def _disposition(self, encounter: _Encounter) -> Literal["1", "2", "3", "4", "5", "9", ""]:
        told = encounter.hospitalization.dischargeDisposition if encounter.hospitalization else None
        for coding in told.coding if told else ():
            if coding.system == PROFILE + "dscg-way" and coding.code in DISPOSITIONS:
                return coding.code  # type: ignore[return-value]
            known = _DISPOSITIONS.get(coding.code) or DISCHARGES.get(coding.code)
            if known:
                return known  # type: ignore[return-value]
        if told is not None:
            note(self.found.notes, "a discharge disposition is not known")
        return ""

    def _died(self, encounter: _Encounter, start: datetime, end: datetime) -> bool:
        """Whether the patient's day of death lies in the stay."""
        patient: _Patient | None = self.found.resolve(encounter.subject, _Patient)
        if patient is None or not patient.deceasedDateTime:
            return False
        died_on = day_in(patient.deceasedDateTime, "Patient.deceasedDateTime")
        return shanghai_day(start) <= died_on <= shanghai_day(end)

    def _leaves(self, encounter: _Encounter, visit: str, hospital: str, path: str) -> list[HospitalEvent]:
        events: list[HospitalEvent] = []
        for index, history in enumerate(encounter.statusHistory):
            if history.status != "onleave" or not history.period.start:
                continue
            where = _at(path, f"statusHistory[{index}].period")
            for text, end, make in (
                (history.period.start, ".start", LeaveBegan),
                (history.period.end, ".end", LeaveEnded),
            ):
                if text:
                    at = instant_in(text, where + end)
                    events.append(make(occurred_at=at, visit=visit, sender=self.found.sender.id, hospital=hospital))
        return events


def _stands(condition: _Condition) -> bool:
    status = condition.verificationStatus.codes() if condition.verificationStatus else ()
    return "refuted" not in status and "entered-in-error" not in status


# ---------------------------------------------------------------- bills


class _Bills:
    def __init__(self, found: _Found, encounters: _Encounters) -> None:
        self.found, self.encounters = found, encounters

    def told(self) -> list[HospitalEvent]:
        events: list[HospitalEvent] = []
        claimed: set[str] = set()
        for path, claim in self.found.kinds["Claim"]:
            told = (
                self._from_encounter(claim, path)
                if self.found.sender.claims_from_encounters
                else self._claim(claim, path)
            )
            claimed.update(
                e.bill.key if isinstance(e.bill, Bill) else str(e.bill)
                for e in told
                if isinstance(e, BillIssued | BillReversed)
            )
            events += told
        for path, invoice in self.found.kinds["Invoice"]:
            events += self._invoice(invoice, path, claimed)
        return events

    # A sender without bills: its claims are the bills of its encounters.

    def _from_encounter(self, claim: _Claim, path: str) -> list[HospitalEvent]:
        found = self.found
        kind = _first_code(claim.type)
        if claim.use != "claim" or claim.status != "active" or kind != "institutional":
            note(found.notes, f"Claim {kind[:20]} {claim.use[:20]} {claim.status[:20]} is no bill")
            return []
        if not claim.id:
            raise Malformed("missing; the claim's id is the bill number", field=_at(path, "id"))
        lines: list[Line] = []
        for index, item in enumerate(claim.item):
            where = _at(path, f"item[{index}]")
            amount = _fen(item.net, f"{where}.net", found, rounded=True)
            if amount is not None:
                lines.append(self._line(item, amount, where))
        _check_sequences(lines, path)
        total = Fen(sum(line.amount for line in lines))
        stated = _fen(claim.total, _at(path, "total"), found, rounded=True)
        if stated is not None and stated != total:
            note(found.notes, "Claim.total is not the sum of the priced items; the sum is taken")
        reference = next((item.encounter[0] for item in claim.item if item.encounter), None)
        encounter = found.resolve(reference, _Encounter)
        created_at = self._created(claim, path)
        return [
            BillIssued(
                occurred_at=created_at,
                visit=self.encounters.visit_of(reference),
                sender=found.sender.id,
                hospital=_hospital(found, claim.provider),
                bill=Bill(
                    code="SYNTHEA",
                    number=claim.id,
                    kind=self._kind(claim, encounter),
                    on=shanghai_day(created_at),
                    total=total,
                    lines=tuple(lines),
                    social="none",
                ),
                itemised=all(line.catalogue_class for line in lines),
                person=_person(found, claim.patient, _at(path, "patient")),
                first_day=self._billable(claim, path, "start"),
                last_day=self._billable(claim, path, "end"),
            )
        ]

    # The profile.

    def _claim(self, claim: _Claim, path: str) -> list[HospitalEvent]:
        found = self.found
        if claim.use not in ("claim", "preauthorization", "predetermination"):
            raise Malformed("no Claim use of R4; write claim", field=_at(path, "use"))
        if claim.status not in ("active", "cancelled", "draft", "entered-in-error"):
            raise Malformed("no Claim status of R4; write active", field=_at(path, "status"))
        if claim.use != "claim" or claim.status == "draft":
            note(found.notes, f"Claim {claim.use} {claim.status} is no bill")
            return []
        key = self._key(claim.identifier, path)
        reference = next((item.encounter[0] for item in claim.item if item.encounter), None)
        encounter = found.resolve(reference, _Encounter)
        visit = self.encounters.visit_of(reference)
        hospital = _hospital(found, claim.provider)
        created_at = self._created(claim, path)
        if claim.status in _NEVER_WAS:
            at = found.sent_at or created_at
            return [BillReversed(occurred_at=at, visit=visit, sender=found.sender.id, hospital=hospital, bill=key)]

        lines: list[Line] = []
        for index, item in enumerate(claim.item):
            where = _at(path, f"item[{index}]")
            amount = _fen(item.net, f"{where}.net", found)
            if amount is None:
                raise Malformed("missing; send the amount of every item", field=f"{where}.net.value")
            lines.append(self._line(item, amount, where))
        _check_sequences(lines, path)
        stated = _fen(claim.total, _at(path, "total"), found)
        total = Fen(sum(line.amount for line in lines)) if stated is None else stated
        split = _SettlementPart(found, _extension(claim.extension, "settlement"), _at(path, "extension.settlement"))
        issued = BillIssued(
            occurred_at=created_at,
            visit=visit,
            sender=found.sender.id,
            hospital=hospital,
            bill=split.bill(key, self._kind(claim, encounter), created_at, total, tuple(lines), self._replaces(claim)),
            itemised=bool(lines) and all(line.catalogue_class for line in lines),
            person=_person(found, claim.patient, _at(path, "patient")),
            first_day=self._billable(claim, path, "start"),
            last_day=self._billable(claim, path, "end"),
        )
        told = self._diagnoses(claim)
        diagnoses = diagnoses_for(told, found.sender, found.notes) if told else ()
        settled = split.settlement(issued, diagnoses)
        events: list[HospitalEvent] = [issued]
        if settled is not None:
            events.append(settled)
        elif diagnoses and encounter is None and visit:
            events.append(
                VisitUpdated(
                    occurred_at=created_at, visit=visit, sender=found.sender.id, hospital=hospital, diagnoses=diagnoses
                )
            )
        return events

    def _invoice(self, invoice: _Invoice, path: str, claimed: set[str]) -> list[HospitalEvent]:
        found = self.found
        if invoice.status not in ("draft", "issued", "balanced", *_NEVER_WAS):
            raise Malformed("no Invoice status of R4; write issued", field=_at(path, "status"))
        if found.sender.claims_from_encounters or invoice.status == "draft":
            note(found.notes, f"Invoice {invoice.status} is no bill")
            return []
        key = self._key(invoice.identifier, path)
        if str(key) in claimed:
            return []
        if not invoice.date:
            raise Malformed("missing; send when the bill was issued", field=_at(path, "date"))
        issued_at = instant_in(invoice.date, _at(path, "date"))
        told = _extension(invoice.extension, "encounter")
        items = [(self.found.resolve(line.chargeItemReference, _ChargeItem), line) for line in invoice.lineItem]
        contexts = [told.valueReference if told else None, *(item.context for item, _ in items if item)]
        reference = next((r for r in contexts if r is not None), None)
        visit = self.encounters.visit_of(reference)
        hospital = _hospital(found, invoice.issuer)
        if invoice.status in _NEVER_WAS:
            at = found.sent_at or issued_at
            return [BillReversed(occurred_at=at, visit=visit, sender=found.sender.id, hospital=hospital, bill=key)]

        lines: list[Line] = []
        for index, (charge_item, line) in enumerate(items):
            where = _at(path, f"lineItem[{index}]")
            concept = line.chargeItemCodeableConcept or (charge_item.code if charge_item else None)
            extensions = line.extension + (charge_item.extension if charge_item else [])
            item = _Item(
                sequence=line.sequence or index + 1,
                extension=extensions,
                productOrService=concept,
                servicedDate=charge_item.occurrenceDateTime if charge_item else "",
                quantity=charge_item.quantity if charge_item else None,
            )
            lines.append(self._line(item, self._priced(line, where), where))
        _check_sequences(lines, path)
        total = _fen(invoice.totalGross, _at(path, "totalGross"), found)
        total = _fen(invoice.totalNet, _at(path, "totalNet"), found) if total is None else total
        if total is None:
            total = Fen(sum(line.amount for line in lines))
        replaces = _extension(invoice.extension, "replaces")
        replaced = _bill_ref(replaces.valueIdentifier) if replaces and replaces.valueIdentifier else None
        split = _SettlementPart(found, _extension(invoice.extension, "settlement"), _at(path, "extension.settlement"))
        encounter = found.resolve(reference, _Encounter)
        kind = _code_of(invoice.extension, "bill-kind") or self._class_kind(encounter) or "outpatient"
        issued = BillIssued(
            occurred_at=issued_at,
            visit=visit,
            sender=found.sender.id,
            hospital=hospital,
            bill=split.bill(
                key, "inpatient" if kind == "inpatient" else "outpatient", issued_at, total, tuple(lines), replaced
            ),
            itemised=bool(lines) and all(line.catalogue_class for line in lines),
            person=_person(found, invoice.subject, _at(path, "subject")) if invoice.subject else None,
        )
        settled = split.settlement(issued, ())
        return [issued] if settled is None else [issued, settled]

    def _priced(self, line: _InvoiceLine, where: str) -> Fen:
        amounts = []
        for index, component in enumerate(line.priceComponent):
            amount = _fen(component.amount, f"{where}.priceComponent[{index}].amount", self.found)
            if amount is not None and component.type != "informational":
                amounts.append(-abs(amount) if component.type in _TAKEN_OFF else amount)
        if not amounts:
            raise Malformed("no amount; send a priceComponent of type base", field=f"{where}.priceComponent")
        return Fen(sum(amounts))

    # What both have.

    def _key(self, identifiers: list[_Identifier], path: str) -> BillRef:
        for index, identifier in enumerate(identifiers):
            if identifier.system == BILL:
                found = _bill_ref(identifier)
                if found is None:
                    raise Malformed(
                        "no bill key; write code-number, such as 33060226-0012345678",
                        field=_at(path, f"identifier[{index}].value"),
                    )
                return found
        raise Malformed(f"no bill key; send an identifier of system {BILL}", field=_at(path, "identifier"))

    def _replaces(self, claim: _Claim) -> BillRef | None:
        for related in claim.related:
            if "prior" not in (related.relationship.codes() if related.relationship else ()) or related.claim is None:
                continue
            if related.claim.identifier is not None and (ref := _bill_ref(related.claim.identifier)):
                return ref
            prior: _Claim | None = self.found.resolve(related.claim, _Claim)
            for identifier in prior.identifier if prior else ():
                if identifier.system == BILL and (ref := _bill_ref(identifier)):
                    return ref
            note(self.found.notes, "a prior claim is not named by its bill key")
        return None

    def _created(self, claim: _Claim, path: str) -> datetime:
        if not claim.created:
            raise Malformed("missing; send when the bill was issued", field=_at(path, "created"))
        return instant_in(claim.created, _at(path, "created"))

    def _billable(self, claim: _Claim, path: str, end: Literal["start", "end"]) -> Any:
        period = claim.billablePeriod or _Period()
        text = period.start if end == "start" else period.end
        return day_in(text, _at(path, f"billablePeriod.{end}")) if text else None

    @staticmethod
    def _class_kind(encounter: _Encounter | None) -> BillKind | None:
        if encounter is None or encounter.class_ is None or not encounter.class_.code:
            return None
        return "inpatient" if encounter.class_.code in _INPATIENT else "outpatient"

    def _kind(self, claim: _Claim, encounter: _Encounter | None) -> BillKind:
        told = _code_of(claim.extension, "bill-kind")
        if told in ("inpatient", "outpatient"):
            return told  # type: ignore[return-value]
        known = self._class_kind(encounter)
        return known or ("inpatient" if _first_code(claim.type) == "institutional" else "outpatient")

    def _diagnoses(self, claim: _Claim) -> list[Diagnosis]:
        listed = []
        for told in sorted(claim.diagnosis, key=lambda d: d.sequence):
            condition: _Condition | None = self.found.resolve(told.diagnosisReference, _Condition)
            concept = told.diagnosisCodeableConcept or (condition.code if condition else None)
            principal = any("principal" in kind.codes() for kind in told.type)
            diagnosis = _diagnosis(concept, "F", principal, self.found)
            if diagnosis is not None:
                listed.append(diagnosis)
        return listed

    def _line(self, item: _Item, amount: Fen, where: str) -> Line:
        found, sender = self.found, self.found.sender
        ext = item.extension
        told = _first_code(item.category, "charge-category") or _code_of(ext, "charge-category")
        category = category_of(told, "", sender, found.notes)
        class_ = _code_of(ext, "catalogue-class") or sender.class_default or ""
        days = _extension(ext, "days")
        bed_days = days.valueInteger if days else None
        if bed_days is None and category == BED and told and item.quantity and item.quantity.value is not None:
            bed_days = whole_in(item.quantity.value)
        ward = _code_of(ext, "ward")
        if ward and ward not in _WARDS:
            note(found.notes, f'ward "{ward[:20]}" is not known')
        refund = _extension(ext, "refund-of")
        paid = _extension(ext, "social-paid")
        on = item.servicedDate or (item.servicedPeriod.start if item.servicedPeriod else "")
        return Line(
            no=item.sequence,
            category=category,
            catalogue_class=class_,
            amount=amount,
            code=_first_code(item.productOrService) or None,
            treatment=_code_of(ext, "treatment") or None,
            ward=ward if ward in _WARDS else "ordinary",  # type: ignore[arg-type]
            days=bed_days,
            on=day_in(on, f"{where}.servicedDate") if on else None,
            split=self._split(ext, where),
            social_paid=_fen(paid.valueMoney, f"{where}.extension.social-paid.valueMoney", found) if paid else None,
            refund_of=refund.valueInteger if refund else None,
            name=_name_of(item.productOrService),
        )

    def _split(self, extensions: list[_Extension], where: str) -> Split | None:
        told = _extension(extensions, "split")
        if told is None:
            return None
        parts: dict[str, Fen] = {}
        for name in ("own", "over", "first", "within"):
            part = next((e for e in told.extension if e.url == name), None)
            amount = _fen(part.valueMoney, f"{where}.extension.split.{name}.valueMoney", self.found) if part else None
            if amount is None:
                raise Malformed("missing; a split has all four parts", field=f"{where}.extension.split.{name}")
            parts[name] = amount
        return Split(parts["own"], parts["over"], parts["first"], parts["within"])


class _SettlementPart:
    """The sw:settlement extension of a bill: who paid what."""

    def __init__(self, found: _Found, told: _Extension | None, where: str) -> None:
        self.found = found
        parts = {e.url: e for e in told.extension} if told else {}

        def fen(name: str) -> Fen | None:
            return _fen(parts[name].valueMoney, f"{where}.{name}.valueMoney", found) if name in parts else None

        def text(name: str) -> str:
            return (parts[name].valueString or parts[name].valueCode or "").strip() if name in parts else ""

        self.fund, self.other, self.account, self.cash = fen("fund"), fen("other"), fen("account"), fen("cash")
        self.self_pay, self.self_cost = fen("selfPay"), fen("selfCost")
        self.id, self.medical_visit, social = text("id"), text("medicalVisit"), text("social")
        if social and social not in ("settled", "none"):
            raise Malformed("neither settled nor none; write one of them", field=f"{where}.social")
        self.social: Social | None = social or None  # type: ignore[assignment]
        if self.social is None and self.fund is not None:
            self.social = "settled"

    def bill(
        self,
        key: BillRef,
        kind: BillKind,
        issued_at: datetime,
        total: Fen,
        lines: tuple[Line, ...],
        replaces: BillRef | None,
    ) -> Bill:
        return Bill(
            code=key.code,
            number=key.number,
            kind=kind,
            on=shanghai_day(issued_at),
            total=total,
            lines=lines,
            social=self.social,
            fund=self.fund,
            other=self.other,
            account=self.account,
            cash=self.cash,
            self_pay=self.self_pay,
            self_cost=self.self_cost,
            replaces=replaces,
        )

    def settlement(self, issued: BillIssued, diagnoses: tuple[Diagnosis, ...]) -> SettlementReported | None:
        """The 医保 settlement, if it has an id and says what each paid."""
        if not self.id or self.fund is None or self.other is None or self.account is None or self.cash is None:
            return None
        return SettlementReported(
            occurred_at=issued.occurred_at,
            visit=issued.visit,
            sender=issued.sender,
            hospital=issued.hospital,
            settlement=self.id,
            bill=BillRef(issued.bill.code, issued.bill.number),
            medical_visit=self.medical_visit,
            total=issued.bill.total,
            fund=self.fund,
            other=self.other,
            account=self.account,
            cash=self.cash,
            self_pay=self.self_pay,
            self_cost=self.self_cost,
            lines=issued.bill.lines if issued.itemised else (),
            diagnoses=diagnoses,
        )


def _bill_ref(identifier: _Identifier) -> BillRef | None:
    code, dash, number = identifier.value.strip().partition("-")
    return BillRef(code, number) if identifier.system == BILL and code and dash and number else None


def _check_sequences(lines: list[Line], path: str) -> None:
    numbers = [line.no for line in lines]
    if len(set(numbers)) < len(numbers):
        raise Malformed("two lines have one number; give each its own sequence", field=_at(path, "item.sequence"))


# ---------------------------------------------------------------- charges and EOBs


def _charges(found: _Found, encounters: _Encounters) -> list[HospitalEvent]:
    posted: dict[str, list[tuple[datetime, Charge]]] = {}
    for path, item in found.kinds["ChargeItem"]:
        if item.status not in ("billable", "billed", "entered-in-error"):
            note(found.notes, f"ChargeItem {item.status[:20]} is no charge")
            continue
        amount = _fen(item.priceOverride, _at(path, "priceOverride"), found)
        visit = encounters.visit_of(item.context)
        if amount is None or not visit:
            note(found.notes, "ChargeItem without priceOverride or context")
            continue
        period = item.occurrencePeriod or _Period()
        when = item.occurrenceDateTime or period.start or item.enteredDate
        if not when:
            raise Malformed("no day; send when the service was given", field=_at(path, "occurrenceDateTime"))
        at = instant_in(when, _at(path, "occurrenceDateTime"))
        number = item.identifier[0].value if item.identifier else ""
        number = number or item.id
        if not number:
            raise Malformed("no identifier and no id; give every charge one", field=_at(path, "identifier"))
        undone = item.status == "entered-in-error"
        charge = Charge(
            id=f"{number}/undone" if undone else number,
            on=at.astimezone(SHANGHAI).date(),
            amount=Fen(-amount) if undone else amount,
            code=_first_code(item.code),
            name=_name_of(item.code),
            category=category_of(_code_of(item.extension, "charge-category"), "", found.sender, found.notes),
            reverses=number if undone else "",
        )
        posted.setdefault(visit, []).append((at, charge))
    return [
        ChargesPosted(
            occurred_at=found.sent_at or max(at for at, _ in charges),
            visit=visit,
            sender=found.sender.id,
            charges=tuple(charge for _, charge in charges),
        )
        for visit, charges in posted.items()
    ]


def _eobs(found: _Found) -> tuple[EobSeen, ...]:
    seen = []
    for path, eob in found.kinds["ExplanationOfBenefit"]:
        amount = eob.payment.amount if eob.payment else None
        paid = _fen(amount, _at(path, "payment.amount"), found, rounded=found.sender.claims_from_encounters)
        if paid is None or eob.claim is None or eob.status in ("draft", *_NEVER_WAS):
            note(found.notes, "ExplanationOfBenefit without a payment for a claim")
            continue
        claim: _Claim | None = found.resolve(eob.claim, _Claim)
        named = eob.claim.reference.rsplit("/", 1)[-1].removeprefix("urn:uuid:")
        seen.append(EobSeen(claim=claim.id if claim else named, paid=paid))
    return tuple(seen)

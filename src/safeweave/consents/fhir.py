"""Consents as FHIR R4 Consent resources, out and in.

The act is the provision's action (disclose: give; collect and use: process), recipient and giver are its actors, kinds
of data its classes by resource type, the visit its data. A Period of FHIR includes its end, ours does not. What would
narrow or change a consent and is not known here is never passed over: it is Malformed, with its field.
Source: HL7 FHIR R4, Consent.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec

from safeweave.clock import SHANGHAI
from safeweave.consents.consent import (
    ENDINGS,
    HOWS,
    PURPOSES,
    Act,
    ConsentId,
    DataKind,
    How,
    Kept,
    Party,
    Purpose,
    State,
    consent_of,
)
from safeweave.ids import PersonId
from safeweave.people.identity import Unusable

CONSENT_SYSTEM = "urn:safeweave:consent"
PERSON_SYSTEM = "urn:safeweave:person"
MEMBER_SYSTEM = "urn:safeweave:member"
VISIT_SYSTEM = "urn:safeweave:visit"
PURPOSE_SYSTEM = "urn:safeweave:consent-purpose"
_EXTENSION = "urn:safeweave:fhir/"
_TERMS = "http://terminology.hl7.org/CodeSystem/"
_RESOURCES = "http://hl7.org/fhir/resource-types"
_TEXT = re.compile(r"urn:safeweave:consent-text:(give|process):([0-9-]+):sha256:([0-9a-f]{64})")

_ACTIONS: dict[Act, tuple[str, ...]] = {"give": ("disclose",), "process": ("collect", "use")}
_CATEGORIES: dict[Act, tuple[str, str]] = {
    "give": ("IDSCL", "information disclosure"),
    "process": ("ICOL", "information collection"),
}
_CLASSES: dict[DataKind, str] = {
    "identity": "Patient",
    "admission": "Encounter",
    "diagnosis": "Condition",
    "bill": "Invoice",
    "settlement": "ExplanationOfBenefit",
    "record": "DocumentReference",
}
_KINDS = {code: kind for kind, code in _CLASSES.items()}
_PURPOSE_REASONS = {"CLMATTCH": "claim", "HPAYMT": "claim"}  # of v3-ActReason, as others write it
_RECIPIENT, _GIVER = "IRCP", "CST"  # v3-ParticipationType: information recipient, custodian
_ENDED: tuple[State, ...] = ENDINGS
_ENDS_BY_ITSELF = ("expired", "lapsed", "retake")  # as the period and the person say, see consent.state_at


# ---------------------------------------------------------------- out


def write(kept: Kept, state: State) -> dict[str, Any]:
    """The resource, as JSON values; `state` is what it is worth now (`consent.state_at`)."""
    consent = kept.consent
    patient = {"type": "Patient", "identifier": {"system": PERSON_SYSTEM, "value": consent.person}}
    by_guardian = consent.given_by != consent.person
    performer = {
        "type": "RelatedPerson" if by_guardian else "Patient",
        "identifier": {"system": PERSON_SYSTEM, "value": consent.given_by},
    }
    parties = [("recipient", _RECIPIENT, consent.recipient)]
    if consent.giver is not None:
        parties.append(("giver", _GIVER, consent.giver))
    extensions: list[dict[str, Any]] = [{"url": f"{_EXTENSION}how", "valueCode": consent.how}]
    if consent.proof:
        extensions.append({"url": f"{_EXTENSION}guardian-proof", "valueString": consent.proof})
    if consent.follows is not None:
        extensions.append({"url": f"{_EXTENSION}follows", "valueString": consent.follows})
    if state in _ENDED:
        extensions.append({"url": f"{_EXTENSION}state", "valueCode": state})
    if kept.revoked_at is not None:
        extensions.append({"url": f"{_EXTENSION}revoked-at", "valueInstant": _instant(kept.revoked_at, "microseconds")})
    code, display = _CATEGORIES[consent.act]
    return {
        "resourceType": "Consent",
        "id": consent.id.replace("_", "-"),
        "contained": [_organization(id, party) for id, _, party in parties],
        "extension": extensions,
        "identifier": [{"system": CONSENT_SYSTEM, "value": consent.id}],
        "status": "inactive" if state in _ENDED else "active",
        "scope": _concept(f"{_TERMS}consentscope", "patient-privacy", "Privacy Consent"),
        "category": [
            _concept("http://loinc.org", "59284-0", "Consent Document"),
            _concept(f"{_TERMS}v3-ActCode", code, display),
        ],
        "patient": patient,
        "dateTime": _instant(consent.given_at),
        "performer": [performer],
        "organization": [{"reference": f"#{parties[-1][0]}"}],
        "policy": [
            {
                "uri": f"urn:safeweave:consent-text:{consent.act}:{consent.text_version}:sha256:{consent.text_digest}",
            }
        ],
        "verification": [{"verified": True, "verifiedWith": performer, "verificationDate": _instant(consent.given_at)}],
        "provision": {
            "type": "permit",
            "period": {
                "start": _instant(consent.begins_at),
                "end": _instant(consent.ends_at - timedelta(seconds=1)),
            },
            "actor": [
                {"role": _concept(f"{_TERMS}v3-ParticipationType", role), "reference": {"reference": f"#{id}"}}
                for id, role, _ in parties
            ],
            "action": [_concept(f"{_TERMS}consentaction", action) for action in _ACTIONS[consent.act]],
            "purpose": [{"system": PURPOSE_SYSTEM, "code": consent.purpose}],
            "class": [{"system": _RESOURCES, "code": _CLASSES[kind]} for kind in consent.kinds],
            **(_visit(consent.visit) if consent.visit else {}),
        },
    }


def _organization(id: str, party: Party) -> dict[str, Any]:
    written: dict[str, Any] = {
        "resourceType": "Organization",
        "id": id,
        "identifier": [{"system": MEMBER_SYSTEM, "value": party.member}],
        "name": party.name,
    }
    if party.contact:
        written["telecom"] = [{"system": "other", "value": party.contact}]
    return written


def _visit(visit: str) -> dict[str, Any]:
    about = {"type": "Encounter", "identifier": {"system": VISIT_SYSTEM, "value": visit}}
    return {"data": [{"meaning": "related", "reference": about}]}


def _concept(system: str, code: str, display: str = "") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}


def _instant(at: datetime, precision: str = "seconds") -> str:
    return at.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


# ---------------------------------------------------------------- in


class _Part(msgspec.Struct, rename="camel"):
    """A part of a resource; `modifier_extension` would change what the rest means."""

    modifier_extension: list[Any] = []


class _Coding(_Part):
    system: str = ""
    code: str = ""


class _Concept(_Part):
    coding: list[_Coding] = []


class _Identifier(_Part):
    system: str = ""
    value: str = ""


class _Reference(_Part):
    reference: str = ""
    identifier: _Identifier = msgspec.field(default_factory=_Identifier)
    display: str = ""


class _Contact(_Part):
    value: str = ""


class _Contained(_Part):
    resource_type: str = ""
    id: str = ""
    identifier: list[_Identifier] = []
    name: Any = None
    telecom: list[_Contact] = []


class _Extension(_Part):
    url: str = ""
    value_code: str = ""
    value_string: str = ""
    value_instant: str = ""


class _Period(_Part):
    start: str = ""
    end: str = ""


class _Actor(_Part):
    role: _Concept = msgspec.field(default_factory=_Concept)
    reference: _Reference = msgspec.field(default_factory=_Reference)


class _Data(_Part):
    reference: _Reference = msgspec.field(default_factory=_Reference)


class _Policy(_Part):
    uri: str = ""


class _Provision(_Part):
    type: str = ""
    period: _Period = msgspec.field(default_factory=_Period)
    actor: list[_Actor] = []
    action: list[_Concept] = []
    purpose: list[_Coding] = []
    class_: list[_Coding] = msgspec.field(default_factory=list, name="class")
    data: list[_Data] = []
    # Each of these narrows what is permitted, in ways that are not known here.
    security_label: list[Any] = []
    code: list[Any] = []
    data_period: Any = None
    provision: list[Any] = []


class _Consent(_Part):
    resource_type: str = ""
    contained: list[_Contained] = []
    extension: list[_Extension] = []
    identifier: list[_Identifier] = []
    implicit_rules: str = ""
    status: str = ""
    patient: _Reference = msgspec.field(default_factory=_Reference)
    date_time: str = ""
    performer: list[_Reference] = []
    policy: list[_Policy] = []
    provision: _Provision = msgspec.field(default_factory=_Provision)


_decoder = msgspec.json.Decoder(_Consent)


def read(raw: bytes, person: PersonId | None = None, given_by: PersonId | None = None) -> Kept:
    """The consent and its revocation. `person` and `given_by` say who they are here, where the sender has other ids.

    Raises Unusable (Malformed) with the field for anything but one whole consent.
    """
    try:
        told = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        detail, _, place = str(error).partition(" - at `$")
        raise _fault(place.rstrip("`").lstrip("."), "shape", detail=detail) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _fault("", "shape", detail=error) from None
    if told.resource_type != "Consent":
        raise _fault("resourceType", "unknown_code", code=told.resource_type, known="Consent")
    _all_understood(told)
    extensions = {each.url.removeprefix(_EXTENSION): each for each in told.extension if each.url.startswith(_EXTENSION)}
    given_at = _start(told.date_time, "dateTime")
    act = _act(told.provision.action)
    version, digest = _text(told.policy, act)
    parties = [(_code(actor.role, f"provision.actor[{n}].role"), _party(told, n)) for n, actor in _numbered(told)]
    recipients = [party for role, party in parties if role == _RECIPIENT]
    givers = [party for role, party in parties if role == _GIVER]
    if len(recipients) != 1 or len(givers) != (1 if act == "give" else 0) or len(parties) > 2:
        raise _fault("provision.actor", "actors", roles=", ".join(role for role, _ in parties))
    whose = person or PersonId(_identified(told.patient, PERSON_SYSTEM, "patient"))
    if given_by is None:
        performers = told.performer or [told.patient]
        if len(performers) != 1:
            raise _fault("performer", "one", count=len(performers))
        performer = performers[0].identifier
        by_patient = person is not None and performer == told.patient.identifier
        given_by = whose if by_patient else PersonId(_identified(performers[0], PERSON_SYSTEM, "performer[0]"))
    consent = consent_of(
        whose,
        act,
        givers[0] if givers else None,
        recipients[0],
        _purpose(told.provision.purpose),
        _kinds(told.provision.class_),
        _start(told.provision.period.start, "provision.period.start"),
        _end(told.provision.period.end, "provision.period.end"),
        (version, digest),
        given_by,
        given_at,
        _how(extensions),
        _visit_of(told.provision.data),
        extensions["guardian-proof"].value_string if "guardian-proof" in extensions else "",
        ConsentId(extensions["follows"].value_string) if "follows" in extensions else None,
    )
    return Kept(consent, _revoked_at(told.status, extensions))


def _all_understood(told: _Consent) -> None:
    """Raise if anything stands there that would narrow the consent or turn it round."""
    provision = told.provision
    for field, value in (
        ("implicitRules", told.implicit_rules),
        ("provision.securityLabel", provision.security_label),
        ("provision.code", provision.code),
        ("provision.dataPeriod", provision.data_period),
        ("provision.provision", provision.provision),
    ):
        if value:
            raise _fault(field, "not_understood")
    _no_modifiers(told, "")
    if provision.type != "permit":
        raise _fault("provision.type", "unknown_code", code=provision.type, known="permit")


def _no_modifiers(value: object, path: str) -> None:
    if isinstance(value, list):
        for n, each in enumerate(value):
            _no_modifiers(each, f"{path}[{n}]")
    elif isinstance(value, _Part):
        if value.modifier_extension:
            raise _fault(f"{path}.modifierExtension".lstrip("."), "not_understood")
        for name, written in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            _no_modifiers(getattr(value, name), f"{path}.{written}".lstrip("."))


def _numbered(told: _Consent) -> list[tuple[int, _Actor]]:
    return list(enumerate(told.provision.actor))


def _act(actions: Sequence[_Concept]) -> Act:
    codes = {_code(action, f"provision.action[{n}]") for n, action in enumerate(actions)}
    for act, expected in _ACTIONS.items():
        if codes == set(expected):
            return act
    raise _fault("provision.action", "unknown_code", code=", ".join(sorted(codes)), known="disclose; collect, use")


def _code(concept: _Concept, field: str) -> str:
    codes = [coding.code for coding in concept.coding if coding.code]
    if len(codes) != 1:
        raise _fault(f"{field}.coding", "one", count=len(codes))
    return codes[0]


def _party(told: _Consent, n: int) -> Party:
    reference, field = told.provision.actor[n].reference, f"provision.actor[{n}].reference"
    if not reference.reference.startswith("#"):
        return Party(_identified(reference, MEMBER_SYSTEM, field), reference.display)
    for place, each in enumerate(told.contained):
        if each.id == reference.reference[1:] and each.resource_type == "Organization":
            members = [identifier.value for identifier in each.identifier if identifier.system == MEMBER_SYSTEM]
            if len(members) != 1 or not members[0]:
                raise _fault(f"contained[{place}].identifier", "no_identifier", system=MEMBER_SYSTEM)
            if not isinstance(each.name, str):
                raise _fault(f"contained[{place}].name", "missing")
            return Party(members[0], each.name, next((contact.value for contact in each.telecom), ""))
    raise _fault(f"{field}.reference", "unresolved", reference=reference.reference)


def _identified(reference: _Reference, system: str, field: str) -> str:
    if reference.identifier.system != system or not reference.identifier.value:
        raise _fault(f"{field}.identifier", "no_identifier", system=system)
    return reference.identifier.value


def _text(policies: Sequence[_Policy], act: Act) -> tuple[str, str]:
    if len(policies) != 1:
        raise _fault("policy", "one", count=len(policies))
    named = _TEXT.fullmatch(policies[0].uri)
    if named is None or named[1] != act:
        raise _fault("policy[0].uri", "text", uri=policies[0].uri)
    return named[2], named[3]


def _purpose(codings: Sequence[_Coding]) -> Purpose:
    if len(codings) != 1:
        raise _fault("provision.purpose", "one", count=len(codings))
    code = codings[0].code
    if codings[0].system == f"{_TERMS}v3-ActReason":
        code = _PURPOSE_REASONS.get(code, code)
    for purpose in PURPOSES:
        if purpose == code:
            return purpose
    raise _fault("provision.purpose[0].code", "unknown_code", code=code, known=", ".join(PURPOSES))


def _kinds(codings: Sequence[_Coding]) -> list[DataKind]:
    """No class would mean all data, which no consent here ever means."""
    if not codings:
        raise _fault("provision.class", "missing")
    for n, coding in enumerate(codings):
        if coding.code not in _KINDS:
            raise _fault(f"provision.class[{n}].code", "unknown_code", code=coding.code, known=", ".join(_KINDS))
    return [_KINDS[coding.code] for coding in codings]


def _visit_of(data: Sequence[_Data]) -> str:
    if len(data) > 1:
        raise _fault("provision.data", "one", count=len(data))
    return _identified(data[0].reference, VISIT_SYSTEM, "provision.data[0].reference") if data else ""


def _how(extensions: dict[str, _Extension]) -> How:
    code = extensions["how"].value_code if "how" in extensions else "paper"
    for how in HOWS:
        if how == code:
            return how
    raise _fault("extension.how", "unknown_code", code=code, known=", ".join(HOWS))


def _revoked_at(status: str, extensions: dict[str, _Extension]) -> datetime | None:
    if status not in ("active", "inactive"):
        raise _fault("status", "unknown_code", code=status, known="active, inactive")
    if "revoked-at" in extensions:
        return _moment(extensions["revoked-at"].value_instant, "extension.revoked-at")[0]
    ended = extensions["state"].value_code if "state" in extensions else ""
    if status == "inactive" and ended not in _ENDS_BY_ITSELF:
        raise _fault("status", "ended_when")
    return None


# ---------------------------------------------------------------- instants


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _start(text: str, field: str) -> datetime:
    """The first second of what is written; a day begins in Shanghai."""
    return _moment(text, field)[0].replace(microsecond=0)


def _end(text: str, field: str) -> datetime:
    """The first second after what is written: FHIR's end still belongs to the period."""
    return _moment(text, field)[1].replace(microsecond=0)


def _moment(text: str, field: str) -> tuple[datetime, datetime]:
    if not text:
        raise _fault(field, "missing")
    try:
        if _DAY.fullmatch(text):
            day = date.fromisoformat(text)
            first, after = (datetime.combine(each, time(), SHANGHAI) for each in (day, day + timedelta(days=1)))
            return first.astimezone(UTC), after.astimezone(UTC)
        if _INSTANT.fullmatch(text):
            at = datetime.fromisoformat(text).astimezone(UTC)
            return at, at + timedelta(seconds=1)
    except (ValueError, OverflowError):
        pass
    raise _fault(field, "instant", text=text)


def _fault(field: str, why: str, **values: object) -> Unusable:
    return Unusable(f"consents.fhir.{why}", field=f"Consent.{field}".rstrip("."), **values)

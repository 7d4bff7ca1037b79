"""Who a message is about, and which hospital it names."""

import msgspec

from safeweave.errors import Malformed
from safeweave.events import Identifier, PersonSeen
from safeweave.exchange.formats.fhir import resources as fhir
from safeweave.exchange.formats.fhir.found import Found
from safeweave.exchange.formats.fhir.profile import INSTITUTION, POLICY_NUMBER
from safeweave.exchange.formats.values import birthday_in, other_hospital
from safeweave.facts import Sex

_RESIDENT_ID = ("urn:oid:2.16.156.10011.1.3", "2.16.156.10011.1.3")
_KIND_BY_TYPE = {
    "NI": "resident_id",
    "NNCHN": "resident_id",
    "PPN": "passport",
    "MR": "mr",
    "PRC": "foreign_permanent_resident",
}
_SEXES: dict[str, Sex] = {"female": "F", "male": "M"}


def person_of(found: Found, reference: fhir.Reference | None, path: str) -> PersonSeen:
    """The patient a reference means, else what the reference itself says of them; Malformed if it names nobody."""
    patient = found.resolve(reference, fhir.Patient)
    if patient is not None:
        return _patient_seen(patient)
    if reference is None:
        raise Malformed("no patient; send who it is about", field=path)
    if reference.reference.startswith("urn:uuid:"):
        raise Malformed("names a resource that is not in the bundle; send it too", field=f"{path}.reference")
    identifiers = [_identifier(reference.identifier)] if reference.identifier and reference.identifier.value else []
    if not identifiers and reference.reference:
        identifiers = [Identifier("other", reference.reference, "FHIR reference")]
        found.note("a patient is only referred to; send the Patient in the same bundle")
    if not identifiers and not reference.display:
        raise Malformed("names nobody; refer to a Patient", field=path)
    return PersonSeen(tuple(identifiers), reference.display)


def hospital_of(found: Found, reference: fhir.Reference | None) -> str:
    """The institution code a reference means, if it is not the sender's own; "" without one."""
    if reference is None:
        return ""
    told = [reference.identifier] if reference.identifier else []
    organization = found.resolve(reference, fhir.Organization)
    for identifier in [*told, *(organization.identifier if organization else [])]:
        if identifier.system == INSTITUTION:
            return other_hospital(identifier.value, found.sender)
    return ""


def _identifier(told: fhir.Identifier) -> Identifier:
    if told.system in _RESIDENT_ID:
        return Identifier("resident_id", told.value)
    if told.system == POLICY_NUMBER:
        return Identifier("policy", told.value)
    kind = _KIND_BY_TYPE.get(told.type_code(), "other")
    return Identifier(kind, told.value, told.system if kind in ("mr", "other") else "")


def patient_in(raw: bytes) -> PersonSeen:
    """The person a Patient resource describes; Malformed, with the field, if it is none."""
    try:
        return _patient_seen(msgspec.json.decode(raw, type=fhir.Patient))
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        raise Malformed(what, field=f"Patient.{place.rstrip('`')}") from None


def _patient_seen(patient: fhir.Patient) -> PersonSeen:
    name = next((n for n in patient.name if n.use == "official"), patient.name[0] if patient.name else None)
    birth = patient.birthDate
    return PersonSeen(
        identifiers=tuple(_identifier(told) for told in patient.identifier if told.value),
        name=_full_name(name) if name else "",
        birth=birthday_in(birth, "Patient.birthDate") if birth else None,
        sex=_SEXES.get(patient.gender),
    )


def _full_name(name: fhir.HumanName) -> str:
    if name.text:
        return name.text
    given = [part for part in name.given if part]
    if any(c >= "\u2e80" for c in name.family + "".join(given)):
        return name.family + "".join(given)
    return " ".join([*given, name.family]).strip()

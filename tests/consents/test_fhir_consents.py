"""FHIR R4 Consent out and in: a round trip, checked against the FHIR models; nothing that narrows it is passed over."""

import copy
import json
from datetime import UTC, date, datetime, timedelta

import pytest
from fhir.resources.R4B.consent import Consent as Model
from hypothesis import given as given_any
from hypothesis import strategies as st

from consents.given_consents import (
    BEGIN,
    DURING,
    END,
    GUARDIAN,
    HOSPITAL,
    INSURER,
    PERSON,
    PROOF,
    consent,
    kept,
    person,
)
from safeweave.consents import Kept, Party, fhir, state_at
from safeweave.consents.consent import DATA_KINDS, HOWS, PURPOSES
from safeweave.errors import Malformed
from safeweave.people.identity import Unusable
from safeweave.words import LANGUAGES


def written(given: Kept, state="active"):
    return json.dumps(fhir.write(given, state), ensure_ascii=False).encode()


def changed(path, value, given=None):
    """The resource of a consent with the part at this path replaced, or taken away if the value is None."""
    resource = fhir.write(given or kept(consent(visit="H1/ZY1")), "active")
    *way, last = path
    part = resource
    for step in way:
        part = part[step]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return json.dumps(resource, ensure_ascii=False).encode()


seconds = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
everything = st.one_of(
    st.builds(
        consent,
        act=st.just(act),
        giver=st.just(HOSPITAL if act == "give" else None),
        recipient=st.builds(Party, st.just(INSURER.member), texts, texts.filter(str)),
        purpose=st.sampled_from(PURPOSES),
        kinds=st.lists(st.sampled_from(DATA_KINDS), min_size=1, unique=True),
        begins_at=seconds,
        ends_at=st.datetimes(datetime(2027, 1, 2), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        given_at=seconds,
        how=st.sampled_from(HOWS),
        visit=st.sampled_from(["", "H33020000001/ZY5", "医院/住院 5"]),
        given_by=st.sampled_from([PERSON, GUARDIAN]),
        proof=st.sampled_from(["", PROOF]),
        follows=st.sampled_from([None, "consent_0000000000000001"]),
    )
    for act in ("give", "process")
)


@given_any(everything, st.none() | seconds, seconds)
def test_what_is_written_is_read_as_it_was(given, revoked_at, at):
    held = kept(given, revoked_at)
    assert fhir.read(written(held, state_at(held, person(), at))) == held


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (kept(consent()), "active"),
        (kept(consent(act="process", purpose="advance")), "pending"),
        (kept(consent(visit="H1/ZY1"), DURING), "revoked"),
        (kept(consent(given_by=GUARDIAN, proof=PROOF, how="screen", follows="consent_1")), "retake"),
    ],
)
def test_what_is_written_is_a_consent_of_fhir(given, state):
    model = Model.model_validate_json(written(given, state))
    assert model.status == ("active" if state in ("active", "pending") else "inactive")
    assert model.provision.type == "permit"
    assert model.provision.period.start == given.consent.begins_at
    assert model.provision.period.end == given.consent.ends_at - timedelta(seconds=1)
    assert [action.coding[0].code for action in model.provision.action] == (
        ["disclose"] if given.consent.act == "give" else ["collect", "use"]
    )
    assert json.loads(model.model_dump_json())["patient"]["identifier"]["value"] == PERSON
    assert fhir.read(model.model_dump_json().encode()) == given


def test_the_recipient_is_named_with_its_contact():
    resource = fhir.write(kept(consent()), "active")
    assert resource["provision"]["actor"][0]["reference"] == {"reference": "#recipient"}
    recipient = resource["contained"][0]
    assert (recipient["name"], recipient["telecom"][0]["value"]) == (INSURER.name, INSURER.contact)


def test_the_end_of_a_period_belongs_to_it():
    period = ("provision", "period")
    assert fhir.read(changed(period, {"start": "2026-03-01", "end": "2026-03-31"})).consent.ends_at == datetime(
        2026, 3, 31, 16, tzinfo=UTC
    )
    by_second = {"start": "2026-03-01T08:00:00+08:00", "end": "2026-03-31T23:59:59.5+08:00"}
    found = fhir.read(changed(period, by_second)).consent
    assert (found.begins_at, found.ends_at) == (BEGIN, datetime(2026, 3, 31, 16, tzinfo=UTC))


def test_a_sender_with_other_ids_is_read_with_ours():
    raw = changed(("patient",), {"reference": "Patient/MR-7"})
    assert fhir.read(raw, person=PERSON, given_by=PERSON).consent.person == PERSON
    with pytest.raises(Malformed):
        fhir.read(raw)


def test_reasons_of_hl7_for_claims_are_understood():
    reason = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "CLMATTCH"}]
    assert fhir.read(changed(("provision", "purpose"), reason)).consent.purpose == "claim"


def test_a_recipient_may_be_named_without_being_contained():
    reference = {"identifier": {"system": fhir.MEMBER_SYSTEM, "value": INSURER.member}, "display": INSURER.name}
    found = fhir.read(changed(("provision", "actor", 0, "reference"), reference)).consent
    assert found.recipient == Party(INSURER.member, INSURER.name)


def test_who_gave_it_is_known_only_if_it_was_the_patient_or_is_said():
    resource = fhir.write(kept(consent()), "active")
    other = {"identifier": {"system": "urn:hospital", "value": "MR-7"}}
    resource |= {"patient": other, "performer": [other]}
    assert fhir.read(json.dumps(resource).encode(), person=PERSON).consent.given_by == PERSON
    resource["performer"] = [{"identifier": {"system": "urn:hospital", "value": "MR-8"}}]
    with pytest.raises(Malformed) as fault:
        fhir.read(json.dumps(resource).encode(), person=PERSON)
    assert fault.value.field == "Consent.performer[0].identifier"
    assert fhir.read(json.dumps(resource).encode(), person=PERSON, given_by=GUARDIAN).consent.given_by == GUARDIAN


ROLES = [["IRCP"], ["CST"], ["IRCP", "IRCP"], ["IRCP", "IRCP", "CST"], ["IRCP", "CST", "AUT"]]


@pytest.mark.parametrize("roles", ROLES)
def test_other_parties_than_one_recipient_and_one_giver_are_refused(roles):
    actors = [
        {"role": {"coding": [{"code": role}]}, "reference": {"reference": "#giver" if role == "CST" else "#recipient"}}
        for role in roles
    ]
    with pytest.raises(Malformed) as fault:
        fhir.read(changed(("provision", "actor"), actors))
    assert fault.value.field == "Consent.provision.actor"


NARROWING = {"type": "deny", "period": {"start": "2026-03-05"}}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("resourceType",), "Patient", "resourceType"),
        (("status",), "proposed", "status"),
        (("status",), "entered-in-error", "status"),
        (("status",), "inactive", "status"),
        (("patient",), {"reference": "Patient/1"}, "patient.identifier"),
        (("patient", "identifier", "system"), "urn:other", "patient.identifier"),
        (("dateTime",), None, "dateTime"),
        (("dateTime",), "2026-03", "dateTime"),
        (("dateTime",), "2026-13-01", "dateTime"),
        (("dateTime",), "2026-03-01T08:00:00", "dateTime"),
        (("dateTime",), 7, "dateTime"),
        (("performer",), [{}, {}], "performer"),
        (("policy",), [], "policy"),
        (("policy", 0, "uri"), "https://hospital.example/privacy", "policy[0].uri"),
        (("policy", 0, "uri"), f"urn:safeweave:consent-text:process:2026-11:sha256:{'0' * 64}", "policy[0].uri"),
        (("provision",), None, "provision.type"),
        (("provision", "type"), "deny", "provision.type"),
        (("provision", "period", "end"), None, "provision.period.end"),
        (("provision", "period", "end"), "9999-12-31", "provision.period.end"),
        (("provision", "period", "start"), "", "provision.period.start"),
        (("provision", "actor"), [], "provision.actor"),
        (("provision", "actor", 1), None, "provision.actor"),
        (("provision", "actor", 0, "role", "coding"), [], "provision.actor[0].role.coding"),
        (("provision", "actor", 0, "reference", "reference"), "#nobody", "provision.actor[0].reference.reference"),
        (("provision", "actor", 0, "reference"), {"display": "x"}, "provision.actor[0].reference.identifier"),
        (("contained", 0, "identifier"), [], "contained[0].identifier"),
        (("contained", 0, "name"), ["a"], "contained[0].name"),
        (("provision", "action"), [], "provision.action"),
        (("provision", "action", 0, "coding", 0, "code"), "correct", "provision.action"),
        (("provision", "purpose"), [], "provision.purpose"),
        (("provision", "purpose", 0, "code"), "TREAT", "provision.purpose[0].code"),
        (("provision", "class"), [], "provision.class"),
        (("provision", "class", 1, "code"), "Observation", "provision.class[1].code"),
        (("provision", "data", 0, "reference"), {"reference": "Encounter/1"}, "provision.data[0].reference.identifier"),
        (("extension", 0, "valueCode"), "telepathy", "extension.how"),
        # What narrows a consent and is not understood is never passed over.
        (("provision", "provision"), [NARROWING], "provision.provision"),
        (("provision", "securityLabel"), [{"code": "R"}], "provision.securityLabel"),
        (("provision", "code"), [{"text": "only blood tests"}], "provision.code"),
        (("provision", "dataPeriod"), {"start": "2026-03-01"}, "provision.dataPeriod"),
        (("implicitRules",), "https://hospital.example/rules", "implicitRules"),
        (("modifierExtension",), [{"url": "urn:x"}], "modifierExtension"),
        (("provision", "actor", 0, "modifierExtension"), [{"url": "urn:x"}], "provision.actor[0].modifierExtension"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_field(path, value, field):
    with pytest.raises(Unusable) as fault:
        fhir.read(changed(path, value))
    assert fault.value.field == f"Consent.{field}"
    assert all(fault.value.said(language) for language in LANGUAGES)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'{"resourceType": 1}', b"\xff\xfe", b'{"provision": []}'])
def test_what_is_no_resource_is_refused(raw):
    with pytest.raises(Malformed):
        fhir.read(raw)


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({}) | st.just([{}])


@given_any(st.data(), leaves)
def test_no_change_to_a_resource_ends_in_anything_but_a_consent_or_a_refusal(data, leaf):
    resource = copy.deepcopy(fhir.write(kept(consent(visit="H1/ZY1"), DURING), "revoked"))
    part = resource
    while True:
        key = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
        if not isinstance(part[key], dict | list) or not part[key] or data.draw(st.booleans()):
            part[key] = leaf
            break
        part = part[key]
    try:
        found = fhir.read(json.dumps(resource).encode())
    except Malformed:
        return
    assert isinstance(found, Kept)


def test_a_date_of_death_or_birth_is_no_business_of_the_resource():
    """So that a state other than revoked is worked out again from the register by whoever reads it."""
    given = kept(consent())
    found = fhir.read(written(given, "lapsed"))
    assert state_at(found, person(died_on=date(2026, 3, 5)), DURING) == "lapsed"
    assert state_at(found, person(), END) == "expired"

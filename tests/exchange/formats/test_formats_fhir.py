import json
from datetime import UTC, date, datetime

import pytest
from given_messages import DATA, EXAMPLES, HOSPITAL, SYNTHEA, at, only, refused, taken

from safeweave.events import (
    AdmissionCancelled,
    AdmissionReported,
    BillIssued,
    BillReversed,
    ChargesPosted,
    LeaveBegan,
    LeaveEnded,
    OutpatientVisited,
    PatientDischarged,
    SettlementReported,
    VisitUpdated,
)
from safeweave.exchange.formats import EobSeen, Sender
from safeweave.facts import BillRef
from safeweave.money import half_up

SW = "https://safeweave.example/fhir/"


def bundle(*resources, **more):
    entries = [{"fullUrl": f"https://h/{r['resourceType']}/{r.get('id', '')}", "resource": r} for r in resources]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries, **more})


def patient(**more):
    return {"resourceType": "Patient", "id": "p1", "name": [{"family": "测试", "given": ["甲"]}], **more}


def encounter(**more):
    return {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "finished",
        "class": {"code": "IMP"},
        "subject": {"reference": "Patient/p1"},
        "period": {"start": "2026-03-03T08:40:00+08:00", "end": "2026-03-06T15:05:00+08:00"},
        **more,
    }


def claim(*items, **more):
    return {
        "resourceType": "Claim",
        "id": "c1",
        "identifier": [{"system": SW + "bill", "value": "33060226-0000000001"}],
        "status": "active",
        "use": "claim",
        "type": {"coding": [{"code": "institutional"}]},
        "patient": {"reference": "Patient/p1"},
        "created": "2026-03-06T15:20:41+08:00",
        "item": [
            {"sequence": n, "encounter": [{"reference": "Encounter/e1"}], **item} for n, item in enumerate(items, 1)
        ],
        **more,
    }


def net(value, currency="CNY"):
    return {"net": {"value": value, "currency": currency}}


@pytest.mark.parametrize(
    ("status", "class_", "kind"),
    [
        ("in-progress", "IMP", AdmissionReported),
        ("arrived", "ACUTE", AdmissionReported),
        ("finished", "IMP", PatientDischarged),
        ("finished", "AMB", OutpatientVisited),
        ("in-progress", "EMER", OutpatientVisited),
        ("cancelled", "IMP", AdmissionCancelled),
        ("entered-in-error", "AMB", AdmissionCancelled),
    ],
)
def test_the_state_of_an_encounter_decides_what_is_told(status, class_, kind):
    (told,) = taken(bundle(patient(), encounter(status=status, **{"class": {"code": class_}}))).events
    assert type(told) is kind
    assert told.visit == "e1"


def test_a_stay_in_progress_again_is_told_as_of_its_recording():
    again = encounter(status="in-progress", meta={"lastUpdated": "2026-03-06T16:30:00+08:00"})
    (told,) = taken(bundle(patient(), again)).events
    assert isinstance(told, AdmissionReported)
    assert (told.occurred_at, told.admitted_at) == (at("2026-03-06T16:30:00"), at("2026-03-03T08:40:00"))


def test_an_emergency_in_the_icu_tells_its_admission_with_the_discharge():
    told = taken(
        bundle(
            patient(),
            encounter(
                hospitalization={"admitSource": {"coding": [{"code": "emd"}]}},
                extension=[
                    {"url": SW + "ward", "valueCode": "icu"},
                    {"url": SW + "accident-on", "valueDate": "2026-03-02"},
                ],
            ),
        )
    ).events
    assert [type(e) for e in told] == [AdmissionReported, PatientDischarged]
    assert isinstance(told[0], AdmissionReported)
    assert (told[0].ward, told[0].emergency, told[0].accident_on) == ("icu", True, date(2026, 3, 2))


def test_leaves_are_told_from_the_history():
    history = [
        {"status": "onleave", "period": {"start": "2026-03-04T10:00:00+08:00", "end": "2026-03-05T10:00:00+08:00"}}
    ]
    began, ended, _ = taken(bundle(patient(), encounter(statusHistory=history))).events
    assert isinstance(began, LeaveBegan)
    assert isinstance(ended, LeaveEnded)
    assert (began.occurred_at, ended.occurred_at) == (at("2026-03-04T10:00:00"), at("2026-03-05T10:00:00"))


def test_a_death_within_the_stay_is_its_disposition():
    died = taken(bundle(patient(deceasedDateTime="2026-03-06T14:00:00+08:00"), encounter())).events[0]
    lived = taken(bundle(patient(deceasedDateTime="2026-03-07"), encounter())).events[0]
    assert isinstance(died, PatientDischarged)
    assert isinstance(lived, PatientDischarged)
    assert (died.disposition, lived.disposition) == ("5", "")


def test_the_main_diagnosis_comes_first_and_refuted_ones_are_left_out():
    def condition(id_, code, **more):
        system = "http://hl7.org/fhir/sid/icd-10"
        return {"resourceType": "Condition", "id": id_, "code": {"coding": [{"system": system, "code": code}]}, **more}

    diagnoses = [
        {"condition": {"reference": "Condition/b"}, "rank": 2},
        {"condition": {"reference": "Condition/a"}, "rank": 1},
    ]
    refuted = {"verificationStatus": {"coding": [{"code": "refuted"}]}, "encounter": {"reference": "Encounter/e1"}}
    told = taken(
        bundle(
            patient(),
            encounter(diagnosis=diagnoses),
            condition("a", "A00.1"),
            condition("b", "B00.1"),
            condition("c", "C00.1", **refuted),
            condition("d", "D00.1", encounter={"reference": "https://h/Encounter/e1"}),
        )
    ).events[0]
    assert isinstance(told, PatientDischarged)
    assert [(d.code, d.main) for d in told.diagnoses] == [("A00.1", True), ("B00.1", False), ("D00.1", False)]


def test_a_bill_of_outpatient_care_takes_its_kind_from_the_encounter():
    told = taken(bundle(patient(), encounter(**{"class": {"code": "AMB"}}), claim(net(3)))).events[-1]
    assert isinstance(told, BillIssued)
    assert (told.bill.kind, told.bill.total, told.itemised, told.bill.social) == ("outpatient", 300, False, None)


def test_a_cancelled_claim_reverses_and_a_prior_one_is_replaced():
    related = [
        {
            "claim": {"identifier": {"system": SW + "bill", "value": "33060226-0000000000"}},
            "relationship": {"coding": [{"code": "prior"}]},
        }
    ]
    told = taken(bundle(patient(), claim(net("3.00"), related=related))).events[0]
    assert isinstance(told, BillIssued)
    assert told.bill.replaces == BillRef("33060226", "0000000000")
    gone = taken(bundle(patient(), claim(status="cancelled"))).events[0]
    assert isinstance(gone, BillReversed)
    assert gone.bill == BillRef("33060226", "0000000001")


def test_a_claim_without_its_encounter_still_names_the_visit_and_tells_diagnoses():
    named = {"encounter": [{"reference": "Encounter/9", "identifier": {"value": "ZY9"}}]}
    coded = {"coding": [{"system": SW + "icd-10-nhsa", "code": "N84.001"}]}
    issued, updated = taken(
        bundle(patient(), claim({**net(1), **named}, diagnosis=[{"diagnosisCodeableConcept": coded}]))
    ).events
    assert isinstance(issued, BillIssued)
    assert isinstance(updated, VisitUpdated)
    assert issued.visit == updated.visit == "ZY9"
    assert updated.diagnoses[0].code == "N84.001"


def test_an_invoice_is_a_bill_unless_a_claim_carries_the_same_one():
    invoice = {
        "resourceType": "Invoice",
        "id": "i1",
        "status": "issued",
        "identifier": [{"system": SW + "bill", "value": "33060226-0000000001"}],
        "date": "2026-03-06T15:20:41+08:00",
        "extension": [{"url": SW + "encounter", "valueReference": {"reference": "Encounter/e1"}}],
        "totalGross": {"value": 90.00, "currency": "CNY"},
        "lineItem": [
            {
                "sequence": 1,
                "extension": [
                    {"url": SW + "charge-category", "valueCode": "09"},
                    {"url": SW + "catalogue-class", "valueCode": "乙"},
                ],
                "priceComponent": [
                    {"type": "base", "amount": {"value": 100}},
                    {"type": "discount", "amount": {"value": 10}},
                    {"type": "informational", "amount": {"value": 7}},
                ],
            }
        ],
    }
    told = taken(bundle(patient(), encounter(), invoice)).events[-1]
    assert isinstance(told, BillIssued)
    assert (told.visit, told.bill.kind, told.bill.total, told.itemised) == ("e1", "inpatient", 9000, True)
    assert [(line.amount, line.category, line.catalogue_class) for line in told.bill.lines] == [(9000, "09", "乙")]
    both = [
        e for e in taken(bundle(patient(), encounter(), invoice, claim(net(90)))).events if isinstance(e, BillIssued)
    ]
    assert len(both) == 1


def test_charge_items_are_posted_and_undone():
    item = {
        "resourceType": "ChargeItem",
        "id": "x1",
        "status": "billable",
        "context": {"reference": "Encounter/e1"},
        "occurrenceDateTime": "2026-03-04T23:30:00+08:00",
        "priceOverride": {"value": 12.5, "currency": "CNY"},
    }
    told = taken(
        bundle(item, {**item, "id": "x2", "status": "entered-in-error"}, timestamp="2026-03-05T00:00:00Z")
    ).events[0]
    assert isinstance(told, ChargesPosted)
    assert [(c.id, c.amount, c.reverses) for c in told.charges] == [("x1", 1250, ""), ("x2/undone", -1250, "x2")]
    assert {c.on for c in told.charges} == {date(2026, 3, 4)}


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        (claim({**net(1)}, net("1.005")), "entry[1].resource.item[1].net.value"),
        (claim(net(1, "USD")), "entry[1].resource.item[0].net.currency"),
        (claim(net("NaN")), "entry[1].resource.item[0].net.value"),
        (claim(net(10**13)), "entry[1].resource.item[0].net.value"),
        (claim(net({})), "entry[1].resource.item[0].net.value"),
        (claim({}), "entry[1].resource.item[0].net.value"),
        (claim(net(1), identifier=[]), "entry[1].resource.identifier"),
        (claim(net(1), identifier=[{"system": SW + "bill", "value": "7"}]), "entry[1].resource.identifier[0].value"),
        (claim(net(1), status="bogus"), "entry[1].resource.status"),
        (claim(net(1), use="zzz"), "entry[1].resource.use"),
        (claim(net(1), created="2026-02-30"), "entry[1].resource.created"),
        (claim({**net(1), "sequence": 5}, {**net(1), "sequence": 5}), "entry[1].resource.item.sequence"),
        (encounter(period={"start": "2026-03-03"}), "entry[1].resource.period.end"),
        (encounter(status="discharged"), "entry[1].resource.status"),
        (encounter(subject={"reference": "urn:uuid:gone"}), "entry[1].resource.subject.reference"),
        (encounter(identifier=5), "entry[1].resource.identifier"),
    ],
)
def test_a_fault_is_told_with_its_path(resource, field):
    assert refused(bundle(patient(), resource)).field == field


def test_broken_json_is_refused_with_its_line():
    assert refused('{"resourceType":"Bundle",\n"type":"batch",\n"entry":[}').line == 3
    assert refused(b'{"resourceType":"Bundle",\n"id":"\xff"}').line == 2
    assert refused('{"resourceType":"Bundle","type":"batch-response"}').field == "type"


def test_a_single_resource_is_read_like_a_bundle_of_one():
    told = only(json.dumps(encounter(subject={"reference": "Patient/p1", "display": "测试甲"})))
    assert isinstance(told, PatientDischarged)
    assert told.person is not None
    assert (told.person.name, told.person.identifiers[0].number) == ("测试甲", "Patient/p1")


def test_bundles_without_a_name_are_known_by_their_bytes():
    first, second = taken(bundle(patient())), taken(bundle(patient(id="p2")))
    assert len(first.control_id) == 64
    assert first.control_id != second.control_id
    assert taken(EXAMPLES["fhir"]).control_id == "B20260306-000187"


def test_an_institution_other_than_the_sender_s_is_told():
    owner = {"serviceProvider": {"identifier": {"system": SW + "institution", "value": "H33020000002"}}}
    assert taken(bundle(patient(), encounter(**owner))).events[0].hospital == "H33020000002"
    other = Sender(id="o", hospital="H33020000002")
    assert taken(bundle(patient(), encounter(**owner)), other).events[0].hospital == ""


def test_settlements_without_their_amounts_are_bills_only():
    part = {
        "url": SW + "settlement",
        "extension": [{"url": "id", "valueString": "S1"}, {"url": "social", "valueCode": "none"}],
    }
    events = taken(bundle(patient(), claim(net(1), extension=[part]))).events
    assert not any(isinstance(e, SettlementReported) for e in events)
    assert isinstance(events[0], BillIssued)
    assert events[0].bill.social == "none"


def test_a_resource_that_is_not_read_changes_nothing_in_those_beside_it():
    alone = taken(bundle(patient(), encounter(), claim(net("3.50"))))
    beside = taken(bundle({"resourceType": "Observation", "id": "o"}, patient(), encounter(), claim(net("3.50"))))
    assert beside.events == alone.events
    assert (alone.notes, beside.notes) == ((), ("Observation not read",))


def test_the_order_of_the_keys_changes_nothing():
    def turned(value):
        if isinstance(value, dict):
            return {key: turned(inner) for key, inner in reversed(value.items())}
        return [turned(inner) for inner in value] if isinstance(value, list) else value

    forth = json.loads(bundle(patient(), encounter(), claim(net(1)), id="b"))
    assert taken(json.dumps(turned(forth))) == taken(json.dumps(forth))


def test_of_a_key_that_occurs_twice_the_last_counts_even_of_the_type():
    told = json.dumps(encounter())
    twice = told.replace('{"resourceType": "Encounter"', '{"resourceType": "Patient", "resourceType": "Encounter"', 1)
    for resource in (told, twice):
        raw = '{"resourceType":"Bundle","type":"batch","entry":[{"resource":%s},{"resource":%s}]}'
        (event,) = taken(raw % (json.dumps(patient()), resource)).events
        assert isinstance(event, PatientDischarged)


@pytest.mark.parametrize("beside", [[], [{"resourceType": "Observation"}]])
def test_a_wrong_amount_is_refused_even_where_nobody_reads_it(beside):
    unread = claim(net(1), extension=[{"url": "https://other.example/tip", "valueMoney": {"value": "much"}}])
    where = f"entry[{1 + len(beside)}].resource.extension[0].valueMoney.value"
    assert refused(bundle(*beside, patient(), unread)).field == where


@pytest.mark.parametrize("top", ['{"type":"batch","entry":[]}', "{}"])
def test_a_message_without_type_is_refused_as_such(top):
    assert refused(top.encode(), HOSPITAL).field == "resourceType"


# ---------------------------------------------------------------- senders whose claims stand for bills


def test_synthea_claims_become_bills_of_their_encounters_and_match_their_eobs():
    reading = taken((DATA / "synthea_cut.json").read_bytes(), SYNTHEA)
    bills = {e.bill.number: e for e in reading.events if isinstance(e, BillIssued)}
    visits = {e.visit for e in reading.events if isinstance(e, PatientDischarged | OutpatientVisited)}
    assert len(bills) == len(visits) == len(reading.eobs) == 5
    assert {bill.visit for bill in bills.values()} == visits
    assert sorted(bill.bill.total for bill in bills.values()) == [0, 14052, 49330, 107152, 1116334]
    for eob in reading.eobs:
        assert half_up(bills[eob.claim].bill.total * 8, 10) == eob.paid
    stay = next(e for e in reading.events if isinstance(e, PatientDischarged))
    assert [(d.code, d.main) for d in stay.diagnoses] == [("R69", True)]
    assert stay.admitted_at is not None
    assert stay.admitted_at < stay.discharged_at
    assert stay.person is not None
    assert {i.kind for i in stay.person.identifiers} >= {"mr", "other"}
    bill = next(bill for bill in bills.values() if bill.visit == stay.visit)
    assert (bill.bill.kind, bill.bill.social, bill.itemised, bill.bill.code) == ("inpatient", "none", True, "SYNTHEA")
    assert {(line.category, line.catalogue_class) for line in bill.bill.lines} == {("14", "甲")}
    assert "Claim pharmacy claim active is no bill" in reading.notes


@pytest.mark.parametrize(
    ("price", "cents"), [("1.005", 101), (1.004, 100), ("2.675", 268), (7, 700), ("1e2", 10000), ("0.3333333333", 33)]
)
def test_longer_prices_are_rounded_half_up_line_by_line(price, cents):
    told = taken(bundle(patient(), encounter(), claim({}, net(price, "USD"), identifier=[])), SYNTHEA).events[-1]
    assert isinstance(told, BillIssued)
    assert [(line.no, line.amount) for line in told.bill.lines] == [(2, cents)]
    assert told.bill.total == cents


def test_an_eob_names_its_claim_even_outside_the_bundle():
    eob = {
        "resourceType": "ExplanationOfBenefit",
        "id": "x",
        "status": "active",
        "claim": {"reference": "urn:uuid:abc"},
        "payment": {"amount": {"value": "80.005", "currency": "USD"}},
    }
    assert taken(json.dumps(eob), SYNTHEA).eobs == (EobSeen("abc", 8001),)
    assert refused(json.dumps(eob)).field == "payment.amount.currency"


def test_instants_are_kept_in_utc():
    told = taken(bundle(patient(), encounter())).events[0]
    assert isinstance(told, PatientDischarged)
    assert told.discharged_at == datetime(2026, 3, 6, 7, 5, tzinfo=UTC)
    assert HOSPITAL.id == told.sender

"""FHIR Coverage bundles: Coverage with Patient, RelatedPerson and Organization become policies."""

import json

import pytest

from coverage.given_policies import day
from people.given_people import NOW, SAMPLE_FEMALE, SAMPLE_MALE, citizen_number
from safeweave import coverage, people
from safeweave.coverage.importer import import_file
from safeweave.coverage.policy import Payee
from safeweave.people import Held

CHILD = citizen_number(day("2018-01-15"), 2)
RESIDENT = "urn:oid:2.16.156.10011.1.3"


def patient(id="p1", number=SAMPLE_FEMALE, name="测试甲", gender="female", birth="1949-12-31", **more):
    return {
        "resourceType": "Patient",
        "id": id,
        "identifier": [{"system": RESIDENT, "value": number}],
        "name": [{"text": name}],
        "gender": gender,
        "birthDate": birth,
        **more,
    }


def plan(id="cov1", beneficiary="Patient/p1", number="P-1", **more):
    return {
        "resourceType": "Coverage",
        "id": id,
        "status": "active",
        "identifier": [{"system": "https://insurer.example/policy", "value": number}],
        "beneficiary": {"reference": beneficiary},
        "relationship": {"coding": [{"code": "self"}]},
        "period": {"start": "2026-01-01", "end": "2026-12-31"},
        "payor": [{"display": "示例保险"}],
        "class": [{"type": {"coding": [{"code": "plan"}]}, "value": "hospital-expense-2020"}],
        "extension": [{"url": "https://insurer.example/social-insurance-enrolled", "valueBoolean": False}],
        **more,
    }


def bundle(folder, *resources):
    path = folder / "coverage.json"
    entry = [{"fullUrl": f"https://insurer.example/{r['resourceType']}/{r['id']}", "resource": r} for r in resources]
    content = {"resourceType": "Bundle", "type": "collection", "entry": entry}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


def policies(database, number="P-1"):
    with database.reading() as tx:
        found = coverage.policies_by_number(tx, [number])[number]
        persons = [insured.person for insured in found.insureds]
        own = coverage.policies_of(tx, persons)
        return found, [own[person][0] for person in persons]


def test_a_coverage_is_one_insured_persons_year(database, tmp_path):
    path = bundle(tmp_path, patient(), plan())
    assert import_file(database, path, NOW).added == 1
    assert import_file(database, path, NOW).unchanged == 1
    _, (policy,) = policies(database)
    assert (policy.product, policy.cover.enrolled, policy.cover.birth) == (
        "hospital-expense-2020",
        False,
        day("1949-12-31"),
    )
    assert [(str(p.first_day), str(p.last_day)) for p in policy.cover.periods] == [("2026-01-01", "2026-12-31")]


def test_two_coverages_with_one_number_are_one_policy_of_a_firm(database, tmp_path):
    firm = {
        "resourceType": "Organization",
        "id": "o1",
        "name": "示例公司",
        "identifier": [{"value": "12330200MB10000025"}],
    }
    holder = {"policyHolder": {"reference": "Organization/o1"}}
    second = patient("p2", SAMPLE_MALE, "测试乙", "male", "1980-01-01")
    path = bundle(tmp_path, firm, patient(), second, plan(**holder), plan("cov2", "Patient/p2", **holder))
    import_file(database, path, NOW)
    head, insured = policies(database)
    assert len(insured) == 2
    with database.reading() as tx:
        assert people.people_by_id(tx, [head.holder])[head.holder].name == "示例公司"


def test_a_public_coverage_says_that_the_person_is_enrolled_and_is_no_policy(database, tmp_path):
    public = plan("pub", number="SI-1", type={"coding": [{"code": "PUBLICPOL"}]})
    report = import_file(database, bundle(tmp_path, patient(), plan(extension=[]), public), NOW)
    assert (report.added, report.refused) == (1, 0)
    assert policies(database)[1][0].cover.enrolled is True


def test_without_either_enrolment_is_missing_and_the_line_of_the_coverage_is_told(database, tmp_path):
    path = bundle(tmp_path, patient(), plan(extension=[]))
    report = import_file(database, path, NOW)
    line = (
        next(i for i, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if '"Coverage"' in text) - 1
    )
    assert list(report.lines(report.faults, "en")) == [
        f"{path}:{line}: insureds[0].enrolled: this is missing; write whether enrolled in 医保: yes or no"
    ]


def test_a_related_person_who_is_a_parent_is_the_guardian(database, tmp_path):
    mother = {
        **patient("r1"),
        "resourceType": "RelatedPerson",
        "patient": {"reference": "Patient/p1"},
        "relationship": [{"coding": [{"code": "MTH"}]}],
        "extension": [{"url": "https://insurer.example/guardian-proof", "valueString": "出生医学证明"}],
    }
    payee = {
        "url": "https://insurer.example/payee-account",
        "extension": [
            {"url": "role", "valueCode": "guardian"},
            {"url": "account", "valueString": "6222020000000000018"},
            {"url": "bank-code", "valueString": "102332000018"},
        ],
    }
    child = patient("p1", CHILD, "测试丙", "female", "2018-01-15")
    path = bundle(tmp_path, child, mother, plan(extension=[*plan()["extension"], payee]))
    assert import_file(database, path, NOW).refused == 0
    _, (policy,) = policies(database)
    assert policy.cover.guardian is True
    assert policy.payees == (Payee("guardian", "测试甲", "6222020000000000018", "102332000018"),)


def test_a_passport_names_its_country_in_the_system(database, tmp_path):
    foreigner = patient(name="Yamada Taro", gender="male", birth="1970-03-03")
    foreigner["identifier"] = [{"system": "http://hl7.org/fhir/sid/passport-JPN", "value": "TK1234567"}]
    foreigner["name"] = [{"family": "Yamada", "given": ["Taro"]}]
    import_file(database, bundle(tmp_path, foreigner, plan()), NOW)
    _, (policy,) = policies(database)
    with database.reading() as tx:
        assert people.people_by_id(tx, [policy.person])[policy.person].documents == (
            Held("passport", "TK1234567", "JPN"),
        )


@pytest.mark.parametrize(
    ("resources", "told"),
    [
        ([plan()], 'Coverage/cov1.beneficiary: "Patient/p1" is not in the file'),
        ([patient(), plan(period={"start": "2026-01-01"})], "changes[0].last_day: this is missing"),
        ([patient(number="1"), plan()], "insureds[0].person.documents[0].number: * has 1 characters"),
        ([patient(), plan(status="cancelled")], 'Coverage/cov1.status: the status is "cancelled"'),
        ([patient(), plan(status="entered-in-error")], "only active is imported"),
        ([patient(), plan(status=3)], "entry[1].resource.status: Expected `str`, got `int`"),
    ],
)
def test_faults_name_the_resource_and_refused_coverages_are_given_back(database, tmp_path, resources, told):
    report = import_file(database, bundle(tmp_path, *resources), NOW)
    assert report.refused == 1
    assert told in next(iter(report.lines(report.faults, "en")))
    given_back = json.loads((tmp_path / "coverage.refused.json").read_text(encoding="utf-8"))
    assert {entry["resource"]["resourceType"] for entry in given_back["entry"]} >= {"Coverage"}
    assert import_file(database, tmp_path / "coverage.refused.json", NOW).refused == 1


def test_what_is_no_bundle_is_told(database, tmp_path):
    path = tmp_path / "patient.json"
    path.write_text(json.dumps(patient()))
    report = import_file(database, path, NOW)
    assert "`Bundle` expected" in next(iter(report.lines(report.faults, "en")))
    path.write_text("{")
    assert "not valid JSON" in next(iter(report.lines(import_file(database, path, NOW).faults, "en")))

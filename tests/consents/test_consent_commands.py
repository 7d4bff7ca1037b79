"""`safeweave consent`: given, shown, taken back, and who read what, in both languages."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from fhir.resources.R4B.consent import Consent as Model

from consents.given_consents import GUARDIAN, HOSPITAL, INSURER, PROOF, consent, grown_up
from people.given_people import NOW, SAMPLE_FEMALE, citizen_number, particulars
from safeweave import consents, people
from safeweave.consents import Read, fhir
from safeweave.database import Database
from safeweave.main import main
from safeweave.people import Guardianship
from safeweave.settings import Settings
from stores import place

CHILD = citizen_number(date(2020, 5, 1), 2)
TO = ["--recipient", INSURER.member, "--recipient-name", INSURER.name, "--contact", INSURER.contact]
GIVE = ["--act", "give", "--giver", HOSPITAL.member, "--giver-name", HOSPITAL.name, *TO, "--last-day", "2999-12-31"]
KINDS = ["--kind", "bill", "--kind", "diagnosis"]


@pytest.fixture
def safeweave(tmp_path, store, capsys, monkeypatch):
    where = place(Settings(home=tmp_path).store)
    if isinstance(where, str):
        monkeypatch.setenv("SAFEWEAVE_DATABASE", where)

    def run(*arguments: str, language: str = "en") -> tuple[int, str]:
        code = main(["--home", str(tmp_path), "--language", language, "consent", *arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


@pytest.fixture
def saved(safeweave, tmp_path):
    """A grown-up, and a child with the grown-up as guardian."""
    database = Database(place(Settings(home=tmp_path).store))
    with database.transaction() as tx:
        told = [grown_up(), particulars("测试童", CHILD)]
        grown, child = (each.person for each in people.save_people(tx, told, NOW))
        people.add_guardianships(tx, [Guardianship(child, grown, PROOF, date(2020, 5, 1))], NOW)
    yield grown, child, database
    database.close()


def given(safeweave, *arguments):
    code, said = safeweave("give", *arguments, "--json")
    assert code == 0, said
    return json.loads(said)["id"]


def test_giving_prints_the_text_that_was_agreed_to_and_how_to_take_it_back(safeweave, saved):
    code, said = safeweave("give", saved[0], *GIVE, *KINDS, "--visit", "H1/ZY1")
    assert code == 0
    for part in (INSURER.name, INSURER.contact, "diagnoses, charges and bills", "this one visit only (H1/ZY1)"):
        assert part in said
    assert "safeweave consent revoke consent_" in said
    code, said = safeweave("give", saved[0], "--act", "process", *TO, *KINDS, "--last-day", "2999-12-31", language="zh")
    assert (code, "处理我的敏感信息" in said, "已登记：consent_" in said) == (0, True, True)


def test_a_person_is_found_by_its_resident_number(safeweave, saved):
    id = given(safeweave, SAMPLE_FEMALE, *GIVE, *KINDS)
    listed = safeweave("list", SAMPLE_FEMALE)[1]
    assert (id in listed, SAMPLE_FEMALE in listed) == (True, False)
    assert f"{HOSPITAL.name} → {INSURER.name}" in listed


def test_a_guardian_gives_for_a_child_with_proof(safeweave, saved):
    grown, child, _ = saved
    code, said = safeweave("give", child, *GIVE, *KINDS)
    assert (code, said) == (2, "given_by: under the age of 14 a guardian consents; ask the guardian on file\n")
    code, said = safeweave("give", child, *GIVE, *KINDS, "--by", grown, language="zh")
    assert (code, said) == (2, "proof: 监护人同意须附监护关系证明；请补充\n")
    assert given(safeweave, child, *GIVE, *KINDS, "--by", grown, "--proof", PROOF).startswith("consent_")


def test_what_was_given_is_listed_with_its_state_and_taken_back_as_easily(safeweave, saved):
    id = given(safeweave, saved[0], *GIVE, *KINDS)
    assert "in force" in safeweave("list", saved[0])[1]
    code, said = safeweave("revoke", id)
    assert code == 0
    assert said.splitlines()[0].startswith(f"{id} was taken back at ")
    assert "nothing new about you is fetched" in said
    assert "withdraw it, or go on with it as an ordinary claim" in said
    first = json.loads(safeweave("revoke", id, "--json", "--how", "phone")[1])
    again = json.loads(safeweave("revoke", id, "--json")[1])
    assert first["revoked_at"] == again["revoked_at"]  # the first time counts
    assert "已撤回" in safeweave("list", saved[0], language="zh")[1]


def test_for_programs_consents_are_listed_as_fhir(safeweave, saved):
    id = given(safeweave, saved[0], *GIVE, *KINDS)
    safeweave("revoke", id)
    (resource,) = json.loads(safeweave("list", saved[0], "--json")[1])
    assert Model.model_validate(resource).status == "inactive"
    assert resource["identifier"][0]["value"] == id


def test_a_first_and_a_last_day_are_days_of_shanghai(safeweave, saved):
    given(safeweave, saved[0], *GIVE, *KINDS, "--first-day", "2998-01-01")
    (resource,) = json.loads(safeweave("list", saved[0], "--json")[1])
    assert resource["provision"]["period"] == {"start": "2997-12-31T16:00:00Z", "end": "2999-12-31T15:59:59Z"}
    assert "not yet in force" in safeweave("list", saved[0])[1]


def test_who_read_what_is_shown_to_the_person(safeweave, saved):
    id = given(safeweave, saved[0], *GIVE, *KINDS)
    assert safeweave("reads", saved[0]) == (0, "nobody has read anything\n")
    read_at = datetime(2026, 3, 6, 7, 21, 5, tzinfo=UTC)
    with saved[2].transaction() as tx:
        consents.note_reads(
            tx,
            [
                Read(saved[0], INSURER.member, ("diagnosis",), "claim", "case_1, decision", id, read_at, "H1/ZY1"),
                Read(saved[0], HOSPITAL.member, ("bill",), "claim", "bill corrected", None, read_at),
            ],
        )
    said = safeweave("reads", saved[0])[1]
    for part in (INSURER.name, HOSPITAL.name, "diagnoses", "case_1, decision", id, "2026-03-06 15:21:05", "(none)"):
        assert part in said
    assert [each["consent"] for each in json.loads(safeweave("reads", saved[0], "--json")[1])] == [id, None]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["list", "person_unknown"], 2, "person: this person is not in the register; check who it is first\n"),
        (["reads", SAMPLE_FEMALE[:-1] + "1"], 2, ""),
        (["revoke", "consent_unknown"], 1, "consent_unknown is not known here; check the id\n"),
    ],
)
def test_what_is_not_known_is_said(safeweave, saved, arguments, code, said):
    found = safeweave(*arguments)
    assert found[0] == code
    assert found[1] == said or not said


def test_a_day_or_text_that_is_none_is_refused(safeweave, saved):
    code, said = safeweave("give", saved[0], *GIVE, *KINDS, "--first-day", "soon")
    assert (code, said) == (2, '--first-day: "soon" is not a day; write it like 2026-03-06\n')
    code, said = safeweave("give", saved[0], *GIVE, *KINDS, "--text", "1999-01")
    assert (code, 'no consent text of version "1999-01"' in said) == (2, True)


@pytest.mark.parametrize("command", ["give", "revoke", "list", "reads"])
@pytest.mark.parametrize(("language", "word"), [("zh", "用法"), ("en", "usage")])
def test_help_is_there_in_both_languages(capsys, command, language, word):
    with pytest.raises(SystemExit) as end:
        main(["--language", language, "consent", command, "--help"])
    assert (end.value.code, word in capsys.readouterr().out) == (0, True)


# ---------------------------------------------------------------- from files


def _resource(**changed):
    """A consent as a hospital's registration desk exports it, with its patient."""
    given = consent(given_at=NOW, begins_at=NOW, ends_at=NOW + timedelta(days=90))
    told = fhir.write(consents.Kept(given), "active")
    patient = {
        "resourceType": "Patient", "id": "patient", "name": [{"text": "测试甲"}], "gender": "female",
        "birthDate": "1949-12-31",
        "identifier": [{"system": "urn:oid:2.16.156.10011.1.3", "value": SAMPLE_FEMALE}],
    }  # fmt: skip
    return {
        **told, "contained": [*told["contained"], patient], "patient": {"reference": "#patient"},
        "performer": [{"reference": "#patient"}], **changed,
    }  # fmt: skip


def test_consents_are_imported_with_their_patients_and_again_changes_nothing(safeweave, tmp_path):
    file = tmp_path / "consents.ndjson"
    file.write_text(json.dumps(_resource()) + "\n\n", encoding="utf-8")
    for _ in range(2):
        assert safeweave("import", str(file)) == (0, "1 noted, 0 could not be taken\n")
    code, shown = safeweave("list", SAMPLE_FEMALE)
    assert code == 0
    assert HOSPITAL.name in shown
    assert shown.count("consent_") == 1


def test_of_a_bundle_the_good_are_taken_and_each_bad_one_is_named(safeweave, tmp_path):
    nameless = _resource()
    nameless["contained"][-1]["name"] = []
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"resource": _resource(status="draft")}, {"resource": _resource()}, {"resource": nameless}],
    }
    file = tmp_path / "bundle.json"
    file.write_text(json.dumps(bundle), encoding="utf-8")
    code, shown = safeweave("import", str(file))
    assert code == 1
    assert f"{file} entry[0]: Consent.status:" in shown
    assert f"{file} entry[2]: contained.Patient: the person it brings has no name" in shown
    assert "1 noted, 2 could not be taken" in shown
    assert "随附的人员没有姓名" in safeweave("import", str(file), language="zh")[1]


def test_lines_that_are_no_consent_are_named_and_the_others_taken(safeweave, tmp_path):
    file = tmp_path / "consents.ndjson"
    lines = ["no json", json.dumps(_resource()), "[]", json.dumps({"resourceType": "Patient"})]
    file.write_text("\n".join(lines), encoding="utf-8")
    code, shown = safeweave("import", str(file))
    assert code == 1
    assert "1 noted, 3 could not be taken" in shown
    assert all(f"{file}:{line}: " in shown for line in (1, 3, 4))


def test_a_consent_that_was_revoked_elsewhere_is_revoked_here(safeweave, tmp_path):
    given = consent(given_at=NOW, begins_at=NOW, ends_at=NOW + timedelta(days=90))
    told = fhir.write(consents.Kept(given, NOW + timedelta(days=1)), "revoked")
    file = tmp_path / "consent.json"
    file.write_text(json.dumps(_resource(status=told["status"], extension=told["extension"])), encoding="utf-8")
    assert safeweave("import", str(file))[0] == 0
    assert "taken back" in safeweave("list", SAMPLE_FEMALE)[1]


def test_a_guardians_consent_brings_the_guardian_and_the_proof(safeweave, tmp_path):
    born = date(2020, 5, 1)
    given = consent(given_at=NOW, begins_at=NOW, ends_at=NOW + timedelta(days=90), given_by=GUARDIAN, proof=PROOF)
    told = fhir.write(consents.Kept(given), "active")
    oid = "urn:oid:2.16.156.10011.1.3"
    child = {
        "resourceType": "Patient", "id": "patient", "name": [{"text": "测试童"}], "birthDate": born.isoformat(),
        "identifier": [{"system": oid, "value": CHILD}],
    }  # fmt: skip
    mother = {
        "resourceType": "RelatedPerson", "id": "guardian", "name": [{"text": "测试甲"}],
        "identifier": [{"system": oid, "value": SAMPLE_FEMALE}],
    }  # fmt: skip
    told |= {
        "contained": [*told["contained"], child, mother], "patient": {"reference": "#patient"},
        "performer": [{"reference": "#guardian"}],
    }  # fmt: skip
    file = tmp_path / "consent.json"
    file.write_text(json.dumps(told), encoding="utf-8")
    assert safeweave("import", str(file)) == (0, "1 noted, 0 could not be taken\n")
    code, shown = safeweave("list", CHILD, "--json")
    assert code == 0
    assert PROOF in shown
    orphan = {**told, "extension": [each for each in told["extension"] if "proof" not in each["url"]]}
    file.write_text(json.dumps(orphan), encoding="utf-8")
    assert safeweave("import", str(file))[0] == 1

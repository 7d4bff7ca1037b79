"""What `safeweave policies ...` prints, in both languages, with numbers masked; export and import are a round trip."""

import io
import json

import pytest

from coverage.given_policies import COLUMNS, ROW, csv_file, day
from people.given_people import NOW, SAMPLE_FEMALE, SAMPLE_MALE, citizen_number
from safeweave import coverage
from safeweave.coverage import commands
from safeweave.coverage.policy import Payee
from safeweave.database import Database
from stores import place

CHILD = citizen_number(day("2018-01-15"), 2)
MORE = (
    ",holder_name,holder_document_kind,holder_document_number,phone,guardian_name,guardian_document_number,"
    "guardian_proof,payee_account,usage,former_name,document_kind_2,document_number_2,document_country_2,beneficiary"
)
FIRM = "示例公司,统一社会信用代码,12330200MB10000025"


@pytest.fixture
def filled(database, tmp_path):
    account, used = "6222020000000000018", "2026-01-01 deductible year=100.00"
    child = f"P-1,hospital-expense-2020,测试丙,{CHILD},no,2026-01-01,2026-12-31"
    other = f"P-2,hospital-expense-2020,测试乙,{SAMPLE_MALE},是,2026-01-01,2026-12-31"
    path = csv_file(
        tmp_path,
        f"{ROW},{FIRM},13800000000,,,,{account},{used},测试旧,护照,E12345678,CHN,测试乙",
        f"{child},{FIRM},,测试甲,{SAMPLE_FEMALE},户口簿,{account},,,,,,",
        f"{other},,,,,,,,,,,,,,",
        columns=COLUMNS + MORE,
    )
    assert run(commands.policies_import, database, [path], False, "zh", now=NOW)[0] == 0
    with database.transaction() as tx:
        coverage.lapse(tx, "P-1", NOW, from_day=day("2026-03-01"), reason="保费未缴")
        coverage.reinstate(tx, "P-1", day("2026-04-01"), NOW)
    return database


def run(command, *arguments, **options):
    out = io.StringIO()
    code = command(*arguments, out, **options)
    return code, out.getvalue()


def exported(database):
    out = io.StringIO()
    commands.policies_export(database, out)
    return out.getvalue()


def test_an_export_read_by_another_node_exports_the_same(filled, tmp_path):
    path = tmp_path / "export.jsonl"
    path.write_text(exported(filled), encoding="utf-8")
    other = Database(place(tmp_path / "other.db"))
    assert run(commands.policies_import, other, [path], True, "en", now=NOW)[0] == 0
    assert exported(other) == exported(filled)
    assert "0 added, 0 changed, 2 unchanged" in run(commands.policies_import, other, [path], True, "en", now=NOW)[1]
    assert "0 added, 0 changed, 2 unchanged" in run(commands.policies_import, filled, [path], True, "en", now=NOW)[1]
    other.close()


def test_an_export_holds_the_days_accounts_and_usage(filled):
    first = json.loads(exported(filled).splitlines()[0])
    assert [change["kind"] for change in first["changes"]] == ["period", "period", "lapse", "reinstatement"]
    assert first["insureds"][0]["usage"] == [
        {"scope": "2026-01-01", "kind": "deductible", "id": "year", "amount": "100.00"}
    ]
    assert first["insureds"][0]["payees"][0]["account"] == "6222020000000000018"
    assert first["insureds"][0]["person"]["former_names"][0]["name"] == "测试旧"
    assert first["holder"]["documents"][0]["kind"] == "credit_code"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_policy_is_shown_with_numbers_masked(filled, language):
    code, text = run(commands.policies_show, filled, "P-1", language, now=NOW)
    assert code == 0
    for hidden in (SAMPLE_FEMALE, CHILD, "6222020000000000018", "13800000000"):
        assert hidden not in text
    assert "110105********002X" in text
    assert ("中止" if language == "zh" else "lapsed") in text.splitlines()[0]
    assert "2026-04-01" in text
    assert "保费未缴" in text


def test_a_policy_is_shown_as_json_masked_or_whole(filled):
    masked = json.loads(run(commands.policies_show, filled, "P-1", "zh", now=NOW, as_json=True)[1])
    assert masked["status"] == "lapsed"
    assert masked["insureds"][0]["person"]["documents"][0]["number"] == "110105********002X"
    assert len(masked["history"]) == 8
    whole = json.loads(run(commands.policies_show, filled, "P-1", "zh", now=NOW, as_json=True, unmasked=True)[1])
    assert whole["insureds"][0]["person"]["documents"][0]["number"] == SAMPLE_FEMALE


def test_an_unknown_policy_is_told(database):
    code, text = run(commands.policies_show, database, "P-9", "en", now=NOW)
    assert (code, "no policy P-9" in text) == (1, True)


def test_policies_are_listed_with_how_they_stand_today(filled):
    assert run(commands.policies_list, filled, "en", now=NOW)[1].splitlines() == [
        "P-1  hospital-expense-2020  lapsed  2 insured",
        "P-2  hospital-expense-2020  in force  1 insured",
    ]
    listed = json.loads(run(commands.policies_list, filled, "en", now=NOW, as_json=True)[1])
    assert [row["status"] for row in listed] == ["lapsed", "in_force"]


def test_an_empty_list_says_what_to_do(database):
    assert "safeweave policies import" in run(commands.policies_list, database, "zh", now=NOW)[1]


def test_renewing_lapsing_and_reinstating_are_told(filled):
    def told(command, *arguments, **options):
        return run(command, filled, "P-2", *arguments, "en", now=NOW, **options)

    renewed = told(commands.policies_renew, day("2027-01-01"), day("2027-12-31"))
    assert renewed == (0, "Policy P-2 renewed: 2027-01-01 to 2027-12-31\n")
    assert told(commands.policies_lapse, due_on=day("2027-01-01")) == (0, "Policy P-2 lapsed from 2027-03-03 on\n")
    assert told(commands.policies_reinstate, day("2027-05-01")) == (0, "Policy P-2 reinstated from 2027-05-01 on\n")
    code, text = told(commands.policies_reinstate, day("2027-06-01"))
    assert (code, "is in force on 2027-06-01" in text) == (1, True)
    assert run(commands.policies_renew, filled, "P-9", day("2027-01-01"), day("2027-12-31"), "zh", now=NOW)[0] == 1


def test_an_import_prints_where_each_fault_is(database, tmp_path):
    path = csv_file(tmp_path, ROW, ROW.replace("yes", "maybe"))
    code, text = run(commands.policies_import, database, [path], False, "en", now=NOW)
    assert code == 1
    assert f"{path}:3: enrolled: " in text
    assert "2 rows; 1 added, 0 changed, 0 unchanged, 1 refused" in text
    code, text = run(commands.policies_import, database, [path], True, "zh", now=NOW)
    assert "严格模式" in text
    code, text = run(commands.policies_import, database, [path], False, "en", now=NOW, as_json=True)
    assert json.loads(text)[0]["faults"] == [
        {"line": 3, "field": "enrolled", "what": 'enrolled: "maybe" is not clear; write yes or no'}
    ]


def test_many_faults_are_cut_short_on_the_screen_and_whole_in_the_report(database, tmp_path):
    path = csv_file(tmp_path, *[ROW.replace("yes", "maybe")] * 60)
    _, text = run(commands.policies_import, database, [path], False, "en", now=NOW)
    assert text.count("is not clear") == 50
    assert "... and 10 more in" in text
    assert len((tmp_path / "policies.report.txt").read_text(encoding="utf-8").splitlines()) == 60


def test_a_changed_account_is_shown_as_the_latest(filled):
    with filled.transaction() as tx:
        found = coverage.policies_by_number(tx, ["P-2"])["P-2"]
        person = found.insureds[0].person
        for account in ("6222020000000000018", "6222020000000000026"):
            coverage.store.add_payees(tx, [(found.id, person, Payee("insured", "测试乙", account, ""))], NOW)
    assert "622202*********0026" in run(commands.policies_show, filled, "P-2", "zh", now=NOW)[1]

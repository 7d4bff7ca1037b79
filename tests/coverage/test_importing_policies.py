"""Insurers' files: what is accepted, where a fault is, what is given back, and that nothing happens twice."""

import csv
import io
import json
from pathlib import Path

import pytest

from coverage.given_policies import COLUMNS, ROW, csv_file, day
from people.given_people import NOW, SAMPLE_FEMALE, SAMPLE_MALE, citizen_number
from safeweave import coverage, people
from safeweave.coverage import files, store
from safeweave.coverage.importer import import_file
from safeweave.coverage.policy import Payee
from safeweave.coverage.usage import Usage, Used
from safeweave.events import Identifier, PersonSeen
from safeweave.facts import Period
from safeweave.words import catalogue

CHILD = citizen_number(day("2018-01-15"), 2)
CHILDS_ROW = f"P-1,hospital-expense-2020,测试丙,{CHILD},是,2026-01-01,2026-12-31"
HEADERS_ZH = "保单号,产品代码,被保险人姓名,证件类型,证件号码,参加医保,起保日期,终止日期"


def imported(database, path, **options):
    return import_file(database, path, NOW, **options)


def counts(report):
    return (report.added, report.changed, report.unchanged, report.refused)


def faults(report, language="en"):
    return list(report.lines(report.faults, language))


def policy(database, number="P-1"):
    with database.reading() as tx:
        found = coverage.policies_by_number(tx, [number])[number]
        persons = [insured.person for insured in found.insureds]
        return {
            person: each
            for person, own in coverage.policies_of(tx, persons).items()
            for each in own
            if each.number == number
        }


def only(database, number="P-1"):
    (each,) = policy(database, number).values()
    return each


def test_a_row_becomes_a_policy_with_its_insured_person(database, tmp_path):
    report = imported(database, csv_file(tmp_path, ROW))
    assert counts(report) == (1, 0, 0, 0)
    assert only(database).cover.periods == (Period(day("2026-01-01"), day("2026-12-31"), day("2026-01-01")),)
    assert only(database).cover.birth == day("1949-12-31")


def test_the_same_file_again_changes_nothing(database, tmp_path):
    path = csv_file(tmp_path, ROW)
    imported(database, path)
    with database.reading() as tx:
        before = [
            tx.rows(f"select * from {table}") for table in ("policy_change", "insured_change", "person", "person_name")
        ]
    assert counts(imported(database, path)) == (0, 0, 1, 0)
    with database.reading() as tx:
        after = [
            tx.rows(f"select * from {table}") for table in ("policy_change", "insured_change", "person", "person_name")
        ]
    assert after == before


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_chinese_headers_and_the_encodings_of_excel_are_read(database, tmp_path, encoding):
    row = f"P-1,hospital-expense-2020,测试䶮,身份证,{SAMPLE_FEMALE.lower()},是,2026/1/1,2026年12月31日"
    report = imported(database, csv_file(tmp_path, row, columns=HEADERS_ZH, encoding=encoding))
    assert counts(report) == (1, 0, 0, 0)
    person = only(database).person
    with database.reading() as tx:
        assert people.people_by_id(tx, [person])[person].name == "测试䶮"


def test_a_tab_separated_export_is_read(database, tmp_path):
    path = csv_file(tmp_path, ROW.replace(",", "\t"), columns=COLUMNS.replace(",", "\t"), name="policies.tsv")
    assert counts(imported(database, path)) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("policy_number", "", "policy_number: this is missing; write the policy number"),
        ("name", " ", "name: this is missing; write the name"),
        ("document_number", SAMPLE_FEMALE[:-1] + "1", "document_number: 110105********0021 fails its check character"),
        ("document_number", "1.10105E+17", "was turned into a rounded number by a spreadsheet"),
        ("enrolled", "maybe", 'enrolled: "maybe" is not clear; write yes or no'),
        ("first_day", "2026-02-30", 'first_day: "2026-02-30" is no day; write it like 2026-03-01'),
        ("first_day", "46023", 'first_day: "46023" is no day'),
        ("last_day", "2025-12-31", "last_day: the last day 2025-12-31 is before the first day 2026-01-01"),
        ("last_day", "", "last_day: this is missing; write the last day of the policy year"),
        ("product", "no-such", 'product: there is no product "no-such"; known products are hospital-expense-2020'),
    ],
)
def test_a_fault_is_told_with_file_line_and_column(database, tmp_path, column, value, told):
    cells = dict(zip(COLUMNS.split(","), ROW.split(","), strict=True))
    bad = ",".join({**cells, column: value}.values())
    path = csv_file(tmp_path, ROW.replace("P-1", "P-0"), bad)
    report = imported(database, path, products={"hospital-expense-2020"})
    assert counts(report) == (1, 0, 0, 1)
    assert faults(report)[0].startswith(f"{path}:3: ")
    assert told in faults(report)[0]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("birth", "1949-12-30", "birth: the birth date 1949-12-30 is not that of the document number"),
        ("sex", "男", "sex: the sex is not that of the document number"),
        ("sex", "x", 'sex: "x" is no sex'),
        ("since", "2026-02-01", "since: unbroken cover since 2026-02-01 cannot begin after"),
        ("relation", "aunt", 'relation: "aunt" is not known here; write one of self, 本人'),
        ("email", "nobody", 'email: "nobody" is no e-mail address'),
        ("payee_account", "12", "payee_account: ** is no account number"),
        ("payee_bank_code", "12", "payee_account: the number of the bank account is empty"),
        ("payee_role", "neighbour", 'payee_role: "neighbour" is not known here'),
        ("usage", "something", 'usage: "something" cannot be read; write it like "2026-01-01 deductible year=1200.00'),
        ("usage", "2026-01-01 deductible year=12", 'usage: "2026-01-01 deductible year=12" cannot be read'),
        ("guardian_name", "测试乙", "guardian_document_number: this is missing"),
        ("roster_last_day", "soon", 'roster_last_day: "soon" is no day'),
        ("document_kind", "图书证", 'document_kind: "图书证" is not a kind of document'),
        ("language", "fr", 'language: "fr" is not known here'),
    ],
)
def test_a_fault_in_what_may_be_left_out_is_told_too(database, tmp_path, column, value, told):
    report = imported(database, csv_file(tmp_path, f"{ROW},{value}", columns=f"{COLUMNS},{column}"))
    assert report.refused == 1
    assert f":2: {told}" in faults(report)[0]


def test_every_fault_of_a_row_is_told_at_once_and_in_either_language(database, tmp_path):
    path = csv_file(tmp_path, "P-1,hospital-expense-2020,,1,maybe,never,2026-12-31")
    report = imported(database, path)
    assert len(faults(report)) == 4
    assert f"{path}:2: enrolled: “maybe”不明确；请填写 是 或 否" in faults(report, "zh")


def test_a_quoted_cell_over_two_lines_does_not_move_the_line_numbers(database, tmp_path):
    first = ROW.replace("测试甲", '"测试\n甲"').replace("P-1", "P-0")
    path = csv_file(tmp_path, first, ROW.replace("yes", "maybe"))
    assert faults(imported(database, path))[0].startswith(f"{path}:4: enrolled:")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("policy_number,product", "columns are missing: name (被保险人姓名), document_number (证件号码)"),
        (f"{COLUMNS},colour", 'column "colour" is not known; rename or remove it'),
    ],
)
def test_a_header_that_cannot_be_read_refuses_the_file(database, tmp_path, columns, told):
    report = imported(database, csv_file(tmp_path, ROW, columns=columns))
    assert (report.imported, report.refused) == (False, 1)
    assert told in faults(report)[0]


def test_files_of_other_kinds_and_missing_files_are_told(database, tmp_path):
    assert "cannot be opened" in faults(imported(database, tmp_path / "none.csv"))[0]
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    assert "use .csv, .jsonl, or FHIR" in faults(imported(database, tmp_path / "a.xlsx"))[0]


def test_a_row_with_too_few_cells_is_refused_and_empty_lines_are_passed_over(database, tmp_path):
    report = imported(database, csv_file(tmp_path, "", ROW, "P-2,hospital-expense-2020", ",,,,,,"))
    assert counts(report) == (1, 0, 0, 1)
    assert "the row has 2 cells and there are 7 columns" in faults(report)[0]


def test_refused_rows_are_given_back_and_can_be_corrected_and_imported(database, tmp_path):
    wrong = ROW.replace("P-1", "P-2").replace("yes", "maybe")
    path = csv_file(tmp_path, ROW, wrong)
    report = imported(database, path, language="en")
    given_back = tmp_path / "policies.refused.csv"
    assert report.refused_file == str(given_back)
    header, row = csv.reader(io.StringIO(given_back.read_text(encoding="utf-8-sig")))
    assert header == ["fault", *COLUMNS.split(",")]
    assert row == [
        'enrolled: "maybe" is not clear; write yes or no',
        *ROW.replace("P-1", "P-2").replace("yes", "maybe").split(","),
    ]
    assert (tmp_path / "policies.report.txt").read_text(encoding="utf-8").startswith(f"{path}:3: enrolled:")
    given_back.write_text(given_back.read_text(encoding="utf-8-sig").replace(",maybe,", ",no,"), encoding="utf-8")
    assert counts(imported(database, given_back)) == (1, 0, 0, 0)


def test_strict_imports_all_or_nothing(database, tmp_path):
    path = csv_file(tmp_path, ROW, ROW.replace("yes", "maybe"))
    report = imported(database, path, strict=True)
    assert (report.imported, report.added, report.refused) == (False, 0, 1)
    conflict = csv_file(tmp_path, ROW, ROW.replace("测试甲", "别名").replace("P-1", "P-2"))
    report = imported(database, conflict, strict=True)
    assert (report.imported, report.added, report.refused) == (False, 0, 1)
    with database.reading() as tx:
        assert coverage.policies_by_number(tx, ["P-1", "P-2"]) == {}
        assert tx.rows("select * from person") == []


def test_a_document_under_another_name_is_refused_and_adds_nobody(database, tmp_path):
    imported(database, csv_file(tmp_path, ROW))
    guardian = f"{ROW.replace('P-1', 'P-2').replace('测试甲', '别名')},测试乙,{SAMPLE_MALE},户口簿"
    path = csv_file(tmp_path, guardian, columns=f"{COLUMNS},guardian_name,guardian_document_number,guardian_proof")
    report = imported(database, path)
    assert "name: the document is on record under another name" in faults(report)[0]
    with database.reading() as tx:
        assert tx.rows("select count(*) from person") == [(1,)]


def test_a_renamed_person_is_told_with_the_former_name(database, tmp_path):
    imported(database, csv_file(tmp_path, ROW))
    renamed = csv_file(tmp_path, f"{ROW.replace('测试甲', '别名')},测试甲", columns=f"{COLUMNS},former_name")
    assert counts(imported(database, renamed)) == (0, 1, 0, 0)
    assert counts(imported(database, renamed)) == (0, 0, 1, 0)


def test_a_renewal_is_a_row_with_the_next_year(database, tmp_path):
    renewal = ROW.replace("2026", "2027")
    imported(database, csv_file(tmp_path, ROW))
    assert counts(imported(database, csv_file(tmp_path, ROW, renewal))) == (0, 1, 1, 0)
    assert [str(period.since) for period in only(database).cover.periods] == ["2026-01-01", "2026-01-01"]


def test_years_that_overlap_are_refused(database, tmp_path):
    report = imported(database, csv_file(tmp_path, ROW, ROW.replace("2026-01-01", "2026-06-01")))
    assert counts(report) == (1, 0, 0, 1)
    assert "first_day: 2026-06-01 to 2026-12-31 overlaps 2026-01-01 to 2026-12-31" in faults(report)[0]


def test_a_changed_row_is_an_addition(database, tmp_path):
    imported(database, csv_file(tmp_path, ROW))
    assert counts(imported(database, csv_file(tmp_path, ROW.replace("yes", "no")))) == (0, 1, 0, 0)
    assert only(database).cover.enrolled is False
    with database.reading() as tx:
        history = store.policy_history(tx, store.policy_id("P-1"))
    assert [kind for _, kind, _, _ in history].count("insured") == 2


def test_a_lapse_survives_the_import_of_the_same_file(database, tmp_path):
    path = csv_file(tmp_path, ROW)
    imported(database, path)
    with database.transaction() as tx:
        coverage.lapse(tx, "P-1", NOW, from_day=day("2026-03-01"))
    assert counts(imported(database, path)) == (0, 0, 1, 0)
    assert only(database).cover.periods[0].last_day == day("2026-02-28")


def test_an_empty_cell_keeps_what_is_on_record(database, tmp_path):
    columns = f"{COLUMNS},beneficiary,roster_first_day,relation"
    imported(database, csv_file(tmp_path, f"{ROW},测试乙,2026-02-01,子女", columns=columns))
    renewal = csv_file(tmp_path, ROW.replace("2026", "2027"))
    assert counts(imported(database, renewal)) == (0, 1, 0, 0)
    assert (only(database).cover.beneficiary, only(database).cover.roster_first_day) == ("测试乙", day("2026-02-01"))


@pytest.mark.parametrize("written", ["2026111", "2026-13-01", "01/02/2026", "2026", "20260229"])
def test_a_day_that_can_be_read_in_two_ways_is_refused(database, tmp_path, written):
    report = imported(database, csv_file(tmp_path, ROW.replace("2026-01-01", written)))
    assert f'first_day: "{written}" is no day' in faults(report)[0]


def test_a_passport_whose_country_is_told_later_stays_one_person(database, tmp_path):
    columns = f"{COLUMNS},document_kind,document_country,birth,sex"
    row = "P-1,hospital-expense-2020,Yamada Taro,TK1234567,是,2026-01-01,2026-12-31,护照"
    imported(database, csv_file(tmp_path, f"{row},,1970-03-03,男", columns=columns))
    assert counts(imported(database, csv_file(tmp_path, f"{row},JPN,1970-03-03,男", columns=columns))) == (0, 1, 0, 0)
    with database.reading() as tx:
        assert tx.rows("select count(*) from person") == [(1,)]


def test_another_product_or_bank_under_the_same_number_is_refused(database, tmp_path):
    columns = f"{COLUMNS},bank"
    imported(database, csv_file(tmp_path, f"{ROW},main", columns=columns))
    other = csv_file(tmp_path, f"{ROW.replace('hospital-expense-2020', 'million-medical-2025')},other", columns=columns)
    report = imported(database, other)
    assert "product: the policy is on record with product hospital-expense-2020" in faults(report)[0]
    assert "bank: the policy is on record with bank main" in faults(report)[1]


def test_a_group_policy_insures_a_roster_of_persons_held_by_a_firm(database, tmp_path):
    columns = f"{COLUMNS},holder_name,holder_document_kind,holder_document_number,roster_first_day,roster_last_day"
    firm = "示例市第一医院,统一社会信用代码,12330200MB10000025"
    numbers = [citizen_number(day("1990-01-01"), i) for i in range(5)]
    rows = [
        f"G-1,staff-infection-2022,员工{i},{number},是,2026-01-01,2026-12-31,{firm},2026-01-{i + 1:02d},"
        for i, number in enumerate(numbers)
    ]
    assert counts(imported(database, csv_file(tmp_path, *rows, columns=columns))) == (1, 4, 0, 0)
    insured = policy(database, "G-1")
    assert sorted(str(each.cover.roster_first_day) for each in insured.values()) == [
        f"2026-01-0{i}" for i in range(1, 6)
    ]
    with database.reading() as tx:
        head = coverage.policies_by_number(tx, ["G-1"])["G-1"]
        assert people.people_by_id(tx, [head.holder])[head.holder].name == "示例市第一医院"
        assert {each.relation for each in head.insureds} == {"other"}


def test_a_child_has_a_guardian_and_is_paid_to_the_guardians_account(database, tmp_path):
    columns = f"{COLUMNS},guardian_name,guardian_document_number,guardian_proof,payee_account,payee_bank_code"
    row = f"{CHILDS_ROW},测试甲,{SAMPLE_FEMALE},户口簿,6222020000000000018,102332000018"
    report = imported(database, csv_file(tmp_path, row, columns=columns))
    assert counts(report) == (1, 0, 0, 0)
    assert report.warnings == []
    assert only(database).cover.guardian is True
    assert only(database).payees == (Payee("guardian", "测试甲", "6222020000000000018", "102332000018"),)


def test_a_child_without_guardian_and_a_policy_without_account_are_remarked_on(database, tmp_path):
    report = imported(database, csv_file(tmp_path, ROW.replace(SAMPLE_FEMALE, CHILD)))
    remarks = list(report.lines(report.warnings, "zh"))
    assert "guardian_name: 2026-01-01 未满 18 周岁，且没有监护人" in remarks[0]
    assert "payee_account: 没有收款账户" in remarks[1]
    assert report.refused == 0


def test_nobody_is_their_own_guardian(database, tmp_path):
    columns = f"{COLUMNS},guardian_name,guardian_document_number,guardian_proof"
    report = imported(database, csv_file(tmp_path, f"{ROW},测试甲,{SAMPLE_FEMALE},户口簿", columns=columns))
    assert "guardian_document_number: nobody is their own guardian" in faults(report)[0]


def test_opening_usage_is_taken_over_and_a_corrected_figure_replaces_it(database, tmp_path):
    def with_usage(text):
        return csv_file(tmp_path, f"{ROW},{text}", columns=f"{COLUMNS},usage")

    def used():
        each = only(database)
        with database.reading() as tx:
            return coverage.usage_of(tx, [(each.policy, each.person)])[each.policy, each.person]

    first = with_usage("2026-01-01 deductible year=1200.00; lifetime limit total=50000.00; 2026-01-01 days hospital=12")
    assert counts(imported(database, first)) == (1, 0, 0, 0)
    expected = {"2026-01-01": Used({"year": 120000}, days={"hospital": 12}), "lifetime": Used(limit={"total": 5000000})}
    assert used() == Usage(expected)
    assert counts(imported(database, first)) == (0, 0, 1, 0)
    assert counts(imported(database, with_usage("2026-01-01 deductible year=900.00"))) == (0, 1, 0, 0)
    assert used().scopes["2026-01-01"].deductible == {"year": 90000}
    assert used().scopes["lifetime"].limit == {"total": 5000000}
    assert counts(imported(database, with_usage("2026-01-01 deductible year=950.00"))) == (0, 1, 0, 0)
    assert used().scopes["2026-01-01"].deductible == {"year": 95000}


def test_two_documents_in_a_row_are_one_person(database, tmp_path):
    permit = citizen_number(day("1990-05-01"), 2, "810000")
    columns = f"{COLUMNS},document_kind_2,document_number_2"
    row = f"P-1,hospital-expense-2020,测试港,{permit},是,2026-01-01,2026-12-31,港澳通行证,H1234567801"
    imported(database, csv_file(tmp_path, row, columns=columns))
    person = only(database).person
    with database.reading() as tx:
        held = people.people_by_id(tx, [person])[person].documents
    assert {(each.kind, each.number) for each in held} == {
        ("hmt_residence_permit", permit),
        ("hk_macau_travel_permit", "H12345678"),
    }


def test_progress_is_told_while_a_big_file_is_checked(database, tmp_path):
    told = []
    numbers = [citizen_number(day("1990-01-01"), i % 1000, f"99000{i // 1000}") for i in range(2500)]
    rows = [
        f"P-{i},hospital-expense-2020,测试{i},{number},是,2026-01-01,2026-12-31" for i, number in enumerate(numbers)
    ]
    report = imported(database, csv_file(tmp_path, *rows), progress=told.append)
    assert told == [1000, 2000]
    assert counts(report) == (2500, 0, 0, 0)
    assert counts(imported(database, csv_file(tmp_path, *rows))) == (0, 0, 2500, 0)


def test_an_imported_person_is_found_by_the_policy_number(database, tmp_path):
    imported(database, csv_file(tmp_path, ROW))
    person = only(database).person
    with database.reading() as tx:
        seen = PersonSeen((Identifier("policy", "P-1"),), "测试甲", day("1949-12-31"))
        assert people.find_people(tx, [seen])[0].person == person


# ---------------------------------------------------------------- JSONL


def jsonl(folder, *policies):
    path = folder / "policies.jsonl"
    path.write_text(
        "\n".join(each if isinstance(each, str) else json.dumps(each) for each in policies), encoding="utf-8"
    )
    return path


def told(number="P-1", **more):
    return {
        "number": number,
        "product": "hospital-expense-2020",
        "insureds": [
            {"person": {"name": "测试甲", "documents": [{"number": SAMPLE_FEMALE}]}, "enrolled": "yes"},
            {
                "person": {"name": "测试乙", "documents": [{"number": SAMPLE_MALE}]},
                "enrolled": "no",
                "relation": "spouse",
            },
        ],
        "changes": [
            {"first_day": "2026-01-01", "last_day": "2026-12-31"},
            {"kind": "lapse", "first_day": "2026-03-01", "reason": "保费未缴"},
            {"kind": "reinstatement", "first_day": "2026-04-01"},
            {"kind": "cancellation", "first_day": "2026-06-01", "insured": 2},
        ],
        **more,
    }


def test_a_line_of_jsonl_is_a_whole_policy_with_its_changes(database, tmp_path):
    path = jsonl(tmp_path, told())
    assert counts(imported(database, path)) == (1, 0, 0, 0)
    assert counts(imported(database, path)) == (0, 0, 1, 0)
    lasts = sorted(tuple(str(p.last_day) for p in each.cover.periods) for each in policy(database).values())
    assert lasts == [("2026-02-28", "2026-05-31"), ("2026-02-28", "2026-12-31")]


def test_faults_of_jsonl_name_the_line_and_the_path(database, tmp_path):
    path = jsonl(
        tmp_path,
        "{not json",
        told("P-2", colour="red"),
        told("P-3", changes=[{"first_day": "never", "last_day": "2026-12-31"}]),
        told("P-4", insureds=[]),
        told("P-5", changes=[{"kind": "lapse", "first_day": "2026-01-01"}]),
        told("P-6"),
    )
    report = imported(database, path)
    assert counts(report) == (1, 0, 0, 5)
    lines = faults(report)
    assert lines[0].startswith(f"{path}:1: this is not valid JSON")
    assert f"{path}:2: " in lines[1]
    assert "colour" in lines[1]
    assert lines[2] == f'{path}:3: changes[0].first_day: "never" is no day; write it like 2026-03-01'
    assert lines[3].startswith(f"{path}:4: insureds: the policy insures nobody")
    assert lines[-1].startswith(f"{path}:5: changes[0].first_day: there is no cover on or after 2026-01-01 to end")
    given_back = (tmp_path / "policies.refused.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(given_back) == 5
    assert json.loads(given_back[2])["fault"].startswith("changes[0].first_day:")


# ---------------------------------------------------------------- words


def test_every_column_has_a_chinese_header():
    assert all(headers for headers, _ in files.COLUMNS.values())


def test_every_sentence_about_policies_exists_in_both_languages():
    for key, texts in catalogue().items():
        if key.split(".")[0] in ("people", "coverage"):
            assert set(texts) == {"zh", "en"}, key


@pytest.mark.parametrize("guide", ["policies.md", "policies.zh-CN.md"])
def test_the_guide_names_every_column(guide):
    text = (Path(__file__).parents[2] / "docs" / "guides" / guide).read_text(encoding="utf-8")
    assert [column for column, (headers, _) in files.COLUMNS.items() if f"`{column}`" not in text] == []
    assert [headers[0] for headers, _ in files.COLUMNS.values() if headers[0] not in text] == []


def test_the_jsonl_of_the_guide_can_be_imported(database, tmp_path):
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "policies.md").read_text(encoding="utf-8")
    example = guide.split("```json\n")[1].split("```")[0].replace("\n", "")
    assert counts(imported(database, jsonl(tmp_path, example))) == (1, 0, 0, 0)
    assert [str(period.first_day) for period in only(database).cover.periods] == ["2026-01-01", "2026-05-01"]

"""`safeweave policies`: what an insurer gets wrong is said while it can still be put right."""

import json

import pytest

from people.given_people import SAMPLE_FEMALE
from safeweave.main import main

ROW = f"P-1,{{product}},测试甲,{SAMPLE_FEMALE},yes,2026-01-01,2026-12-31,{{bank}}"


@pytest.fixture
def safeweave(tmp_path, capsys):
    def run(*arguments: str, language: str = "en") -> tuple[int, str]:
        code = main(["--home", str(tmp_path / "home"), "--language", language, *arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


@pytest.fixture
def imports(safeweave, tmp_path):
    def run(*more: str, product: str = "hospital-expense-2020", bank: str = "", language: str = "en"):
        file = tmp_path / "policies.csv"
        columns = "policy_number,product,name,document_number,enrolled,first_day,last_day,bank\n"
        file.write_text(columns + ROW.format(product=product, bank=bank) + "\n", encoding="utf-8")
        return safeweave("policies", "import", str(file), *more, language=language)

    return run


def test_a_bank_the_node_does_not_know_is_remarked_upon_and_the_policy_taken(imports):
    code, said = imports(bank="sandbox")
    assert code == 0
    assert 'policies.csv:2: bank: no bank "sandbox" is set up: a benefit will wait; known are book, main' in said
    assert "1 added" in said
    assert "没有付款渠道“sandbox”" in imports(bank="sandbox", language="zh")[1]


@pytest.mark.parametrize("bank", ["", "main", "book"])
def test_a_bank_the_node_knows_is_not_remarked_upon(imports, bank):
    assert "no bank" not in imports(bank=bank)[1]


def test_a_product_the_node_does_not_have_is_refused_with_those_it_has(imports):
    code, said = imports(product="hospital-expence-2020")
    assert code == 1
    assert 'there is no product "hospital-expence-2020"; known products are accident-medical-2021, ' in said


def test_an_import_is_told_to_programs_as_one_object(imports):
    code, said = imports("--json", bank="sandbox")
    (report,) = json.loads(said)
    assert (code, report["added"], report["warnings"][0]["field"]) == (0, 1, "bank")


def test_cover_cannot_lapse_before_it_began(safeweave, imports):
    imports()
    code, said = safeweave("policies", "lapse", "P-1", "--on", "1999-01-01")
    assert (code, "it begins on 2026-01-01; declare the policy void instead" in said) == (1, True)
    assert "撤销" in safeweave("policies", "lapse", "P-1", "--on", "2025-12-31", language="zh")[1]
    assert "in force" in safeweave("policies", "list")[1]
    assert safeweave("policies", "lapse", "P-1", "--on", "2026-01-01")[0] == 0


def test_what_is_no_day_is_said_in_the_readers_language(safeweave, imports):
    imports()
    code, said = safeweave("policies", "lapse", "P-1", "--due-on", "soon", language="zh")
    assert (code, said) == (2, "--due-on: “soon”不是日期；请按 2026-03-06 的形式填写\n")

"""The operators' guide says the same in both languages, and of tables, settings and files only what is so."""

import re
from pathlib import Path

import pytest

from safeweave.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
GUIDES = {
    language: (ROOT / "docs/guides" / name).read_text(encoding="utf-8")
    for language, name in (("en", "scale_out.md"), ("zh", "scale_out.zh-CN.md"))
}
DDL = (ROOT / "deploy/citus.sql").read_text(encoding="utf-8")
CONF = (ROOT / "deploy/postgresql/safeweave.conf").read_text(encoding="utf-8")


def headings(text: str) -> list[int]:
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return [len(marks) for marks in re.findall(r"^(#+) ", without_code, re.M)]


def commands(text: str) -> list[str]:
    """The lines of code blocks without their comments; pictures are left out."""
    blocks = [block for block in re.findall(r"^```\n(.*?)^```$", text, re.M | re.S) if "─" not in block]
    return [re.sub(r"\s+#.*$", "", line) for block in blocks for line in block.splitlines()]


def terms(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)))


def part(text: str, first: str, next_heading: str = "\n## ") -> str:
    return text.split(first, 1)[1].split(next_heading, 1)[0]


def test_both_languages_have_the_same_sections():
    assert headings(GUIDES["en"]) == headings(GUIDES["zh"])


def test_both_languages_give_the_same_commands():
    assert commands(GUIDES["en"]) == commands(GUIDES["zh"])
    assert len(commands(GUIDES["en"])) > 30


def test_both_languages_name_the_same_things():
    assert terms(GUIDES["en"]) == terms(GUIDES["zh"])


def test_both_languages_saw_the_same():
    seen = [part(GUIDES["en"], "## What was seen", "\n# "), part(GUIDES["zh"], "## 走一遍，看到了什么", "\n# ")]
    rows = [[line for line in text.splitlines() if line.startswith("| ")][1:] for text in seen]
    figures = [[set(re.findall(r"\d(?:[\d,.]*\d)?", row)) for row in table] for table in rows]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("guide", GUIDES.values(), ids=GUIDES)
def test_the_tables_are_spread_as_the_ddl_says(guide):
    rows = [line for line in guide.splitlines() if line.startswith("| `") and line.count("|") == 4]
    told: dict[str, str] = {}
    for row in rows:
        tables, by, _ = (cell.strip() for cell in row.strip("|").split("|"))
        if "`person_document`" in tables or "`bank_notice`" in tables:
            continue  # each with a column of its own
        column = re.findall(r"`(\w+)`", by)
        told |= dict.fromkeys(re.findall(r"`(\w+)`", tables), column[0] if column else "")
    spread = dict(re.findall(r"create_distributed_table\('(\w+)', '(\w+)'", DDL))
    for table, column in told.items():
        if table in spread and column:
            assert spread[table] == column, table
    placed = set(spread) | set(re.findall(r"create_reference_table\('(\w+)'", DDL))
    placed |= set(re.findall(r"^-- stays here: (\w+)", DDL, re.M))
    assert all(f"`{table}`" in guide for table in placed)


@pytest.mark.parametrize("guide", GUIDES.values(), ids=GUIDES)
def test_settings_and_files_that_are_named_exist(guide):
    variables = set(re.findall(r"SAFEWEAVE_(\w+)", guide)) - {"PASSWORD", "TEST_STORE"}
    assert {name.lower() for name in variables} <= set(Settings.__dataclass_fields__)
    for name in re.findall(r"(?:tests/)?deploy/[\w./-]+\w", guide):
        assert (ROOT / name).exists(), name


def test_the_settings_that_are_explained_are_in_the_file():
    table = part(GUIDES["en"], "## Settings and why")
    names = [
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])
    ]
    assert len(names) > 10
    for name in names:
        assert re.search(rf"^(?:# )?{name} = ", CONF, re.M), name

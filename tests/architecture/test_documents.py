"""Pages that lead somewhere, name what exists, and say nothing about the machine they were written on."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from safeweave.main import COMMANDS, parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for folder in (ROOT, ROOT / "docs", ROOT / "examples", ROOT / "changelog.d")
    for page in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
)
KEPT = [".py", ".toml", ".md", ".sql", ".sh", ".html", ".yml", ".cfg", ""]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FIGURE = re.compile(r"<!-- figure:(\w+) -->(.*?)<!-- /figure -->", re.S)
# Nothing of the workshop belongs into the product: folders of a machine, package mirrors, and who built it.
FORBIDDEN = re.compile(
    r"(?<![\w.-])/(?:work|root|home/\w+|Users)/|\.\./sha" + r"red\b|pypi\.(?:org|python)|files\.pythonhosted", re.I
)

ids = {"ids": lambda path: str(path.relative_to(ROOT))}


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, **ids)
def test_every_link_leads_somewhere(page):
    broken = []
    for target in LINK.findall(without_code(re.sub(r"\[`[^`]*`([^\]]*)\]", r"[\1]", text_of(page)))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(text_of(found))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, **ids)
def test_every_page_can_be_reached(page):
    """From one of the READMEs, or from a page beside it."""
    if page.parent == ROOT or "changelog.d" in page.parts:
        return
    linking = [other for other in PAGES if other != page]
    assert any(
        (other.parent / target.partition("#")[0]).resolve() == page
        for other in linking
        for target in LINK.findall(text_of(other))
        if target and not re.match(r"[a-z]+:|#", target)
    )


def committed_texts() -> list[Path]:
    places = [ROOT / name for name in ("src", "tests", "docs", "examples", "changelog.d", ".ci")]
    found = [path for place in places for path in place.rglob("*") if path.is_file() and path.suffix in KEPT]
    found += [path for path in ROOT.iterdir() if path.is_file() and path.suffix in (".md", ".toml")] + [
        ROOT / "Makefile"
    ]
    return [path for path in found if "__pycache__" not in path.parts and path != Path(__file__)]


def test_nothing_tells_of_the_machine_it_was_written_on():
    found = []
    for path in committed_texts():
        try:
            lines = text_of(path).splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}:{n}" for n, line in enumerate(lines, start=1) if FORBIDDEN.search(line)]
    assert found == []


# ---------------------------------------------------------------- commands that pages name

SHELL = re.compile(r"^```(?:sh|bash|console)?\n(.*?)^```", re.M | re.S)
CALL = re.compile(r"^(?:\S*=\S+ )*(?:\.venv/bin/)?safeweave ((?!serve\b).+)$")


def called() -> list[str]:
    """Every command line of a code block in a page, without comments, pipes and redirections."""
    found = []
    for page in PAGES:
        for block in SHELL.findall(text_of(page)):
            for line in block.splitlines():
                call = CALL.match(line.strip())
                if call:
                    found.append(re.split(r"\s+[#<>|&]", call[1])[0].strip())
    return sorted(set(found))


@pytest.mark.parametrize("line", called())
def test_a_command_in_a_page_can_be_asked_for(line):
    words = [re.sub(r"^(?:TASK|N|NUMBER)$", "1", word) for word in shlex.split(line)]
    asked = parser("en").parse_args(words)
    assert asked.run


def test_the_pages_name_every_command():
    reference = text_of(ROOT / "docs/reference/commands.md")
    assert [command.name for command in COMMANDS if f"\n## {command.name}\n" not in reference] == []


# ---------------------------------------------------------------- both READMEs, glossary, changelog


def numbers_of(figures: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    return sorted((name, re.findall(r"\d+(?:[.,]\d+)*", text)) for name, text in figures)


def test_both_readmes_quote_the_same_figures():
    """The same numbers, each in the words of its language; and each figure once only, so that whoever measures again
    fills in one place a language."""
    english, chinese = (FIGURE.findall(text_of(ROOT / name)) for name in ("README.md", "README.zh-CN.md"))
    assert numbers_of(english) == numbers_of(chinese)
    assert len({name for name, _ in english}) == len(english) >= 8


def test_both_readmes_lead_to_the_same_pages_and_commands():
    english, chinese = (text_of(ROOT / name) for name in ("README.md", "README.zh-CN.md"))

    def pages(text: str) -> set[str]:
        return {target.replace(".zh-CN", "") for target in LINK.findall(text) if not target.startswith("README")}

    assert pages(english) == pages(chinese)
    assert english.count("\n## ") == chinese.count("\n## ")
    for command in ("make demo", "make test", "make bench"):
        assert command in english
        assert command in chinese


def glossary() -> list[list[str]]:
    rows = [line for line in text_of(ROOT / "docs/glossary.md").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize("row", glossary(), ids=lambda row: row[0].strip("`"))
def test_a_term_has_both_languages_and_is_used(row):
    term, chinese, english = row[0].strip("`"), row[1], row[2]
    assert re.search("[\u4e00-\u9fff]", chinese)
    assert re.search("[a-z]", english)
    assert re.search(rf"(?<![a-zA-Z]){re.escape(term)}", source(), re.I)


@cache
def source() -> str:
    return "\n".join(text_of(path) for path in (ROOT / "src" / "safeweave").rglob("*.py"))


def test_no_term_stands_twice():
    terms = [row[0] for row in glossary()]
    assert sorted(set(terms)) == sorted(terms)


FRAGMENTS = sorted(path for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md")


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda path: path.name)
def test_a_changelog_fragment_is_named_by_kind_and_says_the_same_twice(fragment):
    assert re.fullmatch(r"(added|changed|fixed|removed)(-[a-z0-9]+)+\.md", fragment.name)
    english, chinese = text_of(fragment).strip().split("\n\n")
    assert not re.search("[\u4e00-\u9fff]", english.replace("医保", ""))
    assert re.search("[\u4e00-\u9fff]", chinese)


def test_decisions_say_context_decision_and_consequences():
    pages = sorted((ROOT / "docs/decisions").glob("0*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        assert "**Decision.**" in text_of(page)
        assert "**Consequences.**" in text_of(page)
        assert page.name in text_of(ROOT / "docs/decisions/README.md")

"""The checklist of OWASP ASVS: complete against the standard's own list, counted, and naming only what exists."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/asvs.md"
STANDARD = ROOT / "tests/architecture/data/asvs_5_0_0.toml"
STATES = ("met", "part", "not met", "operator", "n/a")
NAMED = re.compile(r"`(\w[\w./-]+\.(?:py|toml|html|js|css|sql|lock|json))(?:::(\w+))?`")
PLACES = ("src/safeweave", "tests", "")  # where a file may be named from


class Row(NamedTuple):
    """One row of the checklist."""

    numbers: tuple[str, ...]
    levels: str
    asks: str
    state: str
    how: str


def standard() -> dict[str, int]:
    """Each requirement of the standard with its level."""
    sections = tomllib.loads(STANDARD.read_text(encoding="utf-8"))
    return {
        f"{section}.{n}": int(level) for section, levels in sections.items() for n, level in enumerate(levels, start=1)
    }


def numbers_in(cell: str) -> list[str]:
    """The requirements a cell names: `1.2.3`, `1.2.3–1.2.5`, or several with commas."""
    found = []
    for part in cell.split(", "):
        first, _, last = part.partition("–")
        section, _, begin = first.rpartition(".")
        found += [f"{section}.{n}" for n in range(int(begin), int((last or first).rpartition(".")[2]) + 1)]
    return found


def rows() -> list[Row]:
    lines = re.findall(
        r"^\| (\d+\.\d+\.[^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \| (.*) \|$", PAGE.read_text("utf-8"), re.M
    )
    return [Row(tuple(numbers_in(number)), *rest) for number, *rest in lines]


def counted() -> str:
    """How many requirements of each level are in which state, as a table."""
    levels, lines = (
        standard(),
        ["| level | met | part | not met | operator | n/a | all |", "|---|---|---|---|---|---|---|"],
    )
    states = {number: row.state for row in rows() for number in row.numbers}
    for level in (1, 2):
        mine = [state for number, state in states.items() if levels[number] == level]
        lines.append(f"| {level} | " + " | ".join(str(mine.count(state)) for state in STATES) + f" | {len(mine)} |")
    return "\n".join(lines) + "\n"


def test_the_list_of_the_standard_is_whole():
    levels = list(standard().values())
    assert [levels.count(level) for level in (1, 2, 3)] == [70, 183, 92]


def test_every_requirement_of_levels_1_and_2_is_answered_once():
    answered = [number for row in rows() for number in row.numbers]
    assert sorted(answered) == sorted(number for number, level in standard().items() if level < 3)


def test_every_row_says_its_level_its_state_and_how():
    levels = standard()
    for row in rows():
        assert row.levels == ", ".join(sorted({str(levels[number]) for number in row.numbers})), row.numbers
        assert row.state in STATES, row.numbers
        assert row.asks, row.numbers
        assert row.how, row.numbers
        if row.state in ("part", "not met"):
            assert re.search(r"To do|as 6\.3\.3|chosen|behind others", row.how), f"{row.numbers}: what is to be done?"


def test_the_states_are_counted():
    found = re.search(r"<!-- count -->\n(.*?)<!-- /count -->", PAGE.read_text("utf-8"), re.S)
    assert found is not None
    assert found[1] == counted()


@cache
def functions_of(file: Path) -> list[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("named", sorted(set(NAMED.findall(PAGE.read_text(encoding="utf-8")))), ids="::".join)
def test_every_file_and_test_that_is_named_is_there(named: tuple[str, str]):
    path, test = named
    files = [ROOT / place / path for place in PLACES if (ROOT / place / path).is_file()]
    if path.startswith("test_"):
        files = list((ROOT / "tests").rglob(path))
    assert len(files) == 1
    assert not test or f"test_{test}" in functions_of(files[0])

"""Who imports whom, and who may read the time, print or use a float."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "safeweave").rglob("*.py"))
PURE_MONEY = ("adjudication", "coverage", "payments", "facts.py", "money.py", "events.py", "cases/claim.py")
WAITING_TIMES = {"payments/banks/sandbox.py"}  # seconds may have decimals; there is no other number in it
READS_THE_TIME = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time"),
    ("time", "time_ns"), ("time", "sleep"), ("time", "monotonic"), ("time", "perf_counter"), ("time", "localtime"),
}  # fmt: skip


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def inside(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "safeweave").as_posix()


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call))


def test_packages_import_only_what_the_contracts_allow():
    found = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert found == EXIT_STATUS_SUCCESS, "run `lint-imports`"


def test_only_the_clock_reads_the_time():
    found = []
    for path in SOURCES:
        if inside(path) == "clock.py" or inside(path).startswith("commands/bench/"):  # the bench measures with its own
            continue
        for call in calls(path):
            function = call.func
            if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name | ast.Attribute):
                owner = function.value.id if isinstance(function.value, ast.Name) else function.value.attr
                if (owner, function.attr) in READS_THE_TIME:
                    found.append(f"{inside(path)}:{call.lineno}: {owner}.{function.attr}")
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                found.append(f"{inside(path)}:{node.lineno}: from time import ...")
    assert found == []


@pytest.mark.parametrize("start", PURE_MONEY)
def test_no_amount_is_ever_a_float(start):
    """Neither a float written out, nor `float`, nor a true division."""
    found = [
        f"{inside(path)}:{node.lineno}"
        for path in SOURCES
        if inside(path).startswith(start) and inside(path) not in WAITING_TIMES
        for node in ast.walk(parsed(path))
        if is_float(node)
    ]
    assert found == []


def is_float(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=float()):
            return True
        case ast.Name(id="float"):
            return True
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return not any(_is_a_path(side) for side in (left, right))
        case ast.AugAssign(op=ast.Div()):
            return True
    return False


def _is_a_path(side: ast.expr) -> bool:
    is_text = isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
    return is_text or any(word in ast.unparse(side) for word in ("folder", "path", "outbox", "inbox"))


def test_only_commands_print():
    """Other packages write to the stream they are handed."""
    # `python -m` entries, and one that shows what was asked for
    scripts = {"telling/reasons.py", "telling/letters.py", "ledger/chain/__main__.py"}
    found = [
        f"{inside(path)}:{call.lineno}"
        for path in SOURCES
        if not inside(path).startswith(("commands/", "main.py")) and inside(path) not in scripts
        for call in calls(path)
        if ast.unparse(call.func) == "print" and not any(keyword.arg == "file" for keyword in call.keywords)
    ]
    assert found == []


def test_every_package_says_what_it_does_and_where_to_begin():
    found = [inside(path) for path in SOURCES if not ast.get_docstring(parsed(path))]
    assert found == []

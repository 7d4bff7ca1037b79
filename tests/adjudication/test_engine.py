"""The engine's version covers everything that takes part in a decision."""

import ast
from importlib.util import find_spec
from pathlib import Path

from safeweave.adjudication.engine import DECIDING_MODULES, ENGINE_VERSION


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def imported_by(module: str) -> set[str]:
    """The modules of this project that a module imports."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("safeweave."):
            names = {f"{node.module}.{name.name}" for name in node.names}
            submodules = {name for name in names if is_module(name)}
            found |= submodules or {str(node.module)}
    return found


BY_THE_RULES, BY_A_PERSON = "safeweave.adjudication.steps", "safeweave.adjudication.adjusting"
BY_AN_UNDO = "safeweave.adjudication.restoring"


def test_every_module_that_a_decision_reads_is_part_of_the_version():
    reached, waiting = set(), [BY_THE_RULES, BY_A_PERSON, BY_AN_UNDO]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += imported_by(module)
    named = {f"{package}.{file.removesuffix('.py')}" for package, files in DECIDING_MODULES.items() for file in files}
    assert reached - {"safeweave.errors", "safeweave.words"} == named  # these say what is wrong, and decide nothing


def test_the_version_is_a_digest():
    assert len(ENGINE_VERSION) == 64
    assert set(ENGINE_VERSION) <= set("0123456789abcdef")

"""The figures of a product file (deductibles, ratios, limits, days) by name, and the file with some changed. Pure.

A figure is named by its place in the file: `deductible[0].yuan`, `ratio[0].rows[1].rate`.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Literal

from safeweave.coverage.form import Step, shown
from safeweave.coverage.product import BLOCK_KINDS, parse_product
from safeweave.errors import Malformed, NotFound
from safeweave.facts import Fact

Unit = Literal["yuan", "rate", "count"]

_YUAN, _RATES = frozenset({"yuan", "daily_yuan"}), frozenset({"rate"})
_FIRST = ("deductible", "ratio", "limit", "allowance", "lump_sum", "bed_cap")  # what people ask about most


class Figure(Fact, frozen=True):
    """One figure as it stands; `block` and `clause` are those of the dated block it is in."""

    name: str
    kind: str  # deductible, ratio, ...
    key: str  # yuan, rate, tail_days, ...
    unit: Unit
    value: str
    block: str
    clause: str
    from_day: date
    basis: str = ""
    of: tuple[
        tuple[str, str], ...
    ] = ()  # where several stand in one block: what the file says beside it, key and value
    is_rest: bool = False  # the last of several rows, for all that no other row is for


def figures(text: str) -> list[Figure]:
    """The figures of a product file, those that move most first. Malformed if it is none."""
    parse_product(text, "product")
    document = tomllib.loads(text)
    kinds = [*_FIRST, *(kind for kind in BLOCK_KINDS if kind not in _FIRST)]
    return [
        figure
        for kind in kinds
        for place, block in enumerate(document.get(kind, ()))
        for figure in _figures_in(kind, place, block)
    ]


def _figures_in(kind: str, place: int, block: Mapping[str, Any]) -> Iterator[Figure]:
    rows = block.get("rows", ())
    for path, value, beside in _numbers(block):
        key = str(path[-1])
        unit: Unit = "yuan" if key in _YUAN else "rate" if key in _RATES else "count"
        yield Figure(
            shown((kind, place, *path)), kind, key, unit, str(value), block["id"], block["clause"], block["from"],
            str(block.get("basis", "")), beside, len(rows) > 1 and len(path) > 1 and not beside,
        )  # fmt: skip


Beside = tuple[tuple[str, str], ...]


def _numbers(
    table: Mapping[str, Any], path: tuple[Step, ...] = (), beside: Beside = ()
) -> Iterator[tuple[tuple[Step, ...], Any, Beside]]:
    for key, value in table.items():
        if key in _YUAN | _RATES or type(value) is int:
            yield (*path, key), value, beside
        elif isinstance(value, list):
            for place, row in enumerate(value):
                if isinstance(row, dict):
                    says = [(name, _said(row[name])) for name in row if name not in _YUAN | _RATES]
                    yield from _numbers(
                        row, (*path, key, place), tuple(said for said in says if not said[1].isdecimal())
                    )


def _said(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def changed(text: str, values: Mapping[str, str]) -> str:
    """The product file with these figures, by name; its comments are gone.

    Raises NotFound for a name that is no figure of it, Malformed (its `field` is the name) for what cannot stand there.
    """
    known = {figure.name: figure for figure in figures(text)}
    document = tomllib.loads(text)
    for name, value in values.items():
        if name not in known:
            raise NotFound(f"the product has no figure {name}")
        whole = known[name].unit == "count"
        if whole and not (value.isascii() and value.isdecimal() and len(value) < 10):
            raise Malformed(f'"{value}" is no whole number', field=name)
        _put(document, name, int(value) if whole else value)
    written = toml(document)
    parse_product(written, "product")
    return written


def _put(document: dict[str, Any], name: str, value: str | int) -> None:
    """Put a value where `shown` says."""
    there: Any = document
    *way, last = [
        int(step) if step.isdecimal() else step for step in name.replace("[", ".").replace("]", "").split(".")
    ]
    for step in way:
        there = there[step]
    there[last] = value


def toml(document: Mapping[str, Any]) -> str:
    """A product document as TOML: what is read from it is the document again."""
    plain = [f"{key} = {_value(value)}" for key, value in document.items() if not _is_tables(value)]
    for key, blocks in document.items():
        if _is_tables(blocks):
            for block in blocks:
                plain += ["", f"[[{key}]]", *(f"{name} = {_value(value)}" for name, value in block.items())]
    return "\n".join([*plain, ""])


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_value(each)}' for key, each in value.items())} }}"
    return str(value)

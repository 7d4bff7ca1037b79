"""Puts what `safeweave bench --json` measured into docs/reference/bench.md, between its marks.

    make bench ARGS=--json > measured.json
    python -m tests.bench.write_measured measured.json [grown.json ...]

Figures of later files stand below those of earlier ones.
"""

import json
import platform
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from safeweave import __version__
from safeweave.clock import now, shanghai_day
from safeweave.commands.bench import MORE_IS_BETTER, Figure, _short
from safeweave.words import knows, say

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "bench.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"

Entry = dict[str, Any]
_DECIDING = ("name", "value", "unit", "baseline", "target", "ratio_target")


def measured(entries: Sequence[Entry], on: date, machine: str) -> str:
    """The tables of these figures, as Markdown."""
    lines = [
        f"Version {__version__}, {machine}, {on}. `×` is value by baseline; **bold** misses its floor.",
        "",
        "| name | engine | value | floor | aim | baseline | × |",
        "|---|---|---|---|---|---|---|",
        *map(_row, entries),
    ]
    for entry in entries:
        if "parts" in entry:
            engine = f", {_engine(entry)}" if "engine" in entry else ""
            lines += ["", f"`{entry['name']}`{engine}:", "", "| of which | value | share |", "|---|---|---|"]
            for part, value in entry["parts"].items():
                name = say(f"bench.part.{part}", "en") if knows(f"bench.part.{part}") else f"`{part}`"
                lines.append(f"| {name} | {_with_unit(value, entry)} | {value / entry['value']:.1%} |")
    return "\n".join(lines)


def _row(entry: Entry) -> str:
    sign = "≥" if entry["unit"] in MORE_IS_BETTER else "≤"
    floors = [f"{sign} {_with_unit(entry['target'], entry)}"] if "target" in entry else []
    if "ratio_target" in entry:
        floors.append(f"≤ {_short(entry['ratio_target'])} ×")
    value = _with_unit(entry["value"], entry)
    cells = (
        f"`{entry['name']}`",
        _engine(entry),
        value if _figure(entry).is_met else f"**{value}**",
        " ".join(floors),
        _with_unit(entry["aim"], entry) if "aim" in entry else "",
        "" if entry["baseline"] is None else _with_unit(entry["baseline"], entry),
        "" if entry["ratio"] is None else _short(entry["ratio"]),
    )
    return f"| {' | '.join(cells)} |"


def _figure(entry: Entry) -> Figure:
    """The figure this was written from, as far as it says whether it is met."""
    return msgspec.convert({name: entry[name] for name in _DECIDING if name in entry}, Figure)


def _with_unit(value: float, entry: Entry) -> str:
    unit = say(f"bench.unit.{entry['unit']}", "en")
    return f"{_short(value)} {unit}"


def _engine(entry: Entry) -> str:
    return say(f"bench.engine.{entry['engine']}", "en") if "engine" in entry else ""


def _machine() -> str:
    """What it was measured on, as far as the system says."""
    cpus = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in cpus.read_text().splitlines() if line.startswith("model name")]
    return f"{len(models)} × {models[0] if models else platform.processor()}, Python {platform.python_version()}"


def main(files: Sequence[str]) -> None:
    """Write the figures of these files into the page."""
    entries = [entry for file in files for entry in json.loads(Path(file).read_text(encoding="utf-8"))]
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(
        f"{before}{BEGIN}\n{measured(entries, shanghai_day(now()), _machine())}\n{END}{after}", encoding="utf-8"
    )


if __name__ == "__main__":
    main(sys.argv[1:])

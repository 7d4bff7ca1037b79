"""`safeweave bench`: measures the node against baselines of the same run, in a folder of its own."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from safeweave.commands.bench.figures import MEASURES, QUICK, Bench, Counts, Figure
from safeweave.commands.screen import console, print_json
from safeweave.errors import NotFound
from safeweave.settings import Settings
from safeweave.words import Language, say


def bench(settings: Settings, asked: argparse.Namespace) -> int:
    """Measure everything and print it as a table, or with --json as one list. NotFound if there is no such data."""
    if asked.data is not None and not asked.data.exists():
        raise NotFound(say("bench.no_data", settings.language, path=asked.data))
    figures = measured(settings.home, QUICK if asked.quick else Counts(), asked.data, settings.language)
    if asked.json:
        print_json([as_json(figure) for figure in figures])
    else:
        _print(figures, settings.language)
    return 0


def measured(home: Path, counts: Counts, data: Path | None, language: Language) -> list[Figure]:
    """All figures, measured in a folder beside `home`, so on the same disk, which is gone afterwards."""
    beside = next(folder for folder in home.absolute().parents if folder.is_dir())
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix=".safeweave-bench-", dir=beside) as folder:
        run = Bench(Path(folder), counts, data.absolute() if data else None)
        with Console(stderr=True).status("") as status:
            for measure in MEASURES:
                status.update(say(f"bench.measuring.{measure.__name__}", language))
                figures += measure(run)
    return figures


def as_json(figure: Figure) -> dict[str, Any]:
    """The figure as programs read it; `target` only where there is one."""
    fields = {
        "name": figure.name,
        "value": round(figure.value, 3),
        "unit": figure.unit,
        "baseline": None if figure.baseline is None else round(figure.baseline, 3),
        "ratio": None if figure.ratio is None else round(figure.ratio, 4),
    }
    return fields if figure.target is None else {**fields, "target": figure.target}


def _print(figures: Sequence[Figure], language: Language) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("figure", "value", "target", "baseline", "ratio"):
        table.add_column(
            say(f"bench.column.{column}", language), justify="left" if column == "figure" else "right", overflow="fold"
        )
    for figure in figures:
        unit = say(f"bench.unit.{figure.unit}", language)
        baseline = "" if figure.baseline is None else f"{_short(figure.baseline)} {unit}"
        ratio = "" if figure.ratio is None else f"{_short(figure.ratio)} ×"
        table.add_row(
            say(f"bench.figure.{figure.name}", language),
            f"{_short(figure.value)} {unit}",
            " ".join(_targets(figure, unit)),
            baseline,
            ratio,
        )
    out = console()
    out.print(table)
    out.print(say("bench.read", language))
    if any(figure.name.startswith("feed_sample") for figure in figures):
        out.print(say("bench.sample", language))
    elif not any(figure.name.startswith("feed") for figure in figures):
        out.print(say("bench.no_sample", language))


def _targets(figure: Figure, unit: str) -> list[str]:
    found = [] if figure.target is None else [f"≤ {_short(figure.target)} {unit}"]
    return found if figure.ratio_target is None else [*found, f"≤ {_short(figure.ratio_target)} ×"]


def _short(value: float) -> str:
    """Three digits that count: 0.0123, 1.23, 12.3, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"

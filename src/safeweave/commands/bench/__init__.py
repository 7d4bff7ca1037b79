"""`safeweave bench`: measures the node against baselines of the same run, in stores of its own."""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from safeweave.commands.bench.arriving import idle, statements
from safeweave.commands.bench.decisions import bulk, deciding, telling_again
from safeweave.commands.bench.disk import size
from safeweave.commands.bench.durable import closed, durable, profile, simple_updates
from safeweave.commands.bench.figure import MORE_IS_BETTER, QUICK, Counts, Figure
from safeweave.commands.bench.files import feeding
from safeweave.commands.bench.filing import filing
from safeweave.commands.bench.grown import growth
from safeweave.commands.bench.knocking import doors
from safeweave.commands.bench.ledgers import ledger, proofs
from safeweave.commands.bench.looking import pages
from safeweave.commands.bench.sealing import sealing
from safeweave.commands.bench.stores import Bench
from safeweave.commands.bench.streaming import streams
from safeweave.commands.screen import console, print_json
from safeweave.errors import NotFound
from safeweave.settings import Settings
from safeweave.words import Language, knows, say


class Measure(NamedTuple):
    """A measurement, by the names of the figures it can give; one that `is_long` is made only if it is named."""

    run: Callable[[Bench], list[Figure]]
    gives: tuple[str, ...]
    is_long: bool = False


MEASURES = (
    Measure(deciding, ("decide_10_lines",)),
    Measure(statements, ("statements_bill_to_instruction",)),
    Measure(idle, ("idle_bill_to_instruction_p50", "idle_bill_to_instruction_p99")),
    Measure(durable, ("durable_claims_per_second", "statements_per_claim_under_load", "cpu_per_claim")),
    Measure(closed, ("closed_claims_per_second",)),
    Measure(simple_updates, ("pgbench_simple_updates_per_second",)),
    Measure(
        doors,
        ("door_claims_per_second", "half_load_bill_to_instruction_p50", "half_load_bill_to_instruction_p99"),
    ),
    Measure(size, ("bytes_per_closed_case", "bytes_per_insured")),
    Measure(profile, ("time_of_a_claim", "hottest_functions")),
    Measure(bulk, ("bulk_readjudications_per_cpu_second", "plain_readjudications_per_cpu_second")),
    Measure(telling_again, ("letter_html", "letter_pdf", "replay_determinations_per_second")),
    Measure(feeding, ("feed_seconds", "feed_peak_memory", "feed_sample_seconds", "feed_sample_peak_memory")),
    Measure(
        ledger,
        ("ledger_consents_per_second", "ledger_nullifiers_per_second", "ledger_commit_alone_p50"),
    ),
    Measure(proofs, ("ledger_proof", "ledger_proof_check", "ledger_path_large_log")),
    Measure(sealing, ("sealed_record_std_1", "sealed_record_gm_1")),
    Measure(filing, ("filed_bill_to_instruction_p50", "filed_bill_to_instruction_p95")),
    Measure(
        pages,
        (
            "page_p95",
            "page_p95_fifty_examiners",
            "lock_wait_fifty_examiners",
            "first_page_bytes",
            "live_update_p50",
            "live_update_p95",
        ),
    ),
    Measure(
        streams,
        ("streams_memory", "streams_memory_growth", "streams_idle_cpu", "streams_busy_cpu"),
        is_long=True,
    ),
    Measure(growth, ("grown_claims_per_second", "growth_ratio"), is_long=True),
)


def bench(settings: Settings, asked: argparse.Namespace) -> int:
    """Measure and print it as a table, or with --json as one list. NotFound if there is no such data or figure."""
    if asked.data is not None and not asked.data.exists():
        raise NotFound(say("bench.no_data", settings.language, path=asked.data))
    chosen = [measure for measure in MEASURES if _is_asked_for(measure, asked)]
    if not chosen:
        names = ", ".join(name for measure in MEASURES for name in measure.gives)
        raise NotFound(say("bench.no_figure", settings.language, name=asked.only, names=names))
    run = Bench(
        settings.home, QUICK if asked.quick else Counts(), asked.data.absolute() if asked.data else None,
        asked.database or "", asked.feeders, asked.batch, asked.grown or 0, settings.language,
    )  # fmt: skip
    figures = measured(run, chosen)
    if asked.json:
        print_json([as_json(figure) for figure in figures])
    else:
        _print(figures, run)
    return 0


def _is_asked_for(measure: Measure, asked: argparse.Namespace) -> bool:
    if asked.grown or measure.run is growth:
        return bool(asked.grown) and measure.run is growth
    if asked.only:
        return any(name.startswith(tuple(asked.only.split(","))) for name in measure.gives)
    return not measure.is_long


def measured(run: Bench, chosen: Sequence[Measure]) -> list[Figure]:
    """The figures, measured in a folder beside the home of `run`, so on the same disk, which is gone afterwards."""
    beside = next(folder for folder in run.home.absolute().parents if folder.is_dir())
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix=".safeweave-bench-", dir=beside) as folder,
        Console(stderr=True).status("") as status,
    ):
        inside = replace(run, home=Path(folder), tell=status.update)
        for measure in chosen:
            inside.tell(say(f"bench.measuring.{measure.run.__name__}", run.language))
            figures += measure.run(inside)
    if not run.server:
        run.remark("bench.only_embedded")
    return figures


def as_json(figure: Figure) -> dict[str, Any]:
    """The figure as programs read it; after the first five fields only what there is."""
    fields = {
        "name": figure.name,
        "value": round(figure.value, 3),
        "unit": figure.unit,
        "baseline": None if figure.baseline is None else round(figure.baseline, 3),
        "ratio": None if figure.ratio is None else round(figure.ratio, 4),
        "engine": figure.engine,
        "target": figure.target,
        "aim": figure.aim,
        "ratio_target": figure.ratio_target,
        "parts": {name: round(value, 3) for name, value in figure.parts.items()} or None,
    }
    return {name: value for place, (name, value) in enumerate(fields.items()) if place < 5 or value is not None}


def _print(figures: Sequence[Figure], run: Bench) -> None:
    language = run.language
    table = _table(language, "figure", "engine", "value", "target", "aim", "baseline", "ratio")
    for figure in figures:
        unit = say(f"bench.unit.{figure.unit}", language)
        table.add_row(
            say(f"bench.figure.{figure.name}", language),
            say(f"bench.engine.{figure.engine}", language) if figure.engine else "",
            ("" if figure.is_met else "[bold red]") + f"{_short(figure.value)} {unit}",
            " ".join(_targets(figure, unit)),
            "" if figure.aim is None else f"{_short(figure.aim)} {unit}",
            "" if figure.baseline is None else f"{_short(figure.baseline)} {unit}",
            "" if figure.ratio is None else f"{_short(figure.ratio)} ×",
        )
    out = console()
    out.print(table)
    for figure in figures:
        if figure.parts:
            out.print(_parts(figure, language))
    out.print(say("bench.read", language))
    for remark in run.remarks:
        out.print(remark)


def _parts(figure: Figure, language: Language) -> Table:
    """What a figure is made of, part by part."""
    unit = say(f"bench.unit.{figure.unit}", language)
    engine = f" · {say(f'bench.engine.{figure.engine}', language)}" if figure.engine else ""
    table = _table(language, "part", "value", "share")
    table.title, table.title_justify = say(f"bench.figure.{figure.name}", language) + engine, "left"
    table.min_width = len(str(table.title)) + 2
    for name, value in figure.parts.items():
        word = f"bench.part.{name}"
        share = value / figure.value if figure.value else 0
        table.add_row(say(word, language) if knows(word) else name, f"{_short(value)} {unit}", f"{share:.1%}")
    return table


def _table(language: Language, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: Any = "left" if column in ("figure", "engine", "part") else "right"
        table.add_column(say(f"bench.column.{column}", language), justify=justify, overflow="fold")
    return table


def _targets(figure: Figure, unit: str) -> list[str]:
    sign = "≥" if figure.unit in MORE_IS_BETTER else "≤"
    found = [] if figure.target is None else [f"{sign} {_short(figure.target)} {unit}"]
    return found if figure.ratio_target is None else [*found, f"≤ {_short(figure.ratio_target)} ×"]


def _short(value: float) -> str:
    """Three digits that count: 0.0123, 1.23, 12.3, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"

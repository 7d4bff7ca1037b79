"""`safeweave what-if`: stored claims decided again, by today's engine or changed products, and what that would move."""

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from safeweave import clock
from safeweave.commands.screen import console, print_json
from safeweave.coverage.form import utf8
from safeweave.database import Database
from safeweave.errors import Malformed, NotFound, Unavailable
from safeweave.money import yuan_shown
from safeweave.settings import Settings
from safeweave.words import Language, say

if TYPE_CHECKING:
    from safeweave.bulk.preview import Preview
    from safeweave.bulk.run import Answer

MOST_REASONS = 12  # shown; the JSON has all


def extract(settings: Settings, asked: argparse.Namespace) -> int:
    """Write the stored determinations as columns, or go on with an extract that was interrupted."""
    with _columns(settings.language):
        from safeweave.bulk import extract as extracting
    language, folder = settings.language, asked.to or _folder(settings)
    store = settings.store
    if isinstance(store, Path) and not store.exists():
        raise NotFound(say("bulk.extract.no_store", language, store=store))
    if asked.anew and (folder / extracting.MANIFEST).exists():
        shutil.rmtree(folder)
    database = Database(store)
    try:
        with _progress(language) as bar:
            task = bar.add_task(say("bulk.extract.writing", language), total=None, moved="")

            def told(manifest: extracting.Manifest) -> None:
                bar.update(task, completed=manifest.claims)

            manifest = extracting.extract(database, _name_of(store), folder, clock.now(), told)
    except OSError as error:
        raise Unavailable(say("bulk.not_written", language, folder=folder, why=error.strerror or error)) from error
    finally:
        database.close()
    if asked.json:
        print_json(
            {"folder": str(folder), "claims": manifest.claims, "parts": len(manifest.parts), "as_of": manifest.as_of}
        )
    else:
        told_at = manifest.as_of.astimezone(clock.SHANGHAI).strftime("%Y-%m-%d %H:%M")
        values = {"folder": folder, "claims": f"{manifest.claims:,}", "parts": len(manifest.parts), "as_of": told_at}
        print(say("bulk.extract.done", language, **values))
    return 0


def run(settings: Settings, asked: argparse.Namespace) -> int:
    """Decide the claims of an extract again and show what would move; nothing in the store changes."""
    with _columns(settings.language):
        from safeweave.bulk import run as running
        from safeweave.bulk.extract import complete_manifest_in
    language, folder = settings.language, (asked.extract or _folder(settings)).absolute()
    changed = tuple((path.name, utf8(path.read_bytes(), str(path))) for path in asked.product or ())
    running.changed_products(changed)
    question = running.Question(str(folder), changed, _day(asked.from_day, language))
    manifest = complete_manifest_in(folder)
    to = asked.to or folder.parent / f"run-{running.digest_of(question, manifest)[:10]}"
    with _progress(language) as bar:
        task = bar.add_task(say("bulk.run.deciding", language), total=len(manifest.parts), moved="")

        def told(answer: "Answer") -> None:
            total = answer.preview.total
            moved = _signed(total.after_fen - total.before_fen)
            bar.update(task, completed=answer.done, moved=say("bulk.run.so_far", language, moved=moved))

        answer = running.run(question, to, asked.engine, asked.jobs or os.cpu_count() or 1, told)
    if asked.json:
        print_json(
            {"folder": str(to), **msgspec.to_builtins(answer), "total": msgspec.to_builtins(answer.preview.total)}
        )
    else:
        _print(answer, to, language)
    return 0


@contextmanager
def _columns(language: Language) -> Iterator[None]:
    """Says what to install where the columns cannot be read."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if missing.name not in ("numpy", "pyarrow"):
            raise
        raise Unavailable(say("bulk.not_installed", language, name=missing.name)) from None


def _folder(settings: Settings) -> Path:
    return settings.home / "what-if" / "extract"


def _name_of(store: Path | str) -> str:
    """What names a store in an extract; never its password."""
    if isinstance(store, Path):
        return str(store.resolve())
    address = urlsplit(store)
    return f"postgresql://{address.hostname or ''}:{address.port or 5432}{address.path}"


def _day(text: str | None, language: Language) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Malformed(say("cli.policies.no_day", language, text=text), field="--from") from None


@contextmanager
def _progress(language: Language) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[moved]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield bar


# ---------------------------------------------------------------- what people read


def _print(answer: "Answer", to: Path, language: Language) -> None:
    out, preview = console(), answer.preview
    out.print(_products(preview, language))
    if preview.moved:
        out.print(_moves(preview, language))
    if any(before != after for before, after in preview.reasons.values()):
        out.print(_reasons(preview, language))
    total = preview.total
    out.print(
        say(
            "bulk.run.sum", language, claims=f"{total.claims:,}", changed=f"{total.changed:,}",
            moved=_signed(total.after_fen - total.before_fen),
        )
    )  # fmt: skip
    plainly = sum(count for how, count in preview.how.items() if how not in ("columns", "stands", "kept"))
    if plainly:
        out.print(say("bulk.run.plainly", language, count=f"{plainly:,}"))
    out.print(say("bulk.run.kept", language, folder=to))


def _table(language: Language, *columns: str) -> Table:
    """An empty table; all columns but the first hold numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(say(f"bulk.column.{column}", language), justify="right" if number else "left", overflow="fold")
    return table


def _products(preview: "Preview", language: Language) -> Table:
    table = _table(language, "product", "claims", "changed", "more", "less", "before", "after", "moved")
    rows = sorted(preview.products.items())
    if len(rows) > 1:
        rows.append((say("bulk.total", language), preview.total))
    for name, sums in rows:
        counts = (sums.claims, sums.changed, sums.paid_more, sums.paid_less)
        moved = _signed(sums.after_fen - sums.before_fen)
        amounts = (yuan_shown(sums.before_fen), yuan_shown(sums.after_fen), moved)
        table.add_row(name, *(f"{count:,}" for count in counts), *amounts)
    return table


def _moves(preview: "Preview", language: Language) -> Table:
    table = _table(language, "decided", "claims")
    for move, count in sorted(preview.moved.items(), key=lambda entry: -entry[1]):
        before, after = (say(f"decisions.{decision}", language) for decision in move.split(">"))
        table.add_row(f"{before} → {after}", f"{count:,}")
    return table


def _reasons(preview: "Preview", language: Language) -> Table:
    """What was cut and would be, by reason: those that move most first."""
    table = _table(language, "reason", "before", "after", "moved")
    rows = sorted(preview.reasons.items(), key=lambda entry: (-abs(entry[1][1] - entry[1][0]), -entry[1][0]))
    for reason, (before, after) in rows[:MOST_REASONS]:
        name = say(f"reasons.{reason}.short", language)
        table.add_row(name, yuan_shown(before), yuan_shown(after), _signed(after - before))
    return table


def _signed(fen: int) -> str:
    """An amount with its sign; a plain 0.00."""
    return f"{'+' if fen > 0 else ''}{yuan_shown(fen)}"

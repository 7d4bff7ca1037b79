"""Showing things in a terminal: tables that keep their columns with Chinese text, and one JSON object for machines."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from safeweave.words import Language, say


def console() -> Console:
    """Where people read; wide enough not to fold when it is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    print(json.dumps(value, ensure_ascii=False, default=str))


def print_table(
    language: Language, columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str, **values: object
) -> None:
    """A table whose headings are catalogue keys, or the sentence `empty`, with its values, if it has no rows."""
    rows = list(rows)
    if not rows:
        print(say(empty, language, **values))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(say(column, language), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console().print(table)

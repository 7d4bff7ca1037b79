"""Parts of an extract as folders of Parquet files, one file a table: facts as decided on, and what was determined.

A part is written beside its place and renamed, so it is there whole or not at all. `facts.SCHEMAS` lists the columns of
the facts; days, reasons and the like stand in words, so that other tools can read the files too.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from safeweave.adjudication.reasons import DECISIONS, PAYEES
from safeweave.bulk.facts import SCHEMAS, Words, whole_of
from safeweave.bulk.results import CLAIMS, FINAL, NONE, REASONS, TABLES_OF, Columns, Results, Texts
from safeweave.coverage.usage import TABLES

_EPOCH = 719_163  # the day number of 1970-01-01
_WORDS: dict[str, tuple[str, ...]] = {
    "decision": DECISIONS,
    "final": FINAL,
    "reason": REASONS,
    "payee": PAYEES,
    "table": TABLES,
}
_DAYS = ("period", "scope")  # 0: none
_DETERMINED = "determined"  # before the names of the tables of results


def write_part(place: Path, facts: Mapping[str, pa.Table], results: Results) -> None:
    """Writes a part. What a part that was given up left behind is taken away; OSError if the disk takes no more."""
    files = dict(facts) | {f"{_DETERMINED}-{name}": table for name, table in tables_of_results(results).items()}
    write_folder(place, files)


def write_folder(place: Path, files: Mapping[str, pa.Table]) -> None:
    """Writes tables as Parquet files of a folder that is there whole or not at all."""
    beside = place.with_name(f".{place.name}.unfinished")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name, table in files.items():
        pq.write_table(table, beside / f"{name}.parquet", compression="zstd")
    shutil.rmtree(place, ignore_errors=True)
    beside.rename(place)


def read_facts(place: Path) -> dict[str, pa.Table]:
    """The tables of facts of a part."""
    return {
        name: _read(place / f"{name}.parquet", [field.name for field in schema if pa.types.is_dictionary(field.type)])
        for name, schema in SCHEMAS.items()
    }


def read_results(place: Path) -> Results:
    """What was determined of the claims of a part."""
    texts = Texts()

    def columns(name: str, kinds: Mapping[str, type]) -> Columns:
        words = [column.removesuffix("_text") for column in kinds if column in _WORDS or column.endswith("_text")]
        table = _read(place / f"{_DETERMINED}-{name}.parquet", words)
        return {column: _numbers(table, column, kind, texts) for column, kind in kinds.items()}

    claims = columns("claims", CLAIMS)
    return Results(claims, {name: columns(name, kinds) for name, kinds in TABLES_OF.items()}, texts)


def _read(path: Path, words: Sequence[str]) -> pa.Table:
    with pq.ParquetFile(path, read_dictionary=words) as file:
        return file.read(use_threads=False)


def tables_of_results(results: Results) -> dict[str, pa.Table]:
    """Results as tables, numbers of words as words and day numbers as days."""

    def table(columns: Columns) -> pa.Table:
        return pa.table(
            {name.removesuffix("_text"): _column(name, values, results.texts) for name, values in columns.items()}
        )

    return {"claims": table(results.claims)} | {name: table(columns) for name, columns in results.tables.items()}


def _column(name: str, values: npt.NDArray[Any], texts: Texts) -> pa.Array:
    if name in _WORDS:
        return pa.DictionaryArray.from_arrays(pa.array(values), pa.array(_WORDS[name]))
    if name.endswith("_text"):
        missing = values == NONE
        numbers = pa.array(values, mask=missing) if missing.any() else pa.array(values)
        return pa.DictionaryArray.from_arrays(numbers, pa.array(texts.texts, pa.string()))
    if name in _DAYS:
        return pa.array(values - np.int32(_EPOCH), pa.int32(), mask=values == 0).view(pa.date32())
    return pa.array(values)


def _numbers(table: pa.Table, name: str, kind: type, texts: Texts) -> npt.NDArray[Any]:
    column = table[name.removesuffix("_text")]
    if name in _WORDS:
        words = Words(column)
        return np.array([*(_WORDS[name].index(text) for text in words.texts), NONE], kind)[words.at]
    if name.endswith("_text"):
        words = Words(column)
        return np.array([*(texts.number(text) for text in words.texts), NONE], kind)[words.at]
    whole = whole_of(column)
    if name in _DAYS:
        days: npt.NDArray[Any] = whole.view(pa.int32()).fill_null(-_EPOCH).to_numpy(zero_copy_only=False) + np.int32(
            _EPOCH
        )
        return days
    values: npt.NDArray[Any] = whole.to_numpy(zero_copy_only=False)
    return values

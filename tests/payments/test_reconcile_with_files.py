"""Reconciling with a statement that came as a file, when the bank itself does not answer."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from safeweave.errors import Malformed
from safeweave.money import Fen
from safeweave.payments import iso20022
from safeweave.payments.bank import StatementEntry
from safeweave.payments.reconcile import Filed

OURS = iso20022.Debtor("示例保险股份有限公司", "3310010000000000001", "102332000001")
NOW = datetime(2026, 3, 6, 8, tzinfo=UTC)
ENTRIES = [
    StatementEntry("L1", "receipt", "", Fen(100_000_000), date(2026, 3, 1)),
    StatementEntry("L2", "payment", "pay_1", Fen(-238_185), date(2026, 3, 6)),
]


def statement_file(folder: Path, name: str) -> Path:
    file = folder / name
    file.write_bytes(iso20022.write_statement("S1", OURS, NOW, date(2026, 3, 1), date(2026, 3, 6), Fen(0), ENTRIES))
    return file


def test_the_lines_of_a_statement_file_are_the_banks_lines(tmp_path: Path) -> None:
    entries = Filed([statement_file(tmp_path, "a.xml")]).statement(date.min, date.max)
    assert [(entry.key, entry.amount) for entry in entries] == [("", 100_000_000), ("pay_1", -238_185)]


def test_two_files_that_hold_the_same_line_count_it_once(tmp_path: Path) -> None:
    files = [statement_file(tmp_path, "a.xml"), statement_file(tmp_path, "b.xml")]
    assert len(Filed(files).statement(date.min, date.max)) == 2


def test_only_the_days_asked_for_are_told(tmp_path: Path) -> None:
    entries = Filed([statement_file(tmp_path, "a.xml")]).statement(date(2026, 3, 6), date(2026, 3, 6))
    assert [entry.key for entry in entries] == ["pay_1"]


def test_a_file_that_is_no_statement_is_refused_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "other.xml"
    file.write_text("<Document/>", encoding="utf-8")
    with pytest.raises(Malformed) as refused:
        Filed([file]).statement(date.min, date.max)
    assert str(file) in str(refused.value)

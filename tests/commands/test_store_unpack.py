"""`safeweave store unpack`: what is packed in a row is shown as the text it is."""

import io

import pytest

from given import CLEAN_STAY
from safeweave.database import packed
from safeweave.main import main


def test_packed_values_are_shown_as_the_text_they_are(house, monkeypatch, capsys):
    house.hears(*CLEAN_STAY)
    rows = house.rows("select payload from event order by id")
    ((kept,),) = house.rows("select kept from determination")
    lines = [*(value.hex().upper() for (value,) in rows), f"\\x{kept.hex()}"]  # as sqlite3 and as psql print them
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    assert main(["store", "unpack"]) == 0
    shown = capsys.readouterr().out
    assert '"type":"BillIssued"' in shown
    assert '"payable":45000' in shown


def test_values_from_before_there_was_packing_are_shown_too(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(b'{"a":1}'.hex()))
    assert main(["store", "unpack"]) == 0
    assert capsys.readouterr().out == '{"a":1}\n'


@pytest.mark.parametrize("line", ["no hex", (packed(b"{}")[:-1]).hex()])
def test_what_is_no_packed_value_is_said_with_its_line(monkeypatch, capsys, line):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{packed(b'ok').hex()}\n{line}\n"))
    assert main(["--language", "en", "store", "unpack"]) != 0
    assert "line 2 is no packed value" in capsys.readouterr().err

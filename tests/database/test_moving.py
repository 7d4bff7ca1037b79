"""A store that has outgrown its file goes on in PostgreSQL with every row: nothing is lost, nothing paid once more."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from flow.test_spine import CHEAPER
from given import CLEAN_STAY, House, a_house, reversed_bill, yuan
from payments.given_payments import RunningBank
from safeweave.database import SCHEMA_VERSION, Database, NotOurStore, moving
from safeweave.errors import Conflict
from safeweave.main import main
from safeweave.node import open_node
from stores import engines, on, place

pytestmark = pytest.mark.skipif("postgresql" not in engines(), reason="this run is for the other engine")


def told_nothing(table: str, rows: int) -> None:
    pass


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    with on("postgresql"):
        yield str(place(tmp_path / "new"))


@pytest.fixture
def house(tmp_path: Path, one_bank: RunningBank) -> Iterator[House]:
    with on("sqlite"):
        found = a_house(tmp_path, one_bank)
    yield found
    found.node.close()


def moves(house: House, to: str, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """What the command has brought over; the house lives on there."""
    house.node.close()
    assert main(["--home", str(house.node.settings.home), "store", "move", "--to", to, "--json"]) == 0
    house.node = open_node(replace(house.node.settings, database=to), house.time)
    return dict(json.loads(capsys.readouterr().out)["rows"])


def header(store: Path) -> int:
    with closing(sqlite3.connect(store)) as opened:
        return int(opened.execute("pragma user_version").fetchone()[0])


def test_a_case_goes_on_where_its_store_has_moved_and_a_corrected_bill_moves_only_the_difference(house, target, capsys):
    house.hears(*CLEAN_STAY)
    before = house.decided()
    rows = moves(house, target, capsys)
    assert (rows["claim_case"], rows["determination"], rows["person"]) == (1, 1, 1)
    assert house.decided() == before
    house.hears(reversed_bill(), CHEAPER)
    house.decides()
    assert (house.recoveries(), house.payouts()) == ([yuan("90.00")], [("paid", yuan("450.00"))])
    assert house.stage() == "closed"
    house.is_sound()


def test_work_that_was_left_is_done_where_the_store_has_moved(house, target, capsys):
    house.message(*CLEAN_STAY)
    rows = moves(house, target, capsys)
    assert rows["task"] == 1
    house.works()
    assert house.payouts() == [("paid", yuan("450.00"))]


def test_every_row_of_every_table_comes_along(tmp_path, target):
    path = tmp_path / "old.db"
    Database(path).close()
    with closing(sqlite3.connect(path)) as old, old:
        names = [name for (name,) in old.execute("select name from sqlite_master where type = 'table'")]
        for name, n in [(name, n) for name in names if name != "alembic_version" for n in (1, 2)]:
            columns = old.execute(f"pragma table_info({name})").fetchall()
            values = [value_of(column, kind, n) for _, column, kind, *_ in columns]
            old.execute(f"insert into {name} values ({', '.join('?' for _ in columns)})", values)
    assert moving.move(path, target, told_nothing) == {name: 2 for name in names if name != "alembic_version"}


def value_of(column: str, kind: str, n: int) -> object:
    """The n-th value of a column; texts are the same everywhere, so that whatever refers to a row finds it."""
    if column.endswith("_at"):
        return f"2026-03-0{n}T10:00:00.000001Z"
    return {"integer": n, "bigint": n, "blob": bytes([0, n, 255])}.get(kind.lower(), f"李𬱖\\\t\n'\"{n}")


def test_rows_that_number_themselves_go_on_above_those_that_came_along(tmp_path, target):
    path = tmp_path / "old.db"
    with closing(Database(path)) as old, old.transaction() as tx:
        tx.run("insert into event (id, kind, subject, told_at, payload) values (7, 'k', 's', ?, ?)", (AT, b""))
    moving.move(path, target, told_nothing)
    with closing(Database(target)) as new, new.transaction() as tx:
        assert tx.numbers("event", 1) == 8


AT = "2026-03-01T00:00:00.000000Z"


def test_the_old_store_can_no_longer_be_opened_and_says_where_it_went(house, target, capsys):
    moves(house, target, capsys)
    store = house.node.settings.home / "safeweave.db"
    with pytest.raises(NotOurStore, match="moved to PostgreSQL; set SAFEWEAVE_DATABASE"):
        Database(store)
    with pytest.raises(NotOurStore) as refused:
        moving.move(store, target, told_nothing)
    assert "SAFEWEAVE_DATABASE" in refused.value.said("zh")


def test_a_store_that_somebody_has_open_does_not_move(house, target, capsys):
    home = house.node.settings.home
    assert main(["--home", str(home), "--language", "en", "store", "move", "--to", target]) == 1
    assert "stop every node" in capsys.readouterr().err
    house.hears(*CLEAN_STAY)
    assert house.stage() == "closed"


def test_nothing_is_moved_into_a_database_that_holds_something_else(house, target, tmp_path, capsys):
    store = house.node.settings.home / "safeweave.db"
    house.node.close()
    with closing(Database(target)) as other, other.transaction() as tx:
        tx.run("insert into bank_notice_cursor (bank, seq) values ('x', 1)")
    with pytest.raises(Conflict, match="holds something else"):
        moving.move(store, target, told_nothing)
    assert header(store) == SCHEMA_VERSION
    with closing(Database(target)) as other, other.reading() as tx:
        assert tx.rows("select 1 from person") == []


def test_what_was_stopped_before_the_old_store_was_closed_only_closes_it(house, target, capsys):
    house.hears(*CLEAN_STAY)
    rows = moves(house, target, capsys)
    house.node.close()
    store = house.node.settings.home / "safeweave.db"
    with closing(sqlite3.connect(store)) as opened:
        opened.execute(f"pragma user_version = {SCHEMA_VERSION}")
    assert moving.move(store, target, told_nothing) == rows
    assert header(store) != SCHEMA_VERSION


@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_cannot_be_moved_is_said_in_words(house, target, tmp_path, capsys, monkeypatch, language):
    def says(*asked: str) -> str:
        assert main(["--language", language, *asked]) != 0
        return capsys.readouterr().err

    home = str(house.node.settings.home)
    assert "postgresql://" in says("--home", home, "store", "move", "--to", "somewhere")
    assert str(tmp_path / "nowhere") in says("--home", str(tmp_path / "nowhere"), "store", "move", "--to", target)
    assert not (tmp_path / "nowhere").exists()
    monkeypatch.setenv("SAFEWEAVE_DATABASE", target)
    assert "pg_dump" in says("store", "move", "--to", target)

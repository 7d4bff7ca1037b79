"""A store of every earlier version is brought up to this one with all its rows, on both engines, or left as it was."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest

from given import NOON, VISIT, Time
from safeweave.adjudication.store import _PACKED, by_id, texts_of
from safeweave.cases import store as cases
from safeweave.cases.lifecycle import Stage
from safeweave.database import SCHEMA_VERSION, Database, NotOurStore, engine_of, migrating, unpacked
from safeweave.database.migrations import kit
from safeweave.database.sqlite import APPLICATION_ID
from safeweave.database.tables import statements
from safeweave.ids import person_key
from safeweave.main import main
from safeweave.node import open_node
from safeweave.payments import store as payouts
from safeweave.settings import Settings
from safeweave_simulator.laws import SPREAD
from stores import copied, keep, on_postgresql, place, tables

DATA = Path(__file__).parent / "data"
FIRST = files("safeweave.database").joinpath("migrations", "versions", "v0001_first_release.sql")
EARLIER = range(1, SCHEMA_VERSION)

Rows = dict[str, set[tuple[Any, ...]]]


def stored() -> Rows:
    """What the store of version 1 holds, table by table."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.executescript(FIRST.read_text(encoding="utf-8"))
        made.executescript((DATA / "version_0001.sql").read_text(encoding="utf-8"))
        return {name: set(made.execute(f"select * from {name}").fetchall()) for name in columns_of(made)}


def columns_of(opened: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns of each table, in order."""
    names = [name for (name,) in opened.execute("select name from sqlite_master where type = 'table'")]
    return {name: [column for _, column, *_ in opened.execute(f"pragma table_info({name})")] for name in names}


def first_columns() -> dict[str, list[str]]:
    """The same of version 1."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.executescript(FIRST.read_text(encoding="utf-8"))
        return columns_of(made)


def keep_earlier(version: int) -> str:
    """Under which name the store of version 1 with all its rows is kept, brought up to an earlier version one by one.

    `version_0002.sql` and later hold rows of the tables which that version brought.
    """
    before = keep_earlier(version - 1) if version > 1 else None
    return keep(f"version_{version:04}", lambda where: make_next(where, version), before)


def make_next(where: Path | str, version: int) -> None:
    """Make an earlier version of the one before it."""
    if isinstance(where, Path):
        if version == 1:
            with closing(sqlite3.connect(where)) as made:
                made.execute(f"pragma application_id = {APPLICATION_ID}")
                made.executescript(FIRST.read_text(encoding="utf-8"))
        else:
            with migrating.connected(
                "sqlite", lambda: sqlite3.connect(where, isolation_level=None), "begin immediate"
            ) as bind:
                migrating.up(bind, version - 1, version)
        with closing(sqlite3.connect(where)) as made:
            made.executescript((DATA / f"version_{version:04}.sql").read_text(encoding="utf-8"))
            made.execute(f"pragma user_version = {version}")
        return
    with migrating.connected("postgresql+psycopg", lambda: psycopg.connect(where), "select 1") as bind:
        migrating.up(bind, version - 1, version)
    with psycopg.connect(where, options="-c session_replication_role=replica") as made:
        if version > 1:
            made.execute((DATA / f"version_{version:04}.sql").read_text(encoding="utf-8").encode())
            return
        for table, rows in stored().items():
            for row in rows:
                made.execute(f"insert into {table} values ({', '.join(['%s'] * len(row))})", row)


@pytest.fixture(params=EARLIER)
def earlier(request, tmp_path, store) -> Path | str:
    return copied(keep_earlier(request.param), tmp_path / "safeweave.db")


def schema(where: Path | str) -> dict[str, Any]:
    """Everything the tables of a store are, but the order of their columns."""
    if isinstance(where, Path):
        with closing(sqlite3.connect(where)) as opened:
            return dict(_sqlite_schema(opened))
    with psycopg.connect(where) as connection:
        return {name: connection.execute(sql).fetchall() for name, sql in _POSTGRESQL_SCHEMA.items()}


def _sqlite_schema(opened: sqlite3.Connection) -> Iterator[tuple[str, Any]]:
    for kind, name, sql in opened.execute("select type, name, sql from sqlite_master").fetchall():
        if kind == "index":
            yield name, sql and " ".join(sql.lower().replace("if not exists ", "").split())
            continue
        columns = sorted(
            (row[1], row[2].lower(), *row[3:]) for row in opened.execute(f"pragma table_info({name})").fetchall()
        )
        keys = opened.execute(f"pragma foreign_key_list({name})").fetchall()
        checks = sorted(re.findall(r"check \((.*?)\)", sql))
        unique = sorted(
            tuple(column for _, _, column in opened.execute(f"pragma index_info({index})").fetchall())
            for _, index, is_unique, origin, _ in opened.execute(f"pragma index_list({name})").fetchall()
            if is_unique and origin != "c"
        )
        yield name, (columns, keys, checks, unique)


_POSTGRESQL_SCHEMA = {
    "columns": "select attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,"
    " attcompression, attcollation::regcollation::text, pg_get_expr(adbin, adrelid)"
    " from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum"
    " join pg_class c on c.oid = attrelid where relkind = 'r'"
    " and relnamespace = 'public'::regnamespace and attnum > 0 and not attisdropped order by 1, 2",
    "constraints": "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint"
    " where connamespace = 'public'::regnamespace order by 1, 2",
    "indexes": "select tablename, indexdef from pg_indexes where schemaname = 'public' order by 2",
    "functions": "select pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace order by 1",
    "storage": "select relname, reloptions from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    " order by 1",
}  # fmt: skip


def open_(where: Path | str) -> Database:
    """The store brought up: the embedded one as it is opened, PostgreSQL by the command."""
    if on_postgresql():
        with pytest.raises(NotOurStore, match="safeweave store migrate"):
            Database(where)
        engine_of(where).migrate(where)
    return Database(where)


def test_a_store_of_every_earlier_version_becomes_what_a_fresh_one_is(earlier, tmp_path):
    open_(earlier).close()
    fresh = place(tmp_path / "fresh.db")
    Database(fresh).close()
    assert schema(earlier) == schema(fresh)
    assert engine_of(earlier).version_at(earlier) == SCHEMA_VERSION


def test_every_row_is_kept(earlier):
    before, columns = stored(), first_columns()
    with open_(earlier).reading() as tx:
        assert set(before) <= set(tables(tx))
        for table in set(before) - {"task", "message", *PACKED_SINCE}:
            assert set(tx.rows(f"select {', '.join(columns[table])} from {table}")) == before[table], table
        kept = "id, change, channel, person, case_id, occasion, language, address, subject, body, amount, told_at"
        assert {row[:12] for row in before["message"]} == set(tx.rows(f"select {kept} from message"))


PACKED_SINCE = ("event", "case_step", "determination", "letter")


def test_what_can_be_packed_since_version_4_is_kept_with_the_same_content(earlier):
    before, columns = stored(), first_columns()

    def by_name(table: str) -> list[dict[str, Any]]:
        return [dict(zip(columns[table], row, strict=True)) for row in sorted(before[table], key=lambda row: row[0])]

    with open_(earlier).reading() as tx:
        assert [
            (*row[:-1], unpacked(row[-1]).decode())
            for row in tx.rows("select id, kind, subject, told_at, payload from event order by id")
        ] == sorted(before["event"])
        assert [
            (id, case, at, json.loads(steps))
            for id, case, at, steps in tx.rows("select id, case_id, at, steps from case_step order by id")
        ] == [
            (step["id"], step["case_id"], step["at"], [[step["happening"], step["stage"], step["note"]]])
            for step in by_name("case_step")
        ]
        made = by_name("determination")
        plain = sorted(set(columns["determination"]) - {*_PACKED, "facts_digest"})
        assert tx.rows(f"select {', '.join(plain)} from determination order by id") == [
            tuple(row[name] for name in plain) for row in made
        ]
        assert [texts_of(kept) for (kept,) in tx.rows("select kept from determination order by id")] == [
            {name: row[name] for name in _PACKED} for row in made
        ]
        assert {row["facts_digest"] for row in made} == {
            decided.facts_digest for decided in by_id(tx, [row["id"] for row in made]).values()
        }
        assert [
            (id, unpacked(content).decode()) for id, content in tx.rows("select id, content from letter order by id")
        ] == [(row["id"], row["content"]) for row in by_name("letter")]


def test_what_belongs_to_a_person_says_so_in_every_row(earlier):
    with open_(earlier).reading() as tx:
        found = {table: tx.rows(f"select {of}, shard from {table}") for table, of in SPREAD.items()}
    assert all(shard == person_key(of) for rows in found.values() for of, shard in rows)
    assert all(len(found[table]) == len(rows) for table, rows in stored().items() if table in found)
    assert {"claim_case", "determination", "journal_entry", "letter"} <= {t for t, rows in found.items() if rows}


def test_work_that_waited_carries_its_event_and_says_whose_turn_it_takes_and_what_is_held(earlier):
    with open_(earlier).reading() as tx:
        found = tx.rows("select id, lane, queue, key, kind, handler, tries, parked from task order by id")
    assert found == [
        (1, "bank", "", "8pq0ky", "PayoutOrdered", "PayoutOrdered/1", 0, None),
        (2, "", "H33020000001", "H33020000001/ZY5", "VisitTold", "", 0, None),
        (3, "alone", "H33020000001", "H33020000001", "PersonsMerged", "", 1, "ValueError: cannot be handled"),
        (4, "", "", "9r0g43", "CaseReady", "", 0, None),
    ]


def test_a_node_goes_on_where_the_earlier_one_stopped(earlier, tmp_path, one_bank):
    open_(earlier).close()
    one_bank.open(tmp_path / "bank.db")
    time: Any = Time(NOON)
    one_bank.time.at = NOON
    address = earlier if isinstance(earlier, str) else ""
    node = open_node(Settings(home=tmp_path, database=address, bank_url=one_bank.url), time)
    time.pass_(60)
    one_bank.time.at = time.at
    node.worker.drain()
    with node.database.reading() as tx:
        stages: dict[str, Stage] = {case.visit: case.stage for case in cases.cases_in(tx)}
        paid = payouts.totals(tx)["paid"][0]
        parked = tx.rows("select kind from task where parked is not null")
    node.close()
    assert stages == {VISIT: "closed", "ZY2": "referred", "ZY3": "admitted", "ZY4": "closed", "ZY5": "admitted"}
    assert (paid, parked) == (2, [("PersonsMerged",)])


def test_numbers_go_on_behind_those_that_are_there(earlier):
    with open_(earlier).transaction() as tx:
        for table in ("event", "inbound_message"):
            ((last,),) = tx.rows(f"select max(id) from {table}")
            assert tx.numbers(table, 1) == last + 1
        tx.run("insert into case_step (case_id, shard, at, steps) values ('case_x', 'x', '', '[]')")


def test_what_fails_half_way_leaves_the_store_as_it_was(earlier, monkeypatch):
    before = schema(earlier)
    whole = kit.run

    def half(*script: str, **how: bool) -> None:
        whole(*script)
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(kit, "run", half)
        with pytest.raises(ZeroDivisionError):
            engine_of(earlier).migrate(earlier)
    assert schema(earlier) == before
    open_(earlier).close()


def test_the_command_brings_the_store_up_and_says_so(earlier, tmp_path, monkeypatch, capsys):
    if isinstance(earlier, str):
        monkeypatch.setenv("SAFEWEAVE_DATABASE", earlier)
    command = ["--home", str(tmp_path), "--language", "en", "store"]
    assert main([*command, "status"]) == 1
    assert "safeweave store migrate" in capsys.readouterr().out
    assert main([*command, "migrate"]) == 0
    assert f"to {SCHEMA_VERSION}" in capsys.readouterr().out
    assert main([*command, "status"]) == 0
    assert main([*command, "migrate"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_later_store_is_refused(tmp_path, store):
    where = place(tmp_path / "later.db")
    database = Database(where)
    with database.transaction() as tx:
        if on_postgresql():
            tx.run("update alembic_version set version_num = '9999'")
        else:
            tx.run("pragma user_version = 9999")
    database.close()
    for refused in (lambda: Database(where), lambda: engine_of(where).migrate(where)):
        with pytest.raises(NotOurStore, match="later safeweave"):
            refused()
    if on_postgresql():
        with psycopg.connect(where) as connection:
            connection.execute("update alembic_version set version_num = %s", (f"{SCHEMA_VERSION:04}",))


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_tables_of_another_program_are_left_alone(tmp_path, store):
    where = place(tmp_path / "foreign.db")
    with psycopg.connect(where, autocommit=True) as foreign:
        foreign.execute("drop schema public cascade; create schema public; create table claim_case (id int)")
    with pytest.raises(NotOurStore, match="another program"):
        Database(where)


def test_every_version_has_one_migration_and_its_rows_to_try_it_on():
    names = [Path(str(file)).name for file in files("safeweave.database").joinpath("migrations", "versions").iterdir()]
    assert sorted(name[1:5] for name in names if re.fullmatch(r"v\d{4}_\w+\.py", name)) == [
        f"{version:04}" for version in range(1, SCHEMA_VERSION + 1)
    ]
    assert [(DATA / f"version_{version:04}.sql").is_file() for version in EARLIER] == [True for _ in EARLIER]


def test_a_script_is_cut_into_its_statements():
    script = "-- a; comment\n\ncreate table a (b text); -- more\ninsert into a values ('x;\ny');\n"
    assert len(statements(script)) == 2

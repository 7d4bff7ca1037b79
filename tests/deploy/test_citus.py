"""The DDL for Citus names every table once and obeys the rules of Citus, which stand-ins enforce on PostgreSQL."""

import re
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

import stores
from safeweave.database import PACKAGES_WITH_TABLES

DDL = (Path(__file__).resolve().parents[2] / "deploy/citus.sql").read_text(encoding="utf-8")
STAND_IN = Path(__file__).with_name("citus_stand_in.sql").read_text(encoding="utf-8")
PLACED = re.compile(r"^select create_(?:reference|distributed)_table\('(\w+)'|^-- stays here: (\w+)", re.M)
SHARDED = re.findall(r"create_distributed_table\('(\w+)', 'shard'", DDL)


def tables_of_the_schema() -> list[str]:
    scripts = [files(package).joinpath("tables.sql").read_text(encoding="utf-8") for package in PACKAGES_WITH_TABLES]
    return re.findall(r"^create table (?:if not exists )?(\w+)", "\n".join(scripts), re.M)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[psycopg.Connection]:
    """A fresh store with the stand-ins, and the column `shard` where tables are spread by it."""
    with (
        stores.on("postgresql"),
        psycopg.connect(str(stores.place(tmp_path / "citus")), autocommit=True) as connection,
    ):
        connection.execute(STAND_IN)
        for table in SHARDED:
            connection.execute(f'alter table {table} add column if not exists shard text collate "C" not null')
        yield connection


def test_every_table_has_exactly_one_place():
    placed = Counter(first or second for first, second in PLACED.findall(DDL))
    assert placed == Counter(tables_of_the_schema())


def test_nothing_is_refused_when_the_tables_are_spread(store):
    store.execute(DDL)
    spread = dict(store.execute("select relation::text, coalesce(by_column, how) from spread").fetchall())
    assert {table for table, column in spread.items() if column == "shard"} == set(SHARDED)


def test_what_a_decision_reads_and_writes_lies_together(store):
    store.execute(DDL)
    together = {
        table
        for (table,) in store.execute(
            "select relation::text from spread where along_with = 'claim_case'::regclass"
        ).fetchall()
    }
    assert together >= {"claim_case", "determination", "usage_addition", "payout", "recovery", "journal_entry"}


@pytest.mark.parametrize("table", ["claim_case", "payout", "event", "clock"])
def test_a_key_that_was_not_widened_is_noticed(store, table):
    narrow = re.sub(
        rf"^(alter table {table} .*|drop index {table}_.*|create unique index {table}_.*)$", "", DDL, flags=re.M
    )
    assert narrow != DDL
    with pytest.raises(psycopg.errors.RaiseException, match=f"cannot distribute {table}: its unique index"):
        store.execute(narrow)


def test_a_foreign_key_between_nodes_is_noticed(store):
    kept = DDL.replace("alter table person_alias drop constraint person_alias_person_fkey;", "")
    with pytest.raises(psycopg.errors.RaiseException, match="person_alias_person_fkey"):
        store.execute(kept)


def test_one_decision_for_each_use_of_a_policy_is_still_all_there_can_be(store):
    """The unique index that keeps two workers from deciding against the same usage is only wider, not weaker."""
    store.execute(DDL)
    columns = store.execute(
        "select column_name from information_schema.columns where table_name = 'determination' and is_nullable = 'NO'"
    ).fetchall()
    values = {name: "'x'" for (name,) in columns} | dict.fromkeys(("sequence", "payable", "in_force", "waiting"), "1")

    def insert(id: str) -> None:
        row = values | {"id": f"'{id}'"}
        store.execute(f"insert into determination ({', '.join(row)}) values ({', '.join(row.values())})")

    insert("det_1")
    with pytest.raises(psycopg.errors.UniqueViolation, match="determination_once"):
        insert("det_2")

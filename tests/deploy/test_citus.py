"""The DDL for Citus names every table once and obeys the rules of Citus, which stand-ins enforce on PostgreSQL.

What the flow writes fills the column rows are spread by, on the keys of a plain store and on the wider ones alike.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

import stores
from given import (
    NOON,
    VISIT,
    House,
    a_bill,
    a_house,
    admission_cancelled,
    admitted,
    billed,
    discharged,
    reversed_bill,
)  # fmt: skip
from payments.given_payments import RunningBank
from safeweave import coverage
from safeweave.database import PACKAGES_WITH_TABLES, Transaction
from safeweave.events import Identifier, PersonSeen
from safeweave.ids import PersonId, person_key
from safeweave.money import fen_of
from safeweave.overview import latest_payouts, note_instructed, overview
from safeweave.payments import handlers
from safeweave.telling import store as telling
from safeweave_simulator.laws import SPREAD

DDL = (Path(__file__).resolve().parents[2] / "deploy/citus.sql").read_text(encoding="utf-8")
STAND_IN = Path(__file__).with_name("citus_stand_in.sql").read_text(encoding="utf-8")
PLACED = re.compile(r"^select create_(?:reference|distributed)_table\('(\w+)'|^-- stays here: (\w+)", re.M)
SHARDED = re.findall(r"create_distributed_table\('(\w+)', 'shard'", DDL)


def tables_of_the_schema() -> list[str]:
    scripts = [files(package).joinpath("tables.sql").read_text(encoding="utf-8") for package in PACKAGES_WITH_TABLES]
    return re.findall(r"^create table (?:if not exists )?(\w+)", "\n".join(scripts), re.M)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[psycopg.Connection]:
    """A fresh store with the stand-ins."""
    with (
        stores.on("postgresql"),
        psycopg.connect(str(stores.place(tmp_path / "citus")), autocommit=True) as connection,
    ):
        connection.execute(STAND_IN)
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


@pytest.mark.parametrize("table", ["payout", "event", "determination", "clock"])
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
    values["made_at"] = "now()"

    def insert(id: str) -> None:
        row = values | {"id": f"'{id}'"}
        store.execute(f"insert into determination ({', '.join(row)}) values ({', '.join(row.values())})")

    insert("det_1")
    with pytest.raises(psycopg.errors.UniqueViolation, match="determination_once"):
        insert("det_2")


# ---------------------------------------------------------------- what the flow writes


@pytest.fixture(params=["sqlite", "postgresql", "spread"])
def house(request: pytest.FixtureRequest, tmp_path: Path, one_bank: RunningBank) -> Iterator[House]:
    """A house over a plain store of either engine, or over one whose tables are spread."""
    with stores.on("sqlite" if request.param == "sqlite" else "postgresql"):
        if request.param == "spread":
            where = str(stores.place(tmp_path / "home" / "safeweave.db"))
            with psycopg.connect(where, autocommit=True) as connection:
                connection.execute(STAND_IN)
                connection.execute(DDL)
        found = a_house(tmp_path, one_bank)
        yield found
        found.node.close()


def test_every_row_the_flow_writes_says_whose_it_is(house):
    claims_taken_back_paid_and_merged(house)
    for table, id in SPREAD.items():
        rows = house.rows(f"select {id}, shard from {table}")
        assert rows, table
        assert [row for row in rows if row[1] != person_key(row[0])] == [], table
    assert set(SPREAD) == set(SHARDED)


def test_what_is_written_twice_is_kept_once_on_any_keys(house):
    claims_taken_back_paid_and_merged(house)
    before = {table: house.rows(f"select count(*) from {table}") for table in SPREAD}
    with house.node.database.transaction() as tx:
        handlers.receive_recoveries(tx, money_back(tx), NOON)
        note_instructed(tx, [(payout, NOON) for (payout,) in tx.rows("select payout from payout_timing")])
        for merged, into in tx.rows("select id, merged_into from person where merged_into is not null"):
            coverage.merge_persons(tx, into, merged, NOON)
    assert {table: house.rows(f"select count(*) from {table}") for table in SPREAD} == before
    house.is_sound()


def test_what_lies_on_several_servers_is_put_together_again(house):
    claims_taken_back_paid_and_merged(house)
    seen, paid = house.asks(overview), house.asks(lambda tx: latest_payouts(tx, 10))
    assert (seen.paid, len(seen.milliseconds), seen.trial_balance_fen) == (2, 2, 0)
    assert [(each.person, each.hospital, each.milliseconds is not None) for each in paid] == [
        ("测试甲", "示例市第一医院", True), ("测试甲", "示例市第一医院", True),
    ]  # fmt: skip
    assert len(house.asks(lambda tx: latest_payouts(tx, 1))) == 1
    told = {name for _, name, _ in house.asks(lambda tx: telling.latest_messages(tx))}
    assert told == {"测试甲"}


PASSPORT = PersonSeen((Identifier("passport", "TK1234567"),), "测试甲", date(1949, 12, 31), "F")


def claims_taken_back_paid_and_merged(house: House) -> None:
    """A claim paid and taken back, with part of the money returned, and one of another who turns out to be the same."""
    house.insures(phone="13800000001")
    house.hears(admitted(), discharged(), billed())
    house.hears(reversed_bill(), admission_cancelled("2026-03-09T09:00"))
    house.decides(note="入院系误登记")
    documents = [{"kind": "passport", "number": "TK1234567", "country": "JPN"}]
    known = {"name": "测试甲", "birth": "1949-12-31", "sex": "F", "documents": documents, "phone": "13800000002"}
    house.insures("P-2", person=known)
    other = {"visit": "ZY2", "person": PASSPORT}
    house.hears(admitted(**other), discharged(**other), billed(a_bill("2"), **other))
    assert house.stage("ZY2") == "closed"
    house.node.write_times()
    with house.node.database.transaction() as tx:
        handlers.receive_recoveries(tx, money_back(tx), NOON)
        coverage.merge_persons(tx, person_of(tx, "ZY2"), person_of(tx, VISIT), NOON)
    house.is_sound()


def money_back(tx: Transaction) -> list[handlers.Receipt]:
    ((recovery,),) = tx.rows("select id from recovery")
    return [
        handlers.Receipt("E1", recovery, fen_of("150.00")),
        handlers.Receipt("E2", "", fen_of("5.00")),
    ]


def person_of(tx: Transaction, visit: str) -> PersonId:
    ((person,),) = tx.rows("select person from claim_case where visit = ?", (visit,))
    return PersonId(person)

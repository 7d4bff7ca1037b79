"""A store that is filled for the bench: every clone is a whole case of its own, and the store works as before."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

import stores
from safeweave import outbox
from safeweave.adjudication.store import texts_of
from safeweave.cases import store as cases
from safeweave.commands.bench import filling
from safeweave.commands.bench.figure import Counts
from safeweave.commands.bench.grown import growth
from safeweave.commands.bench.stores import Bench, Store
from safeweave.errors import Conflict
from safeweave.exchange import inbound
from safeweave_simulator.laws import SPREAD

TEMPLATES = 6
CASES = 18
COUNTS = Counts(runs=1, claims=4)


SHAPES = (
    "select string_agg(conrelid::regclass || pg_get_constraintdef(oid), ';' order by 1::text,"
    " conrelid::regclass::text, conname) from pg_constraint where connamespace = 'public'::regnamespace",
    "select string_agg(indexdef, ';' order by indexname) from pg_indexes where schemaname = 'public'",
    "select string_agg(relname || coalesce(reloptions::text, ''), ';' order by relname) from pg_class"
    " where relkind = 'r' and relnamespace = 'public'::regnamespace",
)


@pytest.fixture(scope="module")
def few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "TEMPLATES", TEMPLATES)
        patch.setattr(filling, "CHUNK", 2)
        yield


@pytest.fixture
def asked(tmp_path: Path, few: None) -> Bench:
    return Bench(tmp_path, COUNTS, server=stores.server() % "postgres", grown=CASES)


class Filled(NamedTuple):
    """A filled store, and the shapes of its tables before."""

    store: Store
    shapes: list[object]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, few: None) -> Iterator[Filled]:
    asked = Bench(tmp_path_factory.mktemp("filled"), COUNTS, server=stores.server() % "postgres", grown=CASES)
    with asked.store("postgresql", "grown") as store:
        with closing(store.node()):
            pass
        shapes = [one(store.database, shape) for shape in SHAPES]
        filling.fill(asked, store, CASES)
        yield Filled(store, shapes)


def one(address: str, sql: str) -> object:
    with filling.connected(address) as connection:
        row = connection.execute(sql).fetchone()  # type: ignore[call-overload]
        return row and row[0]


def test_every_clone_is_a_case_of_its_own_with_its_person_policy_and_money(filled):
    def found(sql: str) -> object:
        return one(filled.store.database, sql)

    for distinct in (
        "id) from claim_case", "person) from claim_case", "visit) from visit", "id) from determination",
        "number) from policy", "number) from person_document", "bill) from paid_bill", "id) from payout",
        "control_id) from inbound_message", "substr(id, 6, 6)) from claim_case",
    ):  # fmt: skip
        assert found(f"select count(distinct {distinct}") == CASES, distinct
    assert (
        found(
            "select count(*) from claim_case c join determination d on d.case_id = c.id and d.person = c.person"
            " join policy o on o.id = d.policy join person p on p.id = c.person"
            " join payout y on y.determination = d.id and y.person = p.id"
            " join letter l on l.case_id = c.id join visit v on v.case_id = c.id"
            " join person_document n on n.person = p.id"
        )
        == CASES
    )
    assert found("select count(*) from claim_case where stage <> 'closed'") == 0
    assert found("select sum(fen) from journal_entry") == 0
    assert found("select count(*) from event where subject not in (select sender || '/' || visit from visit)") == 0
    for table in ("determination", "event", "inbound_message", "letter"):
        assert found(f"select count(*) from {table} d where d::text ~ '[\\x01-\\x08\\x0e-\\x1f]'") == 0
    assert found("select count(*) from task") == 0
    for table, of in SPREAD.items():
        other = f"shard <> left(right({of}, 16), 6)"
        assert found(f"select count(*) from {table} where {other}") == 0, table


def test_what_is_packed_in_a_clone_is_its_own(filled):
    with closing(filled.store.node()) as node, node.database.reading() as tx:
        for determination, person, kept in tx.rows("select id, person, kept from determination"):
            texts = texts_of(kept)
            (bill,) = json.loads(texts["claim"])["bills"]
            assert json.loads(texts["claim"])["id"] == determination
            paid = tx.rows("select bill from paid_bill where determination = ?", (determination,))
            assert paid == [(f"{bill['code']}-{bill['number']}",)]
            ((birth,),) = tx.rows("select birth from person where id = ?", (person,))
            assert json.loads(texts["cover"])["birth"] == birth
        for sender, visit, case in tx.rows("select sender, visit, case_id from visit"):
            told = outbox.of_subjects(tx, [outbox.visit_subject(sender, visit)])
            (log,) = told.values()
            assert [type(logged.event).__name__ for logged in log] == [
                "PatientDischarged", "BillIssued", "SettlementReported",
            ]  # fmt: skip
            assert {logged.event.visit for logged in log} == {visit}
            stay = cases.cases_by_id(tx, [case])[case].stay
            assert [seen.bill.number for seen in stay.live_bills] == [log[1].event.bill.number]
        for number, control_id in tx.rows("select id, control_id from inbound_message"):
            message = json.loads(inbound.original(tx, number)[1])
            assert message["identifier"]["value"] == control_id


def test_keys_and_indexes_stand_as_before(filled):
    assert [one(filled.store.database, shape) for shape in SHAPES] == filled.shapes


def test_claims_are_paid_in_the_filled_store_beside_an_empty_one(asked):
    figures = growth(asked)
    assert [figure.name for figure in figures] == ["grown_claims_per_second", "growth_ratio"]
    grown, ratio = figures
    assert ratio.value == grown.ratio
    assert (ratio.target, ratio.aim) == (0.8, 0.95)
    assert "18 closed cases" in asked.remarks[0]


def test_more_cases_than_fit_are_refused_before_anything_is_filled(asked, monkeypatch):
    monkeypatch.setattr(filling, "MOST_BYTES", 100_000)
    with asked.store("postgresql", "grown") as store:
        with closing(store.node()):
            pass
        with pytest.raises(Conflict, match="1,000 cases would take about"):
            filling.fill(asked, store, 1_000)
        assert one(store.database, "select count(*) from claim_case") == 0


def test_a_full_disk_is_foreseen(asked, monkeypatch):
    monkeypatch.setattr(filling, "SPARE_BYTES", 10**18)
    with asked.store("postgresql", "grown") as store:
        with closing(store.node()):
            pass
        with pytest.raises(Conflict, match="and the disk has"):
            filling.fill(asked, store, 12)


def test_a_large_store_needs_a_server(tmp_path):
    with pytest.raises(Conflict, match="--grown needs --database"):
        growth(Bench(tmp_path, COUNTS, grown=5))

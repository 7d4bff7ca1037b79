"""What the bench gives: every figure with its fields, from small counts; never how fast."""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import stores
from bench.write_measured import measured
from safeweave.adjudication import store as determinations
from safeweave.cases import store as cases
from safeweave.commands import bench
from safeweave.commands.bench import baselines, crowd, decisions, filling, looking, stays, streaming
from safeweave.commands.bench.arriving import statements
from safeweave.commands.bench.embedded import fill_embedded
from safeweave.commands.bench.feeders import feeders
from safeweave.commands.bench.figure import MORE_IS_BETTER, Counts, Figure
from safeweave.commands.bench.files import feeding
from safeweave.commands.bench.samples import ALL_PARTS
from safeweave.commands.bench.stores import Bench, Server
from safeweave.database import Database
from safeweave.errors import InvariantBroken, NotFound, Unavailable
from safeweave.money import fen_of
from safeweave.settings import Settings
from safeweave.words import LANGUAGES, knows, say

TINY = Counts(
    runs=2, claims=6, rounds=1, idle_claims=3, door_claims=8, load_seconds=0.2, size_claims=60, letters=2,
    seconds=1.0, ledger_batches=2, ledger_commits=2, log_entries=20_000, records=2, filed_claims=2,
    pages_cases=20, page_requests=1, live_updates=1, crowd_seconds=3.0, stream_seconds=1.0,
)  # fmt: skip
DATA = Path(__file__).parents[1] / "exchange" / "data" / "synthea_cut.json"

FOR_EACH_ENGINE = {
    "statements_bill_to_instruction": "statements",
    "idle_bill_to_instruction_p50": "ms",
    "idle_bill_to_instruction_p99": "ms",
    "durable_claims_per_second": "1/s",
    "statements_per_claim_under_load": "statements",
    "cpu_per_claim": "us",
    "closed_claims_per_second": "1/s",
    "door_claims_per_second": "1/s",
    "half_load_bill_to_instruction_p50": "ms",
    "half_load_bill_to_instruction_p99": "ms",
    "bytes_per_closed_case": "bytes",
    "bytes_per_insured": "bytes",
    "time_of_a_claim": "us",
    "hottest_functions": "us",
    "page_p95": "ms",
    "page_p95_fifty_examiners": "ms",
    "lock_wait_fifty_examiners": "ms",
    "first_page_bytes": "bytes",
    "live_update_p50": "ms",
    "live_update_p95": "ms",
}
MEASURED = {
    "decide_10_lines": "us",
    **FOR_EACH_ENGINE,
    "pgbench_simple_updates_per_second": "1/s",
    "bulk_readjudications_per_cpu_second": "1/s",
    "plain_readjudications_per_cpu_second": "1/s",
    "letter_html": "ms",
    "letter_pdf": "ms",
    "replay_determinations_per_second": "1/s",
    "feed_sample_seconds": "s",
    "feed_sample_peak_memory": "MB",
    "filed_bill_to_instruction_p50": "ms",
    "filed_bill_to_instruction_p95": "ms",
    "ledger_consents_per_second": "1/s",
    "ledger_nullifiers_per_second": "1/s",
    "ledger_commit_alone_p50": "ms",
    "ledger_proof": "ms",
    "ledger_proof_check": "ms",
    "ledger_path_large_log": "ms",
    "sealed_record_std_1": "ms",
    "sealed_record_gm_1": "ms",
}
FLOORS_AND_AIMS = {  # of the issues that ask for them
    ("decide_10_lines", None): (100, 50),
    ("bulk_readjudications_per_cpu_second", None): (50_000, 200_000),
    ("statements_bill_to_instruction", "sqlite"): (25, 15),
    ("statements_bill_to_instruction", "postgresql"): (25, 15),
    ("idle_bill_to_instruction_p50", "sqlite"): (30, 10),
    ("idle_bill_to_instruction_p50", "postgresql"): (30, 10),
    ("idle_bill_to_instruction_p99", "sqlite"): (100, 40),
    ("idle_bill_to_instruction_p99", "postgresql"): (100, 40),
    ("durable_claims_per_second", "sqlite"): (1_500, 4_000),
    ("durable_claims_per_second", "postgresql"): (1_000, 3_000),
    ("statements_per_claim_under_load", "sqlite"): (0.5, 0.1),
    ("statements_per_claim_under_load", "postgresql"): (0.5, 0.1),
    ("half_load_bill_to_instruction_p99", "sqlite"): (500, 150),
    ("half_load_bill_to_instruction_p99", "postgresql"): (500, 150),
    ("bytes_per_closed_case", "sqlite"): (25_000, 10_000),
    ("bytes_per_closed_case", "postgresql"): (25_000, 10_000),
    **{
        (name, engine): (floor, None)
        for engine in ("sqlite", "postgresql")
        for name, floor in (
            ("page_p95", 150),
            ("page_p95_fifty_examiners", 150),
            ("lock_wait_fifty_examiners", 100),
            ("first_page_bytes", 150_000),
            ("live_update_p95", 1_000),
        )
    },
    ("ledger_consents_per_second", None): (3_000, None),
    ("ledger_nullifiers_per_second", None): (18_000, None),
    ("ledger_commit_alone_p50", None): (6, None),
    ("ledger_proof", None): (0.2, None),
    ("ledger_proof_check", None): (0.2, None),
    ("sealed_record_std_1", None): (10, None),
    ("filed_bill_to_instruction_p50", None): (200, None),
    ("filed_bill_to_instruction_p95", None): (1000, None),
}
BESIDE_A_BASELINE = {
    "decide_10_lines", "statements_bill_to_instruction", "idle_bill_to_instruction_p50", "idle_bill_to_instruction_p99",
    "durable_claims_per_second", "half_load_bill_to_instruction_p50", "half_load_bill_to_instruction_p99",
    "feed_sample_seconds", "bulk_readjudications_per_cpu_second", "plain_readjudications_per_cpu_second",
    "ledger_consents_per_second", "ledger_nullifiers_per_second", "ledger_commit_alone_p50", "ledger_proof",
    "ledger_proof_check", "ledger_path_large_log", "sealed_record_std_1", "sealed_record_gm_1",
    "filed_bill_to_instruction_p50", "filed_bill_to_instruction_p95",
}  # fmt: skip
ORDINARY = [measure for measure in bench.MEASURES if not measure.is_long]


def be_quick(patch: pytest.MonkeyPatch) -> None:
    """Make small what no count makes so."""
    patch.setattr(baselines, "PGBENCH_SCALE", 1)
    patch.setattr(looking, "THINKING_SECONDS", 0.1)
    patch.setattr(crowd, "EXAMINERS", 5)


@pytest.fixture(scope="module")
def databases_made() -> Iterator[list[str]]:
    """Those of the bench of this process, as they are made: others share the server."""
    made, asked = [], Server.run

    def noting(server: Server, sql: str) -> list[tuple[Any, ...]]:
        made.extend(re.findall(r"^create database (\w+)", sql))
        return asked(server, sql)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "run", noting)
        yield made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, databases_made: list[str]) -> tuple[Bench, list[Figure]]:
    home = tmp_path_factory.mktemp("disk") / "safeweave-data"
    asked = Bench(home, TINY, server=stores.server() % "postgres")
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        return asked, bench.measured(asked, ORDINARY)


@pytest.fixture
def small(tmp_path: Path, store: str) -> Bench:
    server = stores.server() % "postgres" if store == "postgresql" else ""
    return Bench(tmp_path, TINY, server=server)


def test_every_figure_is_measured_with_its_unit_on_every_engine(run):
    assert {each.name: each.unit for each in run[1]} == MEASURED
    assert [each.name for each in run[1] if each.value <= 0] == []
    for name in FOR_EACH_ENGINE:
        assert [each.engine for each in run[1] if each.name == name] == ["sqlite", "postgresql"]


def test_the_floors_and_aims_are_those_that_were_set(run):
    found = {(each.name, each.engine): (each.target, each.aim) for each in run[1] if each.target}
    assert found == FLOORS_AND_AIMS


def test_a_program_reads_name_value_unit_baseline_and_ratio_and_the_rest_where_there_is_some(run):
    for each in run[1]:
        told = bench.as_json(each)
        assert list(told)[:5] == ["name", "value", "unit", "baseline", "ratio"]
        assert told.get("target") == each.target
        assert told.get("engine") == each.engine
        assert ("parts" in told) == bool(each.parts)
        assert (told["baseline"] is None) == (told["ratio"] is None)
    assert {each.name for each in run[1] if each.baseline} == BESIDE_A_BASELINE


def test_a_time_is_to_be_below_its_floor_and_a_rate_above(run):
    assert Figure("x", 30.0, "ms", 4.0).ratio == 7.5
    assert Figure("x", 30.0, "ms").ratio is None
    assert Figure("x", 30.0, "ms", target=30).is_met
    assert not Figure("x", 30.1, "ms", target=30).is_met
    assert Figure("x", 1_500.0, "1/s", target=1_500).is_met
    assert not Figure("x", 1_499.0, "1/s", target=1_500).is_met
    assert not Figure("x", 30.0, "us", 2.0, target=30, ratio_target=14).is_met


def test_the_page_marks_whatever_misses_its_floor_or_its_ratio():
    figures = (
        Figure("decide_10_lines", 30.0, "us", 10.0, target=30, ratio_target=14),
        Figure("decide_10_lines", 30.0, "us", 2.0, target=30, ratio_target=14),
        Figure("decide_10_lines", 31.0, "us", 10.0, target=30, ratio_target=14),
    )
    page = measured([bench.as_json(figure) for figure in figures], date(2026, 1, 1), "a machine").splitlines()[4:]
    assert [row.split(" | ")[2:4] for row in page] == [
        ["30 µs", "≤ 30 µs ≤ 14 ×"],
        ["**30 µs**", "≤ 30 µs ≤ 14 ×"],
        ["**31 µs**", "≤ 30 µs ≤ 14 ×"],
    ]


def test_each_measure_gives_the_figures_it_names(run):
    named = [name for measure in ORDINARY for name in measure.gives]
    assert set(named) == MEASURED.keys() | {"feed_seconds", "feed_peak_memory"}
    assert len(named) == len(set(named))


def test_the_time_of_a_claim_is_told_part_by_part(run):
    for whole in (each for each in run[1] if each.name == "time_of_a_claim"):
        assert tuple(whole.parts) == ALL_PARTS
        assert 0 < sum(whole.parts.values()) <= whole.value
    for cpu in (each for each in run[1] if each.name == "cpu_per_claim"):
        assert set(cpu.parts) == ({"client", "server"} if cpu.engine == "postgresql" else {"client"})


def test_the_bytes_of_a_case_are_told_table_by_table(run):
    for whole in (each for each in run[1] if each.name == "bytes_per_closed_case"):
        assert sum(whole.parts.values()) == pytest.approx(whole.value)
        assert {"event", "determination"} <= whole.parts.keys()


def test_every_kind_of_page_is_timed_and_the_first_pages_carry_what_they_load(run):
    for figure in (each for each in run[1] if each.name == "page_p95"):
        assert {"portal_home", "desk_case", "desk_search_name", "operations_90", "api_stay"} <= figure.parts.keys()
        assert figure.value == max(figure.parts.values())
        assert all(knows(f"bench.part.{kind}") for kind in figure.parts)
    for figure in (each for each in run[1] if each.name == "page_p95_fifty_examiners"):
        assert set(figure.parts) == {"desk_queue", "desk_case", "desk_draft", "desk_approve"}
    for figure in (each for each in run[1] if each.name == "first_page_bytes"):
        assert tuple(figure.parts) == looking.FIRST_PAGES
        assert min(figure.parts.values()) > 37_000  # htmx alone


def test_open_streams_are_asked_for_by_name_and_all_are_told(small, store, monkeypatch):
    monkeypatch.setattr(streaming, "STREAMS", 5)
    monkeypatch.setattr(streaming, "SETTLING_SECONDS", 1.0)
    monkeypatch.setattr(streaming, "IDLE_SECONDS", 1.0)
    monkeypatch.setattr(streaming, "EVERY_SECONDS", 0.3)
    (measure,) = [each for each in bench.MEASURES if each.run is streaming.streams]
    assert measure.is_long
    assert bench._is_asked_for(measure, asked_for(only="streams"))
    assert not bench._is_asked_for(measure, asked_for())
    found = [each for each in measure.run(small) if each.engine == store]
    assert tuple(each.name for each in found) == measure.gives
    assert {each.name: each.target for each in found if each.target} == {"streams_memory_growth": streaming.GROWTH_MB}
    (memory,) = [each for each in found if each.parts]
    assert 0 < memory.parts["before"] <= memory.value < 1_000


def test_an_embedded_store_is_filled_with_whole_cases_of_different_persons(tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "TEMPLATES", 6)
    asked = Bench(tmp_path, TINY)
    with asked.store("sqlite", "filled") as fresh, closing(fresh.node()) as node:
        fill_embedded(asked, fresh, 18, 7)
        with node.database.reading() as tx:
            for distinct in (
                "id) from claim_case", "person) from claim_case", "visit) from visit", "id) from determination",
                "number) from policy", "number) from person_document", "bill) from paid_bill", "id) from payout",
                "control_id) from inbound_message", "substr(id, 6, 6)) from claim_case",
            ):  # fmt: skip
                assert tx.rows(f"select count(distinct {distinct}") == [(18,)], distinct
            assert tx.rows("select count(distinct substr(made_at, 1, 10)) from determination") == [(7,)]
            assert tx.rows("select sum(fen) from journal_entry") == [(0,)]
            for case, visit in tx.rows("select id, visit from claim_case"):
                (bill,) = cases.cases_by_id(tx, [case])[case].stay.live_bills
                (decided,) = determinations.of_cases(tx, [case])
                assert (decided.payable, decided.claim.bills[0].key) == (257367, bill.bill.key)
                assert visit.endswith(bill.bill.number[-7:])
            indexes = "select group_concat(name) from (select name from sqlite_master where type = 'index' order by 1)"
            ((found,),) = tx.rows(indexes)
        with asked.store("sqlite", "empty") as empty, closing(empty.node()) as other, other.database.reading() as tx:
            assert tx.rows(indexes) == [(found,)]


def test_nothing_is_left_behind_and_the_users_data_is_not_touched(run, databases_made):
    asked, _ = run
    assert list(asked.home.parent.iterdir()) == []
    there = {name for (name,) in asked.postgresql.run("select datname from pg_database")}
    assert len(databases_made) > 5
    assert there.isdisjoint(databases_made)


def test_without_a_server_only_the_embedded_engine_is_measured_and_that_is_said(tmp_path):
    asked = Bench(tmp_path / "data", TINY)
    figures = bench.measured(asked, [measure for measure in ORDINARY if measure.run is statements])
    assert [each.engine for each in figures] == ["sqlite"]
    assert asked.remarks == [say("bench.only_embedded", "en")]


def test_a_server_that_cannot_be_reached_is_told(tmp_path):
    asked = Bench(tmp_path / "data", TINY, server="postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="--database cannot be reached"):
        bench.measured(asked, [measure for measure in ORDINARY if measure.run is statements])


def test_the_small_sample_carries_no_target_and_data_of_ones_own_does(tmp_path):
    given = feeding(Bench(tmp_path, TINY, DATA))
    assert [(each.name, each.target) for each in given] == [("feed_seconds", 60), ("feed_peak_memory", 600)]


def test_the_decimal_loop_pays_what_the_adjudicator_pays(tmp_path):
    with Bench(tmp_path, TINY).store("sqlite", "one") as store, store.opened(1) as (node, given):
        decided = decisions.settled_claim(node, given)
    payable, shares = baselines.decimal_loop(decisions.bench_lines(), stays.FUND, stays.DEDUCTIBLE, stays.RATIO)
    assert payable == Decimal("2573.67")  # (8160.00 - 5200.37 - 100.00) x 0.90
    assert (decided.decision, decided.payable) == ("pay", fen_of("2573.67"))
    assert len(shares) == len(decided.result.lines) == 10
    paid = [Decimal(line.paid).scaleb(-2) for line in decided.result.lines]
    assert all(abs(ours - theirs) <= Decimal("0.05") for ours, theirs in zip(paid, shares, strict=True))


def test_a_stay_is_the_same_in_every_run_of_a_day(tmp_path):
    asked = Bench(tmp_path, TINY)
    with asked.store("sqlite", "a") as a, a.opened(1) as (_, given), asked.store("sqlite", "b") as b:
        with b.opened(1) as (_, again):
            assert given.whole(0) == again.whole(0)
        assert given.bill(0) != given.bill(1)


def test_the_peak_memory_of_feeding_is_that_of_feeding_alone(tmp_path):
    held = bytearray(400_000_000)
    held[::4096] = b"x" * len(held[::4096])
    _, peak = feeding(Bench(tmp_path / "fed", TINY))
    assert peak.name == "feed_sample_peak_memory"
    assert 20 < peak.value < 300


def test_feeders_share_the_stays_and_every_one_is_paid(small, store):
    with small.store(store, "fed") as fresh:
        with fresh.opened(7):
            pass
        with feeders(fresh, 2) as feeding:
            fed = feeding.feed(range(5), batch=2)
            closed = feeding.feed(range(5, 7), batch=2, to_closed=True)
        database = Database(fresh.settings.store)
        with database.reading() as tx:
            stages = dict(tx.rows("select visit, stage from claim_case"))
            payouts = tx.rows("select count(*), sum(amount_fen) from payout")
        database.close()
    assert (fed.claims, closed.claims) == (5, 2)
    assert fed.began < fed.ended < closed.began < closed.ended
    assert fed.sampled is None
    assert payouts == [(7, 7 * 257367)]
    assert set(stages.values()) == {"closed"}  # the second feeding waited until nothing at all was left


def test_a_stay_that_cannot_be_fed_is_an_error_and_no_figure(small, store):
    with small.store(store, "fed") as fresh:
        with fresh.opened(1):
            pass
        with feeders(fresh, 1) as feeding, pytest.raises(InvariantBroken, match="2 claims were fed and 1 got"):
            feeding.feed(range(2), batch=2)  # nobody insured stay 1


def test_the_bare_store_takes_the_rows_of_the_claims_and_nothing_else(small, store):
    with small.store(store, "full") as full, small.store(store, "bare") as empty, full.opened(3) as (node, given):
        before = baselines.rows_of(node.database)
        decisions.take(node, [given.whole(number) for number in range(3)])
        rows = baselines.added(node.database, before)
        assert {"event", "inbound_message", "claim_case", "determination", "payout", "journal_entry", "letter"} <= set(
            rows
        )
        assert len(rows["determination"]) == 3
        assert not {"person", "policy", "sender"} & set(rows)
        bare = baselines.BareStore(empty, rows, commits=2, sessions=2)
        assert bare.seconds() > 0
        assert bare.seconds() > 0  # it is empty again, so no row is there twice
        database = Database(empty.settings.store)
        assert not any(baselines.rows_of(database)[table] for table in rows)
        database.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_names_every_figure_in_both_languages(run, language, capsys):
    asked, figures = run
    bench._print(figures, Bench(asked.home, TINY, language=language))
    shown = capsys.readouterr().out
    for each in figures:
        assert say(f"bench.figure.{each.name}", language)[:12] in shown
    for measure in bench.MEASURES:
        assert knows(f"bench.measuring.{measure.run.__name__}")
        assert all(knows(f"bench.figure.{name}") for name in measure.gives)
    assert all(knows(f"bench.part.{part}") for part in ALL_PARTS)


def asked_for(**given: object) -> argparse.Namespace:
    unasked = {"data": None, "only": None, "database": None, "feeders": 2, "batch": 500, "grown": None}
    return argparse.Namespace(json=True, quick=True, **(unasked | given))


def test_with_json_the_command_prints_one_list_of_the_figures_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "QUICK", TINY)
    assert bench.bench(Settings(home=tmp_path / "data"), asked_for(only="decide")) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["name"], entry["target"], entry["aim"]) == ("decide_10_lines", 100, 50)


def test_a_figure_or_data_that_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFound, match=r"none\.tar\.xz"):
        bench.bench(Settings(home=tmp_path / "data"), asked_for(data=tmp_path / "none.tar.xz"))
    with pytest.raises(NotFound, match="no figure horsepower; there are: decide_10_lines"):
        bench.bench(Settings(home=tmp_path / "data"), asked_for(only="horsepower"))


def test_more_is_better_of_rates_alone():
    assert MORE_IS_BETTER == ("1/s", "x")


def test_make_bench_starts_a_server_that_loses_nothing(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.with_postgresql", "--quick", "--json", "--only", "statements_bill"],
        cwd=Path(__file__).parents[2], env={"SAFEWEAVE_HOME": str(tmp_path / "data"), "TMPDIR": "/tmp"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert [entry["engine"] for entry in json.loads(ran.stdout)] == ["sqlite", "postgresql"]

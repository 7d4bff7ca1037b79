"""What the bench gives: every figure with its fields, from small counts; never how fast."""

import argparse
import json
from decimal import Decimal
from pathlib import Path

import pytest

from safeweave.commands import bench
from safeweave.commands.bench import figures, stays
from safeweave.commands.bench.figures import Bench, Counts, Figure
from safeweave.errors import NotFound
from safeweave.money import fen_of
from safeweave.settings import Settings
from safeweave.words import LANGUAGES, say

TINY = Counts(rounds=1, idle_claims=4, bulk_runs=2, bulk_claims=3, letters=2)
DATA = Path(__file__).parents[1] / "exchange" / "data" / "synthea_cut.json"

MEASURED = {
    "decide_10_lines": "us",
    "statements_bill_to_instruction": "statements",
    "idle_bill_to_instruction_p50": "ms",
    "idle_bill_to_instruction_p95": "ms",
    "durable_claims_per_second": "1/s",
    "letter_html": "ms",
    "letter_pdf": "ms",
    "replay_determinations_per_second": "1/s",
    "feed_sample_seconds": "s",
    "feed_sample_peak_memory": "MB",
}
TARGETS = {
    "decide_10_lines": 100,
    "statements_bill_to_instruction": 25,
    "idle_bill_to_instruction_p50": 100,
    "idle_bill_to_instruction_p95": 1_000,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Figure]]:
    home = tmp_path_factory.mktemp("disk") / "safeweave-data"
    return home, bench.measured(home, TINY, None, "en")


def test_every_figure_is_measured_with_its_unit(run):
    assert {figure.name: figure.unit for figure in run[1]} == MEASURED
    assert all(figure.value > 0 for figure in run[1])


def test_a_program_reads_name_value_unit_baseline_and_ratio_and_the_target_where_there_is_one(run):
    for figure in run[1]:
        told = bench.as_json(figure)
        assert list(told)[:5] == ["name", "value", "unit", "baseline", "ratio"]
        assert told.get("target") == TARGETS.get(figure.name)
        assert (told["baseline"] is None) == (told["ratio"] is None)
    without = [figure.name for figure in run[1] if figure.baseline is None]
    assert without == ["letter_html", "letter_pdf", "replay_determinations_per_second", "feed_sample_peak_memory"]


def test_the_ratio_is_value_by_baseline():
    assert Figure("x", 30.0, "ms", 4.0).ratio == 7.5
    assert Figure("x", 30.0, "ms").ratio is None


def test_nothing_is_left_behind_and_the_users_data_is_not_touched(run):
    home, _ = run
    assert list(home.parent.iterdir()) == []


def test_the_small_sample_carries_no_target_and_data_of_ones_own_does(tmp_path):
    (tmp_path / "home").mkdir()
    given = figures.feeding(Bench(tmp_path / "home", TINY, DATA))
    assert [(figure.name, figure.target) for figure in given] == [("feed_seconds", 60), ("feed_peak_memory", 600)]


def test_the_decimal_loop_pays_what_the_adjudicator_pays(tmp_path):
    with Bench(tmp_path, TINY).node("one", 1) as (node, given):
        decided = figures.settled_claim(node, given)
    payable, shares = figures.decimal_loop(figures.bench_lines(), stays.FUND, stays.DEDUCTIBLE, stays.RATIO)
    assert payable == Decimal("2573.67")  # (8160.00 - 5200.37 - 100.00) x 0.90
    assert (decided.decision, decided.payable) == ("pay", fen_of("2573.67"))
    assert len(shares) == len(decided.result.lines) == 10
    paid = [Decimal(line.paid).scaleb(-2) for line in decided.result.lines]
    assert all(abs(ours - theirs) <= Decimal("0.05") for ours, theirs in zip(paid, shares, strict=True))


def test_one_claim_is_paid_within_the_statements_it_may_cost(tmp_path):
    (figure,) = figures.statements(Bench(tmp_path, TINY))
    assert figure.baseline == 89
    assert figure.value <= figure.target == 25


def test_a_stay_is_the_same_in_every_run_of_a_day(tmp_path):
    with Bench(tmp_path, TINY).node("a", 1) as (_, given), Bench(tmp_path, TINY).node("b", 1) as (_, again):
        assert given.whole(0) == again.whole(0)
        assert given.bill(0) != given.bill(1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_names_every_figure_in_both_languages(run, language, capsys):
    bench._print(run[1], language)
    shown = capsys.readouterr().out
    for figure in run[1]:
        assert say(f"bench.figure.{figure.name}", language)[:12] in shown
    for measure in figures.MEASURES:
        assert say(f"bench.measuring.{measure.__name__}", language)


def test_with_json_the_command_prints_one_list(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "QUICK", TINY)
    asked = argparse.Namespace(json=True, quick=True, data=None)
    assert bench.bench(Settings(home=tmp_path / "data"), asked) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == list(MEASURED)


def test_data_that_is_not_there_is_said(tmp_path):
    asked = argparse.Namespace(json=True, quick=True, data=tmp_path / "none.tar.xz")
    with pytest.raises(NotFound, match=r"none\.tar\.xz"):
        bench.bench(Settings(home=tmp_path / "data"), asked)

"""The sizing page is plain multiplication of measured figures."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIZING = runpy.run_path(str(ROOT / "deploy/sizing.py"))
GIVEN = SIZING["read"]()

ROUND = {  # figures of which every product can be seen at a glance
    "measured": {
        name: {"value": value}
        for name, value in {
            "node_cpu_batched": 1_000, "node_cpu_alone": 10_000, "server_cpu_batched": 500, "server_cpu_alone": 5_000,
            "statements_batched": 0.1, "statements_alone": 20, "bytes_per_claim": 10_000,
            "bytes_per_claim_sqlite": 12_000, "bytes_per_insured": 2_000, "cpu_sqlite": 1_000,
            "wal_per_claim": 20_000, "message_bytes": 8_000,
        }.items()
    },
    "assumed": {
        "peak": 5, "utilisation": 0.5, "slack": 0.0, "round_trip_ms": 0.2, "rows_sent": 2.0, "replicas": 2,
        "archive_days": 10, "restore_bytes_per_second": 1e9, "sqlite_bytes": 1e11, "server_bytes": 1e12,
        "server_cores": 16, "shard_bytes": 1e11, "least_shards": 32, "cluster_nodes": 32,
    },
}  # fmt: skip


def needs(claims: int, insured: int = 0):
    return SIZING["needs"](ROUND, claims, insured)


def test_rates_and_cores():
    step = needs(31_536_000)  # one a second
    assert (step.mean, step.peak) == (1.0, 5.0)
    assert step.cores("node", "batched") == pytest.approx(5 * 0.001 / 0.5)
    assert step.cores("server", "alone") == pytest.approx(5 * 0.005 / 0.5)
    assert step.statements("alone") == 100
    assert step.from_hospitals == 40_000
    assert step.to_server == 100_000
    assert step.to_replicas == 2 * step.log_at_peak == 200_000


def test_bytes():
    step = needs(365_000, insured=1_000_000)
    assert step.database(0) == 2e9
    assert step.database(10) == 2e9 + 3.65e6 * 10_000
    assert step.log_a_day == 1_000 * 20_000
    assert step.archive == 10 * step.log_a_day


def test_the_engine_follows_the_size_after_ten_years():
    assert needs(800_000).engine == "SQLite"  # 96 GB in one file
    assert needs(900_000).engine == "PostgreSQL"
    assert needs(15_000_000).engine == "PostgreSQL for 6 years, then Citus"  # 150 GB a year, 1 TB on one server
    assert needs(50_000_000).engine == "Citus"
    assert needs(400_000_000).engine == "2 Citus clusters"  # 40 servers


def test_servers_and_shards():
    step = needs(50_000_000)  # 5 TB after ten years
    assert [step.nodes(years) for years in (1, 5, 10)] == [1, 3, 5]
    assert step.shards == 64  # 50 of them would hold it
    assert step.servers == (5 + 1) * 3
    assert needs(900_000).shards == 0
    assert needs(900_000).servers == 3


def test_load_alone_can_ask_for_more_servers():
    assert needs(31_536_000 * 10_000).nodes(0) == 4  # 10,000 a second: 50 cores of database at the peak


@pytest.mark.parametrize("name", GIVEN["measured"])
def test_every_figure_says_where_it_comes_from_and_changes_what_is_needed(name, tmp_path):
    figure = GIVEN["measured"][name]
    assert figure["from"]
    text = (ROOT / "deploy/measured.toml").read_text(encoding="utf-8")
    head = f"[measured.{name}]\nvalue = "
    other = tmp_path / "measured.toml"
    other.write_text(text.replace(f"{head}{figure['value']}", f"{head}{figure['value'] * 3}"), encoding="utf-8")
    before, after = (SIZING["page"](path).split("## What one claim costs")[0] for path in (SIZING["MEASURED"], other))
    assert before != after


def test_what_is_said_to_come_from_the_bench_is_what_its_page_holds():
    page = (ROOT / "docs/reference/bench.md").read_text(encoding="utf-8")

    def of(figure: str, engine: str) -> float:
        (cell,) = re.findall(rf"^\| `{figure}` \| {engine} \| ([\d,.]+) ", page, re.MULTILINE)
        return float(cell.replace(",", ""))

    _, _, parts = page.partition("`cpu_per_claim`, PostgreSQL:\n")
    ours, server = re.findall(r"([\d,.]+) µs", parts)[:2]
    measured = {name: figure["value"] for name, figure in GIVEN["measured"].items() if "make bench" in figure["from"]}
    assert measured == {
        "node_cpu_batched": float(ours),
        "server_cpu_batched": float(server),
        "statements_batched": of("statements_per_claim_under_load", "PostgreSQL"),
        "statements_alone": of("statements_bill_to_instruction", "PostgreSQL"),
        "bytes_per_claim": of("bytes_per_closed_case", "PostgreSQL"),
        "bytes_per_claim_sqlite": of("bytes_per_closed_case", "SQLite"),
        "bytes_per_insured": of("bytes_per_insured", "PostgreSQL"),
        "cpu_sqlite": of("cpu_per_claim", "SQLite"),
    }


def test_every_assumption_is_used():
    text = (ROOT / "deploy/sizing.py").read_text(encoding="utf-8")
    assert [name for name in GIVEN["assumed"] if f'"{name}"' not in text] == []


def test_every_assumption_stands_on_the_page_with_its_value():
    page = SIZING["page"]()
    raw = tomllib.loads((ROOT / "deploy/measured.toml").read_text(encoding="utf-8"))
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == len(raw["assumed"])


def test_the_page_shows_the_four_steps():
    head = next(line for line in SIZING["page"]().splitlines() if "one city" in line)
    assert [cell.strip() for cell in head.strip("|").split("|")][1:] == [
        "one machine", "one city", "one national insurer", "a nation"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0123456, "0.0123"), (9.512, "9.51"), (1585.4, "1,590"), (60e6, "60,000,000")]
)
def test_three_digits_are_shown(value, shown):
    assert SIZING["shown"](value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(999, "999 B"), (20_660, "20.7 kB"), (2.48e15, "2.48 PB"), (789e9, "789 GB")]
)
def test_bytes_are_shown_in_powers_of_ten(value, shown):
    assert SIZING["shown_bytes"](value) == shown

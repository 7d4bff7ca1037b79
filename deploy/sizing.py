"""How much of everything so many claims need, from what one claim was measured to cost (measured.toml beside this).

    python deploy/sizing.py                                      the page docs/reference/sizing.md
    python deploy/sizing.py --claims 5000000 --insured 8000000   the same for your own volume only

Plain arithmetic: each function below is one line of the page. Nothing is rounded before it is shown.
"""

import argparse
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).with_name("measured.toml")
SECONDS_A_YEAR = 365 * 86_400
YEARS = (1, 5, 10)


@dataclass(frozen=True)
class Needs:
    """What one step needs; bytes are bytes, rates are a second."""

    cost: Mapping[str, float]  # of one claim, as measured
    assumed: Mapping[str, float]
    claims: int  # a year
    insured: int

    @property
    def mean(self) -> float:
        """Claims a second over the year."""
        return self.claims / SECONDS_A_YEAR

    @property
    def peak(self) -> float:
        """Claims a second in the busiest seconds."""
        return self.mean * self.assumed["peak"]

    def cores(self, part: str, how: str) -> float:
        """Cores for the peak: part "node" (doors and workers) or "server"; how "batched" or "alone"."""
        return self.peak * self.cost[f"{part}_cpu_{how}"] / 1e6 / self.assumed["utilisation"]

    def statements(self, how: str) -> float:
        """SQL statements a second at the peak."""
        return self.peak * self.cost[f"statements_{how}"]

    def database(self, years: float, per_claim: str = "bytes_per_claim") -> float:
        """Bytes after so many years; nothing is ever deleted."""
        rows = self.claims * years * self.cost[per_claim] + self.insured * self.cost["bytes_per_insured"]
        return rows * (1 + self.assumed["slack"])

    @property
    def log_a_day(self) -> float:
        """Bytes of write-ahead log on a mean day."""
        return self.claims / 365 * self.cost["wal_per_claim"]

    @property
    def archive(self) -> float:
        """Bytes of log that are kept beside the base backups."""
        return self.log_a_day * self.assumed["archive_days"]

    @property
    def log_at_peak(self) -> float:
        """Bytes of log a second at the peak: what a disk writes in order, and what each replica receives."""
        return self.peak * self.cost["wal_per_claim"]

    @property
    def from_hospitals(self) -> float:
        """Bytes a second at the peak through the doors."""
        return self.peak * self.cost["message_bytes"]

    @property
    def to_server(self) -> float:
        """Bytes a second at the peak between workers and server."""
        return self.peak * self.cost["bytes_per_claim"] * self.assumed["rows_sent"]

    @property
    def to_replicas(self) -> float:
        """Bytes a second at the peak from the primary to all its replicas."""
        return self.log_at_peak * self.assumed["replicas"]

    @property
    def years_on_one_server(self) -> float:
        """After how many years the database outgrows one server."""
        a_year = self.database(1) - self.database(0)
        return max(0.0, (self.assumed["server_bytes"] - self.database(0)) / a_year)

    def nodes(self, years: float) -> int:
        """Servers the tables are spread over (1: one PostgreSQL), replicas not counted."""
        by_size = self.database(years) / self.assumed["server_bytes"]
        by_cores = self.cores("server", "batched") / self.assumed["server_cores"]
        return max(1, math.ceil(by_size), math.ceil(by_cores))

    @property
    def clusters(self) -> int:
        """Clusters after ten years, each with a coordinator."""
        return math.ceil(self.nodes(10) / self.assumed["cluster_nodes"])

    @property
    def shards(self) -> int:
        """Shards of each cluster, a power of two, none larger than assumed after ten years; 0 on one server."""
        if self.nodes(10) == 1:
            return 0
        wanted = max(self.assumed["least_shards"], self.database(10) / self.clusters / self.assumed["shard_bytes"])
        return 1 << math.ceil(math.log2(wanted))

    @property
    def servers(self) -> int:
        """Database servers after ten years, with replicas and coordinators."""
        own = self.nodes(10) + (self.clusters if self.nodes(10) > 1 else 0)
        return own * (1 + int(self.assumed["replicas"]))

    @property
    def restore_seconds(self) -> float:
        """How long a base backup of the fullest server takes to come back after ten years."""
        return self.database(10) / self.nodes(10) / self.assumed["restore_bytes_per_second"]

    @property
    def engine(self) -> str:
        """Which engine carries it for ten years."""
        if self.database(10, "bytes_per_claim_sqlite") <= self.assumed["sqlite_bytes"]:
            return "SQLite"
        if self.nodes(10) == 1:
            return "PostgreSQL"
        if self.clusters > 1:
            return f"{self.clusters} Citus clusters"
        if self.nodes(5) == 1:
            return f"PostgreSQL for {math.floor(self.years_on_one_server)} years, then Citus"
        return "Citus"


def read(path: Path = MEASURED) -> dict[str, Any]:
    """The measured and assumed figures and the steps."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def needs(given: Mapping[str, Any], claims: int, insured: int) -> Needs:
    """What so many claims a year of so many insured persons need."""
    cost = {name: figure["value"] for name, figure in given["measured"].items()}
    return Needs(cost, given["assumed"], claims, insured)


# ---------------------------------------------------------------- shown


def shown(value: float) -> str:
    """Three digits that count."""
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def from_to(least: float, most: float) -> str:
    """Two of them; nobody buys less than a hundredth."""
    return " – ".join("< 0.01" if value < 0.01 else shown(value) for value in (least, most))


def shown_bytes(count: float) -> str:
    """In the largest unit that leaves a whole number; powers of ten."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{shown(count / size)} {unit}"
    return f"{count:.0f} B"


def shown_time(seconds: float) -> str:
    """In hours, minutes, seconds or milliseconds."""
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= 2 * size:
            return f"{shown(seconds / size)} {unit}"
    return f"{shown(seconds * 1000)} ms"


def bits(bytes_a_second: float) -> str:
    """A line's load, as lines are sold."""
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6)):
        if bytes_a_second * 8 >= size:
            return f"{shown(bytes_a_second * 8 / size)} {unit}"
    return f"{shown(bytes_a_second * 8 / 1e3)} kbit/s"


Row = tuple[str, Callable[[Needs], str]]
ROWS: Sequence[Row] = (
    ("claims a year", lambda n: shown(n.claims)),
    ("claims a second, mean", lambda n: shown(n.mean)),
    ("claims a second, peak", lambda n: shown(n.peak)),
    ("**engine**", lambda n: f"**{n.engine}**"),
    (
        "cores for doors and workers at the peak: in batches – each message alone",
        lambda n: from_to(n.cores("node", "batched"), n.cores("node", "alone")),
    ),
    (
        "cores for the database at the peak: in batches – alone",
        lambda n: from_to(n.cores("server", "batched"), n.cores("server", "alone")),
    ),
    (
        "statements a second at the peak: in batches – alone",
        lambda n: from_to(n.statements("batched"), n.statements("alone")),
    ),
    *(
        (
            f"database after {years} year{'s' if years > 1 else ''}",
            lambda n, years=years: shown_bytes(
                n.database(years, "bytes_per_claim_sqlite" if n.engine == "SQLite" else "bytes_per_claim")
            ),
        )
        for years in YEARS
    ),
    ("log a day (WAL)", lambda n: shown_bytes(n.log_a_day)),
    ("log archive", lambda n: shown_bytes(n.archive)),
    ("log at the peak, to disk", lambda n: f"{shown_bytes(n.log_at_peak)}/s"),
    ("network at the peak: from hospitals", lambda n: bits(n.from_hospitals)),
    ("– between workers and database", lambda n: bits(n.to_server)),
    ("– from primaries to their replicas", lambda n: bits(n.to_replicas)),
    (
        "servers the tables are spread over: after 1, 5, 10 years",
        lambda n: "1" if n.engine == "SQLite" else ", ".join(str(n.nodes(years)) for years in YEARS),
    ),
    ("clusters after 10 years", lambda n: "–" if n.nodes(10) == 1 else str(n.clusters)),
    ("shards of a cluster", lambda n: str(n.shards or "–")),
    (
        "database servers after 10 years, with replicas and coordinators",
        lambda n: "1" if n.engine == "SQLite" else str(n.servers),
    ),
    ("restoring the fullest server after 10 years", lambda n: shown_time(n.restore_seconds)),
)


_PAGE = """\
# Sizing

<!-- Computed by deploy/sizing.py from deploy/measured.toml; change it there and run `make docs`. -->

How much so many claims need, computed from what one claim was measured to cost. Change a figure in
[`measured.toml`](../../deploy/measured.toml), run `make docs`, and the page follows; for your own volume run
`python deploy/sizing.py --claims 5000000 --insured 8000000`. The arithmetic is [`sizing.py`](../../deploy/sizing.py), a
line each. How to build each step: [the road past one machine](../guides/scale_out.md).

**Read it as an estimate.** One claim was measured (three nights, one bill of ten lines, paid by the machine); the rest
is multiplication. Claims that go to a person, corrected bills and stays with hundreds of lines cost more; outpatient
visits cost less. Nothing above one server was run.

{rows}

{steps}

## What it says

- **Claims are few, and they stay.** Even a nation's peak, {nation_peak} claims a second, is {nation_cores} cores of
  work in batches. What grows is what is kept: {nation_a_year} a year. So disks and restores decide, not speed.
- **One PostgreSQL goes far**: a national insurer outgrows it after {insurer_years} years, by size.
- **Leave SQLite for safety, not for speed**: it has no replica. On one core it takes {sqlite_rate} claims a second.
- **Distance costs time, not throughput**: a claim that comes alone sends {statements} statements, {waiting} of waiting
  at {round_trip} ms each; in batches it sends {batched}.
- **Several clusters for a nation** are several nodes of safeweave that share nothing, one for each province or insurer.
  A person is insured in one of them; nothing in the program joins clusters.
- **What a coordinator carries was not measured**: all workers of a cluster go through it, and every batch commits on
  many nodes at once. The cores above are of plain PostgreSQL; reckon with more, and measure before you buy.
- **Older claims could move to cheaper storage** (closed cases are only read); the program does not do that yet.

## What one claim costs

{costs}

## What is assumed

{assumptions}

## The arithmetic

- claims a second, mean = claims a year ÷ 31,536,000; peak = mean × `peak`
- cores = peak × CPU a claim ÷ `utilisation`. *In batches* is what a claim costs when hundreds wait, *alone* when each
  message is followed by itself. The more waits, the less one costs: at the peak the truth is nearer to the first
- database = (claims × years × bytes a claim + insured × bytes an insured) × (1 + `slack`); nothing is deleted
- log a day = claims a year ÷ 365 × log a claim; archive = log a day × `archive_days`
- network: from hospitals = peak × bytes of the messages; to the database = peak × bytes a claim × `rows_sent`;
  to replicas = peak × log a claim × `replicas`
- servers = database ÷ `server_bytes` or database cores in batches ÷ `server_cores`, whichever is more, rounded up
- clusters = servers ÷ `cluster_nodes`, rounded up; shards = database of a cluster after ten years ÷ `shard_bytes`,
  at least `least_shards`, rounded up to a power of two
- all database servers = (servers + a coordinator for each cluster) × (1 + `replicas`)
"""


def page(path: Path = MEASURED) -> str:
    """The page docs/reference/sizing.md."""
    given = read(path)
    steps = {step["name"]: needs(given, step["claims"], step["insured"]) for step in given["step"]}
    insurer, nation = steps["one national insurer"], steps["a nation"]
    return _PAGE.format(
        rows=_table(["", *steps], [[text, *map(show, steps.values())] for text, show in ROWS]),
        steps=_table(
            ["step", "means"],
            [[step["name"], f"{step['about']}; {step['insured']:,} insured persons"] for step in given["step"]],
        ),
        nation_peak=shown(nation.peak),
        nation_cores=shown(nation.cores("node", "batched") + nation.cores("server", "batched")),
        nation_a_year=shown_bytes(nation.database(1) - nation.database(0)),
        insurer_years=shown(insurer.years_on_one_server),
        sqlite_rate=shown(1e6 / nation.cost["cpu_sqlite"]),
        statements=shown(nation.cost["statements_alone"]),
        waiting=shown_time(nation.cost["statements_alone"] * nation.assumed["round_trip_ms"] / 1000),
        round_trip=nation.assumed["round_trip_ms"],
        batched=nation.cost["statements_batched"],
        costs=_table(
            ["figure", "value", "from"],
            [
                [name.replace("_", " "), f"{figure['value']:,} {figure['unit']}", figure["from"]]
                for name, figure in given["measured"].items()
            ],
        ),
        assumptions=_table(["assumption", "value", "why"], _assumptions(path)),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _assumptions(path: Path) -> list[list[str]]:
    rows, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            inside = line == "[assumed]"
        elif inside and "=" in line:
            name, _, rest = line.partition("=")
            value, _, why = rest.partition("#")
            rows.append([f"`{name.strip()}`", value.strip(), why.strip()])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the page, or what one volume needs."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--claims", type=int, help="a year")
    asked.add_argument("--insured", type=int, default=0, help="persons")
    asked.add_argument("--measured", type=Path, default=MEASURED)
    given = asked.parse_args(arguments)
    if given.claims is None:
        print(page(given.measured), end="")
        return
    step = needs(read(given.measured), given.claims, given.insured)
    for text, show in ROWS:
        print(f"{text.replace('**', '')}: {show(step).replace('**', '')}")


if __name__ == "__main__":
    main()

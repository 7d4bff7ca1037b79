"""What a claim writes to PostgreSQL's log, for deploy/measured.toml: `python -m tests.deploy.measure_wal`.

A server of its own with the settings of deploy/postgresql/safeweave.conf that matter here, claims of the bench fed to
it until they are closed. The first claims after a checkpoint write whole pages as well; so the pages are told apart.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safeweave.commands.bench.durable import warmed
from safeweave.commands.bench.feeders import feeders
from safeweave.commands.bench.figure import Counts
from safeweave.commands.bench.stores import Bench
from safeweave_simulator.postgresql import Server

SETTINGS = {"wal_compression": "lz4", "max_wal_size": "4GB", "checkpoint_timeout": "15min", "autovacuum": "on"}
_WRITTEN = "select pg_current_wal_lsn() - '0/0', (select wal_fpi from pg_stat_wal)"


def written(server: Server, claims: int, batch: int) -> dict[str, float]:
    """Bytes of log a claim, with and without whole pages, when so many are taken at once."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), Counts(), server=server.url())
        with bench.store("postgresql", "wal") as store:
            warm = warmed(store, 2 * claims, batch)
            with feeders(store, 1) as feeding:
                feeding.feed(warm, batch, to_closed=True)
                server.run("checkpoint")
                after_checkpoint = _fed(server, feeding.feed, range(warm.stop, warm.stop + claims), batch)
                later = _fed(server, feeding.feed, range(warm.stop + claims, warm.stop + 2 * claims), batch)
    return {"batch": batch, "after_a_checkpoint": round(after_checkpoint), "later": round(later)}


def _fed(server: Server, feed, numbers: range, batch: int) -> float:  # type: ignore[no-untyped-def]
    ((before, _),) = server.run(_WRITTEN)
    feed(numbers, batch, to_closed=True)
    ((after, _),) = server.run(_WRITTEN)
    return float(after - before) / len(numbers)  # type: ignore[operator]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line for each batch size."""
    asked = argparse.ArgumentParser(prog="python -m tests.deploy.measure_wal", description=__doc__)
    asked.add_argument("--claims", type=int, default=3000)
    given = asked.parse_args(arguments)
    server = Server.temporary(SETTINGS).start()
    try:
        for batch in (500, 1):
            claims = given.claims if batch > 1 else max(200, given.claims // 10)
            print(json.dumps(written(server, claims, batch)), flush=True)
    finally:
        server.remove()


if __name__ == "__main__":
    main()

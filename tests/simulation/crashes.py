"""Real crashes under load: kill -9 of workers, node, bank and PostgreSQL, connection storms, full disks, a promotion.

    python -m tests.simulation.crashes --times 200

After each crash the service must resume by itself within a minute; in the end every acknowledged message is in the
store exactly once, every discharge has one outcome, the bank paid each key once and exactly what the journal says.
Each site lives through some crashes, is checked, and another one is set up. Prints what came and how long it took.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from safeweave_simulator.broken import Broken
from safeweave_simulator.site import WORKERS, Disk, Engine, Site

EVERYWHERE = ("worker", "workers", "node", "bank")
WITH_A_SERVER = (*EVERYWHERE, "postgresql", "postgresql", "storm")
CRASHES_A_SITE = 15
BETWEEN_SECONDS = (0.05, 1.5)


def kinds_of(engine: Engine, disk: bool, replicated: bool) -> list[str]:
    """What can happen to such a site."""
    kinds = [*(WITH_A_SERVER if engine == "postgresql" else EVERYWHERE)]
    return [*kinds, *(["disk full"] if disk else []), *(["promotion"] if replicated else [])]


def crash(site: Site, kind: str, moments: random.Random) -> None:
    """Let this happen to the site now."""
    match kind:
        case "worker":
            site.parts[f"worker {moments.randint(1, WORKERS)}"].kill()
        case "workers":
            for number in range(1, WORKERS + 1):
                site.parts[f"worker {number}"].kill()
        case "node" | "bank":
            site.parts[kind].kill()
        case "postgresql":
            site.kill_store()
        case "storm":
            site.storm(moments.uniform(0.5, 2.0))
        case "disk full":
            assert site.disk is not None
            with site.disk.full():
                time.sleep(moments.uniform(0.5, 2.5))
        case "promotion":
            site.promote_replica()


def live_through(
    home: Path, engine: Engine, kinds: Sequence[str], seed: int, disk: bool = False, replicated: bool = False
) -> list[tuple[str, float]]:
    """What came over one site, each with the seconds until it served again; raises Broken if anything was lost."""
    moments = random.Random(seed)
    came: list[tuple[str, float]] = []
    with Site(home, engine, seed, disk=disk, replicated=replicated) as site:
        for kind in kinds:
            time.sleep(moments.uniform(*BETWEEN_SECONDS))
            crash(site, kind, moments)
            came.append((kind, site.resumes()))
        site.come_to_rest()
        site.check()
    return came


def main(arguments: Sequence[str] | None = None) -> int:
    """Live through as many crashes as asked for; 0 if nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.crashes", description=__doc__)
    parser.add_argument("--times", type=int, default=200, help="how many crashes")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), help="only on this one (default: in turn)")
    parser.add_argument("--only", help="only crashes of this kind")
    parser.add_argument("--seed", type=int, default=1, help="which moments and kinds are drawn")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started and mounted is taken away
    engines: list[Engine] = [asked.engine] if asked.engine else ["postgresql", "sqlite"]
    can_fill = Disk.can_be_had()
    if not can_fill:
        print("disk full is left out: only the superuser can mount a small disk", flush=True)
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    left, number, broken = asked.times, 0, 0
    while left > 0:
        engine = engines[number % len(engines)]
        disk, replicated = can_fill and number % 4 < 2, engine == "postgresql" and number % 4 >= 2
        draw = random.Random(f"{asked.seed}/{number}")
        kinds = [asked.only] if asked.only else kinds_of(engine, disk, replicated)
        coming = [draw.choice(kinds) for _ in range(min(CRASHES_A_SITE, left))]
        home = Path(tempfile.mkdtemp(prefix="safeweave-crashes-"))
        began = time.monotonic()
        try:
            came = live_through(home, engine, coming, asked.seed * 1000 + number, disk, replicated)
        except Broken as law:
            broken += 1
            print(f"{engine}, site {number} ({', '.join(coming)}): {law}; it lies in {home}", flush=True)
        else:
            for kind, seconds in came:
                took[engine, kind].append(seconds)
            shutil.rmtree(home, ignore_errors=True)
            lived = time.monotonic() - began
            print(f"{engine}: {len(coming)} crashes, nothing lost or doubled ({lived:.0f} s)", flush=True)
        left -= len(coming)
        number += 1
    print("| engine | what came | times | back after, median | at most |\n|---|---|---|---|---|")
    for (engine, kind), seconds_each in sorted(took.items()):
        median = sorted(seconds_each)[len(seconds_each) // 2]
        print(f"| {engine} | {kind} | {len(seconds_each)} | {median:.1f} s | {max(seconds_each):.1f} s |")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

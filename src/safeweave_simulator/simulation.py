"""A deterministic simulation of the whole system: `python -m safeweave_simulator.simulation --seeds 100 --from 1`.

One seed is some weeks of a city, an insurer and a bank in one thread, with faults at every turn; the laws are checked
after every step, every day and in the end. A seed that fails prints its last steps and fails the same way again.
"""

import argparse
import gc
import hashlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from logging import CRITICAL, getLogger
from pathlib import Path
from secrets import randbits
from typing import Any

import msgspec

from safeweave.clock import seconds_running, shanghai_day
from safeweave_simulator import laws
from safeweave_simulator.outsiders import Broken
from safeweave_simulator.world import WORLDS_A_CITY, World, draw_ids_with, trouble_at_the_bank

MEMORY = Path("/dev/shm")  # fsync costs nothing there; elsewhere a simulation is only slower


class Result(msgspec.Struct):
    """How one seed went. `law` is the one that broke ("": none); `digest` is the same whenever the seed is run."""

    seed: int
    stays: int = 0
    steps: int = 0
    seconds: float = 0.0
    digest: str = ""
    law: str = ""
    detail: str = ""
    last_steps: list[str] = []
    did: dict[str, int] = {}
    outcomes: dict[str, int] = {}


def run(seed: int, stays: int = 40, folder: Path | None = None) -> Result:
    """Let one seed's world live to its end; its store is left in `folder`, if one is given."""
    began = seconds_running()
    home = folder or Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    logger = getLogger("safeweave")
    level = logger.level
    logger.setLevel(CRITICAL)  # what goes wrong here is meant to
    result = Result(seed)
    gc.disable()  # nothing of a world is freed before its end
    try:
        world = World(seed, stays, home)
        try:
            _live(world, result)
        finally:
            result.stays, result.steps = len(world.truths), world.step_number
            result.did = dict(world.did + world.bank.said)
            result.last_steps = list(world.steps)[-25:] if result.law else []
            world.close()
    finally:
        gc.enable()
        draw_ids_with(randbits)
        logger.setLevel(level)
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)
    result.seconds = seconds_running() - began
    return result


def _live(world: World, result: Result) -> None:
    trouble_at_the_bank(world)
    try:
        day = shanghai_day(world.now)
        while not world.is_over:
            world.step()
            if world.has_changed():
                laws.at_every_step(world)
            if shanghai_day(world.now) != day:
                day = shanghai_day(world.now)
                laws.at_any_time(world)
        world.settle(lambda: laws.at_any_time(world) if world.has_changed() else None)
        laws.in_the_end(world)
    except Broken as broken:
        result.law, result.detail = broken.law, str(broken.detail)[:4000]
    stages = world.rows("select stage, count(*) from claim_case group by stage order by stage")
    states = world.rows("select state, count(*) from payout group by state order by state")
    result.outcomes = {str(what): int(str(count)) for what, count in (*stages, *states)}
    log = world.rows("select id, kind, subject, told_at, payload from event order by id")
    result.digest = hashlib.sha256(repr((log, world.steps)).encode()).hexdigest()[:16]


def run_all(seeds: Sequence[int], stays: int, jobs: int) -> Iterator[Result]:
    """The results of these seeds, in their order."""
    if jobs == 1:
        yield from (run(seed, stays) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(partial(run, stays=stays), seeds, chunksize=WORLDS_A_CITY)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds asked for: 0 if every law held, 1 if one broke."""
    parser = argparse.ArgumentParser(prog="safeweave_simulator.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--from", dest="first", type=int, default=1, help="the first seed")
    parser.add_argument("--stays", type=int, default=40, help="stays that begin in each world")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--first-failure", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    asked = parser.parse_args(arguments)
    began = seconds_running()
    done: list[Result] = []
    for result in run_all(range(asked.first, asked.first + asked.seeds), asked.stays, asked.jobs):
        done.append(result)
        if result.law:
            print(f"seed {result.seed}: {result.law}\n  {result.detail}", file=sys.stderr)
            print("".join(f"    {step}\n" for step in result.last_steps), file=sys.stderr, end="")
            if asked.first_failure:
                break
        elif not asked.json and sys.stdout.isatty():
            print(f"\r{len(done)} of {asked.seeds} seeds", end="", flush=True)
    summary = _summary(done, seconds_running() - began)
    if asked.json:
        print(json.dumps(summary))
    else:
        print("\n" * sys.stdout.isatty() + "\n".join(f"{name:16} {value}" for name, value in summary.items()))
    return 1 if summary["failed"] else 0


def _summary(done: Sequence[Result], seconds: float) -> dict[str, Any]:
    did: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for result in done:
        did.update(result.did)
        outcomes.update(result.outcomes)
    claims = sum(result.stays for result in done)
    return {
        "seeds": len(done),
        "failed": [result.seed for result in done if result.law],
        "claims": claims,
        "steps": sum(result.steps for result in done),
        "seconds": round(seconds, 1),
        "claims_per_second": round(claims / seconds, 1),
        "did": dict(sorted(did.items())),
        "outcomes": dict(sorted(outcomes.items())),
    }


if __name__ == "__main__":
    sys.exit(main())

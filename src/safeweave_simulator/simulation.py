"""A deterministic simulation of the whole system: `python -m safeweave_simulator.simulation --seeds 100 --from 1`.

One seed is some weeks of a city, an insurer and a bank, with faults at every turn; the laws are checked after every
step, of everything that step has touched, and of everything once a week, now and then, and in the end. A seed that
fails prints its last steps and fails the same way again. A run that was stopped goes on from where its last line says.
"""

import argparse
import functools
import gc
import hashlib
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from logging import CRITICAL, getLogger
from pathlib import Path
from random import Random
from secrets import randbits
from typing import Any

import msgspec

from safeweave.clock import seconds_running, shanghai_day
from safeweave_simulator import laws
from safeweave_simulator.broken import Broken
from safeweave_simulator.store_file import StoreFile, stored_in
from safeweave_simulator.world import WORLDS_A_CITY, World, draw_ids_with

MEMORY = Path("/dev/shm")  # a store there is written at once; elsewhere a simulation is only slower
PROGRESS_EVERY_SECONDS = 10.0
AT_RANDOM = 0.01  # the share of steps after which everything is looked at, not only what they have touched
_TABLES = ("event", "claim_case", "case_step", "determination", "payout", "journal_entry", "message")


class Result(msgspec.Struct):
    """How one seed went. `law` is the one that broke ("": none); `digest`, if asked for, is the same every time."""

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


def run(seed: int, stays: int = 40, store: StoreFile | None = None, with_digest: bool = False) -> Result:
    """Let one seed's world live to its end, in this store or in one of its own."""
    if store is None:
        with stored_in(_folder()) as store:
            return run(seed, stays, store, with_digest)
    began = seconds_running()
    logger = getLogger("safeweave")
    level = logger.level
    logger.setLevel(CRITICAL)  # what goes wrong here is meant to
    result = Result(seed)
    gc.disable()  # nothing of a world is freed before its end
    try:
        world = World(seed, stays, store)
        try:
            _live(world, result)
            if with_digest:
                rows = [world.rows(f"select * from {table} order by rowid") for table in _TABLES]
                result.digest = hashlib.sha256(repr((rows, world.steps)).encode()).hexdigest()[:16]
        finally:
            result.stays, result.steps = len(world.truths), world.step_number
            result.did = dict(world.did + world.bank.said)
            if result.law:
                result.last_steps = [f"{n:5d} {at:%m-%d %H:%M:%S} {what}" for n, at, what in [*world.steps][-25:]]
            world.close()
    finally:
        gc.enable()
        draw_ids_with(randbits)
        logger.setLevel(level)
    if result.law:
        store.close()  # the next world shall not begin where this one has broken off
    result.seconds = seconds_running() - began
    return result


def _folder() -> Path:
    return Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))


@functools.cache
def _store_of(job: int, home: Path) -> StoreFile:
    folder = home / str(job)
    folder.mkdir()
    return StoreFile(folder)


def _run_in(home: Path, stays: int, seed: int) -> Result:
    return run(seed, stays, _store_of(os.getpid(), home))


def _live(world: World, result: Result) -> None:
    try:
        week, looks = _week_of(world), Random(f"{world.seed}/looks")
        while not world.is_over:
            world.step()
            if world.has_changed():
                laws.after_a_step(world)
            if _week_of(world) != week or looks.random() < AT_RANDOM:
                week = _week_of(world)
                laws.at_any_time(world)
        world.settle(lambda: laws.after_a_step(world) if world.has_changed() else None)
        laws.in_the_end(world)
    except Broken as broken:
        result.law, result.detail = broken.law, str(broken.detail)[:4000]
    except Exception as error:  # when nothing goes wrong any more, or in a law that finds no sense in what is stored
        result.law, result.detail = "nothing fails by itself", "".join(traceback.format_exception(error)[-4:])
    stages = world.rows("select stage, count(*) from claim_case group by stage order by stage")
    states = world.rows("select state, count(*) from payout group by state order by state")
    result.outcomes = {str(what): int(str(count)) for what, count in (*stages, *states)}


def _week_of(world: World) -> int:
    return shanghai_day(world.now).toordinal() // 7


def run_all(seeds: Sequence[int], stays: int, jobs: int) -> Iterator[Result]:
    """The results of these seeds, in their order."""
    home = _folder()
    try:
        one = functools.partial(_run_in, home, stays)
        if jobs == 1:
            yield from map(one, seeds)
            return
        with ProcessPoolExecutor(jobs) as pool:
            yield from pool.map(one, seeds, chunksize=WORLDS_A_CITY)
    finally:
        shutil.rmtree(home, ignore_errors=True)


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
    began = told_at = seconds_running()
    done: list[Result] = []
    last = asked.first + asked.seeds - 1
    for result in run_all(range(asked.first, last + 1), asked.stays, asked.jobs):
        done.append(result)
        if result.law:
            print(f"seed {result.seed}: {result.law}\n  {result.detail}", file=sys.stderr)
            print("".join(f"    {step}\n" for step in result.last_steps), file=sys.stderr, end="", flush=True)
            if asked.first_failure:
                break
        if not asked.json and seconds_running() - told_at > PROGRESS_EVERY_SECONDS:
            told_at = seconds_running()
            _tell_progress(done, last, told_at - began)
    summary = _summary(done, seconds_running() - began)
    if asked.json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name:16} {value}" for name, value in summary.items()))
    return 1 if summary["failed"] else 0


def _tell_progress(done: Sequence[Result], last: int, seconds: float) -> None:
    claims = sum(result.stays for result in done)
    failed = [result.seed for result in done if result.law]
    at = done[-1].seed
    print(
        f"{len(done)} seeds, {claims} claims, {claims / seconds:.0f} a second, failed: {failed or 'none'};"
        f" to go on from here: --from {at + 1} --seeds {last - at}",
        flush=True,
    )


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

"""A city whose insurer is killed with -9 at any moment, and started again: every discharge is paid exactly once.

SAFEWEAVE_CRASHES=20 pytest tests/simulation/test_crashes.py     (the default is 3)
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CRASHES = int(os.environ.get("SAFEWEAVE_CRASHES", "3"))
RATE = 40  # messages a second, so that there is always more to tell when a run is killed
# A discharge is not paid by itself if a person looks first, or if the payment waits for an account; each with a reason.
LOOKED_AT = ("referred", "refused")


class Demo:
    """`safeweave demo` in a home of its own."""

    def __init__(self, home: Path, seconds: int) -> None:
        self.home, self.seconds = home, seconds
        self.process: subprocess.Popen[bytes] | None = None

    def starts(self) -> None:
        arguments = ["--home", str(self.home), "demo", "--headless", "--json"]
        arguments += ["--seconds", str(self.seconds), "--rate", str(RATE)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "safeweave.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=(self.home.parent / "demo.log").open("ab"),
            env={**{k: v for k, v in os.environ.items() if not k.startswith("SAFEWEAVE")}, "SAFEWEAVE_LANGUAGE": "en"},
        )

    def ends(self) -> dict[str, Any]:
        """Its summary, when it has come to its end by itself."""
        assert self.process is not None
        out, _ = self.process.communicate(timeout=90 + 2 * self.seconds)
        assert self.process.returncode == 0, (self.home.parent / "demo.log").read_text()
        summary: dict[str, Any] = json.loads(out)
        return summary

    def is_killed(self) -> None:
        """kill -9 of the process a person would see; those it started must not outlive it."""
        assert self.process is not None
        started = self.children()
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() and not is_zombie(pid) for pid in started))

    def children(self, what: str = "") -> list[int]:
        """The processes it started, those whose command names `what`."""
        assert self.process is not None
        return [pid for pid in children_of(self.process.pid) if what in command_of(pid)]

    def is_alive(self) -> None:
        """The city has begun to speak, and the insurer hears it."""
        heard = self.heard()
        wait_until(lambda: self.heard() > heard)

    def heard(self) -> int:
        try:
            return int(rows(self.home / "safeweave.db", "select count(*) from inbound_message")[0][0])
        except sqlite3.OperationalError:  # not made yet
            return 0

    def kills(self, what: str) -> None:
        """kill -9 of one process it started, once it is there; the demo then ends by itself and says so."""
        assert self.process is not None
        self.is_alive()
        (pid,) = self.children(what)
        os.kill(pid, signal.SIGKILL)
        self.process.communicate(timeout=60)
        assert self.process.returncode == 1


def children_of(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if ppid == parent:
                found.append(int(entry.name))
    return found


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return database.execute(sql).fetchall()
    finally:
        database.close()


def check(home: Path, summary: dict[str, Any]) -> None:
    """What must hold after any number of crashes, read from the files of insurer, bank and city."""
    insurer, bank = home / "safeweave.db", home / "bank.db"
    assert (summary["trial_balance_fen"], summary["bank_difference_fen"], summary["bank_items"]) == (0, 0, [])
    assert rows(insurer, "select * from task where parked is not null") == []
    assert rows(home / "city.state", "select * from waiting") == []

    # At the bank: each key once, and exactly the payouts we hold for paid.
    booked = rows(bank, "select key, count(*), sum(amount_fen) from entry where key <> '' group by key")
    assert [entry for entry in booked if entry[1] != 1] == []
    paid = dict(rows(insurer, "select id, amount_fen from payout where state = 'paid'"))
    assert {key: abs(fen) for key, _, fen in booked} == paid
    assert paid

    # Each determination orders at most one payment that is not replaced, over what it moves.
    twice = "select determination from payout where replaced_by is null group by determination having count(*) > 1"
    assert rows(insurer, twice) == []

    stages = {(s, v): (c, stage) for s, v, c, stage in rows(insurer, "select sender, visit, id, stage from claim_case")}
    waiting = set(rows(insurer, "select sender, visit from visit where waiting is not null"))
    in_force: dict[str, dict[str, int]] = {}
    decided_on: dict[str, set[str]] = {}
    standing = "select case_id, policy, payable, claim from determination where in_force = 1"
    for case, policy, fen, claim in rows(insurer, standing):
        assert policy not in in_force.setdefault(case, {}), f"{case} is decided twice under {policy}"
        in_force[case][policy] = fen
        bills = json.loads(claim).get("bills", [])
        decided_on.setdefault(case, set()).update(f"{bill['code']}-{bill['number']}" for bill in bills)
    moved: dict[str, int] = {}
    for case, fen in rows(insurer, "select case_id, amount_fen from payout where replaced_by is null"):
        moved[case] = moved.get(case, 0) + fen
    for case, fen in rows(insurer, "select case_id, amount_fen from recovery"):
        moved[case] = moved.get(case, 0) - fen
    unpaid = dict(rows(insurer, "select case_id, reason from payout where state <> 'paid'"))

    truths = json.loads((home / "answers.json").read_text(encoding="utf-8"))
    assert truths
    for truth in truths:
        visit, expected = (truth["hospital"], truth["visit"]), truth["expected"]
        if expected in ("not_insured", "no_cover"):
            assert visit not in stages, truth
            assert visit in waiting, truth
            continue
        case, stage = stages[visit]
        if expected == "cancelled":
            assert stage in ("withdrawn", *LOOKED_AT), truth
        elif expected == "open":
            assert stage in ("reported", "admitted", "charged", "discharged", "transferred", "died", "reopened",
                             *LOOKED_AT), (stage, truth)  # fmt: skip
        elif expected == "reversed":
            assert stage in ("discharged", "reopened", *LOOKED_AT), (stage, truth)
        else:
            assert stage in ("closed", "determined", *LOOKED_AT), (stage, truth)
            assert stage != "determined" or unpaid.get(case), (stage, truth)
            if stage == "closed":
                assert decided_on.get(case, {truth["final_bill"]}) == {truth["final_bill"]}, truth
        assert moved.get(case, 0) == sum(in_force.get(case, {}).values()), truth


@pytest.mark.parametrize("seed", [20261125])
def test_a_demo_killed_at_any_moment_pays_every_discharge_exactly_once(tmp_path, seed):
    moments, demo = random.Random(seed), Demo(tmp_path / "home", seconds=8 + 4 * CRASHES)
    for _ in range(CRASHES):
        demo.starts()
        if moments.random() < 0.8:
            demo.is_alive()
        time.sleep(moments.uniform(0.0, 2.5))
        demo.is_killed()
    demo.starts()
    check(demo.home, demo.ends())


def test_a_demo_whose_node_or_bank_is_killed_says_so_and_goes_on_when_started_again(tmp_path):
    demo = Demo(tmp_path / "home", seconds=9)
    for what in ("safeweave.main\0serve", "safeweave_simulator.bank"):
        demo.starts()
        demo.kills(what)
    demo.starts()
    check(demo.home, demo.ends())

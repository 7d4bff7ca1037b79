"""Real crashes: a demo killed with -9 and started again, and sites whose parts are killed one after another under load.

`python -m tests.simulation.crashes --times 200` lives through many more; SAFEWEAVE_CRASHES=20 kills the demo 20 times.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from safeweave.database import Database
from safeweave.exchange.senders import every as senders_known
from safeweave_simulator.outcomes import check_money, check_outcomes
from safeweave_simulator.postgresql import NotInstalled, programs
from safeweave_simulator.site import Disk, Engine
from simulation.crashes import live_through
from waiting import PATIENCE, until

CRASHES = int(os.environ.get("SAFEWEAVE_CRASHES", "2"))
HOSPITALS = 2
RATE = 40  # messages a second, so that there is always more to tell when a run is killed


class Demo:
    """`safeweave demo` in a home of its own."""

    def __init__(self, home: Path, seconds: int) -> None:
        self.home, self.seconds = home, seconds
        self.process: subprocess.Popen[bytes] | None = None

    def starts(self) -> None:
        arguments = ["--home", str(self.home), "demo", "--headless", "--json"]
        arguments += ["--seconds", str(self.seconds), "--rate", str(RATE), "--hospitals", str(HOSPITALS)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "safeweave.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=(self.home.parent / "demo.log").open("ab"),
            env={**{k: v for k, v in os.environ.items() if not k.startswith("SAFEWEAVE")}, "SAFEWEAVE_LANGUAGE": "en"},
        )

    def ends(self) -> dict[str, Any]:
        """Its summary, when it has come to its end by itself."""
        assert self.process is not None
        out, _ = self.process.communicate(timeout=PATIENCE + 2 * self.seconds)
        assert self.process.returncode == 0, (self.home.parent / "demo.log").read_text() + out.decode()
        summary: dict[str, Any] = json.loads(out)
        return summary

    def is_killed(self) -> None:
        """kill -9 of the process a person would see; those it started must not outlive it."""
        assert self.process is not None
        started = self.children()
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
        until(lambda: not any(Path(f"/proc/{pid}").exists() and not is_zombie(pid) for pid in started))

    def children(self, what: str = "") -> list[int]:
        """The processes it started, those whose command names `what`."""
        assert self.process is not None
        return [pid for pid in children_of(self.process.pid) if what in command_of(pid)]

    def is_alive(self) -> None:
        """The city has begun to speak and the insurer hears it, or it has nothing more to say."""
        heard, ended = self.heard(), self.times_the_city_ended()
        until(lambda: self.heard() > heard or self.times_the_city_ended() > ended)

    def heard(self) -> int:
        try:
            with closing(sqlite3.connect(f"file:{self.home / 'safeweave.db'}?mode=ro", uri=True)) as store:
                return int(store.execute("select count(*) from inbound_message").fetchone()[0])
        except sqlite3.OperationalError:  # not made yet
            return 0

    def times_the_city_ended(self) -> int:
        log = self.home / "city.log"
        return log.read_text(encoding="utf-8").count("taken ") if log.exists() else 0

    def kills(self, what: str) -> None:
        """kill -9 of one process it started, once it is there; the demo then ends by itself and says so."""
        assert self.process is not None
        self.is_alive()
        until(lambda: self.children(what))
        os.kill(self.children(what)[0], signal.SIGKILL)
        self.process.communicate(timeout=PATIENCE)
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


def check(home: Path, summary: dict[str, Any]) -> None:
    """What must hold after any number of crashes, read from the files of insurer, bank and city."""
    assert (summary["trial_balance_fen"], summary["bank_difference_fen"], summary["bank_items"]) == (0, 0, [])
    with closing(sqlite3.connect(f"file:{home / 'city.state'}?mode=ro", uri=True)) as state:
        assert state.execute("select * from waiting").fetchall() == []
    assert summary["consortium"]["well"], summary["consortium"]
    truths = json.loads((home / "answers.json").read_text(encoding="utf-8"))
    senders = {}
    for folder in home.glob("consortium/hospital-*"):
        with closing(Database(folder / "safeweave.db")) as store, store.reading() as tx:
            (code,) = senders_known(tx)
        senders[code] = json.loads((folder / "member.json").read_text(encoding="utf-8"))["member"]
    for number, folder, bank in ((1, home, "bank.db"), (2, home / "consortium" / "insurer-2", "bank-2.db")):
        own = {
            json.loads(line)["number"]
            for line in (home / "city" / f"policies-{folder.name}.jsonl").read_text(encoding="utf-8").splitlines()
        }
        told = [
            truth for truth in truths
            if not truth["minor_without_guardian"]  # nobody can consent for them
            and (own & set(truth["policies"]) or (number == 1 and not truth["policies"]))
        ]  # fmt: skip
        with closing(Database(folder / "safeweave.db")) as store:
            check_money(store, home / bank)
            check_outcomes(store, told, senders)


@pytest.mark.parametrize("seed", [20261125])
def test_a_demo_killed_at_any_moment_pays_every_discharge_exactly_once(tmp_path, seed):
    moments, demo = random.Random(seed), Demo(tmp_path / "home", seconds=6 + 3 * CRASHES)
    for _ in range(CRASHES):
        demo.starts()
        if moments.random() < 0.8:
            demo.is_alive()
        time.sleep(moments.uniform(0.0, 2.5))
        demo.is_killed()
    demo.starts()
    check(demo.home, demo.ends())


def test_a_demo_whose_node_or_bank_is_killed_says_so_and_goes_on_when_started_again(tmp_path):
    demo = Demo(tmp_path / "home", seconds=6)
    for what in ("insurer\0serve", "bank.db", "hospital\0serve", "commission\0serve"):
        demo.starts()
        demo.kills(what)
    demo.starts()
    check(demo.home, demo.ends())


@pytest.mark.parametrize(
    ("engine", "kinds", "replicated"),
    [
        ("sqlite", ["worker", "disk full", "node", "bank"], False),
        ("postgresql", ["disk full", "workers", "storm", "postgresql", "promotion"], True),
    ],
)
def test_a_site_serves_again_by_itself_whatever_was_killed_and_loses_and_doubles_nothing(
    tmp_path: Path, engine: Engine, kinds: list[str], replicated: bool
) -> None:
    if engine == "postgresql":
        try:
            programs()
        except NotInstalled as missing:
            pytest.skip(str(missing))
    has_disk = Disk.can_be_had() and "disk full" in kinds
    kinds = [kind for kind in kinds if kind != "disk full" or has_disk]
    assert len(live_through(tmp_path / "home", engine, kinds, 7, has_disk, replicated)) == len(kinds)

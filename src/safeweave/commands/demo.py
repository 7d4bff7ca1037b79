"""`safeweave demo`: a city for about a minute, over the same doors, flow and bank as everything else."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from safeweave import clock, payments
from safeweave.cases import store
from safeweave.clock import SHANGHAI, seconds_running
from safeweave.commands.case import find_case, print_case
from safeweave.commands.demo_members import Consortium
from safeweave.commands.demo_scenes import Scenes, shown
from safeweave.commands.leashed import leashed
from safeweave.commands.money import STATEMENT
from safeweave.commands.screen import console, print_json
from safeweave.consortium.homes import Home
from safeweave.database import Database
from safeweave.errors import Conflict, Unavailable
from safeweave.exchange import senders
from safeweave.money import yuan_shown
from safeweave.node import open_node
from safeweave.overview import Overview, latest_payouts, milliseconds_from_the_hospital, overview
from safeweave.payments.banks.sandbox import SandboxBank
from safeweave.payments.reconcile import reconcile
from safeweave.ports import free_port
from safeweave.settings import Settings
from safeweave.words import Language, knows, say

STAYS_A_SECOND = 3
MESSAGES_A_STAY = 10
BANK_SECONDS = 60.0  # for an answer of the bank, which is a process on a machine that may be busy
STORY_VISIT = "ZY"  # the opening story's visit begins so; its case is shown first
SETTLING_SECONDS = 90  # longer than a delivery is put off at most (`sending.LONGEST_RETRY_SECONDS`)


def demo(settings: Settings, asked: argparse.Namespace) -> int:
    """Set up a city, let it live, show it, and sum it up; an interrupted demo goes on where it stopped."""
    if settings.bank_url:
        raise Conflict(say("demo.own_bank", settings.language))
    began = seconds_running()
    city = _City(settings, asked)
    out = Console(stderr=True, highlight=False) if asked.json else console()
    with ExitStack() as opened:
        city.prepare(out)
        summary = city.live(opened, out)
        summary["seconds"] = round(seconds_running() - began, 1)
        city.finish()
        if asked.json:
            print_json(summary)
        else:
            _print_summary(out, summary, city.command, settings.language)
        if sys.stdin.isatty() and not (asked.headless or asked.json):
            city.stay_open(out)
    is_right = summary["trial_balance_fen"] == 0 and summary["bank_difference_fen"] == 0
    return 0 if is_right and summary["consortium"]["well"] else 1


class _City:
    """One demo in one home folder."""

    def __init__(self, settings: Settings, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.language: Language = settings.language
        # A home that holds anything but a demo's city is left alone: the demo then lives beside it.
        beside = settings.home.with_name(f"{settings.home.name}-demo")
        self.home = settings.home if _is_a_demo(settings.home / "safeweave.db") else beside
        self.asked_home = settings.home
        self.marker = self.home / "demo.json"
        self.running: dict[str, subprocess.Popen[bytes]] = {}  # what must not end before the city does, by its log
        self.stays = max(int(asked.seconds * STAYS_A_SECOND), 10)
        self.settings = replace(
            settings, home=self.home, database="", http_port=free_port(settings.http_port), mllp_port=free_port()
        )

    # ------------------------------------------------------------ before

    def prepare(self, out: Console) -> None:
        """Make the home ready: anew, or as an interrupted demo left it."""
        self.home.mkdir(parents=True, exist_ok=True)
        before = json.loads(self.marker.read_text(encoding="utf-8")) if self.marker.exists() else None
        plan = {"seed": self.asked.seed, "hospitals": self.asked.hospitals, "stays": self.stays}
        if self.home != self.asked_home:
            out.print(say("demo.beside", self.language, other=self.asked_home, home=self.home))
        goes_on = before is not None and before["plan"] == plan and (not before["finished"] or self.asked.keep)
        self.today = before["today"] if before and goes_on else clock.shanghai_day(clock.now()).isoformat()
        if before is not None and not goes_on:
            for name in ("safeweave.db", "bank.db", "bank-2.db", "city.state", "proof.json", STATEMENT):
                for file in self.home.glob(f"{name}*"):
                    shutil.rmtree(file) if file.is_dir() else file.unlink()
            shutil.rmtree(self.home / "consortium", ignore_errors=True)
        self.plan = plan
        self._mark(finished=False)
        if goes_on:
            out.print(say("demo.goes_on", self.language, home=self.home))
        self._write_city()
        today = date.fromisoformat(self.today)
        self.consortium = Consortium(self.settings, self.home / "city", today, self.language)
        out.print(say("demo.makes", self.language, hospitals=len(self.consortium.hospitals)))
        self.consortium.make()

    def _mark(self, finished: bool) -> None:
        content = json.dumps({"plan": self.plan, "today": self.today, "finished": finished})
        self.marker.with_suffix(".new").write_text(content, encoding="utf-8")
        os.replace(self.marker.with_suffix(".new"), self.marker)

    def _simulator(self, *more: str) -> list[str]:
        plan = self.plan
        return [
            "safeweave_simulator",
            "--seed",
            str(plan["seed"]),
            "--hospitals",
            str(plan["hospitals"]),
            "--people",
            str(max(2 * self.stays, 200)),
            "--stays",
            str(plan["stays"]),
            "--today",
            self.today,
            *more,
        ]

    def _write_city(self) -> None:
        folder = self.home / "city"
        subprocess.run([sys.executable, "-m", *self._simulator("--write", str(folder))], check=True)

    # ------------------------------------------------------------ the city lives

    def live(self, opened: ExitStack, out: Console) -> dict[str, Any]:
        """Start bank, node and city; show them; wait until all is settled; the summary."""
        banks = [opened.enter_context(self._bank(name)) for name in ("bank", "bank-2")]
        bank_url = banks[0]
        self.running |= self.consortium.start(opened, banks)
        out.print(say("demo.pages", self.language, url=self.consortium.insurer.doors))
        _bank_faults(bank_url)
        database = Database(self.settings.store)
        opened.callback(database.close)
        doors = ["--doors", str(self.consortium.write_doors(self.home / "doors.json"))]
        rate = self.asked.rate or max(self.stays * MESSAGES_A_STAY / max(self.asked.seconds - 4, 2), 1)
        told = self._simulator(
            *doors,
            "--rate",
            f"{rate:.1f}",
            "--seconds",
            str(self.asked.seconds),
            "--state",
            str(self.home / "city.state"),
            "--answers",
            str(self.home / "answers.json"),
            "--opening",
            "--quiet",
            "--patience",
            "20",
        )
        began = seconds_running()
        city = opened.enter_context(leashed(told, self.home / "city.log", {}))
        if not self.asked.headless:
            self._show_opening(database, out)
        self._watch(database, city, began, out)
        difference, items = self._settle(database, bank_url)
        statement = httpx.get(
            f"{bank_url}/statement?first=2000-01-01&last=2099-12-31",
            headers={"accept": "application/xml"},
            timeout=BANK_SECONDS,
        )
        (self.home / STATEMENT).write_bytes(statement.raise_for_status().content)
        with database.reading() as tx:
            now = overview(tx)
            from_the_hospital = milliseconds_from_the_hospital(tx)
        with closing(self.consortium.other_insurer.database()) as second, second.reading() as tx:
            other = overview(tx)
        summary = _summary(now, difference, items) | _from_the_hospital(from_the_hospital)
        scenes = Scenes(self.consortium, self.language).play()
        return summary | {"other_insurer": _summary(other, 0, []), "consortium": scenes}

    @contextmanager
    def _bank(self, name: str) -> Iterator[str]:
        data, log = self.home / f"{name}.db", self.home / f"{name}.log"
        arguments = ["safeweave_simulator.bank", "--data", str(data), "--seed", str(self.asked.seed)]
        with leashed(arguments, log, {}, read_first_line=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().decode().strip()
            if not url:
                raise Unavailable(say("demo.bank_silent", self.language, log=log))
            self.running[log.name] = process
            yield url

    def _show_opening(self, database: Database, out: Console) -> None:
        """The stay of the public story, as soon as it is paid."""
        deadline = seconds_running() + 10
        while seconds_running() < deadline:
            with database.reading() as tx:
                timed = {paid.case for paid in latest_payouts(tx, 1000) if paid.milliseconds is not None}
                stories = [case for case in store.cases_in(tx, ("closed", "paid")) if _is_story(case.visit)]
                found = [case for case in stories if case.id in timed]
            if found:
                node = open_node(self.settings)
                with database.reading() as tx:
                    case = find_case(tx, found[0].id)
                    out.rule(say("demo.opening", self.language))
                    print_case(tx, node, case, self.language)
                    for paid in latest_payouts(tx, 1000):
                        if paid.case == case.id:
                            out.print(f"[bold]{say('demo.fast', self.language, time=_ms(paid.milliseconds))}[/bold]")
                    out.print(say("demo.journal", self.language))
                    for account, fen in payments.entries_of(tx, case.id):
                        out.print(f"  {say(f'payments.account.{account}', self.language)}  {yuan_shown(fen)}")
                node.close()
                return
            clock.pause(0.1)

    def _watch(self, database: Database, city: subprocess.Popen[bytes], began: float, out: Console) -> None:
        """Until the city has told everything; Unavailable if bank or node ends meanwhile."""
        with (
            Live(console=out, refresh_per_second=4, transient=True)
            if not self.asked.headless
            else nullcontext() as live
        ):
            while city.poll() is None:
                self._all_are_there()
                if live is not None:
                    with database.reading() as tx:
                        now, latest = overview(tx), latest_payouts(tx, 12)
                    live.update(_view(now, latest, seconds_running() - began, self.language))
                clock.pause(0.4)

    def _all_are_there(self) -> None:
        for log, process in self.running.items():
            if process.poll() is not None:
                raise Unavailable(say("demo.ended", self.language, log=self.home / log))

    def _settle(self, database: Database, bank_url: str) -> tuple[int, list[str]]:
        """Wait until nothing is due any more and bank and journal agree, or for as long as is reasonable."""
        deadline = seconds_running() + SETTLING_SECONDS
        httpx.delete(f"{bank_url}/faults", timeout=BANK_SECONDS)
        bank = SandboxBank(bank_url)
        while True:
            self._all_are_there()
            statement = bank.statement(datetime(2000, 1, 1, tzinfo=SHANGHAI).date(), clock.shanghai_day(clock.now()))
            with database.reading() as tx:
                found = reconcile(tx, statement)
            if (not found.items and not self.consortium.is_busy(SETTLING_SECONDS)) or seconds_running() > deadline:
                return found.difference_fen, [item.words(self.language) for item in found.items]
            clock.pause(0.2)

    def stay_open(self, out: Console) -> None:
        """Everybody stays up for whoever wants to look at the pages, until that is interrupted."""
        out.print(say("demo.stays", self.language, url=self.consortium.insurer.doors))
        try:
            while True:
                self._all_are_there()
                clock.pause(0.5)
        except KeyboardInterrupt:
            out.print()

    @property
    def command(self) -> str:
        """How the command is called to look at this demo's data."""
        program = "safeweave" if shutil.which("safeweave") else os.path.relpath(sys.argv[0])
        return program if self.home == Path("safeweave-data") else f"{program} --home {self.home}"

    def finish(self) -> None:
        """The demo came to its end; the next one starts anew."""
        self._mark(finished=True)


def _is_a_demo(database: Path) -> bool:
    """Whether there is nothing here yet, or only what a demo left: nobody but its own hospitals has told anything."""
    if not database.exists():
        return True
    if not database.with_name("demo.json").exists():
        return False
    members = {Home(file.parent).member().member for file in database.parent.glob("consortium/*/member.json")}
    with closing(Database(database)) as held, held.reading() as tx:
        return set(senders.every(tx)) <= members


def _is_story(visit: str) -> bool:
    return visit.startswith(STORY_VISIT)


def _bank_faults(url: str) -> None:
    """A bank as banks are: sometimes slow, silent though it paid, or sending a notice twice."""
    for fault in (
        {"kind": "slow", "share": 0.05, "ms": 300},
        {"kind": "silent", "share": 0.01},
        {"kind": "duplicate_notice", "share": 0.05},
    ):
        httpx.post(f"{url}/faults", json=fault, timeout=BANK_SECONDS).raise_for_status()


def _view(now: Overview, latest: list[Any], seconds: float, lang: Language) -> Panel:
    counts = Table.grid(padding=(0, 3))
    p50, p95 = now.percentile(0.5), now.percentile(0.95)
    counts.add_row(
        *(
            f"[bold]{value}[/bold] {say(f'demo.{name}', lang)}"
            for name, value in (
                ("cases", now.cases),
                ("in_hospital", sum(now.stages.get(stage, 0) for stage in ("admitted", "charged"))),
                ("paid", now.paid),
                ("referred", now.referred),
                ("messages", now.messages),
                ("refused", now.refused),
            )
        )
    )
    money = say("demo.money", lang, amount=yuan_shown(now.paid_fen), balance=yuan_shown(now.trial_balance_fen))
    times = say("demo.times", lang, p50=_ms(p50), p95=_ms(p95), share=f"{now.untouched_share:.0%}")
    table = Table(box=None, expand=True, header_style="bold")
    for column in ("columns.at", "columns.hospital", "columns.person", "columns.amount", "columns.milliseconds"):
        table.add_column(
            say(column, lang), justify="right" if column in ("columns.amount", "columns.milliseconds") else "left"
        )
    for paid in latest:
        at = paid.at.astimezone(SHANGHAI).strftime("%H:%M:%S")
        table.add_row(at, paid.hospital, _discreet(paid.person), yuan_shown(paid.amount), _ms(paid.milliseconds))
    return Panel(Group(counts, money, times, table), title=say("demo.title", lang, seconds=f"{seconds:.0f}"))


def _discreet(name: str) -> str:
    """A name as it may be shown on a wall: the family name only."""
    return name[:1] + "*" * (len(name) - 1)


def _ms(value: float | None) -> str:
    return "—" if value is None else f"{value:.0f} ms"


def _summary(now: Overview, difference: int, items: list[str]) -> dict[str, Any]:
    return {
        "cases": now.cases,
        "paid": now.paid,
        "untouched_share": round(now.untouched_share, 4),
        "p50_ms": _rounded(now.percentile(0.5)),
        "p95_ms": _rounded(now.percentile(0.95)),
        "within_60_s": now.share_within(60),
        "paid_fen": now.paid_fen,
        "trial_balance_fen": now.trial_balance_fen,
        "bank_difference_fen": difference,
        "bank_items": items,
        "referred": now.referred,
        "refer_reasons": now.refer_reasons,
        "decided": now.decided,
        "stages": now.stages,
        "messages": now.messages,
        "refused": now.refused,
        "waiting_visits": now.waiting_visits,
    }


def _from_the_hospital(times: list[float]) -> dict[str, Any]:
    """How long it took from the hospital's own door, with the sealed exchange and the ledger."""
    in_order = sorted(times)
    p50, p95 = (
        round(in_order[min(int(len(in_order) * share), len(in_order) - 1)], 1) if in_order else None
        for share in (0.5, 0.95)
    )
    return {"hospital_p50_ms": p50, "hospital_p95_ms": p95}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _print_summary(out: Console, summary: dict[str, Any], command: str, lang: Language) -> None:
    out.rule(say("demo.summary", lang))
    values = {
        **summary,
        "share": f"{summary['untouched_share']:.1%}",
        "amount": yuan_shown(summary["paid_fen"]),
        "balance": yuan_shown(summary["trial_balance_fen"]),
        "difference": yuan_shown(summary["bank_difference_fen"]),
    }
    for line in ("summary_cases", "summary_times", "summary_hospital", "summary_money"):
        out.print(say(f"demo.{line}", lang, **values))
    for code, count in sorted(summary["refer_reasons"].items(), key=lambda pair: -pair[1]):
        label = say(f"reasons.{code}.short", lang) if knows(f"reasons.{code}.short") else code
        out.print(f"  {count:>4}  {label}")
    for item in summary["bank_items"]:
        out.print(f"  {item}")
    out.print(say("demo.summary_other", lang, **summary["other_insurer"]))
    out.rule(say("demo.scenes.title", lang))
    for line in shown(summary["consortium"], lang):
        out.print(escape(line))
    out.print(say("demo.next", lang, safeweave=command))

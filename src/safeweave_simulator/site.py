"""An insurer as it runs in a data centre, small: its store, a node, three workers and its bank, each a process.

A city speaks to its doors all the while. Whatever ends is started again, as a supervisor would; nothing else is done
for anybody: who loses the store, the bank or an answer has to find its own way back.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import httpx
import psycopg

from safeweave.cases.store import save_hospitals
from safeweave.clock import shanghai_day
from safeweave.commands.hospitals import read_hospitals
from safeweave.coverage.importer import import_file
from safeweave.database import Database, at_text
from safeweave.errors import StoreUnavailable
from safeweave.exchange import senders
from safeweave.exchange.formats import Sender
from safeweave.payments.banks.sandbox import SandboxBank
from safeweave.payments.reconcile import reconcile
from safeweave.ports import free_port
from safeweave_simulator.broken import Broken
from safeweave_simulator.city import City
from safeweave_simulator.client import Delivery, Doors
from safeweave_simulator.outcomes import check_messages, check_money, check_outcomes
from safeweave_simulator.postgresql import Server
from safeweave_simulator.running import run

Engine = Literal["sqlite", "postgresql"]
WORKERS = 3  # beside the node, which works too
RESTARTED_AFTER_SECONDS = 0.3
RESUMES_WITHIN_SECONDS = 60.0
ANSWERED_WITHIN_SECONDS = 300.0  # all that the city still has to say when it begins to fall silent
SMALL_DISK = "96m"
CONNECTIONS = 70
PEOPLE, STAYS = 900, 800  # of the city; more than can be told while a site lives


class Disk:
    """A small disk of its own, which can be filled; only the superuser can have one."""

    def __init__(self) -> None:
        self.folder = _open_folder()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=755", "none", self.folder], check=True)

    @staticmethod
    def can_be_had() -> bool:
        """Whether this process may mount one."""
        if os.geteuid() != 0:
            return False
        with tempfile.TemporaryDirectory() as folder:
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True)
            if mounted.returncode == 0:
                subprocess.run(["umount", folder], check=True)
        return mounted.returncode == 0

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Nothing more can be written to it meanwhile."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
        try:
            yield
        finally:
            ballast.unlink()

    def remove(self) -> None:
        """Take it away."""
        subprocess.run(["umount", "-l", self.folder], check=True)
        self.folder.rmdir()


def _open_folder() -> Path:
    """A folder that whoever the store's server runs as can come into."""
    folder = Path(tempfile.mkdtemp(prefix="safeweave-site-"))
    folder.chmod(0o755)
    return folder


class Part:
    """One process of the site; `kill` ends it as a power failure would."""

    def __init__(self, log: Path, command: list[str], environment: Mapping[str, str]) -> None:
        self._log, self._command = log, command
        ours = {name: value for name, value in os.environ.items() if not name.startswith("SAFEWEAVE")}
        self._environment = {**ours, **environment}
        self.process: subprocess.Popen[bytes] | None = None
        self.ended_at = 0.0

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "safeweave_simulator.leash", *self._command], stdin=subprocess.PIPE, stdout=log,
                stderr=log, env=self._environment,
            )  # fmt: skip

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()

    def look_after(self) -> None:
        """Start it again if it has ended, a moment after."""
        if self.process is None or self.process.poll() is None:
            self.ended_at = 0.0
        elif not self.ended_at:
            self.ended_at = time.monotonic()
        elif time.monotonic() - self.ended_at > RESTARTED_AFTER_SECONDS:
            self.start()
            self.ended_at = 0.0


class Site:
    """One site from its first message to its last; `with` starts and stops it."""

    def __init__(
        self, home: Path, engine: Engine, seed: int, rate: float = 20.0, disk: bool = False, replicated: bool = False
    ) -> None:
        self.home, self.engine, self.rate = home, engine, rate
        home.mkdir(parents=True, exist_ok=True)
        self.city = City(seed, 4, PEOPLE, today=shanghai_day(datetime.now(UTC)))
        self.disk = Disk() if disk else None
        self.servers: list[Server] = []
        self.parts: dict[str, Part] = {}
        self.acknowledged: set[tuple[str, str]] = set()
        self.refused: list[str] = []
        self._ports = {name: free_port() for name in ("http", "mllp", "bank")}
        self._replicated = replicated
        self._store_ports = [free_port(), free_port()]
        self._store_settings = {
            "max_connections": str(CONNECTIONS), "shared_buffers": "64MB", "max_wal_size": "48MB",
            "min_wal_size": "32MB", "wal_keep_size": "64MB" if replicated else "0",
        }  # fmt: skip
        self._store_is_down = False
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failed: list[BaseException] = []

    # ------------------------------------------------------------ start and stop

    def __enter__(self) -> "Site":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        if self.engine == "postgresql":
            self._start_servers()
        self.store: Database = Database(self.where)
        self._register()
        bank = ["--data", str(self.home / "bank.db"), "--port", str(self._ports["bank"])]
        environment = {
            "SAFEWEAVE_HOME": str(self.home), "SAFEWEAVE_DATABASE": str(self.where) if self.servers else "",
            "SAFEWEAVE_BANK_URL": self.bank_url, "SAFEWEAVE_HTTP_PORT": str(self._ports["http"]),
            "SAFEWEAVE_MLLP_PORT": str(self._ports["mllp"]), "SAFEWEAVE_LANGUAGE": "en",
        }  # fmt: skip
        if self.engine == "sqlite":
            environment["SAFEWEAVE_HOME"] = str(Path(self.where).parent)
        self._add("bank", "safeweave_simulator.bank", bank, {})
        self._add("node", "safeweave.main", ["serve"], environment)
        for number in range(1, WORKERS + 1):
            self._add(f"worker {number}", "safeweave.main", ["work"], environment)
        for target in (self._supervise, self._speak):
            thread = threading.Thread(target=self._keeping_failure, args=(target,), daemon=True)
            thread.start()
            self._threads.append(thread)
        self.wait_until(lambda: len(self.acknowledged) > 20, "the first messages are heard")
        for fault in ({"kind": "slow", "share": 0.05, "ms": 300}, {"kind": "silent", "share": 0.02},
                      {"kind": "duplicate_notice", "share": 0.05}):  # fmt: skip
            httpx.post(f"{self.bank_url}/faults", json=fault, timeout=RESUMES_WITHIN_SECONDS).raise_for_status()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=30)
        for part in self.parts.values():
            part.kill()
        if hasattr(self, "store"):
            self.store.close()
        for server in self.servers:
            server.kill()
        if self.disk is not None:
            self.disk.remove()
        for server in self.servers:
            server.remove()

    def _add(self, name: str, module: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        part = Part(self.home / f"{name.replace(' ', '-')}.log", [module, *arguments], environment)
        part.start()
        self.parts[name] = part

    @property
    def bank_url(self) -> str:
        """Where the bank listens."""
        return f"http://127.0.0.1:{self._ports['bank']}"

    @property
    def where(self) -> Path | str:
        """Where the store is: the file of the embedded one, or an address with every host there may be."""
        if self.engine == "sqlite":
            return (self.disk.folder if self.disk else self.home) / "safeweave.db"
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._store_ports[: 2 if self._replicated else 1])
        which = "?target_session_attrs=read-write" if self._replicated else ""
        return f"postgresql://postgres:{self.servers[0].password}@{hosts}/safeweave{which}"

    # ------------------------------------------------------------ the store

    def _start_servers(self) -> None:
        folder = self.disk.folder / "first" if self.disk else _open_folder()
        first = Server(folder, self._store_ports[0], self._store_settings)
        self.servers.append(first)
        first.start()
        first.run("create database safeweave template template0")
        if self._replicated:
            self._add_replica(self._store_ports[1])

    def _add_replica(self, port: int) -> None:
        self.servers.append(self.servers[0].replica(_open_folder(), port=port))

    def kill_store(self) -> None:
        """kill -9 of the server and all its sessions; a moment later it is started again."""
        self._store_is_down = True
        self.servers[0].kill()
        time.sleep(RESTARTED_AFTER_SECONDS)
        self.servers[0].start()
        self._store_is_down = False

    def promote_replica(self) -> None:
        """The primary is killed and never comes back; its replica takes its place, and gets a replica of its own."""
        self._store_is_down = True
        gone = self.servers.pop(0)
        gone.kill()
        self.servers[0].promote()
        gone.remove()
        self._add_replica(gone.port)
        self._store_is_down = False

    def storm(self, seconds: float) -> int:
        """Every connection the server gives is taken for some seconds; how many that were."""
        taken: list[psycopg.Connection[tuple[object, ...]]] = []
        url, until = self.servers[0].url("safeweave", over_network=True), time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                try:
                    taken.append(psycopg.connect(url, connect_timeout=2))
                except psycopg.OperationalError:
                    time.sleep(0.05)
        finally:
            for connection in taken:
                connection.close()
        return len(taken)

    # ------------------------------------------------------------ life

    def _keeping_failure(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:  # it fails the test, in the thread that waits for something
            self._failed.append(error)

    def _supervise(self) -> None:
        while not self._ended.wait(0.05):
            for part in self.parts.values():
                part.look_after()
            if self.servers and not self._store_is_down and not self.servers[0].is_running:
                self.servers[0].start()  # out of disk, say

    def _speak(self) -> None:
        doors = Doors(("127.0.0.1", self._ports["mllp"]), f"http://127.0.0.1:{self._ports['http']}", self.city.tokens())
        told = run(
            self.city, doors, stays=STAYS, rate=self.rate, patience=ANSWERED_WITHIN_SECONDS,
            state=self.home / "city.state", on_event=self._heard, stop=self._stop,
        )  # fmt: skip
        if told.waiting and not self._ended.is_set():
            raise Broken("every message is answered in the end", f"{told.waiting} still wait; see {self.home}")

    def _heard(self, delivery: Delivery) -> None:
        message = delivery.message
        if delivery.outcome == "accepted":
            self.acknowledged.add((message.hospital, message.id))
        elif delivery.outcome == "refused" and "garbled" not in message.what:
            self.refused.append(f"{message.door} {message.id}: {delivery.answer}")

    def _register(self) -> None:
        folder = self.home / "city"
        self.city.write(folder)
        tokens = self.city.tokens()
        with self.store.transaction() as tx:
            save_hospitals(tx, read_hospitals(folder / "hospitals.jsonl"))
            senders.save(
                tx, [(Sender(h.code, h.code, hl7_facility=h.code), tokens[h.code]) for h in self.city.hospitals]
            )
        report = import_file(self.store, folder / "policies.jsonl", datetime.now(UTC))
        if report.faults:
            raise Broken("the city's policies can be imported", report.faults[:3])

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float = RESUMES_WITHIN_SECONDS) -> float:
        """How many seconds it took until this held. Fails if it takes too long, or if the site has failed meanwhile."""
        began = time.monotonic()
        while not holds():
            if self._failed:
                raise self._failed[0]
            if time.monotonic() - began > seconds:
                raise Broken(what, f"not within {seconds:.0f} s; see the logs in {self.home}")
            time.sleep(0.02)
        return time.monotonic() - began

    def resumes(self) -> float:
        """How many seconds it takes until messages are heard and payments are ordered again."""
        heard = len(self.acknowledged)
        began = time.monotonic()
        self.wait_until(lambda: len(self.acknowledged) > heard + 5, "messages are heard again")
        now = at_text(datetime.now(UTC))
        self.wait_until(lambda: self._ordered_since(now), "payments are ordered again")
        return time.monotonic() - began

    def _ordered_since(self, at: str) -> bool:
        try:
            with self.store.reading() as tx:
                return tx.row("select 1 from payout where ordered_at > ? limit 1", (at,)) is not None
        except StoreUnavailable:
            return False

    # ------------------------------------------------------------ the end

    def come_to_rest(self) -> None:
        """The city falls silent, and everything that is due is done."""
        self._stop.set()
        speaking = self._threads[1]
        self.wait_until(lambda: not speaking.is_alive(), "every message is answered", 2 * ANSWERED_WITHIN_SECONDS)
        self.wait_until(self._has_calm_bank, "the bank that was killed answers again")
        self.wait_until(self._is_at_rest, "nothing is due any more, and bank and journal agree", 120)

    def _has_calm_bank(self) -> bool:
        try:
            return httpx.delete(f"{self.bank_url}/faults", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def _is_at_rest(self) -> bool:
        try:
            statement = SandboxBank(self.bank_url).statement(self.city.first_day, self.city.today + timedelta(days=1))
            with self.store.reading() as tx:
                soon = at_text(datetime.now(UTC) + timedelta(minutes=10))
                due = tx.row("select count(*) from task where parked is null and due_at < ?", (soon,))
                return due == (0,) and not reconcile(tx, statement).items
        except (StoreUnavailable, httpx.HTTPError):
            return False

    def check(self) -> None:
        """Nothing acknowledged is lost, nothing is paid twice, and every discharge has its one outcome."""
        if self.refused:
            raise Broken("every message of a hospital can be read", self.refused[:3])
        check_messages(self.store, self.acknowledged)
        check_money(self.store, self.home / "bank.db")
        check_outcomes(self.store, self.city.answers())

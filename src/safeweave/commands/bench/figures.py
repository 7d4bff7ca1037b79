"""What is measured, each with its baseline of the same run; `docs/reference/bench.md` describes every figure."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import httpx
import msgspec

from safeweave import coverage, telling
from safeweave.adjudication import replay as replaying
from safeweave.adjudication import store as determinations
from safeweave.adjudication.history import History
from safeweave.adjudication.steps import decide
from safeweave.adjudication.store import Decided
from safeweave.cases import store
from safeweave.clock import pause, seconds_running
from safeweave.commands.bench import stays
from safeweave.commands.bench.stays import SENDER, TOKEN, Stays, stays_of
from safeweave.database import Transaction
from safeweave.errors import InvariantBroken, Unavailable
from safeweave.events import Event, PayoutOrdered
from safeweave.exchange import inbound, mllp
from safeweave.exchange.inbound import Receipt
from safeweave.facts import Fact
from safeweave.ids import CaseId
from safeweave.node import Node, open_node, serve
from safeweave.settings import Settings
from safeweave.telling import store as letters
from safeweave.telling.letter import Letter, letter
from safeweave.telling.page import html
from safeweave.telling.pdf import pdf
from safeweave.telling.store import LetterRow
from safeweave.web import doors
from safeweave.web.doors import Hall

# SQL statements of one claim at openIMIS 1.11.0, one-call flow: published with its source, not measured here.
OPENIMIS_STATEMENTS = 89
SAMPLE = Path(__file__).parents[4] / "tests" / "exchange" / "data" / "synthea_cut.json"
CENT = Decimal("0.01")
CALLS = 200
BATCH = 500
IDLE_PAUSE_SECONDS = 0.02  # between two claims, so that each finds the node idle


class Figure(Fact):
    """One measured value and its baseline; `target` and `ratio_target` say what value and ratio may reach."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    target: float | None = None
    ratio_target: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the baseline, if there is one."""
        return self.value / self.baseline if self.baseline else None


class Counts(NamedTuple):
    """How much is measured."""

    rounds: int = 50  # of CALLS decisions each, and as many of the baseline after each
    idle_claims: int = 200
    bulk_runs: int = 5
    bulk_claims: int = 2_000
    letters: int = 100


QUICK = Counts(rounds=10, idle_claims=40, bulk_runs=3, bulk_claims=500, letters=10)


@dataclass(frozen=True)
class Bench:
    """Where and how much is measured; `home` is a folder of its own on the disk of the user's data."""

    home: Path
    counts: Counts
    data: Path | None = None

    @contextmanager
    def node(self, name: str, insured: int) -> Iterator[tuple[Node, Stays]]:
        """A fresh node with that many insured persons."""
        home = self.home / name
        home.mkdir()
        node = open_node(Settings(home=home, http_port=_free_port(), mllp_port=_free_port()))
        try:
            given = stays_of(node)
            given.register(node, home, insured)
            yield node, given
        finally:
            node.close()


# ---------------------------------------------------------------- deciding


def decimal_loop(
    lines: Sequence[tuple[Decimal, Decimal]], fund: Decimal, deductible: Decimal, ratio: Decimal
) -> tuple[Decimal, list[Decimal]]:
    """What a bill of these (amount, part 医保 shares) pays, and the share of each line: plain, and nothing checked."""
    total = within = Decimal(0)
    for amount, shared in lines:
        total += amount
        within += shared
    payable = ((total - fund - deductible) * ratio).quantize(CENT, ROUND_HALF_UP)
    social, share = fund / within, payable / (total - fund)
    return payable, [((amount - shared * social) * share).quantize(CENT, ROUND_HALF_UP) for amount, shared in lines]


def bench_lines() -> list[tuple[Decimal, Decimal]]:
    """The ten lines of a bench bill as the Decimal loop takes them."""
    return [(Decimal(line.amount), line.within) for line in stays.LINES]


def settled_claim(node: Node, given: Stays) -> Decided:
    """The stored determination of stay 0, sent whole."""
    take(node, [given.whole(0)])
    with node.database.reading() as tx:
        (decided,) = determinations.of_cases(tx, [case.id for case in store.cases_in(tx)])
    return decided


def deciding(bench: Bench) -> list[Figure]:
    """One ten-line claim decided with reasons and trace, against a bare Decimal loop over the same lines."""
    with bench.node("deciding", 1) as (node, given):
        decided = settled_claim(node, given)
        product = node.adjudicator.products[decided.product]
    history, lines = History(decided.usage_before), bench_lines()
    ours, theirs = [], []
    for _ in range(bench.counts.rounds):  # in turn, so that noise meets both alike
        ours.append(seconds_of(lambda: decide(product, decided.cover, history, decided.claim, decided.overlays), CALLS))
        theirs.append(seconds_of(lambda: decimal_loop(lines, stays.FUND, stays.DEDUCTIBLE, stays.RATIO), CALLS))
    return [Figure("decide_10_lines", 1e6 * median(ours), "us", 1e6 * median(theirs), target=100, ratio_target=14)]


# ---------------------------------------------------------------- statements


def statements(bench: Bench) -> list[Figure]:
    """SQL statements from the last message of a stay at the HTTP door to the committed payment instruction."""
    with bench.node("statements", 2) as (node, given):
        ordered = _instructions_of(node)
        hall = Hall(node.database, node.worker, node.limits, node.clock)
        for number in (0, 1):  # the first warms what is read once
            for message in (given.admission(number), given.discharge(number)):
                hall.receive(inbound.open_message(message, SENDER, node.limits), node.clock())
            before = node.database.statements
            asyncio.run(_post_to(hall, given.bill(number)))
            sent = node.database.statements - before
            if len(ordered) != number + 1:
                raise InvariantBroken(f"stay {number} was told and not paid")
    return [Figure("statements_bill_to_instruction", sent, "statements", OPENIMIS_STATEMENTS, target=25)]


async def _post_to(hall: Hall, message: bytes) -> None:
    transport = httpx.ASGITransport(app=doors.http_door(hall))
    async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=_AUTHORISED) as client:
        (await client.post("/fhir", content=message)).raise_for_status()


_AUTHORISED = {"authorization": f"Bearer {TOKEN}", "content-type": "application/fhir+json"}


# ---------------------------------------------------------------- idle


def idle(bench: Bench) -> list[Figure]:
    """From sending the last message of a stay over the loopback doors to the committed instruction, one at a time."""
    count = bench.counts.idle_claims
    milliseconds, commits = [], []
    with bench.node("idle", count + 1) as (node, given):
        instructed = _instructions_of(node)
        with _served(node) as client, closing(_bare_store(bench.home / "idle-baseline.db")) as bare:
            bill = given.bill(0)
            for number in range(count + 1):  # the first is not counted: it opens connections and reads products
                sent_at = _send_stay(node, client, given, number)
                instructed_at = _wait_for(instructed, number)
                commit = seconds_of(lambda: _keep(bare, [bill]))
                if number:
                    milliseconds.append(1e3 * (instructed_at - sent_at).total_seconds())
                    commits.append(1e3 * commit)
                pause(IDLE_PAUSE_SECONDS)
    return [
        Figure("idle_bill_to_instruction_p50", median(milliseconds), "ms", median(commits), target=100),
        Figure("idle_bill_to_instruction_p95", _p95(milliseconds), "ms", _p95(commits), target=1_000),
    ]


def _send_stay(node: Node, client: httpx.Client, given: Stays, number: int) -> datetime:
    """When the last message set out: by turns the bill over HTTP, or the discharge over MLLP after the bill."""
    host, port = node.settings.host, node.settings.mllp_port

    def hl7(message: bytes) -> datetime:
        sent_at = node.clock()
        (answer,) = asyncio.run(mllp.send(host, port, [message]))
        if b"|AA|" not in answer:
            raise InvariantBroken(f"the MLLP door refused message {number}: {answer.decode(errors='replace')}")
        return sent_at

    def http(message: bytes) -> datetime:
        sent_at = node.clock()
        client.post("/fhir", content=message).raise_for_status()
        return sent_at

    hl7(given.admission(number))
    if number % 2:
        http(given.bill(number))
        return hl7(given.discharge(number))
    hl7(given.discharge(number))
    return http(given.bill(number))


def _wait_for(instructed: Sequence[datetime], number: int) -> datetime:
    deadline = seconds_running() + 10
    while len(instructed) <= number:
        if seconds_running() > deadline:
            raise Unavailable(f"claim {number} got no payment instruction within 10 seconds")
        pause(0.0005)
    return instructed[number]


@contextmanager
def _served(node: Node) -> Iterator[httpx.Client]:
    ready, stopping = threading.Event(), threading.Event()
    thread = threading.Thread(target=serve, args=(node, ready.set, stopping), name="bench node")
    thread.start()
    try:
        if not ready.wait(30):
            raise Unavailable("the node did not open its doors within 30 seconds")
        url = f"http://{node.settings.host}:{node.settings.http_port}"
        with httpx.Client(base_url=url, headers=_AUTHORISED, timeout=30, trust_env=False) as client:
            yield client
    finally:
        stopping.set()
        thread.join()


def _bare_store(path: Path) -> sqlite3.Connection:
    """A table of blobs in SQLite with the settings of our own store: WAL, full fsync."""
    bare = sqlite3.connect(path, isolation_level=None)
    bare.execute("pragma journal_mode = wal")
    bare.execute("pragma synchronous = full")
    bare.execute("create table if not exists kept (id integer primary key, body blob not null)")
    return bare


# ---------------------------------------------------------------- feeding


def feeding(bench: Bench) -> list[Figure]:
    """Seconds and peak memory of `safeweave feed`, against reading and decoding the same bytes with msgspec alone."""
    path = bench.data or (SAMPLE if SAMPLE.is_file() else None)
    if path is None:
        return []
    name, given = ("feed", bench.data) if bench.data else ("feed_sample", None)
    home = bench.home / "feeding"
    began = seconds_running()
    child = subprocess.Popen(
        [sys.executable, "-m", "safeweave.main", "--home", str(home), "feed", str(path), "--json"],
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    seconds = seconds_running() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise InvariantBroken(f"safeweave feed {path} ended with code {child.returncode}")
    megabytes = usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
    decoding = seconds_of(lambda: [msgspec.json.decode(content) is None for content in _contents(path)])
    return [
        Figure(f"{name}_seconds", seconds, "s", decoding, target=60 if given else None),
        Figure(f"{name}_peak_memory", megabytes, "MB", target=600 if given else None),
    ]


def _contents(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            yield file.read_bytes()
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and member.name.endswith(".json"):
                    yield content.read()
    else:
        yield path.read_bytes()


# ---------------------------------------------------------------- throughput, letters, replay


def throughput(bench: Bench) -> list[Figure]:
    """Claims a second from message bytes to durable instructions, in batches; then letters and replay of the same."""
    counts = bench.counts
    total = counts.bulk_runs * counts.bulk_claims
    ours, theirs = [], []
    with bench.node("throughput", total) as (node, given):
        ordered = _instructions_of(node)
        with closing(_bare_store(bench.home / "throughput-baseline.db")) as bare:
            for first in range(0, total, counts.bulk_claims):
                messages = [given.whole(number) for number in range(first, first + counts.bulk_claims)]
                batches = [messages[start : start + BATCH] for start in range(0, len(messages), BATCH)]
                ours.append(len(messages) / sum(seconds_of(partial(take, node, batch)) for batch in batches))
                theirs.append(len(messages) / sum(seconds_of(partial(_keep, bare, batch)) for batch in batches))
        if len(ordered) != total:
            raise InvariantBroken(f"{total} claims were sent and {len(ordered)} paid")
        with node.database.reading() as tx:
            cases = [case.id for case in store.cases_in(tx, limit=counts.bulk_claims)]
            pages, papers = _letters(tx, cases[: counts.letters])
            replays = [len(cases) / seconds_of(lambda: _replay(tx, cases)) for _ in range(counts.bulk_runs)]
    return [
        Figure("durable_claims_per_second", median(ours), "1/s", median(theirs)),
        Figure("letter_html", median(pages), "ms"),
        Figure("letter_pdf", median(papers), "ms"),
        Figure("replay_determinations_per_second", median(replays), "1/s"),
    ]


def _keep(bare: sqlite3.Connection, messages: Sequence[bytes]) -> None:
    bare.execute("begin immediate")
    bare.executemany("insert into kept (body) values (?)", [(message,) for message in messages])
    bare.execute("commit")


def _letters(tx: Transaction, cases: Sequence[CaseId]) -> tuple[list[float], list[float]]:
    """Milliseconds for the page and the PDF of each case's letter, its facts read anew for both."""
    kept = [letters.letters_of_case(tx, case)[0] for case in cases]

    def milliseconds(layout: Callable[[Letter], object], row: LetterRow) -> float:
        return 1e3 * seconds_of(lambda: layout(letter(telling.letter_facts(tx, row.facts), row.language)))

    return [milliseconds(html, row) for row in kept], [milliseconds(pdf, row) for row in kept]


def _replay(tx: Transaction, cases: Sequence[CaseId]) -> None:
    for start in range(0, len(cases), BATCH):
        part = cases[start : start + BATCH]
        results = replaying.replay(tx, part, lambda keys: coverage.opening_usage(tx, keys))
        if len(results) != len(part) or not all(result.agrees for result in results):
            raise InvariantBroken(f"{len(part)} determinations were replayed, {sum(r.agrees for r in results)} agree")


# ---------------------------------------------------------------- small parts


def seconds_of(work: Callable[[], object], times: int = 1) -> float:
    """Seconds that one of `times` calls took on average."""
    began = seconds_running()
    for _ in range(times):
        work()
    return (seconds_running() - began) / times


def take(node: Node, messages: Sequence[bytes]) -> None:
    """Take these messages as one batch and follow them; InvariantBroken if one is not taken."""
    arrived = [inbound.open_message(message, SENDER, node.limits) for message in messages]
    now = node.clock()

    def write(tx: Transaction) -> tuple[list[Receipt], Sequence[Event], datetime]:
        receipts, told = inbound.take(tx, arrived, now)
        return receipts, told, now

    fault = next((receipt.fault for receipt in node.worker.accept(write) if receipt.status != "taken"), None)
    if fault is not None:
        raise InvariantBroken(f"a message of the bench was not taken: {fault.what}")


def _instructions_of(node: Node) -> list[datetime]:
    """A list that grows by one instant with every payment instruction the node commits."""
    committed_at: list[datetime] = []
    note_times = node.worker.committed

    def note(told: Sequence[Event], at: datetime) -> None:
        note_times(told, at)
        committed_at.extend(at for event in told if isinstance(event, PayoutOrdered))

    node.worker.committed = note
    return committed_at


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[min(int(len(values) * 0.95), len(values) - 1)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


MEASURES: tuple[Callable[[Bench], list[Figure]], ...] = (deciding, statements, idle, throughput, feeding)

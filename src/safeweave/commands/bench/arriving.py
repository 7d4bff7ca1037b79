"""One claim alone: how many statements it takes, and how long through the open doors."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from statistics import median

import httpx

from safeweave.asking import trusting
from safeweave.clock import pause, seconds_running
from safeweave.commands.bench.baselines import bare_commits, percentile, seconds_of
from safeweave.commands.bench.figure import Engine, Figure
from safeweave.commands.bench.stays import SENDER, TOKEN, Stays
from safeweave.commands.bench.stores import HOST, Bench
from safeweave.errors import InvariantBroken, Unavailable
from safeweave.events import Event, PayoutOrdered
from safeweave.exchange import inbound, mllp
from safeweave.node import Node
from safeweave.serving import serve
from safeweave.web import doors
from safeweave.web.doors import Hall

# SQL statements of one claim at openIMIS 1.11.0, one-call flow: published with its source, not measured here.
OPENIMIS_STATEMENTS = 89
IDLE_PAUSE_SECONDS = 0.02  # between two claims, so that each finds the node idle
AUTHORISED = {"authorization": f"Bearer {TOKEN}", "content-type": "application/fhir+json"}


def statements(bench: Bench) -> list[Figure]:
    """SQL statements from the last message of a stay at the HTTP door to the committed payment instruction."""
    return [
        Figure("statements_bill_to_instruction", _statements(bench, engine), "statements", OPENIMIS_STATEMENTS,
               target=25, aim=15, engine=engine)
        for engine in bench.engines
    ]  # fmt: skip


def _statements(bench: Bench, engine: Engine) -> int:
    with bench.store(engine, "statements") as store, store.opened(3) as (node, given):
        ordered = _instructions_of(node)
        hall = Hall(node.database, node.worker, node.limits, node.clock)
        sent = 0
        for number in range(3):  # the first two warm what is read or prepared once
            for message in (given.admission(number), given.discharge(number)):
                hall.receive([inbound.open_message(message, SENDER, node.limits)])
            before = node.database.statements
            asyncio.run(_post_to(hall, given.bill(number)))
            sent = node.database.statements - before
            if len(ordered) != number + 1:
                raise InvariantBroken(f"stay {number} was told and not paid")
    return sent


async def _post_to(hall: Hall, message: bytes) -> None:
    transport = httpx.ASGITransport(app=doors.http_door(hall))
    async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=AUTHORISED) as client:
        (await client.post("/fhir", content=message)).raise_for_status()


def idle(bench: Bench) -> list[Figure]:
    """From sending the last message of a stay over the loopback doors to the committed instruction, one at a time."""
    return [figure for engine in bench.engines for figure in _idle(bench, engine)]


def _idle(bench: Bench, engine: Engine) -> list[Figure]:
    count = bench.counts.idle_claims
    milliseconds, commits = [], []
    with bench.store(engine, "idle") as store, store.opened(count + 2) as (node, given):
        instructed = _instructions_of(node)
        with _served(node) as client, bare_commits(store) as commit:
            bill = given.bill(0)
            for number in range(count + 2):  # the first two are not counted: they open connections and read products
                sent_at = _send_stay(node, client, given, number)
                instructed_at = _wait_for(instructed, number)
                committed = seconds_of(lambda: commit(bill))
                if number > 1:
                    milliseconds.append(1e3 * (instructed_at - sent_at).total_seconds())
                    commits.append(1e3 * committed)
                pause(IDLE_PAUSE_SECONDS)
    return [
        Figure("idle_bill_to_instruction_p50", median(milliseconds), "ms", median(commits),
               target=30, aim=10, engine=engine),
        Figure("idle_bill_to_instruction_p99", percentile(milliseconds, 0.99), "ms", percentile(commits, 0.99),
               target=100, aim=40, engine=engine),
    ]  # fmt: skip


def _send_stay(node: Node, client: httpx.Client, given: Stays, number: int) -> datetime:
    """When the last message set out: by turns the bill over HTTP, or the discharge over MLLP after the bill."""

    def hl7(message: bytes) -> datetime:
        sent_at = node.clock()
        (answer,) = asyncio.run(mllp.send(HOST, node.settings.mllp_port, [message]))
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


def _instructions_of(node: Node) -> list[datetime]:
    """A list that grows by one instant with every payment instruction the node commits."""
    committed_at: list[datetime] = []
    note_times = node.worker.committed

    def note(told: Sequence[Event], at: datetime) -> None:
        note_times(told, at)
        committed_at.extend(at for event in told if isinstance(event, PayoutOrdered))

    node.worker.committed = note
    return committed_at


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
        url = f"http://{HOST}:{node.settings.http_port}"
        with httpx.Client(base_url=url, headers=AUTHORISED, timeout=30, trust_env=False, verify=trusting()) as client:
            yield client
    finally:
        stopping.set()
        thread.join()

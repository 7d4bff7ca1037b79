"""A flood: hospitals that send far more than can be worked off at once, and a calm one that sends now and then.

    python -m safeweave_simulator.flood --messages 100000 --seconds 60

Starts `safeweave serve` as a process of its own, opens its MLLP door to four hospitals over many connections, and says
how fast messages were acknowledged, how long the calm hospital waited until its patients had a case, how much memory
the node took, when everything was worked off, and whether every acknowledged message is in the store exactly once.
Exit 1 if something was lost, if memory grew beyond 1 GB or if the calm hospital was kept waiting. With
SAFEWEAVE_DATABASE the store is PostgreSQL.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from safeweave import outbox
from safeweave.cases.store import HospitalRow, save_hospitals
from safeweave.commands.bench.stays import HOSPITAL, Stays, stays_of
from safeweave.database import Database
from safeweave.exchange import senders
from safeweave.exchange.formats import Sender
from safeweave.exchange.mllp import END, START, Frames
from safeweave.node import Node, open_node
from safeweave.settings import Settings, from_environment

FLOODING = tuple(f"H3302000001{number}" for number in range(4))
CALM = "H33020000099"
MESSAGES_OF_A_STAY = 10  # its admission, updates, its discharge
CALM_EVERY_SECONDS = 0.5
MOST_MEGABYTES = 1000.0
MOST_CALM_SECONDS = 5.0


@dataclass
class Seen:
    """What came of a flood; times in seconds."""

    acknowledged: int = 0
    refused: int = 0
    taking: float = 0.0
    calm_waits: list[float] = field(default_factory=list)  # from sending until the patient had a case
    peak_megabytes: float = 0.0
    working_off: float = 0.0  # after the last message was taken
    lost: int = 0
    parked: int = 0

    def faults(self) -> list[str]:
        """What went wrong, in words."""
        found = []
        if self.refused or self.lost or self.parked:
            found.append(f"{self.refused} messages refused, {self.lost} lost, {self.parked} tasks parked")
        if self.peak_megabytes > MOST_MEGABYTES:
            found.append(f"the node took {self.peak_megabytes:.0f} MB")
        if max(self.calm_waits, default=0.0) > MOST_CALM_SECONDS:
            found.append(f"the calm hospital waited {max(self.calm_waits):.1f} s")
        return found


def message(given: Stays, hospital: str, number: int, step: int) -> bytes:
    """The `step`-th message of a stay at that hospital: its admission, an update or its discharge."""
    last = step == MESSAGES_OF_A_STAY - 1
    raw = (given.discharge if last else given.admission)(number).replace(HOSPITAL.encode(), hospital.encode())
    raw = re.sub(rb"\|(A0\d-\d+)\|P\|2\.5\.1\|\d+\|", rb"|\1-%d|P|2.5.1||" % step, raw)
    return raw if step == 0 or last else raw.replace(b"ADT^A01^ADT_A01", b"ADT^A08^ADT_A01")


class Conversation:
    """One connection to the MLLP door, a message at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._frames = Frames(1 << 20)

    @classmethod
    async def with_port(cls, port: int) -> "Conversation":
        """A new connection to the node on this port."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def say(self, raw: bytes) -> bool:
        """Whether the message was accepted (AA)."""
        self._writer.write(START + raw + END)
        answers: list[bytes] = []
        while not answers:
            chunk = await self._reader.read(65536)
            if not chunk:
                raise ConnectionError("the node hung up")
            answers = self._frames.feed(chunk)
        return b"|AA|" in answers[0]


async def pour(port: int, given: Stays, stays: int, connections: int, seconds: float, database: Database) -> Seen:
    """Send the messages of so many stays over so many connections in this time, a calm hospital beside them."""
    seen, began, done = Seen(), time.monotonic(), asyncio.Event()
    messages = stays * MESSAGES_OF_A_STAY

    async def flood(line: int) -> None:
        conversation, hospital = await Conversation.with_port(port), FLOODING[line % len(FLOODING)]
        for stay in range(line, stays, connections):
            for step in range(MESSAGES_OF_A_STAY):
                ahead = began + seconds * (seen.acknowledged / messages) - time.monotonic()
                if ahead > 0:
                    await asyncio.sleep(ahead)
                accepted = await conversation.say(message(given, hospital, stay, step))
                seen.acknowledged += accepted
                seen.refused += not accepted

    async def calm() -> None:
        conversation, number = await Conversation.with_port(port), stays
        while not done.is_set():
            sent = time.monotonic()
            await conversation.say(message(given, CALM, number, 0))
            while not await asyncio.to_thread(has_case, database, number - stays):
                await asyncio.sleep(0.02)
            seen.calm_waits.append(time.monotonic() - sent)
            number += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), CALM_EVERY_SECONDS)

    def has_case(database: Database, earlier: int) -> bool:
        with database.reading() as tx:
            row = tx.row("select count(*) from visit where sender = ? and case_id is not null", (CALM,))
        return row is not None and int(row[0]) > earlier

    beside = asyncio.create_task(calm())
    await asyncio.gather(*(flood(line) for line in range(connections)))
    seen.taking = time.monotonic() - began
    done.set()
    await beside
    return seen


def run(home: Path, messages: int, connections: int, seconds: float, processes: int) -> Seen:
    """Flood a fresh node in this folder, and wait until everything is worked off."""
    settings = _settings(home)
    node = open_node(settings)
    given = stays_of(node)
    stays = messages // MESSAGES_OF_A_STAY
    _register(node, given, home, stays + int(seconds * 20 / CALM_EVERY_SECONDS))
    with _serving(settings, processes) as pids:
        seen = asyncio.run(pour(settings.mllp_port, given, stays, connections, seconds, node.database))
        ended = time.monotonic()
        while _left(node.database):
            time.sleep(0.2)
        seen.working_off = time.monotonic() - ended
        seen.peak_megabytes = max(_peak_megabytes(pid) for pid in pids)
    with node.database.reading() as tx:
        ((taken,),) = tx.rows("select count(*) from inbound_message where status = 'taken'")
        seen.parked = len(outbox.parked(tx))
    seen.lost = seen.acknowledged + len(seen.calm_waits) - taken
    node.close()
    return seen


def _settings(home: Path) -> Settings:
    given = from_environment()
    return Settings(home=home, http_port=_free_port(), mllp_port=_free_port(), database=given.database)


def _register(node: Node, given: Stays, home: Path, insured: int) -> None:
    given.register(node, home, range(insured))
    with node.database.transaction() as tx:
        for code in (*FLOODING, CALM):
            save_hospitals(tx, [HospitalRow(code, "示例市医院", "Hospital", 3, True, "330200")])
            senders.save(tx, [(Sender(id=code, hospital=code, hl7_facility=code), None)])


@contextmanager
def _serving(settings: Settings, processes: int) -> Iterator[Sequence[int]]:
    environment = os.environ | {
        "SAFEWEAVE_HOME": str(settings.home), "SAFEWEAVE_HTTP_PORT": str(settings.http_port),
        "SAFEWEAVE_MLLP_PORT": str(settings.mllp_port),
    }  # fmt: skip
    command = [sys.executable, "-m", "safeweave.main", "serve", "--processes", str(processes)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        serving.stdout.readline()
        time.sleep(2.0 * (processes - 1))
        try:
            yield [serving.pid, *_children(serving.pid)]
        finally:
            serving.send_signal(signal.SIGTERM)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _peak_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


def _left(database: Database) -> int:
    with database.reading() as tx:
        ((left,),) = tx.rows("select count(*) from task where parked is null and lane = '' and kind = 'VisitTold'")
    return int(left)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Run one flood and print what came of it as JSON."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--messages", type=int, default=100_000)
    asked.add_argument("--seconds", type=float, default=60.0)
    asked.add_argument("--connections", type=int, default=200)
    asked.add_argument("--processes", type=int, default=1)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix=".safeweave-flood-", dir=".") as home:
        seen = run(Path(home), given.messages, given.connections, given.seconds, given.processes)
    shown = asdict(seen) | {
        "messages_per_second": round(seen.acknowledged / seen.taking),
        "calm_waits": {
            "count": len(seen.calm_waits), "median": round(median(seen.calm_waits), 3),
            "longest": round(max(seen.calm_waits), 3),
        },
    }  # fmt: skip
    print(json.dumps(shown, indent=2))
    for fault in seen.faults():
        print(fault, file=sys.stderr)
    return bool(seen.faults())


if __name__ == "__main__":
    sys.exit(main())

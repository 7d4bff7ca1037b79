"""A sealed record from one member to another: from its handing in to the recipient's receipt, checked and kept."""

import io
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from queue import Empty, SimpleQueue
from secrets import token_bytes
from statistics import median

from safeweave.clock import now, pause, seconds_running
from safeweave.commands.bench.baselines import seconds_of
from safeweave.commands.bench.figure import Figure
from safeweave.commands.bench.members import City, city
from safeweave.commands.bench.stores import HOST, Bench
from safeweave.consortium.store import Outgoing
from safeweave.database import Transaction
from safeweave.errors import InvariantBroken

RECORD_BYTES = 200_000
PAUSE_SECONDS = 0.03  # between two, so that each finds both nodes idle
PATIENCE_SECONDS = 30.0


def sealing(bench: Bench) -> list[Figure]:
    """Milliseconds for a record of 200 kB on loopback, by the international and by the national suite."""
    return [_sealing(bench, suite, target) for suite, target in (("std-1", 10), ("gm-1", None))]


def _sealing(bench: Bench, suite: str, target: float | None) -> Figure:
    took: list[float] = []
    bare: list[float] = []
    with city(bench.home / suite, suite) as members, _bare_recipient(bench.home) as send:
        delivery = Delivery(members)
        for number in range(bench.counts.records + 2):  # the first two open connections and read keys
            record = token_bytes(RECORD_BYTES)
            seconds = delivery.seconds(record)
            bare_seconds = seconds_of(partial(send, record))
            if number > 1:
                took.append(1e3 * seconds)
                bare.append(1e3 * bare_seconds)
            pause(PAUSE_SECONDS)
    name = f"sealed_record_{suite.replace('-', '_')}"
    return Figure(name, median(took), "ms", median(bare), target=target)


class Delivery:
    """Sends records of a hospital, one at a time."""

    def __init__(self, members: City) -> None:
        self._members, self._courier = members, members.hospital.courier
        self._received: SimpleQueue[float] = SimpleQueue()
        note = self._courier.recorded

        def recorded(tx: Transaction, delivery: Outgoing, at: datetime) -> None:
            note(tx, delivery, at)
            tx.committed.append(lambda: self._received.put(seconds_running()))

        self._courier.recorded = recorded

    def seconds(self, record: bytes) -> float:
        """From the moment the record is handed in until its receipt was checked and is on the sender's disk."""
        city, began = self._members, list[float]()
        with city.hospital.database.transaction(beside=True) as tx:
            tx.committed.append(lambda: began.append(seconds_running()))
            self._courier.put(tx, city.insurer, "bench", city.consent, "record", io.BytesIO(record), now())
        try:
            return self._received.get(timeout=PATIENCE_SECONDS) - began[0]
        except Empty:
            raise InvariantBroken("a sealed record was sent and no receipt came") from None


@contextmanager
def _bare_recipient(folder: Path) -> Iterator[Callable[[bytes], None]]:
    """What sends bytes to another process over loopback, which appends them to a file, syncs it and answers."""
    with socket.create_server((HOST, 0)) as listener:
        child = get_context("spawn").Process(target=_receive, args=(listener.getsockname()[1], str(folder / "bare")))
        child.start()
        wire, _ = listener.accept()
    with wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send(record: bytes) -> None:
            wire.sendall(record)
            if wire.recv(1) != b"\x06":
                raise InvariantBroken("the bare recipient of the bench has ended")

        yield send
    child.join()


def _receive(port: int, file: str) -> None:
    with socket.create_connection((HOST, port)) as wire, open(file, "ab", buffering=0) as out:
        while record := wire.recv(RECORD_BYTES, socket.MSG_WAITALL):
            out.write(record)
            os.fdatasync(out.fileno())
            wire.sendall(b"\x06")

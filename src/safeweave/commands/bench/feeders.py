"""Processes that feed whole stays to one store beside each other, from the bytes of messages to the last commit."""

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from time import process_time
from typing import NamedTuple

from safeweave import outbox
from safeweave.clock import pause, seconds_running
from safeweave.commands.bench.samples import Sampled, Samples
from safeweave.commands.bench.stays import SENDER, stays_of
from safeweave.commands.bench.stores import Store
from safeweave.database import Transaction
from safeweave.errors import InvariantBroken
from safeweave.events import Event, PayoutOrdered
from safeweave.exchange import inbound
from safeweave.exchange.inbound import Receipt
from safeweave.node import Node

PATIENCE_SECONDS = 600.0


class Order(NamedTuple):
    """Stays a feeder is to feed, how, and whether it samples where its time goes."""

    numbers: range
    batch: int
    to_closed: bool
    sampled: bool


class Fed(NamedTuple):
    """What a feeder did, or several together; instants on the clock that never jumps."""

    claims: int
    began: float
    ended: float
    statements: int
    cpu_seconds: float
    sampled: Sampled | None = None

    @property
    def claims_per_second(self) -> float:
        """From the first begin to the last commit."""
        return self.claims / (self.ended - self.began)


class Feeders:
    """Processes with a node each, open and warm."""

    def __init__(self, children: Sequence[tuple[BaseProcess, Connection]]) -> None:
        self._children = children

    def feed(self, numbers: range, batch: int, to_closed: bool = False, sampled: bool = False) -> Fed:
        """Feed these stays, a share each, from a common start; InvariantBroken if one cannot be fed."""
        count = len(self._children)
        shares = [numbers[len(numbers) * n // count : len(numbers) * (n + 1) // count] for n in range(count)]
        for (_, pipe), share in zip(self._children, shares, strict=True):
            pipe.send(Order(share, batch, to_closed, sampled))
        answers = [self._answer(pipe) for _, pipe in self._children]
        return Fed(
            sum(fed.claims for fed in answers),
            min(fed.began for fed in answers),
            max(fed.ended for fed in answers),
            sum(fed.statements for fed in answers),
            sum(fed.cpu_seconds for fed in answers),
            answers[0].sampled,
        )

    @staticmethod
    def _answer(pipe: Connection) -> Fed:
        if not pipe.poll(PATIENCE_SECONDS):
            raise InvariantBroken(f"a feeder of the bench did nothing for {PATIENCE_SECONDS:.0f} s")
        try:
            answer = pipe.recv()
        except (EOFError, ConnectionError):
            raise InvariantBroken("a feeder of the bench ended by itself; what it said last stands above") from None
        if isinstance(answer, str):
            raise InvariantBroken(f"a feeder of the bench failed: {answer}")
        fed: Fed = answer
        return fed


@contextmanager
def feeders(store: Store, count: int) -> Iterator[Feeders]:
    """So many feeders of one store, ended with the block."""
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(count)
    children: list[tuple[BaseProcess, Connection]] = []
    try:
        for _ in range(count):
            ours, theirs = spawn.Pipe()
            child: BaseProcess = spawn.Process(target=_feed_on_demand, args=(theirs, start, store), daemon=True)
            child.start()
            theirs.close()
            children.append((child, ours))
        yield Feeders(children)
        for _, pipe in children:
            pipe.send(None)
    finally:
        for child, pipe in children:
            pipe.close()
            child.join(10)
            if child.is_alive():
                child.terminate()
                child.join()


def _feed_on_demand(pipe: Connection, start: Barrier, store: Store) -> None:
    try:
        with closing(store.node()) as node:
            while (order := pipe.recv()) is not None:
                pipe.send(_fed(node, order, start))
    except EOFError:
        pass  # whoever ordered is gone
    except BaseException as error:
        start.abort()
        pipe.send(f"{type(error).__name__}: {error}")
        raise


def _fed(node: Node, order: Order, start: Barrier) -> Fed:
    given, paid = stays_of(node), Instructions(node)
    messages = [given.whole(number) for number in order.numbers]
    batches = [messages[first : first + order.batch] for first in range(0, len(messages), order.batch)]
    start.wait(PATIENCE_SECONDS)
    statements, cpu, began = node.database.statements, process_time(), seconds_running()
    with Samples(order.sampled) as samples:
        for batch in batches:
            take(node, batch)
            if order.to_closed:
                node.worker.drain()
        while paid.count < len(messages) and node.worker.work():
            pass  # what was put off because another feeder held its key
    if order.to_closed:
        _drain_all(node)
    ended = seconds_running()
    paid.forget()
    if paid.count < len(messages):
        raise InvariantBroken(f"{len(messages)} claims were fed and {paid.count} got their payment instruction")
    return Fed(len(messages), began, ended, node.database.statements - statements, process_time() - cpu, samples.taken)


def _drain_all(node: Node) -> None:
    """Come back when nothing at all is left to be done, whoever does it."""
    while True:
        node.worker.drain()
        node.worker.let_go()
        with node.database.reading() as tx:
            if not outbox.waiting(tx):
                return
        pause(0.005)  # another feeder is at it


class Instructions:
    """Counts the payment instructions that a node commits, until it is told to forget."""

    def __init__(self, node: Node) -> None:
        self.count = 0
        self._node, self._told = node, node.worker.committed
        node.worker.committed = self._note

    def _note(self, told: Sequence[Event], at: object) -> None:
        self.count += sum(isinstance(event, PayoutOrdered) for event in told)

    def forget(self) -> None:
        """Count no more."""
        self._node.worker.committed = self._told


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

"""The ledger on a chain as engines of the conformance suite: in process always, on anvil where set-up put it, and on
any network named by LEDGER_RPC_URLS (`besu=http://127.0.0.1:8545`, several with commas).

Founding takes an EVM in Python seconds, so it is done once: each test begins from a snapshot, with the same members.
"""

import atexit
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from eth.vm.forks import BerlinVM
from eth_tester import EthereumTester, PyEVMBackend
from web3 import EthereumTesterProvider

from ledger.chain.anvil import Anvil, anvil
from ledger.given_ledger import Consortium, Person
from ledger.ledgers import Engine, Running
from safeweave.keys.ring import KeyRing
from safeweave.ledger.chain.account import new_account
from safeweave.ledger.chain.adapter import ChainLedger, deploy
from safeweave.ledger.chain.node import Node
from safeweave.ledger.chain.profile import Profile, profile

# py-evm raises it for the whole process, in which bottomless JSON then overflows the stack instead of being refused.
sys.setrecursionlimit(1000)

LONGEST_WAIT = 5  # seconds a network of others may be waited for, where a test wants time to pass


@dataclass
class Chain:
    """A chain to test on. `back_to` takes it to where `mark` was called, with nothing of later tests."""

    node: Node
    profile: Profile
    passes: Callable[[int], None]
    mark: Callable[[], Any]
    back_to: Callable[[Any], Any]
    marked: Any = None
    rings: list[KeyRing] | None = None
    contract: str = ""


def everybody(consortium: Consortium) -> list[Person]:
    return [*consortium.commission, *consortium.joining]


def founded(chain: Chain, consortium: Consortium) -> Running:
    """The consortium's ledger on this chain; its members get the keys of those who founded it."""
    if chain.rings is None:
        consortium.give_accounts(new_account)
        founder = consortium.commission[0].period.account
        assert founder
        chain.contract = deploy(chain.node, chain.profile, founder)
        running = running_on(chain, consortium)
        running.final(consortium.commission[0], *consortium.beginning())
        chain.marked = chain.mark()
        if chain.marked is not None:
            chain.rings = [person.ring for person in everybody(consortium)]
        return running
    chain.marked = chain.back_to(chain.marked)
    for person, ring in zip(everybody(consortium), chain.rings, strict=True):
        person.ring = ring
    return running_on(chain, consortium)


def running_on(chain: Chain, consortium: Consortium) -> Running:
    """Each member sends by an adapter of its own, as it would from its own process."""
    ledgers: dict[str, ChainLedger] = {}

    def ledger_of(person: Person) -> ChainLedger:
        ledger = ledgers.setdefault(person.id, ChainLedger(chain.node, chain.contract, chain.profile))
        if person.period.account:
            ledger.speaks_for(person.id, person.period.account)
        return ledger

    return Running(ledger_of, chain.passes)


def in_process() -> Chain:
    """An EVM in this process, without base fees: its rules are those of Berlin."""
    parameters = PyEVMBackend.generate_genesis_params({"gas_limit": 30_000_000})
    tester = EthereumTester(PyEVMBackend(genesis_parameters=parameters, vm_configuration=((0, BerlinVM),)))

    def passes(seconds: int) -> None:
        tester.time_travel(tester.get_block_by_number("pending")["timestamp"] + seconds)

    def back_to(snapshot: Any) -> Any:
        tester.revert_to_snapshot(snapshot)
        return snapshot

    node = Node(EthereumTesterProvider(tester), one_at_a_time=True)
    return Chain(node, profile("eth-tester"), passes, tester.take_snapshot, back_to)


def on_anvil(server: Anvil, used: Profile) -> Chain:
    """A real node, spoken to over HTTP."""

    def passes(seconds: int) -> None:
        server.ask("evm_increaseTime", seconds)
        server.ask("anvil_mine", "0x1")

    def back_to(snapshot: Any) -> Any:
        server.ask("evm_revert", snapshot)
        return server.ask("evm_snapshot")  # anvil forgets one that was used

    return Chain(Node.at(server.url), used, passes, lambda: server.ask("evm_snapshot"), back_to)


def on_network(url: str, used: Profile) -> Chain:
    """A network of others: it cannot be taken back, and its time passes by itself."""

    def passes(seconds: int) -> None:
        if seconds > LONGEST_WAIT:
            pytest.skip("the time of this network cannot be moved")

    return Chain(Node.at(url), used, passes, lambda: None, lambda mark: mark)


@cache
def _in_process() -> Chain:
    return in_process()


@cache
def _on_anvil() -> Chain:
    server = Anvil()
    atexit.register(server.kill)
    return on_anvil(server, profile("anvil"))


def _engine(chain: Callable[[], Chain]) -> Engine:
    @contextmanager
    def engine(folder: Path, consortium: Consortium) -> Iterator[Running]:
        yield founded(chain(), consortium)

    return engine


def _network(named: str) -> tuple[str, Engine]:
    name, _, url = named.strip().partition("=")
    return f"{name} at {url}", _engine(lambda: on_network(url, profile(name)))


CHAINS: dict[str, Engine] = {"eth-tester": _engine(_in_process)}
if anvil():
    CHAINS["anvil"] = _engine(_on_anvil)
CHAINS |= dict(_network(named) for named in os.environ.get("LEDGER_RPC_URLS", "").split(",") if named.strip())

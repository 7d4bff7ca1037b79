"""A real node that is silent, breaks off, loses transactions, goes back and is killed: not known, and never done twice.

In every case the member's program does the same: it sends the same operation again until the answer is final.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ledger.chain.anvil import MISSING, Anvil, Door, anvil
from ledger.chain.engines import Chain, founded, on_anvil
from ledger.given_ledger import DAY, Consortium, Person
from safeweave.errors import Unavailable
from safeweave.ledger.chain import sending
from safeweave.ledger.chain.adapter import ChainLedger
from safeweave.ledger.chain.node import Node
from safeweave.ledger.chain.profile import profile
from safeweave.ledger.ledger import Final, Unknown
from safeweave.ledger.operation import SignedOperation, fresh_id
from waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(anvil() is None, reason=MISSING)

DEEP = 2  # blocks on top of one that make it final, where a test lets the chain go back


class Scene:
    """A founded consortium on a node of its own, and an insurer that wants a bill for itself."""

    def __init__(self, folder: Path) -> None:
        self.server = Anvil(folder)
        self.door = Door(self.server.port)
        self.members = Consortium()
        chain = on_anvil(self.server, profile("anvil"))
        founded(chain, self.members)
        self.contract = chain.contract
        self.chain: Chain = chain
        self.bill = fresh_id()

    def ledger(self, person: Person, confirmations: int = 0, seconds: float = PATIENCE) -> ChainLedger:
        """As this member's program opens it, through the door; it waits so many seconds for an answer."""
        account = person.period.account
        assert account
        used = msgspec.structs.replace(profile("anvil"), confirmations=confirmations)
        return ChainLedger(Node.at(self.door.url, seconds), self.contract, used, {person.id: account})

    def reserves(self, person: Person) -> SignedOperation:
        expires = self.chain.node.block(self.chain.node.height())[1] + DAY
        return person.reserves(self.members.hospital.ticket(person, (self.bill, 1), expires=expires))

    def results(self) -> list[str]:
        """Every attempt on the bill that stands, in order."""
        events = ChainLedger(self.chain.node, self.contract, profile("anvil")).events(-1, 100)
        return [outcome.result for event in events for outcome in event.results if outcome.item.nullifier == self.bill]

    def seals(self, *results: str) -> None:
        """These come to stand: anvil answers first and seals then, and must not be disturbed in between."""
        until(lambda: self.results() == list(results), self.results)

    def mine(self, blocks: int = 1) -> None:
        self.server.ask("anvil_mine", hex(blocks))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    found = Scene(tmp_path)
    yield found
    found.door.close()
    found.server.kill()


def result(outcome: object) -> str:
    assert isinstance(outcome, Final), outcome
    return outcome.receipt.results[0].result


def test_a_node_that_swallows_the_transaction(scene: Scene):
    ledger, reserve = scene.ledger(scene.members.insurer, seconds=2), scene.reserves(scene.members.insurer)
    with scene.door.being("stall", "eth_sendRawTransaction"):
        [id] = ledger.submit([reserve])
        assert isinstance(ledger.outcome(id, 0), Unknown)
    assert scene.results() == []
    ledger.submit([reserve])
    assert result(ledger.outcome(id, PATIENCE)) == "RESERVED"
    assert scene.results() == ["RESERVED"]


def test_a_node_that_takes_the_transaction_and_breaks_off_before_it_answers(scene: Scene):
    ledger, reserve = scene.ledger(scene.members.insurer), scene.reserves(scene.members.insurer)
    with scene.door.being("break", "eth_sendRawTransaction"):
        [id] = ledger.submit([reserve])
    first = ledger.outcome(id, PATIENCE)
    assert result(first) == "RESERVED"
    ledger.submit([reserve])
    assert ledger.outcome(id, PATIENCE) == first
    assert scene.results() == ["RESERVED"]


def test_a_node_that_is_told_everything_twice(scene: Scene):
    ledger, reserve = scene.ledger(scene.members.insurer), scene.reserves(scene.members.insurer)
    with scene.door.being("repeat", "eth_sendRawTransaction"):
        [id] = ledger.submit([reserve])
    assert result(ledger.outcome(id, PATIENCE)) == "RESERVED"
    assert scene.results() == ["RESERVED"]


@pytest.mark.parametrize("method", ["eth_call", "eth_blockNumber", "eth_getLogs", "eth_getTransactionCount"])
def test_a_node_that_does_not_answer_one_kind_of_question(scene: Scene, method: str):
    ledger, reserve = scene.ledger(scene.members.insurer), scene.reserves(scene.members.insurer)
    with scene.door.being("break", method):
        [id] = ledger.submit([reserve])
        assert isinstance(ledger.outcome(id, 0), Unknown)
    ledger.submit([reserve])
    assert result(ledger.outcome(id, PATIENCE)) == "RESERVED"
    assert scene.results() == ["RESERVED"]


def test_a_node_that_is_gone_is_said_to_be_and_nothing_is_refused(scene: Scene):
    scene.server.save()
    scene.server.kill()
    ledger, reserve = scene.ledger(scene.members.insurer), scene.members.insurer.anchors(fresh_id(), 1)
    [id] = ledger.submit([reserve])
    assert isinstance(ledger.outcome(id, 0), Unknown)
    for reads in (ledger.head, lambda: ledger.events(-1, 5), lambda: ledger.consent(id), lambda: ledger.prove(id)):
        with pytest.raises(Unavailable):
            reads()
    scene.server.start()
    ledger.submit([reserve])
    assert isinstance(ledger.outcome(id, PATIENCE), Final)


def test_a_transaction_that_waits_is_not_sent_under_another_number(scene: Scene):
    ledger, reserve = scene.ledger(scene.members.insurer), scene.reserves(scene.members.insurer)
    account = scene.members.insurer.period.account
    assert account
    scene.server.ask("evm_setAutomine", False)
    [id] = ledger.submit([reserve])
    for _ in range(3):
        assert isinstance(ledger.outcome(id, 0), Unknown)
        ledger.submit([reserve])
    assert scene.chain.node.sent_by(account.address, pending=True) == 1
    scene.mine()
    assert result(ledger.outcome(id, PATIENCE)) == "RESERVED"
    assert scene.results() == ["RESERVED"]


def test_a_dropped_transaction_holds_up_what_is_behind_it_until_it_is_sent_again(scene: Scene):
    insurer = scene.members.insurer
    ledger, reserve, later = scene.ledger(insurer), scene.reserves(insurer), insurer.anchors(fresh_id(), 1)
    scene.server.ask("evm_setAutomine", False)
    [id] = ledger.submit([reserve])
    [other] = ledger.submit([later])
    pending = scene.server.ask("txpool_content")["pending"]
    (waiting,) = pending.values()
    scene.server.ask("anvil_dropTransaction", waiting[min(waiting, key=int)]["hash"])
    scene.mine()
    assert isinstance(ledger.outcome(id, 0), Unknown)
    assert isinstance(ledger.outcome(other, 0), Unknown)
    ledger.submit([later])
    scene.mine()
    assert result(ledger.outcome(id, PATIENCE)) == "RESERVED"
    assert isinstance(ledger.outcome(other, PATIENCE), Final)
    assert scene.results() == ["RESERVED"]


def test_a_program_that_starts_anew_while_its_transaction_waits(scene: Scene):
    insurer = scene.members.insurer
    reserve = scene.reserves(insurer)
    scene.server.ask("evm_setAutomine", False)
    scene.ledger(insurer).submit([reserve])
    again = scene.ledger(insurer)
    [id] = again.submit([reserve])
    assert isinstance(again.outcome(id, 0), Unknown)
    scene.mine(2)
    assert result(again.outcome(id, PATIENCE)) == "RESERVED"
    assert scene.results() == ["RESERVED"]


def test_two_programs_that_use_one_account_hinder_but_do_not_lose_each_other(scene: Scene):
    insurer = scene.members.insurer
    one, two = scene.ledger(insurer), scene.ledger(insurer)
    said = [insurer.anchors(fresh_id(), 1) for _ in range(5)]
    scene.server.ask("evm_setAutomine", False)
    ids = [(ledger, ledger.submit([signed])[0]) for ledger, signed in zip((one, two, one, two, one), said, strict=True)]
    scene.mine()
    for (ledger, id), signed in zip(ids, said, strict=True):
        if isinstance(ledger.outcome(id, 0), Unknown):
            ledger.submit([signed])
    scene.mine()
    assert all(isinstance(ledger.outcome(id, PATIENCE), Final) for ledger, id in ids)


def test_a_transaction_that_runs_out_of_gas_has_refused_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    ledger, reserve = scene.ledger(scene.members.insurer), scene.reserves(scene.members.insurer)
    for gas in range(40_000, 190_000, 30_000):
        with monkeypatch.context() as patch:
            patch.setattr(sending, "gas_of", lambda signed, gas=gas: gas)
            [id] = ledger.submit([reserve])
        assert isinstance(ledger.outcome(id, 0.2), Unknown)
    ledger.submit([reserve])
    assert result(ledger.outcome(id, PATIENCE)) == "RESERVED"
    assert scene.results() == ["RESERVED"]


def test_a_chain_that_goes_back_takes_the_reservation_with_it_and_it_is_made_again(scene: Scene):
    insurer = scene.members.insurer
    ledger, reserve = scene.ledger(insurer, DEEP), scene.reserves(insurer)
    scene.mine(DEEP)
    [id] = ledger.submit([reserve])
    scene.seals("RESERVED")
    assert isinstance(ledger.outcome(id, 0), Unknown)
    scene.server.ask("anvil_reorg", 1, [])
    assert scene.results() == []
    assert isinstance(ledger.outcome(id, 0), Unknown)
    ledger.submit([reserve])
    scene.seals("RESERVED")
    scene.mine(DEEP + 1)
    assert result(ledger.outcome(id, PATIENCE)) == "RESERVED"
    assert scene.results() == ["RESERVED"]


def test_a_chain_that_goes_back_gives_the_bill_to_whoever_comes_first_then(scene: Scene):
    insurer, other = scene.members.insurer, scene.members.other_insurer
    ledger, others = scene.ledger(insurer, DEEP), scene.ledger(other, DEEP)
    mine, theirs = scene.reserves(insurer), scene.reserves(other)
    scene.mine(DEEP)
    [id] = ledger.submit([mine])
    scene.seals("RESERVED")
    scene.server.ask("anvil_reorg", 1, [])
    [other_id] = others.submit([theirs])
    scene.seals("RESERVED")
    ledger.submit([mine])
    scene.seals("RESERVED", "HELD")
    scene.mine(DEEP + 1)
    assert result(others.outcome(other_id, PATIENCE)) == "RESERVED"
    assert result(ledger.outcome(id, PATIENCE)) == "HELD"


def test_a_node_killed_and_started_from_an_older_state(scene: Scene):
    """Older even than what was final: the account's numbers begin lower again."""
    insurer = scene.members.insurer
    ledger = scene.ledger(insurer, DEEP)
    scene.mine(DEEP)
    scene.server.save()
    earlier = []
    for _ in range(3):
        earlier += ledger.submit([insurer.anchors(fresh_id(), 1)])
        assert isinstance(scene.ledger(insurer).outcome(earlier[-1], PATIENCE), Final)
    scene.mine(DEEP)
    assert all(isinstance(ledger.outcome(one, PATIENCE), Final) for one in earlier)
    reserve = scene.reserves(insurer)
    [id] = ledger.submit([reserve])
    assert isinstance(ledger.outcome(id, 0), Unknown)
    scene.server.kill()
    assert isinstance(ledger.outcome(id, 0), Unknown)
    scene.server.start()
    assert scene.results() == []
    assert isinstance(ledger.outcome(id, 0), Unknown)
    ledger.submit([reserve])
    scene.seals("RESERVED")
    scene.mine(DEEP + 1)
    assert result(ledger.outcome(id, PATIENCE)) == "RESERVED"
    assert scene.results() == ["RESERVED"]

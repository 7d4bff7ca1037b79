"""What operations use: the adapter offers enough for each, and not many times as much."""

import pytest

from ledger.chain.engines import Chain, founded, in_process
from ledger.given_ledger import DAY, Consortium, Person
from safeweave.keys.ring import KeyRing
from safeweave.ledger.chain import contract
from safeweave.ledger.chain.account import new_account
from safeweave.ledger.chain.adapter import deploy
from safeweave.ledger.chain.sending import gas_of, signed_transaction
from safeweave.ledger.operation import Item, SignedOperation, Ticket, fresh_id, operation_id

TRANSACTION = 31_000


class Meter:
    """An EVM in this process, and what each transaction on it has used."""

    def __init__(self, chain: Chain, members: Consortium) -> None:
        self.chain, self.members = chain, members

    def used(self, person: Person, *signed: SignedOperation) -> int:
        node, account = self.chain.node, person.period.account
        assert account
        transaction, raw = signed_transaction(
            account, node.chain_id(), node.sent_by(account.address), 0, 29_000_000, self.chain.contract,
            contract.submission(signed),
        )  # fmt: skip
        node.send(raw)
        receipt = node.receipt(transaction)
        assert receipt
        topics = [log["topics"][0].hex().removeprefix("0x") for log in receipt["logs"]]
        assert topics == [contract.topic("Stands")[2:]] * len(signed), [operation_id(one.operation) for one in signed]
        return int(receipt["gasUsed"])

    @property
    def now(self) -> int:
        return self.chain.node.block(self.chain.node.height())[1]


@pytest.fixture(scope="module")
def meter() -> Meter:
    chain, members = in_process(), Consortium()
    founded(chain, members)
    return Meter(chain, members)


def stories(meter: Meter) -> list[tuple[str, Person, list[SignedOperation]]]:
    """One of each kind at its dearest (all slots fresh, new members), then in batches."""
    m, now, stream = meter.members, meter.now, fresh_id()
    first = m.commission[0]
    bills = [(fresh_id(), 1) for _ in range(100)]
    items = [Item(m.hospital.id, n, part) for n, part in bills]
    consent = fresh_id()

    def ticket(*wanted: tuple[str, int]) -> Ticket:
        return m.hospital.ticket(m.insurer, *wanted, expires=now + DAY)

    lone = [(fresh_id(), 1)]
    return [
        ("put_member", first, [m.admits(Person("insurer", KeyRing.generated(fresh_id(), account=new_account())))]),
        ("suspend_member", first, [m.suspends(m.other_insurer)]),
        ("grant_consent", m.hospital, [m.hospital.grants(m.insurer, consent, now, now + DAY)]),
        ("grant_consent x20", m.hospital, [m.hospital.grants(m.insurer, "", now, now + DAY) for _ in range(20)]),
        ("revoke_consent", m.hospital, [m.hospital.revokes(consent)]),
        ("anchor, first of its stream", m.hospital, [m.hospital.anchors(stream, 1)]),
        ("anchor", m.hospital, [m.hospital.anchors(stream, 2)]),
        ("reserve 1", m.insurer, [m.insurer.reserves(ticket(*lone))]),
        ("reserve 100, one ticket", m.insurer, [m.insurer.reserves(ticket(*bills))]),
        ("reserve 10, ten tickets", m.insurer, [m.insurer.reserves(*[ticket((fresh_id(), 1)) for _ in range(10)])]),
        ("settle 1", m.insurer, [m.insurer.settles(Item(m.hospital.id, *lone[0]))]),
        ("settle 100", m.insurer, [m.insurer.settles(*items)]),
        ("release 100", m.insurer, [m.insurer.releases(*items)]),
        ("void 100", m.hospital, [m.hospital.voids(*[n for n, _ in bills])]),
    ]


def test_every_operation_is_offered_enough_gas(meter: Meter):
    for name, person, signed in stories(meter):
        used = meter.used(person, *signed)
        offered = TRANSACTION + sum(map(gas_of, signed))
        print(f"{name:<28} {used:>9,} used {offered:>9,} offered")
        assert used * 1.2 < offered < used * 4, name


def test_the_founding_is_offered_enough_gas():
    chain, members = in_process(), Consortium()
    members.give_accounts(new_account)
    founder = members.commission[0].period.account
    assert founder
    chain.contract = deploy(chain.node, chain.profile, founder)
    founding = members.founding()
    used = Meter(chain, members).used(members.commission[0], founding)
    assert used * 1.2 < TRANSACTION + gas_of(founding) < used * 4

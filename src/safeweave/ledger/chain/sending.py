"""Transactions of one account that are on their way: numbered without gaps, sent again until they stand.

The chain takes the transactions of an account in the order of their numbers (nonces), so one that is lost holds up all
behind it. Nothing here is kept on disk: what an account has sent is on the chain or is sent again by whoever said it,
and the contract lets an operation stand once, whatever number carries it.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from safeweave.keys.ring import Account
from safeweave.ledger.chain.contract import submission
from safeweave.ledger.chain.extra import needed
from safeweave.ledger.chain.node import Declined, Node
from safeweave.ledger.chain.profile import Profile
from safeweave.ledger.operation import (
    Found,
    Operation,
    OperationId,
    PutMember,
    Release,
    Reserve,
    Settle,
    SignedOperation,
    Void,
    operation_bytes,
)

log = logging.getLogger("safeweave.ledger.chain")

_TRIES = 5


class Flight(NamedTuple):
    """A transaction on its way."""

    nonce: int
    transaction: str
    raw: bytes
    signed: tuple[tuple[OperationId, SignedOperation], ...]


def gas_of(signed: SignedOperation) -> int:
    """What an operation may use at most; measured use is at least a tenth below (`tests/ledger/chain/test_gas.py`)."""
    seals = len(signed.signature) + sum(300 + len(approval.signature) for approval in signed.approvals)
    return _work(signed.operation) + 45 * len(operation_bytes(signed.operation)) + 30 * seals


def _work(operation: Operation) -> int:
    match operation:
        case Found(commission=commission):
            return 150_000 + 400_000 * len(commission)
        case PutMember():
            return 500_000
        case Reserve(tickets=tickets):
            return 110_000 + sum(25_000 + 60_000 * len(ticket.nullifiers) for ticket in tickets)
        case Settle(items=items) | Release(items=items):
            return 110_000 + 25_000 * len(items)
        case Void(nullifiers=nullifiers):
            return 110_000 + 30_000 * len(nullifiers)
        case _:
            return 200_000


class Sending:
    """The queue of one account. Its calls raise Unavailable when the node is silent; then they may be tried again."""

    def __init__(self, node: Node, chain_id: int, contract: str, profile: Profile, account: Account) -> None:
        """Nothing is asked of the node yet."""
        self._node, self._chain_id, self._contract, self._profile = node, chain_id, contract, profile
        self.account = account
        self.flights: list[Flight] = []
        self._standing = 0  # how many transactions of the account stood when the node was last asked

    def send(self, signed: Sequence[tuple[OperationId, SignedOperation]]) -> None:
        """Send these in one transaction, after all that are on their way."""
        for _ in range(_TRIES):
            self.mend()
            # what another run of this program has sent may wait at the node too
            nonce = max([self._pending(), *(flight.nonce + 1 for flight in self.flights)])
            flight = self._flight(nonce, tuple(signed))
            self.flights.append(flight)  # before it is sent: whether it has arrived is not known if the answer is lost
            if self._handed_in(flight):
                return
            self.flights.remove(flight)

    def mend(self) -> None:
        """Send again what the node has lost, under new numbers where the chain has gone another way."""
        first = self._pending()
        for nonce, flight in enumerate(sorted(flight for flight in self.flights if flight.nonce >= first), start=first):
            sent = flight
            if flight.nonce != nonce:
                sent = self._flight(nonce, flight.signed)
                self.flights[self.flights.index(flight)] = sent
            self._handed_in(sent)

    def has_waiting(self) -> bool:
        """Whether something does not stand yet, whatever it does when it stands."""
        last = max((flight.nonce for flight in self.flights), default=-1)
        return last >= self._standing and last >= self._asked()

    def is_waiting(self, id: OperationId) -> bool:
        """Whether a transaction that does not stand yet carries this operation."""
        flight = self.flight_of(id)
        return flight is not None and flight.nonce >= self._asked()

    def flight_of(self, id: OperationId) -> Flight | None:
        """The last transaction that carries this operation."""
        return next((f for f in reversed(self.flights) if any(other == id for other, _ in f.signed)), None)

    def forget(self, flight: Flight) -> None:
        """It stands for good, or never will."""
        if flight in self.flights:
            self.flights.remove(flight)

    def _pending(self) -> int:
        """The first number that neither stands nor waits at the node."""
        return max(self._asked(), self._node.sent_by(self.account.address, pending=True))

    def _asked(self) -> int:
        self._standing = self._node.sent_by(self.account.address)
        return self._standing

    def _flight(self, nonce: int, signed: tuple[tuple[OperationId, SignedOperation], ...]) -> Flight:
        # 21,000 for a transaction, 10,000 for its list
        gas = min(31_000 + sum(gas_of(one) for _, one in signed), self._profile.gas_of_block)
        data = submission([one for _, one in signed])
        transaction, raw = signed_transaction(
            self.account, self._chain_id, nonce, self._profile.gas_price, gas, self._contract, data
        )
        return Flight(nonce, transaction, raw, signed)

    def _handed_in(self, flight: Flight) -> bool:
        """Whether the node has it now. Every node says in its own words that it had it before."""
        try:
            self._node.send(flight.raw)
        except Declined as declined:
            words = str(declined).lower()
            if "known" in words or "already" in words or "duplicate" in words or "exist" in words:
                return True
            log.info("transaction %s with number %d was declined: %s", flight.transaction, flight.nonce, declined)
            return False
        return True


def signed_transaction(
    account: Account, chain_id: int, nonce: int, gas_price: int, gas: int, to: str, data: str
) -> tuple[str, bytes]:
    """The hash and the bytes of a legacy transaction (EIP-155); `to` is "" to create a contract."""
    asked = {
        "nonce": nonce, "gasPrice": gas_price, "gas": gas, "value": 0, "data": data, "chainId": chain_id,
        "to": needed("eth_utils").to_checksum_address(to) if to else b"",
    }  # fmt: skip
    made = needed("eth_account").Account.sign_transaction(asked, account.private)
    return "0x" + bytes(made.hash).hex(), bytes(made.raw_transaction)

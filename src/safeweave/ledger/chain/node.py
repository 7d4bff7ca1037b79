"""A chain's node over JSON-RPC, with the few methods that every kind of chain has.

eth_chainId, eth_blockNumber, eth_getBlockByNumber, eth_getTransactionCount, eth_getTransactionReceipt, eth_call,
eth_getLogs and eth_sendRawTransaction; no subscriptions, no filters kept by the node, no fee history.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

from safeweave.errors import Unavailable
from safeweave.ledger.chain.extra import needed

FIRST_MILLISECONDS = 10**11  # a time from here on is in milliseconds


class Declined(Unavailable):
    """The node answered that it does not take a transaction; its words say why."""


class Node:
    """One node. Every call raises Unavailable when it does not answer, or answers with something else."""

    def __init__(self, provider: Any, one_at_a_time: bool = False) -> None:
        """`provider` is web3's; an in-process one takes one call at a time."""
        # without web3's middleware: it asks for the chain's id before every call, and takes a QBFT header for an error
        self._web3 = needed("web3").Web3(provider, middleware=[])
        self._lock = RLock() if one_at_a_time else None
        self._not_found = needed("web3.exceptions").TransactionNotFound

    @classmethod
    def at(cls, url: str, seconds: float = 10) -> "Node":
        """The node at this address; each call waits so many seconds for its answer, and is not repeated."""
        web3 = needed("web3")
        provider = web3.HTTPProvider(url, request_kwargs={"timeout": seconds}, exception_retry_configuration=None)
        return cls(provider)

    def chain_id(self) -> int:
        """Which chain this is."""
        with self._answering():
            return int(self._web3.eth.chain_id)

    def height(self) -> int:
        """The number of the newest block."""
        with self._answering():
            return int(self._web3.eth.block_number)

    def block(self, height: int) -> tuple[str, int]:
        """The hash of a block in hex, and its time in seconds since 1970, whatever the chain counts in."""
        with self._answering():
            found = self._web3.eth.get_block(height)
            hash, time = bytes(found["hash"]).hex(), int(found["timestamp"])
        return hash, time if time < FIRST_MILLISECONDS else time // 1000

    def sent_by(self, address: str, pending: bool = False) -> int:
        """How many transactions of an account stand; with `pending`, or wait to be taken without a gap."""
        with self._answering():
            place = "pending" if pending else "latest"
            return int(self._web3.eth.get_transaction_count(self._address(address), place))

    def receipt(self, transaction: str) -> dict[str, Any] | None:
        """What the chain says of a transaction that stands; None if it does not."""
        with self._answering():
            try:
                return dict(self._web3.eth.get_transaction_receipt(transaction))
            except self._not_found:
                return None

    def ask(self, contract: str, data: str, height: int | None = None) -> bytes:
        """What a contract answers at a block, or at the newest."""
        with self._answering():
            asked = {"to": self._address(contract), "data": data, "gasPrice": 0}
            place = "latest" if height is None else height
            return bytes(self._web3.eth.call(asked, place, ccip_read_enabled=False))

    def logs(self, contract: str, first: int, last: int, topics: Sequence[str | None]) -> list[dict[str, Any]]:
        """The logs of a contract in these blocks with these topics, in order."""
        with self._answering():
            asked = {
                "address": self._address(contract), "fromBlock": first, "toBlock": last, "topics": list(topics),
            }  # fmt: skip
            found = [dict(log) for log in self._web3.eth.get_logs(asked)]
        return sorted(found, key=lambda log: (log["blockNumber"], log["logIndex"]))

    def send(self, raw: bytes) -> None:
        """Hand in a signed transaction. Raises Declined if the node says no, and says it in its words."""
        errors = needed("web3.exceptions")
        with self._answering():
            try:
                self._web3.eth.send_raw_transaction(raw)
            except (errors.Web3RPCError, errors.Web3ValueError) as fault:
                raise Declined(str(fault)) from fault

    def _address(self, address: str) -> Any:
        return self._web3.to_checksum_address(address)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        if self._lock:
            self._lock.acquire()
        try:
            yield
        except Unavailable:
            raise
        except Exception as fault:  # whatever a client library makes of a silent or babbling node
            raise Unavailable(f"the chain's node does not answer: {type(fault).__name__}: {fault}") from fault
        finally:
            if self._lock:
                self._lock.release()

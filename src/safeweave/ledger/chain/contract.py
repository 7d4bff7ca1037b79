"""The contract as it is committed, and the form of its calls, answers and events."""

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec

from safeweave.errors import InvariantBroken
from safeweave.ledger.chain.extra import needed
from safeweave.ledger.ledger import Event, ItemOutcome, ItemResult, Receipt, Refusal
from safeweave.ledger.operation import (
    Approval,
    Item,
    Operation,
    Release,
    Reserve,
    Said,
    Settle,
    SignedOperation,
    items_of,
    operation_bytes,
    operation_id,
)
from safeweave.ledger.rules import kind_of, subjects_of

# in the order of the contract's constants
REFUSALS: tuple[Refusal, ...] = (
    "malformed", "unknown_member", "suspended_member", "bad_signature", "not_commission", "approvals_missing",
    "founded", "role_changed", "account_taken", "unusable_keys", "commission_too_small", "consent_exists",
    "unknown_consent", "not_party", "unknown_grantee", "not_owner", "out_of_order", "not_holder", "spent", "voided",
    "next_part_open",
)  # fmt: skip
RESULTS: tuple[ItemResult, ...] = (
    "RESERVED", "MINE", "HELD", "SPENT", "VOID", "CLOSED", "NO_TICKET", "SETTLED", "RELEASED",
)  # fmt: skip
KINDS = (
    "found", "put_member", "suspend_member", "grant_consent", "revoke_consent", "anchor", "reserve", "settle",
    "release", "void",
)  # fmt: skip
USE_STATES = ("FREE", "RESERVED", "SETTLED")

_operations: msgspec.json.Decoder[Operation] = msgspec.json.Decoder(Operation)


class Seal(Said):
    """What a signed operation has beside its operation. The contract carries it and does not read it."""

    suite: str
    signature: str
    approvals: tuple[Approval, ...] = ()


class Stood(NamedTuple):
    """An operation that stands, as the contract told it."""

    number: int
    id: str
    time: int
    height: int
    transaction: str
    results: bytes
    operation: Operation
    seal: bytes

    def outcomes(self) -> tuple[ItemOutcome, ...]:
        """What became of its items."""
        match self.operation:
            case Reserve(tickets=tickets):
                items = [item for ticket in tickets for item in items_of(ticket)]
            case Settle(items=named) | Release(items=named):
                items = list(named)
            case _:
                return ()
        return tuple(ItemOutcome(item, RESULTS[code]) for item, code in zip(items, self.results, strict=True))

    def receipt(self) -> Receipt:
        """Where it stands."""
        return Receipt(self.id, self.number, self.height, self.time, self.outcomes())

    def event(self) -> Event:
        """It as an event."""
        return Event(
            self.number, self.id, kind_of(self.operation), self.operation.by, self.height, self.time,
            subjects_of(self.operation), self.outcomes(),
        )  # fmt: skip

    def signed(self) -> SignedOperation | None:
        """The operation as its author signed it; None if the author sent no readable signature along."""
        try:
            seal = msgspec.json.decode(self.seal, type=Seal)
            return msgspec.convert(
                {"operation": msgspec.to_builtins(self.operation), **msgspec.to_builtins(seal)}, SignedOperation
            )
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
            return None


class UseSlot(NamedTuple):
    """One part of a bill as the contract keeps it."""

    holder: str
    state: int
    split: bool
    until: int
    held_height: int
    height: int
    void_height: int


@cache
def _committed() -> dict[str, Any]:
    return dict(json.loads((files(__package__) / "Consortium.json").read_text(encoding="utf-8")))


def bytecode() -> str:
    """The code that creates the contract, in hex."""
    return "".join(_committed()["bytecode"])


def abi() -> list[dict[str, Any]]:
    """The interface of the contract."""
    return list(_committed()["abi"])


@cache
def _types(name: str, side: str) -> tuple[str, ...]:
    entry = next(entry for entry in abi() if entry.get("name") == name or entry["type"] == name)
    return tuple(_type(value) for value in entry[side] if not value.get("indexed"))


def _type(value: dict[str, Any]) -> str:
    if not value["type"].startswith("tuple"):
        return str(value["type"])
    return f"({','.join(map(_type, value['components']))}){value['type'].removeprefix('tuple')}"


@cache
def _selector(name: str) -> bytes:
    return bytes(needed("eth_utils").keccak(text=f"{name}({','.join(_types(name, 'inputs'))})"))[:4]


@cache
def topic(name: str) -> str:
    """The first topic of an event."""
    every = next(entry for entry in abi() if entry.get("name") == name)["inputs"]
    return "0x" + bytes(needed("eth_utils").keccak(text=f"{name}({','.join(map(_type, every))})")).hex()


def creation(founder: str) -> str:
    """The data of the transaction that creates the contract."""
    given = needed("eth_abi").encode(_types("constructor", "inputs"), (founder,))
    return bytecode() + bytes(given).hex()


def call(name: str, *values: object) -> str:
    """The data of a call."""
    return "0x" + (_selector(name) + bytes(needed("eth_abi").encode(_types(name, "inputs"), values))).hex()


def answer(name: str, raw: bytes) -> tuple[Any, ...]:
    """What a call answered."""
    return tuple(needed("eth_abi").decode(_types(name, "outputs"), raw))


def submission(signed: Sequence[SignedOperation]) -> str:
    """The data of the transaction that hands these in."""
    return call("submit", [_sent(one) for one in signed])


def _sent(signed: SignedOperation) -> tuple[int, bytes, bytes, bytes]:
    approvals = [bytes.fromhex(approval.account_signature) for approval in signed.approvals]
    seal = msgspec.json.encode(Seal(signed.suite, signed.signature, signed.approvals))
    return (
        KINDS.index(kind_of(signed.operation)),
        operation_bytes(signed.operation),
        b"".join(signature for signature in approvals if len(signature) == 65),
        seal,
    )


def read_stood(log: dict[str, Any]) -> Stood:
    """An operation from a log of `Stands`. Raises InvariantBroken for one the contract should not have let in."""
    time, _, results, raw, seal = needed("eth_abi").decode(_types("Stands", "inputs"), bytes(log["data"]))
    id = bytes(log["topics"][2]).hex()
    try:
        operation = _operations.decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError) as fault:
        raise InvariantBroken(f"operation {id} stands on the chain and cannot be read: {fault}") from fault
    if operation_id(operation) != id:
        raise InvariantBroken(f"operation {id} stands on the chain under an id that is not its own")
    number = int.from_bytes(bytes(log["topics"][1]), "big")
    transaction = "0x" + bytes(log["transactionHash"]).hex()
    return Stood(number, id, time, int(log["blockNumber"]), transaction, results, operation, seal)


def read_refusal(log: dict[str, Any]) -> tuple[str, Refusal]:
    """The operation of a log of `Refused`, and why."""
    (code,) = needed("eth_abi").decode(_types("Refused", "inputs"), bytes(log["data"]))
    return bytes(log["topics"][1]).hex(), REFUSALS[code]


def read_use(raw: bytes) -> UseSlot:
    """The answer of `useOf`."""
    holder, (_, state, split, until, held_height, height, _), void_height = answer("useOf", raw)
    return UseSlot(holder.hex(), state, split, until, held_height, height, void_height)


def item_key(item: Item) -> tuple[bytes, bytes, int]:
    """An item as the contract is asked for it."""
    return bytes.fromhex(item.issuer), bytes.fromhex(item.nullifier), item.part

"""One entry of the log: a signed operation, when it was taken, and what came of its items. Its bytes are the leaf."""

from collections.abc import Sequence

import msgspec

from safeweave.errors import Malformed
from safeweave.ledger.ledger import Event, ItemOutcome, ItemResult, Receipt
from safeweave.ledger.operation import (
    Item,
    Operation,
    Release,
    Reserve,
    Said,
    Settle,
    SignedOperation,
    items_of,
    operation_id,
)
from safeweave.ledger.rules import Moment, kind_of, subjects_of


class Entry(Said):
    """The `results` are those of the operation's items, in order."""

    number: int
    time: int
    results: tuple[ItemResult, ...]
    signed: SignedOperation

    @property
    def moment(self) -> Moment:
        """The height of the first head that holds it, and its time."""
        return Moment(self.number + 1, self.time)


class _Leaf(Said):
    number: int
    time: int
    results: tuple[ItemResult, ...]
    signed: msgspec.Raw


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def write_entry(number: int, time: int, results: Sequence[ItemResult], signed: bytes) -> bytes:
    """The bytes of an entry, around those of its signed operation."""
    return _encoder.encode(_Leaf(number, time, tuple(results), msgspec.Raw(signed)))


def read_entry(raw: bytes) -> Entry:
    """An entry from its bytes; Malformed if it is none."""
    try:
        return _decoder.decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"this is no entry of a log: {error}") from None


def items_named(operation: Operation) -> Sequence[Item]:
    """The items of an operation in the order of its results."""
    match operation:
        case Reserve():
            return [item for ticket in operation.tickets for item in items_of(ticket)]
        case Settle() | Release():
            return operation.items
        case _:
            return ()


def results_of(entry: Entry) -> tuple[ItemOutcome, ...]:
    """Each item with what became of it."""
    items = items_named(entry.signed.operation)
    if len(items) != len(entry.results):
        raise Malformed(f"entry {entry.number} has {len(entry.results)} results for {len(items)} items")
    return tuple(ItemOutcome(item, result) for item, result in zip(items, entry.results, strict=True))


def receipt_of(entry: Entry) -> Receipt:
    """What the author of the entry's operation is told."""
    id = operation_id(entry.signed.operation)
    return Receipt(id, entry.number, entry.number + 1, entry.time, results_of(entry))


def event_of(entry: Entry) -> Event:
    """What everybody is told."""
    operation = entry.signed.operation
    return Event(
        entry.number, operation_id(operation), kind_of(operation), operation.by, entry.number + 1, entry.time,
        subjects_of(operation), results_of(entry),
    )  # fmt: skip

"""What a member can say on the ledger, as signed values. The engine only orders them.

Every id is 32 random bytes as 64 lower-case hex digits. An operation names who says it (`by`) and carries a `nonce`, so
that saying the same thing twice on purpose is two operations, and sending one operation twice is one.
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol, dataclass_transform

import msgspec

from safeweave.errors import Malformed
from safeweave.keys.keyset import KeySet

Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Signature = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2}){0,256}\Z")]
SuiteName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,16}\Z")]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
Part = Annotated[int, msgspec.Meta(ge=1, le=2**16 - 1)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**40)]  # since 1970 in UTC, or a span
Role = Literal["hospital", "insurer", "commission", "operator"]
SuspensionReason = Literal["left", "key_lost", "breach", "order"]

MOST_ITEMS = 256  # nullifiers that one operation may name: what a block of an EVM chain carries easily
LONGEST_HOLD = 30 * 24 * 3600  # seconds a reservation may last before it has to be renewed

_OPERATION = b"safeweave/operation/1"
_APPROVAL = b"safeweave/approval/1"
_TICKET = b"safeweave/ticket/1"


@dataclass_transform(frozen_default=True)
class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A frozen value as it stands on the ledger, all its fields written out."""


class Ticket(Said):
    """The issuing hospital's word that `holder` may reserve these nullifiers until `expires`.

    `signature` is by the hospital's signing key, `account_signature` (r, s, v; "" where no chain is used) by its ledger
    account, both over `ticket_message`. A Reserve takes all that its tickets name.
    """

    issuer: Id
    holder: Id
    nullifiers: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=MOST_ITEMS)]
    parts: Annotated[tuple[Part, ...], msgspec.Meta(min_length=1, max_length=MOST_ITEMS)]
    expires: Seconds
    suite: SuiteName
    signature: Signature
    account_signature: Signature = ""


class Item(Said):
    """One part of one bill. Nullifiers are counted for each issuer, so that no hospital can use up another's."""

    issuer: Id
    nullifier: Id
    part: Part


Items = Annotated[tuple[Item, ...], msgspec.Meta(min_length=1, max_length=MOST_ITEMS)]


class Founder(Said):
    """A member of the commission from the beginning."""

    member: Id
    keys: KeySet
    endpoint_hash: Id


class Found(Said, tag="found", tag_field="kind"):
    """The first entry of a ledger: its commission, and how many of them must agree on members."""

    by: Id
    nonce: Id
    commission: Annotated[tuple[Founder, ...], msgspec.Meta(min_length=1, max_length=32)]
    approvals_needed: Count


class PutMember(Said, tag="put_member", tag_field="kind"):
    """A member joins, comes back, or changes keys; `keys.valid_from` is the height from which they count."""

    by: Id
    nonce: Id
    member: Id
    role: Role
    keys: KeySet
    endpoint_hash: Id


class SuspendMember(Said, tag="suspend_member", tag_field="kind"):
    """Nothing that this member says counts from here on."""

    by: Id
    nonce: Id
    member: Id
    reason: SuspensionReason


class GrantConsent(Said, tag="grant_consent", tag_field="kind"):
    """A person's yes, as `by` has heard it; both commitments are salted and say nothing by themselves."""

    by: Id
    nonce: Id
    consent: Id
    commitment: Id
    grantee: Id
    scope_commitment: Id
    not_before: Seconds
    expires: Seconds


class RevokeConsent(Said, tag="revoke_consent", tag_field="kind"):
    """The person's no: whoever gave or received the consent can put it down, and it counts at once."""

    by: Id
    nonce: Id
    consent: Id


class Anchor(Said, tag="anchor", tag_field="kind"):
    """The Merkle root of `count` documents, the next of a stream that belongs to whoever began it."""

    by: Id
    nonce: Id
    stream: Id
    sequence: Count
    root: Id
    count: Count


class Reserve(Said, tag="reserve", tag_field="kind"):
    """Hold everything these tickets name for one claim, for `ttl` seconds. Its results stand on the ledger."""

    by: Id
    nonce: Id
    tickets: Annotated[tuple[Ticket, ...], msgspec.Meta(min_length=1, max_length=MOST_ITEMS)]
    claim_commitment: Id
    ttl: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_HOLD)]


class Settle(Said, tag="settle", tag_field="kind"):
    """These were paid; with `split` a rest may be claimed elsewhere, which opens the next part of each."""

    by: Id
    nonce: Id
    items: Items
    split: bool


class Release(Said, tag="release", tag_field="kind"):
    """These are free again: the holder does not pay, or got the money back."""

    by: Id
    nonce: Id
    items: Items


class Void(Said, tag="void", tag_field="kind"):
    """These bills of `by` were reversed: no part of them can be claimed any more."""

    by: Id
    nonce: Id
    nullifiers: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=MOST_ITEMS)]


Operation = (
    Found | PutMember | SuspendMember | GrantConsent | RevokeConsent | Anchor | Reserve | Settle | Release | Void
)
OperationId = str  # 64 hex digits


class Approval(Said):
    """A commission member's agreement to an operation on members, over `approval_message` of its id."""

    member: Id
    suite: SuiteName
    signature: Signature
    account_signature: Signature = ""


class SignedOperation(Said):
    """An operation as its author sends it. Signatures are no part of its id: signed again, it is the same operation."""

    operation: Operation
    suite: SuiteName
    signature: Signature
    approvals: Annotated[tuple[Approval, ...], msgspec.Meta(max_length=32)] = ()

    @property
    def member(self) -> str:
        """Who says it."""
        return self.operation.by


class Signer(Protocol):
    """A private signing key, as `keys` makes them."""

    def sign(self, data: bytes) -> bytes: ...


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(SignedOperation)


def fresh_id() -> str:
    """A new random id."""
    return secrets.token_hex(32)


def operation_bytes(operation: Operation) -> bytes:
    """The operation as canonical JSON (RFC 8785). Its texts are ASCII and its numbers small, so sorted JSON is that."""
    return _encoder.encode(operation)


def operation_id(operation: Operation) -> OperationId:
    """SHA-256 of the operation as canonical JSON."""
    return hashlib.sha256(_encoder.encode(operation)).hexdigest()


def operation_message(id: OperationId) -> bytes:
    """What an author signs."""
    return _OPERATION + bytes.fromhex(id)


def approval_message(id: OperationId) -> bytes:
    """What an approving member of the commission signs."""
    return _APPROVAL + bytes.fromhex(id)


def ticket_message(ticket: Ticket) -> bytes:
    """What the issuing hospital signs, laid out as Solidity packs it; its account signs the SHA-256 of this.

    `abi.encodePacked("safeweave/ticket/1", issuer, holder, uint256(expires), nullifiers, parts)`: every field after the
    name is 32 bytes wide, and there are as many parts as nullifiers, so no two tickets read the same.
    """
    fields = [ticket.issuer, ticket.holder, f"{ticket.expires:064x}", *ticket.nullifiers]
    return _TICKET + bytes.fromhex("".join(fields)) + b"".join([part.to_bytes(32, "big") for part in ticket.parts])


def items_of(ticket: Ticket) -> list[Item]:
    """What a ticket lets its holder reserve, in order."""
    return [Item(ticket.issuer, n, part) for n, part in zip(ticket.nullifiers, ticket.parts, strict=True)]


def sign(operation: Operation, suite: str, key: Signer, approvals: Sequence[Approval] = ()) -> SignedOperation:
    """The operation signed by its author."""
    signature = key.sign(operation_message(operation_id(operation)))
    return SignedOperation(operation, suite, signature.hex(), tuple(approvals))


def approve(operation: Operation, member: str, suite: str, key: Signer) -> Approval:
    """A commission member's agreement to this operation."""
    return Approval(member, suite, key.sign(approval_message(operation_id(operation))).hex())


def issue_ticket(
    issuer: str, holder: str, items: Sequence[tuple[str, int]], expires: int, suite: str, key: Signer
) -> Ticket:
    """A hospital's ticket for these nullifiers and parts, signed with its signing key."""
    nullifiers, parts = tuple(n for n, _ in items), tuple(part for _, part in items)
    ticket = Ticket(issuer, holder, nullifiers, parts, expires, suite, "")
    return msgspec.structs.replace(ticket, signature=key.sign(ticket_message(ticket)).hex())


def write_signed(signed: SignedOperation) -> bytes:
    """A signed operation as JSON; the same bytes whenever it is written."""
    return _encoder.encode(signed)


def read_signed(raw: bytes) -> SignedOperation:
    """A signed operation from JSON; Malformed with the place of the fault."""
    try:
        return _decoder.decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"this is no signed operation: {error}") from None

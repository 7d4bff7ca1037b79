"""What we ask of a ledger. `embedded`, `remote` and `chain` keep this promise, each in its way.

An outcome is final, refused or unknown. Unknown is never "failed": the operation may stand on the ledger or come to
stand there, and sending it again changes nothing that stands. All times are the ledger's own, none is a caller's.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from safeweave.keys.keyset import KeySet
from safeweave.ledger.operation import Item, OperationId, Role, Said, SignedOperation, SuspensionReason

Kind = Literal[
    "found", "put_member", "suspend_member", "grant_consent", "revoke_consent", "anchor", "reserve", "settle",
    "release", "void",
]  # fmt: skip
Refusal = Literal[
    "malformed",  # it breaks a rule of form: parts without nullifiers, an end before its beginning
    "unknown_member",
    "suspended_member",
    "bad_signature",  # by none of the keys in force
    "not_commission",
    "approvals_missing",
    "founded",  # a ledger is founded once, first of all
    "role_changed",
    "commission_too_small",  # fewer would be left than must agree
    "account_taken",  # the ledger account is another member's
    "unusable_keys",
    "consent_exists",
    "unknown_consent",
    "not_party",  # neither gave nor received this consent
    "unknown_grantee",
    "not_owner",  # the stream is another member's
    "out_of_order",  # the stream expects another sequence number
    "not_holder",  # an item is not reserved by this member
    "spent",  # an item is settled already
    "voided",
    "next_part_open",  # a later part was claimed on the strength of this one
]
ItemResult = Literal[
    "RESERVED",  # held for the author from now on
    "MINE",  # the author held it before; for the same claim its hold is renewed
    "HELD",  # another member holds it
    "SPENT",  # it was settled
    "VOID",  # the bill was reversed
    "CLOSED",  # the part before was not settled with a rest
    "NO_TICKET",  # forged, expired, or another member's ticket
    "SETTLED",
    "RELEASED",
]
ConsentState = Literal["UNKNOWN", "PENDING", "ACTIVE", "EXPIRED", "REVOKED"]
UseState = Literal["FREE", "RESERVED", "SETTLED", "VOID"]


class Head(Said):
    """Where the ledger stands: `height` operations (embedded) or blocks (chain), what it is, and when.

    `root` is the Merkle root or the block's hash; `evidence` is the signed checkpoint, "" on a chain.
    """

    height: int
    root: str
    time: int
    evidence: str = ""


class ItemOutcome(Said):
    """What became of one item."""

    item: Item
    result: ItemResult


class Receipt(Said):
    """Where an operation stands: `number` counts all operations from 0, `height` is the first head that holds it."""

    operation: OperationId
    number: int
    height: int
    time: int
    results: tuple[ItemOutcome, ...] = ()


class Final(Said, tag="final", tag_field="outcome"):
    """It stands and will stand."""

    receipt: Receipt


class Refused(Said, tag="refused", tag_field="outcome"):
    """It does not stand, and nothing of it was written. Sent again after things have changed it may be accepted."""

    code: Refusal
    words: str = ""  # what exactly, for people who look for the fault; say("ledger.refusal.<code>") is the sentence


class Unknown(Said, tag="unknown", tag_field="outcome"):
    """Not known: no answer, not final yet, or never heard of; `words` say which. Ask again, or send it again."""

    words: str = ""


Outcome = Final | Refused | Unknown
Cursor = int  # the number of the last event that was read; -1 before the first


class Event(Said):
    """One operation that stands. `subjects` are the ids it is about: the member, the consent, or stream and root."""

    number: int
    operation: OperationId
    kind: Kind
    by: str
    height: int
    time: int
    subjects: tuple[str, ...] = ()
    results: tuple[ItemOutcome, ...] = ()


class KeyPeriod(Said):
    """Keys and the heights between which they count; `until` is the first height at which they no longer do."""

    keys: KeySet
    since: int
    until: int | None = None


class Suspension(Said):
    """Heights between which a member says nothing that counts."""

    since: int
    reason: SuspensionReason
    until: int | None = None


class MemberRecord(Said):
    """A member with all its periods, so that old evidence can be checked after keys have changed."""

    member: str
    role: Role
    endpoint_hash: str
    periods: tuple[KeyPeriod, ...]
    suspensions: tuple[Suspension, ...] = ()

    def keys_at(self, height: int) -> KeySet | None:
        """The keys in force at a height; None if there are none."""
        for period in self.periods:
            if period.since <= height and (period.until is None or height < period.until):
                return period.keys
        return None

    def is_suspended_at(self, height: int) -> bool:
        """Whether nothing it says counts at this height."""
        return any(s.since <= height and (s.until is None or height < s.until) for s in self.suspensions)


class ConsentRecord(Said):
    """A consent as it was put down; heights and times are those of the entries that did."""

    consent: str
    by: str
    grantee: str
    commitment: str
    scope_commitment: str
    not_before: int
    expires: int
    granted_height: int
    granted_at: int
    revoked_height: int | None = None
    revoked_at: int | None = None

    def state_at(self, height: int, time: int) -> ConsentState:
        """What the consent is worth for whoever reads the ledger at this height, which has this time."""
        if height < self.granted_height:
            return "UNKNOWN"
        if self.revoked_height is not None and self.revoked_height <= height:
            return "REVOKED"
        if time < self.not_before:
            return "PENDING"
        return "ACTIVE" if time < self.expires else "EXPIRED"


class ConsentFound(Said):
    """A consent's state and the head it was read at, which envelopes name; `record` is None if it is not known."""

    state: ConsentState
    head: Head
    record: ConsentRecord | None = None


class StreamRecord(Said):
    """Whose a stream is and how far it goes."""

    stream: str
    owner: str
    sequence: int


class AnchorRecord(Said):
    """A root and when it was put down."""

    root: str
    by: str
    stream: str
    sequence: int
    count: int
    height: int
    time: int


class UseRecord(Said):
    """One part of a bill as last written. A reservation past `until` still stands until somebody else takes it."""

    item: Item
    state: UseState
    holder: str = ""
    claim_commitment: str = ""
    until: int = 0
    split: bool = False
    height: int = 0

    def state_at(self, time: int) -> UseState:
        """What it is for another member at this time: free, once its hold has run out."""
        return "FREE" if self.state == "RESERVED" and self.until <= time else self.state


class LogEvidence(Said, tag="log", tag_field="form"):
    """An entry of the transparency log and its way to a signed checkpoint (RFC 6962 §2.1.1); hashes in base64."""

    entry: str
    index: int
    path: tuple[str, ...]
    checkpoint: str


class ChainEvidence(Said, tag="chain", tag_field="form"):
    """Where a chain holds the transaction that carried an operation; whoever doubts asks a node of its own."""

    chain_id: int
    contract: str
    transaction: str
    block: int
    block_hash: str


class Proof(Said):
    """That an operation stands: the operation with its signature, its receipt, and the engine's evidence."""

    signed: SignedOperation
    receipt: Receipt
    evidence: LogEvidence | ChainEvidence


class Ledger(Protocol):
    """A consortium ledger. Every call may raise `errors.Unavailable` except `submit` and `outcome`, which never do."""

    def submit(self, signed: Sequence[SignedOperation]) -> list[OperationId]:
        """Hand these in, in order; their ids. What is known already changes nothing; `outcome` tells how it went."""
        ...

    def outcome(self, id: OperationId, seconds: float) -> Outcome:
        """What became of an operation, waiting up to so many seconds for it to be final."""
        ...

    def head(self) -> Head:
        """The newest final head."""
        ...

    def events(self, after: Cursor, limit: int) -> list[Event]:
        """Final operations after this number, in order and without gaps, at most `limit`."""
        ...

    def member(self, id: str, at: Head | None = None) -> MemberRecord | None:
        """A member as known at the newest final head, or at `at`."""
        ...

    def consent(self, id: str, at: Head | None = None) -> ConsentFound:
        """A consent's state at the newest final head, or at `at`."""
        ...

    def find_anchor(self, root: str) -> AnchorRecord | None:
        """Who put down this root first, and when."""
        ...

    def nullifier(self, issuer: str, nullifier: str, part: int) -> UseRecord:
        """One part of a bill; FREE if nobody has reserved it."""
        ...

    def prove(self, id: OperationId) -> Proof | None:
        """Evidence for third parties that this operation stands; None if it is not final."""
        ...

"""What each operation does to the ledger, as one pure state machine.

Every engine follows these rules: the embedded log runs them, the audit runs them again, and the contract on a chain
says the same in Solidity. `check` asks whether an operation is truly its author's, `decide` what it does; neither
changes anything, `State.take` does.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from safeweave.errors import SafeweaveError
from safeweave.keys.keyset import KeySet
from safeweave.keys.suites import suite as suite_named
from safeweave.ledger.ledger import (
    AnchorRecord,
    ConsentRecord,
    ItemOutcome,
    ItemResult,
    KeyPeriod,
    Kind,
    MemberRecord,
    Refusal,
    Refused,
    StreamRecord,
    Suspension,
    UseRecord,
)
from safeweave.ledger.operation import (
    MOST_ITEMS,
    Anchor,
    Found,
    GrantConsent,
    Item,
    Operation,
    PutMember,
    Release,
    Reserve,
    RevokeConsent,
    Said,
    Settle,
    SignedOperation,
    SuspendMember,
    Ticket,
    Void,
    approval_message,
    items_of,
    operation_id,
    operation_message,
    ticket_message,
)

WHOLE = 0  # the part under which it is kept that a whole bill was reversed


class Moment(NamedTuple):
    """When an operation is applied: the height of the first head that will hold it, and the ledger's time."""

    height: int
    time: int


class Founding(Said):
    """How many of the commission must agree, and who of it is active."""

    approvals_needed: int
    commission: tuple[str, ...]


class AccountRecord(Said):
    """Whose a ledger account is; it stays so for ever."""

    account: str
    member: str


Record = Founding | AccountRecord | MemberRecord | ConsentRecord | StreamRecord | AnchorRecord | UseRecord
RecordKey = tuple[str, ...]


class Accepted(NamedTuple):
    """What an operation changes, as records that take the place of older ones, and what became of its items."""

    records: list[Record]
    results: tuple[ItemOutcome, ...] = ()


class State:
    """All records by their key. An engine that keeps them elsewhere overrides `absent`."""

    def __init__(self) -> None:
        self.records: dict[RecordKey, Record | None] = {}

    def absent(self, key: RecordKey) -> Record | None:
        """What is looked up when `records` does not hold the key."""
        return None

    def find(self, key: RecordKey) -> Record | None:
        """The record of this key, None if there is none."""
        try:
            return self.records[key]
        except KeyError:
            found = self.records[key] = self.absent(key)
            return found

    def take(self, records: Iterable[Record]) -> None:
        """Put these records in the place of older ones."""
        for record in records:
            self.records[key_of(record)] = record

    def founding(self) -> Founding | None:
        """The commission; None before the ledger is founded."""
        found = self.find(("founding",))
        return found if isinstance(found, Founding) else None

    def member(self, id: str) -> MemberRecord | None:
        """A member with this id."""
        found = self.find(("member", id))
        return found if isinstance(found, MemberRecord) else None

    def account(self, address: str) -> AccountRecord | None:
        """Whose this account is, in any writing of its letters."""
        found = self.find(("account", address.lower()))
        return found if isinstance(found, AccountRecord) else None

    def consent(self, id: str) -> ConsentRecord | None:
        """A consent with this id."""
        found = self.find(("consent", id))
        return found if isinstance(found, ConsentRecord) else None

    def stream(self, id: str) -> StreamRecord | None:
        """A stream with this id."""
        found = self.find(("stream", id))
        return found if isinstance(found, StreamRecord) else None

    def anchor(self, root: str) -> AnchorRecord | None:
        """Who put down this root first."""
        found = self.find(("anchor", root))
        return found if isinstance(found, AnchorRecord) else None

    def use(self, issuer: str, nullifier: str, part: int) -> UseRecord | None:
        """What was last written of one part of a bill (`WHOLE`: that all of it was reversed)."""
        found = self.find(("use", issuer, nullifier, str(part)))
        return found if isinstance(found, UseRecord) else None


def key_of(record: Record) -> RecordKey:
    """The key of a record among all."""
    match record:
        case UseRecord():
            return "use", record.item.issuer, record.item.nullifier, str(record.item.part)
        case ConsentRecord():
            return "consent", record.consent
        case AnchorRecord():
            return "anchor", record.root
        case StreamRecord():
            return "stream", record.stream
        case MemberRecord():
            return "member", record.member
        case AccountRecord():
            return "account", record.account.lower()
        case Founding():
            return ("founding",)


def use_read(state: State, issuer: str, nullifier: str, part: int) -> UseRecord:
    """One part of a bill as anybody reads it: FREE if never reserved, VOID with its last holder if reversed."""
    found = state.use(issuer, nullifier, part) or UseRecord(Item(issuer, nullifier, part), "FREE")
    whole = state.use(issuer, nullifier, WHOLE)
    if whole is None:
        return found
    return msgspec.structs.replace(found, state="VOID", height=whole.height)


# ---------------------------------------------------------------- whose operation it is


def check(state: State, signed: SignedOperation, at: Moment) -> Refused | None:
    """Why this operation is not its author's to say; None if it is."""
    operation = signed.operation
    if isinstance(operation, Found):
        return _check_founding(state, operation, signed)
    refused = _check_member(state, operation.by, at)
    if refused:
        return refused
    id = operation_id(operation)
    if not _signed_by(state, operation.by, signed.suite, signed.signature, operation_message(id), at):
        return Refused("bad_signature", f"not signed with a key of member {operation.by} in force at {at.height}")
    if isinstance(operation, PutMember | SuspendMember):
        return _check_commission(state, signed, id, at)
    return None


def is_valid_ticket(state: State, ticket: Ticket, holder: str, at: Moment) -> bool:
    """Whether this ticket lets `holder` reserve now: signed with a key of its issuer in force, and not expired."""
    if ticket.holder != holder or ticket.expires <= at.time or _check_member(state, ticket.issuer, at):
        return False
    return _signed_by(state, ticket.issuer, ticket.suite, ticket.signature, ticket_message(ticket), at)


def _check_member(state: State, id: str, at: Moment) -> Refused | None:
    member = state.member(id)
    if member is None:
        return Refused("unknown_member", f"{id} is no member")
    if member.is_suspended_at(at.height):
        return Refused("suspended_member", f"member {id} is suspended ({member.suspensions[-1].reason})")
    return None


def _signed_by(state: State, id: str, suite: str, signature: str, message: bytes, at: Moment) -> bool:
    member = state.member(id)
    keys = member.keys_at(at.height) if member else None
    if keys is None or keys.suite != suite:
        return False
    return suite_named(suite).verify(keys.signing, bytes.fromhex(signature), message)


def _check_founding(state: State, found: Found, signed: SignedOperation) -> Refused | None:
    if state.founding() is not None:
        return Refused("founded", "this ledger was founded before")
    founder = next((founder for founder in found.commission if founder.member == found.by), None)
    if founder is None:
        return Refused("not_commission", f"{found.by} is not in the commission it names")
    message = operation_message(operation_id(found))
    keys = founder.keys
    if keys.suite != signed.suite or not suite_named(keys.suite).verify(
        keys.signing, bytes.fromhex(signed.signature), message
    ):
        return Refused("bad_signature", f"not signed with the key of {found.by} that it names")
    return None


def _check_commission(state: State, signed: SignedOperation, id: str, at: Moment) -> Refused | None:
    founding = state.founding()
    if founding is None or signed.operation.by not in founding.commission:
        return Refused("not_commission", f"{signed.operation.by} is not in the commission")
    message = approval_message(id)
    agreeing = {signed.operation.by} | {
        approval.member
        for approval in signed.approvals
        if approval.member in founding.commission
        and _signed_by(state, approval.member, approval.suite, approval.signature, message, at)
    }
    if len(agreeing) < founding.approvals_needed:
        return Refused("approvals_missing", f"{len(agreeing)} of {founding.approvals_needed} agree")
    return None


# ---------------------------------------------------------------- what it does


def decide(state: State, operation: Operation, at: Moment) -> Accepted | Refused:
    """What an operation of an active member does, as records, or why it does nothing."""
    match operation:
        case Reserve():
            return _reserve(state, operation, at)
        case GrantConsent():
            return _grant(state, operation, at)
        case RevokeConsent():
            return _revoke(state, operation, at)
        case Anchor():
            return _anchor(state, operation, at)
        case Settle():
            return _each_item(state, operation.by, operation.items, lambda seen, use: _settled(use, operation, at))
        case Release():
            return _each_item(state, operation.by, operation.items, lambda seen, use: _released(seen, use, at))
        case Void():
            return _void(operation, at)
        case PutMember():
            return _put_member(state, operation, at)
        case SuspendMember():
            return _suspend(state, operation, at)
        case Found():
            return _found(operation, at)


def apply(state: State, signed: SignedOperation, at: Moment) -> Accepted | Refused:
    """Check, decide and take what follows into the state."""
    refused = check(state, signed, at)
    if refused:
        return refused
    decided = decide(state, signed.operation, at)
    if isinstance(decided, Accepted):
        state.take(decided.records)
    return decided


def kind_of(operation: Operation) -> Kind:
    """The name of an operation's kind."""
    return _KINDS[type(operation)]


def subjects_of(operation: Operation) -> tuple[str, ...]:
    """The ids an operation is about; items are told with its results instead."""
    match operation:
        case PutMember() | SuspendMember():
            return (operation.member,)
        case GrantConsent() | RevokeConsent():
            return (operation.consent,)
        case Anchor():
            return (operation.stream, operation.root)
        case Found():
            return tuple(founder.member for founder in operation.commission)
        case _:
            return ()


def keys_read(operation: Operation) -> Iterator[RecordKey]:
    """The records that `check` and `decide` will look at, so that an engine can load those of a batch at once."""
    yield ("founding",)
    yield "member", operation.by
    match operation:
        case Reserve():
            for ticket in operation.tickets:
                yield "member", ticket.issuer
                for nullifier, part in zip(ticket.nullifiers, ticket.parts, strict=False):
                    yield "use", ticket.issuer, nullifier, str(part)
                    yield "use", ticket.issuer, nullifier, str(WHOLE)
                    if part > 1:
                        yield "use", ticket.issuer, nullifier, str(part - 1)
        case Settle() | Release():
            for item in operation.items:
                for part in (WHOLE, item.part, item.part + 1):
                    yield "use", item.issuer, item.nullifier, str(part)
        case GrantConsent():
            yield "consent", operation.consent
            yield "member", operation.grantee
        case RevokeConsent():
            yield "consent", operation.consent
        case Anchor():
            yield "stream", operation.stream
            yield "anchor", operation.root
        case _:
            pass


_KINDS: dict[type, Kind] = {
    Found: "found",
    PutMember: "put_member",
    SuspendMember: "suspend_member",
    GrantConsent: "grant_consent",
    RevokeConsent: "revoke_consent",
    Anchor: "anchor",
    Reserve: "reserve",
    Settle: "settle",
    Release: "release",
    Void: "void",
}


class _Ahead(State):
    """A state with what one operation has changed so far laid over it."""

    def __init__(self, under: State) -> None:
        super().__init__()
        self.absent = under.find  # type: ignore[method-assign]


def _reserve(state: State, operation: Reserve, at: Moment) -> Accepted | Refused:
    if any(len(ticket.parts) != len(ticket.nullifiers) for ticket in operation.tickets):
        return Refused("malformed", "a ticket has not as many parts as nullifiers")
    if sum(len(ticket.parts) for ticket in operation.tickets) > MOST_ITEMS:
        return Refused("malformed", f"more than {MOST_ITEMS} items")
    until = at.time + operation.ttl
    changed: dict[RecordKey, Record] = {}
    results: list[ItemOutcome] = []
    for ticket in operation.tickets:
        is_valid = is_valid_ticket(state, ticket, operation.by, at)
        for item in items_of(ticket):
            key = ("use", item.issuer, item.nullifier, str(item.part))
            found = changed.get(key) or state.find(key)
            use = found if isinstance(found, UseRecord) else None
            result = _reserved(state, item, use, operation.by, at) if is_valid else "NO_TICKET"
            results.append(ItemOutcome(item, result))
            if result == "RESERVED":
                changed[key] = UseRecord(
                    item, "RESERVED", operation.by, operation.claim_commitment, until, False, at.height
                )
            elif result == "MINE" and use and use.claim_commitment == operation.claim_commitment and use.until < until:
                changed[key] = msgspec.structs.replace(use, until=until, height=at.height)
    return Accepted(list(changed.values()), tuple(results))


def _reserved(state: State, item: Item, use: UseRecord | None, by: str, at: Moment) -> ItemResult:
    if state.use(item.issuer, item.nullifier, WHOLE):
        return "VOID"
    if use and use.state == "SETTLED":
        return "SPENT"
    if use and use.state == "RESERVED" and at.time < use.until:
        return "MINE" if use.holder == by else "HELD"
    if item.part > 1:
        before = state.use(item.issuer, item.nullifier, item.part - 1)
        if before is None or before.state != "SETTLED" or not before.split:
            return "CLOSED"
    return "RESERVED"


Next = tuple[UseRecord, ItemResult] | Refusal


def _each_item(
    state: State, by: str, items: tuple[Item, ...], next_of: Callable[[State, UseRecord], Next]
) -> Accepted | Refused:
    """All of them or none: the first that cannot be done refuses the operation."""
    seen = _Ahead(state)
    changed: list[Record] = []
    results: list[ItemOutcome] = []
    for item in items:
        use = seen.use(item.issuer, item.nullifier, item.part)
        if seen.use(item.issuer, item.nullifier, WHOLE):
            return _refused("voided", item)
        if use is None or use.holder != by:
            return _refused("not_holder", item)
        next = next_of(seen, use)
        if isinstance(next, str):
            return _refused(next, item)
        seen.take([next[0]])
        changed.append(next[0])
        results.append(ItemOutcome(item, next[1]))
    return Accepted(changed, tuple(results))


def _refused(code: Refusal, item: Item) -> Refused:
    return Refused(code, f"nullifier {item.nullifier} of {item.issuer}, part {item.part}")


def _settled(use: UseRecord, operation: Settle, at: Moment) -> Next:
    """A hold that ran out can still be settled by its holder as long as nobody else took it: the money has gone out."""
    if use.state != "RESERVED":
        return "spent"
    return msgspec.structs.replace(use, state="SETTLED", split=operation.split, until=0, height=at.height), "SETTLED"


def _released(state: State, use: UseRecord, at: Moment) -> Next:
    """What was settled is released too (the money came back), unless a later part stands on it."""
    later = state.use(use.item.issuer, use.item.nullifier, use.item.part + 1)
    if use.state == "SETTLED" and later is not None and later.state != "FREE":
        return "next_part_open"
    return UseRecord(use.item, "FREE", height=at.height), "RELEASED"


def _void(operation: Void, at: Moment) -> Accepted:
    items = [Item(operation.by, nullifier, WHOLE) for nullifier in operation.nullifiers]
    return Accepted([UseRecord(item, "VOID", height=at.height) for item in items])


def _grant(state: State, operation: GrantConsent, at: Moment) -> Accepted | Refused:
    if operation.expires <= operation.not_before or operation.expires <= at.time:
        return Refused("malformed", f"it ends at {operation.expires}, before it can begin at {at.time}")
    if state.consent(operation.consent):
        return Refused("consent_exists", f"consent {operation.consent} is taken")
    if _check_member(state, operation.grantee, at):
        return Refused("unknown_grantee", f"{operation.grantee} is no active member")
    return Accepted(
        [
            ConsentRecord(
                operation.consent, operation.by, operation.grantee, operation.commitment, operation.scope_commitment,
                operation.not_before, operation.expires, at.height, at.time,
            )
        ]
    )  # fmt: skip


def _revoke(state: State, operation: RevokeConsent, at: Moment) -> Accepted | Refused:
    consent = state.consent(operation.consent)
    if consent is None:
        return Refused("unknown_consent", f"no consent {operation.consent}")
    if operation.by not in (consent.by, consent.grantee):
        return Refused("not_party", f"consent {operation.consent} is between two others")
    if consent.revoked_height is not None:
        return Accepted([])
    return Accepted([msgspec.structs.replace(consent, revoked_height=at.height, revoked_at=at.time)])


def _anchor(state: State, operation: Anchor, at: Moment) -> Accepted | Refused:
    stream = state.stream(operation.stream) or StreamRecord(operation.stream, operation.by, 0)
    if stream.owner != operation.by:
        return Refused("not_owner", f"stream {operation.stream} belongs to {stream.owner}")
    if operation.sequence != stream.sequence + 1:
        return Refused("out_of_order", f"stream {operation.stream} expects {stream.sequence + 1}")
    records: list[Record] = [msgspec.structs.replace(stream, sequence=operation.sequence)]
    if state.anchor(operation.root) is None:
        records.append(
            AnchorRecord(
                operation.root, operation.by, operation.stream, operation.sequence, operation.count, at.height, at.time
            )
        )
    return Accepted(records)


def _found(operation: Found, at: Moment) -> Accepted | Refused:
    members = tuple(founder.member for founder in operation.commission)
    accounts = [founder.keys.account.lower() for founder in operation.commission if founder.keys.account]
    if len(set(members)) < len(members) or len(set(accounts)) < len(accounts):
        return Refused("malformed", "a founder or an account stands twice")
    if operation.approvals_needed > len(members):
        return Refused("commission_too_small", f"{len(members)} cannot give {operation.approvals_needed} approvals")
    records: list[Record] = [Founding(operation.approvals_needed, members)]
    for founder in operation.commission:
        refused = _unusable(founder.keys)
        if refused:
            return refused
        period = KeyPeriod(founder.keys, at.height, founder.keys.valid_until)
        records.append(MemberRecord(founder.member, "commission", founder.endpoint_hash, (period,)))
        records += _account(founder.keys.account, founder.member)
    return Accepted(records)


def _put_member(state: State, operation: PutMember, at: Moment) -> Accepted | Refused:
    founding, known, keys = state.founding(), state.member(operation.member), operation.keys
    if founding is None:
        return Refused("not_commission", "this ledger was not founded")
    if known and known.role != operation.role:
        return Refused("role_changed", f"member {operation.member} is {known.role}")
    refused = _unusable(keys)
    if refused:
        return refused
    owner = state.account(keys.account) if keys.account else None
    if owner and owner.member != operation.member:
        return Refused("account_taken", f"account {keys.account} is that of {owner.member}")
    since = max(keys.valid_from, at.height)
    if keys.valid_until is not None and keys.valid_until <= since:
        return Refused("unusable_keys", f"they end at {keys.valid_until}, before they can begin at {since}")
    before = [period for period in known.periods if period.since < since] if known else []
    if before and (before[-1].until is None or before[-1].until > since):
        before[-1] = msgspec.structs.replace(before[-1], until=since)
    suspensions = known.suspensions if known else ()
    if suspensions and suspensions[-1].until is None:
        suspensions = (*suspensions[:-1], msgspec.structs.replace(suspensions[-1], until=at.height))
    periods = (*before, KeyPeriod(keys, since, keys.valid_until))
    records: list[Record] = [
        MemberRecord(operation.member, operation.role, operation.endpoint_hash, periods, suspensions)
    ]
    if operation.role == "commission" and operation.member not in founding.commission:
        records.append(msgspec.structs.replace(founding, commission=(*founding.commission, operation.member)))
    return Accepted(records + _account(keys.account, operation.member))


def _suspend(state: State, operation: SuspendMember, at: Moment) -> Accepted | Refused:
    founding, member = state.founding(), state.member(operation.member)
    if founding is None or member is None:
        return Refused("unknown_member", f"{operation.member} is no member")
    if member.is_suspended_at(at.height):
        return Accepted([])
    suspended = (*member.suspensions, Suspension(at.height, operation.reason))
    records: list[Record] = [msgspec.structs.replace(member, suspensions=suspended)]
    if operation.member in founding.commission:
        left = tuple(id for id in founding.commission if id != operation.member)
        if len(left) < founding.approvals_needed:
            return Refused("commission_too_small", f"{len(left)} cannot give {founding.approvals_needed} approvals")
        records.append(msgspec.structs.replace(founding, commission=left))
    return Accepted(records)


def _unusable(keys: KeySet) -> Refused | None:
    try:
        keys.check()
    except SafeweaveError as fault:
        return Refused("unusable_keys", str(fault))
    return None


def _account(account: str, member: str) -> list[Record]:
    return [AccountRecord(account, member)] if account else []


def member_as_of(member: MemberRecord, height: int) -> MemberRecord | None:
    """A member as it counts at a height, without what came later; None if it had not joined yet."""
    periods = tuple(period for period in member.periods if period.since <= height)
    suspensions = tuple(suspension for suspension in member.suspensions if suspension.since <= height)
    return msgspec.structs.replace(member, periods=periods, suspensions=suspensions) if periods else None

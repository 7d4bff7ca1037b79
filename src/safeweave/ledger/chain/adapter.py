"""The consortium ledger on an EVM chain, kept by the contract `Consortium.sol`.

The account that sends a transaction is whose word it is there; the signature in the member's own suite travels along
for third parties and is checked here before anything is sent. Reading needs no account.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from threading import RLock
from typing import Any, TypeVar

import msgspec

from safeweave.clock import pause, seconds_running
from safeweave.errors import InvariantBroken, Malformed, SafeweaveError, Unavailable
from safeweave.keys.ring import Account
from safeweave.keys.suites import suite as suite_named
from safeweave.ledger.chain import contract
from safeweave.ledger.chain.contract import Stood
from safeweave.ledger.chain.node import Node
from safeweave.ledger.chain.profile import Profile
from safeweave.ledger.chain.sending import Flight, Sending, gas_of, signed_transaction
from safeweave.ledger.ledger import (
    AnchorRecord,
    ChainEvidence,
    ConsentFound,
    ConsentRecord,
    Event,
    Final,
    Head,
    MemberRecord,
    Outcome,
    Proof,
    Refused,
    Unknown,
    UseRecord,
)
from safeweave.ledger.operation import (
    Anchor,
    Found,
    GrantConsent,
    Item,
    Operation,
    OperationId,
    PutMember,
    Reserve,
    RevokeConsent,
    SignedOperation,
    SuspendMember,
    operation_id,
    operation_message,
    read_signed,
    write_signed,
)
from safeweave.ledger.rules import Accepted, Moment, State, decide, member_as_of

log = logging.getLogger("safeweave.ledger.chain")

MOST_EVENTS = 1000
REMEMBERED_REFUSALS = 10_000
SHARE_OF_BLOCK = 2  # one transaction takes at most this fraction of a block, so that others get in too
PATIENCE_BLOCKS = 5  # how long what one account says waits for what another has said before it
_CREATION_GAS = 8_000_000

Kind = TypeVar("Kind", bound=Operation)


def deploy(node: Node, profile: Profile, account: Account, founder: str = "", seconds: float = 60) -> str:
    """Create the contract, to be founded by the account `founder` (this one if not given); its address.

    Raises Unavailable if it does not stand within so many seconds.
    """
    data = contract.creation(founder or account.address)
    nonce = node.sent_by(account.address, pending=True)
    transaction, raw = signed_transaction(account, node.chain_id(), nonce, profile.gas_price, _CREATION_GAS, "", data)
    node.send(raw)
    until = seconds_running() + seconds
    while True:
        receipt = node.receipt(transaction)
        if receipt and receipt["status"] != 1:
            raise Unavailable(f"the chain did not take the contract: transaction {transaction} failed")
        if receipt and receipt["contractAddress"]:
            return str(receipt["contractAddress"]).lower()
        if seconds_running() > until:
            raise Unavailable(f"no contract yet from transaction {transaction}")
        pause(_poll_seconds(profile))


class ChainLedger:
    """The ledger that the contract at `address` keeps. `accounts` are of the members it sends for, by their id."""

    def __init__(
        self, node: Node, address: str, profile: Profile, accounts: Mapping[str, Account] | None = None
    ) -> None:
        """Nothing is asked of the node yet."""
        self._node, self._address, self._profile = node, address, profile
        self._accounts: dict[str, Account] = dict(accounts or {})
        self._sendings: dict[str, Sending] = {}
        self._writer = RLock()
        self._refused: OrderedDict[OperationId, Refused] = OrderedDict()
        self._members: dict[str, tuple[tuple[int, ...], MemberRecord]] = {}
        self._chain_id = 0

    def speaks_for(self, member: str, account: Account) -> None:
        """From now on this account sends what the member says."""
        with self._writer:
            self._accounts[member] = account

    # ------------------------------------------------------------ writing

    def submit(self, signed: Sequence[SignedOperation]) -> list[OperationId]:
        """Send these in order, as few transactions as can be: one for those that a member says one after another."""
        ids = [operation_id(one.operation) for one in signed]
        with self._writer:
            try:
                self._submit(list(zip(ids, signed, strict=True)))
            except Unavailable as fault:
                log.warning("not known whether all of %d operations were sent: %s", len(ids), fault)
        return ids

    def _submit(self, handed: list[tuple[OperationId, SignedOperation]]) -> None:
        for by, is_after_own, fresh in _groups(handed):
            self._wait_for_others("" if is_after_own else by)
            for id, standing in zip(fresh, self._standings(list(fresh)), strict=True):
                refused = None if standing[0] else self._refusal_before_sending(id, fresh[id])
                if refused:
                    self._refuse(id, refused)
                if refused or standing[0]:
                    fresh = {other: one for other, one in fresh.items() if other != id}
            if not fresh:
                continue
            sending = self._sending(by)
            sending.mend()
            for part in self._parts([(id, one) for id, one in fresh.items() if not sending.is_waiting(id)]):
                for id, _ in part:
                    self._refused.pop(id, None)
                sending.send(part)

    def _refusal_before_sending(self, id: OperationId, signed: SignedOperation) -> Refused | None:
        """What the contract cannot check is checked here, and refused at once."""
        operation = signed.operation
        try:
            read_signed(write_signed(signed))
        except Malformed as fault:
            return Refused("malformed", str(fault))
        member, height = None, 0
        if isinstance(operation, Found):
            keys = next((founder.keys for founder in operation.commission if founder.member == operation.by), None)
            named = [founder.keys for founder in operation.commission]
        else:
            member, height = self._member_now(operation.by), self._node.height()
            if member is None:
                return Refused("unknown_member", f"{operation.by} is no member")
            if member.is_suspended_at(height):
                return Refused("suspended_member", f"member {operation.by} is suspended")
            keys = member.keys_at(height)
            named = [operation.keys] if isinstance(operation, PutMember) else []
        if keys and not (
            keys.suite == signed.suite
            and suite_named(keys.suite).verify(keys.signing, bytes.fromhex(signed.signature), operation_message(id))
        ):
            return Refused("bad_signature", f"not signed with a key of member {operation.by} in force")
        if operation.by not in self._accounts:
            return Refused("bad_signature", f"the account of member {operation.by} is not held here")
        for each in named:
            try:
                each.check()
            except SafeweaveError as fault:
                return Refused("unusable_keys", str(fault))
        return None

    def _parts(
        self, signed: list[tuple[OperationId, SignedOperation]]
    ) -> Iterator[list[tuple[OperationId, SignedOperation]]]:
        room = self._profile.gas_of_block // SHARE_OF_BLOCK
        part: list[tuple[OperationId, SignedOperation]] = []
        used = 0
        for id, one in signed:
            gas = gas_of(one)
            if part and used + gas > room:
                yield part
                part, used = [], 0
            part.append((id, one))
            used += gas
        if part:
            yield part

    def _sending(self, member: str) -> Sending:
        account = self._accounts[member]
        known = self._sendings.get(member)
        if known is None or known.account != account:
            self._chain_id = self._chain_id or self._node.chain_id()
            known = Sending(self._node, self._chain_id, self._address, self._profile, account)
            self._sendings[member] = known
        return known

    def _wait_for_others(self, by: str) -> None:
        """Blocks order accounts as they like: what others than `by` said before must stand before this is sent."""
        until = seconds_running() + PATIENCE_BLOCKS * self._profile.block_seconds
        for member, other in self._sendings.items():
            while member != by and other.has_waiting():
                if seconds_running() > until:
                    raise Unavailable(f"what account {other.account.address} has said does not stand yet")
                pause(_poll_seconds(self._profile))

    def _refuse(self, id: OperationId, refused: Refused) -> None:
        with self._writer:
            self._refused[id] = refused
            self._refused.move_to_end(id)
            while len(self._refused) > REMEMBERED_REFUSALS:
                self._refused.popitem(last=False)

    # ------------------------------------------------------------ what became of it

    def outcome(self, id: OperationId, seconds: float) -> Outcome:
        """What became of an operation; asks the node until it is final or the time is over."""
        until = seconds_running() + seconds
        while True:
            try:
                found = self._outcome(id)
            except Unavailable as fault:
                found = Unknown(str(fault))
            left = until - seconds_running()
            if not isinstance(found, Unknown) or left <= 0:
                return found
            pause(min(left, _poll_seconds(self._profile)))

    def _outcome(self, id: OperationId) -> Outcome:
        final = self._final_height()
        ((number, height, _),) = self._standings([id])
        if number and height > final:
            return Unknown(f"in block {height}; final when it lies {self._profile.confirmations} deep")
        found = self._flight_of(id)
        if found:
            sending, flight = found
            receipt = self._node.receipt(flight.transaction)
            if receipt and receipt["blockNumber"] <= final:
                self._close(sending, flight, receipt)
        if number:
            return Final(self._stood(id, height).receipt())
        if id in self._refused:
            return self._refused[id]
        return Unknown("sent, and not final yet" if found else "not here: never sent, or lost; send it again")

    def _close(self, sending: Sending, flight: Flight, receipt: dict[str, Any]) -> None:
        """A transaction is final: note what it refused, and let it go."""
        for entry in receipt["logs"]:
            if "0x" + bytes(entry["topics"][0]).hex() == contract.topic("Refused"):
                refused, code = contract.read_refusal(dict(entry))
                self._refuse(refused, Refused(code, f"in transaction {flight.transaction}"))
        with self._writer:
            sending.forget(flight)

    def _flight_of(self, id: OperationId) -> tuple[Sending, Flight] | None:
        with self._writer:
            for sending in self._sendings.values():
                flight = sending.flight_of(id)
                if flight:
                    return sending, flight
        return None

    # ------------------------------------------------------------ reading

    def head(self) -> Head:
        """The newest final block."""
        return self._head_at(self._final_height())

    def _head_at(self, height: int) -> Head:
        hash, time = self._node.block(height)
        return Head(height, hash, time)

    def count(self) -> int:
        """How many operations stand, final or not."""
        (found,) = contract.answer("total", self._ask("total"))
        return int(found)

    def events(self, after: int, limit: int) -> list[Event]:
        """Final operations after this number."""
        return [stood.event() for stood in self._stood_after(after, min(limit, MOST_EVENTS))]

    def signed_operations(self, after: int, limit: int) -> list[tuple[Event, SignedOperation | None]]:
        """Final operations after this number with what their authors signed, for an audit."""
        return [(stood.event(), stood.signed()) for stood in self._stood_after(after, min(limit, MOST_EVENTS))]

    def _stood_after(self, after: int, limit: int) -> list[Stood]:
        final = self._final_height()
        (heights,) = contract.answer("heightsFrom", self._ask("heightsFrom", after + 1, limit))
        heights = [height for height in heights if height <= final]
        found: list[Stood] = []
        for first, last in _spans(sorted(set(heights)), self._profile.logs_span):
            found += self._all_stood(first, last, None, None)
        found = [stood for stood in found if after < stood.number <= after + len(heights)]
        if [stood.number for stood in found] != list(range(after + 1, after + 1 + len(heights))):
            raise Unavailable("the chain changed while it was read, or its node keeps no logs of old blocks")
        return found

    def member(self, id: str, at: Head | None = None) -> MemberRecord | None:
        """A member as it counts at the newest final block, or at `at`."""
        height = at.height if at else self._final_height()
        found = self._member_now(id)
        return member_as_of(found, height) if found else None

    def _member_now(self, id: str) -> MemberRecord | None:
        (read,) = contract.answer("memberHeights", self._ask("memberHeights", bytes.fromhex(id)))
        heights = tuple(sorted(set(read)))
        if not heights:
            return None
        known = self._members.get(id)
        if known and known[0] == heights and self._profile.confirmations == 0:
            return known[1]
        state = State()
        for height in heights:
            for stood in self._all_stood(height, height, None, None):
                match stood.operation:
                    case Found() | PutMember() | SuspendMember():
                        self._replay(state, stood)
        found = state.member(id)
        if found is None:
            raise Unavailable(f"the logs of member {id} are not here")
        self._members[id] = heights, found
        return found

    def _replay(self, state: State, stood: Stood) -> None:
        """The rules again, over what stands: they say how the periods of keys follow each other."""
        if state.founding() is None and not isinstance(stood.operation, Found):
            self._replay(state, self._founding())
        decided = decide(state, stood.operation, Moment(stood.height, stood.time))
        if isinstance(decided, Accepted):
            state.take(decided.records)

    def _founding(self) -> Stood:
        (heights,) = contract.answer("heightsFrom", self._ask("heightsFrom", 0, 1))
        return next(iter(self._all_stood(heights[0], heights[0], None, None)))

    def consent(self, id: str, at: Head | None = None) -> ConsentFound:
        """A consent's state; a revocation counts as soon as it is written, even before it is final."""
        head = at or self.head()
        _, _, granted, revoked = contract.answer("consents", self._ask("consents", bytes.fromhex(id)))
        if not granted:
            return ConsentFound("UNKNOWN", head)
        stood, said = self._about(id, granted, GrantConsent)
        revoked_at = self._about(id, revoked, RevokeConsent)[0].time if revoked else None
        record = ConsentRecord(
            id, said.by, said.grantee, said.commitment, said.scope_commitment, said.not_before, said.expires,
            granted, stood.time, revoked or None, revoked_at,
        )  # fmt: skip
        state = record.state_at(head.height, head.time)
        if at is None and state != "UNKNOWN" and revoked:
            state = "REVOKED"
        return ConsentFound(state, head, None if state == "UNKNOWN" else record)

    def find_anchor(self, root: str) -> AnchorRecord | None:
        """Who put down this root first, once that is final."""
        (height,) = contract.answer("anchored", self._ask("anchored", bytes.fromhex(root)))
        if not height or height > self._final_height():
            return None
        stood, said = self._about(root, height, Anchor)
        return AnchorRecord(root, said.by, said.stream, said.sequence, said.count, height, stood.time)

    def nullifier(self, issuer: str, nullifier: str, part: int) -> UseRecord:
        """One part of a bill as last written; while its height is above the final head, that is not final yet."""
        item = Item(issuer, nullifier, part)
        slot = contract.read_use(self._ask("useOf", *contract.item_key(item)))
        use = UseRecord(item, "FREE", height=slot.height)
        if slot.state:
            claim = self._claim_of(item, slot.holder, slot.held_height)
            use = UseRecord(item, "RESERVED", slot.holder, claim, slot.until, slot.split, slot.height)
            if contract.USE_STATES[slot.state] == "SETTLED":
                use = msgspec.structs.replace(use, state="SETTLED")
        return msgspec.structs.replace(use, state="VOID", height=slot.void_height) if slot.void_height else use

    def _claim_of(self, item: Item, holder: str, height: int) -> str:
        claims = [
            stood.operation.claim_commitment
            for stood in self._all_stood(height, height, None, None)
            if isinstance(stood.operation, Reserve) and stood.operation.by == holder
            for outcome in stood.outcomes()
            if outcome.item == item and outcome.result == "RESERVED"
        ]
        if not claims:
            raise Unavailable(f"the logs of block {height} are not here")
        return claims[-1]

    def prove(self, id: OperationId) -> Proof | None:
        """The operation, its receipt and the transaction that carried it; whoever doubts asks a node of its own."""
        ((number, height, _),) = self._standings([id])
        if not number or height > self._final_height():
            return None
        stood = self._stood(id, height)
        signed = stood.signed()
        if signed is None:
            raise InvariantBroken(f"operation {id} stands without a readable signature of its author")
        self._chain_id = self._chain_id or self._node.chain_id()
        hash, _ = self._node.block(height)
        evidence = ChainEvidence(self._chain_id, self._address, stood.transaction, height, hash)
        return Proof(signed, stood.receipt(), evidence)

    # ------------------------------------------------------------ the contract

    def _final_height(self) -> int:
        return max(0, self._node.height() - self._profile.confirmations)

    def _ask(self, name: str, *values: object) -> bytes:
        raw = self._node.ask(self._address, contract.call(name, *values))
        if not raw:
            raise Unavailable(f"there is no contract at {self._address}")
        return raw

    def _standings(self, ids: Sequence[OperationId]) -> list[tuple[int, int, int]]:
        """Number counted from 1 (0: it does not stand), height and time of each."""
        (found,) = contract.answer("standingOf", self._ask("standingOf", [bytes.fromhex(id) for id in ids]))
        return list(found)

    def _stood(self, id: OperationId, height: int) -> Stood:
        found = self._all_stood(height, height, id, None)
        if len(found) != 1:
            raise Unavailable(f"the chain changed while it was read: operation {id} is not in block {height}")
        return found[0]

    def _about(self, subject: str, height: int, kind: type[Kind]) -> tuple[Stood, Kind]:
        """The first operation of this kind in a block that is about this id."""
        for stood in self._all_stood(height, height, None, subject):
            if isinstance(stood.operation, kind):
                return stood, stood.operation
        raise Unavailable(f"the chain changed while it was read: nothing of {subject} is in block {height}")

    def _all_stood(self, first: int, last: int, id: str | None, subject: str | None) -> list[Stood]:
        topics: list[Any] = [contract.topic("Stands"), None, id and "0x" + id, subject and "0x" + subject]
        while topics[-1] is None:
            topics.pop()
        return [contract.read_stood(entry) for entry in self._node.logs(self._address, first, last, topics)]


def _groups(
    handed: Sequence[tuple[OperationId, SignedOperation]],
) -> Iterator[tuple[str, bool, dict[OperationId, SignedOperation]]]:
    """What can go together: of one member, and not behind what changes that member itself (told by the truth)."""
    group: dict[OperationId, SignedOperation] = {}
    by, is_after_own, is_changed = "", False, False
    for id, signed in handed:
        if group and (signed.operation.by != by or is_changed):
            yield by, is_after_own, group
            group, is_after_own = {}, is_changed and signed.operation.by == by
        by = signed.operation.by
        group[id] = signed
        match signed.operation:
            case Found():
                is_changed = True
            case PutMember(member=member) | SuspendMember(member=member):
                is_changed = member == by
            case _:
                is_changed = False
    if group:
        yield by, is_after_own, group


def _spans(heights: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Stretches of at most `most` blocks that hold all these."""
    first = last = -1
    for height in heights:
        if first < 0:
            first = height
        elif height - first >= most:
            yield first, last
            first = height
        last = height
    if first >= 0:
        yield first, last


def _poll_seconds(profile: Profile) -> float:
    return 0.02 if profile.name in ("anvil", "eth-tester") else profile.block_seconds / 4

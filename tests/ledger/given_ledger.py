"""A small consortium: members with their keys, and the operations they say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from safeweave.keys.keyset import KeySet
from safeweave.keys.ring import Account, KeyRing, Period
from safeweave.ledger.operation import (
    Anchor,
    Approval,
    Found,
    Founder,
    GrantConsent,
    Item,
    Operation,
    PutMember,
    Release,
    Reserve,
    RevokeConsent,
    Role,
    Settle,
    SignedOperation,
    SuspendMember,
    Ticket,
    Void,
    approve,
    fresh_id,
    issue_ticket,
    sign,
)

NOON = 1_772_798_400  # 2026-03-06 12:00 UTC
HOUR = 3600
DAY = 24 * HOUR


@dataclass
class Person:
    """A member as a test holds it: its private keys and its place in the consortium."""

    role: Role
    ring: KeyRing = field(default_factory=lambda: KeyRing.generated(fresh_id()))

    @property
    def id(self) -> str:
        return self.ring.member

    @property
    def period(self) -> Period:
        return self.ring.periods[-1]

    @property
    def keys(self) -> KeySet:
        return self.period.public()

    def signs(self, operation: Operation, approvals: Sequence["Person"] = ()) -> SignedOperation:
        return sign(
            operation, self.period.suite, self.period.signing_key(), [other.approves(operation) for other in approvals]
        )

    def approves(self, operation: Operation) -> Approval:
        approval = approve(operation, self.id, self.period.suite, self.period.signing_key())
        if self.period.account is None:
            return approval
        from safeweave.ledger.chain.account import countersigned_approval

        return countersigned_approval(approval, operation, self.period.account)

    def ticket(self, holder: "Person", *items: tuple[str, int], expires: int = NOON + DAY) -> Ticket:
        ticket = issue_ticket(self.id, holder.id, items, expires, self.period.suite, self.period.signing_key())
        if self.period.account is None:
            return ticket
        from safeweave.ledger.chain.account import countersigned

        return countersigned(ticket, self.period.account)

    def grants(
        self, grantee: "Person", consent: str = "", not_before: int = NOON - DAY, expires: int = NOON + DAY
    ) -> SignedOperation:
        return self.signs(
            GrantConsent(
                self.id, fresh_id(), consent or fresh_id(), fresh_id(), grantee.id, fresh_id(), not_before, expires
            )
        )

    def revokes(self, consent: str) -> SignedOperation:
        return self.signs(RevokeConsent(self.id, fresh_id(), consent))

    def anchors(self, stream: str, sequence: int, root: str = "", count: int = 1) -> SignedOperation:
        return self.signs(Anchor(self.id, fresh_id(), stream, sequence, root or fresh_id(), count))

    def reserves(self, *tickets: Ticket, claim: str = "", ttl: int = HOUR) -> SignedOperation:
        return self.signs(Reserve(self.id, fresh_id(), tickets, claim or fresh_id(), ttl))

    def settles(self, *items: Item, split: bool = False) -> SignedOperation:
        return self.signs(Settle(self.id, fresh_id(), items, split))

    def releases(self, *items: Item) -> SignedOperation:
        return self.signs(Release(self.id, fresh_id(), items))

    def voids(self, *nullifiers: str) -> SignedOperation:
        return self.signs(Void(self.id, fresh_id(), nullifiers))


@dataclass
class Consortium:
    """Two of the commission (both must agree), two hospitals, two insurers."""

    commission: tuple[Person, Person] = field(default_factory=lambda: (Person("commission"), Person("commission")))
    hospital: Person = field(default_factory=lambda: Person("hospital"))
    other_hospital: Person = field(default_factory=lambda: Person("hospital"))
    insurer: Person = field(default_factory=lambda: Person("insurer"))
    other_insurer: Person = field(default_factory=lambda: Person("insurer"))

    def give_accounts(self, make: Callable[[], Account]) -> None:
        """Give everybody a ledger account, for a ledger on a chain."""
        for person in [*self.commission, *self.joining]:
            person.ring = KeyRing.generated(person.id, account=make())

    @property
    def joining(self) -> list[Person]:
        return [self.hospital, self.other_hospital, self.insurer, self.other_insurer]

    def founding(self, approvals_needed: int = 2) -> SignedOperation:
        first = self.commission[0]
        founders = tuple(Founder(person.id, person.keys, fresh_id()) for person in self.commission)
        return first.signs(Found(first.id, fresh_id(), founders, approvals_needed))

    def admits(self, person: Person, keys: KeySet | None = None) -> SignedOperation:
        first, second = self.commission
        operation = PutMember(first.id, fresh_id(), person.id, person.role, keys or person.keys, fresh_id())
        return first.signs(operation, [second])

    def suspends(self, person: Person) -> SignedOperation:
        first, second = self.commission
        return first.signs(SuspendMember(first.id, fresh_id(), person.id, "breach"), [second])

    def beginning(self) -> list[SignedOperation]:
        """The founding, and everybody's admission."""
        return [self.founding(), *(self.admits(person) for person in self.joining)]

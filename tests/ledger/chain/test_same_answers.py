"""One random story told to the rules and to the contract: the same answers, and the same state in the end.

SAFEWEAVE_STORIES=1000 tells so many new ones.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import get_args

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ledger.chain.engines import CHAINS, everybody
from ledger.given_ledger import DAY, Consortium, Person
from ledger.ledgers import Running
from safeweave.keys.ring import KeyRing
from safeweave.ledger.chain.account import new_account
from safeweave.ledger.ledger import Final, ItemResult, Refusal, Refused
from safeweave.ledger.operation import (
    Anchor,
    GrantConsent,
    Item,
    PutMember,
    Reserve,
    SignedOperation,
    SuspendMember,
    Ticket,
    fresh_id,
)
from safeweave.ledger.rules import Accepted, Moment, State, apply, member_as_of, use_read

IDS = [f"{number:064x}" for number in range(1, 4)]  # few, so that operations meet each other
ROLES = ("hospital", "insurer", "commission", "operator")
CHAIN = "anvil" if "anvil" in CHAINS else "eth-tester"


@dataclass
class Story:
    """The same operations on both sides."""

    running: Running
    members: Consortium
    state: State = field(default_factory=State)
    strangers: list[Person] = field(default_factory=lambda: [stranger("insurer"), stranger("hospital")])
    answers: set[str] = field(default_factory=set)

    def begins(self) -> None:
        ledger = self.running.ledger_of(self.members.commission[0])
        for event, signed in ledger.signed_operations(-1, 100):
            assert signed
            assert isinstance(apply(self.state, signed, Moment(event.height, event.time)), Accepted)

    def everybody(self) -> list[Person]:
        return [*everybody(self.members), *self.strangers]

    def says(self, person: Person, signed: SignedOperation) -> None:
        """Both answer, and alike."""
        ledger = self.running.ledger_of(person)
        outcome = self.running.outcome(person, signed)
        head = ledger.head()
        at = Moment(head.height, head.time)
        if isinstance(outcome, Final):
            at = Moment(outcome.receipt.height, outcome.receipt.time)
        expected = apply(self.state, signed, at)
        if isinstance(expected, Accepted):
            assert isinstance(outcome, Final), (outcome, signed)
            assert outcome.receipt.results == expected.results
            self.answers |= {result.result for result in expected.results}
            for item in {result.item for result in expected.results}:
                seen = ledger.nullifier(item.issuer, item.nullifier, item.part)
                assert seen == use_read(self.state, item.issuer, item.nullifier, item.part)
        else:
            assert isinstance(outcome, Refused), (outcome, expected, signed)
            assert outcome.code == expected.code
            self.answers.add(outcome.code)

    def ends(self) -> None:
        """Whatever can be read is read the same."""
        ledger = self.running.ledger_of(self.members.insurer)
        head = ledger.head()
        for person in self.everybody():
            known = self.state.member(person.id)
            assert ledger.member(person.id) == (known and member_as_of(known, head.height))
        for issuer in (self.members.hospital.id, self.members.other_hospital.id):
            for id in IDS:
                for part in (1, 2):
                    assert ledger.nullifier(issuer, id, part) == use_read(self.state, issuer, id, part)
        for id in IDS:
            assert ledger.consent(id, head).record == self.state.consent(id)
            assert ledger.find_anchor(id) == self.state.anchor(id)


def stranger(role: str) -> Person:
    return Person(role, KeyRing.generated(fresh_id(), account=new_account()))  # type: ignore[arg-type]


def a_ticket(story: Story, draw: Callable[..., object], by: Person, holder: Person) -> Ticket:
    items = draw(st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from([1, 1, 2, 3])), min_size=1, max_size=3))
    now = story.running.now(by)
    ticket = by.ticket(holder, *items, expires=now + draw(st.sampled_from([DAY, DAY, DAY, -DAY])))
    if draw(st.integers(0, 5)) == 0:  # says more than was signed
        return msgspec.structs.replace(ticket, expires=ticket.expires + 1)
    return ticket


def said(story: Story, draw: Callable[..., object]) -> tuple[Person, SignedOperation]:
    """Something that one of them says next."""
    people, members = story.everybody(), story.members
    by, other = draw(st.sampled_from(people)), draw(st.sampled_from(people))
    now = story.running.now(by)
    id = draw(st.sampled_from(IDS))
    items = [Item(issuer.id, n, part) for issuer, n, part in draw(
        st.lists(
            st.tuples(st.sampled_from(people[2:4]), st.sampled_from(IDS[:2]), st.sampled_from([1, 1, 2])),
            min_size=1, max_size=2,
        )
    )]  # fmt: skip
    insurer = draw(st.sampled_from(people[4:6]))
    match draw(st.sampled_from([*"GRAAVMMS", *["reserve"] * 8, *["settle"] * 5, *["release"] * 3])):
        case "G":
            first = now + draw(st.sampled_from([-DAY, 0, DAY]))
            last = now + draw(st.sampled_from([-1, DAY, 2 * DAY]))
            operation = GrantConsent(by.id, fresh_id(), id, fresh_id(), other.id, fresh_id(), first, last)
            return by, by.signs(operation)
        case "R":
            return by, by.revokes(id)
        case "A":
            operation = Anchor(by.id, fresh_id(), id, draw(st.integers(1, 3)), draw(st.sampled_from(IDS)), 5)
            return by, by.signs(operation)
        case "V":
            hospital = draw(st.sampled_from([*people[2:4], by]))
            return hospital, hospital.voids(draw(st.sampled_from([IDS[2], fresh_id(), IDS[0]])))
        case "M":
            return admission(story, draw, by, other)
        case "S":
            by, agreeing = commissioned(story, draw, by)
            target = draw(st.sampled_from([*people[3:], stranger("insurer")]))
            return by, by.signs(SuspendMember(by.id, fresh_id(), target.id, "breach"), agreeing)
        case "reserve":
            by = draw(st.sampled_from([insurer, insurer, by]))
            hospital = draw(st.sampled_from([*people[2:4], *people[2:4], other]))
            holder = draw(st.sampled_from([by, by, by, other]))
            tickets = tuple(a_ticket(story, draw, hospital, holder) for _ in range(draw(st.integers(1, 2))))
            claim, ttl = draw(st.sampled_from(IDS)), draw(st.sampled_from([60, 3600, 7200]))
            assert members
            return by, by.signs(Reserve(by.id, fresh_id(), tickets, claim, ttl))
        case "settle":
            return insurer, insurer.settles(*items, split=draw(st.booleans()))
        case _:
            return insurer, insurer.releases(*items)


def commissioned(story: Story, draw: Callable[..., object], by: Person) -> tuple[Person, list[Person]]:
    first, second = story.members.commission
    return draw(st.sampled_from([(first, [second]), (second, [first]), (first, []), (by, [first]), (first, [by])]))  # type: ignore[return-value]


def admission(story: Story, draw: Callable[..., object], by: Person, other: Person) -> tuple[Person, SignedOperation]:
    """Somebody joins, comes back or changes keys; the new ones are used at once if they count at once."""
    author, agreeing = commissioned(story, draw, by)
    height = story.running.ledger_of(author).head().height
    since = max(0, height + draw(st.sampled_from([-5, 0, 2])))
    until = draw(st.sampled_from([None, None, since + 3, since + 40]))
    role = draw(st.sampled_from([other.role, other.role, other.role, *ROLES]))
    taken = story.members.insurer.period.account
    account = draw(st.sampled_from([other.period.account, other.period.account, taken]))
    keys = msgspec.structs.replace(other.keys, valid_from=since, valid_until=until, account=account.address)
    operation = PutMember(author.id, fresh_id(), other.id, role, keys, fresh_id())
    return author, author.signs(operation, agreeing)


@given(st.data())
@settings(
    max_examples=int(os.environ.get("SAFEWEAVE_STORIES", "0")) or 6,
    derandomize="SAFEWEAVE_STORIES" not in os.environ,
    phases=[Phase.generate],  # to shrink a story takes minutes
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_contract_answers_as_the_rules_do(tmp_path_factory, data):
    members = Consortium()
    with CHAINS[CHAIN](tmp_path_factory.getbasetemp(), members) as running:
        story = Story(running, members)
        story.begins()
        for _ in range(data.draw(st.integers(12, 24), label="length")):
            if data.draw(st.integers(0, 7)) == 0:
                running.passes(3600)
            story.says(*said(story, data.draw))
        story.ends()


def test_every_answer_there_is_comes_from_both_alike(tmp_path):
    members = Consortium()
    with CHAINS[CHAIN](tmp_path, members) as running:
        story = Story(running, members)
        story.begins()
        for person, signed in every_answer(story):
            story.says(person, signed)
        story.ends()
    assert story.answers == set(get_args(Refusal)) | set(get_args(ItemResult))


def every_answer(story: Story) -> Iterator[tuple[Person, SignedOperation]]:
    members, now = story.members, story.running.now(story.members.hospital)
    (first, second), hospital, insurer, other = (
        members.commission,
        members.hospital,
        members.insurer,
        members.other_insurer,
    )
    stranger = story.strangers[0]
    consent, stream, bill, reversed_bill = (fresh_id() for _ in range(4))

    def ticket(holder: Person, nullifier: str = bill, part: int = 1, expires: int = now + DAY) -> Ticket:
        return hospital.ticket(holder, (nullifier, part), expires=expires)

    def item(part: int = 1, nullifier: str = bill) -> Item:
        return Item(hospital.id, nullifier, part)

    yield first, members.founding()  # founded
    yield stranger, stranger.anchors(stream, 1)  # unknown_member
    forged = other.anchors(stream, 1).operation
    yield other, insurer.signs(forged)  # bad_signature
    yield hospital, hospital.grants(insurer, consent, now, now - 1)  # malformed
    yield hospital, hospital.grants(stranger, consent, now, now + DAY)  # unknown_grantee
    yield hospital, hospital.revokes(consent)  # unknown_consent
    yield hospital, hospital.grants(insurer, consent, now, now + DAY)
    yield hospital, hospital.grants(insurer, consent, now, now + DAY)  # consent_exists
    yield other, other.revokes(consent)  # not_party
    yield insurer, insurer.revokes(consent)
    yield hospital, hospital.revokes(consent)
    yield hospital, hospital.anchors(stream, 1, IDS[0])
    yield hospital, hospital.anchors(stream, 3)  # out_of_order
    yield insurer, insurer.anchors(stream, 2)  # not_owner
    yield insurer, insurer.anchors(IDS[1], 1, IDS[0])  # a root that was put down before

    reserve = insurer.reserves(ticket(insurer), ticket(insurer), claim=IDS[0])  # RESERVED, then MINE
    yield insurer, reserve
    yield insurer, insurer.reserves(ticket(insurer), claim=IDS[0], ttl=2 * 3600)  # renewed
    yield insurer, insurer.reserves(ticket(insurer), claim=IDS[1], ttl=3 * 3600)  # not renewed: another claim
    yield other, other.reserves(ticket(other), ticket(insurer), ticket(other, part=2))  # HELD, NO_TICKET, CLOSED
    yield other, other.reserves(ticket(other, expires=now), hospital.ticket(other, (bill, 3), expires=now + DAY))
    yield other, other.settles(item())  # not_holder
    yield insurer, insurer.settles(item(), item())  # spent, by itself: nothing of it is written
    yield insurer, insurer.settles(item(), split=True)  # SETTLED
    yield insurer, insurer.settles(item())  # spent
    yield other, other.reserves(ticket(other), ticket(other, part=2))  # SPENT, RESERVED
    yield insurer, insurer.releases(item())  # next_part_open
    yield other, other.releases(item(2))  # RELEASED
    yield insurer, insurer.releases(item())
    yield insurer, insurer.reserves(ticket(insurer, reversed_bill))
    yield hospital, hospital.voids(reversed_bill)
    yield insurer, insurer.settles(item(1, reversed_bill))  # voided
    yield other, other.reserves(ticket(other, reversed_bill))  # VOID

    admission = members.admits(stranger).operation
    yield insurer, insurer.signs(msgspec.structs.replace(admission, by=insurer.id), [first])  # not_commission
    yield first, first.signs(admission)  # approvals_missing
    yield first, first.signs(admission, [insurer])  # of somebody who may not agree
    yield first, first.signs(msgspec.structs.replace(admission, keys=insurer.keys), [second])  # account_taken
    ended = msgspec.structs.replace(stranger.keys, valid_until=1)
    yield first, first.signs(msgspec.structs.replace(admission, keys=ended), [second])  # unusable_keys
    yield first, first.signs(admission, [second])
    yield (
        first,
        first.signs(msgspec.structs.replace(admission, role="hospital", nonce=fresh_id()), [second]),
    )  # role_changed
    yield first, members.suspends(second)  # commission_too_small
    yield first, members.suspends(hospital)
    yield hospital, hospital.anchors(stream, 2)  # suspended_member
    yield insurer, insurer.reserves(ticket(insurer, fresh_id()))  # a ticket of somebody suspended
    yield first, first.signs(msgspec.structs.replace(members.admits(hospital).operation), [second])
    yield hospital, hospital.anchors(stream, 2)

"""What always holds of the rules, whatever is said in whatever order."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledger.given_ledger import DAY, HOUR, NOON, Consortium, Person
from safeweave.keys.canonical import canonical
from safeweave.keys.ring import KeyRing
from safeweave.ledger.ledger import MemberRecord, Refusal, Refused, UseRecord
from safeweave.ledger.operation import (
    Found,
    Item,
    SignedOperation,
    fresh_id,
    operation_bytes,
    operation_id,
    read_signed,
    sign,
    write_signed,
)
from safeweave.ledger.rules import (
    WHOLE,
    Accepted,
    Moment,
    RecordKey,
    State,
    apply,
    check,
    decide,
    keys_read,
    use_read,
)
from safeweave.ledger.store import raw_key
from safeweave.words import knows

MEMBERS = Consortium()
BILLS = [fresh_id() for _ in range(3)]
CLAIMS = [fresh_id() for _ in range(2)]
CONSENTS = [fresh_id() for _ in range(3)]
STREAMS = [fresh_id() for _ in range(2)]
INSURERS = [MEMBERS.insurer, MEMBERS.other_insurer]
HOSPITALS = [MEMBERS.hospital, MEMBERS.other_hospital]


def founded() -> State:
    state = State()
    for height, signed in enumerate(MEMBERS.beginning(), start=1):
        assert isinstance(apply(state, signed, Moment(height, NOON)), Accepted)
    return state


class Watched(State):
    """A state that notes which keys are looked at."""

    def __init__(self, under: State) -> None:
        super().__init__()
        self.under, self.seen = under, set[RecordKey]()

    def find(self, key: RecordKey) -> object:  # type: ignore[override]
        self.seen.add(key)
        return self.under.find(key)


class AnyHistory(RuleBasedStateMachine):
    """Insurers and hospitals say whatever they like about three bills, three consents and two streams."""

    @initialize()
    def begin(self) -> None:
        self.state, self.height, self.time = founded(), 5, NOON
        self.seen: dict[RecordKey, object] = {}

    def say(self, signed: SignedOperation) -> Accepted | Refused:
        """Apply, and hold what must hold of every single operation."""
        self.height += 1
        at = Moment(self.height, self.time)
        before = dict(self.state.records)
        watched = Watched(self.state)
        first = check(watched, signed, at) or decide(watched, signed.operation, at)
        assert before.items() <= self.state.records.items()  # nothing is changed by looking
        loaded = set(keys_read(signed.operation))
        assert watched.seen <= loaded  # an engine that loads these at once has all it needs
        again = apply(self.state, signed, at)
        assert again == first
        if isinstance(again, Refused):
            assert {k: v for k, v in self.state.records.items() if v is not None} == {
                k: v for k, v in before.items() if v is not None
            }
        return again

    @rule(seconds=st.integers(0, 2 * HOUR))
    def time_passes(self, seconds: int) -> None:
        self.time += seconds

    @rule(
        by=st.sampled_from(INSURERS),
        issuer=st.sampled_from(HOSPITALS),
        items=st.lists(st.tuples(st.sampled_from(BILLS), st.integers(1, 3)), min_size=1, max_size=4),
        claim=st.sampled_from(CLAIMS),
        ttl=st.integers(1, 2 * HOUR),
    )
    def reserve(self, by: Person, issuer: Person, items: list[tuple[str, int]], claim: str, ttl: int) -> None:
        before = {item: use_read(self.state, issuer.id, *item) for item in items}
        done = self.say(by.reserves(issuer.ticket(by, *items, expires=self.time + DAY), claim=claim, ttl=ttl))
        assert isinstance(done, Accepted)  # an attempt is always recorded
        assert [found.item for found in done.results] == [Item(issuer.id, *item) for item in items]
        for outcome in done.results:
            was = before[outcome.item.nullifier, outcome.item.part]
            now = use_read(self.state, outcome.item.issuer, outcome.item.nullifier, outcome.item.part)
            match outcome.result:
                case "RESERVED":
                    assert was.state_at(self.time) == "FREE"
                    assert (now.holder, now.claim_commitment) == (by.id, claim)
                case "MINE":
                    assert now.holder == by.id
                case "HELD":
                    assert (was.holder != by.id, now) == (True, was)
                case "SPENT" | "VOID":
                    assert now == was

    @rule(
        by=st.sampled_from(INSURERS),
        issuer=st.sampled_from(HOSPITALS),
        bill=st.sampled_from(BILLS),
        part=st.integers(1, 3),
        split=st.booleans(),
    )
    def settle(self, by: Person, issuer: Person, bill: str, part: int, split: bool) -> None:
        was = use_read(self.state, issuer.id, bill, part)
        done = self.say(by.settles(Item(issuer.id, bill, part), split=split))
        assert isinstance(done, Accepted) == (was.state == "RESERVED" and was.holder == by.id)

    @rule(
        by=st.sampled_from(INSURERS),
        issuer=st.sampled_from(HOSPITALS),
        bill=st.sampled_from(BILLS),
        part=st.integers(1, 3),
    )
    def release(self, by: Person, issuer: Person, bill: str, part: int) -> None:
        was = use_read(self.state, issuer.id, bill, part)
        done = self.say(by.releases(Item(issuer.id, bill, part)))
        if isinstance(done, Accepted):
            assert was.holder == by.id
            assert use_read(self.state, issuer.id, bill, part).state == "FREE"

    @rule(by=st.sampled_from(HOSPITALS), bill=st.sampled_from(BILLS))
    def void(self, by: Person, bill: str) -> None:
        assert isinstance(self.say(by.voids(bill)), Accepted)
        assert use_read(self.state, by.id, bill, 1).state == "VOID"

    @rule(by=st.sampled_from(HOSPITALS), to=st.sampled_from(INSURERS), consent=st.sampled_from(CONSENTS))
    def grant(self, by: Person, to: Person, consent: str) -> None:
        was = self.state.consent(consent)
        done = self.say(by.grants(to, consent, self.time, self.time + HOUR))
        assert isinstance(done, Accepted) == (was is None)

    @rule(by=st.sampled_from([*HOSPITALS, *INSURERS]), consent=st.sampled_from(CONSENTS))
    def revoke(self, by: Person, consent: str) -> None:
        done = self.say(by.revokes(consent))
        if isinstance(done, Accepted):
            now = self.state.consent(consent)
            assert now
            assert now.state_at(self.height, self.time) == "REVOKED"

    @rule(by=st.sampled_from(HOSPITALS), stream=st.sampled_from(STREAMS), sequence=st.integers(1, 4))
    def anchor(self, by: Person, stream: str, sequence: int) -> None:
        was = self.state.stream(stream)
        done = self.say(by.anchors(stream, sequence))
        is_next = sequence == (was.sequence if was else 0) + 1
        assert isinstance(done, Accepted) == (is_next and (was is None or was.owner == by.id))

    @invariant()
    def a_later_part_stands_only_on_one_settled_with_a_rest(self) -> None:
        for use in self.uses():
            if use.item.part > 1 and use.state in ("RESERVED", "SETTLED"):
                before = self.state.use(use.item.issuer, use.item.nullifier, use.item.part - 1)
                assert before
                assert (before.state, before.split) == ("SETTLED", True)

    @invariant()
    def only_what_is_held_or_settled_has_a_holder(self) -> None:
        for use in self.uses():
            assert bool(use.holder) == (use.state in ("RESERVED", "SETTLED"))

    @invariant()
    def what_was_revoked_stays_so(self) -> None:
        for consent in CONSENTS:
            now, seen = self.state.consent(consent), self.seen.get(("consent", consent))
            if seen is not None and getattr(seen, "revoked_at", None) is not None:
                assert now == seen
            self.seen["consent", consent] = now

    def uses(self) -> Iterator[UseRecord]:
        for record in self.state.records.values():
            if isinstance(record, UseRecord) and record.item.part != WHOLE:
                yield record


AnyHistory.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestAnyHistory = AnyHistory.TestCase


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=10))
def test_the_keys_in_force_at_a_height_never_change_afterwards(starts: list[int]) -> None:
    """Whatever key changes are announced, for whatever heights: what counted once counted for ever."""
    state, person = founded(), Person("hospital", MEMBERS.hospital.ring)
    counted: dict[int, object] = {}
    for height, start in enumerate(starts, start=6):
        person.ring = KeyRing.generated(person.id, valid_from=start)
        apply(state, MEMBERS.admits(person), Moment(height, NOON))
        member = state.member(person.id)
        assert isinstance(member, MemberRecord)
        for past in range(height):
            assert counted.setdefault(past, member.keys_at(past)) == member.keys_at(past)
        counted[height] = member.keys_at(height)


def test_a_ledger_is_founded_once_and_by_somebody_it_names() -> None:
    first = MEMBERS.founding()
    stranger = Person("commission")
    operation = first.operation
    assert isinstance(operation, Found)
    assert code(State(), stranger.signs(Found(stranger.id, fresh_id(), operation.commission, 1))) == "not_commission"
    forged = sign(operation, "std-1", stranger.period.signing_key())
    assert code(State(), forged) == "bad_signature"
    assert code(State(), MEMBERS.founding(approvals_needed=3)) == "commission_too_small"
    twice = Found(operation.by, fresh_id(), operation.commission * 2, 1)
    assert code(State(), MEMBERS.commission[0].signs(twice)) == "malformed"
    assert code(founded(), MEMBERS.founding()) == "founded"


def code(state: State, signed: SignedOperation) -> Refusal | None:
    done = apply(state, signed, Moment(9, NOON))
    return done.code if isinstance(done, Refused) else None


def test_nothing_counts_before_a_ledger_is_founded() -> None:
    assert code(State(), MEMBERS.admits(MEMBERS.hospital)) == "unknown_member"
    assert code(State(), MEMBERS.hospital.anchors(fresh_id(), 1)) == "unknown_member"


def test_an_approval_given_twice_or_by_a_stranger_is_one_or_none() -> None:
    first, second = MEMBERS.commission
    newcomer = Person("insurer")
    operation = MEMBERS.admits(newcomer).operation
    assert code(founded(), first.signs(operation, [first, first])) == "approvals_missing"
    assert code(founded(), first.signs(operation, [MEMBERS.insurer])) == "approvals_missing"
    assert code(founded(), first.signs(operation, [second])) is None


def test_an_approval_of_another_operation_does_not_count() -> None:
    first, second = MEMBERS.commission
    one, other = MEMBERS.admits(Person("insurer")), MEMBERS.admits(Person("insurer"))
    borrowed = sign(one.operation, "std-1", first.period.signing_key(), other.approvals)
    assert other.approvals[0].member == second.id
    assert code(founded(), borrowed) == "approvals_missing"


def test_keys_that_protect_nothing_are_not_registered() -> None:
    import msgspec

    newcomer = Person("insurer")
    for changes in ({"signing": bytes(32)}, {"sealing": bytes(32)}, {"vrf": b"short"}, {"suite": "none-1"}):
        keys = msgspec.structs.replace(newcomer.keys, **changes)
        assert code(founded(), MEMBERS.admits(newcomer, keys)) == "unusable_keys"


def test_a_forged_operation_is_refused_and_leaves_nothing() -> None:
    state = founded()
    before = dict(state.records)
    forged = sign(MEMBERS.hospital.anchors(STREAMS[0], 1).operation, "std-1", MEMBERS.insurer.period.signing_key())
    assert code(state, forged) == "bad_signature"
    assert state.records == before


def test_a_signature_for_one_purpose_serves_no_other() -> None:
    """An approval is no signature of an operation, though made with the same key over the same id."""
    first, second = MEMBERS.commission
    operation = MEMBERS.admits(Person("insurer")).operation
    approval = second.approves(operation)
    signed = SignedOperation(operation, approval.suite, first.approves(operation).signature, (approval,))
    assert code(founded(), signed) == "bad_signature"


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=20)
@given(st.data())
def test_an_operation_reads_as_it_was_written_and_its_bytes_are_canonical(data: st.DataObject) -> None:
    signed = data.draw(
        st.sampled_from(
            [
                *MEMBERS.beginning(),
                MEMBERS.suspends(MEMBERS.hospital),
                MEMBERS.hospital.grants(MEMBERS.insurer),
                MEMBERS.hospital.revokes(CONSENTS[0]),
                MEMBERS.hospital.anchors(STREAMS[0], 1),
                MEMBERS.insurer.reserves(MEMBERS.hospital.ticket(MEMBERS.insurer, (BILLS[0], 1))),
                MEMBERS.insurer.settles(Item(MEMBERS.hospital.id, BILLS[0], 1), split=True),
                MEMBERS.insurer.releases(Item(MEMBERS.hospital.id, BILLS[0], 1)),
                MEMBERS.hospital.voids(*BILLS),
            ]
        )
    )
    assert read_signed(write_signed(signed)) == signed
    assert operation_bytes(signed.operation) == canonical(signed.operation)
    assert operation_id(read_signed(write_signed(signed)).operation) == operation_id(signed.operation)


def test_saying_the_same_twice_is_two_operations() -> None:
    one, other = (MEMBERS.hospital.revokes(CONSENTS[0]) for _ in range(2))
    assert operation_id(one.operation) != operation_id(other.operation)


def test_two_records_never_share_a_key_in_the_store() -> None:
    keys = [("founding",), ("account", "0xab")] + [
        (kind, id) for kind in ("member", "consent", "stream", "anchor") for id in BILLS
    ]
    keys += [("use", a, b, str(part)) for a in BILLS for b in BILLS for part in range(3)]
    assert len({raw_key(key) for key in keys}) == len(keys)


@pytest.mark.parametrize("kind", ["refusal", "kind"])
def test_every_refusal_and_kind_has_words(kind: str) -> None:
    from typing import get_args

    from safeweave.ledger.ledger import Kind

    codes = get_args(Refusal if kind == "refusal" else Kind)
    assert [code for code in codes if not knows(f"ledger.{kind}.{code}")] == []

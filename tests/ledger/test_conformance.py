"""What every ledger promises, whatever keeps it. Each test runs on each of them."""

import msgspec

from ledger.given_ledger import DAY, HOUR, Consortium, Person
from ledger.ledgers import Running
from safeweave.keys.ring import KeyRing
from safeweave.ledger.ledger import Final, ItemResult, Refused, Unknown
from safeweave.ledger.operation import (
    Item,
    Reserve,
    Ticket,
    fresh_id,
    items_of,
    operation_id,
)
from safeweave.ledger.rules import kind_of


def ticket(running: Running, by: Person, to: Person, *items: tuple[str, int]) -> Ticket:
    return by.ticket(to, *items, expires=running.now(by) + DAY)


def results(outcome: object) -> list[ItemResult]:
    assert isinstance(outcome, Final), outcome
    return [found.result for found in outcome.receipt.results]


def code(outcome: object) -> str:
    assert isinstance(outcome, Refused), outcome
    return outcome.code


# ---------------------------------------------------------------- order and finality


def test_a_final_operation_has_a_receipt_and_the_head_holds_it(running: Running, members: Consortium) -> None:
    now = running.now(members.hospital)
    signed = members.hospital.grants(members.insurer, not_before=now, expires=now + DAY)
    receipt = running.final(members.hospital, signed)[0].receipt
    head = running.ledger_of(members.hospital).head()
    assert receipt.operation == operation_id(signed.operation)
    assert head.height >= receipt.height
    assert head.time >= receipt.time >= now


def test_sending_an_operation_again_changes_nothing_and_is_answered_the_same(
    running: Running, members: Consortium
) -> None:
    bill = ticket(running, members.hospital, members.insurer, (fresh_id(), 1))
    signed = members.insurer.reserves(bill)
    first = running.outcome(members.insurer, signed)
    count = len(running.ledger_of(members.insurer).events(-1, 100))
    assert running.outcomes(members.insurer, signed, signed) == [first, first]
    assert len(running.ledger_of(members.insurer).events(-1, 100)) == count


def test_what_was_never_handed_in_is_unknown_and_not_refused(running: Running, members: Consortium) -> None:
    assert isinstance(running.ledger_of(members.insurer).outcome(fresh_id(), 0), Unknown)


def test_events_come_in_order_without_gaps_and_from_any_place(running: Running, members: Consortium) -> None:
    ledger, now = running.ledger_of(members.hospital), running.now(members.hospital)
    signed = [members.hospital.grants(members.insurer, not_before=now, expires=now + DAY) for _ in range(5)]
    running.final(members.hospital, *signed)
    events = ledger.events(-1, 100)
    assert [event.number for event in events] == list(range(len(events)))
    assert [event.operation for event in events[-5:]] == [operation_id(one.operation) for one in signed]
    assert [event.kind for event in events[-5:]] == [kind_of(one.operation) for one in signed]
    assert ledger.events(events[2].number, 3) == events[3:6]
    assert ledger.events(events[-1].number, 10) == []
    assert [event.height for event in events] == sorted(event.height for event in events)
    assert [event.time for event in events] == sorted(event.time for event in events)


def test_events_say_who_did_what_to_which(running: Running, members: Consortium) -> None:
    now, consent, stream, root = running.now(members.hospital), fresh_id(), fresh_id(), fresh_id()
    running.final(
        members.hospital,
        members.hospital.grants(members.insurer, consent, now, now + DAY),
        members.hospital.anchors(stream, 1, root),
    )
    granted, anchored = running.ledger_of(members.hospital).events(-1, 100)[-2:]
    assert (granted.by, granted.subjects) == (members.hospital.id, (consent,))
    assert (anchored.by, anchored.subjects) == (members.hospital.id, (stream, root))


def test_a_proof_holds_what_was_signed_and_its_receipt(running: Running, members: Consortium) -> None:
    signed = members.hospital.anchors(fresh_id(), 1)
    receipt = running.final(members.hospital, signed)[0].receipt
    proof = running.ledger_of(members.hospital).prove(receipt.operation)
    assert proof is not None
    assert (proof.signed.operation, proof.receipt) == (signed.operation, receipt)
    assert running.ledger_of(members.hospital).prove(fresh_id()) is None


# ---------------------------------------------------------------- members


def test_a_stranger_is_refused(running: Running, members: Consortium) -> None:
    stranger = Person("insurer")
    now = running.now(members.hospital)
    signed = stranger.grants(members.insurer, not_before=now, expires=now + DAY)
    assert code(running.outcome(members.hospital, signed)) == "unknown_member"


def test_a_suspended_member_is_refused_at_once_and_heard_again_when_it_is_back(
    running: Running, members: Consortium
) -> None:
    stream = fresh_id()
    running.final(members.commission[0], members.suspends(members.hospital))
    assert code(running.outcome(members.hospital, members.hospital.anchors(stream, 1))) == "suspended_member"
    running.final(members.commission[0], members.admits(members.hospital))
    running.final(members.hospital, members.hospital.anchors(stream, 1))


def test_only_the_commission_says_who_is_a_member_and_enough_of_it(running: Running, members: Consortium) -> None:
    newcomer = Person("insurer")
    by_one = members.commission[0].signs(members.admits(newcomer).operation)
    assert code(running.outcome(members.commission[0], by_one)) == "approvals_missing"
    by_an_insurer = members.insurer.signs(
        msgspec.structs.replace(members.admits(newcomer).operation, by=members.insurer.id), members.commission
    )
    assert code(running.outcome(members.insurer, by_an_insurer)) == "not_commission"
    assert running.ledger_of(members.insurer).member(newcomer.id) is None


def test_no_fewer_are_left_in_the_commission_than_must_agree(running: Running, members: Consortium) -> None:
    refused = running.outcome(members.commission[0], members.suspends(members.commission[1]))
    assert code(refused) == "commission_too_small"


def test_a_member_reads_as_it_was_at_an_older_head(running: Running, members: Consortium) -> None:
    ledger = running.ledger_of(members.commission[0])
    before = ledger.head()
    running.final(members.commission[0], members.suspends(members.hospital))
    now, then = ledger.member(members.hospital.id), ledger.member(members.hospital.id, before)
    assert now
    assert then
    assert now.is_suspended_at(ledger.head().height)
    assert not then.is_suspended_at(before.height)
    assert then.keys_at(before.height) == members.hospital.keys


def test_a_role_does_not_change(running: Running, members: Consortium) -> None:
    other = Person("insurer", members.hospital.ring)
    assert code(running.outcome(members.commission[0], members.admits(other))) == "role_changed"


# ---------------------------------------------------------------- consents


def test_a_consent_is_pending_then_active_then_expired(running: Running, members: Consortium) -> None:
    ledger, now, consent = running.ledger_of(members.hospital), running.now(members.hospital), fresh_id()
    assert ledger.consent(consent).state == "UNKNOWN"
    running.final(members.hospital, members.hospital.grants(members.insurer, consent, now + HOUR, now + 2 * HOUR))
    states = [ledger.consent(consent).state]
    for _ in range(2):
        running.passes(HOUR + 1)
        running.final(members.hospital, members.hospital.anchors(fresh_id(), 1))
        states.append(ledger.consent(consent).state)
    assert states == ["PENDING", "ACTIVE", "EXPIRED"]


def test_a_revoked_consent_is_revoked_and_was_active_at_the_head_before(running: Running, members: Consortium) -> None:
    ledger, now, consent = running.ledger_of(members.hospital), running.now(members.hospital), fresh_id()
    running.final(members.hospital, members.hospital.grants(members.insurer, consent, now, now + DAY))
    found = ledger.consent(consent)
    running.final(members.insurer, members.insurer.revokes(consent))
    assert (found.state, ledger.consent(consent).state) == ("ACTIVE", "REVOKED")
    assert ledger.consent(consent, found.head).state == "ACTIVE"


def test_who_gave_or_received_a_consent_revokes_it_and_twice_is_once(running: Running, members: Consortium) -> None:
    now, consent = running.now(members.hospital), fresh_id()
    running.final(members.hospital, members.hospital.grants(members.insurer, consent, now, now + DAY))
    assert code(running.outcome(members.other_insurer, members.other_insurer.revokes(consent))) == "not_party"
    running.final(members.hospital, members.hospital.revokes(consent))
    first = running.ledger_of(members.hospital).consent(consent).record
    running.final(members.hospital, members.hospital.revokes(consent))
    assert running.ledger_of(members.hospital).consent(consent).record == first
    assert code(running.outcome(members.hospital, members.hospital.revokes(fresh_id()))) == "unknown_consent"


def test_a_consent_is_granted_once_to_a_member_and_ends_after_it_begins(running: Running, members: Consortium) -> None:
    now, consent, hospital = running.now(members.hospital), fresh_id(), members.hospital

    def answer(grantee: Person, id: str, first: int, end: int) -> str:
        return code(running.outcome(hospital, hospital.grants(grantee, id, first, end)))

    running.final(hospital, hospital.grants(members.insurer, consent, now, now + DAY))
    assert answer(members.insurer, consent, now, now + DAY) == "consent_exists"
    assert answer(Person("insurer"), "", now, now + DAY) == "unknown_grantee"
    assert answer(members.insurer, "", now + DAY, now + DAY) == "malformed"
    assert answer(members.insurer, "", now - DAY, now - 1) == "malformed"


# ---------------------------------------------------------------- anchors


def test_a_stream_counts_by_one_and_belongs_to_whoever_began_it(running: Running, members: Consortium) -> None:
    stream, hospital = fresh_id(), members.hospital
    assert code(running.outcome(hospital, hospital.anchors(stream, 2))) == "out_of_order"
    running.final(hospital, hospital.anchors(stream, 1), hospital.anchors(stream, 2))
    assert code(running.outcome(hospital, hospital.anchors(stream, 2))) == "out_of_order"
    assert code(running.outcome(members.insurer, members.insurer.anchors(stream, 3))) == "not_owner"


def test_a_root_is_found_where_it_was_put_down_first(running: Running, members: Consortium) -> None:
    ledger, root, stream = running.ledger_of(members.hospital), fresh_id(), fresh_id()
    assert ledger.find_anchor(root) is None
    receipt = running.final(members.hospital, members.hospital.anchors(stream, 1, root, 7))[0].receipt
    running.final(members.insurer, members.insurer.anchors(fresh_id(), 1, root, 1))
    found = ledger.find_anchor(root)
    assert found
    assert (found.by, found.stream, found.sequence, found.count) == (members.hospital.id, stream, 1, 7)
    assert (found.height, found.time) == (receipt.height, receipt.time)


# ---------------------------------------------------------------- nullifiers


def test_a_bill_is_claimed_once_and_the_second_attempt_stands_on_the_ledger(
    running: Running, members: Consortium
) -> None:
    bill = fresh_id()
    first = ticket(running, members.hospital, members.insurer, (bill, 1))
    second = ticket(running, members.hospital, members.other_insurer, (bill, 1))
    assert results(running.outcome(members.insurer, members.insurer.reserves(first))) == ["RESERVED"]
    assert results(running.outcome(members.other_insurer, members.other_insurer.reserves(second))) == ["HELD"]
    running.final(members.insurer, members.insurer.settles(*items_of(first)))
    assert results(running.outcome(members.other_insurer, members.other_insurer.reserves(second))) == ["SPENT"]
    event = running.ledger_of(members.other_insurer).events(-1, 100)[-1]
    assert (event.by, [found.result for found in event.results]) == (members.other_insurer.id, ["SPENT"])


def test_reserving_again_for_the_same_claim_holds_it_longer_and_for_another_does_not(
    running: Running, members: Consortium
) -> None:
    bill, claim, insurer = fresh_id(), fresh_id(), members.insurer
    mine = ticket(running, members.hospital, insurer, (bill, 1))
    ledger = running.ledger_of(insurer)

    def until() -> int:
        return ledger.nullifier(members.hospital.id, bill, 1).until

    running.final(insurer, insurer.reserves(mine, claim=claim, ttl=HOUR))
    first = until()
    assert results(running.outcome(insurer, insurer.reserves(mine, claim=fresh_id(), ttl=2 * HOUR))) == ["MINE"]
    assert until() == first
    assert results(running.outcome(insurer, insurer.reserves(mine, claim=claim, ttl=2 * HOUR))) == ["MINE"]
    assert until() >= first + HOUR


def test_a_hold_ends_by_the_time_of_the_ledger(running: Running, members: Consortium) -> None:
    bill = fresh_id()
    first = ticket(running, members.hospital, members.insurer, (bill, 1))
    second = ticket(running, members.hospital, members.other_insurer, (bill, 1))
    running.final(members.insurer, members.insurer.reserves(first, ttl=HOUR))
    running.passes(HOUR + 1)
    assert results(running.outcome(members.other_insurer, members.other_insurer.reserves(second))) == ["RESERVED"]
    assert code(running.outcome(members.insurer, members.insurer.settles(*items_of(first)))) == "not_holder"


def test_a_hold_that_ran_out_can_be_settled_while_nobody_else_took_it(running: Running, members: Consortium) -> None:
    mine = ticket(running, members.hospital, members.insurer, (fresh_id(), 1))
    running.final(members.insurer, members.insurer.reserves(mine, ttl=HOUR))
    running.passes(HOUR + 1)
    assert results(running.outcome(members.insurer, members.insurer.settles(*items_of(mine)))) == ["SETTLED"]


def test_the_next_part_opens_only_after_this_one_was_settled_with_a_rest(running: Running, members: Consortium) -> None:
    whole, split, insurer, other = fresh_id(), fresh_id(), members.insurer, members.other_insurer
    mine = ticket(running, members.hospital, insurer, (whole, 1), (split, 1))
    rest = ticket(running, members.hospital, other, (whole, 2), (split, 2))
    assert results(running.outcome(other, other.reserves(rest))) == ["CLOSED", "CLOSED"]
    running.final(insurer, insurer.reserves(mine))
    assert results(running.outcome(other, other.reserves(rest))) == ["CLOSED", "CLOSED"]
    running.final(insurer, insurer.settles(items_of(mine)[0]), insurer.settles(items_of(mine)[1], split=True))
    assert results(running.outcome(other, other.reserves(rest))) == ["CLOSED", "RESERVED"]
    assert code(running.outcome(insurer, insurer.releases(items_of(mine)[1]))) == "next_part_open"


def test_a_released_bill_is_free_and_so_is_one_whose_money_came_back(running: Running, members: Consortium) -> None:
    bill, insurer, other = fresh_id(), members.insurer, members.other_insurer
    mine = ticket(running, members.hospital, insurer, (bill, 1))
    theirs = ticket(running, members.hospital, other, (bill, 1))
    running.final(insurer, insurer.reserves(mine))
    assert results(running.outcome(insurer, insurer.releases(*items_of(mine)))) == ["RELEASED"]
    assert results(running.outcome(other, other.reserves(theirs))) == ["RESERVED"]
    running.final(other, other.settles(*items_of(theirs)))
    running.final(other, other.releases(*items_of(theirs)))
    assert running.ledger_of(other).nullifier(members.hospital.id, bill, 1).state == "FREE"


def test_a_reversed_bill_can_never_be_claimed_nor_settled(running: Running, members: Consortium) -> None:
    bill, insurer = fresh_id(), members.insurer
    mine = ticket(running, members.hospital, insurer, (bill, 1))
    running.final(insurer, insurer.reserves(mine))
    running.final(members.hospital, members.hospital.voids(bill), members.hospital.voids(bill))
    assert code(running.outcome(insurer, insurer.settles(*items_of(mine)))) == "voided"
    assert results(running.outcome(insurer, insurer.reserves(mine))) == ["VOID"]
    found = running.ledger_of(insurer).nullifier(members.hospital.id, bill, 1)
    assert (found.state, found.holder) == ("VOID", insurer.id)


def test_no_hospital_can_use_up_or_reverse_the_bills_of_another(running: Running, members: Consortium) -> None:
    bill, insurer = fresh_id(), members.insurer
    rogue = ticket(running, members.other_hospital, members.other_insurer, (bill, 1))
    running.final(members.other_insurer, members.other_insurer.reserves(rogue))
    running.final(members.other_hospital, members.other_hospital.voids(bill))
    mine = ticket(running, members.hospital, insurer, (bill, 1))
    assert results(running.outcome(insurer, insurer.reserves(mine))) == ["RESERVED"]


def test_only_a_ticket_of_the_hospital_for_this_member_and_time_reserves(running: Running, members: Consortium) -> None:
    insurer, hospital, now = members.insurer, members.hospital, running.now(members.insurer)
    bills = [fresh_id() for _ in range(4)]
    for_another = hospital.ticket(members.other_insurer, (bills[0], 1), expires=now + DAY)
    expired = hospital.ticket(insurer, (bills[1], 1), expires=now)
    changed = msgspec.structs.replace(hospital.ticket(insurer, (bills[2], 1), expires=now + DAY), parts=(2,))
    anothers_name = msgspec.structs.replace(
        members.other_hospital.ticket(insurer, (bills[3], 1), expires=now + DAY), issuer=hospital.id
    )
    attempt = insurer.reserves(for_another, expired, changed, anothers_name)
    assert results(running.outcome(insurer, attempt)) == ["NO_TICKET"] * 4
    assert running.ledger_of(insurer).nullifier(hospital.id, bills[0], 1).state == "FREE"


def test_the_tickets_of_a_suspended_hospital_are_worth_nothing(running: Running, members: Consortium) -> None:
    mine = ticket(running, members.hospital, members.insurer, (fresh_id(), 1))
    running.final(members.commission[0], members.suspends(members.hospital))
    assert results(running.outcome(members.insurer, members.insurer.reserves(mine))) == ["NO_TICKET"]


def test_settling_is_all_or_nothing(running: Running, members: Consortium) -> None:
    bill, other = fresh_id(), fresh_id()
    mine = ticket(running, members.hospital, members.insurer, (bill, 1))
    running.final(members.insurer, members.insurer.reserves(mine))
    both = members.insurer.settles(*items_of(mine), Item(members.hospital.id, other, 1))
    assert code(running.outcome(members.insurer, both)) == "not_holder"
    assert running.ledger_of(members.insurer).nullifier(members.hospital.id, bill, 1).state == "RESERVED"
    twice = members.insurer.settles(*items_of(mine), *items_of(mine))
    assert code(running.outcome(members.insurer, twice)) == "spent"


def test_a_ticket_for_many_bills_gives_a_result_for_each(running: Running, members: Consortium) -> None:
    bills = [(fresh_id(), 1) for _ in range(20)]
    many = ticket(running, members.hospital, members.insurer, *bills, bills[0])
    assert results(running.outcome(members.insurer, members.insurer.reserves(many))) == ["RESERVED"] * 20 + ["MINE"]


def test_a_ticket_whose_parts_do_not_fit_is_malformed(running: Running, members: Consortium) -> None:
    good = ticket(running, members.hospital, members.insurer, (fresh_id(), 1))
    odd = msgspec.structs.replace(good, parts=(1, 2))
    signed = members.insurer.signs(Reserve(members.insurer.id, fresh_id(), (odd,), fresh_id(), HOUR))
    assert code(running.outcome(members.insurer, signed)) == "malformed"


# ---------------------------------------------------------------- keys that change


def test_after_a_change_of_keys_the_old_ones_sign_nothing_and_old_tickets_are_worth_nothing(
    running: Running, members: Consortium
) -> None:
    hospital = members.hospital
    before = ticket(running, hospital, members.insurer, (fresh_id(), 1))
    old = Person("hospital", hospital.ring)
    hospital.ring = KeyRing.generated(hospital.id, account=hospital.period.account)
    running.final(members.commission[0], members.admits(hospital))
    running.final(hospital, hospital.anchors(fresh_id(), 1))
    if hospital.period.account is None:  # on a chain the account signs, and it stayed the same
        assert code(running.outcome(hospital, old.anchors(fresh_id(), 1))) == "bad_signature"
        assert results(running.outcome(members.insurer, members.insurer.reserves(before))) == ["NO_TICKET"]

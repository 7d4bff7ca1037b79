"""What comes in: each message wholly or not at all, once; what cannot be taken is kept until somebody mends it."""

import json
from argparse import Namespace
from datetime import timedelta

import pytest

from exchange.formats.given_messages import EXAMPLES
from given import (
    CLEAN_STAY,
    HOSPITAL,
    NOON,
    OTHER_PERSON,
    SENDER,
    a_bill,
    a_house,
    admitted,
    billed,
    discharged,
    ref,
    settled,
    settlement_cancelled,
    summary_bill,
    told,
    yuan,
)
from people.given_people import SAMPLE_MALE
from safeweave.commands import inbox as commands
from safeweave.errors import NotFound
from safeweave.events import Identifier, MessageNoted, PersonSeen, PersonsMerged
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits, Sender
from safeweave.exchange.inbound import Arrived, Fault
from stores import tables

A01 = EXAMPLES["a01"].replace("\n", "\r").encode()
TRUNCATED = EXAMPLES["fhir"].encode()[:2000]


def listed(house):
    return [(entry.sender, entry.status) for entry in house.asks(inbound.inbox)]


def numbers(house):
    return [entry.number for entry in house.asks(inbound.inbox)]


# ---------------------------------------------------------------- once


def test_a_message_told_again_changes_nothing_and_gets_the_same_answer(house):
    def answer(arrived, receipt):
        return f"taken as {receipt.number} at {house.time.at}".encode()

    message = inbound.open_message(A01, SENDER, Limits(), acknowledge=answer)

    def once():
        with house.node.database.transaction() as tx:
            (receipt,), follow = inbound.take(tx, [message], house.time())
            return receipt, follow

    first, follow = once()
    house.time.pass_(60)
    second, nothing = once()
    assert (first.status, second.status, first.answer == second.answer) == ("taken", "duplicate", True)
    assert (len(follow), nothing) == (1, [])
    assert house.rows("select count(*) from inbound_message") == [(1,)]


def test_the_same_id_for_other_content_is_a_conflict_that_is_kept_once(house):
    assert house.reads(A01).status == "taken"
    other = A01.replace("测试".encode(), "測試".encode())
    for _ in range(3):
        receipt = house.reads(other)
        assert (receipt.status, receipt.fault.code, receipt.fault.field) == ("conflict", 205, "MSH-10")
    assert listed(house) == [(HOSPITAL, "conflict")]
    house.works()
    assert house.case().stay.person.name == "测试甲"


def test_two_senders_may_use_the_same_ids(house):
    other = Sender(id="second", hospital="H33020000002")
    assert [house.message(admitted(), id="1").status, house.message(admitted(), sender=other, id="1").status] == [
        "taken", "taken",
    ]  # fmt: skip


def test_a_message_and_its_repetition_in_one_batch_count_once(house):
    arrived = inbound.open_message(A01, SENDER, Limits())
    with house.node.database.transaction() as tx:
        receipts, _ = inbound.take(tx, [arrived, arrived], house.time())
    assert [receipt.status for receipt in receipts] == ["taken", "duplicate"]


# ---------------------------------------------------------------- refused and mended


def test_what_cannot_be_read_is_kept_once_with_the_place_of_the_fault(house):
    first, again = house.reads(TRUNCATED), house.reads(TRUNCATED)
    assert (first.status, again.number) == ("refused", first.number)
    assert first.fault.line or first.fault.field
    assert listed(house) == [(HOSPITAL, "refused")]
    assert house.asks(lambda tx: inbound.original(tx, first.number)) == (HOSPITAL, TRUNCATED)
    assert house.rows("select count(*) from event where kind not in ('VisitTold')") == [(0,)]


def test_the_same_unreadable_message_twice_in_one_batch_is_kept_once(house):
    arrived = inbound.open_message(TRUNCATED, SENDER, Limits())
    with house.node.database.transaction() as tx:
        receipts, _ = inbound.take(tx, [arrived, arrived], house.time())
    assert [receipt.number for receipt in receipts] == [1, 1]


def test_a_message_that_is_too_large_is_refused_and_kept(house):
    receipt = house.reads(A01, limits=Limits(max_bytes=100))
    assert receipt.status == "refused"
    assert "100 are allowed" in receipt.fault.what


def test_a_message_that_tells_of_the_future_is_refused_until_its_time_has_come(house):
    ahead = admitted("2026-03-10T12:10")
    assert house.message(ahead, id="early").status == "refused"
    assert house.message(admitted("2026-03-10T12:04"), id="skewed").status == "taken"
    house.time.pass_(600)
    assert house.message(ahead, id="early").status != "conflict"


def test_a_refused_message_that_is_taken_later_leaves_the_repair_list(house):
    early = Arrived(A01, SENDER, inbound.open_message(A01, SENDER, Limits()).reading)
    house.time.at = NOON - timedelta(days=20)
    assert house.takes(early).status == "refused"
    house.time.at = NOON
    assert house.takes(early).status == "taken"
    assert listed(house) == []


def repaired(house, number, raw, sender=SENDER):
    with house.node.database.transaction() as tx:
        receipt, _ = inbound.repair(tx, number, raw, sender, Limits(), house.time())
    return receipt


def test_a_message_mended_by_hand_is_taken_and_leaves_the_list(house):
    number = house.reads(TRUNCATED).number
    assert repaired(house, number, EXAMPLES["fhir"].encode()).status == "taken"
    assert listed(house) == []


def test_a_repair_that_is_still_faulty_stays_on_the_list_once(house):
    number = house.reads(TRUNCATED).number
    assert repaired(house, number, TRUNCATED).status == "refused"
    assert repaired(house, number, TRUNCATED[:-50]).status == "refused"
    assert numbers(house) == [number]


def test_a_stranger_s_message_is_kept_and_taken_under_the_sender_a_person_names(house):
    stranger = Arrived(A01, inbound.unknown_sender(), None, Fault("nobody we know", field="MSH-4"))
    number = house.takes(stranger).number
    assert listed(house) == [(senders.UNKNOWN, "refused")]
    assert house.cases() == []
    assert repaired(house, number, A01).status == "taken"
    assert listed(house) == []


def test_inbox_shows_repairs_and_reruns_by_command(house, capsys, tmp_path):
    settings = house.node.settings
    number = house.reads(TRUNCATED).number
    commands.list_inbox(settings, Namespace(json=True))
    (message,) = json.loads(capsys.readouterr().out)["messages"]
    assert (message["number"], message["sender"], message["status"]) == (number, HOSPITAL, "refused")
    mended = tmp_path / "mended.json"
    mended.write_text(EXAMPLES["fhir"], encoding="utf-8")
    assert commands.retry(settings, Namespace(number=number, file=mended, sender=None)) == 0
    commands.list_inbox(settings, Namespace(json=True))
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["messages"] == []
    with pytest.raises(NotFound):
        commands.retry(settings, Namespace(number=99, file=None, sender=None))


# ---------------------------------------------------------------- gaps


def sequence_gaps(house):
    return [n for gap in house.asks(inbound.gaps) for n in range(gap.first, gap.last + 1)]


def test_a_number_that_was_skipped_is_noticed_and_struck_off_when_it_comes(house):
    for number in (7, 8, 11):
        house.message(admitted(), sequence=number)
    assert sequence_gaps(house) == [9, 10]
    house.message(admitted(), sequence=10)
    assert sequence_gaps(house) == [9]
    house.message(admitted(), sequence=9)
    assert sequence_gaps(house) == []


def test_the_first_number_of_a_sender_begins_the_count(house):
    house.message(admitted(), sequence=4711)
    assert sequence_gaps(house) == []


# ---------------------------------------------------------------- papers without a visit


def test_a_settlement_that_only_names_its_bill_is_placed_when_the_bill_comes(house):
    house.hears(admitted(), discharged(), settled(visit=""))
    assert house.asks(inbound.unplaced) == [(HOSPITAL, "SettlementReported", "33060226-0000000001")]
    house.hears(summary_bill())
    assert house.asks(inbound.unplaced) == []
    assert house.payouts() == [("paid", yuan("450.00"))]


def test_a_bill_that_came_before_leads_the_settlement_to_its_visit(house):
    house.hears(admitted(), discharged(), summary_bill(), settled(visit=""))
    assert house.payouts() == [("paid", yuan("450.00"))]


def test_a_settlement_and_its_cancellation_that_name_no_visit_are_placed_together(house):
    house.hears(settlement_cancelled(visit=""), settled(visit=""), admitted(), discharged(), summary_bill())
    assert house.stage() == "discharged"  # the settlement was undone: nothing may be paid on it
    assert house.payouts() == []


def test_a_red_bill_without_a_visit_finds_its_bill(house):
    from given import reversed_bill

    house.hears(admitted(), reversed_bill(visit=""), billed(), discharged())
    assert house.stage() == "discharged"


def test_merges_and_noted_messages_are_no_papers_that_wait(house):
    merge = told(PersonsMerged, "2026-03-04", visit="", survivor=OTHER_PERSON, retired=OTHER_PERSON)
    house.hears(told(MessageNoted, "2026-03-04", visit="", what="ADT^A60"), merge)
    assert house.asks(inbound.unplaced) == []


# ---------------------------------------------------------------- whom it is about


def test_nothing_personal_is_kept_of_somebody_who_is_not_insured(house):
    house.hears(admitted(person=OTHER_PERSON), discharged(person=OTHER_PERSON), billed(person=OTHER_PERSON))
    assert house.cases() == []
    assert house.waiting() == [("ZY20260301", "person_unknown")]
    # The name stands in the log of messages alone.
    told_of = []
    for table in house.asks(tables):
        for row in house.rows(f"select * from {table}"):
            if any(isinstance(value, str) and ("测试乙" in value or SAMPLE_MALE in value) for value in row):
                told_of.append(table)
    assert set(told_of) <= {"event"}


def test_a_policy_imported_later_opens_the_case_that_waited_for_it(house):
    house.hears(*(admitted(person=OTHER_PERSON), discharged(), billed()))
    assert house.cases() == []
    house.insures("P-2", name="测试乙", document=SAMPLE_MALE)
    assert house.waiting() == []
    assert house.stage() == "closed"
    assert house.payouts() == [("paid", yuan("450.00"))]


def test_somebody_insured_only_later_waits_for_a_policy(tmp_path, store, one_bank):
    house = a_house(tmp_path, one_bank, insured=False)
    house.insures(first="2026-03-07", last="2027-03-06", since="2026-03-07")
    house.hears(*CLEAN_STAY)
    assert house.waiting() == [("ZY20260301", "policy_unknown")]
    house.node.close()


def test_a_person_who_may_be_somebody_else_waits_for_a_person_to_look(house):
    other_birth = PersonSeen((Identifier("resident_id", "11010519491231002X"),), "测试甲", OTHER_PERSON.birth, "F")
    house.hears(admitted(person=other_birth))
    assert house.waiting() == [("ZY20260301", "person_doubtful")]
    assert house.cases() == []


def test_papers_without_an_admission_wait_for_it(house):
    house.hears(billed())
    assert house.waiting() == [("ZY20260301", "admission_unknown")]
    house.hears(discharged(), admitted())
    assert house.payouts() == [("paid", yuan("450.00"))]


def test_a_bill_that_replaces_one_of_another_visit_leaves_that_alone(house):
    house.hears(*CLEAN_STAY)
    elsewhere = billed(a_bill("2", replaces=ref("1")), visit="ZY-other")
    house.hears(elsewhere)
    assert house.stage() == "closed"
    assert [seen.reversed for seen in house.case().stay.bills] == [False]

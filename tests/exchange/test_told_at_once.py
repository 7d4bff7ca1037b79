"""What comes in one batch is heard as if it had come one by one: events are read back before they are written."""

from datetime import UTC, datetime, timedelta

import pytest

from safeweave import outbox
from safeweave.commands.bench.feeders import take
from safeweave.commands.bench.stores import Store
from safeweave.database import Database
from safeweave.events import (
    AdmissionReported,
    BillIssued,
    LeaveBegan,
    LeaveEnded,
    MessageNoted,
    PatientDischarged,
    SettlementReported,
)
from safeweave.outbox import Logged
from stores import place

NOON = datetime(2026, 3, 6, 4, 0, tzinfo=UTC)
LEFT = LeaveBegan(occurred_at=NOON, sender="first", visit="ZY1")
BACK = LeaveEnded(occurred_at=NOON + timedelta(hours=2), sender="first", visit="ZY1")
NOTED = MessageNoted(occurred_at=NOON, sender="first", what="a paper without a visit")


@pytest.fixture
def database(tmp_path, store):
    return Database(place(tmp_path / "node.db"))


def told(database, *events):
    with database.transaction() as tx:
        outbox.append(tx, events, NOON)


def test_events_are_read_back_before_they_are_written_after_those_of_earlier_transactions(database):
    told(database, LEFT)
    with database.transaction() as tx:
        outbox.append(tx, [BACK], NOON, read_back=True)
        assert outbox.of_subjects(tx, ["first/ZY1"]) == {"first/ZY1": [Logged(1, LEFT, NOON), Logged(2, BACK, NOON)]}
    with database.reading() as tx:
        assert outbox.of_subjects(tx, ["first/ZY1"]) == {"first/ZY1": [Logged(1, LEFT, NOON), Logged(2, BACK, NOON)]}


def test_what_is_told_of_a_visit_in_one_go_is_one_row_and_keeps_its_numbers(database):
    other = LeaveBegan(occurred_at=NOON, sender="first", visit="ZY2")
    with database.transaction() as tx:
        numbered = outbox.append(tx, [LEFT, BACK, other, LEFT], NOON)
    with database.transaction() as tx:
        assert outbox.append(tx, [BACK], NOON) == [(5, BACK)]
    assert numbered == [(1, LEFT), (2, BACK), (3, other), (4, LEFT)]
    with database.reading() as tx:
        assert tx.rows("select id, kind, subject from event order by id") == [
            (2, "LeaveBegan,LeaveEnded", "first/ZY1"), (3, "LeaveBegan", "first/ZY2"),
            (4, "LeaveBegan", "first/ZY1"), (5, "LeaveEnded", "first/ZY1"),
        ]  # fmt: skip
        logged = [Logged(n, event, NOON) for n, event in ((1, LEFT), (2, BACK), (4, LEFT), (5, BACK))]
        assert outbox.of_subjects(tx, ["first/ZY1"]) == {"first/ZY1": logged}


def test_papers_that_wait_for_their_visit_share_no_row(database):
    told(database, NOTED, NOTED)
    with database.transaction() as tx:
        outbox.move(tx, [(2, "first", "first/ZY1")])
        assert outbox.of_subjects(tx, ["first/ZY1"]) == {"first/ZY1": [Logged(2, NOTED, NOON)]}


def test_a_paper_without_a_visit_is_placed_whether_it_came_just_now_or_earlier(database):
    told(database, NOTED)
    with database.transaction() as tx:
        outbox.append(tx, [LEFT, NOTED], NOON, read_back=True)
        outbox.move(tx, [(1, "first", "first/ZY1"), (3, "first", "first/ZY1")])
        placed = {"first/ZY1": [Logged(1, NOTED, NOON), Logged(2, LEFT, NOON), Logged(3, NOTED, NOON)], "first/": []}
        assert outbox.of_subjects(tx, ["first/ZY1", "first/"]) == placed
    with database.reading() as tx:
        assert outbox.of_subjects(tx, ["first/ZY1", "first/"]) == placed


def test_what_a_failed_transaction_told_is_not_remembered(database):
    def told_and_failed():
        with database.transaction() as tx:
            outbox.append(tx, [LEFT], NOON, read_back=True)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        told_and_failed()
    with database.transaction() as tx:
        assert outbox.of_subjects(tx, ["first/ZY1"]) == {"first/ZY1": []}
        assert [event for _, event in outbox.append(tx, [BACK], NOON)] == [BACK]


def test_a_batch_ends_where_its_messages_one_by_one_end(tmp_path, store):
    ends = []
    for name, size in (("one by one", 1), ("at once", 9)):
        home = tmp_path / name
        home.mkdir()
        where = place(home / "safeweave.db")
        with Store(store, home, where if isinstance(where, str) else "").opened(3) as (node, given):
            messages = [
                message(number)
                for message in (given.bill, given.admission, given.discharge) for number in range(3)
            ]  # fmt: skip
            for start in range(0, len(messages), size):
                take(node, messages[start : start + size])
            with node.database.reading() as tx:
                ends.append([
                    [
                        (subject, event)
                        for subject, payload in tx.rows("select subject, payload from event order by subject, id")
                        for event in outbox.events_in(payload)
                        if type(event) in (AdmissionReported, BillIssued, PatientDischarged, SettlementReported)
                    ],
                    tx.rows("select visit, stage from claim_case order by visit"),
                    tx.rows("select amount_fen, state, account, purpose <> '' from payout order by account"),
                    tx.rows("select account, sum(fen) from journal_entry group by account order by account"),
                ])  # fmt: skip
    assert ends[0] == ends[1]
    assert [amount for amount, *_ in ends[0][2]] == [257367] * 3

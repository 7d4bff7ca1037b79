"""What is kept of a case: the events it was heard from, and nothing that they say already."""

import threading
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from given import (
    CLEAN_STAY,
    VISIT,
    House,
    a_bill,
    admitted,
    billed,
    discharged,
    ref,
    reversed_bill,
    settled,
    summary_bill,
)
from safeweave import outbox
from safeweave.cases import cases_by_id, heads, hear, ring_clocks
from safeweave.cases.stay import folded, happened
from safeweave.cases.store import save_cases
from safeweave.database import Transaction
from safeweave.errors import Crossed
from safeweave.events import ClockDue, HospitalEvent, VisitTold
from safeweave.ids import person_key
from safeweave.outbox import visit_subject
from safeweave.worker import PUT_OFF, Later

H = "H33020000001"


def beside(house: House, work: Callable[[Transaction], None]) -> None:
    """Do this in a transaction of another thread, beside the present one."""

    def run() -> None:
        with house.node.database.transaction(beside=True) as tx:
            work(tx)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def lay_down_as_0_1_0_did(house: House) -> None:
    """The case as version 0.1.0 kept it: with the whole stay."""
    case = house.case()
    with house.node.database.transaction() as tx:
        tx.run("update claim_case set stay = ? where id = ?", (msgspec.json.encode(case.stay).decode(), case.id))


def test_a_case_is_read_as_it_was_heard(house):
    told: tuple[HospitalEvent, ...] = (admitted(), discharged(), billed(), settled())
    house.hears(*told)
    assert house.case().stay == folded(happened(logged.event for logged in house.asks(log)))
    assert len(house.case().stay.bills) == len(house.case().stay.settlements) == 1


def log(tx: Transaction) -> list[outbox.Logged]:
    return outbox.of_subjects(tx, [visit_subject(H, VISIT)])[visit_subject(H, VISIT)]


def test_what_is_kept_of_a_case_does_not_grow_with_its_bills(house):
    house.hears(*CLEAN_STAY)
    ((kept,),) = house.rows("select stay from claim_case")
    assert len(kept) < 100
    assert "K80" not in kept


def test_what_was_heard_already_changes_nothing(house):
    house.hears(*CLEAN_STAY)
    before, history = house.rows("select * from claim_case"), house.history()
    with house.node.database.transaction() as tx:
        assert hear([VisitTold(H, VISIT)], tx, house.time()) == []
    assert (house.rows("select * from claim_case"), house.history()) == (before, history)


def test_a_case_moves_without_its_stay_being_read(house):
    house.message(*CLEAN_STAY)
    database, ids = house.node.database, [case.id for case in house.cases()]
    with database.reading() as tx:
        before = database.statements
        assert [head.stage for head in heads(tx, ids).values()] == ["determined"]
        assert database.statements - before == 1
        assert cases_by_id(tx, ids)[ids[0]].stay.live_bills  # one more, for the log
        assert database.statements - before == 2


def test_a_case_kept_by_the_first_version_is_read_and_moved_on(house):
    house.hears(*CLEAN_STAY)
    before = house.case().stay
    lay_down_as_0_1_0_did(house)
    assert house.case().stay == before
    house.hears(reversed_bill("1"), billed(a_bill("2", total="1200.00", replaces=ref("1")), "2026-03-09T10:00"))
    assert [(seen.bill.number, seen.reversed) for seen in house.case().stay.bills] == [
        ("0000000001", True),
        ("0000000002", False),
    ]
    assert house.history().count("bill_reversed") == 1
    assert house.history().count("admission_reported") == 1
    ((kept,),) = house.rows("select stay from claim_case")
    assert len(kept) < 100


def test_a_case_kept_by_the_first_version_moves_to_its_end_and_keeps_its_stay(house):
    house.message(*CLEAN_STAY)
    before = house.case().stay
    lay_down_as_0_1_0_did(house)
    house.works()
    assert (house.stage(), house.case().stay) == ("closed", before)


def test_of_two_who_change_a_case_the_second_finds_it_crossed(house):
    house.hears(*CLEAN_STAY)
    read = house.case()
    with house.node.database.transaction() as tx:
        save_cases(tx, [msgspec.structs.replace(read, stage="referred")])
    with pytest.raises(Crossed), house.node.database.transaction() as tx:
        save_cases(tx, [msgspec.structs.replace(read, stage="paid")])
    assert house.stage() == "referred"


def test_a_visit_whose_person_somebody_else_holds_is_put_off_and_nothing_is_written(house):
    if not house.node.database.shared:
        pytest.skip("one writes at a time: nobody else holds anything")
    house.message(*CLEAN_STAY)
    later = (admitted("2026-04-01T08:00", visit="ZY9"), discharged("2026-04-02T10:00", visit="ZY9"))
    person, now = house.case().person, house.time()
    told: list[object] = []

    def take_another_visit(tx: Transaction) -> None:
        told.extend(hear([VisitTold(H, "ZY9")], tx, now))

    with house.node.database.transaction() as tx:
        put_in_the_log(tx, house, later)
    with house.node.database.transaction(beside=True) as tx:
        assert tx.hold({person_key(person)})
        beside(house, take_another_visit)
    assert told == [Later(VisitTold(H, "ZY9"), now + PUT_OFF)]
    assert house.rows("select count(*) from visit where visit = 'ZY9'") == [(0,)]
    beside(house, take_another_visit)
    assert house.stage("ZY9") == "discharged"


def put_in_the_log(tx: Transaction, house: House, events: tuple[HospitalEvent, ...]) -> None:
    known = [msgspec.structs.replace(event, sender=H) for event in events]
    outbox.append(tx, known, house.time())


def test_a_paper_is_placed_in_its_visit_while_somebody_else_works_on_that_and_heard_by_itself(house):
    if not house.node.database.shared:
        pytest.skip("one writes at a time: nobody else holds anything")
    house.hears(admitted(), discharged(), summary_bill())
    now = house.time()
    with house.node.database.transaction() as tx:
        put_in_the_log(tx, house, (settled(visit=""),))
    told: list[object] = []
    with house.node.database.transaction(beside=True) as tx:
        assert tx.hold({visit_subject(H, VISIT)})
        beside(house, lambda other: told.extend(hear([VisitTold(H, "")], other, now)))
    assert told == [Later(VisitTold(H, VISIT), now)]
    assert house.case().stay.settlements == ()
    beside(house, lambda other: told.extend(hear([VisitTold(H, VISIT)], other, now)))
    assert len(house.case().stay.settlements) == 1


def test_a_clock_whose_case_somebody_else_works_on_rings_at_the_next_look(house):
    if not house.node.database.shared:
        pytest.skip("one writes at a time: nobody else works on anything")
    house.hears(admitted(), discharged())  # the bill is due within days
    case, late = house.case().id, house.time() + timedelta(days=60)
    rung: list[ClockDue] = []
    with house.node.database.transaction(beside=True) as tx:
        assert tx.hold({person_key(case)})
        beside(house, lambda other: rung.extend(ring_clocks(other, late)))
    assert rung == []
    beside(house, lambda other: rung.extend(ring_clocks(other, late)))
    assert [(event.case, event.percent) for event in rung] == [(case, 50), (case, 80), (case, 100)]

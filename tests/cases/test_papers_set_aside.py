"""Papers that name no visit and lead to none wait under their names: no later batch reads them, and all are found."""

import threading
from collections.abc import Callable

import msgspec
import pytest

from given import (
    OTHER_PERSON,
    SAMPLE_MALE,
    VISIT,
    House,
    a_bill,
    admitted,
    billed,
    discharged,
    reversed_bill,
    settled,
    settlement_cancelled,
    summary_bill,
    yuan,
)
from safeweave import outbox
from safeweave.cases import hear
from safeweave.cases.store import names
from safeweave.coverage.product import Product
from safeweave.database import Transaction
from safeweave.errors import Crossed
from safeweave.events import BillIssued, HospitalEvent, VisitTold
from safeweave.exchange import inbound
from safeweave.outbox import INSIDE
from safeweave.worker import Later

H = "H33020000001"
BILL = (H, "bill", "33060226-0000000001")


def unplaced(house: House) -> list[tuple[str, str, str]]:
    return house.asks(inbound.unplaced)


def looked_at(house: House) -> None:
    """A later batch of the same hospital, about something else."""
    house.waits(seconds=60)
    house.hears(admitted(visit="ZY-other"))


def awaited(house: House) -> list[tuple[object, ...]]:
    return house.rows("select kind, value from awaited_name order by kind, value")


def none_waits(house: House) -> bool:
    return unplaced(house) == awaited(house) == house.rows("select value from visit_alias where visit = ''") == []


# ---------------------------------------------------------------- what a batch costs


def test_a_batch_reads_no_more_however_many_papers_wait_for_a_visit(house, monkeypatch):
    read, plain = [], outbox.events_in
    monkeypatch.setattr(outbox, "events_in", lambda payload: read.append(payload) or plain(payload))

    def cost_of_a_stay(number: str) -> tuple[int, int]:
        house.waits(seconds=60)
        statements = house.node.database.statements
        read.clear()
        house.message(admitted(visit=f"ZY{number}"), discharged(visit=f"ZY{number}"))
        house.message(billed(a_bill(number), visit=f"ZY{number}"))
        return len(read), house.node.database.statements - statements

    first, second = cost_of_a_stay("91"), cost_of_a_stay("92")
    for number in range(100, 140):
        house.message(billed(a_bill(str(number)), visit=""))
    cost_of_a_stay("93")  # the first of later batches
    assert cost_of_a_stay("94") == second
    assert second <= first
    assert len(unplaced(house)) == 40


def test_a_paper_that_finds_its_visit_is_read_without_the_others_that_wait(house, monkeypatch):
    house.hears(*(billed(a_bill(str(number)), visit="") for number in range(100, 120)), settled(visit=""))
    looked_at(house)
    house.hears(admitted(), discharged())
    read, plain = [], outbox.events_in
    monkeypatch.setattr(outbox, "events_in", lambda payload: read.append(plain(payload)) or plain(payload))
    house.message(summary_bill())
    assert {event.bill.number for told in read for event in told if getattr(event, "bill", None)} == {"0000000001"}
    assert len(unplaced(house)) == 20


# ---------------------------------------------------------------- what is found


def test_a_settlement_that_was_set_aside_is_found_by_its_bill(house):
    house.hears(admitted(), discharged(), settled(visit=""))
    looked_at(house)
    assert unplaced(house) == [(H, "SettlementReported", "33060226-0000000001")]
    house.hears(summary_bill())
    assert house.payouts() == [("paid", yuan("450.00"))]
    assert none_waits(house)


def test_a_visit_that_was_told_before_takes_a_paper_at_once(house):
    house.hears(admitted(), discharged(), summary_bill())
    looked_at(house)
    house.hears(settled(visit=""))
    assert house.payouts() == [("paid", yuan("450.00"))]
    assert none_waits(house)


def test_a_cancellation_that_was_set_aside_follows_its_settlement_that_the_bill_leads_to(house):
    house.hears(settlement_cancelled(visit=""))
    looked_at(house)
    house.hears(settled(visit=""))
    looked_at(house)
    assert len(unplaced(house)) == 2
    house.hears(admitted(), discharged(), summary_bill())
    assert house.stage() == "discharged"  # the settlement was undone: nothing may be paid on it
    assert house.payouts() == []
    assert none_waits(house)


def test_a_cancellation_that_was_set_aside_follows_a_settlement_that_comes_and_names_a_known_bill(house):
    house.hears(settlement_cancelled(visit=""))
    looked_at(house)
    house.hears(admitted(), discharged(), summary_bill(), settled(visit=""))
    assert house.stage() == "discharged"
    assert none_waits(house)


def test_a_settlement_that_was_set_aside_is_cancelled_after_it_was_found(house):
    house.hears(settled(visit=""))
    looked_at(house)
    house.hears(admitted(), discharged(), summary_bill(), settlement_cancelled(visit=""))
    assert house.history().count("settlement_cancelled") == 1
    assert house.stage() == "reopened"
    assert none_waits(house)


def test_a_red_bill_that_was_set_aside_finds_its_bill(house):
    house.hears(reversed_bill(visit=""))
    looked_at(house)
    house.hears(admitted(), billed(), discharged())
    assert house.stage() == "discharged"
    assert none_waits(house)


def test_a_paper_told_twice_waits_twice_and_counts_once(house):
    house.hears(settled(visit=""), settled(visit=""))
    looked_at(house)
    assert len(unplaced(house)) == 2
    house.hears(admitted(), discharged(), summary_bill())
    assert house.payouts() == [("paid", yuan("450.00"))]
    assert none_waits(house)


def test_papers_that_wait_are_found_in_the_message_that_brings_their_visit_and_more_of_them(house):
    house.hears(settled(visit=""))
    looked_at(house)
    house.hears(settlement_cancelled(visit=""), admitted(), discharged(), summary_bill(), apart=False)
    assert house.stage() == "discharged"
    assert none_waits(house)


def test_a_name_of_two_visits_leads_to_one_and_nothing_is_crossed_for_ever(house):
    house.hears(settled(visit=""))
    looked_at(house)
    house.hears(admitted(), admitted(visit="ZY2"))
    house.hears(billed(visit=VISIT), billed(visit="ZY2"), apart=False)
    assert house.asks(lambda tx: names(tx, [BILL]))[BILL] in (VISIT, "ZY2")
    assert sum(len(house.case(visit).stay.settlements) for visit in (VISIT, "ZY2")) == 1
    assert none_waits(house)
    house.is_sound()


def test_the_papers_of_another_hospital_are_not_taken(house):
    house.hears(settled(visit=""))
    looked_at(house)
    other = msgspec.structs.replace(inbound.unknown_sender(), id="other", hospital=H)
    house.hears(admitted(), discharged(), summary_bill(), sender=other)
    assert unplaced(house) == [(H, "SettlementReported", "33060226-0000000001")]


def test_a_paper_waits_over_a_restart(house):
    house.hears(settled(visit=""))
    looked_at(house)
    house.restarts()
    house.hears(admitted(), discharged(), summary_bill())
    assert house.payouts() == [("paid", yuan("450.00"))]


def test_what_an_earlier_version_left_is_looked_at_by_the_first_batch_of_its_sender(house):
    with house.node.database.transaction() as tx:  # no work follows it any more
        lay_down(tx, house, settled(visit=""), settled("S7", bill="7", visit=""))
    assert len(unplaced(house)) == 2
    house.hears(admitted())
    assert awaited(house) == [
        ("bill", "33060226-0000000001"), ("bill", "33060226-0000000007"), ("settlement", "S1"), ("settlement", "S7"),
    ]  # fmt: skip
    house.hears(discharged(), summary_bill())
    assert house.payouts() == [("paid", yuan("450.00"))]
    assert unplaced(house) == [(H, "SettlementReported", "33060226-0000000007")]


def lay_down(tx: Transaction, house: House, *events: HospitalEvent) -> None:
    outbox.append(tx, [msgspec.structs.replace(event, sender=H) for event in events], house.time())


# ---------------------------------------------------------------- two at once


Work = Callable[[House, Transaction], object]


def comes(*events: HospitalEvent, visit: str = VISIT) -> Work:
    """Something is told of a visit ("": a paper that names none) and heard, in one transaction as at a door."""

    def work(house: House, tx: Transaction) -> None:
        known = [msgspec.structs.replace(event, sender=H, visit=visit) for event in events]
        outbox.append(tx, known, house.time(), read_back=True)
        assert tx.hold({outbox.visit_subject(H, visit)})
        for found in hear([VisitTold(H, visit)], tx, house.time()):
            event, due_at = (found.event, found.due_at) if isinstance(found, Later) else (found, house.time())
            outbox.add_tasks(tx, [(INSIDE, event, "", due_at)])

    return work


BILL_COMES = comes(summary_bill())
PAPER_COMES = comes(settled(), visit="")


def beside(house: House, work: Work) -> threading.Thread:
    """Do this in a transaction of another thread, as often as it is crossed; that may wait for ours to end."""

    def run() -> None:
        for _ in range(100):
            try:
                with house.node.database.transaction(beside=True) as tx:
                    work(house, tx)
            except Crossed:
                continue
            return

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=0.5)
    return thread


@pytest.mark.parametrize(("first", "second"), [(BILL_COMES, PAPER_COMES), (PAPER_COMES, BILL_COMES)])
def test_a_paper_and_its_bill_that_come_at_once_find_each_other(house, first, second):
    house.hears(admitted(), discharged())

    def come_at_once() -> None:
        with house.node.database.transaction(beside=True) as tx:
            first(house, tx)
            assert not beside(house, second).is_alive()

    with pytest.raises(Crossed):
        come_at_once()
    beside(house, first).join()
    house.works()
    assert len(house.case().stay.settlements) == 1
    assert none_waits(house)


def test_a_second_paper_that_comes_while_the_first_is_found_is_found_too(house):
    house.hears(admitted(), discharged(), settled(visit=""))
    looked_at(house)
    with house.node.database.transaction(beside=True) as tx:
        BILL_COMES(house, tx)
        meanwhile = beside(house, comes(settled("S2"), visit=""))
        assert meanwhile.is_alive()  # it waits for the name
    meanwhile.join()
    house.works()
    assert len(house.case().stay.settlements) == 2
    assert none_waits(house)


def test_a_paper_that_two_visits_find_at_once_is_placed_in_one(house):
    house.hears(admitted(), discharged(), admitted(visit="ZY2"), settled(visit=""))
    looked_at(house)
    with house.node.database.transaction(beside=True) as tx:
        BILL_COMES(house, tx)
        meanwhile = beside(house, comes(settled(bill="2"), visit="ZY2"))
        assert meanwhile.is_alive()  # it waits for the paper
    meanwhile.join()
    house.waits(seconds=1)
    assert [len(house.case(visit).stay.settlements) for visit in (VISIT, "ZY2")] == [1, 1]
    assert none_waits(house)


def test_a_paper_whose_visit_somebody_else_works_on_is_placed_and_the_visit_heard_afterwards(house):
    house.hears(admitted(), discharged(), summary_bill())
    with house.node.database.transaction(beside=True) as tx:
        assert tx.hold({outbox.visit_subject(H, VISIT)})
        thread = threading.Thread(target=lambda: house.message(settled(visit="")))
        thread.start()
        thread.join()
    assert none_waits(house)
    house.waits(seconds=1)
    assert house.payouts() == [("paid", yuan("450.00"))]


def test_a_paper_of_a_case_that_cannot_be_decided_stops_no_other_paper_of_its_hospital(house, monkeypatch):
    house.insures("P-2", "daily-allowance-2022", "测试乙", SAMPLE_MALE)
    house.hears(admitted(), discharged(), summary_bill())
    house.hears(admitted(visit="ZY2", person=OTHER_PERSON), discharged(visit="ZY2"))
    house.hears(msgspec.structs.replace(summary_bill("2"), visit="ZY2"))

    class Poisoned(dict[str, Product]):
        def __getitem__(self, id: str) -> Product:
            if id == "hospital-expense-2020":
                raise RuntimeError("this product cannot be used")
            return super().__getitem__(id)

    monkeypatch.setattr(house.node.adjudicator, "products", Poisoned(house.node.adjudicator.products))
    house.hears(settled(visit=""), settled("S2", "2", visit=""))
    assert [why for _, why in house.parked()] == ["RuntimeError: this product cannot be used"]
    assert (house.stage("ZY2"), len(house.payouts("ZY2"))) == ("closed", 1)
    assert (house.stage("ZY2"), len(house.payouts("ZY2"))) == ("closed", 1)
    assert none_waits(house)


def test_papers_and_visits_told_by_many_at_once_all_find_each_other(house):
    numbers = [str(number) for number in range(50, 62)]
    told: list[list[HospitalEvent]] = [
        [message]
        for number in numbers
        for message in (
            summary_bill(number), settled(f"S{number}", number), settlement_cancelled(f"S{number}")
        )
    ]  # fmt: skip
    for number in numbers:
        house.message(admitted(visit=f"ZY{number}"), discharged(visit=f"ZY{number}"))

    def tell(some: list[list[HospitalEvent]]) -> None:
        for (event,) in some:
            visit = f"ZY{event.bill.number[-2:]}" if isinstance(event, BillIssued) else ""
            house.message(msgspec.structs.replace(event, visit=visit), id=f"at once {told.index([event])}")

    threads = [threading.Thread(target=tell, args=(told[start::3],)) for start in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    house.waits(seconds=1)
    assert none_waits(house)
    subjects = [outbox.visit_subject(H, f"ZY{number}") for number in numbers]
    logs = house.asks(lambda tx: outbox.of_subjects(tx, subjects))
    assert [len(log) for log in logs.values()] == [5] * len(numbers)
    house.is_sound()

"""No bill is paid before it is held on the ledger, none by two insurers, and what was paid for can be proved."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from given import CLEAN_STAY, House, admitted, billed, discharged, reversed_bill, settled, summary_bill, yuan
from given import a_bill as bill_of
from ledger.given_ledger import DAY, Consortium
from ledger.ledgers import log_signer
from safeweave import outbox, worker
from safeweave.consortium import tickets
from safeweave.consortium.anchoring import Anchoring
from safeweave.consortium.insuring import InsurerDesk
from safeweave.errors import Conflict, Malformed, NotAllowed, Unavailable
from safeweave.events import BillsPut
from safeweave.ids import person_key
from safeweave.keys import vrf
from safeweave.ledger.audit import LogFile, audit
from safeweave.ledger.bundle import read_bundle, verify_bundle, write_bundle
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final
from safeweave.ledger.operation import items_of, operation_id
from safeweave.ledger.proof import Untrusted
from safeweave.node import open_node
from waiting import PATIENCE

BILL = bill_of()


class Faulty:
    """The ledger behind a line that can be cut."""

    def __init__(self, ledger: EmbeddedLedger) -> None:
        self.ledger, self.is_cut, self.submitted = ledger, False, 0

    def __getattr__(self, name: str) -> Any:
        if self.is_cut:
            raise Unavailable("the ledger does not answer")
        self.submitted += name == "submit"
        return getattr(self.ledger, name)


class Market:
    """A house of an insurer that holds bills on a ledger, and the other members."""

    def __init__(self, house: House, folder: Path, members: Consortium) -> None:
        self.house, self.members, self.file = house, members, folder / "log.sqlite"
        self.log = EmbeddedLedger(self.file, log_signer(), house.time)
        self.ledger = Faulty(self.log)
        self.says(*members.beginning())
        house.node.close()
        self.desk: InsurerDesk
        house.node = open_node(house.node.settings, house.time, self._desk)

    def _desk(self, adjudicator: Any) -> InsurerDesk:
        self.desk = InsurerDesk(self.ledger, lambda: self.members.insurer.ring, adjudicator.reimburses)  # type: ignore[arg-type]
        return self.desk

    def says(self, *signed: Any) -> list[Any]:
        self.log.submit(signed)
        outcomes = [self.log.outcome(operation_id(one.operation), PATIENCE) for one in signed]
        assert all(isinstance(outcome, Final) for outcome in outcomes), outcomes
        return outcomes

    def sheet(self, *bills: Any, holder: Any = None, part: int = 1) -> tickets.Sheet:
        hospital = self.members.hospital
        numbers = [(bill.code, bill.number) for bill in bills or [BILL]]
        expires = int(self.house.time().timestamp()) + 90 * DAY
        return tickets.issued(
            hospital.id, hospital.period, numbers, (holder or self.members.insurer).id, expires, [part] * len(numbers)
        )

    def receives(self, sheet: tickets.Sheet) -> None:
        """The sheet as it comes out of a sealed envelope."""
        read = tickets.read_sheet(tickets.write_sheet(sheet))
        issuer = self.log.member(self.members.hospital.id)
        assert issuer is not None
        tickets.check_numbers(read, issuer)
        with self.house.node.database.transaction() as tx:
            worker.tell(tx, self.desk.take_sheet(tx, read, self.house.time()), self.house.time())
        self.house.works()

    def keeps(self, sheet: tickets.Sheet) -> None:
        """The sheet as it is kept by a transaction that saw nobody wait for it."""
        with self.house.node.database.transaction() as tx:
            tickets.keep(tx, sheet, self.house.time())

    def anchors(self) -> None:
        """Put down what waits to be anchored."""
        self.house.time.pass_(5)
        assert Anchoring(self.house.node.database, self.log, lambda: self.members.insurer.ring, self.house.time).work()

    def state(self, sheet: tickets.Sheet) -> str:
        ticket = sheet.ticket
        return self.log.nullifier(ticket.issuer, ticket.nullifiers[0], ticket.parts[0]).state

    def operations(self) -> list[tuple[str, str]]:
        """The kind and state of each operation on the ledger."""
        return self.house.asks(lambda tx: tx.rows("select kind, state from bill_operation order by kind, state"))

    def holds(self) -> tuple[str, ...]:
        return self.house.decided()[-1].holds

    @contextmanager
    def cut(self) -> Iterator[None]:
        self.ledger.is_cut = True
        yield
        self.ledger.is_cut = False


@pytest.fixture
def members() -> Consortium:
    return Consortium()


@pytest.fixture
def market(house: House, tmp_path: Path, members: Consortium) -> Iterator[Market]:
    found = Market(house, tmp_path, members)
    yield found
    found.log.close()


# ---------------------------------------------------------------- the usual way


def test_a_bill_is_held_before_it_is_decided_and_settled_once_it_is_paid(market):
    sheet = market.sheet()
    market.receives(sheet)
    market.house.hears(*CLEAN_STAY)
    assert (market.house.stage(), market.house.payouts()) == ("closed", [("paid", yuan("450.00"))])
    assert market.state(sheet) == "SETTLED"
    market.house.is_sound()


def test_a_bill_without_its_ticket_waits_and_is_paid_when_the_ticket_comes(market):
    market.house.hears(*CLEAN_STAY)
    assert (market.house.stage(), market.house.payouts()) == ("verified", [])
    market.receives(market.sheet())
    assert (market.house.stage(), market.house.payouts()) == ("closed", [("paid", yuan("450.00"))])
    market.house.waits(days=2)  # the wait that was set up then finds nothing to do
    assert len(market.house.decided()) == 1


def test_a_person_looks_at_a_bill_whose_ticket_has_not_come_within_a_day(market):
    market.house.hears(*CLEAN_STAY)
    market.house.waits(days=1.1)
    assert market.house.stage() == "referred"
    assert market.holds() == ("bill_without_ticket",)
    assert market.house.payouts() == []


@pytest.mark.parametrize(("seconds", "is_paid"), [(9, False), (11, True)])
def test_a_ticket_that_came_at_the_moment_its_bill_began_to_wait_is_found_soon(market, seconds, is_paid):
    market.house.hears(*CLEAN_STAY)
    market.keeps(market.sheet())
    market.house.waits(seconds=seconds)
    assert market.house.stage() == ("closed" if is_paid else "verified")


def test_a_bill_whose_ticket_lies_there_after_a_day_is_paid_and_goes_to_nobody(market):
    market.house.hears(*CLEAN_STAY)
    market.house.waits(days=0.5)
    market.keeps(market.sheet())
    market.house.waits(days=0.6)
    assert (market.house.stage(), market.house.payouts()) == ("closed", [("paid", yuan("450.00"))])


def test_what_pays_nothing_by_the_bill_takes_no_number(house, tmp_path, members):
    market = Market(house, tmp_path, members)
    market.desk.reimburses = lambda products: False
    before = market.ledger.submitted
    house.hears(*CLEAN_STAY)
    assert house.stage() == "closed"
    assert market.ledger.submitted == before
    market.log.close()


# ---------------------------------------------------------------- claimed elsewhere


def test_a_bill_that_another_insurer_holds_goes_to_a_person_with_that_reason(market):
    rival = market.members.other_insurer
    market.says(rival.reserves(market.sheet(holder=rival).ticket))
    market.receives(market.sheet())
    market.house.hears(*CLEAN_STAY)
    assert (market.house.stage(), market.house.payouts()) == ("referred", [])
    assert market.holds() == ("claimed_elsewhere",)
    roots = market.log.roots()
    log = LogFile(market.file)
    noted = audit(log, roots).noted
    log.close()
    assert [(finding.what, finding.by) for finding in noted] == [("claimed_twice", market.members.insurer.id)]


def test_a_rest_is_paid_on_a_split_slip_after_the_other_insurer_settled_its_part(market):
    rival = market.members.other_insurer
    theirs = market.sheet(holder=rival)
    market.says(rival.reserves(theirs.ticket))
    market.says(rival.settles(*items_of(theirs.ticket), split=True))
    ours = market.sheet(part=2)
    market.receives(ours)
    market.house.hears(*CLEAN_STAY)
    assert market.house.stage() == "closed"
    assert market.state(ours) == "SETTLED"


def test_what_a_person_refuses_is_released_for_others(market):
    sheet = market.sheet()
    market.receives(sheet)
    market.house.hears(admitted(icd="K80.999x999x"), discharged(icd="??"), billed())
    assert (market.house.stage(), market.state(sheet)) == ("referred", "RESERVED")
    market.house.decides(refuse=True, note="免责")
    assert (market.house.stage(), market.state(sheet)) == ("refused", "FREE")


# ---------------------------------------------------------------- silence, time and corrections


def test_while_the_ledger_is_silent_nothing_is_decided_and_afterwards_it_is_paid_once(market):
    sheet = market.sheet()
    market.receives(sheet)
    with market.cut():
        market.house.hears(*CLEAN_STAY)
        market.house.waits(seconds=3600)
        assert (market.house.stage(), market.house.payouts()) == ("verified", [])
        with market.house.node.database.reading() as tx:
            assert "ledger" in outbox.circuits(tx)
    market.house.waits(seconds=600)
    assert (market.house.stage(), market.house.payouts()) == ("closed", [("paid", yuan("450.00"))])
    assert market.state(sheet) == "SETTLED"


def test_an_answer_that_was_lost_is_asked_for_again_and_reserves_nothing_twice(market, monkeypatch):
    market.receives(market.sheet())
    submit = EmbeddedLedger.submit
    lost = []

    def answers_not(self: EmbeddedLedger, signed: Any) -> Any:
        submit(self, signed)
        if not lost:
            lost.append(signed)
            raise Unavailable("reset after it was sent")
        return submit(self, signed)

    monkeypatch.setattr(EmbeddedLedger, "submit", answers_not)
    market.house.hears(*CLEAN_STAY)
    market.house.waits(seconds=60)
    assert (market.house.stage(), market.house.payouts()) == ("closed", [("paid", yuan("450.00"))])
    kinds = [event.kind for event in market.log.events(-1, 100)]
    assert (kinds.count("reserve"), kinds.count("settle")) == (1, 1)


def test_what_a_person_decides_about_for_long_stays_held(market):
    sheet = market.sheet()
    market.receives(sheet)
    market.house.hears(admitted(icd="K80.999x999x"), discharged(icd="??"), billed())
    for _ in range(4):
        market.house.waits(days=14)
    rival = market.members.other_insurer
    (outcome,) = market.says(rival.reserves(market.sheet(holder=rival).ticket))
    assert [each.result for each in outcome.receipt.results] == ["HELD"]
    assert len(market.house.decided()) == 1  # holding it longer decides nothing again


def test_what_a_person_refused_while_its_hold_waited_to_be_renewed_is_free_for_others(market):
    sheet = market.sheet()
    market.receives(sheet)
    market.house.hears(admitted(icd="K80.999x999x"), discharged(icd="??"), billed())
    with market.cut():
        market.house.waits(days=25.5)
        assert market.operations() == [("reserve", "final"), ("reserve", "open")]
        market.house.decides(refuse=True, note="免责")
        assert market.operations() == [("release", "open"), ("reserve", "final"), ("reserve", "over")]
    market.house.waits(seconds=600)
    assert (market.house.stage(), market.state(sheet)) == ("refused", "FREE")
    market.house.waits(days=26)
    rival = market.members.other_insurer
    (outcome,) = market.says(rival.reserves(market.sheet(holder=rival).ticket))
    assert [each.result for each in outcome.receipt.results] == ["RESERVED"]


def test_no_hold_is_renewed_while_another_transaction_works_on_its_case(market):
    market.receives(market.sheet())
    market.house.hears(admitted(icd="K80.999x999x"), discharged(icd="??"), billed())
    later = market.house.time() + timedelta(days=26)
    database, case = market.house.node.database, market.house.case().id

    def renewed():
        with database.transaction(beside=True) as tx:
            return market.desk.renew(tx, later)

    with ThreadPoolExecutor(1) as beside:
        with database.transaction(beside=True) as tx:
            assert tx.hold({person_key(case)})
            assert beside.submit(renewed).result() == []
        assert [type(event) for event in beside.submit(renewed).result()] == [BillsPut]
        assert beside.submit(renewed).result() == []


def test_a_corrected_bill_is_held_as_well_and_the_one_that_was_paid_is_not_asked_for_again(market):
    market.receives(market.sheet())
    market.house.hears(*CLEAN_STAY)
    second = bill_of("2", "200.00")
    market.receives(market.sheet(second))
    market.house.hears(summary_bill("2", "200.00"))
    market.house.hears(settled("S2", "2", "200.00", "50.00", when="2026-03-06T16:00"))
    assert market.house.stage() == "closed"
    assert [amount for _, amount in market.house.payouts()] == [yuan("450.00"), yuan("135.00")]
    reserved = [event for event in market.log.events(-1, 100) if event.kind == "reserve"]
    assert [len(event.results) for event in reserved] == [1, 1]


def test_a_bill_reversed_before_it_was_paid_is_never_held_again(market):
    sheet = market.sheet()
    market.receives(sheet)
    market.house.hears(admitted(icd="K80.999x999x"), discharged(icd="??"), billed())
    market.house.hears(reversed_bill())
    market.says(market.members.hospital.voids(sheet.ticket.nullifiers[0]))
    assert market.state(sheet) == "VOID"
    assert market.house.payouts() == []


# ---------------------------------------------------------------- proof


def test_a_paid_claim_is_proved_off_line_by_its_bundle(market):
    sheet = market.sheet()
    market.receives(sheet)
    market.house.hears(*CLEAN_STAY)
    case = market.house.case().id
    with pytest.raises(Conflict):
        market.house.asks(lambda tx: market.desk.bundle(tx, case))
    market.anchors()
    raw = write_bundle(market.house.asks(lambda tx: market.desk.bundle(tx, case)))
    verified = verify_bundle(read_bundle(raw), market.log.roots())
    assert [operation.kind for operation in verified.operations] == ["reserve", "settle", "anchor"]
    assert [proof.nullifier for proof in verified.nullifiers] == [sheet.bills[0].nullifier]
    claim, determination = [opening.document for opening in verified.openings]
    assert claim == {"case": case}
    assert (determination["case"], determination["decision"], determination["payable_fen"]) == (case, "pay", 45000)
    assert determination["paid_fen"] == {BILL.key: 45000}
    assert [digest for digest, _ in verified.documents] == [verified.openings[1].commitment]


def test_a_determination_that_was_changed_afterwards_is_not_believed(market):
    market.receives(market.sheet())
    market.house.hears(*CLEAN_STAY)
    market.anchors()
    case = market.house.case().id
    bundle = market.house.asks(lambda tx: market.desk.bundle(tx, case))
    claim, determination = bundle.openings
    changed = replace(determination, document=determination.document | {"payable_fen": 45001})
    with pytest.raises(Untrusted, match="determination"):
        verify_bundle(replace(bundle, openings=(claim, changed)), market.log.roots())
    with pytest.raises(Untrusted, match="nor under their anchors"):
        verify_bundle(replace(bundle, documents=()), market.log.roots())


def test_a_number_that_is_not_the_bill_s_is_not_believed(market):
    sheet = market.sheet()
    issuer = market.log.member(market.members.hospital.id)
    assert issuer is not None
    proof = vrf.prove(market.members.other_hospital.period.vrf, b"another")
    for forged in (
        replace(sheet, bills=(replace(sheet.bills[0], number="999"),)),
        replace(sheet, bills=(replace(sheet.bills[0], proof=proof),)),
    ):
        with pytest.raises(NotAllowed):
            tickets.check_numbers(forged, issuer)
    with pytest.raises(Malformed):
        tickets.read_sheet(tickets.write_sheet(replace(sheet, bills=())))
    with pytest.raises(Malformed):
        tickets.read_sheet(b"\xff{")

"""A whole insurer node on a clock of its own, and what hospitals tell it: builders for tests that follow a case.

The facts that matter stand in the test; the rest is 测试甲, insured under hospital-expense-2020 since 2025, who was in
示例市第一医院 from 3 to 6 March 2026.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from payments.given_payments import RunningBank
from people.given_people import SAMPLE_FEMALE, SAMPLE_MALE
from safeweave import payments, worker
from safeweave.adjudication import store as determinations
from safeweave.adjudication.store import Decided
from safeweave.cases import clocks, store
from safeweave.cases.case import Case
from safeweave.cases.store import HospitalRow
from safeweave.commands.inbox import hear_waiting_again
from safeweave.coverage.importer import import_file
from safeweave.database import Transaction
from safeweave.events import (
    AdmissionCancelled,
    AdmissionReported,
    BillIssued,
    BillReversed,
    Charge,
    ChargesPosted,
    Diagnosis,
    DischargeCancelled,
    HospitalEvent,
    Identifier,
    LeaveBegan,
    LeaveEnded,
    OutpatientVisited,
    PatientDischarged,
    PersonSeen,
    SettlementCancelled,
    SettlementReported,
    VisitUpdated,
)
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits, Reading, Sender
from safeweave.exchange.inbound import Arrived, Receipt
from safeweave.facts import Bill, BillRef, Line
from safeweave.money import Fen, fen_of
from safeweave.node import Node, open_node
from safeweave.payments import store as payouts
from safeweave.settings import Settings
from stores import place

VISIT = "ZY20260301"
HOSPITAL = "H33020000001"
SENDER = Sender(id=HOSPITAL, hospital=HOSPITAL, hl7_facility="H001")
TOKEN = "a-token-of-the-first-hospital"
PATIENT = PersonSeen((Identifier("resident_id", SAMPLE_FEMALE),), "测试甲", date(1949, 12, 31), "F")
NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)  # a Tuesday noon in Shanghai, after everything was told


def at(text: str) -> datetime:
    """The instant of a Shanghai clock text such as "2026-03-03T08:40"; a day alone is its noon."""
    return datetime.fromisoformat(f"{text if 'T' in text else text + 'T12:00'}+08:00").astimezone(UTC)


def day(text: str) -> date:
    return date.fromisoformat(text)


def yuan(text: str) -> Fen:
    return fen_of(text)


# ---------------------------------------------------------------- what a hospital tells

ADMITTED, DISCHARGED, BILLED = "2026-03-03T08:40", "2026-03-06T15:05", "2026-03-06T15:20"


def told(kind: type[HospitalEvent], when: str, **facts: Any) -> Any:
    """An event of the stay at that Shanghai time."""
    return kind(**{"occurred_at": at(when), "visit": VISIT, **facts})


def admitted(when: str = ADMITTED, icd: str = "K80.100", **facts: Any) -> AdmissionReported:
    known = {"person": PATIENT, "admitted_at": at(when), "diagnoses": (Diagnosis(icd, "", "A", True),)}
    return told(AdmissionReported, when, **{**known, **facts})


def visited(when: str = ADMITTED, icd: str = "K80.100", **facts: Any) -> OutpatientVisited:
    known = {"person": PATIENT, "visited_at": at(when), "diagnoses": (Diagnosis(icd, "", "F", True),)}
    return told(OutpatientVisited, when, **{**known, **facts})


def discharged(when: str = DISCHARGED, disposition: str = "1", icd: str = "K80.100", **facts: Any) -> PatientDischarged:
    known = {"discharged_at": at(when), "disposition": disposition, "diagnoses": (Diagnosis(icd, "", "F", True),)}
    return told(PatientDischarged, when, **{**known, **facts})


def updated(when: str, **facts: Any) -> VisitUpdated:
    return told(VisitUpdated, when, **facts)


def left(when: str) -> LeaveBegan:
    return told(LeaveBegan, when)


def came_back(when: str) -> LeaveEnded:
    return told(LeaveEnded, when)


def charged(when: str, *charges: tuple[str, str]) -> ChargesPosted:
    """Charges as (id, yuan)."""
    posted = tuple(Charge(id, at(when).date(), yuan(amount)) for id, amount in charges)
    return told(ChargesPosted, when, charges=posted)


def admission_cancelled(when: str, **facts: Any) -> AdmissionCancelled:
    return told(AdmissionCancelled, when, **facts)


def discharge_cancelled(when: str, **facts: Any) -> DischargeCancelled:
    return told(DischargeCancelled, when, **facts)


def lines_of(total: str, first: str = "2026-03-04") -> tuple[Line, ...]:
    """One treatment of class 甲 over the whole amount."""
    return (Line(1, "05", "甲", yuan(total), on=day(first)),)


def a_bill(number: str = "1", total: str = "1000.00", fund: str | None = "400.00", **facts: Any) -> Bill:
    """A bill that 医保 has settled: with the 400.00 it paid, hospital-expense-2020 pays (1000 - 400 - 100) x 90 %."""
    split: dict[str, Any] = {"social": "none"}
    if fund is not None:
        cash = Fen(yuan(total) - yuan(fund))
        split = {"social": "settled", "fund": yuan(fund), "other": Fen(0), "account": Fen(0), "cash": cash}
    known = {
        "code": "33060226",
        "number": number.rjust(10, "0"),
        "kind": "inpatient",
        "on": day("2026-03-06"),
        "total": yuan(total),
        "lines": lines_of(total),
        **split,
    }
    return Bill(**{**known, **facts})  # type: ignore[arg-type]


def billed(bill: Bill | None = None, when: str = BILLED, itemised: bool = True, **facts: Any) -> BillIssued:
    return told(BillIssued, when, bill=bill or a_bill(), itemised=itemised, **facts)


def ref(number: str = "1") -> BillRef:
    return BillRef("33060226", number.rjust(10, "0"))


def reversed_bill(number: str = "1", when: str = "2026-03-09T09:12", **facts: Any) -> BillReversed:
    return told(BillReversed, when, bill=ref(number), **facts)


def settled(
    settlement: str = "S1", bill: str | None = "1", total: str = "1000.00", fund: str = "400.00",
    when: str = "2026-03-06T15:15", **facts: Any,
) -> SettlementReported:  # fmt: skip
    known = {
        "settlement": settlement,
        "bill": ref(bill) if bill else None,
        "total": yuan(total),
        "fund": yuan(fund),
        "other": Fen(0),
        "account": Fen(0),
        "cash": Fen(yuan(total) - yuan(fund)),
        "lines": lines_of(total),
    }
    return told(SettlementReported, when, **{**known, **facts})


def settlement_cancelled(settlement: str = "S1", when: str = "2026-03-07", **facts: Any) -> SettlementCancelled:
    return told(SettlementCancelled, when, settlement=settlement, **facts)


def summary_bill(number: str = "1", total: str = "1000.00") -> BillIssued:
    """A bill as the e-bill tells it without a line list: sums of charge classes, who paid not yet known."""
    summary = (Line(1, "05", "", yuan(total)),)
    return billed(a_bill(number, total, None, social=None, lines=summary), itemised=False)


CLEAN_STAY: tuple[HospitalEvent, ...] = (admitted(), discharged(), billed())


# ---------------------------------------------------------------- the insurer


@dataclass
class Time:
    """The one clock of a test, moved by hand."""

    at: datetime = NOON

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class House:
    """An insurer node with what a test asks of it."""

    node: Node
    time: Time
    folder: Path
    bank: RunningBank
    told: int = 0
    _people: dict[str, str] = field(default_factory=dict)

    # ---- what is told

    def hears(self, *events: HospitalEvent, sender: Sender = SENDER, apart: bool = True) -> None:
        """Each event comes in a message of its own (`apart`) and everything that follows is done."""
        for group in [[event] for event in events] if apart else [list(events)]:
            self.time.pass_(1)
            self.message(*group, sender=sender)
        self.works()

    def message(self, *events: HospitalEvent, sender: Sender = SENDER, id: str = "", **facts: Any) -> Receipt:
        """One message with these events, taken as a door takes it."""
        self.told += 1
        known = {"sent_at": max((e.told_at or e.occurred_at for e in events), default=self.time()), "sequence": None}
        reading = Reading("fhir", id or f"message-{self.told}", kind="test", events=events, **{**known, **facts})
        raw = msgspec.json.encode([reading.control_id, *events])
        return self.takes(Arrived(raw, sender, reading))

    def takes(self, arrived: Arrived) -> Receipt:
        def write(tx: Transaction) -> Any:
            (receipt,), follow = inbound.take(tx, [arrived], self.time())
            return receipt, follow, self.time()

        return self.node.worker.accept(write)

    def reads(self, raw: bytes, sender: Sender = SENDER, limits: Limits | None = None) -> Receipt:
        """The receipt of a real message."""
        return self.takes(inbound.open_message(raw, sender, limits or self.node.limits))

    def works(self) -> None:
        """Do everything that is due, the bank's calls included."""
        self.node.worker.drain()

    def waits(self, *, days: float = 0, seconds: float = 0) -> None:
        """Let time pass, and do what has become due."""
        self.time.at += timedelta(days=days, seconds=seconds)
        self.node.read_notices()
        self.works()

    def restarts(self) -> None:
        """The process ends and another one opens the same home."""
        settings = self.node.settings
        self.node.close()
        self.node = open_node(settings, self.time)

    def insures(
        self, number: str = "P-1", product: str = "hospital-expense-2020", name: str = "测试甲",
        document: str = SAMPLE_FEMALE, first: str = "2026-01-01", last: str = "2026-12-31", since: str = "2025-01-01",
        enrolled: str = "yes", again: bool = True, phone: str = "", **insured: Any,
    ) -> None:  # fmt: skip
        """Import a policy, and look again at what waited for one."""
        account = {"role": "insured", "name": name, "account": "6222020000000000018", "bank_code": "102332000018"}
        period = {"kind": "period", "first_day": first, "last_day": last, "since": since}
        row = {
            "number": number,
            "product": product,
            "bank": "main",
            "insureds": [
                {
                    "person": {
                        "name": name,
                        "documents": [{"kind": "resident_id", "number": document}],
                        "phone": phone,
                    },
                    "relation": "self",
                    "enrolled": enrolled,
                    "payees": [account],
                    **insured,
                }
            ],
            "changes": [period],
        }
        file = self.folder / f"{number}.jsonl"
        file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
        report = import_file(self.node.database, file, self.time())
        assert not report.faults, report.faults
        if again:
            hear_waiting_again(self.node)
            self.works()

    # ---- what came of it

    def asks(self, question: Callable[[Transaction], Any]) -> Any:
        with self.node.database.reading() as tx:
            return question(tx)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self.asks(lambda tx: tx.rows(sql, values))

    def cases(self) -> list[Case]:
        return self.asks(lambda tx: store.cases_in(tx))

    def case(self, visit: str = VISIT) -> Case:
        found = self.asks(lambda tx: store.case_of_visit(tx, visit))
        assert found is not None, self.rows("select * from visit")
        return found

    def stage(self, visit: str = VISIT) -> str:
        return self.case(visit).stage

    def history(self, visit: str = VISIT) -> list[str]:
        case = self.case(visit).id
        return [happening for _, happening, _, _ in self.asks(lambda tx: store.history(tx, case))]

    def decided(self, visit: str = VISIT) -> list[Decided]:
        case = self.case(visit).id
        return self.asks(lambda tx: determinations.of_cases(tx, [case]))

    def in_force(self, visit: str = VISIT) -> list[Decided]:
        case = self.case(visit).id
        return self.asks(lambda tx: determinations.in_force_of(tx, case))

    def payouts(self, visit: str = VISIT) -> list[tuple[str, Fen]]:
        """The (state, fen) of every payout of a case, oldest first."""
        case = self.case(visit).id
        return [(p.state, p.amount) for p in self.asks(lambda tx: payouts.payouts_of(tx, [case]))]

    def recoveries(self, visit: str = VISIT) -> list[Fen]:
        case = self.case(visit).id
        return [r.amount for r in self.asks(lambda tx: payouts.recoveries_of(tx, [case]))]

    def reasons(self) -> list[tuple[str, ...]]:
        return [decided.result.refer for decided in self.decided() if decided.decision != "pay"]

    def waiting(self) -> list[tuple[str, str | None]]:
        return [(row.visit, row.waiting) for row in self.asks(store.waiting_visits)]

    def parked(self) -> list[tuple[Any, ...]]:
        return self.rows("select kind, parked from task where parked is not null")

    def clocks(self) -> list[tuple[str, str]]:
        """The (kind, due day) of each running clock that people see."""
        return [(row.kind, row.due_on.isoformat()) for row in self.asks(lambda tx: clocks.running(tx))]

    def usage(self, number: str = "P-1") -> dict[tuple[str, str], int]:
        """What a policy has used, by (kind, id)."""
        return {
            (kind, id): amount
            for kind, id, amount in self.rows(
                "select u.kind, u.id, sum(u.amount) from usage_addition u join policy p on p.id = u.policy"
                " where p.number = ? group by 1, 2 having sum(u.amount) <> 0", number,
            )
        }  # fmt: skip

    def decides(self, refuse: bool = False, by: str = "李核赔", note: str = "看过病历", visit: str = VISIT) -> None:
        """A person decides what waits."""
        case = self.case(visit).id
        with self.node.database.transaction() as tx:
            told = self.node.adjudicator.decide_by_person(tx, case, by, note, refuse, self.time())
            worker.tell(tx, told, self.time())
        self.works()

    def is_sound(self) -> None:
        """Nothing is parked and the books balance."""
        assert self.parked() == []
        assert self.asks(payments.trial_balance_fen) == 0


def a_house(folder: Path, bank: RunningBank, insured: bool = True, **settings: Any) -> House:
    """A node over a fresh home, on the clock of the bank, with the first hospital and its sender registered."""
    clock: Any = bank.time
    clock.at = NOON
    bank.open(folder / "bank.db")
    home = folder / "home"
    where = place(home / "safeweave.db")
    address = where if isinstance(where, str) else ""
    if address:
        os.environ["SAFEWEAVE_DATABASE"] = address  # for commands that the test runs
    node = open_node(Settings(home=home, database=address, bank_url=bank.url, **settings), clock)
    with node.database.transaction() as tx:
        store.save_hospitals(tx, [HospitalRow(HOSPITAL, "示例市第一医院", "First Hospital", 3, True, "330200")])
        senders.save(tx, [(SENDER, TOKEN)])
    house = House(node, clock, folder, bank)
    if insured:
        house.insures()
    return house


def orders(events: Sequence[HospitalEvent]) -> list[list[HospitalEvent]]:
    """Some telling orders of arrival: as it happened, backwards, and each event last once."""
    found = [list(events), list(reversed(events))]
    for late in events:
        found.append([*(event for event in events if event is not late), late])
    return found


OTHER_PERSON = PersonSeen((Identifier("resident_id", SAMPLE_MALE),), "测试乙", date(1980, 1, 1), "M")

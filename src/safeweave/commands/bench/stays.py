"""The invented stays that the bench measures with, as hospitals send them: one insured person, one ten-line bill each.

Nothing here is random: stay number n is the same in every run of a day.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from safeweave.cases import store
from safeweave.cases.store import HospitalRow
from safeweave.clock import SHANGHAI, shanghai_day
from safeweave.coverage.importer import import_file
from safeweave.errors import InvariantBroken
from safeweave.exchange import senders
from safeweave.exchange.formats import Sender
from safeweave.node import Node
from safeweave.people.identity import citizen_check_character

PRODUCT = "hospital-expense-2020"
HOSPITAL = "H33020000001"
SENDER = Sender(id=HOSPITAL, hospital=HOSPITAL, hl7_facility=HOSPITAL)
TOKEN = "bench"
BANK = "book"  # settles by book entry, so that payouts run to their end without an outside bank

_SW = "https://safeweave.example/fhir/"
_encode = msgspec.json.Encoder(decimal_format="number").encode


class LineGiven(NamedTuple):
    """One bill line; `own`, `over` and `first` are what 医保 leaves to the patient before it shares the rest."""

    category: str
    catalogue_class: str
    amount: str
    own: str = "0.00"
    over: str = "0.00"
    first: str = "0.00"

    @property
    def within(self) -> Decimal:
        """The part that 医保 shares."""
        return Decimal(self.amount) - Decimal(self.own) - Decimal(self.over) - Decimal(self.first)


LINES = (
    LineGiven("06", "甲", "3200.00"),
    LineGiven("01", "甲", "180.00", over="30.00"),
    LineGiven("03", "乙", "400.00", first="40.00"),
    LineGiven("04", "甲", "520.00"),
    LineGiven("05", "甲", "1100.00"),
    LineGiven("07", "甲", "100.00"),
    LineGiven("08", "丙", "900.00", own="900.00"),
    LineGiven("09", "乙", "1200.00", first="120.00"),
    LineGiven("10", "乙", "300.55", first="30.05"),
    LineGiven("04", "甲", "259.45"),
)
TOTAL = sum((Decimal(line.amount) for line in LINES), Decimal(0))
FUND = Decimal("5200.37")
ACCOUNT = Decimal("500.00")
CASH = TOTAL - FUND - ACCOUNT
DEDUCTIBLE = Decimal("100.00")  # of the product, clause 1.4
RATIO = Decimal("0.90")  # of the product for bills 医保 has settled, clause 1.6
LARGE = 5  # times as high a bill pays 13,138.33: above what the machine may pay by itself, clause A1


@dataclass(frozen=True)
class Stays:
    """Stays that ended six days before `today`, numbered from 0; bills so many `times` as high as usual."""

    today: date
    times: int = 1

    def register(self, node: Node, folder: Path, numbers: range) -> None:
        """Hospital, sender, and a policy for the insured person of each of these stays, through the importer."""
        with node.database.transaction() as tx:
            store.save_hospitals(tx, [HospitalRow(HOSPITAL, "示例市第一医院", "First Hospital", 3, True, "330200")])
            senders.save(tx, [(SENDER, TOKEN)])
        file = folder / "bench-policies.jsonl"
        rows = (json.dumps(self._policy(number), ensure_ascii=False) for number in numbers)
        file.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        report = import_file(node.database, file, node.clock(), products={PRODUCT})
        if report.added != len(numbers):
            raise InvariantBroken(f"of {len(numbers)} policies {report.added} were imported: {report.faults[:1]}")

    def admission(self, number: int, counted: bool = True) -> bytes:
        """ADT^A01 of a stay; who sends over several connections does not count its messages (MSH-13)."""
        return self._hl7(number, "A01", str(2 * number + 1) if counted else "")

    def discharge(self, number: int, counted: bool = True) -> bytes:
        """ADT^A03 of a stay."""
        return self._hl7(number, "A03", str(2 * number + 2) if counted else "")

    def bill(self, number: int) -> bytes:
        """The FHIR bundle with the settled bill of a stay, line by line."""
        return self._bundle(number, "B", [_patient(number), self._claim(number)])

    def whole(self, number: int) -> bytes:
        """One FHIR bundle that tells the whole stay: patient, condition, encounter and settled bill."""
        condition = {
            "resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"},
            "code": {"coding": [{"system": f"{_SW}icd-10-nhsa", "code": "J18.900", "display": "肺炎"}]},
        }  # fmt: skip
        encounter = {
            "resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "IMP"},
            "identifier": [{"system": "urn:oid:2.16.156.10011.1.12", "value": self.visit(number)}],
            "subject": {"reference": "Patient/p"},
            "period": {"start": self._admitted_at().isoformat(), "end": self._discharged_at().isoformat()},
            "diagnosis": [{"condition": {"reference": "Condition/c"}, "use": {"coding": [{"code": "DD"}]}, "rank": 1}],
            "hospitalization": {"dischargeDisposition": {"coding": [{"system": f"{_SW}dscg-way", "code": "1"}]}},
        }  # fmt: skip
        return self._bundle(number, "W", [_patient(number), condition, encounter, self._claim(number)])

    def visit(self, number: int) -> str:
        """The hospital's number of a stay."""
        return f"ZY{self.today:%Y%m%d}{number:06d}"

    # ------------------------------------------------------------ the parts

    def _admitted_at(self) -> datetime:
        return datetime.combine(self.today - timedelta(days=9), time(8, 40), SHANGHAI)

    def _discharged_at(self) -> datetime:
        return datetime.combine(self.today - timedelta(days=6), time(15, 5), SHANGHAI)

    def _policy(self, number: int) -> dict[str, Any]:
        person = {
            "name": name_of(number), "documents": [{"kind": "resident_id", "number": document_of(number)}],
            "phone": f"139{number:08d}", "email": f"insured{number}@example.com",
        }  # fmt: skip
        account = f"62220200{number:011d}"
        payee = {"role": "insured", "name": name_of(number), "account": account, "bank_code": "102332000018"}
        first, last = self.today - timedelta(days=250), self.today + timedelta(days=100)
        return {
            "number": f"BENCH-{number:06d}", "product": PRODUCT, "bank": BANK,
            "insureds": [{"person": person, "relation": "self", "enrolled": "yes", "payees": [payee]}],
            "changes": [{"kind": "period", "first_day": first.isoformat(), "last_day": last.isoformat()}],
        }  # fmt: skip

    def _hl7(self, number: int, trigger: str, sequence: str) -> bytes:
        ended = trigger == "A03"
        at = self._discharged_at() if ended else self._admitted_at()
        visit = ["PV1", "1", "I", f"W05^301^02^{HOSPITAL}", *[""] * 15, f"{self.visit(number)}^^^{HOSPITAL}^VN"]
        visit += [*[""] * 16, "1" if ended else "", *[""] * 7, _hl7_time(self._admitted_at())]
        visit += [_hl7_time(at)] if ended else []
        segments = (
            rf"MSH|^~\&|HIS|{HOSPITAL}|CLAIMS|INS01|{_hl7_time(at)}||ADT^{trigger}^ADT_{trigger}|{trigger}-{number}|P|2.5.1"
            f"|{sequence}||AL|NE|CHN|UNICODE UTF-8",
            f"EVN||{_hl7_time(at)}|||OP01|{_hl7_time(at)}",
            f"PID|1||B{number:07d}^^^{HOSPITAL}^MR~{document_of(number)}^^^CN-MPS^NI||{name_of(number)}||{birth_of(number):%Y%m%d}|F",
            "|".join(visit),
            f"DG1|1||J18.900^肺炎^I10-NHSA||{at:%Y%m%d}|{'F' if ended else 'A'}||||||||||1",
        )
        return "\r".join((*segments, "")).encode()

    def _claim(self, number: int) -> dict[str, Any]:
        times = self.times
        split = {"fund": FUND * times, "other": Decimal("0.00"), "account": ACCOUNT * times, "cash": CASH * times}
        settlement = [
            {"url": "id", "valueString": f"S{number:012d}"}, {"url": "medicalVisit", "valueString": f"M{number:012d}"},
            {"url": "social", "valueCode": "settled"}, *_money_parts(split),
        ]  # fmt: skip
        return {
            "resourceType": "Claim", "id": "cl", "status": "active", "use": "claim",
            "type": {"coding": [{"code": "institutional"}]}, "patient": {"reference": "Patient/p"},
            "extension": [{"url": f"{_SW}settlement", "extension": settlement}],
            "identifier": [{"system": f"{_SW}bill", "value": f"33060226-{number:010d}"}],
            "created": (self._discharged_at() + timedelta(minutes=15)).isoformat(),
            "billablePeriod": {"start": f"{self._admitted_at():%Y-%m-%d}", "end": f"{self._discharged_at():%Y-%m-%d}"},
            "total": _yuan(TOTAL * times),
            "item": [self._item(number, no, line) for no, line in enumerate(LINES, 1)],
        }  # fmt: skip

    def _item(self, number: int, no: int, line: LineGiven) -> dict[str, Any]:
        times = self.times
        parts = {name: Decimal(getattr(line, name)) * times for name in ("own", "over", "first")}
        return {
            "sequence": no, "encounter": [{"identifier": {"value": self.visit(number)}}],
            "category": {"coding": [{"system": f"{_SW}charge-category", "code": line.category}]},
            "productOrService": {"coding": [{"code": f"ITEM{no:05d}"}], "text": f"收费项目{no}"},
            "servicedDate": f"{self._admitted_at():%Y-%m-%d}", "quantity": {"value": 3 if line.category == "01" else 1},
            "net": _yuan(Decimal(line.amount) * times),
            "extension": [
                {"url": f"{_SW}catalogue-class", "valueCode": line.catalogue_class},
                {"url": f"{_SW}split", "extension": _money_parts({**parts, "within": line.within * times})},
            ],
        }  # fmt: skip

    def _bundle(self, number: int, letter: str, resources: list[dict[str, Any]]) -> bytes:
        name = f"{letter}{self.today:%Y%m%d}-{number:06d}"
        return _encode({
            "resourceType": "Bundle", "type": "collection",
            "identifier": {"system": "https://his.example/message", "value": name},
            "timestamp": (self._discharged_at() + timedelta(minutes=16)).isoformat(),
            "entry": [{"resource": resource} for resource in resources],
        })  # fmt: skip


def stays_of(node: Node) -> Stays:
    """The stays of this day."""
    return Stays(shanghai_day(node.clock()))


def name_of(number: int) -> str:
    """The name of the insured person of a stay; of ten the same one."""
    return "测试" + "甲乙丙丁戊己庚辛壬癸"[number % 10]


def birth_of(number: int) -> date:
    """The birthday of the insured person of a stay: of 400 the same one."""
    return date(1960, 1, 1) + timedelta(days=number // 400 % 16_000)


def document_of(number: int) -> str:
    """The person's identity number, of a kind that can be valid; they differ up to number 6,399,999."""
    first17 = f"110105{birth_of(number):%Y%m%d}{2 * (number % 400) + 100:03d}"
    return first17 + citizen_check_character(first17)


def _patient(number: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "id": "p", "name": [{"text": name_of(number)}], "gender": "female",
        "birthDate": birth_of(number).isoformat(), "identifier": [
            {"system": "urn:oid:2.16.156.10011.1.3", "value": document_of(number)},
            {"type": {"coding": [{"code": "MR"}]}, "system": f"{_SW}mr", "value": f"B{number:07d}"},
        ],
    }  # fmt: skip


def _hl7_time(at: datetime) -> str:
    return f"{at:%Y%m%d%H%M%S}+0800"


def _yuan(amount: Decimal) -> dict[str, Any]:
    return {"value": amount, "currency": "CNY"}


def _money_parts(parts: dict[str, Decimal]) -> list[dict[str, Any]]:
    return [{"url": name, "valueMoney": _yuan(amount)} for name, amount in parts.items()]

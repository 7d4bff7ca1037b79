"""The sw:settlement extension of a bill: who paid what, and the 医保 settlement it tells of."""

from datetime import datetime

from safeweave.clock import shanghai_day
from safeweave.errors import Malformed
from safeweave.events import BillIssued, Diagnosis, SettlementReported
from safeweave.exchange.formats.fhir import resources as fhir
from safeweave.exchange.formats.fhir.found import Found, place
from safeweave.facts import Bill, BillKind, BillRef, Line, Social
from safeweave.money import Fen

_AMOUNTS = tuple(
    (name, f"extension.settlement.{name}.valueMoney")
    for name in ("fund", "other", "account", "cash", "selfPay", "selfCost")
)
_TEXTS = ("id", "medicalVisit", "social")


class SettlementPart:
    """Who paid what of a bill, as far as told."""

    def __init__(self, found: Found, told: fhir.Extension | None, path: str) -> None:
        parts = {e.url: e for e in told.extension} if told else {}
        amounts = [
            found.fen(parts[name].valueMoney, path, field) if name in parts else None for name, field in _AMOUNTS
        ]
        self.fund, self.other, self.account, self.cash, self.self_pay, self.self_cost = amounts
        self.id, self.medical_visit, social = (
            (parts[name].valueString or parts[name].valueCode or "").strip() if name in parts else "" for name in _TEXTS
        )
        if social and social not in ("settled", "none"):
            raise Malformed(
                "neither settled nor none; write one of them", field=place(path, "extension.settlement.social")
            )
        self.social: Social | None = social or None  # type: ignore[assignment]
        if self.social is None and self.fund is not None:
            self.social = "settled"

    def bill(
        self,
        key: BillRef,
        kind: BillKind,
        issued_at: datetime,
        total: Fen,
        lines: tuple[Line, ...],
        replaces: BillRef | None,
    ) -> Bill:
        """The bill with these shares of its payers."""
        return Bill(
            code=key.code,
            number=key.number,
            kind=kind,
            on=shanghai_day(issued_at),
            total=total,
            lines=lines,
            social=self.social,
            fund=self.fund,
            other=self.other,
            account=self.account,
            cash=self.cash,
            self_pay=self.self_pay,
            self_cost=self.self_cost,
            replaces=replaces,
        )

    def settlement(self, issued: BillIssued, diagnoses: tuple[Diagnosis, ...]) -> SettlementReported | None:
        """The 医保 settlement, if it has an id and says what each paid."""
        if not self.id or self.fund is None or self.other is None or self.account is None or self.cash is None:
            return None
        return SettlementReported(
            occurred_at=issued.occurred_at,
            visit=issued.visit,
            sender=issued.sender,
            hospital=issued.hospital,
            settlement=self.id,
            bill=BillRef(issued.bill.code, issued.bill.number),
            medical_visit=self.medical_visit,
            total=issued.bill.total,
            fund=self.fund,
            other=self.other,
            account=self.account,
            cash=self.cash,
            self_pay=self.self_pay,
            self_cost=self.self_cost,
            lines=issued.bill.lines if issued.itemised else (),
            diagnoses=diagnoses,
        )

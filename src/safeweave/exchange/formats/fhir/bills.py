"""Claims and Invoices as the bills they are, with the 医保 settlement they carry."""

from datetime import date, datetime
from typing import Literal

from safeweave.clock import shanghai_day
from safeweave.errors import Malformed
from safeweave.events import BillIssued, BillReversed, Diagnosis, HospitalEvent, VisitUpdated
from safeweave.exchange.formats.fhir import resources as fhir
from safeweave.exchange.formats.fhir.encounters import Encounters
from safeweave.exchange.formats.fhir.found import Found, by_url, code_of, diagnosis_of, first_code, place
from safeweave.exchange.formats.fhir.lines import check_numbers, line_of
from safeweave.exchange.formats.fhir.persons import hospital_of, person_of
from safeweave.exchange.formats.fhir.profile import (
    BILL,
    BILL_KIND,
    ENCOUNTER,
    INPATIENT,
    NEVER_WAS,
    REPLACES,
    SETTLEMENT,
)
from safeweave.exchange.formats.fhir.settlement import SettlementPart
from safeweave.exchange.formats.values import day_in, diagnoses_for, instant_in
from safeweave.facts import Bill, BillKind, BillRef, Line
from safeweave.money import Fen

_TAKEN_OFF = ("deduction", "discount")


def bills_told(found: Found, encounters: Encounters) -> list[HospitalEvent]:
    """The bills that the message issues or reverses; an Invoice counts only if no Claim carries the same bill."""
    events: list[HospitalEvent] = []
    claimed: set[str] = set()
    read = _bill_of_encounter if found.sender.claims_from_encounters else _claim
    for path, claim in found.all(fhir.Claim):
        told = read(claim, path, found, encounters)
        claimed.update(
            e.bill.key if isinstance(e.bill, Bill) else str(e.bill)
            for e in told
            if isinstance(e, BillIssued | BillReversed)
        )
        events += told
    for path, invoice in found.all(fhir.Invoice):
        events += _invoice(invoice, path, found, encounters, claimed)
    return events


# ---------------------------------------------------------------- claims that stand for bills


def _bill_of_encounter(claim: fhir.Claim, path: str, found: Found, encounters: Encounters) -> list[HospitalEvent]:
    kind = first_code(claim.type)
    if claim.use != "claim" or claim.status != "active" or kind != "institutional":
        found.note(f"Claim {kind[:20]} {claim.use[:20]} {claim.status[:20]} is no bill")
        return []
    if not claim.id:
        raise Malformed("missing; the claim's id is the bill number", field=place(path, "id"))
    lines: list[Line] = []
    for index, item in enumerate(claim.item):
        where = place(path, f"item[{index}]")
        amount = found.fen(item.net, where, "net", rounded=True)
        if amount is not None:
            lines.append(line_of(item, amount, where, found))
    check_numbers(lines, path)
    total = Fen(sum(line.amount for line in lines))
    stated = found.fen(claim.total, path, "total", rounded=True)
    if stated is not None and stated != total:
        found.note("Claim.total is not the sum of the priced items; the sum is taken")
    reference = _encounter_of(claim)
    encounter = found.resolve(reference, fhir.Encounter)
    created_at = _created(claim, path)
    return [
        BillIssued(
            occurred_at=created_at,
            visit=encounters.visit_of(reference),
            sender=found.sender.id,
            hospital=hospital_of(found, claim.provider),
            bill=Bill(
                code="SYNTHEA",
                number=claim.id,
                kind=_kind_of(claim, encounter),
                on=shanghai_day(created_at),
                total=total,
                lines=tuple(lines),
                social="none",
            ),
            itemised=all(line.catalogue_class for line in lines),
            person=person_of(found, claim.patient, place(path, "patient")),
            first_day=_billable(claim, path, "start"),
            last_day=_billable(claim, path, "end"),
        )
    ]


# ---------------------------------------------------------------- claims


def _claim(claim: fhir.Claim, path: str, found: Found, encounters: Encounters) -> list[HospitalEvent]:
    if claim.use not in ("claim", "preauthorization", "predetermination"):
        raise Malformed("no Claim use of R4; write claim", field=place(path, "use"))
    if claim.status not in ("active", "cancelled", "draft", "entered-in-error"):
        raise Malformed("no Claim status of R4; write active", field=place(path, "status"))
    if claim.use != "claim" or claim.status == "draft":
        found.note(f"Claim {claim.use} {claim.status} is no bill")
        return []
    key = _key(claim.identifier, path)
    reference = _encounter_of(claim)
    encounter = found.resolve(reference, fhir.Encounter)
    visit = encounters.visit_of(reference)
    hospital = hospital_of(found, claim.provider)
    created_at = _created(claim, path)
    if claim.status in NEVER_WAS:
        at = found.sent_at or created_at
        return [BillReversed(occurred_at=at, visit=visit, sender=found.sender.id, hospital=hospital, bill=key)]

    lines: list[Line] = []
    for index, item in enumerate(claim.item):
        where = place(path, f"item[{index}]")
        amount = found.fen(item.net, where, "net")
        if amount is None:
            raise Malformed("missing; send the amount of every item", field=f"{where}.net.value")
        lines.append(line_of(item, amount, where, found))
    check_numbers(lines, path)
    stated = found.fen(claim.total, path, "total")
    total = Fen(sum(line.amount for line in lines)) if stated is None else stated
    paid = SettlementPart(found, by_url(claim.extension).get(SETTLEMENT), path)
    issued = BillIssued(
        occurred_at=created_at,
        visit=visit,
        sender=found.sender.id,
        hospital=hospital,
        bill=paid.bill(key, _kind_of(claim, encounter), created_at, total, tuple(lines), _replaced_by(claim, found)),
        itemised=bool(lines) and all(line.catalogue_class for line in lines),
        person=person_of(found, claim.patient, place(path, "patient")),
        first_day=_billable(claim, path, "start"),
        last_day=_billable(claim, path, "end"),
    )
    told = _diagnoses(claim, found)
    diagnoses = diagnoses_for(told, found.sender, found.notes) if told else ()
    settled = paid.settlement(issued, diagnoses)
    events: list[HospitalEvent] = [issued]
    if settled is not None:
        events.append(settled)
    elif diagnoses and encounter is None and visit:
        events.append(
            VisitUpdated(
                occurred_at=created_at, visit=visit, sender=found.sender.id, hospital=hospital, diagnoses=diagnoses
            )
        )
    return events


def _encounter_of(claim: fhir.Claim) -> fhir.Reference | None:
    return next((item.encounter[0] for item in claim.item if item.encounter), None)


def _replaced_by(claim: fhir.Claim, found: Found) -> BillRef | None:
    for related in claim.related:
        if "prior" not in (related.relationship.codes() if related.relationship else ()) or related.claim is None:
            continue
        if related.claim.identifier is not None and (ref := _bill_ref(related.claim.identifier)):
            return ref
        prior = found.resolve(related.claim, fhir.Claim)
        for identifier in prior.identifier if prior else ():
            if identifier.system == BILL and (ref := _bill_ref(identifier)):
                return ref
        found.note("a prior claim is not named by its bill key")
    return None


def _created(claim: fhir.Claim, path: str) -> datetime:
    if not claim.created:
        raise Malformed("missing; send when the bill was issued", field=place(path, "created"))
    return instant_in(claim.created, place(path, "created"))


def _billable(claim: fhir.Claim, path: str, end: Literal["start", "end"]) -> date | None:
    if claim.billablePeriod is None:
        return None
    text = claim.billablePeriod.start if end == "start" else claim.billablePeriod.end
    return day_in(text, place(path, f"billablePeriod.{end}")) if text else None


def _kind_of(claim: fhir.Claim, encounter: fhir.Encounter | None) -> BillKind:
    told = code_of(by_url(claim.extension).get(BILL_KIND))
    if told in ("inpatient", "outpatient"):
        return told  # type: ignore[return-value]
    known = _kind_by_class(encounter)
    return known or ("inpatient" if first_code(claim.type) == "institutional" else "outpatient")


def _diagnoses(claim: fhir.Claim, found: Found) -> list[Diagnosis]:
    listed = []
    for told in sorted(claim.diagnosis, key=lambda d: d.sequence):
        condition = found.resolve(told.diagnosisReference, fhir.Condition)
        concept = told.diagnosisCodeableConcept or (condition.code if condition else None)
        principal = any("principal" in kind.codes() for kind in told.type)
        diagnosis = diagnosis_of(concept, "F", principal, found)
        if diagnosis is not None:
            listed.append(diagnosis)
    return listed


# ---------------------------------------------------------------- invoices


def _invoice(
    invoice: fhir.Invoice, path: str, found: Found, encounters: Encounters, claimed: set[str]
) -> list[HospitalEvent]:
    if invoice.status not in ("draft", "issued", "balanced", *NEVER_WAS):
        raise Malformed("no Invoice status of R4; write issued", field=place(path, "status"))
    if found.sender.claims_from_encounters or invoice.status == "draft":
        found.note(f"Invoice {invoice.status} is no bill")
        return []
    key = _key(invoice.identifier, path)
    if str(key) in claimed:
        return []
    if not invoice.date:
        raise Malformed("missing; send when the bill was issued", field=place(path, "date"))
    issued_at = instant_in(invoice.date, place(path, "date"))
    extensions = by_url(invoice.extension)
    told = extensions.get(ENCOUNTER)
    items = [(found.resolve(line.chargeItemReference, fhir.ChargeItem), line) for line in invoice.lineItem]
    contexts = [told.valueReference if told else None, *(item.context for item, _ in items if item)]
    reference = next((r for r in contexts if r is not None), None)
    visit = encounters.visit_of(reference)
    hospital = hospital_of(found, invoice.issuer)
    if invoice.status in NEVER_WAS:
        at = found.sent_at or issued_at
        return [BillReversed(occurred_at=at, visit=visit, sender=found.sender.id, hospital=hospital, bill=key)]

    lines: list[Line] = []
    for index, (charge_item, line) in enumerate(items):
        where = place(path, f"lineItem[{index}]")
        item = fhir.Item(
            sequence=line.sequence or index + 1,
            extension=line.extension + (charge_item.extension if charge_item else []),
            productOrService=line.chargeItemCodeableConcept or (charge_item.code if charge_item else None),
            servicedDate=charge_item.occurrenceDateTime if charge_item else "",
            quantity=charge_item.quantity if charge_item else None,
        )
        lines.append(line_of(item, _price(line, where, found), where, found))
    check_numbers(lines, path)
    total = found.fen(invoice.totalGross, path, "totalGross")
    total = found.fen(invoice.totalNet, path, "totalNet") if total is None else total
    if total is None:
        total = Fen(sum(line.amount for line in lines))
    replaces = extensions.get(REPLACES)
    replaced = _bill_ref(replaces.valueIdentifier) if replaces and replaces.valueIdentifier else None
    paid = SettlementPart(found, extensions.get(SETTLEMENT), path)
    encounter = found.resolve(reference, fhir.Encounter)
    kind = code_of(extensions.get(BILL_KIND)) or _kind_by_class(encounter) or "outpatient"
    issued = BillIssued(
        occurred_at=issued_at,
        visit=visit,
        sender=found.sender.id,
        hospital=hospital,
        bill=paid.bill(
            key, "inpatient" if kind == "inpatient" else "outpatient", issued_at, total, tuple(lines), replaced
        ),
        itemised=bool(lines) and all(line.catalogue_class for line in lines),
        person=person_of(found, invoice.subject, place(path, "subject")) if invoice.subject else None,
    )
    settled = paid.settlement(issued, ())
    return [issued] if settled is None else [issued, settled]


def _price(line: fhir.InvoiceLine, path: str, found: Found) -> Fen:
    amounts = []
    for index, component in enumerate(line.priceComponent):
        amount = found.fen(component.amount, path, f"priceComponent[{index}].amount")
        if amount is not None and component.type != "informational":
            amounts.append(-abs(amount) if component.type in _TAKEN_OFF else amount)
    if not amounts:
        raise Malformed("no amount; send a priceComponent of type base", field=f"{path}.priceComponent")
    return Fen(sum(amounts))


# ---------------------------------------------------------------- what both have


def _key(identifiers: list[fhir.Identifier], path: str) -> BillRef:
    for index, identifier in enumerate(identifiers):
        if identifier.system == BILL:
            found = _bill_ref(identifier)
            if found is None:
                raise Malformed(
                    "no bill key; write code-number, such as 33060226-0012345678",
                    field=place(path, f"identifier[{index}].value"),
                )
            return found
    raise Malformed(f"no bill key; send an identifier of system {BILL}", field=place(path, "identifier"))


def _bill_ref(identifier: fhir.Identifier) -> BillRef | None:
    code, dash, number = identifier.value.strip().partition("-")
    return BillRef(code, number) if identifier.system == BILL and code and dash and number else None


def _kind_by_class(encounter: fhir.Encounter | None) -> BillKind | None:
    if encounter is None or encounter.class_ is None or not encounter.class_.code:
        return None
    return "inpatient" if encounter.class_.code in INPATIENT else "outpatient"

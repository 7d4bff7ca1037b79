"""Fiscal medical e-bills (医疗收费电子票据) and tax e-invoices in XML.

The reader resolves no entity, loads no DTD and opens no connection. What is read stands in docs/reference/wire.md §3;
the element names are those of the fiscal e-receipt standard, the filling rules those of 医疗收费票据填列规则.
"""

from datetime import date, datetime
from decimal import Decimal

from lxml import etree

from safeweave.errors import Malformed
from safeweave.events import BillIssued, BillReversed, HospitalEvent, Identifier, PersonSeen
from safeweave.exchange.formats.reading import Limits, Reading, Sender
from safeweave.exchange.formats.values import (
    BED,
    CLASSES,
    category_of,
    check_currency,
    day_in,
    decimal_in,
    fen_in_text,
    instant_in,
    note,
    noted,
    whole_in,
)
from safeweave.facts import Bill, BillKind, BillRef, Line, Sex, Social
from safeweave.money import Fen

_SEXES: dict[str, Sex] = {"男": "M", "女": "F"}
_DAY_UNITS = ("日", "天", "床日")
_WITHOUT_SOCIAL = ("自费", "全自费", "非医保", "无", "自费病人", "普通自费")
_KNOWN_EXTRAS = frozenset(
    [
        "OrgType",
        "Gender",
        "Age",
        "PatientNumber",
        "MedicalDate",
        "CaseNumber",
        "HospitalizationNumber",
        "DepartmentName",
        "InHospitalDate",
        "OutHospitalDate",
        "PrepayAmount",
        "RechargeAmount",
        "RefundAmount",
        "MedicalInsuranceType",
        "MedicalInsuranceID",
        "FundPayAmount",
        "OtherPayAmount",
        "AccountPayAmount",
        "OwnPayAmount",
        "SelfpaymentAmount",
        "SelfpaymentCost",
        "RelatedInvoiceCode",
        "RelatedInvoiceNumber",
        "PayCode",
        "MedicalType",
        "BusinessNumber",
        "BusinessDate",
    ]
)


class _Node:
    """An element with its path for people; names are compared without namespaces."""

    def __init__(self, element: etree._Element, path: str) -> None:
        self.element, self.path = element, path

    @property
    def line(self) -> int:
        line = self.element.sourceline
        return line if isinstance(line, int) else 0

    def children(self) -> list["_Node"]:
        return [_Node(e, f"{self.path}/{_local(e)}") for e in self.element if isinstance(e.tag, str)]

    def child(self, name: str) -> "_Node | None":
        found = [e for e in self.element if isinstance(e.tag, str) and _local(e) == name]
        if not found:
            return None
        path = f"{self.path}/{name}"
        if len(found) > 1:
            raise Malformed(f"{len(found)} elements; send one", field=path, line=_Node(found[1], path).line)
        return _Node(found[0], path)

    def need(self, name: str) -> "_Node":
        found = self.child(name)
        if found is None:
            raise Malformed(f"{self.path} has no {name}; send it", field=f"{self.path}/{name}", line=self.line)
        return found

    def text(self, name: str) -> str:
        """The child's text without outer blanks; "" if it is absent or empty."""
        found = self.child(name)
        if found is None:
            return ""
        if len(found.element):
            raise Malformed("elements where a value belongs; send the value", field=found.path, line=found.line)
        return (found.element.text or "").strip()

    def required(self, name: str) -> str:
        text = self.text(name)
        if not text:
            raise self.fault(name, "missing; send it")
        return text

    def fault(self, name: str, what: str) -> Malformed:
        return Malformed(what, field=f"{self.path}/{name}", line=self.line_of(name))

    def line_of(self, name: str) -> int:
        found = self.child(name)
        return found.line if found else self.line

    def fen(self, name: str) -> Fen | None:
        text = self.text(name)
        return fen_in_text(text, f"{self.path}/{name}", self.line_of(name)) if text else None

    def fen_needed(self, name: str) -> Fen:
        return fen_in_text(self.required(name), f"{self.path}/{name}", self.line_of(name))

    def day(self, name: str) -> date | None:
        text = self.text(name)
        return day_in(text, f"{self.path}/{name}", self.line_of(name)) if text else None

    def quantity(self, name: str) -> Decimal | None:
        text = self.text(name)
        return decimal_in(text, f"{self.path}/{name}", self.line_of(name)) if text else None


_NOTHING = etree.Element("Nothing")


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def read(raw: bytes, sender: Sender, limits: Limits) -> Reading:
    """One e-bill, red e-bill or tax e-invoice; Malformed names the element and its line."""
    root = _root(raw)
    if _local(root.element) == "Bundle" or "hl7.org/fhir" in (etree.QName(root.element).namespace or ""):
        raise Malformed("FHIR in XML is not read; send it as JSON", line=1, field=_local(root.element))
    if _local(root.element) != "EInvoice":
        raise Malformed(
            f"the root is {_local(root.element)[:40]}, not EInvoice; send one e-bill", line=root.line, field="EInvoice"
        )
    header = root.child("Header") or _Node(_NOTHING, "Header")
    header.path = "Header"
    data = root.need("EInvoiceData")
    data.path = "EInvoiceData"
    main = data.child("Main")
    if main is None and (data.child("BasicInformation") is not None or root.child("TaxSupervisionInfo") is not None):
        return _tax_invoice(root, header, data, sender, limits)
    if main is None:
        raise Malformed("EInvoiceData has no Main; send the bill", field="Main", line=data.line)
    main.path = "Main"
    return _bill(header, data, main, sender, limits)


def _root(raw: bytes) -> _Node:
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        element = etree.fromstring(raw.strip(b" \t\r\n"), parser)
    except etree.XMLSyntaxError as wrong:
        # The parser's own words may quote the document, so only the place is told.
        raise Malformed("not well-formed XML; send the original file", line=wrong.lineno or 1) from None
    except (ValueError, LookupError):
        raise Malformed("not readable as XML in its declared encoding; send the original file", line=1) from None
    if element.getroottree().docinfo.internalDTD is not None:
        raise Malformed("a document type declaration; send the bill without it", line=1, field="DOCTYPE")
    return _Node(element, "EInvoice")


# ---------------------------------------------------------------- fiscal bills


def _bill(header: _Node, data: _Node, main: _Node, sender: Sender, limits: Limits) -> Reading:
    notes: dict[str, int] = {}
    tax = header.text("EInvoiceTag").startswith("SWEI")
    extra = main.child("MainExt") or _Node(_NOTHING, "MainExt")
    extra.path = "MainExt"
    code = main.text("EInvoiceCode") or ("SWEI" if tax else main.required("EInvoiceCode"))
    number = main.required("EInvoiceNumber")
    total = main.fen_needed("TotalAmount")
    check_currency(main.text("CurrencyType"), sender, "Main/CurrencyType", main.line_of("CurrencyType"))
    issued_at = _issued_at(main)
    kind = _kind(main, extra, code)
    visit = extra.text("HospitalizationNumber" if kind == "inpatient" else "PatientNumber")
    related = _related(extra)
    for node in extra.children():
        if _local(node.element) not in _KNOWN_EXTRAS:
            note(notes, f"MainExt/{_local(node.element)[:40]} kept, not read")
    issuer = _issuer(main, sender)

    event: HospitalEvent
    if total < 0:
        if related is None:
            raise extra.fault("RelatedInvoiceNumber", "a negative total is a red bill; name the bill it reverses")
        event = BillReversed(
            occurred_at=issued_at,
            visit=visit,
            sender=sender.id,
            hospital=issuer,
            bill=related,
            red_bill=BillRef(code, number),
        )
    else:
        lines, itemised = _lines(data, sender, limits, notes)
        fund, other, account, cash = (
            extra.fen(name) for name in ("FundPayAmount", "OtherPayAmount", "AccountPayAmount", "OwnPayAmount")
        )
        event = BillIssued(
            occurred_at=issued_at,
            visit=visit,
            sender=sender.id,
            hospital=issuer,
            bill=Bill(
                code=code,
                number=number,
                kind=kind,
                on=day_in(main.required("IssueDate"), "Main/IssueDate", main.line_of("IssueDate")),
                total=total,
                lines=lines,
                social=None if tax else _social(extra, fund, other, account, cash),
                fund=fund,
                other=other,
                account=account,
                cash=cash,
                self_pay=extra.fen("SelfpaymentAmount"),
                self_cost=extra.fen("SelfpaymentCost"),
                replaces=related,
            ),
            itemised=itemised,
            person=_person(main, extra),
            first_day=extra.day("InHospitalDate") or extra.day("MedicalDate"),
            last_day=extra.day("OutHospitalDate"),
        )
    return Reading(
        format="ebill",
        control_id=header.text("EInvoiceID") or f"{code}-{number}",
        sent_at=issued_at,
        sequence=None,
        kind="red e-bill" if total < 0 else "tax e-invoice" if tax else "e-bill",
        events=(event,),
        notes=noted(notes),
    )


def _issued_at(main: _Node) -> datetime:
    day = day_in(main.required("IssueDate"), "Main/IssueDate", main.line_of("IssueDate"))
    time = main.text("IssueTime") or "00:00:00"
    text = time if len(time) > 8 and time[:4].isdigit() else f"{day.isoformat()}T{time}"
    return instant_in(text, "Main/IssueTime", main.line_of("IssueTime"))


def _issuer(main: _Node, sender: Sender) -> str:
    party = main.child("InvoicingParty")
    code = party.text("InvoicingPartyCode") if party else ""
    return code if not sender.hospital else ""


def _kind(main: _Node, extra: _Node, code: str) -> BillKind:
    if extra.text("HospitalizationNumber") or extra.text("InHospitalDate") or "住院" in main.text("EInvoiceName"):
        return "inpatient"
    # 票据代码: area(2) class(2) kind(2) year(2); kind 02 is the inpatient bill.
    return "inpatient" if len(code) == 8 and code[4:6] == "02" and not extra.text("PatientNumber") else "outpatient"


def _related(extra: _Node) -> BillRef | None:
    code, number = extra.text("RelatedInvoiceCode"), extra.text("RelatedInvoiceNumber")
    if bool(code) != bool(number):
        missing = "RelatedInvoiceNumber" if code else "RelatedInvoiceCode"
        raise extra.fault(missing, "missing; a related bill has code and number")
    return BillRef(code, number) if code else None


def _social(extra: _Node, fund: Fen | None, other: Fen | None, account: Fen | None, cash: Fen | None) -> Social | None:
    if fund is None or other is None or account is None or cash is None:
        return None
    if fund or other:
        return "settled"
    kind = extra.text("MedicalInsuranceType")
    if kind:
        return "none" if kind in _WITHOUT_SOCIAL else "settled"
    return "settled" if extra.text("MedicalInsuranceID") else "none"


def _person(main: _Node, extra: _Node) -> PersonSeen:
    party = main.child("PayerParty") or _Node(_NOTHING, "PayerParty")
    party.path = "Main/PayerParty"
    code = party.text("PayerPartyCode")
    identifiers = []
    if code and "*" not in code and len(code) == 18:
        identifiers.append(Identifier("resident_id", code))
    elif code and "*" not in code:
        identifiers.append(Identifier("other", code, "PayerPartyCode"))
    if extra.text("CaseNumber"):
        identifiers.append(Identifier("mr", extra.text("CaseNumber")))
    return PersonSeen(tuple(identifiers), party.text("PayerPartyName"), None, _SEXES.get(extra.text("Gender")))


def _lines(data: _Node, sender: Sender, limits: Limits, notes: dict[str, int]) -> tuple[tuple[Line, ...], bool]:
    """The line list if every line of it has a class, else one summary line per charge class."""
    listed, summary = _items(data, "AuxDetails", limits), _items(data, "Details", limits)
    lines = tuple(_listed_line(number, node, sender, notes) for number, node in enumerate(listed, 1))
    if lines and all(line.catalogue_class for line in lines):
        return lines, True
    if lines and not summary:
        return lines, False
    if lines:
        note(notes, "line list without catalogue classes; its summary is read", 1)
    return tuple(_summary_line(number, node, sender, notes) for number, node in enumerate(summary, 1)), False


def _items(data: _Node, name: str, limits: Limits) -> list[_Node]:
    holder = data.child(name)
    nodes = holder.children() if holder else []
    if len(nodes) > limits.max_entries:
        raise Malformed(f"{len(nodes)} lines, {limits.max_entries} are allowed; send several bills", field=name)
    for number, node in enumerate(nodes, 1):
        node.path = f"{name}/{_local(node.element)}[{number}]"
    return nodes


def _listed_line(number: int, node: _Node, sender: Sender, notes: dict[str, int]) -> Line:
    remark = node.text("AuxItemRemark").lstrip("(（[【 ")
    told = "丙" if remark.startswith("自费") else remark[:1] if remark[:1] in CLASSES else ""
    category = category_of(node.text("AuxItemRelatedCode"), node.text("AuxItemRelatedName"), sender, notes)
    return Line(
        no=number,
        category=category,
        catalogue_class=told or sender.class_default or "",
        amount=node.fen_needed("AuxItemAmount"),
        code=node.text("AuxItemCode") or None,
        days=_bed_days(node, "Aux", category),
        name=node.text("AuxItemName"),
    )


def _summary_line(number: int, node: _Node, sender: Sender, notes: dict[str, int]) -> Line:
    category = category_of(node.text("ItemCode"), node.text("ItemName"), sender, notes)
    return Line(
        no=number,
        category=category,
        catalogue_class="",
        amount=node.fen_needed("ItemAmount"),
        days=_bed_days(node, "", category),
        name=node.text("ItemName"),
    )


def _bed_days(node: _Node, prefix: str, category: str) -> int | None:
    quantity = node.quantity(f"{prefix}ItemQuantity")
    if quantity is None or category != BED or node.text(f"{prefix}ItemUnit") not in _DAY_UNITS:
        return None
    return whole_in(quantity)


# ---------------------------------------------------------------- tax e-invoices in the national layout


def _tax_invoice(root: _Node, header: _Node, data: _Node, sender: Sender, limits: Limits) -> Reading:
    notes: dict[str, int] = {}
    basic = data.need("BasicInformation")
    basic.path = "BasicInformation"
    supervision = root.child("TaxSupervisionInfo") or _Node(_NOTHING, "TaxSupervisionInfo")
    supervision.path = "TaxSupervisionInfo"
    number = supervision.text("InvoiceNumber") or header.text("EIid")
    if not number:
        raise supervision.fault("InvoiceNumber", "missing; send the invoice number")
    total = basic.fen_needed("TotalTax-includedAmount")
    when, where = supervision.text("IssueTime"), "TaxSupervisionInfo/IssueTime"
    if not when:
        when, where = basic.required("RequestTime"), "BasicInformation/RequestTime"
    issued_at = instant_in(when, where, supervision.line)
    items = [node for node in data.children() if _local(node.element) == "IssuItemInformation"]
    if len(items) > limits.max_entries:
        raise Malformed(f"{len(items)} lines, {limits.max_entries} are allowed", field="IssuItemInformation")
    lines = []
    for index, node in enumerate(items, 1):
        node.path = f"IssuItemInformation[{index}]"
        name = node.text("ItemName")
        included = node.fen("TotaltaxIncludedAmount")
        amount = included if included is not None else Fen(node.fen_needed("Amount") + (node.fen("ComTaxAm") or 0))
        category = category_of("", name.rsplit("*", 1)[-1], sender, notes)
        lines.append(Line(no=index, category=category, catalogue_class="", amount=amount, name=name))
    related = _related_tax_invoice(data)
    event: HospitalEvent
    if total < 0:
        if related is None:
            raise basic.fault(
                "TotalTax-includedAmount", "a red invoice; name the invoice it reverses in OriginalInvoiceNumber"
            )
        event = BillReversed(
            occurred_at=issued_at, sender=sender.id, bill=related, red_bill=BillRef("SWEI", number), visit=""
        )
    else:
        buyer = data.child("BuyerInformation")
        bill = Bill(
            code="SWEI",
            number=number,
            kind="outpatient",
            on=day_in(when, where, supervision.line),
            total=total,
            lines=tuple(lines),
        )
        person = PersonSeen(name=buyer.text("BuyerName")) if buyer else None
        event = BillIssued(occurred_at=issued_at, sender=sender.id, bill=bill, itemised=False, person=person, visit="")
    return Reading(
        format="ebill",
        control_id=number,
        sent_at=issued_at,
        sequence=None,
        kind="tax e-invoice",
        events=(event,),
        notes=noted(notes),
    )


def _related_tax_invoice(data: _Node) -> BillRef | None:
    for place in (data, data.child("BasicInformation"), data.child("SpecificInformation")):
        number = place.text("OriginalInvoiceNumber") if place else ""
        if number:
            return BillRef("SWEI", number)
    return None

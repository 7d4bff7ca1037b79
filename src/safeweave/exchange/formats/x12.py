"""X12 interchanges: 837 claims as bills, 835 remittances and everything else noted.

Envelope rules: ASC X12.5 and X12.6 (ISA, GS, ST and their counts), releases 004010 and 005010. What a CLM becomes
stands in docs/reference/wire.md §5.
"""

import hashlib
from datetime import date, datetime

from safeweave.clock import shanghai_day
from safeweave.errors import Malformed
from safeweave.events import BillIssued, Diagnosis, HospitalEvent, Identifier, MessageNoted, PersonSeen, VisitUpdated
from safeweave.exchange.formats.reading import Limits, Reading, Sender
from safeweave.exchange.formats.values import (
    birthday_in,
    day_in,
    diagnoses_for,
    fen_in_text,
    instant_in,
    note,
    noted,
    shown,
)
from safeweave.facts import Bill, BillKind, Line, Sex
from safeweave.money import Fen, yuan_text

_ISA_LENGTH = 106
_ICD_9, _ICD_10 = "ICD-9-CM", "ICD-10-CM"
_DIAGNOSES = {  # HI qualifiers: the code system, and whether it is the main diagnosis
    "BK": (_ICD_9, True),
    "BF": (_ICD_9, False),
    "ABK": (_ICD_10, True),
    "ABF": (_ICD_10, False),
}
_ADMITTING = {"BJ": _ICD_9, "ABJ": _ICD_10}
_SEXES: dict[str, Sex] = {"F": "F", "M": "M"}
_INPATIENT_BILLS = ("11", "12", "18", "21")  # facility code of an institutional claim: hospital, skilled nursing
_INPATIENT_PLACES = ("21", "51", "61")  # place of service of a professional claim
_SERVICE = {"SV1": (1, 2), "SV2": (2, 3), "SV3": (1, 2)}  # where the procedure and the charge stand


class _Segment:
    __slots__ = ("elements", "line")

    def __init__(self, elements: list[str], line: int) -> None:
        self.elements, self.line = elements, line

    @property
    def name(self) -> str:
        return self.elements[0]

    def get(self, number: int) -> str:
        return self.elements[number].strip() if number < len(self.elements) else ""

    def field(self, number: int) -> str:
        return f"{self.name}{number:02d}"

    def fault(self, number: int, what: str) -> Malformed:
        return Malformed(what, field=self.field(number), line=self.line)

    def fen(self, number: int) -> Fen:
        text = self.get(number)
        if not text:
            raise self.fault(number, "missing; send the amount")
        return fen_in_text(text, self.field(number), self.line)

    def day(self, number: int) -> date:
        return day_in(self.get(number), self.field(number), self.line)

    def count(self, number: int) -> int:
        text = self.get(number)
        if not (text.isascii() and text.isdigit() and len(text) <= 10):
            raise self.fault(number, f"{shown(text)} is not a count; send digits")
        return int(text)


class _Set:
    """One transaction set, ST to SE."""

    def __init__(self, header: _Segment) -> None:
        self.header = header
        self.body: list[_Segment] = []
        self.group: _Segment | None = None


class _Interchange:
    def __init__(self, text: str, limits: Limits) -> None:
        if len(text) < _ISA_LENGTH:
            raise Malformed("the ISA segment is cut off; it has 106 characters", field="ISA", line=1)
        self.element, self.component, self.terminator = text[3], text[104], text[105]
        marks = (self.element, self.component, self.terminator)
        if (
            len(set(marks)) < 3
            or any(m.isalnum() or m == " " for m in marks)
            or text[:_ISA_LENGTH].count(self.element) != 16
        ):
            raise Malformed("ISA has not 16 elements of their fixed lengths; send it as X12 says", field="ISA", line=1)
        self.segments = self._split(text, limits)
        self.header = self.segments[0]
        self.sets = self._sets()

    def _split(self, text: str, limits: Limits) -> list[_Segment]:
        pieces = text.split(self.terminator)
        if len(pieces) > limits.max_entries:
            raise Malformed(
                f"{len(pieces)} segments, {limits.max_entries} are allowed; send it in parts", line=1, field="ISA"
            )
        rest = pieces.pop().strip()
        if rest:
            line = text[: text.rfind(rest)].count("\n") + 1
            raise Malformed("the last segment has no terminator; send the whole interchange", line=line, field=rest[:3])
        segments: list[_Segment] = []
        line = 1
        for piece in pieces:
            lead = len(piece) - len(piece.lstrip("\r\n "))
            segment_line = line + piece[:lead].count("\n")
            line += piece.count("\n")
            body = piece.strip("\r\n ") if segments else piece
            if not body:
                continue
            elements = body.split(self.element)
            if not elements[0].isalnum() or len(elements[0]) > 3:
                raise Malformed("no segment name here; check the delimiters", line=segment_line, field="segment")
            if "\0" in body:
                raise Malformed("a NUL character; leave it out", line=segment_line, field=elements[0])
            segments.append(_Segment(elements, segment_line))
        return segments

    def _sets(self) -> list[_Set]:
        """The transaction sets, after every envelope was checked against its trailer."""
        sets: list[_Set] = []
        group: _Segment | None = None
        current: _Set | None = None
        groups = in_group = 0
        closed = False
        for segment in self.segments[1:]:
            name = segment.name
            if closed:
                raise Malformed("something follows IEA; send one interchange at a time", field=name, line=segment.line)
            if name == "GS" and group is None:
                group, in_group = segment, 0
                groups += 1
            elif name == "ST" and group is not None and current is None:
                current = _Set(segment)
                current.group = group
                in_group += 1
            elif name == "SE" and current is not None:
                self._check(segment, 1, len(current.body) + 2, "segments")
                self._same(segment, 2, current.header, 2)
                sets.append(current)
                current = None
            elif name == "GE" and group is not None and current is None:
                self._check(segment, 1, in_group, "transaction sets")
                self._same(segment, 2, group, 6)
                group = None
            elif name == "IEA" and group is None:
                self._check(segment, 1, groups, "groups")
                self._same(segment, 2, self.header, 13)
                closed = True
            elif current is not None and name not in ("ISA", "GS", "ST", "GE", "IEA"):
                current.body.append(segment)
            elif name == "TA1" and group is None:
                continue
            else:
                raise Malformed(f"{name} does not belong here; close what is open first", field=name, line=segment.line)
        if not closed:
            raise Malformed(
                "the interchange is cut off; it ends with SE, GE and IEA", field="IEA", line=self.segments[-1].line
            )
        return sets

    @staticmethod
    def _check(trailer: _Segment, number: int, counted: int, what: str) -> None:
        if trailer.count(number) != counted:
            raise trailer.fault(number, f"says {trailer.count(number)} {what}, there are {counted}; send all of them")

    @staticmethod
    def _same(trailer: _Segment, number: int, header: _Segment, header_number: int) -> None:
        if trailer.get(number) != header.get(header_number):
            raise trailer.fault(number, f"differs from {header.field(header_number)}; send the same control number")


def read(raw: bytes, sender: Sender, limits: Limits) -> Reading:
    """One interchange; Malformed names the element (CLM02) and its line."""
    body = raw.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x0b").rstrip(b"\x1c \t\r\n")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = body[: wrong.start].count(b"\n") + 1
        raise Malformed(
            f"byte {wrong.start} is not UTF-8; send X12 in ASCII or UTF-8", line=line, field="ISA"
        ) from None
    interchange = _Interchange(text, limits)
    header = interchange.header
    notes: dict[str, int] = {}
    sent_at = instant_in(f"20{header.get(9)}T{header.get(10)}", "ISA09", header.line)
    test = header.get(15) == "T" and not sender.test_messages
    if test:
        note(notes, "a test interchange (ISA15 T); not read as real")
    events: list[HospitalEvent] = []
    for transaction in interchange.sets:
        events += _told(interchange, transaction, sent_at, sender, notes, test=test)
    if not events:
        events.append(MessageNoted(occurred_at=sent_at, sender=sender.id, what="X12 without transaction sets"))
    kinds = sorted({transaction.header.get(1) for transaction in interchange.sets})
    return Reading(
        format="x12",
        control_id=f"{header.get(13)}-{hashlib.sha256(raw).hexdigest()[:16]}",
        sent_at=sent_at,
        sequence=None,
        kind="X12 " + ",".join(kinds)[:40],
        events=tuple(events),
        notes=noted(notes),
    )


def _told(
    interchange: _Interchange,
    transaction: _Set,
    sent_at: datetime,
    sender: Sender,
    notes: dict[str, int],
    *,
    test: bool,
) -> list[HospitalEvent]:
    kind = transaction.header.get(1)
    if kind == "837":
        claims = _claims(interchange, transaction, sent_at, sender, notes)
        if not test:
            return [event for told in claims for event in told]
        return [
            MessageNoted(
                occurred_at=bill.occurred_at,
                visit=bill.visit,
                sender=sender.id,
                what=f"837 test claim {bill.visit} total {yuan_text(bill.bill.total)}",
            )
            for told in claims
            for bill in told
            if isinstance(bill, BillIssued)
        ]
    if kind == "835":
        return [_payment(segment, sent_at, sender) for segment in transaction.body if segment.name == "CLP"]
    return [
        MessageNoted(occurred_at=sent_at, sender=sender.id, what=f"X12 {kind[:10]} {transaction.header.get(2)[:20]}")
    ]


def _payment(segment: _Segment, sent_at: datetime, sender: Sender) -> HospitalEvent:
    number, charged, paid = segment.get(1), yuan_text(segment.fen(3)), yuan_text(segment.fen(4))
    what = f"835 payment {number} charged {charged} paid {paid}"
    return MessageNoted(occurred_at=sent_at, visit=number, sender=sender.id, what=what)


# ---------------------------------------------------------------- 837


class _Service:
    def __init__(self, segment: _Segment) -> None:
        self.segment = segment
        self.on: date | None = None
        self.last_on: date | None = None


class _Claim:
    def __init__(self, segment: _Segment, patient: PersonSeen) -> None:
        self.segment, self.patient = segment, patient
        self.services: list[_Service] = []
        self.diagnoses: list[Diagnosis] = []
        self.first_day: date | None = None
        self.last_day: date | None = None


def _claims(
    interchange: _Interchange, transaction: _Set, sent_at: datetime, sender: Sender, notes: dict[str, int]
) -> list[list[HospitalEvent]]:
    begin = next((s for s in transaction.body if s.name == "BHT"), None)
    issued_at = sent_at
    if begin is not None and begin.get(4):
        clock = begin.get(5)[:4]
        issued_at = instant_in(begin.get(4) + (f"T{clock}" if len(clock) == 4 else ""), "BHT04", begin.line)
    on = shanghai_day(issued_at)
    institutional = any(release in _release(transaction) for release in ("X096", "X223"))
    found: list[_Claim] = []
    name: _Segment | None = None
    patient = PersonSeen()
    in_claim = False  # between a CLM and the next HL, names are those of other payers and providers
    currency = ""
    for segment in transaction.body:
        match segment.name:
            case "HL":
                if segment.get(3) in ("22", "23"):
                    patient = PersonSeen()
                name, in_claim = None, False
            case "CUR":
                currency = segment.get(2)
            case "NM1":
                name = None
                if segment.get(1) in ("IL", "QC") and not in_claim:
                    name, patient = segment, _name(segment)
            case "DMG" if name is not None:
                birth = birthday_in(segment.get(2), segment.field(2), segment.line) if segment.get(2) else None
                patient = PersonSeen(patient.identifiers, patient.name, birth, _SEXES.get(segment.get(3)))
            case "CLM":
                if not segment.get(1):
                    raise segment.fault(1, "missing; send the claim's number")
                found.append(_Claim(segment, patient))
                name, in_claim = None, True
            case "HI" if found:
                found[-1].diagnoses += _diagnoses(interchange, segment)
            case "DTP" if found:
                _dates(found[-1], segment)
            case "SV1" | "SV2" | "SV3" if found:
                found[-1].services.append(_Service(segment))
    if currency and currency != sender.currency:
        raise Malformed(f"amounts in {currency[:5]}, this sender's are in {sender.currency}", field="CUR02")
    return [_bill(interchange, claim, issued_at, on, institutional, sender, notes) for claim in found]


def _release(transaction: _Set) -> str:
    return transaction.header.get(3) or (transaction.group.get(8) if transaction.group else "")


def _name(segment: _Segment) -> PersonSeen:
    names = [segment.get(4), segment.get(5), segment.get(3)]
    number = segment.get(9)
    identifiers = (Identifier("other", number, f"X12 NM108 {segment.get(8)[:5]}"),) if number else ()
    return PersonSeen(identifiers, " ".join(part for part in names if part))


def _diagnoses(interchange: _Interchange, segment: _Segment) -> list[Diagnosis]:
    found = []
    for number in range(1, len(segment.elements)):
        parts = segment.get(number).split(interchange.component)
        if len(parts) < 2 or not parts[1]:
            continue
        if parts[0] in _DIAGNOSES:
            system, main = _DIAGNOSES[parts[0]]
            found.append(Diagnosis(parts[1], role="F", main=main, system=system))
        elif parts[0] in _ADMITTING:
            found.append(Diagnosis(parts[1], role="A", system=_ADMITTING[parts[0]]))
    return found


def _dates(claim: _Claim, segment: _Segment) -> None:
    qualifier, form, text = segment.get(1), segment.get(2), segment.get(3)
    if qualifier not in ("434", "435", "096", "472"):
        return
    first, _, last = text.partition("-")
    first_day = day_in(first[:8], segment.field(3), segment.line)
    last_day = day_in(last[:8], segment.field(3), segment.line) if form.startswith("RD") and last else first_day
    if qualifier == "472" and claim.services:
        claim.services[-1].on, claim.services[-1].last_on = first_day, last_day
    elif qualifier in ("434", "472"):
        claim.first_day, claim.last_day = first_day, last_day
    elif qualifier == "435":
        claim.first_day = first_day
    else:
        claim.last_day = first_day


def _bill(
    interchange: _Interchange,
    claim: _Claim,
    issued_at: datetime,
    on: date,
    institutional: bool,
    sender: Sender,
    notes: dict[str, int],
) -> list[HospitalEvent]:
    number = claim.segment.get(1)
    place = claim.segment.get(5).split(interchange.component)[0]
    inside = _INPATIENT_BILLS if institutional else _INPATIENT_PLACES
    kind: BillKind = "inpatient" if place in inside else "outpatient"
    lines = []
    for index, service in enumerate(claim.services, 1):
        procedure, charge = _SERVICE[service.segment.name]
        parts = service.segment.get(procedure).split(interchange.component)
        code = parts[1] if len(parts) > 1 else service.segment.get(1) if institutional else ""
        lines.append(
            Line(
                no=index,
                category=sender.category_default or "",
                catalogue_class=sender.class_default or "",
                amount=service.segment.fen(charge),
                code=code or None,
                on=service.on,
            )
        )
    days = [d for service in claim.services for d in (service.on, service.last_on) if d]
    diagnoses = diagnoses_for(claim.diagnoses, sender, notes) if claim.diagnoses else ()
    bill = BillIssued(
        occurred_at=issued_at,
        visit=number,
        sender=sender.id,
        bill=Bill(code="X12", number=number, kind=kind, on=on, total=claim.segment.fen(2), lines=tuple(lines)),
        itemised=bool(lines) and all(line.catalogue_class and line.category for line in lines),
        person=claim.patient,
        first_day=claim.first_day or min(days, default=None),
        last_day=claim.last_day or max(days, default=None),
    )
    if not diagnoses:
        return [bill]
    return [bill, VisitUpdated(occurred_at=issued_at, visit=number, sender=sender.id, diagnoses=diagnoses)]

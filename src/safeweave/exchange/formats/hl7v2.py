"""HL7 v2 messages, split by hand, and their acknowledgements.

Source: HL7 v2.5.1 chapters 2, 3 and 6; what is read of each segment stands in docs/reference/wire.md §2.
"""

import codecs
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Literal, Protocol

from safeweave.clock import shanghai_day
from safeweave.errors import Malformed
from safeweave.events import (
    AdmissionCancelled,
    AdmissionReported,
    Charge,
    ChargesPosted,
    Diagnosis,
    DischargeCancelled,
    HospitalEvent,
    Identifier,
    LeaveBegan,
    LeaveEnded,
    MessageNoted,
    OutpatientVisited,
    PatientDischarged,
    PersonSeen,
    PersonsMerged,
    VisitUpdated,
)
from safeweave.exchange.formats.reading import Limits, Reading, Sender
from safeweave.exchange.formats.values import (
    DISCHARGES,
    DISPOSITIONS,
    birthday_in,
    category_of,
    check_currency,
    day_in,
    decimal_in,
    diagnoses_for,
    fen_in,
    fen_in_text,
    hl7_instant_in,
    note,
    noted,
    other_hospital,
    shown,
)
from safeweave.facts import Ward
from safeweave.money import Fen

SEGMENT_ORDER, REQUIRED_MISSING, WRONG_TYPE, NOT_IN_TABLE, DUPLICATE, INTERNAL = (
    100,
    101,
    102,
    103,
    205,
    207,
)  # table 0357
_ERROR_NAMES = {
    SEGMENT_ORDER: "Segment sequence error",
    REQUIRED_MISSING: "Required field missing",
    WRONG_TYPE: "Data type error",
    NOT_IN_TABLE: "Table value not found",
    DUPLICATE: "Duplicate key identifier",
    INTERNAL: "Application internal error",
}
_VERSIONS_WITH_OLD_ERR = ("2.1", "2.2", "2.3", "2.3.1", "2.4")

_CHARACTER_SETS = {
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "ASCII": "ascii",
    "8859/1": "latin-1",
    "GB18030": "gb18030",
    "GB 18030": "gb18030",
    "GB 18030-2000": "gb18030",
    "GB 18030-2005": "gb18030",
    "GB 18030-2022": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
}
_ESCAPE_OR_HEX = re.compile(
    r"[FSRTE]|X(?:[0-9A-Fa-f]{2})+|\.br|\.sp[0-9]*|[HN]|[CMZ][^\\]*|\.(?:in|ti|fi|nf|ce|sk)[^\\]*"
)
_SEGMENT_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")

_KIND_BY_TYPE = {  # HL7 table 0203 to kinds of people.identity
    "MR": "mr",
    "NI": "resident_id",
    "NNCHN": "resident_id",
    "PPN": "passport",
    "PRC": "foreign_permanent_resident",
    "BCT": "birth_certificate",
    "BR": "birth_certificate",
    "MI": "military_officer",
}


class Fault(Malformed):
    """A malformed HL7 message; `code` is its error in HL7 table 0357."""

    def __init__(self, what: str, *, field: str, line: int = 0, code: int = WRONG_TYPE) -> None:
        super().__init__(what, field=field, line=line)
        self.code = code


class _Delimiters:
    def __init__(self, field: str, component: str, repetition: str, escape: str, subcomponent: str) -> None:
        self.field, self.component, self.repetition = field, component, repetition
        self.escape, self.subcomponent = escape, subcomponent
        self.plain = {"F": field, "S": component, "R": repetition, "T": subcomponent, "E": escape}

    def text(self, escaped: str) -> str:
        """The text without escapes; an escape that is none stays as it was written."""
        if not self.escape or self.escape not in escaped:
            return escaped
        parts = escaped.split(self.escape)
        out, index = [parts[0]], 1
        while index < len(parts):
            code = parts[index]
            if index + 1 < len(parts) and _ESCAPE_OR_HEX.fullmatch(code):
                out.append(self._meaning(code) + parts[index + 1])
                index += 2
            else:
                out.append(self.escape + code)
                index += 1
        return "".join(out)

    def _meaning(self, code: str) -> str:
        if code in self.plain:
            return self.plain[code]
        if code[0] == "X":
            return bytes.fromhex(code[1:]).decode("utf-8", "replace").replace("\0", "\ufffd")
        return " " if code in (".br", ".sp") else ""


class _Segment:
    """One segment: `raw` fields numbered as in the standard, `line` counted from 1, `nth` of its name from 1."""

    __slots__ = ("cut", "line", "name", "nth", "raw")

    def __init__(self, name: str, raw: list[str], line: int, nth: int, cut: _Delimiters) -> None:
        self.name, self.raw, self.line, self.nth, self.cut = name, raw, line, nth, cut

    def whole(self, number: int) -> str:
        """The field as it came, without outer blanks; "" if absent or explicitly empty."""
        text = self.raw[number].strip() if number < len(self.raw) else ""
        return "" if text == '""' else text

    def repetitions(self, number: int) -> list[str]:
        """The field's repetitions as they came; none if it is empty."""
        text = self.whole(number)
        return text.split(self.cut.repetition) if text else []

    def part(self, repetition: str, component: int, subcomponent: int = 1) -> str:
        parts = repetition.split(self.cut.component, component)
        if component > len(parts):
            return ""
        part = parts[component - 1]
        if part.isalnum():  # neither delimiters nor escapes nor blanks
            return part if subcomponent == 1 else ""
        pieces = part.split(self.cut.subcomponent) if self.cut.subcomponent else [part]
        text = pieces[subcomponent - 1].strip() if subcomponent <= len(pieces) else ""
        if text == '""':
            return ""
        return self.cut.text(text).strip() if self.cut.escape in text else text

    def get(self, number: int, component: int = 1, subcomponent: int = 1) -> str:
        """A component of the field's first repetition."""
        text = self.raw[number] if number < len(self.raw) else ""
        if not text:
            return ""
        if text.isalnum():
            return text if component == subcomponent == 1 else ""
        text = self.whole(number)
        return self.part(text.split(self.cut.repetition, 1)[0], component, subcomponent) if text else ""

    def name_of(self, number: int) -> str:
        """The field's name for people: "PID-3", or "FT1[2]-11" in the second FT1."""
        return f"{self.name}-{number}" if self.nth == 1 else f"{self.name}[{self.nth}]-{number}"

    def fault(self, number: int, what: str, code: int = WRONG_TYPE) -> Fault:
        return Fault(what, field=self.name_of(number), line=self.line, code=code)


class _Message:
    def __init__(self, segments: list[_Segment], sender: Sender) -> None:
        self.segments, self.sender = segments, sender
        self.notes: dict[str, int] = {}
        self._by_name: dict[str, list[_Segment]] = {}
        for segment in segments:
            self._by_name.setdefault(segment.name, []).append(segment)
        self.header = segments[0]
        self.patient = self.first("PID")
        self.visit_segment = self.first("PV1")
        self.code = self.header.get(9, 1).upper()
        self.trigger = self.header.get(9, 2).upper()

    def first(self, name: str) -> _Segment | None:
        found = self._by_name.get(name)
        return found[0] if found else None

    def all(self, name: str) -> list[_Segment]:
        return self._by_name.get(name, [])

    def need(self, name: str) -> _Segment:
        found = self.first(name)
        if found is None:
            what = f"{self.code}^{self.trigger} has no {name} segment; send it"
            raise Fault(what, field=name, line=self.segments[-1].line, code=SEGMENT_ORDER)
        return found

    def instant(self, segment: _Segment | None, number: int) -> datetime | None:
        if segment is None or not (text := segment.get(number)):
            return None
        try:
            return hl7_instant_in(text, "")
        except Malformed as wrong:
            raise Malformed(wrong.what, field=segment.name_of(number), line=segment.line) from None

    @property
    def occurred_at(self) -> datetime:
        """EVN-6, else EVN-2, else MSH-7."""
        event = self.first("EVN")
        at = self.instant(event, 6) or self.instant(event, 2) or self.instant(self.header, 7)
        if at is None:
            raise self.header.fault(7, "no time in EVN-6, EVN-2 or MSH-7; send when it happened", REQUIRED_MISSING)
        return at

    @property
    def visit(self) -> str:
        """PV1-19, else the account of PID-18, else ""."""
        return (self.visit_segment.get(19) if self.visit_segment else "") or (
            self.patient.get(18) if self.patient else ""
        )

    @property
    def visit_needed(self) -> str:
        found = self.visit
        if not found:
            segment = self.need("PV1")
            raise segment.fault(19, "no visit number here nor in PID-18; send the number of the stay", REQUIRED_MISSING)
        return found

    @property
    def class_(self) -> str:
        return self.visit_segment.get(2).upper() if self.visit_segment else ""

    @property
    def emergency(self) -> bool:
        return self.class_ == "E" or (self.visit_segment is not None and self.visit_segment.get(4).upper() == "E")

    @property
    def hospital(self) -> str:
        return other_hospital(self.header.get(4), self.sender)

    @property
    def ward(self) -> Ward:
        if self.visit_segment is None:
            return "ordinary"
        for place in (self.visit_segment.get(3).upper(), self.visit_segment.get(10).upper()):
            if place.startswith("ICU") or "重症" in place:
                return "icu"
            if place.startswith("VIP") or "特需" in place:
                return "vip"
            if place.startswith("INT") or "国际" in place:
                return "international"
        return "ordinary"

    def accident_on(self, begun_at: datetime) -> date | None:
        accident = self.first("ACC")
        if accident is not None and accident.get(1):
            return day_in(accident.get(1), accident.name_of(1), accident.line)
        if self.visit_segment is not None and self.visit_segment.get(4).upper() == "A":
            return shanghai_day(begun_at)
        return None

    def diagnoses(self) -> tuple[Diagnosis, ...]:
        found: list[Diagnosis] = []
        for segment in self.all("DG1"):
            code = segment.get(3)
            if not code:
                if segment.whole(4):
                    note(self.notes, "diagnoses without a code")
                continue
            role = segment.get(6).upper()
            found.append(
                Diagnosis(
                    code=code,
                    name=segment.get(3, 2) or segment.get(4),
                    role=role if role in ("A", "W", "F") else "",  # type: ignore[arg-type]
                    main=segment.get(15) == "1" and not any(d.main for d in found),
                    system=segment.get(3, 3) or segment.get(2),
                )
            )
        return tuple(found)

    def visit_diagnoses(self) -> tuple[Diagnosis, ...]:
        """The diagnoses of an event that opens or closes a visit: defaults filled in, the main one first."""
        return diagnoses_for(list(self.diagnoses()), self.sender, self.notes)

    def updated_diagnoses(self) -> tuple[Diagnosis, ...]:
        told = list(self.diagnoses())
        return diagnoses_for(told, self.sender, self.notes) if told else ()

    def person(self) -> PersonSeen:
        person = _person(self.need("PID"))
        policies = tuple(
            Identifier("policy", number, segment.get(3)) for segment in self.all("IN1") if (number := segment.get(36))
        )
        if not policies:
            return person
        return PersonSeen(person.identifiers + policies, person.name, person.birth, person.sex)

    def disposition(self) -> Literal["1", "2", "3", "4", "5", "9", ""]:
        if self.patient is not None and self.patient.get(30).upper() == "Y":
            return "5"
        code = self.visit_segment.get(36) if self.visit_segment else ""
        found = code if code in DISPOSITIONS else DISCHARGES.get(code, "")
        if code and not found:
            note(self.notes, f'discharge disposition "{code[:20]}" is not known')
        return found  # type: ignore[return-value]


# ---------------------------------------------------------------- reading


def read(raw: bytes, sender: Sender, limits: Limits) -> Reading:
    """One HL7 v2 message; Malformed (a `Fault` with the code for its ACK) names segment and field."""
    message = _Message(_segments(raw, sender, limits), sender)
    header = message.header
    control_id = header.get(10)
    if not control_id:
        raise header.fault(10, "no control id; give every message its own", REQUIRED_MISSING)
    if not message.code:
        raise header.fault(9, "no message type; write it as ADT^A01^ADT_A01", REQUIRED_MISSING)
    for number, wanted in ((3, sender.hl7_application), (4, sender.hl7_facility)):
        if wanted and header.get(number) != wanted:
            raise header.fault(number, f'this connection belongs to "{wanted}"; send as it', NOT_IN_TABLE)
    sent_at = message.instant(header, 7)
    sequence = header.whole(13)
    if sequence and not (sequence.isascii() and sequence.isdigit() and len(sequence) <= 15):
        raise header.fault(13, f"{shown(sequence)} is not a sequence number; write digits or leave it empty")

    kind = f"{message.code}^{message.trigger}" if message.trigger else message.code
    decide = _DECIDE.get(kind)
    if decide is not None and header.get(11).upper() in ("T", "D") and not sender.test_messages:
        note(message.notes, f"a test message (MSH-11 {header.get(11)}); not read as real")
        decide = None
    events = decide(message) if decide else (_noted(message, kind),)
    return Reading(
        format="hl7v2",
        control_id=control_id,
        sent_at=sent_at,
        sequence=int(sequence) if sequence else None,
        kind=kind,
        events=events,
        notes=noted(message.notes),
    )


def _segments(raw: bytes, sender: Sender, limits: Limits) -> list[_Segment]:
    body = _body(raw)
    marked_utf_8 = raw.lstrip(b"\x0b \t\r\n").startswith(codecs.BOM_UTF8)
    text = _decoded(body, "utf-8" if marked_utf_8 else _encoding(body, sender))
    lines = text.replace("\r\n", "\r").replace("\n", "\r").split("\r")
    if len(lines) > limits.max_entries:
        raise Fault(f"{len(lines)} segments, {limits.max_entries} are allowed; send it in parts", field="MSH")
    header = lines[0]
    if not header.startswith("MSH") or len(header) < 8:
        raise Fault("the message does not begin with MSH and its delimiters", field="MSH-1", line=1, code=SEGMENT_ORDER)
    separator = header[3]
    cut = _delimiters(separator, header[4:].split(separator, 1)[0])

    segments: list[_Segment] = []
    counts: dict[str, int] = {}
    has_nul = "\0" in text
    for line, content in enumerate(lines, 1):
        if not content.strip():
            continue
        fields = content.split(separator)
        name = fields[0].strip()
        nth = counts[name] = counts.get(name, 0) + 1
        if nth == 1 and not _SEGMENT_NAME.fullmatch(name):
            raise Fault(
                f'"{name[:10]}" is not a segment name; a line break inside a field?', field=f"segment {line}", line=line
            )
        if has_nul and "\0" in content:
            raise Fault("a NUL character; leave it out", field=name, line=line)
        if name == "MSH":
            if nth > 1:
                raise Fault("a second MSH; send one message at a time", field="MSH[2]-1", line=line, code=SEGMENT_ORDER)
            fields.insert(1, separator)
            fields[2] = ""  # the delimiters themselves are no value
        segments.append(_Segment(name, fields, line, nth, cut))
    return segments


@lru_cache(maxsize=256)
def _delimiters(separator: str, encoding_characters: str) -> _Delimiters:
    marks = separator + encoding_characters
    if (
        not 2 <= len(encoding_characters) <= 5
        or len(set(marks)) != len(marks)
        or any(m.isalnum() or m.isspace() for m in marks)
    ):
        raise Fault(r"no usable delimiters; write ^~\&", field="MSH-2", line=1)
    component, repetition, escape, subcomponent = tuple(encoding_characters + "\0\0")[:4]
    return _Delimiters(separator, component, repetition, escape.strip("\0"), subcomponent.strip("\0"))


def _encoding(body: bytes, sender: Sender) -> str:
    fields, _ = _header_texts(body)
    named = fields[17].strip() if len(fields) > 17 else ""
    if named:
        first = named.partition("~")[0].partition("^")[0].strip().upper()
        if first not in _CHARACTER_SETS:
            what = f'character set "{named[:20]}" is not read; use UNICODE UTF-8 or GB 18030-2000'
            raise Fault(what, field="MSH-18", line=1, code=NOT_IN_TABLE)
        return _CHARACTER_SETS[first]
    return sender.encoding


def _decoded(body: bytes, encoding: str) -> str:
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as wrong:
        before = re.sub(rb"\r\n|\n", b"\r", body[: wrong.start])
        line = before.count(b"\r") + 1
        segment = before[before.rfind(b"\r") + 1 :]
        separator = body[3:4] or b"|"
        name = segment[:3].decode("ascii", "replace")
        number = segment.count(separator) + (1 if name == "MSH" else 0)
        what = f"byte {wrong.start} is not {encoding}; say the character set in MSH-18"
        raise Fault(what, field=f"{name}-{number}" if name else "MSH", line=line) from None
    except LookupError:
        raise Fault(f'this sender\'s encoding "{encoding}" is not known; correct it', field="MSH-18", line=1) from None


def _header_texts(body: bytes) -> tuple[list[str], str]:
    """The fields of the first segment, [0] the name, and the encoding they were read in; no fields if it is no MSH."""
    header = body.partition(b"\r")[0].partition(b"\n")[0]
    if not header.startswith(b"MSH") or len(header) < 4:
        return [], "latin-1"
    for encoding in ("utf-8", "gb18030"):
        # The second byte of a GB 18030 character may look like a delimiter, so characters are split, not bytes.
        try:
            text = header.decode(encoding)
        except UnicodeDecodeError:
            continue
        return text.split(text[3]), encoding
    text = header.decode("latin-1")
    return text.split(text[3]), "latin-1"


def _header_fields(body: bytes) -> list[bytes]:
    """The fields of the first segment as bytes."""
    texts, encoding = _header_texts(body)
    return [text.encode(encoding) for text in texts]


def _body(raw: bytes) -> bytes:
    """The message without frame, byte order mark and outer white space."""
    return raw.strip(b"\x0b\x1c \t\r\n").removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n")


def _person(segment: _Segment) -> PersonSeen:
    identifiers = []
    for index, repetition in enumerate(segment.repetitions(3) or segment.repetitions(2)):
        number = segment.part(repetition, 1)
        type_ = segment.part(repetition, 5).upper()
        kind = _KIND_BY_TYPE.get(type_, "other") if type_ else ("mr" if index == 0 else "other")
        issuer = segment.part(repetition, 4) or (type_ if kind == "other" else "")
        if number:
            identifiers.append(Identifier(kind, number, issuer))
    birth = segment.get(7)
    sex = segment.get(8).upper()
    return PersonSeen(
        identifiers=tuple(identifiers),
        name=_full_name(segment.get(5, 1), segment.get(5, 2)),
        birth=birthday_in(birth, segment.name_of(7), segment.line) if birth else None,
        sex=sex if sex in ("F", "M") else None,  # type: ignore[arg-type]
    )


def _full_name(family: str, given: str) -> str:
    chinese = max(family + given, default="") >= "\u2e80"
    return family + given if chinese else " ".join(part for part in (given, family) if part)


# ---------------------------------------------------------------- what each trigger tells


def _noted(message: _Message, kind: str) -> HospitalEvent:
    return MessageNoted(
        occurred_at=message.occurred_at,
        visit=message.visit,
        sender=message.sender.id,
        hospital=message.hospital,
        what=kind,
    )


def _admission(message: _Message) -> tuple[HospitalEvent, ...]:
    at = message.occurred_at
    admitted_at = message.instant(message.visit_segment, 44) or at
    return (
        AdmissionReported(
            occurred_at=at,
            visit=message.visit_needed,
            sender=message.sender.id,
            hospital=message.hospital,
            person=message.person(),
            admitted_at=admitted_at,
            diagnoses=message.visit_diagnoses(),
            ward=message.ward,
            emergency=message.emergency,
            accident_on=message.accident_on(admitted_at),
        ),
    )


def _outpatient(message: _Message) -> tuple[HospitalEvent, ...]:
    at = message.occurred_at
    visited_at = message.instant(message.visit_segment, 44) or at
    return (
        OutpatientVisited(
            occurred_at=at,
            visit=message.visit_needed,
            sender=message.sender.id,
            hospital=message.hospital,
            person=message.person(),
            visited_at=visited_at,
            diagnoses=message.visit_diagnoses(),
            emergency=message.emergency,
            accident_on=message.accident_on(visited_at),
        ),
    )


def _admitted_or_seen(message: _Message) -> tuple[HospitalEvent, ...]:
    return _outpatient(message) if message.class_ == "O" else _admission(message)


def _registered(message: _Message) -> tuple[HospitalEvent, ...]:
    return _admission(message) if message.class_ == "I" else _outpatient(message)


def _discharge(message: _Message) -> tuple[HospitalEvent, ...]:
    if message.class_ in ("O", "E"):
        return _outpatient(message)
    at = message.occurred_at
    return (
        PatientDischarged(
            occurred_at=at,
            visit=message.visit_needed,
            sender=message.sender.id,
            hospital=message.hospital,
            discharged_at=message.instant(message.visit_segment, 45) or at,
            diagnoses=message.visit_diagnoses(),
            disposition=message.disposition(),
            person=message.person() if message.patient else None,
            admitted_at=message.instant(message.visit_segment, 44),
        ),
    )


def _update(message: _Message) -> tuple[HospitalEvent, ...]:
    visit = message.visit
    if not visit:
        return (_noted(message, f"{message.code}^{message.trigger} without a visit"),)
    return (
        VisitUpdated(
            occurred_at=message.occurred_at,
            visit=visit,
            sender=message.sender.id,
            hospital=message.hospital,
            person=message.person() if message.patient else None,
            diagnoses=message.updated_diagnoses(),
            ward=message.ward if message.visit_segment and message.visit_segment.whole(3) else None,
        ),
    )


def _plain(
    make: type[AdmissionCancelled] | type[DischargeCancelled] | type[LeaveBegan] | type[LeaveEnded],
) -> "Callable[[_Message], tuple[HospitalEvent, ...]]":
    def tell(message: _Message) -> tuple[HospitalEvent, ...]:
        return (
            make(
                occurred_at=message.occurred_at,
                visit=message.visit_needed,
                sender=message.sender.id,
                hospital=message.hospital,
            ),
        )

    return tell


def _merge(message: _Message) -> tuple[HospitalEvent, ...]:
    at = message.occurred_at
    message.need("MRG")
    events: list[HospitalEvent] = []
    person: PersonSeen | None = None
    for segment in message.segments:
        if segment.name == "PID":
            person = _person(segment)
        elif segment.name == "MRG":
            if person is None:
                raise segment.fault(1, "no PID before it; name the person who stays", SEGMENT_ORDER)
            retired = tuple(
                Identifier(
                    _KIND_BY_TYPE.get(segment.part(r, 5).upper() or "MR", "other"),
                    segment.part(r, 1),
                    segment.part(r, 4),
                )
                for r in segment.repetitions(1)
                if segment.part(r, 1)
            )
            if not retired:
                raise segment.fault(1, "no number of the person who is merged; send it", REQUIRED_MISSING)
            name = _full_name(segment.get(7, 1), segment.get(7, 2))
            events.append(
                PersonsMerged(
                    occurred_at=at,
                    visit="",
                    sender=message.sender.id,
                    hospital=message.hospital,
                    survivor=person,
                    retired=PersonSeen(identifiers=retired, name=name),
                )
            )
    return tuple(events)


def _charges(message: _Message) -> tuple[HospitalEvent, ...]:
    charges = []
    for segment in message.all("FT1"):
        type_ = segment.get(6).upper()
        if type_ not in ("CG", "CD"):
            note(message.notes, f'FT1-6 "{type_[:10]}" is no charge')
            continue
        charges.append(_charge(message, segment, credit=type_ == "CD"))
    if not charges:
        return (_noted(message, f"{message.code}^{message.trigger} without charges"),)
    return (
        ChargesPosted(
            occurred_at=message.occurred_at,
            visit=message.visit_needed,
            sender=message.sender.id,
            hospital=message.hospital,
            charges=tuple(charges),
        ),
    )


def _charge(message: _Message, segment: _Segment, *, credit: bool) -> Charge:
    day = segment.get(4)
    if not day:
        raise segment.fault(4, "no day; send when the service was given", REQUIRED_MISSING)
    amount = _amount(message, segment)
    description = segment.whole(8)
    code = segment.get(7, 4) if segment.get(7, 6).upper() == "CHRGITM" else ""
    category_name = segment.get(7, 5) if code else ""
    return Charge(
        id=segment.get(2) or f"{message.header.get(10)}/{segment.nth}",
        on=day_in(day, segment.name_of(4), segment.line),
        amount=Fen(-abs(amount)) if credit else amount,
        code=segment.get(7, 1),
        name=segment.get(7, 2) or ("" if description.startswith("退") else segment.get(8)),
        category=category_of(code, category_name, message.sender, message.notes),
        reverses=segment.cut.text(description[1:]).strip() if description.startswith("退") else "",
    )


def _amount(message: _Message, segment: _Segment) -> Fen:
    """FT1-11, else FT1-10 (1 if empty) times FT1-12."""
    number = 11 if segment.get(11) else 12
    text = segment.get(number)
    if not text:
        raise segment.fault(11, "no amount here nor in FT1-12; send it", REQUIRED_MISSING)
    field = segment.name_of(number)
    check_currency(segment.get(number, 1, 2), message.sender, field, segment.line)
    if number == 11:
        return fen_in_text(text, field, segment.line)
    quantity = segment.get(10) or "1"
    unit = decimal_in(text, field, segment.line)
    return fen_in(unit * decimal_in(quantity, segment.name_of(10), segment.line), field, segment.line)


_DECIDE: dict[str, "Callable[[_Message], tuple[HospitalEvent, ...]]"] = {
    "ADT^A01": _admitted_or_seen,
    "ADT^A06": _admitted_or_seen,
    "ADT^A04": _registered,
    "ADT^A07": _outpatient,
    "ADT^A03": _discharge,
    **dict.fromkeys(("ADT^A02", "ADT^A12", "ADT^A08", "ADT^A31", "ADT^A45", "BAR^P01", "BAR^P05"), _update),
    "ADT^A11": _plain(AdmissionCancelled),
    "ADT^A13": _plain(DischargeCancelled),
    "ADT^A21": _plain(LeaveBegan),
    "ADT^A22": _plain(LeaveEnded),
    **dict.fromkeys(("ADT^A18", "ADT^A30", "ADT^A34", "ADT^A36", "ADT^A39", "ADT^A40", "ADT^A47"), _merge),
    "DFT^P03": _charges,
    "DFT^P11": _charges,
}


# ---------------------------------------------------------------- acknowledging


class Located(Protocol):
    """What an ERR segment tells of an error: the words and the field, such as PID-3; `Malformed` is one."""

    @property
    def what(self) -> str: ...

    @property
    def field(self) -> str: ...


def sending_system(raw: bytes) -> tuple[str, str]:
    """MSH-3 and MSH-4, the application and facility a message says it comes from; "" for what cannot be read."""
    texts, _ = _header_texts(_body(raw))
    component = texts[1][:1] if len(texts) > 1 else ""
    application, facility = (
        texts[number - 1].split(component or "^")[0].strip() if len(texts) >= number else "" for number in (3, 4)
    )
    return application, facility


def ack(raw: bytes, code: Literal["AA", "AE", "AR"], error: Located | None, now: datetime) -> bytes:
    """The acknowledgement of a message: AA stored, AE faulty, AR rejected; with an error, an ERR that says where.

    The same arguments give the same bytes, so a repeated message gets the first answer if `now` is the first receipt.
    What the message's MSH does not say is left empty; delimiters and names are echoed as they came, in its encoding.
    """
    body = _body(raw)
    fields = _header_fields(body)
    separator, marks = b"|", b"^~\\&"
    usable = len(fields) > 1 and 2 <= len(fields[1]) <= 5 and not re.search(rb"[\w\s]", body[3:4] + fields[1])
    if usable and len(set(body[3:4] + fields[1])) == len(fields[1]) + 1:
        separator, marks = body[3:4], fields[1]
    else:
        fields = []
    component, repetition = marks[0:1], marks[1:2]
    escape, subcomponent = marks[2:3] or b"", marks[3:4] or b""

    def field(number: int) -> bytes:
        text = fields[number - 1].strip() if len(fields) >= number else b""
        return b"" if re.search(rb"[\x00-\x1f]", text) else text

    def safe(text: str) -> bytes:
        plain = text.encode("ascii", "replace")
        for mark, name in (
            (escape, b"E"),
            (separator, b"F"),
            (component, b"S"),
            (repetition, b"R"),
            (subcomponent, b"T"),
        ):
            if mark:
                plain = plain.replace(mark, escape + name + escape if escape else b" ")
        return re.sub(rb"[\x00-\x1f]", b" ", plain)

    trigger = field(9).split(component)[1:2]
    version = field(12).split(component)[0] or b"2.5.1"
    # The structure came with v2.3.1; before it, a plain ACK is the form that every receiver knows.
    structured = trigger and trigger[0] and version not in (b"2.1", b"2.2", b"2.3")
    message_type = component.join([b"ACK", *trigger, b"ACK"]) if structured else b"ACK"
    answer_id = hashlib.sha256(raw + code.encode()).hexdigest()[:20].encode()
    at = now.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000").encode()
    header = [b"MSH" + separator + marks, field(5), field(6), field(3), field(4), at, b"", message_type, answer_id]
    header += [field(11).split(component)[0] or b"P", version]
    if field(18):
        header += [b""] * 5 + [field(18).split(repetition)[0]]
    acknowledgement = [b"MSA", code.encode(), field(10)]
    segments = [separator.join(header)]
    if error is None:
        segments.append(separator.join(acknowledgement))
    else:
        segments += _error_segments(
            error, version.decode("ascii", "replace"), acknowledgement, separator, component, subcomponent, safe
        )
    return b"\r".join(segments) + b"\r"


def _error_segments(
    error: Located,
    version: str,
    acknowledgement: list[bytes],
    separator: bytes,
    component: bytes,
    subcomponent: bytes,
    safe: "Callable[[str], bytes]",
) -> list[bytes]:
    """MSA and ERR; before v2.5 the error stands in ERR-1 (ELD) and the words in MSA-3."""
    told = getattr(error, "code", 0)
    number = told if told in _ERROR_NAMES else WRONG_TYPE if error.field else INTERNAL
    name = _ERROR_NAMES[number].encode()
    place = re.fullmatch(r"([A-Z][A-Z0-9]{2})(?:\[([0-9]+)\])?(?:-([0-9]+))?", error.field)
    where = [place[1], place[2] or "1", *([place[3]] if place[3] else [])] if place else []
    located = component.join(safe(part) for part in where)
    what = safe(f"{error.field}: {error.what}" if error.field else error.what)[:250]
    if version in _VERSIONS_WITH_OLD_ERR:
        inner = (subcomponent or b" ").join([str(number).encode(), name, b"HL70357"])
        old = component.join([*(safe(p) for p in where), *[b""] * (3 - len(where)), inner])
        return [separator.join([*acknowledgement, what[:80]]), separator.join([b"ERR", old])]
    coded = component.join([str(number).encode(), name, b"HL70357"])
    return [
        separator.join(acknowledgement),
        separator.join([b"ERR", b"", located, coded, b"E", b"", b"", b"", what]),
    ]

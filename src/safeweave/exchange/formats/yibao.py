"""医保 messages of the national interface, as a hospital passes them on.

Field names as in the national interface (envelope, 2201 to 2405, 2601, 4101A); what is read of each stands in
docs/reference/wire.md §4.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, NoReturn

import msgspec

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
    MessageNoted,
    OutpatientVisited,
    PatientDischarged,
    PersonSeen,
    SettlementCancelled,
    SettlementReported,
    VisitUpdated,
)
from safeweave.exchange.formats.reading import Limits, Reading, Sender
from safeweave.exchange.formats.values import (
    BED,
    DISPOSITIONS,
    birthday_in,
    category_of,
    day_in,
    decimal_in,
    diagnoses_for,
    fen_in,
    instant_in,
    note,
    noted,
    other_hospital,
    whole_in,
)
from safeweave.facts import BillRef, Line, Sex, Split
from safeweave.money import Fen

_LISTS = frozenset(
    ["feedetail", "diseinfo", "setldetail", "icuinfo", "oprninfo", "payinfo", "iteminfo", "bldinfo", "opspdiseinfo"]
)
_CERTIFICATES = {  # psn_cert_type to kinds of people.identity
    "01": "resident_id",
    "02": "military_officer",
    "04": "hk_macau_travel_permit",
    "05": "hk_macau_travel_permit",
    "06": "taiwan_travel_permit",
    "07": "foreign_permanent_resident",
    "08": "passport",
}
_SEXES: dict[str, Sex] = {"1": "M", "2": "F"}
_LEVELS = {"01": "甲", "02": "乙", "03": "丙"}  # chrgitm_lv
_SPLIT = ("fulamt_ownpay_amt", "overlmt_amt", "preselfpay_amt", "inscp_scp_amt")
_OTHER_FUNDS = ("cvlserv_pay", "hifes_pay", "hifmi_pay", "hifob_pay", "maf_pay", "oth_pay")
_MSGID = re.compile(r"[A-Za-z0-9]{12}([0-9]{14})[0-9]{0,4}")
_DURATION = re.compile(r"([0-9]{1,4})/([0-9]{1,2})/([0-9]{1,2})")


class _Peek(msgspec.Struct):
    infno: msgspec.Raw = msgspec.Raw(b"")
    infcode: msgspec.Raw = msgspec.Raw(b"")
    resourceType: msgspec.Raw = msgspec.Raw(b"")


def is_yibao(raw: bytes) -> bool:
    """Whether a JSON object is a 医保 envelope and no FHIR resource; unreadable JSON is none."""
    start = raw[:512]
    if b'"resourceType"' in start and b'"infno"' not in start:
        return False  # a large bundle is not parsed twice to tell what its first bytes say
    try:
        peek = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"), type=_Peek)
    except (msgspec.DecodeError, RecursionError):
        return b'"infno"' in raw[:4096] and b'"resourceType"' not in raw[:4096]
    return (bool(peek.infno) or bool(peek.infcode)) and not peek.resourceType


# ---------------------------------------------------------------- JSON as values with a place


class _Part:
    """One or more JSON objects read as one: the first that has a key answers. `path` names it for people."""

    def __init__(self, path: str, *objects: dict[str, Any]) -> None:
        self.path, self.objects = path, objects

    def raw(self, key: str) -> Any:
        return next((o[key] for o in self.objects if o.get(key) not in (None, "")), None)

    def field(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def text(self, key: str) -> str:
        value = self.raw(key)
        if value is None:
            return ""
        if isinstance(value, str):
            return value.strip()
        if isinstance(value, Decimal) and abs(value.adjusted()) < 40:
            return format(value, "f")
        raise Malformed("a text or a number belongs here; send it", field=self.field(key))

    def required(self, key: str) -> str:
        text = self.text(key)
        if not text:
            raise Malformed("missing; send it", field=self.field(key))
        return text

    def fen(self, key: str) -> Fen | None:
        value = self.raw(key)
        if value is None:
            return None
        number = value if isinstance(value, Decimal) else decimal_in(self.text(key), self.field(key))
        return fen_in(number, self.field(key))

    def fen_needed(self, key: str) -> Fen:
        amount = self.fen(key)
        if amount is None:
            raise Malformed("missing; send the amount, 0 if there is none", field=self.field(key))
        return amount

    def number(self, key: str) -> Decimal | None:
        value = self.raw(key)
        if value is None:
            return None
        return value if isinstance(value, Decimal) else decimal_in(self.text(key), self.field(key))

    def instant(self, key: str) -> datetime | None:
        text = self.text(key)
        return instant_in(text, self.field(key)) if text else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Malformed("the key occurs twice in one object; send it once", field=twice[:40])
    return found


def _number(text: str) -> Decimal:
    if len(text) > 60:
        raise Malformed(f"a number of {len(text)} characters; at most 60 are read", field="number")
    return Decimal(text)


def _no_number(text: str) -> NoReturn:
    raise Malformed(f"{text} is no JSON number; send digits", field="number")


def _envelope(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = raw[: wrong.start].count(b"\n") + 1
        raise Malformed(f"byte {wrong.start} is not UTF-8; send 医保 messages in UTF-8", line=line) from None
    if "\\u0000" in text or re.search(r"\\u[dD][89a-fA-F]", text):
        _check_escapes(text)
    try:
        found = json.loads(
            text, object_pairs_hook=_unique, parse_float=_number, parse_int=_number, parse_constant=_no_number
        )
    except json.JSONDecodeError as wrong:
        raise Malformed(f"not JSON: {wrong.msg} in column {wrong.colno}; send one object", line=wrong.lineno) from None
    except RecursionError:
        raise Malformed("nested too deeply; a 医保 message has a few levels", line=1) from None
    if not isinstance(found, dict):
        raise Malformed("a 医保 message is one JSON object; send one", line=1)
    return found


def _check_escapes(text: str) -> None:
    """Malformed for \\u0000 and for half of a surrogate pair: no text may hold them."""
    for match in re.finditer(r"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|.)", text, re.DOTALL):
        if match[1] is None:
            continue
        code = int(match[1], 16)
        if code == 0 or 0xDC00 <= code <= 0xDFFF or (0xD800 <= code <= 0xDBFF and match[2] is None):
            raise Malformed(f"\\u{match[1]} is no character; leave it out", line=text.count("\n", 0, match.start()) + 1)


# ---------------------------------------------------------------- reading


class _Message:
    def __init__(self, envelope: dict[str, Any], sender: Sender, limits: Limits) -> None:
        self.sender = sender
        self.notes: dict[str, int] = {}
        self.envelope = _Part("", envelope)
        self.infno = self.envelope.text("infno")
        self.content, self.lists = self._content(envelope, limits)
        self.msgid = self.envelope.text("msgid") or self.envelope.text("inf_refmsgid")
        self.at = self.envelope.instant("inf_time") or _time_of(self.msgid)

    def _content(self, envelope: dict[str, Any], limits: Limits) -> tuple[_Part, dict[str, list[_Part]]]:
        """All single objects of output and input as one part, and the lists by name; what the output says wins."""
        objects: list[dict[str, Any]] = []
        lists: dict[str, list[_Part]] = {}
        paths: list[str] = []
        for side in ("output", "input"):
            body = envelope.get(side)
            if body is None or body == "":
                continue
            if not isinstance(body, dict):
                raise Malformed("an object belongs here; send one", field=side)
            plain: dict[str, Any] = {}
            for key, value in body.items():
                path = f"{side}.{key}"
                if key in _LISTS or isinstance(value, list):
                    if key in lists:
                        continue
                    lists[key] = _parts(value, path, limits)
                elif isinstance(value, dict):
                    objects.append(value)
                    paths.append(path)
                else:
                    plain[key] = value
            if plain:
                objects.append(plain)
                paths.append(side)
        single = lists.get("data", []) + lists.get("result", [])
        if len(single) == 1:
            objects += single[0].objects
            paths.append(single[0].path)
        return _Part(paths[0] if len(paths) == 1 else "input", *objects), lists

    @property
    def visit_told(self) -> str:
        for key in ("ipt_no", "ipt_otp_no", "otp_no"):
            if self.content.text(key):
                return self.content.text(key)
        return ""

    @property
    def visit(self) -> str:
        visit = self.visit_told
        if not visit:
            visit = self.content.text("mdtrt_id")
            if not visit:
                raise Malformed("no visit: send ipt_no, ipt_otp_no or mdtrt_id", field=self.content.field("ipt_no"))
            note(self.notes, "no ipt_no or ipt_otp_no; the visit is named by mdtrt_id")
        return visit

    @property
    def hospital(self) -> str:
        return other_hospital(self.envelope.text("fixmedins_code"), self.sender)

    def when(self, *keys: str) -> datetime:
        """The first of these times that is told, else the message's own time."""
        for key in keys:
            at = self.content.instant(key)
            if at is not None:
                return at
        if self.at is None:
            field = self.content.field(keys[0]) if keys else "inf_time"
            raise Malformed("no time here, in inf_time or in msgid; send it", field=field)
        return self.at

    def diagnoses(self) -> list[Diagnosis]:
        found: list[Diagnosis] = []
        for part in self.lists.get("diseinfo", []):
            code = part.text("diag_code")
            if not code:
                note(self.notes, "diagnoses without a code")
                continue
            main = part.text("maindiag_flag") == "1" and not any(d.main for d in found)
            found.append(Diagnosis(code, part.text("diag_name"), "", main, "ICD-10-NHSA"))
        return found

    def disposition(self) -> Literal["1", "2", "3", "4", "5", "9", ""]:
        code = self.content.text("dscg_way")
        if self.content.text("die_date"):
            return "5"
        if code and code not in DISPOSITIONS:
            note(self.notes, f'dscg_way "{code[:20]}" is not known')
            return ""
        return code  # type: ignore[return-value]

    def icu_days(self) -> int:
        days = 0
        for part in self.lists.get("icuinfo", []):
            text = part.text("scs_cutd_sum_dura")
            match = _DURATION.fullmatch(text)
            if match:
                days += int(match[1]) + (1 if int(match[2]) or int(match[3]) else 0)
            elif text:
                note(self.notes, "an ICU duration is not d/h/min")
        return days

    def person(self) -> PersonSeen:
        content = self.content
        identifiers = []
        number, kind = content.text("certno"), content.text("psn_cert_type")
        if not number and content.text("mdtrt_cert_type") == "02":  # the visit was opened with the 身份证
            number, kind = content.text("mdtrt_cert_no"), "01"
        if number:
            known = _CERTIFICATES.get(kind, "other")
            identifiers.append(Identifier(known, number, "" if known != "other" else f"psn_cert_type {kind[:8]}"))
        if content.text("psn_no"):
            identifiers.append(Identifier("other", content.text("psn_no"), "psn_no"))
        record = content.text("medcasno") or content.text("medrcdno")
        if record:
            identifiers.append(Identifier("mr", record, self.envelope.text("fixmedins_code")))
        birth = content.text("brdy")
        return PersonSeen(
            identifiers=tuple(identifiers),
            name=content.text("psn_name"),
            birth=birthday_in(birth, content.field("brdy")) if birth else None,
            sex=_SEXES.get(content.text("gend")),
        )

    def fee_lines(self) -> tuple[Line, ...]:
        parts = self.lists.get("feedetail", [])
        numbers = {part.text("feedetl_sn"): no for no, part in enumerate(parts, 1) if part.text("feedetl_sn")}
        return tuple(self._fee_line(no, part, numbers) for no, part in enumerate(parts, 1))

    def _fee_line(self, no: int, part: _Part, numbers: dict[str, int]) -> Line:
        category = category_of(part.text("med_chrgitm_type"), "", self.sender, self.notes)
        original = part.text("init_feedetl_sn")
        refund_of = numbers.get(original) if original else None
        if original and refund_of is None:
            note(self.notes, "a refund names a line that is not in this message")
        count = part.number("cnt")
        amounts = [part.fen(name) for name in _SPLIT]
        on = part.text("fee_ocur_time")
        return Line(
            no=no,
            category=category,
            catalogue_class=self._class(part),
            amount=part.fen_needed("det_item_fee_sumamt"),
            code=part.text("med_list_codg") or None,
            days=whole_in(count) if count is not None and category == BED else None,
            on=day_in(on, part.field("fee_ocur_time")) if on else None,
            split=Split(*[a for a in amounts if a is not None]) if None not in amounts else None,
            refund_of=refund_of,
            name=part.text("medins_list_name") or part.text("med_list_name"),
        )

    def _class(self, part: _Part) -> str:
        level = part.text("chrgitm_lv")
        if level in _LEVELS:
            return _LEVELS[level]
        if level:
            note(self.notes, f'chrgitm_lv "{level[:20]}" is not known')
            return level
        share = part.number("selfpay_prop")
        if share is None:
            return self.sender.class_default or ""
        return "甲" if share <= 0 else "丙" if share >= 1 else "乙"

    def charges(self) -> tuple[Charge, ...]:
        found = []
        for part in self.lists.get("feedetail", []):
            found.append(
                Charge(
                    id=part.required("feedetl_sn"),
                    on=day_in(part.required("fee_ocur_time"), part.field("fee_ocur_time")),
                    amount=part.fen_needed("det_item_fee_sumamt"),
                    code=part.text("med_list_codg"),
                    name=part.text("medins_list_name") or part.text("med_list_name"),
                    category=category_of(part.text("med_chrgitm_type"), "", self.sender, self.notes),
                    reverses=part.text("init_feedetl_sn"),
                )
            )
        return tuple(found)


def _parts(value: Any, path: str, limits: Limits) -> list[_Part]:
    if value is None or value == "":
        return []
    listed = value if isinstance(value, list) else [value]
    if len(listed) > limits.max_entries:
        raise Malformed(f"{len(listed)} entries, {limits.max_entries} are allowed; send it in parts", field=path)
    parts = []
    for index, item in enumerate(listed):
        if not isinstance(item, dict):
            raise Malformed("an object belongs here; send one", field=f"{path}[{index}]")
        parts.append(_Part(f"{path}[{index}]", item))
    return parts


def _time_of(msgid: str) -> datetime | None:
    """The time inside a msgid: institution code (12), yyyyMMddHHmmss (14), serial (4)."""
    match = _MSGID.fullmatch(msgid)
    if match is None:
        return None
    digits = match[1]
    try:
        return instant_in(f"{digits[:8]}T{digits[8:]}", "msgid").astimezone(UTC)
    except Malformed:
        return None  # the serial of another scheme, no time


def read(raw: bytes, sender: Sender, limits: Limits) -> Reading:
    """One 医保 message; Malformed names the line or the field."""
    message = _Message(_envelope(raw), sender, limits)
    if not message.msgid:
        raise Malformed("missing; every message has its own", field="msgid")
    if not message.infno:
        raise Malformed("missing; name the transaction, such as 2304", field="infno")
    code = message.envelope.text("infcode")
    decide = _DECIDE.get(message.infno)
    if code not in ("", "0"):
        note(message.notes, f"infcode {code[:8]}: the transaction failed")
        decide = None
    events = decide(message) if decide else (_noted(message, message.infno[:20]),)
    return Reading(
        format="yibao",
        control_id=message.msgid,
        sent_at=message.at,
        sequence=None,
        kind=message.infno[:20],
        events=events,
        notes=noted(message.notes),
    )


# ---------------------------------------------------------------- what each transaction tells


def _noted(message: _Message, what: str) -> HospitalEvent:
    visit = message.visit_told or message.content.text("mdtrt_id")
    return MessageNoted(
        occurred_at=message.when(), visit=visit, sender=message.sender.id, hospital=message.hospital, what=what
    )


def _admission(message: _Message) -> tuple[HospitalEvent, ...]:
    admitted_at = message.when("begntime", "adm_time")
    return (
        AdmissionReported(
            occurred_at=admitted_at,
            visit=message.visit,
            sender=message.sender.id,
            hospital=message.hospital,
            person=message.person(),
            admitted_at=admitted_at,
            diagnoses=diagnoses_for(message.diagnoses(), message.sender, message.notes),
            emergency=message.content.text("med_type") == "24",
        ),
    )


def _outpatient(message: _Message) -> tuple[HospitalEvent, ...]:
    visited_at = message.when("begntime")
    return (
        OutpatientVisited(
            occurred_at=visited_at,
            visit=message.visit,
            sender=message.sender.id,
            hospital=message.hospital,
            person=message.person(),
            visited_at=visited_at,
            diagnoses=diagnoses_for(message.diagnoses(), message.sender, message.notes),
            emergency=message.content.text("med_type") == "13",
        ),
    )


def _discharge(message: _Message) -> tuple[HospitalEvent, ...]:
    discharged_at = message.when("endtime", "dscg_time")
    person = message.person()
    return (
        PatientDischarged(
            occurred_at=discharged_at,
            visit=message.visit,
            sender=message.sender.id,
            hospital=message.hospital,
            discharged_at=discharged_at,
            diagnoses=diagnoses_for(message.diagnoses(), message.sender, message.notes),
            disposition=message.disposition(),
            icu_days=message.icu_days(),
            person=person if person != PersonSeen() else None,
            admitted_at=message.content.instant("begntime") or message.content.instant("adm_time"),
        ),
    )


def _update(message: _Message) -> tuple[HospitalEvent, ...]:
    person = message.person()
    found = message.diagnoses()
    return (
        VisitUpdated(
            occurred_at=message.when(),
            visit=message.visit,
            sender=message.sender.id,
            hospital=message.hospital,
            person=person if person != PersonSeen() else None,
            diagnoses=diagnoses_for(found, message.sender, message.notes) if found else (),
        ),
    )


def _admission_cancelled(message: _Message) -> tuple[HospitalEvent, ...]:
    return (
        AdmissionCancelled(
            occurred_at=message.when(), visit=message.visit, sender=message.sender.id, hospital=message.hospital
        ),
    )


def _discharge_cancelled(message: _Message) -> tuple[HospitalEvent, ...]:
    return (
        DischargeCancelled(
            occurred_at=message.when(), visit=message.visit, sender=message.sender.id, hospital=message.hospital
        ),
    )


def _charges(message: _Message) -> tuple[HospitalEvent, ...]:
    charges = message.charges()
    if not charges:
        return (_noted(message, f"{message.infno} without lines"),)
    return (
        ChargesPosted(
            occurred_at=message.when(),
            visit=message.visit,
            sender=message.sender.id,
            hospital=message.hospital,
            charges=charges,
        ),
    )


def _settlement(message: _Message) -> tuple[HospitalEvent, ...]:
    content = message.content
    total = content.fen("medfee_sumamt")
    if total is None:
        note(message.notes, "a settlement list without medfee_sumamt; send the amounts of the settlement in setlinfo")
        return _update(message)
    code, number = content.text("bill_code"), content.text("bill_no")
    bill = BillRef(code, number) if code and number else None
    fund = content.fen_needed("hifp_pay")
    fund_total = content.fen("fund_pay_sumamt")
    others = Fen(sum(content.fen(name) or 0 for name in _OTHER_FUNDS)) if fund_total is None else Fen(fund_total - fund)
    told = message.diagnoses()
    own, over = content.fen("fulamt_ownpay_amt"), content.fen("overlmt_selfpay")
    self_cost = Fen(own + over) if own is not None and over is not None else None
    borne = content.fen("psn_part_amt")
    account, cash = content.fen_needed("acct_pay"), content.fen_needed("psn_cash_pay")
    shared = content.fen("acct_mulaid_pay") or Fen(0)
    if shared and borne is not None and borne == account + cash + shared:
        account = Fen(account + shared)
    return (
        SettlementReported(
            occurred_at=message.when("setl_time", "setl_end_date"),
            visit=message.visit if bill is None else message.visit_told,
            sender=message.sender.id,
            hospital=message.hospital,
            settlement=content.required("setl_id"),
            bill=bill,
            medical_visit=content.text("mdtrt_id"),
            total=total,
            fund=fund,
            other=others,
            account=account,
            cash=cash,
            self_pay=Fen(borne - self_cost) if borne is not None and self_cost is not None else None,
            self_cost=self_cost,
            lines=message.fee_lines(),
            diagnoses=diagnoses_for(told, message.sender, message.notes) if told else (),
            icu_days=message.icu_days(),
            disposition=message.disposition(),
        ),
    )


def _settlement_cancelled(message: _Message) -> tuple[HospitalEvent, ...]:
    return (
        SettlementCancelled(
            occurred_at=message.when(),
            visit=message.visit_told or message.content.text("mdtrt_id"),
            sender=message.sender.id,
            hospital=message.hospital,
            settlement=message.content.required("setl_id"),
        ),
    )


def _reversed(message: _Message) -> tuple[HospitalEvent, ...]:
    """2601 undoes another message: what that was stands in oinfno."""
    undone = message.content.required("oinfno")
    if undone == "2401":
        return _admission_cancelled(message)
    if undone not in ("2207", "2304"):
        return (_noted(message, f"2601 of {undone[:20]}"),)
    settlement = message.content.text("setl_id")
    if not settlement:
        settlement = message.content.required("omsgid")
        note(message.notes, "2601 without setl_id; the settlement is named by omsgid")
    return (
        SettlementCancelled(
            occurred_at=message.when(),
            visit=message.visit_told or message.content.text("mdtrt_id"),
            sender=message.sender.id,
            hospital=message.hospital,
            settlement=settlement,
        ),
    )


_DECIDE: dict[str, Callable[[_Message], tuple[HospitalEvent, ...]]] = {
    "2401": _admission,
    "2402": _discharge,
    "2403": _update,
    "2203A": _update,
    "2404": _admission_cancelled,
    "2405": _discharge_cancelled,
    "2201": _outpatient,
    "2202": _admission_cancelled,
    "2204": _charges,
    "2301": _charges,
    "2207": _settlement,
    "2304": _settlement,
    "4101": _settlement,
    "4101A": _settlement,
    "2208": _settlement_cancelled,
    "2305": _settlement_cancelled,
    "2601": _reversed,
}

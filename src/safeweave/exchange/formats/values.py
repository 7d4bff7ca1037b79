"""What an amount, a time and a code are, whatever the format they arrive in.

Everything raises `Malformed` with the field it was given for what cannot be such a value.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import _lru_cache_wrapper, lru_cache
from typing import TypeVar

from safeweave.clock import SHANGHAI
from safeweave.errors import Malformed
from safeweave.events import Diagnosis
from safeweave.exchange.formats.reading import Sender
from safeweave.money import Fen

CATEGORIES = {  # charge classes of the medical bill and their 医保 codes
    "床位费": "01",
    "诊察费": "02",
    "检查费": "03",
    "化验费": "04",
    "治疗费": "05",
    "手术费": "06",
    "护理费": "07",
    "卫生材料费": "08",
    "西药费": "09",
    "中药饮片": "10",
    "中药饮片费": "10",
    "中成药费": "11",
    "一般诊疗费": "12",
    "挂号费": "13",
    "其他": "14",
    "其他费": "14",
}
CATEGORY_CODES = frozenset(CATEGORIES.values())
BED = "01"
CLASSES = ("甲", "乙", "丙")
DISPOSITIONS = ("1", "2", "3", "4", "5", "9")  # 医保 dscg_way
DISCHARGES = {  # HL7 table 0112, also used by NUBC, to dscg_way
    "01": "1",
    "02": "2",
    "05": "2",
    "06": "1",
    "07": "4",
    "08": "1",
    "43": "2",
    **{str(code): "5" for code in (*range(20, 30), 40, 41, 42)},
}

_EXACT = Context(prec=80)
_MOST_DIGITS = 40
_LONGEST_KEPT = 40
_PLAIN = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,2})?")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?|[+-]?\.[0-9]{1,20}")
_ICD = re.compile(r"[A-Z][0-9]{2}(?:\.[0-9A-Z]{1,3}(?:x[0-9]{3})?)?")
_INSTITUTION = re.compile(r"H[0-9]{11}")
_ISO = re.compile(
    r"([0-9]{4})(?:-?([0-9]{2})(?:-?([0-9]{2})"
    r"(?:[T ]([0-9]{2}):?([0-9]{2})(?::?([0-9]{2})(\.[0-9]{1,12})?)?\s*(Z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_HL7 = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(\.[0-9]{1,12})?)?)?)?)?)?([+-][0-9]{4})?"
)
_ICD_10_OIDS = ("urn:oid:2.16.156.10011.2.3.3.11", "urn:oid:2.16.840.1.113883.6.3", "urn:oid:2.16.840.1.113883.6.90")


# ---------------------------------------------------------------- amounts


def shown(text: str) -> str:
    """A value as an error may show it: figures and signs as they are, but no words and no long numbers, which could
    be somebody's."""
    if re.fullmatch(r"[0-9\s:.,+/TZ-]{1,40}", text) and not re.search("[0-9]{15}", text):
        return f'"{text}"'
    return f"what stands here ({len(text)} characters)"


def decimal_in(text: str, field: str, line: int = 0) -> Decimal:
    """The number a text such as "-450.00" says."""
    if not _DECIMAL.fullmatch(text):
        raise Malformed(f"{shown(text)} is not a number; write digits, such as 1234.50", field=field, line=line)
    return Decimal(text)


@lru_cache(maxsize=16_384)
def _plain_fen(text: str) -> Fen:
    """The fen of an amount written plainly, such as "-450.00", "0.5" or "7600"; ValueError for every other text."""
    if not _PLAIN.fullmatch(text):
        raise ValueError
    yuan, _, cents = text.partition(".")
    return Fen(int(yuan + cents.ljust(2, "0")))


def fen_in(value: Decimal, field: str, line: int = 0, *, rounded: bool = False) -> Fen:
    """The fen of an amount in yuan; `rounded` takes longer decimals half up, else they are malformed."""
    try:
        return _plain_fen(str(value))
    except ValueError:
        return _odd_fen(value, field, line, rounded)


def _odd_fen(value: Decimal, field: str, line: int, rounded: bool) -> Fen:
    if not value.is_finite():
        raise Malformed("not an amount; write yuan with two decimals", field=field, line=line)
    if not value:
        return Fen(0)
    if value.adjusted() > 11 or len(value.as_tuple().digits) > _MOST_DIGITS:
        raise Malformed("the amount is too long; at most 12 digits before the point are money", field=field, line=line)
    if value.adjusted() < -_MOST_DIGITS:
        cents, whole = Decimal("0.1"), Decimal(0)
    else:
        cents = value.scaleb(2, _EXACT)
        whole = cents.to_integral_value(ROUND_HALF_UP, _EXACT)
    if whole != cents and not rounded:
        raise Malformed(f"{shown(str(value))} has parts of a fen; write two decimals", field=field, line=line)
    return Fen(int(whole))


def fen_in_text(text: str, field: str, line: int = 0) -> Fen:
    """The fen a text such as "7600.00" says."""
    try:
        return _plain_fen(text)
    except ValueError:
        return fen_in(decimal_in(text, field, line), field, line)


def check_currency(currency: str, sender: Sender, field: str, line: int = 0) -> None:
    """Malformed if an amount names another currency than the sender's; "" names none."""
    if currency and currency != sender.currency:
        raise Malformed(
            f"the amount is in {currency[:10]}, this sender's are in {sender.currency}; send it in {sender.currency}",
            field=field,
            line=line,
        )


def whole_in(value: Decimal) -> int | None:
    """The whole number that a quantity is, None if it is none of a sensible size."""
    if not value.is_finite() or value.adjusted() > 8 or value != value.to_integral_value():
        return None
    return int(value)


# ---------------------------------------------------------------- times
#
# A reader remembers what it read last, since the lines of a bill share their days and a message repeats its times.

T = TypeVar("T")


def _placed(read: "_lru_cache_wrapper[T]", text: str, field: str, line: int) -> T:
    """What `read` makes of a text; Malformed names the place. A text longer than any usual time is not remembered."""
    try:
        return read(text) if len(text) <= _LONGEST_KEPT else read.__wrapped__(text)
    except Malformed as wrong:
        raise Malformed(wrong.what, field=field, line=line) from None


@lru_cache(maxsize=1024)
def _zone(offset: str | None) -> tzinfo:
    """The zone of an offset such as +08:00, Shanghai without one; ValueError if it is none."""
    if offset is None:
        return SHANGHAI
    if offset == "Z":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if minutes > 59:
        raise ValueError
    delta = timedelta(hours=hours, minutes=minutes)
    return timezone(-delta if offset[0] == "-" else delta)


def _moment(match: re.Match[str]) -> tuple[datetime, bool]:
    """The instant in UTC, and whether the text gave a clock time."""
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        at = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int(fraction[1:7].ljust(6, "0")) if fraction else 0,
            _zone(offset),
        )
    except ValueError:
        raise Malformed(f"{shown(match[0])} is not in the calendar or on the clock; correct it") from None
    if not 1800 <= at.year <= 2999:
        raise Malformed(f"{shown(match[0])} is not a year from 1800 to 2999; correct it")
    return at.astimezone(UTC), hour is not None


@lru_cache(maxsize=8192)
def _instant(text: str) -> datetime:
    match = _ISO.fullmatch(text)
    if match is None:
        raise Malformed(f"{shown(text)} is not a time; write it as 2026-03-06T15:20:41+08:00")
    return _moment(match)[0]


@lru_cache(maxsize=8192)
def _hl7_instant(text: str) -> datetime:
    match = _HL7.fullmatch(text)
    if match is None:
        raise Malformed(f"{shown(text)} is not a time; write it as 20260306152041+0800")
    return _moment(match)[0]


@lru_cache(maxsize=8192)
def _day(text: str) -> date:
    match = _ISO.fullmatch(text) or _HL7.fullmatch(text)
    if match is None:
        raise Malformed(f"{shown(text)} is not a day; write it as 2026-03-06")
    at, clocked = _moment(match)
    if clocked and match[8]:
        return at.astimezone(SHANGHAI).date()
    return date(int(match[1]), int(match[2] or 1), int(match[3] or 1))


@lru_cache(maxsize=8192)
def _birthday(text: str) -> date | None:
    match = _ISO.fullmatch(text) or _HL7.fullmatch(text)
    if match is None:
        raise Malformed("no day of birth; write it as 1949-12-31")
    _moment(match)
    return date(int(match[1]), int(match[2]), int(match[3])) if match[3] else None


def instant_in(text: str, field: str, line: int = 0) -> datetime:
    """The instant an ISO or 医保 text says, in UTC; a missing part is the first possible, a missing offset Shanghai."""
    return _placed(_instant, text, field, line)


def hl7_instant_in(text: str, field: str, line: int = 0) -> datetime:
    """The instant that an HL7 time says, in UTC (HL7 v2.5.1 §2.A.77)."""
    return _placed(_hl7_instant, text, field, line)


def day_in(text: str, field: str, line: int = 0) -> date:
    """The day that a text says: as written when it is a day, the Shanghai day when it is an instant with an offset."""
    return _placed(_day, text, field, line)


def birthday_in(text: str, field: str, line: int = 0) -> date | None:
    """The birthday as written, None if the text does not say the day. The offset of a birth time moves no birthday."""
    return _placed(_birthday, text, field, line)


# ---------------------------------------------------------------- codes


def other_hospital(code: str, sender: Sender) -> str:
    """The institution code a message names, if it is not the sender's own; "" for what is no such code."""
    return code if _INSTITUTION.fullmatch(code) and code != sender.hospital else ""


def is_icd_10(system: str) -> bool:
    """Whether a code system's name, URI or HL7 table says ICD-10."""
    plain = system.upper().replace("-", "").replace("_", "").replace(" ", "")
    return plain.startswith("I10") or "ICD10" in plain or system in _ICD_10_OIDS


def diagnoses_for(found: list[Diagnosis], sender: Sender, notes: dict[str, int]) -> tuple[Diagnosis, ...]:
    """The diagnoses as the adjudicator can read them, the main one first.

    With a `diagnosis_default` only ICD-10 codes stay, and the default stands where none is left.
    """
    if sender.diagnosis_default is not None:
        kept = [d for d in found if is_icd_10(d.system) or (not d.system and _ICD.fullmatch(d.code))]
        if len(kept) < len(found):
            note(
                notes,
                f"diagnoses that are not in ICD-10 ({sender.diagnosis_default} if none is)",
                len(found) - len(kept),
            )
        found = kept or [Diagnosis(code=sender.diagnosis_default, main=True, system="sender default")]
    if len(found) == 1 and found[0].main:
        return (found[0],)
    main = next((d for d in found if d.main), found[0] if found else None)
    rest = [d for d in found if d is not main]
    if main is None:
        return ()
    return (
        Diagnosis(main.code, main.name, main.role, True, main.system),
        *(Diagnosis(d.code, d.name, d.role, False, d.system) if d.main else d for d in rest),
    )


def category_of(code: str, name: str, sender: Sender, notes: dict[str, int]) -> str:
    """The charge class of a line: its code, else the class its name says, else the sender's default, else as told."""
    if code in CATEGORY_CODES:
        return code
    if name in CATEGORIES:
        return CATEGORIES[name]
    if sender.category_default is not None:
        return sender.category_default
    if code or name:
        note(notes, f'charge class "{(code or name)[:40]}" is not known')
    return code or name


def note(notes: dict[str, int], what: str, times: int = 1) -> None:
    """Count one thing that was kept but not understood."""
    notes[what] = notes.get(what, 0) + times


def noted(notes: dict[str, int]) -> tuple[str, ...]:
    """The notes as sentences, each once with its count."""
    return tuple(what if times == 1 else f"{what} ({times} times)" for what, times in notes.items())

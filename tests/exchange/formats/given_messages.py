"""The worked stay as the reference page shows it, and small ways to vary it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from safeweave.errors import Malformed
from safeweave.events import HospitalEvent
from safeweave.exchange.formats import Limits, Reading, Sender, read

HOSPITAL = Sender(id="first", hospital="H33020000001")
SYNTHEA = Sender(
    id="synthea",
    hospital="",
    currency="USD",
    diagnosis_default="R69",
    category_default="14",
    class_default="甲",
    claims_from_encounters=True,
)
DATA = Path(__file__).parents[1] / "data"
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "wire.md"
EXAMPLES = dict(re.findall(r"```\w+ (\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))


def taken(message: str | bytes, sender: Sender = HOSPITAL, limits: Limits | None = None) -> Reading:
    raw = message if isinstance(message, bytes) else message.encode()
    return read(raw, sender, limits or Limits())


def only(message: str | bytes, sender: Sender = HOSPITAL) -> HospitalEvent:
    (event,) = taken(message, sender).events
    return event


def refused(message: str | bytes, sender: Sender = HOSPITAL) -> Malformed:
    with pytest.raises(Malformed) as caught:
        taken(message, sender)
    malformed = caught.value
    assert malformed.field or malformed.line, f"no place: {malformed}"
    return malformed


def at(text: str) -> datetime:
    """The instant of a Shanghai clock text."""
    return datetime.fromisoformat(text + "+08:00").astimezone(UTC)


def hl7(trigger: str, *segments: str, header: str = "", visit: str = "") -> str:
    """An HL7 message of the worked stay with that trigger; `segments` follow PV1."""
    return "\r".join(
        (
            header
            or rf"MSH|^~\&|HIS|H001|CLAIMS|INS01|20260303084200+0800||{trigger}|M1|P|2.5.1|7||AL|NE|CHN|UNICODE UTF-8",
            "EVN||20260303084155+0800|||OP01|20260303084000+0800",
            "PID|1||B0001234^^^H001^MR~11010519491231002X^^^CN-MPS^NI||测试^甲||19491231|F",
            visit or "PV1|1|I|W05^301^02^H001||||||||||||||||ZY20260301^^^H001^VN",
            *segments,
        )
    )

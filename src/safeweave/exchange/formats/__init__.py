"""Hospital messages: bytes in, hospital events out. Pure; it opens nothing, and nothing it remembers changes an answer.

Each format is one file or package; `read` tells them apart by their first bytes. It leaves receiving, deduplication and
storing to the rest of `exchange`. Read docs/reference/wire.md first, then `reading.py`.
"""

from safeweave.errors import Malformed
from safeweave.exchange.formats import ebill, fhir, hl7v2, visit, x12, yibao
from safeweave.exchange.formats.reading import EobSeen, Format, Limits, Reading, Sender

__all__ = ["EobSeen", "Format", "Limits", "Reading", "Sender", "format_of", "read"]

_READERS = {
    "fhir": fhir.read,
    "hl7v2": hl7v2.read,
    "ebill": ebill.read,
    "yibao": yibao.read,
    "x12": x12.read,
    "visit": visit.read,
}


def read(raw: bytes, sender: Sender, limits: Limits, content_type: str | None = None) -> Reading:
    """The message as hospital events, each with `sender` filled in.

    It is read wholly or not at all: Malformed names the line or field of what cannot be read, and what to do.
    """
    if len(raw) > limits.max_bytes:
        raise Malformed(f"the message has {len(raw)} bytes, {limits.max_bytes} are allowed; send it in parts")
    return _READERS[format_of(raw, content_type)](raw, sender, limits)


def format_of(raw: bytes, content_type: str | None = None) -> Format:
    """Which format the bytes are in, by their beginning; Malformed if none."""
    start = raw[:4096].lstrip(b"\xef\xbb\xbf \t\r\n\x0b")
    if start.startswith(b"MSH"):
        return "hl7v2"
    if start.startswith((b"FHS", b"BHS")):
        raise Malformed(
            "an HL7 batch; send its messages one by one", line=1, field="FHS" if start[:1] == b"F" else "BHS"
        )
    if start.startswith(b"ISA"):
        return "x12"
    if start.startswith(b"<") or raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "ebill"
    if start.startswith(visit.BEGINNING):
        return "visit"
    if start.startswith(b"{"):
        if "fhir" in (content_type or ""):
            return "fhir"
        return "yibao" if yibao.is_yibao(raw) else "fhir"
    if not start:
        raise Malformed("the message is empty; send one message", line=1)
    raise Malformed(
        "the message begins like none of HL7 v2 (MSH), FHIR or 医保 (a JSON object), e-bill (XML) and X12 (ISA); "
        "compare it with docs/reference/wire.md",
        line=1,
    )

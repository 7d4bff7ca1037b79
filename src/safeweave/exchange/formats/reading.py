"""What is asked of a format and what it answers: the sender, the limits, and a message as read."""

from datetime import datetime
from typing import Literal

from safeweave.events import HospitalEvent
from safeweave.facts import Fact
from safeweave.money import Fen

Format = Literal["fhir", "hl7v2", "ebill", "yibao", "x12", "visit"]


class Sender(Fact):
    """Who sends, and what their messages leave unsaid.

    `hospital` is the institution code, "" for a sender that speaks for several. `hl7_application` and `hl7_facility`
    are what MSH-3 and MSH-4 must say, "" for anything. `encoding` is the character set of HL7 messages without MSH-18.

    `diagnosis_default` is the ICD-10 code of a visit whose diagnoses are missing or in another code system; None keeps
    the code as told, which the adjudicator refers. `category_default` and `class_default` are the charge class and
    catalogue class of lines that have none. `claims_from_encounters` reads FHIR claims as bills of their encounters
    (see docs/reference/wire.md §1). `test_messages` reads what is marked as a test as if it were real; else it is
    only noted, so that a test never pays.
    """

    id: str
    hospital: str
    hl7_application: str = ""
    hl7_facility: str = ""
    encoding: str = "utf-8"
    currency: str = "CNY"
    diagnosis_default: str | None = None
    category_default: str | None = None
    class_default: str | None = None
    claims_from_encounters: bool = False
    test_messages: bool = False


class Limits(Fact):
    """How much one message may hold; what is larger is refused unread.

    `max_entries` counts the entries of a Bundle, the segments of an HL7 or X12 message, the lines of a bill.
    """

    max_bytes: int = 32 * 1024 * 1024
    max_entries: int = 200_000


class EobSeen(Fact):
    """What a sender's own ExplanationOfBenefit paid for a claim: something to compare with, never an instruction."""

    claim: str
    paid: Fen


class Reading(Fact):
    """One message, wholly read.

    `control_id` is the sender's unique id of it; `sequence` its number in the sender's sequence (MSH-13). `notes` say
    what was kept but not understood: unknown codes, parts not read. They hold codes and counts, no names or diagnoses.
    """

    format: Format
    control_id: str
    sent_at: datetime | None
    sequence: int | None
    kind: str
    events: tuple[HospitalEvent, ...]
    notes: tuple[str, ...] = ()
    eobs: tuple[EobSeen, ...] = ()

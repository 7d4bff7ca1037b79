"""Whether a document may go from one member to another now: both may speak, and a consent between them is in force."""

from collections.abc import Callable
from typing import NamedTuple

from safeweave.consortium.directory import Directory
from safeweave.consortium.why import Code, Refused
from safeweave.ledger.ledger import ConsentFound, ConsentRecord, ConsentState, Head, MemberRecord

Covers = Callable[[str, str], bool]
"""Whether a consent (its id), as far as this member knows its text, covers this kind of document."""

_NOT_ACTIVE: dict[ConsentState, Code] = {
    "UNKNOWN": "consent_unknown",
    "PENDING": "consent_pending",
    "EXPIRED": "consent_expired",
    "REVOKED": "consent_revoked",
}


class Permit(NamedTuple):
    """What was found at one head of the ledger."""

    head: Head
    sender: MemberRecord
    recipient: MemberRecord
    consent: ConsentRecord


def permit(directory: Directory, consent: str, sender: str, recipient: str) -> Permit:
    """That a document may go, and the head at which it was so; Refused with the reason if it may not."""
    return permitted(directory, directory.consent(consent), consent, sender, recipient)


def permitted(directory: Directory, found: ConsentFound, consent: str, sender: str, recipient: str) -> Permit:
    """The same for a consent that was read already."""
    from_ = directory.active(sender, found.head)
    to = directory.active(recipient, found.head)
    if found.state != "ACTIVE" or found.record is None:
        raise Refused(_NOT_ACTIVE.get(found.state, "consent_unknown"), consent=consent)
    if {sender, recipient} != {found.record.by, found.record.grantee}:
        raise Refused("not_party", consent=consent)
    return Permit(found.head, from_, to, found.record)

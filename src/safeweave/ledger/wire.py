"""What the door of the log answers beside the values in `ledger.py`, and how much one question may ask."""

from safeweave.ledger.ledger import ConsentFound, Final, Head, MemberRecord, Proof, Refused, Unknown
from safeweave.ledger.operation import Said

MOST_OPERATIONS = 1000
MOST_ENTRIES = 500


class HeadTold(Said):
    """A head, and the proof that it follows from the one the reader knows already."""

    head: Head
    consistency: tuple[str, ...]


class ConsentTold(Said):
    """A consent at the newest head, the members it is between, and the proof that the head follows from one known."""

    found: ConsentFound
    members: tuple[MemberRecord, ...]
    consistency: tuple[str, ...]


class OutcomeTold(Said):
    """An outcome with the proof of what is final in it."""

    outcome: Final | Refused | Unknown
    proof: Proof | None = None


class EntryTold(Said):
    """An entry as it is in the log and its path to the root."""

    entry: str
    path: tuple[str, ...]


class EntriesTold(Said):
    """Entries in order, all proved by one checkpoint."""

    checkpoint: str
    entries: tuple[EntryTold, ...]

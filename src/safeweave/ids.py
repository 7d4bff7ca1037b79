"""Typed identifiers with readable prefixes, made once by whoever first knows the thing."""

import hashlib
import secrets
from typing import NewType

CaseId = NewType("CaseId", str)
PersonId = NewType("PersonId", str)
PolicyId = NewType("PolicyId", str)
DeterminationId = NewType("DeterminationId", str)
PayoutId = NewType("PayoutId", str)
MessageId = NewType("MessageId", str)
LetterId = NewType("LetterId", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, lower case: no i, l, o, u
_LETTERS = bytes(ord(_ALPHABET[byte & 31]) for byte in range(256))
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


PERSON_CHARACTERS = 6  # of a person's id, with which every id of what belongs to that person begins


def _base32(number: int) -> str:
    """The sixteen characters of an 80-bit number."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(70, -1, -10)])


def fresh(prefix: str) -> str:
    """A new random identifier such as "person_8m3k…", 80 random bits."""
    return f"{prefix}_{_base32(secrets.randbits(80))}"


def derived(prefix: str, *parts: object, of: str = "") -> str:
    """The identifier that always belongs to these parts, so that making it twice makes one thing.

    What belongs to a person begins like the id it is made `of` (the person's own, or that of anything theirs).
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    if of:
        return f"{prefix}_{person_key(of)}{digest[:10].translate(_LETTERS).decode()}"
    return f"{prefix}_{_base32(int.from_bytes(digest[:10], 'big'))}"


def bill_key(bill: str) -> str:
    """What is held while it is decided whether a bill is paid: there is one lock for all who may claim it."""
    return f"bill:{bill}"


def person_key(id: str) -> str:
    """The characters that say whose thing an id names: the lock it is changed under, and its place among shards.

    Two persons may share a key by chance (30 bits); they then only wait for one another.
    """
    start = id.find("_") + 1
    return id[start : start + PERSON_CHARACTERS]

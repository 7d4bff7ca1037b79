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
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def _base32(number: int) -> str:
    """The sixteen characters of an 80-bit number."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(70, -1, -10)])


def fresh(prefix: str) -> str:
    """A new random identifier such as "case_8m3k…", 80 random bits."""
    return f"{prefix}_{_base32(secrets.randbits(80))}"


def derived(prefix: str, *parts: object) -> str:
    """The identifier that always belongs to these parts, so that making it twice makes one thing."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return f"{prefix}_{_base32(int.from_bytes(digest[:10], 'big'))}"

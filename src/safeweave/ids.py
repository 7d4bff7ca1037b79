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


def _base32(number: int, length: int) -> str:
    out = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        out.append(_ALPHABET[digit])
    return "".join(reversed(out))


def fresh(prefix: str) -> str:
    """A new random identifier such as "case_8m3k…", 80 random bits."""
    return f"{prefix}_{_base32(secrets.randbits(80), 16)}"


def derived(prefix: str, *parts: object) -> str:
    """The identifier that always belongs to these parts, so that making it twice makes one thing."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return f"{prefix}_{_base32(int.from_bytes(digest[:10], 'big'), 16)}"

"""Typed identifiers with readable prefixes, made once by whoever first knows the thing.

Behind its prefix an id has, in this order: four characters of the hour in which its person or case came to be, in
ids of what there are many of; six characters of the person whose it is, or any; ten more. So what is new stands
together in every index, as in UUIDs of version 7 (RFC 9562 §6.13), and a store of millions is not written all over.
"""

import hashlib
import secrets
from datetime import datetime
from functools import lru_cache
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

HOUR_CHARACTERS = 4  # twenty bits: until 2089
PERSON_CHARACTERS = 6  # of a person's id, which every id of what belongs to that person has in the same place
_OWN_CHARACTERS = 10
_LONG = HOUR_CHARACTERS + PERSON_CHARACTERS + _OWN_CHARACTERS


def _base32(number: int) -> str:
    """The sixteen characters of an 80-bit number."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(70, -1, -10)])


def hour(at: datetime) -> str:
    """The characters that an hour's ids begin with; those of a later hour sort behind them."""
    number = int(at.timestamp()) // 3600
    return _PAIRS[number >> 10 & 1023] + _PAIRS[number & 1023]


def hour_of(id: str) -> str:
    """The characters of the hour that an id begins with; "" if it has none."""
    body = id[id.find("_") + 1 :]
    return body[:HOUR_CHARACTERS] if len(body) == _LONG else ""


def fresh(prefix: str, hour: str = "") -> str:
    """A new random identifier such as "person_8m3k…", 80 random bits behind those of its hour."""
    return f"{prefix}_{hour}{_base32(secrets.randbits(80))}"


def derived(prefix: str, *parts: object, of: str = "", hour: str = "") -> str:
    """The identifier that always belongs to these parts, so that making it twice makes one thing.

    What belongs to a person has the characters of the id it is made `of` (the person's own, or that of anything
    theirs), and begins with its hour or another one.
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    if of:
        own = digest[:_OWN_CHARACTERS].translate(_LETTERS).decode()
        return f"{prefix}_{hour or hour_of(of)}{person_key(of)}{own}"
    return f"{prefix}_{_base32(int.from_bytes(digest[:10], 'big'))}"


def bill_key(bill: str) -> str:
    """What is held while it is decided whether a bill is paid: there is one lock for all who may claim it."""
    return f"bill:{bill}"


@lru_cache(maxsize=16_384)  # a claim asks for a few ids again and again
def person_key(id: str) -> str:
    """The characters that say whose thing an id names: the lock it is changed under, and its place among shards.

    Two persons may share a key by chance (30 bits); they then only wait for one another.
    """
    start = id.find("_") + 1
    if len(id) - start == _LONG:
        start += HOUR_CHARACTERS
    return id[start : start + PERSON_CHARACTERS]

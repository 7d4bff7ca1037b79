"""Commitments: 32 bytes that bind to a document and tell nothing of it while the salt is kept from view.

Destroying the salt makes a commitment on the ledger point to nothing, which is how something is forgotten there.
"""

import secrets
from hmac import compare_digest
from typing import Any

from safeweave.errors import Malformed
from safeweave.keys.canonical import canonical
from safeweave.keys.framing import framed
from safeweave.keys.suites import suite as suite_named

SALT_BYTES = 32


def new_salt() -> bytes:
    """A salt for one document; never use it for another."""
    return secrets.token_bytes(SALT_BYTES)


def commitment(kind: str, salt: bytes, document: Any, suite: str = "std-1") -> bytes:
    """The 32 bytes to publish for this document: H(framed(domain, suite, kind, salt) || canonical JSON).

    Raises Malformed for a salt of another length or a document without canonical JSON.
    """
    if len(salt) != SALT_BYTES:
        raise Malformed(f"A commitment needs a salt of {SALT_BYTES} bytes, not {len(salt)}.")
    return suite_named(suite).digest(
        framed(b"safeweave/commit/1", suite.encode(), kind.encode(), salt) + canonical(document)
    )


def opens(committed: bytes, kind: str, salt: bytes, document: Any, suite: str = "std-1") -> bool:
    """Whether this document, with this salt, is what was committed to."""
    return compare_digest(commitment(kind, salt, document, suite), committed)

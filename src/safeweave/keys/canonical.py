"""One spelling for every value: JSON as RFC 8785 writes it, so that equal values have equal digests."""

from typing import Any

import msgspec
import rfc8785

from safeweave.errors import Malformed


def canonical(value: Any) -> bytes:
    """The value as canonical JSON (RFC 8785); structs become objects, bytes base64 text, instants RFC 3339 text.

    Raises Malformed for what JSON cannot say: whole numbers beyond 2**53 - 1, infinities, lone surrogates, other types.
    """
    try:
        return rfc8785.dumps(msgspec.to_builtins(value, str_keys=True))
    except (rfc8785.CanonicalizationError, TypeError, ValueError, RecursionError) as fault:
        raise Malformed(f"This value has no canonical JSON: {fault}.") from fault

"""Several byte strings as one that can be cut apart in one way only."""


def framed(*parts: bytes) -> bytes:
    """Each part behind its length in four bytes: what is hashed or signed cannot be read as other parts."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)

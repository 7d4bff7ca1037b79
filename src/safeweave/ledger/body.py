"""Reading the body of a request, but no more of it than is allowed."""

from fastapi import Request

from safeweave.errors import Malformed


async def limited_body(request: Request, most: int) -> bytes:
    """The body; Malformed as soon as it is longer than `most` bytes."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > most:
            raise Malformed(f"the request is longer than {most} bytes; send less at once")
    return bytes(raw)

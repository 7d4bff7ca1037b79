"""Browsers of the bench: each of somebody signed in, over one connection to the server's own process."""

import asyncio
import re
import secrets
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlencode

from safeweave.commands.bench.stores import HOST
from safeweave.errors import InvariantBroken
from safeweave.web.asked import BROWSER, SESSION

_TIMING = re.compile(r"total;dur=([\d.]+), wait;dur=([\d.]+)")
_INPUT = re.compile(r'<input[^>]* name="([^"]+)" value="([^"]*)"')
_MOST_HEAD = 1 << 20


class Answer(NamedTuple):
    """An answer as it came; times of the server in milliseconds."""

    status: int
    head: dict[str, str]
    body: bytes  # as sent: perhaps compressed
    took: float
    waited: float

    @property
    def text(self) -> str:
        """The body as text."""
        is_packed = self.head.get("content-encoding") == "gzip"
        return (zlib.decompress(self.body, 31) if is_packed else self.body).decode()

    @property
    def inputs(self) -> dict[str, str]:
        """What the forms of the page carry for us; of the same name the last."""
        return dict(_INPUT.findall(self.text))


class Browser:
    """One browser."""

    def __init__(self, port: int, token: str = "") -> None:
        self._port = port
        self._cookies = f"{BROWSER}={secrets.token_urlsafe(32)}" + (f"; {SESSION}={token}" if token else "")
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def get(self, path: str, *allowed: int) -> Answer:
        """A page. Raises InvariantBroken for a status that is not 200 and not allowed."""
        return await self._ask("GET", path, b"", allowed or (200,))

    async def post(self, path: str, fields: dict[str, str], *allowed: int) -> Answer:
        """Send a form, which may lead elsewhere. Raises InvariantBroken for another status, if it is not allowed."""
        return await self._ask("POST", path, urlencode(fields).encode(), (200, 303, *allowed))

    async def _ask(self, method: str, path: str, body: bytes, allowed: Sequence[int]) -> Answer:
        request = self._request(method, path, body)
        try:
            status, head, reader = await self._sent(request)
        except (asyncio.IncompleteReadError, ConnectionError):  # the server had just closed what lay idle
            self.close()
            status, head, reader = await self._sent(request)
        content = await reader.readexactly(int(head.get("content-length", "0")))
        if head.get("connection") == "close":
            self.close()
        timing = _TIMING.search(head.get("server-timing", ""))
        answer = Answer(status, head, content, *(map(float, timing.groups()) if timing else (0.0, 0.0)))
        if status not in allowed:
            raise InvariantBroken(f"{method} {path} was answered with {status}: {answer.text[:2000]}")
        return answer

    async def _sent(self, request: bytes) -> tuple[int, dict[str, str], asyncio.StreamReader]:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(HOST, self._port, limit=_MOST_HEAD)
        self._writer.write(request)
        return *await _head(self._reader), self._reader

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        kind = "content-type: application/x-www-form-urlencoded\r\n" if body else ""
        return (
            f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\ncookie: {self._cookies}\r\naccept-encoding: gzip\r\n"
            f"{kind}content-length: {len(body)}\r\n\r\n"
        ).encode() + body

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """The stream of changes: what each of its events says, once the first has come."""
        reader, writer = await asyncio.open_connection(HOST, self._port)
        try:
            writer.write(self._request("GET", "/events", b""))
            status, _ = await _head(reader)
            if status != 200:
                raise InvariantBroken(f"the stream of changes was answered with {status}")
            events = _events(reader)
            await anext(events)
            yield events
        finally:
            writer.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").split("\r\n")
    return int(first.split()[1]), {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)
    }


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while line := await reader.readline():
        if line.startswith(b"data: "):
            yield line[6:].strip()

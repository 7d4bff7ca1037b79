"""Asks others over HTTP/1.1, on connections that stay open: a fifth of the work of a general client for one question.

It follows no redirections, keeps no cookies and uses no proxy of the environment. Servers behind TLS are believed if
their certificate is, by the authorities of certifi or of SSL_CERT_FILE.
"""

import select
import socket
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from email.message import Message
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

IDLE_KEPT = 16  # connections to one server that nobody uses now

_Server = tuple[str, str, int | None]


class Reply(NamedTuple):
    """What was answered."""

    status_code: int
    headers: Message  # names in any case
    content: bytes

    @property
    def text(self) -> str:
        """The content, as far as it is text."""
        return self.content.decode("utf-8", "replace")


class Asking:
    """A client for any number of threads. Every question raises httpx.TransportError if there is no whole answer."""

    def __init__(self, seconds: float, connect_seconds: float | None = None) -> None:
        """`seconds` is how long an answer or its next part may take, `connect_seconds` how long a connection."""
        self._seconds, self._connect_seconds = seconds, connect_seconds or seconds
        self._idle: dict[_Server, list[HTTPConnection]] = {}
        self._lock = Lock()

    def get(self, url: str, seconds: float | None = None) -> Reply:
        """Ask for this address, an answer taking so many `seconds` at most instead of what is usual."""
        return self._asked("GET", url, None, {}, seconds)

    def post(self, url: str, content: bytes | Iterable[bytes], headers: Mapping[str, str] | None = None) -> Reply:
        """Hand this in. Content that comes in pieces has its length among the headers; what it raises is raised."""
        return self._asked("POST", url, content, headers or {}, None)

    def close(self) -> None:
        """Let the connections go."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _asked(
        self, method: str, url: str, content: bytes | Iterable[bytes] | None, headers: Mapping[str, str],
        seconds: float | None,
    ) -> Reply:  # fmt: skip
        try:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"{url!r} is no address of a server")
            server = parts.scheme, parts.hostname, parts.port
            connection = self._connected(server)
        except (OSError, HTTPException, ValueError) as fault:
            raise httpx.ConnectError(_said(fault)) from fault
        is_whole = False
        try:
            connection.sock.settimeout(seconds or self._seconds)
            path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered without hearing all of it
                connection.request(method, path, content, dict(headers))
            response = connection.getresponse()
            reply = Reply(response.status, response.headers, response.read())
            is_whole = not response.will_close
        except (OSError, HTTPException, ValueError) as fault:
            raise httpx.ReadError(_said(fault)) from fault
        finally:
            self._put_back(server, connection) if is_whole else connection.close()
        return reply

    def _connected(self, server: _Server) -> HTTPConnection:
        while True:
            with self._lock:
                waiting = self._idle.get(server)
                connection = waiting.pop() if waiting else None
            if connection is None:
                return self._new(server)
            if not _has_something_to_say(connection.sock):
                return connection
            connection.close()  # the server has let it go meanwhile

    def _new(self, server: _Server) -> HTTPConnection:
        scheme, host, port = server
        connection = (
            HTTPSConnection(host, port, timeout=self._connect_seconds, context=trusting())
            if scheme == "https"
            else HTTPConnection(host, port, timeout=self._connect_seconds)
        )
        connection.connect()
        return connection

    def _put_back(self, server: _Server, connection: HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(server, [])
            if len(idle) < IDLE_KEPT:
                idle.append(connection)
                return
        connection.close()


def _has_something_to_say(sock: socket.socket) -> bool:
    """Whether a server that was asked nothing says something: that is its end of the connection."""
    polled = select.poll()
    polled.register(sock, select.POLLIN)
    return bool(polled.poll(0))


@cache
def trusting() -> ssl.SSLContext:
    """Whose certificates are believed; read once, as that takes longer than many an answer."""
    return httpx.create_ssl_context()


def _said(fault: Exception) -> str:
    return str(fault) or type(fault).__name__

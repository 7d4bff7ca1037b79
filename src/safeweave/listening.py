"""The HTTP server behind every door: its socket, its event loop, its parser, how long the head of a request may be."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MOST = 64 * 1024


def run(door: Coroutine[Any, Any, None]) -> None:
    """Run what opens doors until it ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(door)


def http_config(app: Any, host: str, port: int) -> uvicorn.Config:
    """How this ASGI application is served there."""
    return uvicorn.Config(app, host, port, log_level="warning", lifespan="off", http=BoundedHttp)


def knocker(config: uvicorn.Config, share: bool = False) -> socket.socket:
    """The socket at which it is knocked; with `share`, other processes may listen there too. OSError, OverflowError."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    door = socket.create_server((config.host, config.port), family=family, backlog=config.backlog, reuse_port=share)
    door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or answers wait up to 40 ms for their rest
    return door


async def until_told(
    http: uvicorn.Server, serving: "asyncio.Task[None]", ready: Callable[[], None], stopping: threading.Event
) -> None:
    """Say when it is `ready`, and come back when `stopping` is set or the server has ended by itself."""
    while not http.started and not serving.done():
        await asyncio.sleep(0.01)
    if http.started:
        ready()
    while not serving.done() and not stopping.is_set():
        await asyncio.sleep(0.1)


class BoundedHttp(HttpToolsProtocol):
    """Refuses a request whose head goes on for ever; the parser itself sets no limit.

    All that is not body counts: the request line and the headers before it, what frames its chunks, the trailers.
    """

    _beside = 0  # bytes of this request that were no body
    _body = 0  # bytes of what is being fed that were body
    _is_over = False

    def data_received(self, data: bytes) -> None:
        self._body, self._is_over = 0, False
        super().data_received(data)
        self._beside = 0 if self._is_over else self._beside + len(data) - self._body
        if self._beside > HEAD_BYTES_MOST and not self.transport.is_closing():
            self.send_400_response("The head of this request is too long.")

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_over = True
        super().on_message_complete()

"""A node with its doors open, and hospitals that knock: real HTTP and real MLLP sockets."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import httpx

from given import TOKEN, House
from safeweave.asking import trusting
from safeweave.exchange import mllp
from safeweave.ports import free_port
from safeweave.serving import serve
from waiting import PATIENCE


@dataclass
class Doors:
    """Where a node listens."""

    house: House
    http: httpx.Client
    mllp: tuple[str, int]

    def post(self, path: str, body: bytes | str, token: str | None = TOKEN) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return self.http.post(path, content=body if isinstance(body, bytes) else body.encode(), headers=headers)

    def hl7(self, *messages: bytes | str) -> list[bytes]:
        """The answers to these messages, all on one connection."""
        raw = [m if isinstance(m, bytes) else m.replace("\n", "\r").encode() for m in messages]
        return asyncio.run(mllp.send(*self.mllp, raw))


@contextmanager
def open_doors(house: House) -> Iterator[Doors]:
    """The doors of a house's node, and its worker, running until the end of the block."""
    node = house.node
    node.settings = replace(node.settings, http_port=free_port(), mllp_port=free_port())
    ready, stopping = threading.Event(), threading.Event()
    thread = threading.Thread(target=serve, args=(node, ready.set, stopping), daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    base = f"http://127.0.0.1:{node.settings.http_port}"
    try:
        with httpx.Client(base_url=base, trust_env=False, timeout=PATIENCE, verify=trusting()) as http:
            yield Doors(house, http, ("127.0.0.1", node.settings.mllp_port))
    finally:
        stopping.set()
        thread.join()

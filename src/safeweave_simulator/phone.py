"""People's phones: an SMS gateway and a WeChat server that keep what they were sent, with faults from one seed.

    python -m safeweave_simulator.phone --port 8092 [--seed 7] [--silent 0.05] [--dead 13800000009]

    POST /sms       {"id", "to", "text"}; a dead number gets 422
    POST /wechat    subscribeMessage.send; a dead openid gets errcode 43101
    GET  /messages  everything that reached somebody, in order

A message is known by its Idempotency-Key: asked again, it is answered as before and rings nobody's phone twice.
"""

import argparse
import json
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any


@dataclass
class Phones:
    """What reached whom. `silent` is the share of calls that get no proper answer, half of them after delivery."""

    seed: int = 0
    silent: float = 0.0
    dead: Collection[str] = ()
    codes: Mapping[str, int] = field(default_factory=dict)  # what a number or openid is answered: a status, an errcode
    messages: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._keys: set[str] = set()
        self._one_at_a_time = threading.Lock()

    def take(self, channel: str, key: str, content: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and body of the answer to one call."""
        to = str(content.get("to" if channel == "sms" else "touser", ""))
        with self._one_at_a_time:
            chance = self._random.random()
            if chance < self.silent / 2:
                return 503, {}
            if to in self.dead:
                return (422, {}) if channel == "sms" else (200, {"errcode": 43101, "errmsg": "user refuse"})
            if to in self.codes:
                code = self.codes[to]
                return (code, {}) if channel == "sms" else (200, {"errcode": code, "errmsg": "not now"})
            if key not in self._keys:
                self._keys.add(key)
                self.messages.append({"channel": channel, "key": key, "to": to, **content})
            if chance < self.silent:
                return 503, {}  # it arrived, but the caller does not learn so
        if channel == "sms":
            return 200, {"receipt": f"sms-{key}"}
        return 200, {"errcode": 0, "errmsg": "ok", "msgid": f"wx-{key}"}


class PhoneServer:
    """The gateway on a port of this machine (0: any free one), in a thread, until `close`."""

    def __init__(self, phones: Phones, port: int = 0) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(phones))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _handler(phones: Phones) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            channel = self.path.strip("/")
            if channel not in ("sms", "wechat"):
                self._answer(404, {})
                return
            self._answer(*phones.take(channel, self.headers.get("idempotency-key", ""), json.loads(body)))

        def do_GET(self) -> None:
            self._answer(200, {"messages": phones.messages})

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Messages hold personal data: nothing is logged."""

    return Handler


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser("safeweave_simulator.phone", description="An SMS gateway and a WeChat server.")
    parser.add_argument("--port", type=int, default=8092)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--silent", type=float, default=0.0, help="share of calls without a proper answer")
    parser.add_argument("--dead", nargs="*", default=[], help="numbers and openids that take nothing")
    asked = parser.parse_args()
    server = PhoneServer(Phones(asked.seed, asked.silent, set(asked.dead)), asked.port)
    print(f"{server.url}/sms {server.url}/wechat", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.close()


if __name__ == "__main__":
    main()

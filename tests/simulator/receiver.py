"""A small insurer's door for tests: it keeps what comes over MLLP and HTTP, answers, or drops the line on request."""

import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from safeweave.ports import free_port
from safeweave_simulator.client import Doors


class Receiver:
    """Listens on two ports, which stay free while it is closed, or on those given.

    `drops(n)` says whether the n-th message gets no answer; `refuses(body)` whether it is answered as faulty.
    """

    def __init__(
        self,
        drops: Callable[[int], bool] = lambda number: False,
        refuses: Callable[[bytes], bool] = lambda body: False,
        ports: tuple[int, int] | None = None,
    ) -> None:
        self.received: list[bytes] = []
        self.tokens: set[str] = set()
        self.drops, self.refuses = drops, refuses
        self._lock = threading.Lock()
        mllp, http = ports or (free_port(), free_port())
        self._mllp = _Mllp(("127.0.0.1", mllp), _mllp_handler(self))
        self._http = ThreadingHTTPServer(("127.0.0.1", http), _http_handler(self))
        self._http.daemon_threads = True
        for server in (self._mllp, self._http):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def ports(self) -> tuple[int, int]:
        return self._mllp.server_address[1], self._http.server_address[1]

    def doors(self, tokens: dict[str, str]) -> Doors:
        mllp, http = self.ports
        return Doors(("127.0.0.1", mllp), f"http://127.0.0.1:{http}", tokens)

    def hear(self, body: bytes) -> bool:
        """Keep a message; whether to answer it."""
        with self._lock:
            self.received.append(body)
            return not self.drops(len(self.received))

    def close(self) -> None:
        for server in (self._mllp, self._http):
            server.shutdown()
            server.server_close()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Mllp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def _mllp_handler(receiver: Receiver) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            waiting = b""
            while data := self.request.recv(65536):
                waiting += data
                while b"\x1c\r" in waiting:
                    frame, _, waiting = waiting.partition(b"\x1c\r")
                    body = frame.removeprefix(b"\x0b")
                    if not receiver.hear(body):
                        return
                    control_id = body.split(b"\r")[0].split(b"|")[9]
                    code = b"AE" if receiver.refuses(body) else b"AA"
                    self.request.sendall(
                        b"\x0bMSH|^~\\&|INS|||||ACK|1|P|2.5.1\rMSA|" + code + b"|" + control_id + b"\r\x1c\r"
                    )

    return Handler


def _http_handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.tokens.add(self.headers["authorization"].removeprefix("Bearer "))
            if not receiver.hear(body):
                self.close_connection = True
                return
            self.send_response(400 if receiver.refuses(body) else 200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    return Handler

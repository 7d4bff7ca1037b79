"""A real node of one's own (anvil), to speak to and to fail, and a door that stalls, breaks off and repeats."""

import contextlib
import gzip
import json
import shutil
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ledger.given_ledger import NOON
from safeweave.ports import free_port
from waiting import PATIENCE, until

TOOLS = Path(__file__).resolve().parents[3] / "requirements" / "chain" / "node_modules"
MISSING = "anvil is not here: `make setup-dev` installs it where npm is"


def anvil() -> Path | None:
    """The program, as set-up installs it or as found on the PATH; None where there is none."""
    for found in sorted((TOOLS / "@foundry-rs").glob("anvil-*/bin/anvil*")):
        return found
    on_path = shutil.which("anvil")
    return Path(on_path) if on_path else None


class Anvil:
    """One anvil process: a chain of one node, which seals a block for each transaction unless told otherwise."""

    def __init__(self, folder: Path | None = None, begins: int = NOON) -> None:
        """Started at once, its first block at `begins`; `save` and `start` keep and take up its state in a folder."""
        self.port = free_port()
        self.state = folder / "state.json" if folder else None
        self._begins = begins
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, from the saved state if there is one; back when it answers."""
        program = anvil()
        assert program, MISSING
        command = [str(program), "--port", str(self.port), "--silent", "--gas-price", "0", "--base-fee", "0"]
        command += ["--hardfork", "paris", "--chain-id", "1337", "--accounts", "1", "--threads", "1"]
        command += ["--timestamp", str(self._begins)]
        if self.state and self.state.exists():
            command += ["--load-state", str(self.state)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, lambda: "anvil does not answer")

    def _answers(self) -> bool:
        assert self._process
        with contextlib.suppress(OSError):
            self.ask("eth_blockNumber")
            return True
        assert self._process.poll() is None, "anvil ended while it was starting"
        return False

    def ask(self, method: str, *params: object) -> Any:
        """One call of its JSON-RPC, past any door. Raises OSError when it does not answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            said = json.load(answer)
        assert "error" not in said, said
        return said["result"]

    def save(self) -> None:
        """Save the state as it is now, for `start` to begin from."""
        assert self.state
        dumped = bytes.fromhex(self.ask("anvil_dumpState")[2:])
        self.state.write_bytes(_unpacked(dumped))

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


def _unpacked(dumped: bytes) -> bytes:
    return gzip.decompress(dumped) if dumped[:2] == b"\x1f\x8b" else dumped


class Door:
    """A TCP door before a node: open, stalled, breaking off after the request, or repeating it."""

    def __init__(self, port: int) -> None:
        """Opens at once, before the node at that port of this machine."""
        self.behind = port
        self.mood = "open"
        self.seen: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._closing = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def being(self, mood: str, method: str) -> Iterator[None]:
        """Inside, each request for this JSON-RPC method is met with `stall`, `break` or `repeat`."""
        self.mood, self.method = mood, method
        try:
            yield
        finally:
            self.mood = "open"

    def close(self) -> None:
        """Shut it; whoever stalls is let go."""
        self._closing.set()
        self._listening.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(caller,), daemon=True).start()

    def _pass(self, caller: socket.socket) -> None:
        with caller:
            while (request := _message(caller)) is not None:
                method = str(json.loads(request.partition(b"\r\n\r\n")[2])["method"])
                self.seen.append(method)
                mood = self.mood if self.mood != "open" and method == self.method else "open"
                if mood == "stall":  # the request never arrives, and nobody says so
                    self._closing.wait()
                    return
                try:
                    answer = self._forward(request)
                    if mood == "repeat":
                        answer = self._forward(request)
                except OSError:
                    return
                if mood == "break":  # it arrived; the answer does not
                    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    return
                with contextlib.suppress(OSError):
                    caller.sendall(answer)

    def _forward(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.behind), timeout=PATIENCE) as node:
            node.sendall(request)
            answer = _message(node)
            if answer is None:
                raise OSError("the node broke off")
            return answer


def _message(connection: socket.socket) -> bytes | None:
    """One HTTP message with a length, or None when the other side has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            more = connection.recv(65536)
        except OSError:
            return None
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        more = connection.recv(65536)
        if not more:
            return None
        body += more
    return head + b"\r\n\r\n" + body


def running(folder: Path | None = None) -> Iterator[Anvil]:
    """A node for a fixture; ended with it."""
    node = Anvil(folder)
    try:
        yield node
    finally:
        node.kill()

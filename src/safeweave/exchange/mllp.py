"""MLLP: HL7 v2 messages over TCP, each between 0x0B and 0x1C 0x0D, each answered on the same connection.

Source: HL7 v2.5.1 implementation guide, Minimal Lower Layer Protocol. Bytes outside a frame are skipped, as the
protocol says; a frame that begins inside another shows that the other broke off, and is read from its beginning. What
the answer is, the caller decides; a connection whose answer fails is closed without one, so that
the sender sends again.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable

from safeweave.errors import SafeweaveError, Unavailable
from safeweave.exchange.formats.reading import Limits

START, END = b"\x0b", b"\x1c\r"
IDLE_SECONDS = 300.0
BACKLOG = 100  # connections that wait to be taken

_log = logging.getLogger(__name__)


class Frames:
    """Cuts a stream into messages, however it was chunked."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.skipped = 0  # bytes that stood outside of frames
        self.broken = 0  # frames in which another one began before they ended
        self._held = bytearray()
        self._searched = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that this chunk completes. Raises OverflowError if one grows beyond `max_bytes`."""
        self._held += chunk
        whole: list[bytes] = []
        while True:
            begin = self._held.find(START)
            if begin < 0:
                self._skip(len(self._held))
                return whole
            self._skip(begin)
            end = self._held.find(END, max(1, self._searched))
            again = self._held.rfind(START, max(1, self._searched), end if end >= 0 else len(self._held))
            if again > 0:
                self.broken += self._held.count(START, 0, again)
                del self._held[:again]
                self._searched = 0
                continue
            if end < 0:
                if len(self._held) > self.max_bytes + 2:
                    raise OverflowError(f"a message of more than {self.max_bytes} bytes")
                self._searched = len(self._held) - 1
                return whole
            if end - 1 > self.max_bytes:
                raise OverflowError(f"a message of more than {self.max_bytes} bytes")
            whole.append(bytes(self._held[1:end]))
            del self._held[: end + len(END)]
            self._searched = 0

    @property
    def open(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._held)

    def _skip(self, count: int) -> None:
        if count:
            # Line ends between frames are common and harmless.
            self.skipped += len(bytes(self._held[:count]).strip(b"\r\n"))
            del self._held[:count]
            self._searched = 0


async def serve(
    host: str,
    port: int,
    answer: Callable[[bytes], Awaitable[bytes]],
    limits: Limits,
    idle_seconds: float = IDLE_SECONDS,
    share_port: bool = False,
) -> asyncio.Server:
    """A listening server that answers each message with `answer`, one after the other on each connection.

    A connection is closed when it stays silent for `idle_seconds`, sends a message beyond `limits.max_bytes`, or does
    not take its answers within that time. With `share_port`, other processes of ours may listen there too.
    """

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = Frames(limits.max_bytes)
        try:
            while chunk := await asyncio.wait_for(reader.read(65536), idle_seconds):
                for message in frames.feed(chunk):
                    writer.write(START + await answer(message) + END)
                    await asyncio.wait_for(writer.drain(), idle_seconds)
            if frames.open:
                _log.warning("mllp: connection ended inside a message; it was not stored")
        except TimeoutError:
            _log.info("mllp: connection silent for %s seconds, closed", idle_seconds)
        except OverflowError as too_long:
            _log.warning("mllp: %s, connection closed", too_long)
        except (ConnectionError, SafeweaveError) as wrong:
            _log.warning("mllp: connection closed: %s", type(wrong).__name__)
        finally:
            if frames.broken:
                _log.warning("mllp: %d messages broke off where the next one began; not stored", frames.broken)
            if frames.skipped:
                _log.warning("mllp: %d bytes outside of frames were skipped", frames.skipped)
            writer.close()

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    knocker = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=share_port)
    return await asyncio.start_server(converse, sock=knocker)  # of a port above 65535 an event loop might make another


async def send(host: str, port: int, messages: Iterable[bytes], wait_seconds: float = 30.0) -> list[bytes]:
    """The answers to `messages`, each sent when the one before was answered.

    Raises Unavailable if the receiver cannot be reached, is silent for `wait_seconds` or hangs up: messages without
    an answer may or may not have been stored, so send them again under the same control ids.
    """
    answers: list[bytes] = []
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), wait_seconds)
    except (OSError, TimeoutError) as wrong:
        raise Unavailable(f"nobody answers at {host}:{port}; start the receiver or try again later") from wrong
    frames = Frames(Limits().max_bytes)
    try:
        for message in messages:
            writer.write(START + message + END)
            await writer.drain()
            received: list[bytes] = []
            while not received:
                chunk = await asyncio.wait_for(reader.read(65536), wait_seconds)
                if not chunk:
                    raise Unavailable(f"{host}:{port} hung up after {len(answers)} answers; send the rest again")
                received = frames.feed(chunk)
            answers += received
    except (OSError, TimeoutError) as wrong:
        raise Unavailable(f"{host}:{port} fell silent after {len(answers)} answers; send the rest again") from wrong
    finally:
        writer.close()
    return answers

"""Content that rests in the store encrypted: under a fresh key each, which is sealed to a key ring of ours.

Nothing but this program with that ring opens it; what it is bound to (an id, its place, how much there is) cannot be
changed unseen.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from safeweave.errors import Unavailable
from safeweave.keys.errors import NoSuchKey, SealBroken
from safeweave.keys.framing import framed
from safeweave.keys.keyset import key_id
from safeweave.keys.ring import KeyRing
from safeweave.keys.suites import suite as suite_named

PIECE_BYTES = 1024 * 1024
_INFO = b"safeweave/locked/1"


class _Lock(msgspec.Struct, frozen=True):
    """The first piece: the content's key, sealed to one of our own periods, and how many pieces follow."""

    suite: str
    sealing: str
    key: bytes
    pieces: int


_locks = msgspec.json.Decoder(_Lock)


def locked(id: str, parts: Sequence[bytes], ring: KeyRing) -> Iterator[bytes]:
    """These parts as pieces that only the ring opens; `id` is what they are bound to."""
    keys = ring.public()[-1]
    suite = suite_named(keys.suite)
    key = secrets.token_bytes(suite.content_key_bytes)
    lock = _Lock(keys.suite, key_id(keys.suite, keys.sealing), suite.seal(keys.sealing, _bound(id), key), len(parts))
    yield msgspec.json.encode(lock)
    for n, part in enumerate(parts):
        yield suite.lock(key, _nonce(n), part, _bound(id, n, len(parts)))


def unlocked(id: str, pieces: Sequence[bytes], ring: KeyRing) -> bytes:
    """What was locked. Raises SealBroken if it was changed, NoSuchKey if it was sealed to another ring."""
    lock = _locks.decode(pieces[0])
    if len(pieces) != lock.pieces + 1:
        raise SealBroken()
    suite, period = suite_named(lock.suite), ring.sealed_to(lock.sealing)
    key = suite.open(period.opening_key(), _bound(id), lock.key)
    return b"".join(suite.unlock(key, _nonce(n), row, _bound(id, n, lock.pieces)) for n, row in enumerate(pieces[1:]))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _bound(id: str, *numbers: int) -> bytes:
    return framed(_INFO, id.encode(), *[str(number).encode() for number in numbers])


class Rest:
    """What encrypts for the store of one node: a key ring in a file, made when something is first kept.

    Hosts that share a store share this file; it is copied to them by hand, and kept as safe as the store's backups.
    """

    def __init__(self, file: Path, passphrase: str = "") -> None:
        self._file, self._passphrase = file, passphrase or None

    @cached_property
    def _ring(self) -> KeyRing:
        """Raises what KeyRing.load does."""
        if not self._file.exists():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            made = self._file.with_name(f".{self._file.name}.{secrets.token_hex(4)}.made")
            KeyRing.generated("rest").save(made, self._passphrase)
            try:
                os.link(made, self._file)  # of several processes that make one, the first has made it for all
            except FileExistsError:
                pass
            finally:
                made.unlink()
        return KeyRing.load(self._file, self._passphrase)

    def lock(self, id: str, content: bytes) -> list[bytes]:
        """The content in pieces that only this node opens."""
        parts = [content[start : start + PIECE_BYTES] for start in range(0, len(content), PIECE_BYTES)]
        return list(locked(id, parts, self._ring))

    def unlock(self, id: str, pieces: Iterable[bytes]) -> bytes:
        """What was locked. Raises SealBroken if it was changed, Unavailable if this host has other keys."""
        try:
            return unlocked(id, list(pieces), self._ring)
        except NoSuchKey as other:
            raise Unavailable(f"{self._file} is not the key file under which this was kept; copy that one here") from (
                other
            )

"""Named locks and counters in a folder beside an embedded store, for all threads and processes over it.

The locks are bytes of its files, held by whoever opened them (open file descriptions); the system lets go of them when
their holder dies. The system looks through all locks of a file for each new one, so they are spread over several. The
folder may be deleted while nobody uses the store.
"""

import errno
import os
import struct
from collections.abc import Callable, Collection
from hashlib import blake2b
from typing import IO
from zlib import crc32

from safeweave.clock import pause, seconds_running
from safeweave.errors import Crossed, StoreUnavailable

try:
    import fcntl

    AVAILABLE = hasattr(fcntl, "F_OFD_SETLK")  # else only one transaction at a time
except ImportError:
    AVAILABLE = False

_COUNTERS = 512  # 8 bytes each, at the beginning; two tables that share one only leave numbers out
_COUNTER = struct.Struct("=q")
_FLOCK = struct.Struct("@hhqqi0q")
_FILES = 32
COUNTERS = "counters"  # the file that holds them, and the locks of all
_GATE, _INSIDE, _COUNTING = 0, 1, 2
_MOST_SECONDS = 5.0


class Locks:
    """The locks of one transaction at a time; for one thread."""

    def __init__(self, folder: str) -> None:
        """Raises StoreUnavailable if the folder cannot be used."""
        self._folder = folder
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"the store cannot be used now: {error}") from error
        self._opened: dict[str, IO[bytes]] = {}
        self._file = self._open(COUNTERS)
        self._used: set[int] = set()  # files of which something is locked
        self._held: set[str] = set()

    def _open(self, name: str) -> int:
        if name not in self._opened:
            path = os.path.join(self._folder, name)
            try:
                self._opened[name] = open(path, "r+b", buffering=0, opener=_made)  # noqa: SIM115 - as long as the store
            except OSError as error:
                raise StoreUnavailable(f"the store cannot be used now: {error}") from error
        return self._opened[name].fileno()

    def enter(self, alone: bool) -> None:
        """Wait until there is room: for one who is alone when all others have left, for others when none is alone.

        Whoever waits to be alone keeps the gate, so that those who come later come after it.
        """
        self._lock(_GATE, fcntl.F_WRLCK, wait=True)
        self._lock(_INSIDE, fcntl.F_WRLCK if alone else fcntl.F_RDLCK, wait=True)
        if not alone:
            self._lock(_GATE, fcntl.F_UNLCK)

    def hold(self, keys: Collection[str]) -> set[str]:
        """Those of these keys that are held now, until `leave`."""
        for key in keys:
            if key not in self._held:
                number = int.from_bytes(blake2b(key.encode(), digest_size=7).digest())
                file = self._open(str(number % _FILES))
                if self._lock(number // _FILES, fcntl.F_WRLCK, file=file):
                    self._used.add(file)
                    self._held.add(key)
        return self._held.intersection(keys)

    def wait_for(self, keys: Collection[str]) -> None:
        """Hold these keys until `leave`; Crossed if they are not to be had for long."""
        give_up = seconds_running() + _MOST_SECONDS
        for key in sorted(keys):
            while not self.hold([key]):
                if seconds_running() > give_up:
                    raise Crossed("another transaction keeps what this one waits for")
                pause(0.001)

    def draw(self, name: str, count: int, at_least: Callable[[], int]) -> int:
        """The first of `count` numbers in a row that nobody else has drawn, all above what `at_least` says."""
        place = crc32(name.encode()) % _COUNTERS * _COUNTER.size
        self._lock(_COUNTING, fcntl.F_WRLCK, wait=True)
        try:
            known = os.pread(self._file, _COUNTER.size, place)
            last = max(_COUNTER.unpack(known)[0] if len(known) == _COUNTER.size else 0, at_least())
            os.pwrite(self._file, _COUNTER.pack(last + count), place)
        except OSError as error:
            raise StoreUnavailable(f"the store cannot be used now: {error}") from error
        finally:
            self._lock(_COUNTING, fcntl.F_UNLCK)
        return last + 1

    def leave(self) -> None:
        """Let go of everything."""
        self._held.clear()
        for file in self._used:
            self._lock(0, fcntl.F_UNLCK, length=0, file=file)
        self._used.clear()
        self._lock(0, fcntl.F_UNLCK, length=0)

    def close(self) -> None:
        """Let go of everything, and of the files."""
        for opened in self._opened.values():
            opened.close()
        self._opened.clear()

    def _lock(self, start: int, kind: int, wait: bool = False, length: int = 1, file: int = -1) -> bool:
        command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
        try:
            fcntl.fcntl(self._file if file < 0 else file, command, _FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES) and not wait:
                return False
            raise StoreUnavailable(f"the store cannot be used now: {error}") from error
        return True


def _made(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o644)

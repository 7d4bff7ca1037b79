"""Files without a name, for what is sealed and opened: gone with the process, whatever happens to it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Protocol, cast

IN_MEMORY_BYTES = 1024 * 1024  # what is larger goes to the disk


def spooled(folder: Path) -> BinaryIO:
    """A fresh one, in this folder once it is large. Raises OSError as it is written to, if the disk is full."""
    folder.mkdir(parents=True, exist_ok=True)
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(folder)))


class Source(Protocol):
    """What gives its bytes in order."""

    def read(self, size: int, /) -> bytes: ...


def side_by_side(file: BinaryIO) -> Callable[[], Source]:
    """Makes sources of the whole file that may be read in threads beside each other, each from its own place."""
    lock = Lock()
    return lambda: _FromItsPlace(file, lock)


@dataclass
class _FromItsPlace:
    file: BinaryIO
    lock: Lock
    at: int = 0

    def read(self, size: int, /) -> bytes:
        with self.lock:
            self.file.seek(self.at)
            found = self.file.read(size)
        self.at += len(found)
        return found

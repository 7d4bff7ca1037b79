"""Files without a name, for what is sealed and opened: gone with the process, whatever happens to it."""

import tempfile
from pathlib import Path
from typing import BinaryIO, cast

IN_MEMORY_BYTES = 1024 * 1024  # what is larger goes to the disk


def spooled(folder: Path) -> BinaryIO:
    """A fresh one, in this folder once it is large. Raises OSError as it is written to, if the disk is full."""
    folder.mkdir(parents=True, exist_ok=True)
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(folder)))

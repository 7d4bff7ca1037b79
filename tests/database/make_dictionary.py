"""Makes a dictionary for packed values out of stores that hold what such values look like.

    python -m tests.database.make_dictionary facts OUT.zdict STORE...
    python -m tests.database.make_dictionary messages OUT.zdict STORE...

The stores are files left by `safeweave demo`, of several seeds. A dictionary that is in the repository is never made
anew: values are read with it. A better one becomes `dictionaries/<next number>.zdict` and is named in `packing.py`.
"""

import random
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from zstandard import train_dictionary

from safeweave.database import unpacked

BYTES = 65_536  # half as many cost a tenth more room, twice as many save nothing
SAMPLES = {
    "facts": (
        "select payload from event",
        "select kept from determination",
        "select kept from determination",  # twice: they are few beside the events
        "select content from letter",
    ),
    "messages": ("select original from inbound_message where original is not null",),
}


def samples(of: str, stores: Sequence[Path]) -> list[bytes]:
    """What stands packed in these stores, shuffled the same way each time."""
    found = []
    for path in stores:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            found += [unpacked(value) for sql in SAMPLES[of] for (value,) in store.execute(sql)]
    random.Random(1).shuffle(found)
    return found


if __name__ == "__main__":
    of, out, *stores = sys.argv[1:]
    Path(out).write_bytes(train_dictionary(BYTES, samples(of, [Path(store) for store in stores])).as_bytes())

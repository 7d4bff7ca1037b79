"""`make bench`: the bench on a PostgreSQL server of its own, as durable as one in service, which is gone afterwards.

    python -m tests.bench.with_postgresql [arguments of `safeweave bench`]

Without PostgreSQL on this machine, only the embedded engine is measured. TMPDIR says on which disk the server lies.
"""

import signal
import sys
from collections.abc import Sequence

from safeweave.main import main
from safeweave_simulator.postgresql import NotInstalled, Server

# What docs/reference/bench.md says of the server; everything else is PostgreSQL's default: fsync, full_page_writes and
# synchronous_commit are on.
SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "max_locks_per_transaction": "256",
    "wal_compression": "lz4",
}


def a_server() -> Server:
    """A started server with these settings, as far as its version knows them. Raises NotInstalled."""
    server = Server.temporary(SETTINGS)
    try:
        return server.start()
    except RuntimeError:
        server.remove()
        server = Server.temporary({**SETTINGS, "wal_compression": "on"})  # built without lz4
        return server.start()


def bench(arguments: Sequence[str]) -> int:
    """Run `safeweave bench` with these arguments; its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        server = a_server()
    except NotInstalled as missing:
        print(missing, file=sys.stderr)
        return main(["bench", *arguments])
    try:
        return main(["bench", "--database", server.url(), *arguments])
    finally:
        server.remove()


if __name__ == "__main__":
    sys.exit(bench(sys.argv[1:]))

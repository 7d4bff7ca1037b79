"""A process that writes to a log what it is given and says what was acknowledged; tests kill it or fill its disk."""

import resource
import sys
from pathlib import Path

from ledger.ledgers import Time, log_signer
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final
from safeweave.ledger.operation import read_signed
from waiting import PATIENCE


def main(folder: Path, first: int, group: int, bytes_left: int) -> None:
    signed = [read_signed(line) for line in (folder / "operations").read_bytes().splitlines()]
    ledger = EmbeddedLedger(folder / "log.sqlite", log_signer(), Time())
    print("open", flush=True)
    if bytes_left:
        largest = max(file.stat().st_size for file in folder.glob("log.sqlite*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + bytes_left, resource.RLIM_INFINITY))
    for start in range(first, len(signed), group):
        part = signed[start : start + group]
        for id in ledger.submit(part):
            outcome = ledger.outcome(id, PATIENCE)
            print("final" if isinstance(outcome, Final) else f"unknown {outcome}", id, flush=True)
            if not isinstance(outcome, Final) and bytes_left:  # there is room again
                bytes_left = 0
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                again = ledger.submit(part)
                print(
                    *("again" if isinstance(ledger.outcome(id, PATIENCE), Final) else "lost" for id in again),
                    flush=True,
                )
    ledger.close()
    print("closed", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))

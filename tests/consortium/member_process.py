"""One member as a process of its own, for tests that kill it: a door, a courier, and what was handed over in a file.

Started with its folder, where `member.json` says who it is; each line of standard input queues a document.
"""

import io
import json
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from consortium.given_consortium import hand_over
from safeweave.consortium import store
from safeweave.consortium.anchoring import Anchoring
from safeweave.consortium.directory import Directory
from safeweave.consortium.door import reception_router
from safeweave.consortium.receiving import Reception
from safeweave.consortium.sending import Courier
from safeweave.database import Database
from safeweave.keys.ring import KeyRing
from safeweave.ledger.checkpoint import TrustRoots
from safeweave.ledger.remote import RemoteLedger


def now() -> datetime:
    return datetime.now(UTC)


def main(folder: Path) -> None:
    told = json.loads((folder / "member.json").read_text())
    database = Database(told["store"] or folder / "node.db")
    ring = KeyRing.load(folder / "keys")
    ledger = RemoteLedger(told["ledger"], TrustRoots(**told["roots"]), folder / "seen.note")

    def address_of(member: str) -> str | None:
        with database.reading() as tx:
            found = store.contacts(tx).get(member)
        return found.url if found else None

    directory = Directory(ledger, address_of)
    reception = Reception(database, directory, lambda: ring, now, hand_over, folder / "arriving")
    courier = Courier(database, directory, lambda: ring, now, folder / "leaving")
    anchoring = Anchoring(database, ledger, lambda: ring, now, every_seconds=0.2)
    app = FastAPI()
    app.include_router(reception_router(reception))
    courier.start()
    anchoring.start()

    def listen() -> None:
        for line in sys.stdin:
            to, exchange, consent, content = json.loads(line)
            with database.transaction() as tx:
                courier.put(tx, to, exchange, consent, "record", io.BytesIO(content.encode()), now())
            print("queued", flush=True)

    threading.Thread(target=listen, daemon=True).start()
    uvicorn.run(app, host="127.0.0.1", port=told["port"], log_level="error", lifespan="off")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""A witness as a process of its own, for tests that kill it and start it again."""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from ledger.ledgers import log_signer, witness_signer
from safeweave.ledger.serving import witness_router
from safeweave.ledger.witness import Witness


def main(file: Path, n: int, port: int) -> None:
    app = FastAPI()
    app.include_router(witness_router(Witness(file, witness_signer(n), [log_signer().key])))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", lifespan="off")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""A witness: a member that remembers how far it saw a log grow, and cosigns only what grew from there.

It speaks the C2SP protocol tlog-witness: POST /add-checkpoint with `old SIZE`, the consistency proof, an empty line and
the checkpoint. What it saw last is on its own disk before its cosignature leaves, so that neither a fork nor an older
copy of the log gets a second one.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import httpx

from safeweave import clock as clocks
from safeweave.asking import trusting
from safeweave.clock import Clock
from safeweave.errors import Malformed, StoreUnavailable, Unavailable
from safeweave.ledger.checkpoint import (
    COSIGNATURE,
    Checkpoint,
    NoteKey,
    NoteSigner,
    encode_hash,
    read_checkpoint,
    read_note,
)
from safeweave.ledger.cosigning import Behind, CosigningRefused
from safeweave.ledger.merkle import is_consistent

MOST_PATH = 63  # hashes of a consistency proof, by the protocol


class UnknownLog(CosigningRefused):
    """The witness does not watch this log."""


class NotSigned(CosigningRefused):
    """The checkpoint is not signed by the operator whose key the witness knows."""


class NotGrown(CosigningRefused):
    """The checkpoint does not follow from the one that the witness saw last: the log was forked or changed."""


class Witness:
    """A witness with a file of its own for what it saw of each log."""

    def __init__(self, file: Path, signer: NoteSigner, logs: Sequence[NoteKey], clock: Clock = clocks.now) -> None:
        """`logs` are the keys of the logs it watches, whose names are their origins.

        Raises Malformed if the signer's key is not one for cosignatures, StoreUnavailable if the file cannot be used.
        """
        if signer.key.algorithm != COSIGNATURE:
            raise Malformed(f"the key of witness {signer.key.name} is not one for cosignatures")
        self.key = signer.key
        self._signer, self._clock, self._lock = signer, clock, Lock()
        self._logs = {key.name: key for key in logs}
        try:
            self._kept = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            self._kept.execute("PRAGMA journal_mode = WAL")
            self._kept.execute("PRAGMA synchronous = FULL")
            self._kept.execute(
                "CREATE TABLE IF NOT EXISTS seen (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, note TEXT NOT NULL)"
            )
        except sqlite3.DatabaseError as error:
            raise StoreUnavailable(f"the witness cannot use {file}: {error}") from error

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._kept.close()

    def seen(self, origin: str) -> Checkpoint | None:
        """What it saw last of a log."""
        rows = self._kept.execute("SELECT note FROM seen WHERE origin = ?", (origin,)).fetchall()
        return read_checkpoint(read_note(rows[0][0])) if rows else None

    def add(self, note: str, old: int, path: Sequence[bytes]) -> str:
        """Its cosignature line under this checkpoint, once it is remembered.

        Raises UnknownLog, NotSigned, Behind if it saw another size than `old`, NotGrown, Malformed, StoreUnavailable.
        """
        read = read_note(note)
        checkpoint = read_checkpoint(read)
        key = self._logs.get(checkpoint.origin)
        if key is None:
            raise UnknownLog(f"the log {checkpoint.origin!r} is not watched here")
        if read.signed_at(key) is None:
            raise NotSigned(f"the checkpoint is not signed by {key.name}")
        if old > checkpoint.size:
            raise Malformed(f"the checkpoint of {checkpoint.size} entries cannot follow from one of {old}")
        with self._lock:
            try:
                seen = self.seen(checkpoint.origin)
                if old != (seen.size if seen else 0):
                    raise Behind(seen.size if seen else 0)
                if seen and not is_consistent(old, seen.root, checkpoint.size, checkpoint.root, path):
                    raise NotGrown(f"the log of {checkpoint.size} entries does not begin with the {old} seen before")
                line = self._signer.line(read.body, int(self._clock().timestamp()))
                self._kept.execute(
                    "INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT (origin) DO UPDATE"
                    " SET size = excluded.size, note = excluded.note",
                    (checkpoint.origin, checkpoint.size, note),
                )
            except sqlite3.DatabaseError as error:
                raise StoreUnavailable(f"the witness cannot remember what it saw: {error}") from error
        return line


class WitnessClient:
    """A witness out there, as the operator asks it."""

    def __init__(self, url: str, key: NoteKey, seconds: float = 2.0) -> None:
        self.key = key
        self._client = httpx.Client(base_url=url, timeout=seconds, verify=trusting())

    def close(self) -> None:
        """Let its connection go."""
        self._client.close()

    def add(self, note: str, old: int, path: Sequence[bytes]) -> str:
        """Its cosignature line; raises Behind, CosigningRefused, or Unavailable if it does not answer."""
        lines = [f"old {old}", *(encode_hash(hash) for hash in path), "", note]
        try:
            answer = self._client.post("/add-checkpoint", content="\n".join(lines).encode())
        except httpx.HTTPError as error:
            raise Unavailable(f"witness {self.key.name} does not answer: {error}") from error
        if answer.status_code == 200:
            return answer.text
        if answer.status_code == 409 and answer.text.strip().isdigit():
            raise Behind(int(answer.text))
        if answer.status_code >= 500:
            raise Unavailable(f"witness {self.key.name} is not well: {answer.status_code} {answer.text.strip()[:200]}")
        raise CosigningRefused(f"{answer.status_code} {answer.text.strip()[:200]}")

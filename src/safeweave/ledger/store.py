"""The file of an embedded log: entries, the nodes of their tree, checkpoints, and the state as records.

SQLite with a write-ahead log and `synchronous=FULL`: what was committed is on the disk. One process writes at a time;
it holds a lock beside the file. Each record carries a checksum, so that a flipped bit is seen when it is read.
"""

import fcntl
import hashlib
import os
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from threading import RLock
from typing import Any

import msgspec

from safeweave.errors import Conflict, InvariantBroken, NotFound, StoreUnavailable
from safeweave.ledger.ledger import AnchorRecord, ConsentRecord, MemberRecord, StreamRecord, UseRecord, UseState
from safeweave.ledger.operation import Item
from safeweave.ledger.rules import AccountRecord, Founding, Record, RecordKey, State

FORM = 1
WAL_PAGES = 8000  # 32 MB: pages that many commits touch are then written back once
_AT_ONCE = 500  # keys in one statement


class LogDamaged(InvariantBroken):
    """The file does not hold what was written; its text says where that was seen. Restore it, or audit it."""


_LETTERS: dict[str, bytes] = {
    "founding": b"f", "member": b"m", "account": b"a", "consent": b"c", "stream": b"s", "anchor": b"r",
}  # fmt: skip
_TYPES: dict[str, type] = {
    "founding": Founding, "member": MemberRecord, "account": AccountRecord, "consent": ConsentRecord,
    "stream": StreamRecord, "anchor": AnchorRecord,
}  # fmt: skip
_decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {name: msgspec.msgpack.Decoder(t) for name, t in _TYPES.items()}
_encoder = msgspec.msgpack.Encoder()


@lru_cache(maxsize=4096)  # what a batch reads it soon writes
def raw_key(key: RecordKey) -> bytes:
    """A record's key as it is stored."""
    kind = key[0]
    if kind == "use":  # by its digest: the index is what grows with every bill, so it is kept narrow
        return b"u" + hashlib.sha256("".join(key).encode()).digest()[:23]
    if kind == "account":
        return b"a" + key[1].encode()
    return _LETTERS[kind] + (bytes.fromhex(key[1]) if len(key) > 1 else b"")


def _body(record: Record) -> bytes:
    raw = _packed(record) if isinstance(record, UseRecord) else _encoder.encode(record)
    return zlib.crc32(raw).to_bytes(4, "big") + raw


def _record(key: RecordKey, body: bytes) -> Record:
    raw = body[4:]
    if zlib.crc32(raw).to_bytes(4, "big") != body[:4]:
        raise LogDamaged(f"the record of {' '.join(key)} does not have its checksum")
    if key[0] == "use":
        return _unpacked(key, raw)
    try:
        found: Record = _decoders[key[0]].decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise LogDamaged(f"the record of {' '.join(key)} cannot be read: {error}") from None
    return found


_USE = struct.Struct(">B?QQ32s32s")  # state, split, until, height, holder, claim commitment
_USE_STATES: tuple[UseState, ...] = ("FREE", "RESERVED", "SETTLED", "VOID")


def _packed(use: UseRecord) -> bytes:
    holder, claim = bytes.fromhex(use.holder), bytes.fromhex(use.claim_commitment)
    return _USE.pack(_USE_STATES.index(use.state), use.split, use.until, use.height, holder, claim)


def _unpacked(key: RecordKey, raw: bytes) -> UseRecord:
    state, split, until, height, holder, claim = _USE.unpack(raw)
    is_held = holder != bytes(32)
    return UseRecord(
        Item(key[1], key[2], int(key[3])), _USE_STATES[state], holder.hex() if is_held else "",
        claim.hex() if is_held else "", until, split, height,
    )  # fmt: skip


class LogStore:
    """The open file. Reading and writing have a connection each; both may be used from any thread."""

    def __init__(self, file: Path, origin: str | None, writing: bool = True) -> None:
        """Open the file, or make it if `origin` says whose log it will be.

        Raises Conflict if another process writes to it or it is another log's, NotFound, LogDamaged, StoreUnavailable.
        """
        self.file = file
        self._lock = _writer_lock(file) if writing else None
        self._reading, self._writing = RLock(), RLock()
        try:
            with _faults(file):
                self._open(file, origin, writing)
        except BaseException:
            if self._lock is not None:
                os.close(self._lock)
            raise

    def _open(self, file: Path, origin: str | None, writing: bool) -> None:
        if not file.exists() and (origin is None or not writing):
            raise NotFound(f"there is no log at {file}")
        if file.exists() and file.stat().st_size == 0:
            raise LogDamaged(f"{file} is empty; if no log was ever kept in it, delete it and begin anew")
        self._reader = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._reader.execute("PRAGMA query_only = ON")
        self._writer = sqlite3.connect(file, isolation_level=None, check_same_thread=False) if writing else self._reader
        if not writing:
            self._reader.execute("BEGIN")  # all that is read is of one moment, whatever the operator writes meanwhile
        else:
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = FULL")
            self._writer.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
            if not self._writer.execute("SELECT 1 FROM sqlite_master WHERE name = 'log'").fetchone():
                with self.transaction() as tx:
                    for statement in files("safeweave.ledger").joinpath("tables.sql").read_text().split(";\n"):
                        tx.execute(statement)
                    tx.execute("INSERT INTO log VALUES (?, ?)", (origin, FORM))
        found = self._reader.execute("SELECT origin, form FROM log").fetchall()
        if len(found) != 1 or found[0][1] != FORM:
            raise LogDamaged(f"{file} does not say whose log it is")
        self.origin = str(found[0][0])
        if origin is not None and origin != self.origin:
            raise Conflict(f"{file} is the log of {self.origin!r}, not of {origin!r}")

    def close(self) -> None:
        """Let the file go."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write everything or nothing; on the disk when this ends. Raises StoreUnavailable if nothing was written."""
        with self._writing, _faults(self.file):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    # ------------------------------------------------------------ reading

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._reading, _faults(self.file):
            return self._reader.execute(sql, values).fetchall()

    def size(self) -> int:
        """How many entries there are."""
        return int(self._rows("SELECT coalesce(max(number), -1) + 1 FROM entry")[0][0])

    def newest_checkpoint(self) -> str | None:
        """The checkpoint of the last commit."""
        rows = self._rows("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1")
        return _text(rows[0][0]) if rows else None

    def checkpoints(self) -> Iterator[str]:
        """All checkpoints by size, with the cosignatures that made one final."""
        last = -1
        while rows := self._rows(
            "SELECT size, coalesce(cosigned.note, checkpoint.note) FROM checkpoint LEFT JOIN cosigned USING (size)"
            " WHERE size > ? ORDER BY size LIMIT 500",
            (last,),
        ):
            yield from (_text(note) for _, note in rows)
            last = _number(rows[-1][0])

    def cosigned(self) -> Iterator[str]:
        """The checkpoints that enough witnesses had cosigned, the newest first."""
        last = 2**62
        while rows := self._rows(
            "SELECT size, note FROM cosigned WHERE size < ? ORDER BY size DESC LIMIT 100", (last,)
        ):
            yield from (_text(note) for _, note in rows)
            last = _number(rows[-1][0])

    def entries(self, after: int, before: int, limit: int) -> list[bytes]:
        """The bytes of entries with numbers between these two, both left out; LogDamaged if one is missing."""
        rows = self._rows(
            "SELECT number, body FROM entry WHERE number > ? AND number < ? ORDER BY number LIMIT ?",
            (after, before, limit),
        )
        if [number for number, _ in rows] != list(range(after + 1, min(before, after + 1 + limit))):
            raise LogDamaged(f"entries are missing after {after}")
        return [_bytes(body) for _, body in rows]

    def number_of(self, id: str) -> int | None:
        """The number of an operation's entry."""
        rows = self._rows("SELECT number FROM operation WHERE id = ?", (bytes.fromhex(id),))
        return _number(rows[0][0]) if rows else None

    def entry_of(self, id: str) -> tuple[int, bytes] | None:
        """The number and the bytes of an operation's entry; LogDamaged if they are missing."""
        rows = self._rows(
            "SELECT o.number, e.body FROM operation o LEFT JOIN entry e ON e.number = o.number WHERE o.id = ?",
            (bytes.fromhex(id),),
        )
        if not rows:
            return None
        if rows[0][1] is None:
            raise LogDamaged(f"entry {rows[0][0]} is missing")
        return _number(rows[0][0]), _bytes(rows[0][1])

    def numbers_of(self, ids: Sequence[str]) -> dict[str, int]:
        """The numbers of those of these operations that are in the log."""
        found = self._by_key("SELECT id, number FROM operation WHERE id IN", [bytes.fromhex(id) for id in ids])
        return {_bytes(id).hex(): _number(number) for id, number in found}

    def membership(self) -> list[int]:
        """The numbers of the entries that say who is a member."""
        return [_number(number) for (number,) in self._rows("SELECT number FROM membership ORDER BY number")]

    def nodes(self, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """The hashes of these complete subtrees; LogDamaged if one is missing."""
        found = dict(self._by_key("SELECT number, hash FROM node WHERE number IN", numbers))
        missing = [number for number in numbers if len(_bytes(found.get(number, b""))) != 32]
        if missing:
            raise LogDamaged(f"node {missing[0]} of the tree is missing")
        return found

    def record(self, key: RecordKey) -> Record | None:
        """One record; LogDamaged if it does not have its checksum."""
        rows = self._rows("SELECT body FROM record WHERE key = ?", (raw_key(key),))
        return _record(key, _bytes(rows[0][0])) if rows else None

    def records(self, keys: Iterable[RecordKey]) -> dict[RecordKey, Record | None]:
        """These records, None for those that are not there."""
        by_raw = {raw_key(key): key for key in keys}
        found: dict[RecordKey, Record | None] = dict.fromkeys(by_raw.values())
        for raw, body in self._by_key("SELECT key, body FROM record WHERE key IN", list(by_raw)):
            key = by_raw.get(raw)
            if key is None:
                raise LogDamaged("a record is indexed under another key than its own")
            found[key] = _record(key, _bytes(body))
        return found

    def count_records(self) -> int:
        """How many records there are."""
        return int(self._rows("SELECT count(*) FROM record")[0][0])

    def _by_key(self, sql: str, keys: Sequence[Any]) -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = []
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            width = 1 << (len(part) - 1).bit_length()  # few widths, so that SQLite knows the statement already
            padded = [*part, *[part[-1]] * (width - len(part))]
            found += self._rows(f"{sql} ({','.join('?' * width)})", padded)
        return found


class StoredState(State):
    """The state as it stands in a file, read when it is asked for."""

    def __init__(self, store: LogStore) -> None:
        super().__init__()
        self._store = store

    def absent(self, key: RecordKey) -> Record | None:
        return self._store.record(key)

    def load(self, keys: Iterable[RecordKey]) -> None:
        """Read all of these at once."""
        self.records.update(self._store.records(key for key in keys if key not in self.records))


def write_records(tx: sqlite3.Connection, records: Mapping[RecordKey, Record]) -> None:
    """Put these records in the place of older ones."""
    tx.executemany(
        "INSERT INTO record VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
        [(raw_key(key), _body(record)) for key, record in records.items()],
    )


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise LogDamaged(f"where bytes were written stands {value!r:.60}")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise LogDamaged(f"where a number was written stands {value!r:.60}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise LogDamaged(f"where text was written stands {value!r:.60}")
    return value


def _writer_lock(file: Path) -> int:
    lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise Conflict(f"another process writes to {file}; a log has one writer") from None
    return lock


@contextmanager
def _faults(file: Path) -> Iterator[None]:
    """Say what SQLite says in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_ERROR")):
            raise LogDamaged(f"{file} cannot be read as a log: {error}") from error
        raise StoreUnavailable(f"{file} takes or gives nothing now: {error}") from error
    except sqlite3.DatabaseError as error:
        raise LogDamaged(f"{file} cannot be read as a log: {error}") from error

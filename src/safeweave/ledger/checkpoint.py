"""Signed checkpoints of a log: the C2SP formats signed-note, tlog-checkpoint and tlog-cosignature.

A checkpoint says in a few lines of text how long a log is and what its root is. Its operator signs it with Ed25519;
witnesses add a cosignature with the time at which they saw it. We add one extension line, `time SECONDS`, the log's.
"""

import base64
import hashlib
import re
import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safeweave.errors import Malformed
from safeweave.keys.suites import suite as suite_named
from safeweave.ledger.operation import Said

Algorithm = Literal[1, 4]
ED25519: Algorithm = 1  # signed-note: an Ed25519 signature
COSIGNATURE: Algorithm = 4  # tlog-cosignature: a timestamped Ed25519 signature

_NAME = re.compile(r"[^\s+]+")
_SIGNATURE = re.compile(r"— (\S+) (\S+)\n")
_SUITE = "std-1"  # whose signatures are those of signed notes
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_MOST_BYTES = 64 * 1024


class NoteKey(Said):
    """A key that notes are checked with: its owner's name, and what it makes."""

    name: str
    public: bytes
    algorithm: Algorithm = ED25519

    @property
    def id(self) -> bytes:
        """The four bytes by which a signature line names the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    def __str__(self) -> str:
        """As `name+id+key`, the way it is written down for others."""
        return f"{self.name}+{self.id.hex()}+{_base64(bytes([self.algorithm]) + self.public)}"


@lru_cache(maxsize=100)
def read_key(text: str) -> NoteKey:
    """A key from `name+id+key`; Malformed if it is none."""
    parts = text.strip().split("+", 2)
    try:
        name, id, raw = parts[0], bytes.fromhex(parts[1]), base64.b64decode(parts[2], validate=True)
    except (ValueError, IndexError):
        raise Malformed(f"{text!r} is no note key") from None
    if len(raw) != 33 or raw[0] not in (ED25519, COSIGNATURE) or not _NAME.fullmatch(name):
        raise Malformed(f"{text!r} is no Ed25519 note key")
    key = NoteKey(name, raw[1:], ED25519 if raw[0] == ED25519 else COSIGNATURE)
    if key.id != id:
        raise Malformed(f"the note key {text!r} does not have the id it names")
    return key


class NoteSigner:
    """A private key that signs notes under a name."""

    def __init__(self, name: str, private: bytes, algorithm: Algorithm = ED25519) -> None:
        if not _NAME.fullmatch(name):
            raise Malformed(f"{name!r} cannot be the name of a note key: it has a space or a plus")
        self._private = Ed25519PrivateKey.from_private_bytes(private)
        self.key = NoteKey(name, self._private.public_key().public_bytes_raw(), algorithm)

    def line(self, body: str, time: int = 0) -> str:
        """The signature line under a note's body; a cosignature names the `time`."""
        if self.key.algorithm == COSIGNATURE:
            signature = struct.pack(">Q", time) + self._private.sign(_cosigned(body, time))
        else:
            signature = self._private.sign(body.encode())
        return f"— {self.key.name} {_base64(self.key.id + signature)}\n"


class Checkpoint(Said):
    """What a checkpoint says, without who signed it."""

    origin: str
    size: int
    root: bytes
    time: int

    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\ntime {self.time}\n"


class Note(Said):
    """A text and its signature lines."""

    body: str
    lines: tuple[str, ...]

    def text(self) -> str:
        """As it is stored and sent."""
        return f"{self.body}\n{''.join(self.lines)}"

    def signed_at(self, key: NoteKey) -> int | None:
        """The time of this key's signature, 0 if it names none; None if the key has not signed."""
        for line in self.lines:
            time = _time_of(line, key, self.body)
            if time is not None:
                return time
        return None


def read_note(text: str) -> Note:
    """A note from its text; Malformed if it is none."""
    if len(text) > _MOST_BYTES or _CONTROL.search(text):
        raise Malformed("a note is a short text without control characters")
    body, gap, signatures = text.rpartition("\n\n")
    lines = [found[0] for found in _SIGNATURE.finditer(signatures)]
    if not gap or not lines or "".join(lines) != signatures:
        raise Malformed("this is no signed note: a text, an empty line, and signature lines")
    return Note(body + "\n", tuple(lines))


@lru_cache(maxsize=64)  # the newest one is read with every question
def read_checkpoint(note: Note) -> Checkpoint:
    """What a note says as a checkpoint; Malformed if it is none. Whether it is signed is another question."""
    lines = note.body.split("\n")
    try:
        origin, size, root = lines[0], lines[1], base64.b64decode(lines[2], validate=True)
    except (ValueError, IndexError):
        raise Malformed("this note is no checkpoint: origin, size and root") from None
    if not origin or not re.fullmatch(r"0|[1-9][0-9]{0,15}", size) or len(root) != 32 or _base64(root) != lines[2]:
        raise Malformed("this note is no checkpoint: origin, size and root")
    times = [line[5:] for line in lines[3:] if re.fullmatch(r"time [0-9]{1,12}", line)]
    return Checkpoint(origin, int(size), root, int(times[0]) if times else 0)


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> Note:
    """A checkpoint with its operator's signature."""
    body = checkpoint.body()
    return Note(body, (signer.line(body),))


class TrustRoots(Said):
    """What a third party has to know beforehand, and nothing else: whom to believe about one ledger.

    `operator` and `witnesses` are note keys; `quorum` of the witnesses must have cosigned. `founding` is the id of the
    operation that founded the ledger, with which every member's keys can be checked.
    """

    origin: str
    operator: str
    founding: str = ""
    witnesses: tuple[str, ...] = ()
    quorum: int = 0

    def keys(self) -> tuple[NoteKey, list[NoteKey]]:
        """The keys of operator and witnesses; Malformed if one cannot be read or the quorum cannot be met."""
        witnesses = [read_key(text) for text in self.witnesses]
        check_quorum(self.quorum, witnesses)
        return read_key(self.operator), witnesses


def read_roots(raw: bytes) -> TrustRoots:
    """Trust roots from their JSON file; Malformed if they cannot be read or can never be met."""
    try:
        roots = msgspec.json.decode(raw, type=TrustRoots)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"these are no trust roots: {error}") from None
    roots.keys()
    return roots


def write_roots(roots: TrustRoots) -> bytes:
    """Trust roots as a JSON file, to be handed over by another way than the ledger."""
    return msgspec.json.format(msgspec.json.encode(roots), indent=1)


def check_quorum(quorum: int, witnesses: Sequence[NoteKey]) -> None:
    """Refuse as Malformed a quorum that can never be met, or by which two different logs could both be final."""
    count = len({key.public for key in witnesses})
    if not 0 <= quorum <= count or (witnesses and 2 * quorum <= count):
        raise Malformed(f"{quorum} of {count} witnesses is no quorum; it takes more than half of them")


def trusted_checkpoint(text: str, roots: TrustRoots) -> Checkpoint:
    """What a checkpoint says, if operator and enough witnesses signed it; Malformed with what is missing."""
    note = read_note(text)
    checkpoint = read_checkpoint(note)
    operator, witnesses = roots.keys()
    if checkpoint.origin != roots.origin:
        raise Malformed(f"this checkpoint is of {checkpoint.origin!r}, not of {roots.origin!r}")
    if note.signed_at(operator) is None:
        raise Malformed(f"this checkpoint is not signed by {operator.name}")
    seen = cosigners(note, witnesses)
    if len(seen) < roots.quorum:
        raise Malformed(f"{len(seen)} of the {roots.quorum} witnesses needed have cosigned this checkpoint")
    return checkpoint


def cosigners(note: Note, witnesses: Sequence[NoteKey]) -> list[NoteKey]:
    """Those of these witnesses that cosigned a note, each once."""
    return list({key.public: key for key in witnesses if note.signed_at(key) is not None}.values())


def _time_of(line: str, key: NoteKey, body: str) -> int | None:
    found = _SIGNATURE.fullmatch(line)
    try:
        raw = base64.b64decode(found[2], validate=True) if found else b""
    except ValueError:
        return None
    if not found or found[1] != key.name or raw[:4] != key.id:
        return None
    if key.algorithm == COSIGNATURE:
        if len(raw) != 4 + 8 + 64:
            return None
        time = int.from_bytes(raw[4:12], "big")
        return time if _is_signed(key.public, raw[12:], _cosigned(body, time)) else None
    return 0 if _is_signed(key.public, raw[4:], body.encode()) else None


def _is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    return suite_named(_SUITE).verify(public, signature, message)


def _cosigned(body: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{body}".encode()


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode()


def encode_hash(hash: bytes) -> str:
    """A hash as checkpoints and proofs write it."""
    return _base64(hash)


def decode_hash(text: str) -> bytes:
    """A hash of 32 bytes from base64; Malformed if it is none."""
    try:
        hash = a2b_base64(text, strict_mode=True)
    except ValueError:
        hash = b""
    if len(hash) != 32:
        raise Malformed(f"{text!r} is no hash")
    return hash

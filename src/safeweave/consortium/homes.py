"""A member's home folder, and how one becomes a member: made, founded, joined, its keys renewed.

The folder holds `member.json` (who we are), `keys.json` (the private keys), `roots.json` (whom to believe about the
ledger), the store, and for the commission `ledger.sqlite` with `log.key`, for a witness `witness.sqlite` with
`witness.key`. Files of keys are for their owner alone.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from safeweave import clock as clocks
from safeweave.clock import Clock
from safeweave.consortium import MEMBER_FILE
from safeweave.consortium.directory import endpoint_hash
from safeweave.errors import Conflict, Malformed, NotFound
from safeweave.keys.keyset import KeySet
from safeweave.keys.ring import KeyRing
from safeweave.ledger.checkpoint import (
    COSIGNATURE,
    NoteSigner,
    TrustRoots,
    read_key,
    read_roots,
    write_roots,
)
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Ledger, Outcome
from safeweave.ledger.operation import (
    Approval,
    Found,
    Founder,
    Operation,
    Role,
    SignedOperation,
    approve,
    fresh_id,
    operation_id,
    sign,
)
from safeweave.ledger.remote import RemoteLedger
from safeweave.ledger.witness import WitnessClient

LEDGER, WITNESS, CONTACTS = "/ledger", "/witness", "/contacts"
FINAL_WITHIN_SECONDS = 10.0


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who a node is. `url` is where others reach it, `host` and `port` where it listens.

    `ledger` is the address of the commission that keeps the ledger, "" for that commission and before joining.
    `witnesses` are those the commission asks, as (address, note key), of which `quorum` make something final.
    """

    form: Literal["safeweave/member/1"] = "safeweave/member/1"
    role: Role
    name: str
    member: str
    url: str
    host: str
    port: int
    ledger: str = ""
    is_witness: bool = False
    witnesses: tuple[tuple[str, str], ...] = ()
    quorum: int = 0


class Application(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a member hands to the commission to be admitted. The keys are public; compare their fingerprint by voice."""

    form: Literal["safeweave/application/1"] = "safeweave/application/1"
    role: Role
    name: str
    member: str
    url: str
    keys: KeySet
    witness: str = ""

    @property
    def fingerprint(self) -> str:
        """What the two sides compare: the names of the signing and the sealing key."""
        return f"{self.keys.signing_id} {self.keys.sealing_id}"


@dataclass(frozen=True)
class Home:
    """The files of a node."""

    folder: Path
    passphrase: str | None = None

    @property
    def keys(self) -> Path:
        """The private keys."""
        return self.folder / "keys.json"

    @property
    def ledger(self) -> Path:
        """The log, if this is the commission."""
        return self.folder / "ledger.sqlite"

    def member(self) -> Member:
        """Who we are; raises NotFound or Malformed."""
        file = self.folder / MEMBER_FILE
        try:
            return msgspec.json.decode(file.read_bytes(), type=Member)
        except FileNotFoundError:
            raise NotFound(f"there is no member in {self.folder}; make one with `init`") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise Malformed(str(fault), file=str(file)) from None

    def ring(self) -> KeyRing:
        """The private keys; raises what KeyRing.load does."""
        return KeyRing.load(self.keys, self.passphrase)

    def roots(self) -> TrustRoots:
        """Whom to believe about the ledger; raises NotFound or Malformed."""
        file = self.folder / "roots.json"
        try:
            return read_roots(file.read_bytes())
        except FileNotFoundError:
            raise NotFound(f"there are no trust roots in {self.folder}; take them over with `join`") from None

    def signer(self, kind: Literal["log", "witness"]) -> NoteSigner:
        """The key with which this node signs checkpoints or cosigns them."""
        private = (self.folder / f"{kind}.key").read_bytes()
        name = f"{urlsplit(self.member().url).netloc}/{kind}"
        return NoteSigner(name, private) if kind == "log" else NoteSigner(name, private, COSIGNATURE)

    def write(self, name: str, content: bytes) -> Path:
        """Put a file there, whole or not at all, for its owner alone."""
        file, beside = self.folder / name, self.folder / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, file)
        return file


# ---------------------------------------------------------------- making and joining


def init(
    home: Home, role: Role, name: str, url: str, host: str, port: int, suite: str = "std-1", is_witness: bool = False
) -> Application:
    """Make the keys and files of a new member; what the commission has to approve. Raises Conflict if there is one."""
    home.folder.mkdir(parents=True, exist_ok=True)
    if home.keys.exists() or (home.folder / MEMBER_FILE).exists():
        raise Conflict(f"{home.folder} holds a member already; its keys are not made anew")
    ring = KeyRing.generated(fresh_id(), suite)
    ring.save(home.keys, home.passphrase)
    member = Member(
        role=role, name=name, member=ring.member, url=url.rstrip("/"), host=host, port=port, is_witness=is_witness
    )
    home.write(MEMBER_FILE, _written(member))
    if is_witness:
        home.write("witness.key", secrets.token_bytes(32))
    return application(home)


def application(home: Home) -> Application:
    """What the commission has to approve; written to `application.json` too."""
    member, ring = home.member(), home.ring()
    made = Application(
        role=member.role, name=member.name, member=member.member, url=member.url, keys=ring.public()[-1],
        witness=str(home.signer("witness").key) if member.is_witness else "",
    )  # fmt: skip
    home.write("application.json", _written(made))
    return made


def rotate(home: Home, ledger: Ledger, heights: int) -> Application:
    """Make new keys that count so many heights from now; what the commission has to approve before that.

    Until it does, nothing is sent under the new ones. The old ones stay to open what was sealed to them.
    """
    home.ring().rotated(ledger.head().height + heights).save(home.keys, home.passphrase)
    return application(home)


def read_application(file: Path) -> Application:
    """An application from its file; raises Malformed, or KeyUnusable for keys that protect nothing."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Application)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Malformed(str(fault), file=str(file)) from None
    found.keys.check()
    return found


def join(home: Home, ledger: str, roots: TrustRoots) -> None:
    """Take over where the ledger is and whom to believe about it."""
    home.write("roots.json", write_roots(roots))
    home.write(MEMBER_FILE, _written(msgspec.structs.replace(home.member(), ledger=ledger.rstrip("/"))))


def found(
    home: Home, witnesses: Sequence[tuple[str, str]] = (), quorum: int = 0, now: Clock = clocks.now,
    others: Sequence[Application] = (), needed: int = 1,
) -> Outcome:  # fmt: skip
    """Found a ledger; its commission is this office and those `others`, of which `needed` must agree on each member.

    `roots.json` is what the others need. With witnesses it is final once enough of them are up and have cosigned.
    Raises Conflict if it was founded before.
    """
    if home.ledger.exists():
        raise Conflict(f"{home.ledger} is there already; a ledger is founded once")
    member = msgspec.structs.replace(home.member(), witnesses=tuple(witnesses), quorum=quorum)
    ring = home.ring()
    founders = [Founder(each.member, each.keys, endpoint_hash(each.url)) for each in (application(home), *others)]
    operation = Found(member.member, fresh_id(), tuple(founders), needed)
    home.write("log.key", secrets.token_bytes(32))
    ledger = _log(home, member, now)
    try:
        (id,) = ledger.submit([signed_by(ring, operation, 0)])
        roots = msgspec.structs.replace(ledger.roots(), founding=operation_id(operation))
        home.write("roots.json", write_roots(roots))
        home.write(MEMBER_FILE, _written(member))
        return ledger.outcome(id, FINAL_WITHIN_SECONDS if not witnesses else 1.0)
    finally:
        ledger.close()


def signed_by(ring: KeyRing, operation: Operation, height: int, approvals: Sequence[Approval] = ()) -> SignedOperation:
    """The operation of a commission's office at this height, with its own approval and those of others."""
    period = ring.at(height)
    key = period.signing_key()
    return sign(operation, period.suite, key, [approve(operation, ring.member, period.suite, key), *approvals])


def _written(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def _log(home: Home, member: Member, now: Clock) -> EmbeddedLedger:
    asked = [WitnessClient(url, read_key(key)) for url, key in member.witnesses]
    return EmbeddedLedger(home.ledger, home.signer("log"), now, asked, member.quorum)


def open_ledger(home: Home, now: Clock = clocks.now) -> EmbeddedLedger | RemoteLedger:
    """The ledger as this node uses it: the commission's own file, or over HTTP; also if another process serves it.

    Raises NotFound before it was founded or joined.
    """
    member = home.member()
    if member.role == "commission" and not member.ledger:
        if not home.ledger.exists():
            raise NotFound(f"there is no ledger in {home.folder}; found one with `safeweave commission init`")
        try:
            return _log(home, member, now)
        except Conflict:  # our own server has it open
            return RemoteLedger(f"http://{member.host}:{member.port}{LEDGER}", home.roots())
    if not member.ledger:
        raise NotFound(f"the member in {home.folder} has joined no ledger yet; see `join`")
    return RemoteLedger(member.ledger + LEDGER, home.roots(), home.folder / "seen.note")


class Ring:
    """The key ring of a home, read again when its file has changed."""

    def __init__(self, home: Home) -> None:
        self._home, self._lock = home, Lock()
        self._read_at, self._ring = home.keys.stat().st_mtime_ns, home.ring()

    def __call__(self) -> KeyRing:
        changed = self._home.keys.stat().st_mtime_ns
        with self._lock:
            if changed != self._read_at:
                self._read_at, self._ring = changed, self._home.ring()
            return self._ring

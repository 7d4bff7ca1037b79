"""The private keys of one member, of all periods, in one file of mode 0600.

A ring never forgets: keys of past periods stay in it to open what was sealed to them. A ring is a value; `rotated`
gives another one, which counts once it is saved and its new key set stands on the ledger.

With a passphrase the file is encrypted: scrypt (RFC 7914; N 2**16, r 8, p 1: 64 MB and about 0.2 s a guess) gives the
key of AES-256-GCM, with the file's salt and costs bound in. Without one, the file's mode is all that protects it.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from safeweave.keys import vrf
from safeweave.keys.canonical import canonical
from safeweave.keys.errors import NoKeys, NoSuchKey, RingExposed, RingLocked, RingUnreadable, TooEarly
from safeweave.keys.keyset import KeySet, key_id
from safeweave.keys.suites import OpeningKey, SigningKey
from safeweave.keys.suites import suite as suite_named

SCRYPT_COST = 2**16
SCRYPT_COST_MOST = 2**20  # of a file that is read: 1 GB


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account on an EVM chain: its address and its secp256k1 private key. The ledger's chain adapter makes it."""

    address: str
    private: bytes

    def __repr__(self) -> str:
        return f"Account({self.address})"


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The private keys of one period. Its text shows none of them."""

    suite: str
    signing: bytes
    sealing: bytes
    vrf: bytes
    valid_from: int
    valid_until: int | None = None
    account: Account | None = None

    def __repr__(self) -> str:
        return f"Period({self.suite}, {self.valid_from}..{self.valid_until or ''})"

    def signing_key(self) -> SigningKey:
        """The key that signs."""
        return suite_named(self.suite).signing_key(self.signing)

    def opening_key(self) -> OpeningKey:
        """The key that opens what was sealed to this period's key set."""
        return suite_named(self.suite).opening_key(self.sealing)

    def public(self) -> KeySet:
        """What the others may know."""
        return KeySet(
            suite=self.suite,
            signing=self.signing_key().public,
            sealing=self.opening_key().public,
            vrf=vrf.public_key(self.vrf),
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            account=self.account.address if self.account else "",
        )


def new_period(suite: str, valid_from: int, account: Account | None = None) -> Period:
    """Fresh keys; raises UnknownSuite or SuiteNotInstalled."""
    used = suite_named(suite)
    return Period(
        suite=suite,
        signing=used.new_signing_key().private_bytes(),
        sealing=used.new_opening_key().private_bytes(),
        vrf=vrf.new_secret(),
        valid_from=valid_from,
        account=account,
    )


class KeyRing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All private keys of one member, oldest period first. Its text shows none of them."""

    member: str
    periods: Annotated[tuple[Period, ...], msgspec.Meta(min_length=1)]

    @classmethod
    def generated(
        cls, member: str, suite: str = "std-1", valid_from: int = 0, account: Account | None = None
    ) -> "KeyRing":
        """A ring with one period of fresh keys; raises UnknownSuite or SuiteNotInstalled."""
        return cls(member, (new_period(suite, valid_from, account),))

    def rotated(self, height: int, suite: str | None = None, account: Account | None = None) -> "KeyRing":
        """This ring with fresh keys from that height on; the present ones end before it.

        Suite and account stay as they are unless given. Raises TooEarly if the present keys are not valid before it.
        """
        *past, present = self.periods
        if height <= present.valid_from:
            raise TooEarly(height=height, since=present.valid_from)
        ended = msgspec.structs.replace(present, valid_until=height)
        fresh = new_period(suite or present.suite, height, account or present.account)
        return KeyRing(self.member, (*past, ended, fresh))

    def at(self, height: int) -> Period:
        """The keys to use at this height of the ledger; raises NoKeys."""
        for period in self.periods:
            if period.valid_from <= height and (period.valid_until is None or height < period.valid_until):
                return period
        raise NoKeys(member=self.member, height=height)

    def public(self) -> list[KeySet]:
        """The public half of every period, oldest first."""
        return [period.public() for period in self.periods]

    def sealed_to(self, sealing_id: str) -> Period:
        """The period whose sealing key has this name; raises NoSuchKey."""
        for period in reversed(self.periods):
            if key_id(period.suite, period.opening_key().public) == sealing_id:
                return period
        raise NoSuchKey(member=self.member, id=sealing_id)

    def save(self, file: Path, passphrase: str | None = None) -> None:
        """Write the ring so that either the old file or the whole new one is there; only the owner can read it."""
        content = canonical(_Open(ring=self) if passphrase is None else _locked(self, passphrase))
        beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            os.replace(beside, file)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @classmethod
    def load(cls, file: Path, passphrase: str | None = None) -> "KeyRing":
        """The ring of that file; a passphrase that is not needed does no harm.

        Raises RingExposed if others may read it, RingLocked for a missing or wrong passphrase, RingUnreadable.
        """
        with open(file, "rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & 0o077:
                raise RingExposed(file=file, mode=f"{mode:04o}")
            content = opened.read()
        try:
            found = msgspec.json.decode(content, type=_Open | _Locked)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise RingUnreadable(file) from fault
        if isinstance(found, _Open):
            return found.ring
        if passphrase is None:
            raise RingLocked(file=file)
        return _unlocked(found, file, passphrase)


class _Open(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="safeweave/key-ring/1", tag_field="form"):
    ring: KeyRing


class _Locked(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="safeweave/key-ring/1/locked", tag_field="form"
):
    cost: Annotated[int, msgspec.Meta(ge=2**14, le=SCRYPT_COST_MOST)]
    salt: bytes
    nonce: bytes
    ring: bytes

    def key(self, passphrase: str) -> AESGCM:
        return AESGCM(Scrypt(salt=self.salt, length=32, n=self.cost, r=8, p=1).derive(passphrase.encode()))

    def bound(self) -> bytes:
        return canonical({"cost": self.cost, "salt": self.salt, "nonce": self.nonce})


def _locked(ring: KeyRing, passphrase: str) -> _Locked:
    empty = _Locked(cost=SCRYPT_COST, salt=secrets.token_bytes(16), nonce=secrets.token_bytes(12), ring=b"")
    locked = empty.key(passphrase).encrypt(empty.nonce, canonical(ring), empty.bound())
    return msgspec.structs.replace(empty, ring=locked)


def _unlocked(found: _Locked, file: Path, passphrase: str) -> KeyRing:
    try:
        text = found.key(passphrase).decrypt(found.nonce, found.ring, found.bound())
    except (InvalidTag, ValueError) as fault:
        raise RingLocked(file=file) from fault
    return msgspec.json.decode(text, type=KeyRing)

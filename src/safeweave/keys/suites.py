"""Cryptographic suites by name: how members of the consortium hash, sign and seal.

`std-1` is the international suite: SHA-256, Ed25519 (RFC 8032), HPKE base mode (RFC 9180: DHKEM(X25519, HKDF-SHA256),
HKDF-SHA256, AES-256-GCM). `gm-1` is the Chinese national suite (`gm.py`). The name travels with every digest,
signature and sealed thing, so that old ones are read by the suite they were made with.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import BadSignatureError

from safeweave.keys.errors import KeyKind, KeyUnusable, SealBroken, SuiteNotInstalled, UnknownSuite

DIGEST_BYTES = 32  # of every suite


class Hash(Protocol):
    """A digest in the making."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class SigningKey(Protocol):
    """A private key that signs."""

    @property
    def public(self) -> bytes: ...
    def sign(self, data: bytes) -> bytes: ...
    def private_bytes(self) -> bytes: ...


class OpeningKey(Protocol):
    """A private key that opens what was sealed to its public half."""

    @property
    def public(self) -> bytes: ...
    def private_bytes(self) -> bytes: ...


class Suite(Protocol):
    """What a member needs of cryptography. Data that is signed or hashed carries its own domain separation."""

    name: str
    content_key_bytes: int  # of the key of `lock` and `unlock`

    def digest(self, data: bytes) -> bytes:
        """32 bytes."""

    def hash(self) -> Hash:
        """The same digest, fed piece by piece."""

    def new_signing_key(self) -> SigningKey: ...

    def signing_key(self, private: bytes) -> SigningKey:
        """The key of these `private_bytes`; raises KeyUnusable."""

    def verify(self, public: bytes, signature: bytes, data: bytes) -> bool:
        """Whether the owner of `public` signed this; False too for bytes that are no key or no signature."""

    def new_opening_key(self) -> OpeningKey: ...

    def opening_key(self, private: bytes) -> OpeningKey:
        """The key of these `private_bytes`; raises KeyUnusable."""

    def seal(self, public: bytes, info: bytes, plain: bytes) -> bytes:
        """`plain` for the owner of `public` only, openable only with the same `info`; raises KeyUnusable."""

    def open(self, private: OpeningKey, info: bytes, sealed: bytes) -> bytes:
        """What was sealed; raises SealBroken."""

    def lock(self, key: bytes, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
        """Encrypt under a content key and a nonce of 12 bytes that this key never sees again, binding `bound`."""

    def unlock(self, key: bytes, nonce: bytes, locked: bytes, bound: bytes) -> bytes:
        """What was locked; raises SealBroken."""

    def check_signing(self, public: bytes) -> None:
        """Raises KeyUnusable unless the public key can bind its owner to what it signs."""

    def check_sealing(self, public: bytes) -> None:
        """Raises KeyUnusable unless things can be sealed to the public key."""


class _Ed25519SigningKey:
    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data)

    def private_bytes(self) -> bytes:
        return self._private.private_bytes_raw()


class _X25519OpeningKey:
    def __init__(self, private: X25519PrivateKey) -> None:
        self.private = private
        self.public = private.public_key().public_bytes_raw()

    def private_bytes(self) -> bytes:
        return self.private.private_bytes_raw()


class International:
    """The suite `std-1`. Keys are the raw 32 bytes of RFC 8032 and RFC 7748, signatures the raw 64 bytes."""

    name = "std-1"
    content_key_bytes = 32

    def __init__(self) -> None:
        self._hpke = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

    def digest(self, data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    def hash(self) -> Hash:
        return hashlib.sha256()

    def new_signing_key(self) -> SigningKey:
        return _Ed25519SigningKey(Ed25519PrivateKey.generate())

    def signing_key(self, private: bytes) -> SigningKey:
        if len(private) != 32:
            raise self._unusable("signing")
        return _Ed25519SigningKey(Ed25519PrivateKey.from_private_bytes(private))

    def verify(self, public: bytes, signature: bytes, data: bytes) -> bool:
        if len(public) != 32 or len(signature) != 64:
            return False
        try:  # libsodium: half the time of OpenSSL, and other threads run meanwhile
            crypto_sign_open(signature + data, public)
        except BadSignatureError:
            return False
        return True

    def new_opening_key(self) -> OpeningKey:
        return _X25519OpeningKey(X25519PrivateKey.generate())

    def opening_key(self, private: bytes) -> OpeningKey:
        if len(private) != 32:
            raise self._unusable("sealing")
        return _X25519OpeningKey(X25519PrivateKey.from_private_bytes(private))

    def seal(self, public: bytes, info: bytes, plain: bytes) -> bytes:
        try:
            return self._hpke.encrypt(plain, X25519PublicKey.from_public_bytes(public), info)
        except ValueError as fault:
            raise self._unusable("sealing") from fault

    def open(self, private: OpeningKey, info: bytes, sealed: bytes) -> bytes:
        if not isinstance(private, _X25519OpeningKey):
            raise self._unusable("sealing")
        try:
            return self._hpke.decrypt(sealed, private.private, info)
        except (InvalidTag, ValueError) as fault:
            raise SealBroken() from fault

    def lock(self, key: bytes, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
        return AESGCM(key).encrypt(nonce, plain, bound)

    def unlock(self, key: bytes, nonce: bytes, locked: bytes, bound: bytes) -> bytes:
        try:
            return AESGCM(key).decrypt(nonce, locked, bound)
        except InvalidTag as fault:
            raise SealBroken() from fault

    def check_signing(self, public: bytes) -> None:
        if len(public) != 32 or not crypto_core_ed25519_is_valid_point(public):
            raise self._unusable("signing")

    def check_sealing(self, public: bytes) -> None:
        try:  # a point of small order gives the shared secret zero, which is refused
            X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as fault:
            raise self._unusable("sealing") from fault

    def _unusable(self, kind: KeyKind) -> KeyUnusable:
        return KeyUnusable(suite=self.name, kind=kind)


def _national() -> Suite:
    try:
        from safeweave.keys.gm import National
    except ImportError as fault:
        raise SuiteNotInstalled(name="gm-1", extra="gm") from fault
    return National()


SUITES: dict[str, Callable[[], Suite]] = {"std-1": International, "gm-1": _national}


@cache
def suite(name: str) -> Suite:
    """The suite of this name; raises UnknownSuite, or SuiteNotInstalled if an optional extra is missing."""
    if name not in SUITES:
        raise UnknownSuite(name=name, known=", ".join(sorted(SUITES)))
    return SUITES[name]()

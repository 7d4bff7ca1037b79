"""The Chinese national suite `gm-1`: SM2 (GB/T 32918), SM3 (GB/T 32905), SM4-GCM (GB/T 32907, RFC 8998).

Keys are the private number in 32 bytes and the uncompressed point in 65; signatures are r and s, 32 bytes each, made
with SM3 and the identity 1234567812345678 (GB/T 32918.2, GM/T 0009).

Sealing is a digital envelope: a fresh secret of 32 bytes is encrypted with SM2 (C1, C3, C2, 129 bytes in all), and
HKDF-SM3 makes of it, of the recipient's key and of `info` the key and nonce of SM4-GCM. SM4 has 128-bit keys.

SM2 comes from tongsuopy, SM3 and SM4 from cryptography. tongsuopy offers SM2 signatures as API, encryption only through
the EVP functions of its binding, used here. It carries a library of the line of OpenSSL 1.1.1h, whose SM2 decryption
can report a buffer too small (CVE-2021-3711): the buffer here never is, and only ciphertexts of 129 bytes reach it.
"""

import secrets
from functools import cached_property
from typing import Any

import tongsuopy.backends.tongsuo as tongsuo
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from tongsuopy.crypto import exceptions as refused
from tongsuopy.crypto import hashes as tongsuo_hashes
from tongsuopy.crypto.asymciphers import ec

from safeweave.keys.errors import KeyKind, KeyUnusable, SealBroken
from safeweave.keys.framing import framed
from safeweave.keys.suites import Hash, OpeningKey, SigningKey

_ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123  # of the group
_SECRET_BYTES = 32
_WRAPPED_BYTES = 1 + 64 + 32 + _SECRET_BYTES
_TAG_BYTES = 16
_WITH_SM3 = ec.ECDSA(tongsuo_hashes.SM3())  # on the curve SM2 this is the SM2 signature
_CURVE = ec.SM2()


class _Hash:
    def __init__(self) -> None:
        self._hash = hashes.Hash(hashes.SM3())

    def update(self, data: bytes, /) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        return self._hash.copy().finalize()


class _Sm2Key:
    """A private key that signs and opens; the two are never the same key of a member."""

    def __init__(self, private: Any) -> None:
        self.private = private

    @cached_property
    def public(self) -> bytes:
        point = self.private.public_key().public_numbers()
        x: bytes = point.x.to_bytes(32, "big")
        y: bytes = point.y.to_bytes(32, "big")
        return b"\x04" + x + y

    def sign(self, data: bytes) -> bytes:
        r, s = decode_dss_signature(self.private.sign(data, _WITH_SM3))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def private_bytes(self) -> bytes:
        number: int = self.private.private_numbers().private_value
        return number.to_bytes(32, "big")


class National:
    """The suite `gm-1`."""

    name = "gm-1"
    content_key_bytes = 16

    def digest(self, data: bytes) -> bytes:
        hash = hashes.Hash(hashes.SM3())
        hash.update(data)
        return hash.finalize()

    def hash(self) -> Hash:
        return _Hash()

    def new_signing_key(self) -> SigningKey:
        return _Sm2Key(ec.generate_private_key(_CURVE))

    def signing_key(self, private: bytes) -> SigningKey:
        return self._key(private, "signing")

    def verify(self, public: bytes, signature: bytes, data: bytes) -> bool:
        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            self._public(public, "signing").verify(encode_dss_signature(r, s), data, _WITH_SM3)
        except (KeyUnusable, refused.InvalidSignature, refused.InternalError):
            return False
        return True

    def new_opening_key(self) -> OpeningKey:
        return _Sm2Key(ec.generate_private_key(_CURVE))

    def opening_key(self, private: bytes) -> OpeningKey:
        return self._key(private, "sealing")

    def seal(self, public: bytes, info: bytes, plain: bytes) -> bytes:
        secret = secrets.token_bytes(_SECRET_BYTES)
        wrapped = _sm2_encrypted(self._public(public, "sealing"), secret)
        key, nonce = self._content_key(secret, public, wrapped, info)
        return wrapped + self.lock(key, nonce, plain, b"")

    def open(self, private: OpeningKey, info: bytes, sealed: bytes) -> bytes:
        if not isinstance(private, _Sm2Key):
            raise KeyUnusable(self.name, "sealing")
        wrapped = sealed[:_WRAPPED_BYTES]
        key, nonce = self._content_key(_sm2_decrypted(private.private, wrapped), private.public, wrapped, info)
        return self.unlock(key, nonce, sealed[_WRAPPED_BYTES:], b"")

    def lock(self, key: bytes, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
        encryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(bound)
        return encryptor.update(plain) + encryptor.finalize() + encryptor.tag

    def unlock(self, key: bytes, nonce: bytes, locked: bytes, bound: bytes) -> bytes:
        if len(locked) < _TAG_BYTES:
            raise SealBroken()
        decryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce, locked[-_TAG_BYTES:])).decryptor()
        decryptor.authenticate_additional_data(bound)
        try:
            return decryptor.update(locked[:-_TAG_BYTES]) + decryptor.finalize()
        except InvalidTag as fault:
            raise SealBroken() from fault

    def check_signing(self, public: bytes) -> None:
        self._public(public, "signing")

    def check_sealing(self, public: bytes) -> None:
        self._public(public, "sealing")

    def _content_key(self, secret: bytes, public: bytes, wrapped: bytes, info: bytes) -> tuple[bytes, bytes]:
        bound = framed(b"safeweave/gm-1/seal/1", public, wrapped, info)
        made = HKDF(hashes.SM3(), self.content_key_bytes + 12, salt=None, info=bound).derive(secret)
        return made[: self.content_key_bytes], made[self.content_key_bytes :]

    def _key(self, private: bytes, kind: KeyKind) -> _Sm2Key:
        number = int.from_bytes(private, "big")
        if len(private) != 32 or not 0 < number < _ORDER - 1:  # GB/T 32918.1, 6.1
            raise KeyUnusable(self.name, kind)
        return _Sm2Key(ec.derive_private_key(number, _CURVE))

    def _public(self, public: bytes, kind: KeyKind) -> Any:
        """The public key; every point on the curve but infinity is of prime order."""
        if len(public) != 65 or public[0] != 4:
            raise KeyUnusable(self.name, kind)
        x, y = int.from_bytes(public[1:33], "big"), int.from_bytes(public[33:], "big")
        try:
            return ec.EllipticCurvePublicNumbers(x, y, _CURVE).public_key()
        except (ValueError, refused.InternalError) as fault:
            raise KeyUnusable(self.name, kind) from fault


def _sm2_encrypted(public: Any, secret: bytes) -> bytes:
    """The secret in the form C1 (04, x, y), C3, C2 of GB/T 32918.4."""
    der = _evp("encrypt", public._evp_pkey, secret, room=256)
    if der is None:
        raise KeyUnusable("gm-1", "sealing")
    x, y, check, text = _der_fields(der)
    return b"\x04" + x.rjust(32, b"\0") + y.rjust(32, b"\0") + check + text


def _sm2_decrypted(private: Any, wrapped: bytes) -> bytes:
    if len(wrapped) != _WRAPPED_BYTES:
        raise SealBroken()
    secret = _evp("decrypt", private._evp_pkey, _sequence(wrapped), room=256)
    if secret is None or len(secret) != _SECRET_BYTES:
        raise SealBroken()
    return secret


def _evp(operation: str, key: Any, data: bytes, room: int) -> bytes | None:
    """What EVP_PKEY_encrypt or EVP_PKEY_decrypt makes of the data with this key, None if it refuses."""
    backend = tongsuo.backend
    library, ffi = backend._lib, backend._ffi
    context = ffi.gc(library.EVP_PKEY_CTX_new(key, ffi.NULL), library.EVP_PKEY_CTX_free)
    out, length = ffi.new("unsigned char[]", room), ffi.new("size_t *", room)
    done = (
        getattr(library, f"EVP_PKEY_{operation}_init")(context) == 1
        and getattr(library, f"EVP_PKEY_{operation}")(context, out, length, data, len(data)) == 1
    )
    if not done:
        backend._consume_errors()
        return None
    return bytes(ffi.buffer(out, length[0]))


def _sequence(ciphertext: bytes) -> bytes:
    """C1, C3, C2 as the ASN.1 sequence of GM/T 0009, which the library reads."""
    x, y = ciphertext[1:33], ciphertext[33:65]
    fields = (
        _der(0x02, _signed(x)) + _der(0x02, _signed(y)) + _der(0x04, ciphertext[65:97]) + _der(0x04, ciphertext[97:])
    )
    return _der(0x30, fields)


def _signed(number: bytes) -> bytes:
    """A whole number as DER writes it: no more leading zeros than its sign needs."""
    number = number.lstrip(b"\0") or b"\0"
    return b"\0" + number if number[0] & 0x80 else number


def _der(tag: int, content: bytes) -> bytes:
    """A DER element of at most 255 bytes."""
    length = bytes((len(content),)) if len(content) < 0x80 else bytes((0x81, len(content)))
    return bytes((tag,)) + length + content


def _der_fields(der: bytes) -> list[bytes]:
    """The contents of the elements of a DER sequence this library wrote, whole numbers without leading zeros."""
    at = 3 if der[1] == 0x81 else 2
    fields = []
    while at < len(der):
        tag, length = der[at], der[at + 1]
        content = der[at + 2 : at + 2 + length]
        fields.append(content.lstrip(b"\0") if tag == 0x02 else content)
        at += 2 + length
    return fields

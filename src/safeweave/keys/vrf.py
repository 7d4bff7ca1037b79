"""A verifiable random function: a pseudonym only its owner can make, and everyone can check.

RFC 9381, suite ECVRF-EDWARDS25519-SHA512-TAI (0x03), on the edwards25519 arithmetic of libsodium. The same secret and
the same input give one output and no other, and whoever lacks the secret cannot try inputs out.

Stricter than the RFC in one point: a public key or a Gamma outside the subgroup of prime order is refused (libsodium
does not multiply such points). Honest provers never make one, so no honest proof is lost.

What an observer of the time learns: multiplications and scalar arithmetic on the secret are libsodium's and take
constant time, and the nonce comes from the secret and the input, not from a random source (section 5.4.2.2). Turning
the input into a point tries until one fits (section 5.4.1.1): the number of tries, one bit or two, shows about the
input, never about the secret (section 7.1). Input and secret pass through Python's memory, which is not wiped.
"""

import hashlib
import secrets
from hmac import compare_digest

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_is_valid_point,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import RuntimeError as NotOnCurve

from safeweave.keys.errors import KeyUnusable

SECRET_BYTES = 32
PROOF_BYTES = 80
OUTPUT_BYTES = 64

_SUITE = b"\x03"
_POINT = 32
_CHALLENGE = 16
_FIELD = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_IDENTITY = b"\x01" + bytes(31)


def new_secret() -> bytes:
    """A fresh secret key."""
    return secrets.token_bytes(SECRET_BYTES)


def public_key(secret: bytes) -> bytes:
    """The public key of a secret, 32 bytes; raises KeyUnusable for a secret of another length."""
    return crypto_scalarmult_ed25519_base_noclamp(_expanded(secret)[0])


def check_key(public: bytes) -> None:
    """Raises KeyUnusable for bytes that are no point, no canonical one, or one outside the subgroup of prime order.

    This is ECVRF_validate_key (section 5.4.5) and more.
    """
    if not _is_prime_order(public):
        raise KeyUnusable("edwards25519", "proving")


def prove(secret: bytes, alpha: bytes) -> bytes:
    """The proof pi, 80 bytes, that `output(pi)` belongs to this secret and this input (section 5.1)."""
    x, prefix = _expanded(secret)
    y = crypto_scalarmult_ed25519_base_noclamp(x)
    h = _point_of(y, alpha)
    gamma = crypto_scalarmult_ed25519_noclamp(x, h)
    k = crypto_core_ed25519_scalar_reduce(hashlib.sha512(prefix + h).digest())
    c = _challenge(y, h, gamma, crypto_scalarmult_ed25519_base_noclamp(k), crypto_scalarmult_ed25519_noclamp(k, h))
    s = crypto_core_ed25519_scalar_add(k, crypto_core_ed25519_scalar_mul(c + bytes(16), x))
    return gamma + c + s


def output(pi: bytes) -> bytes:
    """The output beta, 64 bytes, of a proof that `verify` accepted or `prove` made (section 5.2).

    Raises ValueError for bytes that are no proof.
    """
    gamma = pi[:_POINT]
    if len(pi) != PROOF_BYTES or not _is_prime_order(gamma):
        raise ValueError("These bytes are no proof.")
    return hashlib.sha512(_SUITE + b"\x03" + _times_cofactor(gamma) + b"\x00").digest()


def verify(public: bytes, pi: bytes, alpha: bytes) -> bytes | None:
    """The output beta if the owner of `public` made this proof for this input, else None (section 5.3)."""
    if len(pi) != PROOF_BYTES:
        return None
    gamma, c, s = pi[:_POINT], pi[_POINT : _POINT + _CHALLENGE], pi[_POINT + _CHALLENGE :]
    if not _is_prime_order(public) or not _is_prime_order(gamma) or int.from_bytes(s, "little") >= _ORDER:
        return None
    h = _point_of(public, alpha)
    scalar = c + bytes(16)
    try:
        u = crypto_core_ed25519_sub(
            crypto_scalarmult_ed25519_base_noclamp(s), crypto_scalarmult_ed25519_noclamp(scalar, public)
        )
        v = crypto_core_ed25519_sub(
            crypto_scalarmult_ed25519_noclamp(s, h), crypto_scalarmult_ed25519_noclamp(scalar, gamma)
        )
    except NotOnCurve:  # c or s is zero
        return None
    return output(pi) if compare_digest(c, _challenge(public, h, gamma, u, v)) else None


def _expanded(secret: bytes) -> tuple[bytes, bytes]:
    """The secret scalar and the prefix of nonces, as RFC 8032 (section 5.1.5) derives them."""
    if len(secret) != SECRET_BYTES:
        raise KeyUnusable("edwards25519", "proving")
    digest = bytearray(hashlib.sha512(secret).digest())
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    return bytes(digest[:32]), bytes(digest[32:])


def _point_of(public: bytes, alpha: bytes) -> bytes:
    """ECVRF_encode_to_curve_try_and_increment (section 5.4.1.1), salted with the public key."""
    for tries in range(256):
        digest = hashlib.sha512(_SUITE + b"\x01" + public + alpha + bytes((tries, 0))).digest()
        candidate = digest[:_POINT]
        if _is_canonical(candidate):
            try:
                point = _times_cofactor(candidate)
            except NotOnCurve:
                continue
            if point != _IDENTITY:
                return point
    raise ValueError("No point was found for this input.")  # happens once in 2**256 inputs


def _challenge(*points: bytes) -> bytes:
    """ECVRF_challenge_generation (section 5.4.3)."""
    return hashlib.sha512(_SUITE + b"\x02" + b"".join(points) + b"\x00").digest()[:_CHALLENGE]


def _times_cofactor(point: bytes) -> bytes:
    for _ in range(3):
        point = crypto_core_ed25519_add(point, point)
    return point


def _is_prime_order(point: bytes) -> bool:
    """Whether these bytes are the canonical form of a point of the subgroup of prime order, not its identity."""
    return len(point) == _POINT and crypto_core_ed25519_is_valid_point(point)


def _is_canonical(point: bytes) -> bool:
    """Whether the encoded y is below the field's size and no zero x carries a sign (RFC 8032, section 5.1.3)."""
    number = int.from_bytes(point, "little")
    y = number & (2**255 - 1)
    return y < _FIELD and not (number >> 255 and y in (1, _FIELD - 1))

"""ECVRF-EDWARDS25519-SHA512-TAI once more, on whole numbers and straight from RFC 9381: slow, and shares no code."""

from hashlib import sha512

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def plus(one: Point, other: Point) -> Point:
    (a, b), (c, d) = one, other
    k = D * a * b * c * d % P
    return (a * d + b * c) * pow(1 + k, -1, P) % P, (b * d + a * c) * pow(1 - k, -1, P) % P


def times(number: int, point: Point) -> Point:
    result = IDENTITY
    while number:
        if number & 1:
            result = plus(result, point)
        point, number = plus(point, point), number >> 1
    return result


def minus(point: Point) -> Point:
    return -point[0] % P, point[1]


def written(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def read(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else P - x), y


BASE = read(bytes.fromhex("58" + "66" * 31))
assert BASE is not None


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def encode_to_curve(public: bytes, alpha: bytes) -> Point:
    for tries in range(256):
        point = read(sha512(b"\x03\x01" + public + alpha + bytes([tries]) + b"\0").digest()[:32])
        if point is not None and times(8, point) != IDENTITY:
            return times(8, point)
    raise AssertionError


def challenge(*points: Point) -> int:
    return number(sha512(b"\x03\x02" + b"".join(map(written, points)) + b"\0").digest()[:16])


def prove(secret: bytes, alpha: bytes) -> tuple[bytes, bytes]:
    """The public key and the proof."""
    digest = sha512(secret).digest()
    x = number(digest[:32]) & (2**254 - 8) | 2**254
    y = times(x, BASE)
    h = encode_to_curve(written(y), alpha)
    gamma = times(x, h)
    k = number(sha512(digest[32:] + written(h)).digest()) % Q
    c = challenge(y, h, gamma, times(k, BASE), times(k, h))
    return written(y), written(gamma) + c.to_bytes(16, "little") + ((k + c * x) % Q).to_bytes(32, "little")


def output(pi: bytes) -> bytes:
    gamma = read(pi[:32])
    assert gamma is not None
    return sha512(b"\x03\x03" + written(times(8, gamma)) + b"\0").digest()


def verify(public: bytes, pi: bytes, alpha: bytes) -> bytes | None:
    y, gamma, c, s = read(public), read(pi[:32]), number(pi[32:48]), number(pi[48:])
    if y is None or gamma is None or s >= Q or times(8, y) == IDENTITY:
        return None
    h = encode_to_curve(public, alpha)
    u = plus(times(s, BASE), minus(times(c, y)))
    v = plus(times(s, h), minus(times(c, gamma)))
    return output(pi) if challenge(y, h, gamma, u, v) == c else None

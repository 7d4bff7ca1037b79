"""Sealed envelopes: what one member sends another, readable by the recipient only and signed by the sender.

On the wire, each part behind its length in four bytes: the line `MAGIC`; the header in canonical JSON; the content key,
sealed to the recipient with the digest of the header as `info`; the content in chunks, the length of the last one
marked by its highest bit; the sender's signature over the digests of the header and of all that follows it.

Each chunk is locked under a nonce that counts the chunks and says whether it is the last, so none can be moved, left
out or cut off, whoever signs it (the STREAM construction). Both sides hold one chunk in memory, whatever the size.
The size of the content and everything in the header are visible to whoever carries the envelope.
"""

import secrets
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Annotated, BinaryIO

import msgspec

from safeweave.errors import Malformed
from safeweave.keys.canonical import canonical
from safeweave.keys.errors import EnvelopeUnreadable, Expired, Forged, KeysNotValid, SealBroken, WrongRecipient
from safeweave.keys.framing import framed
from safeweave.keys.keyset import KeySet, key_id
from safeweave.keys.ring import KeyRing
from safeweave.keys.suites import Suite
from safeweave.keys.suites import suite as suite_named

MAGIC = b"safeweave-envelope/1\n"
CHUNK_BYTES = 64 * 1024  # of content
HEADER_BYTES_MOST = 16 * 1024  # the longest texts, each character escaped, take half

_DOMAIN = b"safeweave/envelope/1"
_KEY_DOMAIN = b"safeweave/envelope/1/key"
_LAST = 1 << 31
_LOCKED_BYTES_MOST = CHUNK_BYTES + 16
_SMALL_PART_BYTES_MOST = 512  # the sealed content key and the signature

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Matter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the sender says of an envelope: to whom, under which consent, and which one of an exchange it is.

    `height` is that of the ledger at which the consent was checked; sender and recipient use their keys of that height.
    `sequence` counts the envelopes of one sender in one exchange. `expires_at` is compared with the ledger's time.
    """

    recipient: Text
    consent: Text
    height: Number
    exchange: Text
    sequence: Number
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)]
    kind: Text


class Header(Matter, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The matter, who sends it, and with which suites and keys it is sealed (the recipient's) and signed."""

    sender: Text
    suite: str
    sealing_key: str
    signing_suite: str
    signing_key: str

    @property
    def replay_key(self) -> tuple[str, str, int]:
        """What a recipient keeps of every envelope it took, to notice when one comes again."""
        return self.sender, self.exchange, self.sequence


class Cover(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of an envelope but its content: enough to prove who sent it, to whom and under which consent."""

    header: Header
    body: bytes  # digest of the sealed content key and the chunks
    signature: bytes

    def digest(self) -> bytes:
        """The 32 bytes that name the envelope, for anchors and receipts."""
        return suite_named(self.header.suite).digest(_signed(_digest(self.header), self.body))

    def signed_by(self, sender: KeySet) -> bool:
        """Whether the owner of these keys signed it, while they counted."""
        header = self.header
        return (
            (header.signing_suite, header.signing_key) == (sender.suite, sender.signing_id)
            and sender.valid_at(header.height)
            and suite_named(sender.suite).verify(sender.signing, self.signature, _signed(_digest(header), self.body))
        )


def seal_envelope(source: BinaryIO, out: BinaryIO, matter: Matter, ring: KeyRing, recipient: KeySet) -> Cover:
    """Write an envelope with everything `source` still holds, sealed to the recipient's keys and signed with the ring.

    Raises Malformed for a matter no one could read, NoKeys or KeysNotValid if the ring or the recipient's keys do not
    count at its height, KeyUnusable.
    """
    if not recipient.valid_at(matter.height):
        raise KeysNotValid(member=matter.recipient, height=matter.height)
    sender = ring.at(matter.height)
    signing_key = sender.signing_key()
    header = Header(
        **msgspec.structs.asdict(matter),
        sender=ring.member,
        suite=recipient.suite,
        sealing_key=recipient.sealing_id,
        signing_suite=sender.suite,
        signing_key=key_id(sender.suite, signing_key.public),
    )
    text = canonical(header)
    try:
        msgspec.json.decode(text, type=Header)
    except msgspec.ValidationError as fault:
        raise Malformed(f"This cannot be said of an envelope: {fault}.") from fault
    used = suite_named(recipient.suite)
    about = used.digest(text)
    content_key = secrets.token_bytes(used.content_key_bytes)

    out.write(MAGIC + framed(text))
    body = used.hash()
    for part in _body(used, content_key, used.seal(recipient.sealing, _info(about), content_key), source):
        body.update(part)
        out.write(part)
    digest = body.digest()
    signature = signing_key.sign(_signed(about, digest))
    out.write(framed(signature))
    return Cover(header, digest, signature)


def read_header(source: BinaryIO) -> Header:
    """What the envelope says of itself, not yet verified: enough to find the sender's keys. Leaves `source` behind it.

    Raises EnvelopeUnreadable.
    """
    return _Reader(source).header()


def read_cover(source: BinaryIO) -> Cover:
    """The cover of the whole envelope, which is read to its end and not opened; nothing of it is verified.

    Raises EnvelopeUnreadable, UnknownSuite, SuiteNotInstalled.
    """
    reader = _Reader(source)
    return _covered(reader, reader.header())


def open_envelope(source: BinaryIO, out: BinaryIO, ring: KeyRing, sender: KeySet, now: datetime) -> Cover:
    """Verify the envelope, then write its content to `out`; nothing is written before all of it is verified.

    `source` is read twice, so it must be able to seek; `sender` are the keys the ledger names for the header's sender
    at the header's height, `now` is the ledger's time. That the consent was good at that height, that the height is
    recent, and that `header.replay_key` is new, is for the caller to say.

    Raises EnvelopeUnreadable, WrongRecipient, Expired, UnknownSuite, SuiteNotInstalled, Forged, NoSuchKey (the ring
    lost it), or SealBroken: then the sender signed what it sealed wrongly, and what `out` was given is not to be used.
    """
    start = source.tell()
    reader = _Reader(source)
    header = reader.header()
    _check_addressed(header, ring, now)
    cover = _covered(reader, header)
    if not cover.signed_by(sender):
        raise Forged(sender=header.sender)
    source.seek(start)
    open_covered(source, out, ring, cover, now)
    return cover


def open_covered(source: BinaryIO, out: BinaryIO, ring: KeyRing, cover: Cover, now: datetime) -> None:
    """Write the content of an envelope whose `cover` was read from these very bytes, and signed by its sender.

    For who has asked `Cover.signed_by` already. Raises what `open_envelope` does, except Forged.
    """
    header = cover.header
    _check_addressed(header, ring, now)
    reader = _Reader(source)
    if reader.header() != header:
        raise SealBroken()
    sealed_key = reader.part(_SMALL_PART_BYTES_MOST)
    used = suite_named(header.suite)
    period = ring.sealed_to(header.sealing_key)
    if period.suite != header.suite:
        raise SealBroken()
    content_key = used.open(period.opening_key(), _info(_digest(header)), sealed_key)
    if len(content_key) != used.content_key_bytes:
        raise SealBroken()
    for index, (_, locked, last) in enumerate(reader.chunks()):
        out.write(used.unlock(content_key, _nonce(index, last), locked, b""))


def _check_addressed(header: Header, ring: KeyRing, now: datetime) -> None:
    if header.recipient != ring.member:
        raise WrongRecipient(recipient=header.recipient, member=ring.member)
    if now >= header.expires_at:
        raise Expired(expires_at=header.expires_at.isoformat(), now=now.isoformat())


def _covered(reader: "_Reader", header: Header) -> Cover:
    """The cover of the envelope of this header, which is read to its end."""
    body = suite_named(header.suite).hash()
    body.update(framed(reader.part(_SMALL_PART_BYTES_MOST)))
    for length, locked, _ in reader.chunks():
        body.update(length)
        body.update(locked)
    cover = Cover(header, body.digest(), reader.part(_SMALL_PART_BYTES_MOST))
    reader.end()
    return cover


@lru_cache(maxsize=256)  # asked for ten times while one envelope is sent or taken
def _digest(header: Header) -> bytes:
    return suite_named(header.suite).digest(canonical(header))


def _info(header_digest: bytes) -> bytes:
    return framed(_KEY_DOMAIN, header_digest)


def _signed(header_digest: bytes, body: bytes) -> bytes:
    """What the signature is over."""
    return framed(_DOMAIN, header_digest, body)


def _nonce(index: int, last: bool) -> bytes:
    return index.to_bytes(11, "big") + bytes((last,))


def _body(used: Suite, content_key: bytes, sealed_key: bytes, source: BinaryIO) -> Iterator[bytes]:
    """The parts between header and signature, as they are written."""
    yield framed(sealed_key)
    chunk = _read(source, CHUNK_BYTES)
    index, last = 0, False
    while not last:
        following = _read(source, CHUNK_BYTES) if len(chunk) == CHUNK_BYTES else b""
        last = not following
        locked = used.lock(content_key, _nonce(index, last), chunk, b"")
        yield (len(locked) | _LAST * last).to_bytes(4, "big")
        yield locked
        chunk, index = following, index + 1


def _read(source: BinaryIO, size: int) -> bytes:
    """The next `size` bytes, fewer only at the end: a pipe may give them in pieces."""
    data = source.read(size)
    while 0 < len(data) < size and (more := source.read(size - len(data))):
        data += more
    return data


class _Reader:
    """Reads an envelope part by part and knows at which byte it stands."""

    def __init__(self, source: BinaryIO, at: int = 0) -> None:
        self._source = source
        self.at = at

    def header(self) -> Header:
        if self._take(len(MAGIC)) != MAGIC:
            raise EnvelopeUnreadable(0)
        text = self.part(HEADER_BYTES_MOST)
        try:
            header = msgspec.json.decode(text, type=Header)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise EnvelopeUnreadable(len(MAGIC) + 4) from fault
        if canonical(header) != text:  # one header has one spelling, and so one digest
            raise EnvelopeUnreadable(len(MAGIC) + 4)
        return header

    def part(self, most: int) -> bytes:
        return self._take(self._length(most, int.from_bytes(self._take(4), "big")))

    def chunks(self) -> Iterator[tuple[bytes, bytes, bool]]:
        """Each chunk as its length is written, as it is locked, and whether it is the last."""
        last = False
        while not last:
            written = self._take(4)
            number = int.from_bytes(written, "big")
            last = bool(number & _LAST)
            yield written, self._take(self._length(_LOCKED_BYTES_MOST, number & ~_LAST)), last

    def end(self) -> None:
        if self._source.read(1):
            raise EnvelopeUnreadable(self.at)

    def _length(self, most: int, length: int) -> int:
        if length > most:
            raise EnvelopeUnreadable(self.at - 4)
        return length

    def _take(self, size: int) -> bytes:
        data = _read(self._source, size)
        if len(data) < size:
            raise EnvelopeUnreadable(self.at + len(data))
        self.at += size
        return data

"""A sealed envelope: read by its recipient only, signed by its sender, and refused if anything was changed."""

import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import example, given
from hypothesis import strategies as st

from safeweave.errors import Malformed, SafeweaveError
from safeweave.keys import KeyRing, canonical, suite
from safeweave.keys.envelope import (
    CHUNK_BYTES,
    MAGIC,
    Cover,
    Header,
    Matter,
    open_envelope,
    read_cover,
    read_header,
    seal_envelope,
)
from safeweave.keys.errors import (
    EnvelopeUnreadable,
    Expired,
    Forged,
    KeysNotValid,
    NoKeys,
    NoSuchKey,
    Replayed,
    SealBroken,
    UnknownSuite,
    WrongRecipient,
)
from safeweave.keys.framing import framed

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
HOSPITAL = KeyRing.generated("hospital-1")
INSURER = KeyRing.generated("insurer-1")
OTHER_INSURER = KeyRing.generated("insurer-2")
NATIONAL_HOSPITAL = KeyRing.generated("hospital-1", "gm-1")
NATIONAL_INSURER = KeyRing.generated("insurer-1", "gm-1")
MATTER = Matter(
    recipient="insurer-1",
    consent="5f" * 32,
    height=12,
    exchange="exchange_1",
    sequence=0,
    expires_at=NOW + timedelta(days=1),
    kind="record",
)
RECORD = b"discharge record"


def sealed(content=RECORD, matter=MATTER, sender=HOSPITAL, recipient=INSURER) -> bytes:
    out = io.BytesIO()
    seal_envelope(io.BytesIO(content), out, matter, sender, recipient.at(matter.height).public())
    return out.getvalue()


def opened(envelope: bytes, ring=INSURER, sender=HOSPITAL, now=NOW) -> tuple[Cover, bytes]:
    out = io.BytesIO()
    try:
        cover = open_envelope(io.BytesIO(envelope), out, ring, sender.at(12).public(), now)
    except (Forged, WrongRecipient, Expired, EnvelopeUnreadable, NoSuchKey):
        assert out.getvalue() == b""
        raise
    return cover, out.getvalue()


ENVELOPE = sealed()


class Parts:
    """An envelope cut into its parts, by the words of its description and not by the code under test."""

    def __init__(self, envelope: bytes) -> None:
        assert envelope.startswith(MAGIC)
        stream = io.BytesIO(envelope[len(MAGIC) :])
        self.header: dict = json.loads(self._part(stream))
        self.key = self._part(stream)
        self.chunks: list[tuple[bool, bytes]] = []
        while not self.chunks or not self.chunks[-1][0]:
            number = int.from_bytes(stream.read(4), "big")
            self.chunks.append((number >= 1 << 31, stream.read(number & (1 << 31) - 1)))
        self.signature = self._part(stream)
        assert stream.read() == b""

    @staticmethod
    def _part(stream: io.BytesIO) -> bytes:
        return stream.read(int.from_bytes(stream.read(4), "big"))

    def written(self, signer: KeyRing | None = None) -> bytes:
        """The envelope again, signed anew if a ring is given."""
        body = framed(self.key)
        for last, locked in self.chunks:
            body += (len(locked) | last << 31).to_bytes(4, "big") + locked
        used = suite(self.header["suite"])
        signature = self.signature
        if signer:
            digests = used.digest(canonical(self.header)), used.digest(body)
            signature = signer.at(12).signing_key().sign(framed(b"safeweave/envelope/1", *digests))
        return MAGIC + framed(canonical(self.header)) + body + framed(signature)


def test_an_envelope_cut_into_parts_and_put_together_is_the_same():
    assert Parts(ENVELOPE).written() == ENVELOPE
    opened(Parts(ENVELOPE).written(HOSPITAL))


sizes = st.sampled_from([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 200_000])


@pytest.mark.parametrize(
    ("sender", "recipient"),
    [
        (HOSPITAL, INSURER),
        (NATIONAL_HOSPITAL, NATIONAL_INSURER),
        (HOSPITAL, NATIONAL_INSURER),
        (NATIONAL_HOSPITAL, INSURER),
    ],
    ids=["std-1", "gm-1", "signed-std-sealed-gm", "signed-gm-sealed-std"],
)
@given(size=sizes, byte=st.binary(min_size=1, max_size=1))
def test_what_is_sealed_arrives_whatever_its_size(sender, recipient, size, byte):
    envelope = sealed(byte * size, sender=sender, recipient=recipient)
    cover, content = opened(envelope, recipient, sender)
    assert content == byte * size
    assert cover.header.sender == "hospital-1"
    assert cover.header == read_header(io.BytesIO(envelope))


def test_the_bytes_are_those_the_module_describes():
    """Opened by hand, so that another program can do it."""
    content = bytes(range(256)) * 600
    parts = Parts(sealed(content))
    used = suite("std-1")
    about = used.digest(canonical(parts.header))
    opening = INSURER.periods[0].opening_key()
    key = used.open(opening, framed(b"safeweave/envelope/1/key", about), parts.key)
    plain = b"".join(
        AESGCM(key).decrypt(index.to_bytes(11, "big") + bytes([last]), locked, None)
        for index, (last, locked) in enumerate(parts.chunks)
    )
    assert plain == content
    assert [last for last, _ in parts.chunks] == [False, False, True]
    assert parts.header == {
        "consent": "5f" * 32,
        "exchange": "exchange_1",
        "expires_at": "2026-03-02T08:00:00Z",
        "height": 12,
        "kind": "record",
        "recipient": "insurer-1",
        "sealing_key": INSURER.public()[0].sealing_id,
        "sender": "hospital-1",
        "sequence": 0,
        "signing_key": HOSPITAL.public()[0].signing_id,
        "signing_suite": "std-1",
        "suite": "std-1",
    }


@given(st.integers(0, len(ENVELOPE) * 8 - 1))
@example(len(MAGIC) * 8)
@example(247)  # a header that is no UTF-8
def test_an_envelope_with_any_bit_flipped_is_refused_and_nothing_is_written(bit):
    changed = bytearray(ENVELOPE)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises((EnvelopeUnreadable, Forged, WrongRecipient, Expired, UnknownSuite)):
        opened(bytes(changed))


@given(st.integers(0, len(ENVELOPE) - 1))
def test_an_envelope_cut_off_anywhere_is_refused(length):
    with pytest.raises((EnvelopeUnreadable, Forged)):
        opened(ENVELOPE[:length])


@given(st.binary(max_size=300))
def test_bytes_that_are_no_envelope_are_refused(data):
    for envelope in (
        data,
        MAGIC + data,
        MAGIC + framed(data),
        MAGIC + framed(canonical(Parts(ENVELOPE).header)) + data,
    ):
        with pytest.raises((EnvelopeUnreadable, Forged)):
            opened(envelope)


@given(st.binary(min_size=1, max_size=10))
def test_bytes_behind_an_envelope_are_refused(more):
    with pytest.raises(EnvelopeUnreadable):
        opened(ENVELOPE + more)


@pytest.mark.parametrize("length", [2**31 - 1, 10**6])
def test_a_part_said_to_be_huge_is_refused_before_it_is_read(length):
    for at in (len(MAGIC), len(MAGIC) + 4 + len(canonical(Parts(ENVELOPE).header))):
        changed = ENVELOPE[:at] + length.to_bytes(4, "big") + ENVELOPE[at + 4 :]
        with pytest.raises(EnvelopeUnreadable, match=f"from byte {at} on"):
            opened(changed)


def test_a_header_spelt_another_way_is_refused():
    parts = Parts(ENVELOPE)
    spaced = json.dumps(parts.header).encode()
    with pytest.raises(EnvelopeUnreadable):
        opened(ENVELOPE.replace(framed(canonical(parts.header)), framed(spaced)))


def test_an_envelope_to_someone_else_stays_shut():
    with pytest.raises(WrongRecipient, match='addressed to "insurer-1", not to "insurer-2"'):
        opened(ENVELOPE, OTHER_INSURER)


other_matters = st.sampled_from(
    [
        ("recipient", "insurer-2"),
        ("consent", "60" * 32),
        ("height", 11),
        ("exchange", "exchange_2"),
        ("sequence", 1),
        ("expires_at", "2027-03-02T08:00:00Z"),
        ("kind", "bill"),
        ("sender", "hospital-2"),
        ("sealing_key", OTHER_INSURER.public()[0].sealing_id),
        ("signing_key", OTHER_INSURER.public()[0].signing_id),
        ("signing_suite", "gm-1"),
        ("suite", "gm-1"),
    ]
)


@given(other_matters)
def test_an_envelope_readdressed_renumbered_or_put_under_another_consent_is_refused(change):
    parts = Parts(ENVELOPE)
    parts.header[change[0]] = change[1]
    ring = OTHER_INSURER if change == ("recipient", "insurer-2") else INSURER
    with pytest.raises(Forged, match="did not sign this"):
        opened(parts.written(), ring)


@given(other_matters)
def test_even_its_sender_cannot_move_what_is_sealed_under_another_header(change):
    parts = Parts(ENVELOPE)
    parts.header[change[0]] = change[1]
    ring = OTHER_INSURER if change == ("recipient", "insurer-2") else INSURER
    expected = Forged if change[0].startswith("signing") else (Forged, SealBroken, NoSuchKey)
    with pytest.raises(expected):
        opened(parts.written(HOSPITAL), ring)


def test_a_header_that_names_another_suite_than_its_sealing_key_is_refused():
    parts = Parts(ENVELOPE)
    parts.header["suite"] = "gm-1"
    with pytest.raises(SealBroken):
        opened(parts.written(HOSPITAL))


def test_a_thief_cannot_send_what_it_cannot_read_in_its_own_name():
    parts = Parts(ENVELOPE)
    with pytest.raises(Forged):
        opened(parts.written(OTHER_INSURER))
    parts.header |= {"sender": "insurer-2", "signing_key": OTHER_INSURER.public()[0].signing_id}
    with pytest.raises(SealBroken):
        opened(parts.written(OTHER_INSURER), sender=OTHER_INSURER)


def moved(chunks):
    last = chunks[-1][1]
    return {
        "swapped": [chunks[1], chunks[0], chunks[2]],
        "left out": [chunks[0], chunks[2]],
        "sent twice": [chunks[0], chunks[0], chunks[1], chunks[2]],
        "cut off": [chunks[0], (True, chunks[1][1])],
        "gone on": [*chunks[:2], (False, last), (True, last)],
        "nothing left": [(True, chunks[0][1][:16])],
    }


@pytest.mark.parametrize("how", ["swapped", "left out", "sent twice", "cut off", "gone on", "nothing left"])
def test_chunks_moved_or_missing_are_refused_even_if_all_of_it_is_signed(how):
    parts = Parts(sealed(bytes(2 * CHUNK_BYTES + 5)))
    parts.chunks = moved(parts.chunks)[how]
    with pytest.raises(SealBroken):
        opened(parts.written(HOSPITAL))


@pytest.mark.parametrize("length", [0, 5, 16, 64])
def test_a_content_key_of_another_length_is_refused(length):
    parts = Parts(ENVELOPE)
    info = framed(b"safeweave/envelope/1/key", suite("std-1").digest(canonical(parts.header)))
    parts.key = suite("std-1").seal(INSURER.public()[0].sealing, info, bytes(length))
    with pytest.raises(SealBroken):
        opened(parts.written(HOSPITAL))


def test_an_envelope_is_good_until_the_instant_it_expires():
    expires = MATTER.expires_at
    assert opened(ENVELOPE, now=expires - timedelta(microseconds=1))[1] == RECORD
    with pytest.raises(Expired, match="2026-03-02T08:00:00"):
        opened(ENVELOPE, now=expires)


def test_an_expiry_without_a_time_zone_is_no_expiry():
    parts = Parts(ENVELOPE)
    parts.header["expires_at"] = "2026-03-02T08:00:00"
    with pytest.raises(EnvelopeUnreadable):
        opened(parts.written(HOSPITAL))


def test_the_same_envelope_again_has_the_same_replay_key_and_the_next_another():
    again = sealed(b"other content")
    following = sealed(matter=msgspec.structs.replace(MATTER, sequence=1))
    keys = [opened(envelope)[0].header.replay_key for envelope in (ENVELOPE, again, following)]
    assert keys == [("hospital-1", "exchange_1", 0)] * 2 + [("hospital-1", "exchange_1", 1)]


def test_what_was_sealed_to_old_keys_opens_after_they_were_changed():
    rotated = INSURER.rotated(50)
    assert opened(ENVELOPE, rotated)[1] == RECORD
    forgetful = KeyRing("insurer-1", rotated.periods[1:])
    with pytest.raises(NoSuchKey):
        opened(ENVELOPE, forgetful)


def test_keys_that_do_not_count_at_the_height_neither_seal_nor_sign():
    rotated = INSURER.rotated(12)
    with pytest.raises(KeysNotValid, match="height 12"):
        seal_envelope(io.BytesIO(), io.BytesIO(), MATTER, HOSPITAL, rotated.public()[0])
    with pytest.raises(NoKeys):
        sealed(sender=KeyRing.generated("hospital-1", valid_from=13))

    ended = msgspec.structs.replace(HOSPITAL.public()[0], valid_until=12)
    with pytest.raises(Forged):
        open_envelope(io.BytesIO(ENVELOPE), io.BytesIO(), INSURER, ended, NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipient", ""),
        ("exchange", "x" * 257),
        ("sequence", -1),
        ("sequence", 2**53),
        ("expires_at", datetime(2026, 3, 2)),  # noqa: DTZ001
    ],
)
def test_what_no_recipient_could_read_is_not_sealed(field, value):
    out = io.BytesIO()
    with pytest.raises(Malformed):
        seal_envelope(
            io.BytesIO(), out, msgspec.structs.replace(MATTER, **{field: value}), HOSPITAL, INSURER.public()[0]
        )
    assert out.getvalue() == b""


def test_the_longest_header_can_still_be_read():
    control = "\1" * 256  # six bytes each in JSON
    matter = msgspec.structs.replace(MATTER, recipient=control, consent=control, exchange=control, kind=control)
    sender, recipient = KeyRing.generated(control), KeyRing.generated(control)
    assert opened(sealed(matter=matter, sender=sender, recipient=recipient), recipient, sender)[1] == RECORD


def test_the_cover_alone_proves_who_sent_what_to_whom_under_which_consent():
    cover, _ = opened(ENVELOPE)
    copy = msgspec.json.decode(msgspec.json.encode(cover), type=Cover)
    assert copy == cover
    assert copy.signed_by(HOSPITAL.public()[0])
    assert not copy.signed_by(OTHER_INSURER.public()[0])
    for changed in (
        msgspec.structs.replace(cover, header=msgspec.structs.replace(cover.header, consent="60" * 32)),
        msgspec.structs.replace(cover, body=bytes(32)),
    ):
        assert not changed.signed_by(HOSPITAL.public()[0])
        assert changed.digest() != cover.digest()


def test_sealing_tells_the_cover_that_opening_tells():
    out = io.BytesIO()
    cover = seal_envelope(io.BytesIO(RECORD), out, MATTER, HOSPITAL, INSURER.public()[0])
    assert opened(out.getvalue())[0] == cover
    assert isinstance(cover.header, Header)


def test_the_same_content_sealed_twice_looks_different():
    one, other = Parts(sealed()), Parts(sealed())
    assert one.header == other.header
    assert one.chunks != other.chunks
    assert one.key != other.key


class Trickle(io.RawIOBase):
    """Gives its bytes a few at a time, as a pipe does."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 1000))


def test_a_source_may_give_its_bytes_in_pieces_and_need_not_stand_at_its_beginning():
    out = io.BytesIO(b"before")
    out.seek(6)
    content = bytes(range(256)) * 700
    seal_envelope(Trickle(content), out, MATTER, HOSPITAL, INSURER.public()[0])
    out.seek(6)
    plain = io.BytesIO()
    open_envelope(out, plain, INSURER, HOSPITAL.public()[0], NOW)
    assert plain.getvalue() == content


class Zeros(io.RawIOBase):
    """Many zero bytes that are nowhere held together."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return bytes(size)


class Counting(io.RawIOBase):
    """Forgets what it is given but how much."""

    written = 0

    def write(self, data) -> int:
        self.written += len(data)
        return len(data)


@pytest.mark.parametrize(("sender", "recipient"), [(HOSPITAL, INSURER), (NATIONAL_HOSPITAL, NATIONAL_INSURER)])
def test_a_large_bundle_takes_no_more_memory_than_a_small_one(tmp_path, sender, recipient):
    size = 24 * 1024 * 1024
    tracemalloc.start()
    try:
        with open(tmp_path / "bundle", "wb") as out:
            seal_envelope(Zeros(size), out, MATTER, sender, recipient.public()[0])
        counting = Counting()
        with open(tmp_path / "bundle", "rb") as source:
            open_envelope(source, counting, recipient, sender.public()[0], NOW)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counting.written == size
    assert peak < 2 * 1024 * 1024


@pytest.mark.parametrize(
    "refusal",
    [
        WrongRecipient(recipient="insurer-1", member="insurer-2"),
        Forged(sender="hospital-1"),
        Expired(expires_at="2026-03-02", now="2026-03-03"),
        Replayed(sender="hospital-1", exchange="exchange_1", sequence=3),
        EnvelopeUnreadable(17),
        KeysNotValid(member="insurer-1", height=12),
        SealBroken(),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
def test_every_refusal_says_what_happened_in_both_languages(refusal):
    assert isinstance(refusal, SafeweaveError)
    chinese = refusal.said("zh")
    assert refusal.said("en") in str(refusal)
    assert chinese != refusal.said("en")
    for value in refusal.values.values():
        assert str(value) in chinese
        assert str(value) in refusal.said("en")


def test_the_cover_is_read_without_a_key_and_is_the_one_that_opening_gives():
    assert read_cover(io.BytesIO(ENVELOPE)) == opened(ENVELOPE)[0]
    for cut in (0, 10, len(ENVELOPE) - 1):
        with pytest.raises(EnvelopeUnreadable):
            read_cover(io.BytesIO(ENVELOPE[:cut]))

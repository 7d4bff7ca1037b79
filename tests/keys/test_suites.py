"""Every suite hashes, signs and seals; what was changed, or meant for another, is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeweave.keys import suite
from safeweave.keys.errors import KeyUnusable, SealBroken, UnknownSuite
from safeweave.keys.suites import DIGEST_BYTES, SUITES
from safeweave.words import say

every_suite = pytest.mark.parametrize("name", sorted(SUITES))
texts = st.binary(max_size=300)


def flipped(data: bytes, bit: int) -> bytes:
    bit %= len(data) * 8
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@every_suite
@given(data=texts)
def test_a_digest_is_the_same_in_one_piece_or_many(name, data):
    pieces = suite(name).hash()
    for at in range(0, len(data), 7):
        pieces.update(data[at : at + 7])
    assert suite(name).digest(data) == pieces.digest()
    assert len(pieces.digest()) == DIGEST_BYTES


@every_suite
@given(data=texts, bit=st.integers(min_value=0))
def test_a_signature_holds_for_what_was_signed_and_nothing_else(name, data, bit):
    used = suite(name)
    key = used.new_signing_key()
    signature = key.sign(data)
    assert used.verify(key.public, signature, data)
    assert not used.verify(key.public, signature, data + b"\0")
    assert not used.verify(used.new_signing_key().public, signature, data)
    assert not used.verify(key.public, flipped(signature, bit), data)


@every_suite
@given(public=st.binary(max_size=70), signature=st.binary(max_size=80))
def test_bytes_that_are_no_key_or_no_signature_verify_nothing(name, public, signature):
    used = suite(name)
    key = used.new_signing_key()
    assert not used.verify(public, key.sign(b"x"), b"x")
    assert not used.verify(key.public, signature, b"x")


@every_suite
@given(info=texts, plain=texts, bit=st.integers(min_value=0))
def test_what_is_sealed_opens_for_its_owner_with_its_info_only(name, info, plain, bit):
    used = suite(name)
    key = used.new_opening_key()
    sealed = used.seal(key.public, info, plain)
    assert used.open(key, info, sealed) == plain
    with pytest.raises(SealBroken):
        used.open(key, info + b"\0", sealed)
    with pytest.raises(SealBroken):
        used.open(used.new_opening_key(), info, sealed)
    with pytest.raises(SealBroken):
        used.open(key, info, flipped(sealed, bit))


@every_suite
@given(sealed=st.binary(max_size=200))
def test_bytes_that_were_never_sealed_do_not_open(name, sealed):
    used = suite(name)
    with pytest.raises(SealBroken):
        used.open(used.new_opening_key(), b"", sealed)


@every_suite
@given(plain=texts, bound=texts, bit=st.integers(min_value=0))
def test_what_is_locked_opens_with_key_nonce_and_what_it_was_bound_to(name, plain, bound, bit):
    used = suite(name)
    key, other, nonce = bytes(used.content_key_bytes), b"\1" * used.content_key_bytes, bytes(12)
    locked = used.lock(key, nonce, plain, bound)
    assert used.unlock(key, nonce, locked, bound) == plain
    for wrong in (
        (other, nonce, locked, bound),
        (key, b"\1" * 12, locked, bound),
        (key, nonce, flipped(locked, bit), bound),
        (key, nonce, locked, bound + b"\0"),
        (key, nonce, locked[:3], bound),
    ):
        with pytest.raises(SealBroken):
            used.unlock(*wrong)


@every_suite
def test_private_keys_come_back_from_their_bytes(name):
    used = suite(name)
    signing, opening = used.new_signing_key(), used.new_opening_key()
    assert used.signing_key(signing.private_bytes()).public == signing.public
    assert used.opening_key(opening.private_bytes()).public == opening.public
    used.check_signing(signing.public)
    used.check_sealing(opening.public)


@every_suite
@given(bytes_of_no_key=st.binary(max_size=70).filter(lambda data: len(data) not in (32, 64, 65)))
def test_bytes_of_another_length_are_no_key(name, bytes_of_no_key):
    used = suite(name)
    for refuse in (used.signing_key, used.opening_key, used.check_signing, used.check_sealing):
        with pytest.raises(KeyUnusable):
            refuse(bytes_of_no_key)
    with pytest.raises(KeyUnusable):
        used.seal(bytes_of_no_key, b"", b"")


@pytest.mark.parametrize("small_order", [bytes(32), b"\1" + bytes(31), bytes.fromhex("ec" + "ff" * 30 + "7f")])
def test_a_point_of_small_order_is_no_key_of_the_international_suite(small_order):
    with pytest.raises(KeyUnusable):
        suite("std-1").check_signing(small_order)
    with pytest.raises(KeyUnusable):
        suite("std-1").check_sealing(small_order)


SM2_ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123


@pytest.mark.parametrize("number", [0, SM2_ORDER - 1, SM2_ORDER, 2**256 - 1])
def test_a_number_outside_the_range_of_gb_t_32918_1_is_no_private_key_of_the_national_suite(number):
    with pytest.raises(KeyUnusable):
        suite("gm-1").signing_key(number.to_bytes(32, "big"))
    assert suite("gm-1").signing_key((SM2_ORDER - 2).to_bytes(32, "big")).sign(b"x")


def test_a_key_of_the_national_suite_has_one_spelling_and_lies_on_the_curve():
    used = suite("gm-1")
    key = used.new_signing_key()
    signature = key.sign(b"x")
    y = int.from_bytes(key.public[33:], "big")
    for public in (
        b"\x05" + key.public[1:],
        key.public[1:],
        key.public[:33] + (y ^ 1).to_bytes(32, "big"),
        bytes(65),
        b"\4" + bytes(64),
        b"\4" + b"\xff" * 64,
    ):
        assert not used.verify(public, signature, b"x")
        with pytest.raises(KeyUnusable):
            used.check_signing(public)


def test_an_unknown_suite_is_named_with_those_there_are():
    with pytest.raises(UnknownSuite, match="std-1") as refused:
        suite("std-0")
    assert "std-0" in refused.value.said("zh")


def test_an_unusable_key_is_explained_in_both_languages():
    refused = KeyUnusable("std-1", "sealing")
    assert refused.said("zh") == say("keys.key_unusable", "zh", suite="std-1", kind="加密")
    assert "sealing key" in str(refused)

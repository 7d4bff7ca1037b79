"""Packed values: whatever is packed comes back, what was damaged is noticed, and old values are read."""

import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safeweave.database import Damaged, Dictionary, packed, unpacked

# Values are read with their dictionary for ever: a file that is here once is never changed, a better one gets a number.
DIGESTS = {
    1: "dca51e1a9940f5c8e8d6f1764f0095a77c6994a2162638d92131d18f37bebba3",
    2: "1adad29d6d5e07cb088f4a254fba46b6382c7482b55515cfdb8171ced29bf370",
}


@given(st.binary(max_size=5_000), st.sampled_from(Dictionary))
@example(b"", Dictionary.FACTS)
def test_whatever_is_packed_comes_back(value, against):
    assert unpacked(packed(value, against)) == value


@given(st.text(max_size=500))
def test_a_text_comes_back_as_its_bytes(text):
    assert unpacked(packed(text)) == text.encode()


@given(st.binary(max_size=300), st.integers(0, 10**6), st.integers(0, 7))
def test_a_flipped_bit_is_noticed_or_gives_no_value_of_ours(value, at, bit):
    changed = bytearray(packed(value))
    changed[at % len(changed)] ^= 1 << bit
    if changed[0] >= 0x20 and changed[0] != 0x78:  # what begins like text is taken for text, which nobody wrote
        assert unpacked(bytes(changed)) == bytes(changed) != value
    else:
        with pytest.raises(Damaged):
            unpacked(bytes(changed))


def test_a_value_that_was_cut_off_is_noticed():
    whole = packed(b'{"type":"BillIssued"}' * 20)
    for length in range(1, len(whole)):
        with pytest.raises(Damaged):
            unpacked(whole[:length])


@pytest.mark.parametrize("first", [0, 3, 0x1F])
def test_a_dictionary_that_is_not_here_is_said(first):
    with pytest.raises(Damaged, match=f"no dictionary {first}"):
        unpacked(bytes((first,)) + b"....")


def test_values_from_before_there_was_packing_are_read():
    assert unpacked('{"code":"甲"}') == unpacked('{"code":"甲"}'.encode()) == '{"code":"甲"}'.encode()
    assert unpacked(b"[]") == b"[]"
    assert unpacked(b"") == b""
    assert unpacked(zlib.compress(b"MSH|^~\\&|HIS", 1)) == b"MSH|^~\\&|HIS"


def test_a_value_says_in_its_first_byte_how_it_is_packed():
    assert [packed(b"x", against)[0] for against in Dictionary] == [1, 2]


def test_threads_do_not_meet_in_a_compressor():
    values = [f'{{"type":"AdmissionReported","visit":"ZY{n}"}}' * 30 for n in range(400)]
    with ThreadPoolExecutor(8) as threads:
        assert [each.decode() for each in threads.map(lambda value: unpacked(packed(value)), values)] == values


def test_a_dictionary_never_changes():
    folder = files("safeweave.database").joinpath("dictionaries")
    assert {
        int(file.name.removesuffix(".zdict")): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
    } == DIGESTS

"""A commitment binds to one document and one salt, and says nothing of them."""

import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from safeweave.errors import Malformed
from safeweave.keys import canonical, commitment, new_salt, suite
from safeweave.keys.commitment import opens
from safeweave.keys.framing import framed

SALT = bytes(range(32))
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def test_the_example_of_rfc_8785_is_written_as_its_section_3_2_3_shows():
    example = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\x0f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert (
        canonical(example)
        == (
            '{"literals":[null,true,false],'
            '"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )


def test_names_are_sorted_as_utf_16_as_section_3_2_3_of_rfc_8785_shows():
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\xf6"]
    ordered = ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]
    written = canonical(dict.fromkeys(names, 0)).decode()
    assert [written.index(rfc8785.dumps(name).decode()) for name in ordered] == sorted(
        written.index(rfc8785.dumps(name).decode()) for name in names
    )


@given(documents)
def test_every_value_is_written_as_the_library_for_rfc_8785_writes_it(document):
    assert canonical(document) == rfc8785.dumps(document)


def test_every_character_is_written_as_the_library_for_rfc_8785_writes_it():
    for first in range(0, 0x110000, 0x1000):
        text = "".join(chr(code) for code in range(first, first + 0x1000) if not 0xD800 <= code < 0xE000)
        assert canonical([text]) == rfc8785.dumps([text])


@given(documents)
def test_the_order_in_which_names_were_put_does_not_matter(document):
    if isinstance(document, dict):
        assert canonical(dict(reversed(document.items()))) == canonical(document)


@pytest.mark.parametrize("value", [2**53, -(2**53), math.inf, math.nan, "\ud800", object(), {1, object()}])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(Malformed):
        canonical({"value": value})


def test_the_bytes_of_a_commitment_are_these():
    """Written out, so that another program can make the same."""
    written = b"".join(
        len(part).to_bytes(4, "big") + part for part in (b"safeweave/commit/1", b"std-1", b"consent", SALT)
    )
    assert commitment("consent", SALT, {"b": 1, "a": "医"}) == suite("std-1").digest(
        written + '{"a":"医","b":1}'.encode()
    )


@given(documents, documents, st.text(max_size=5), st.text(max_size=5), st.binary(min_size=32, max_size=32))
def test_two_commitments_are_equal_only_for_the_same_kind_salt_and_document(one, other, kind, other_kind, salt):
    committed = commitment(kind, salt, one)
    assert opens(committed, kind, salt, one)
    assert opens(committed, other_kind, SALT, other) == (
        (kind, salt, canonical(one)) == (other_kind, SALT, canonical(other))
    )


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_framed_parts_are_equal_only_if_every_part_is(one, other):
    assert (framed(*one) == framed(*other)) == (one == other)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_salt_of_another_length_is_refused(length):
    with pytest.raises(Malformed, match="32 bytes"):
        commitment("consent", bytes(length), {})


def test_salts_are_never_the_same():
    assert len({new_salt() for _ in range(50)}) == 50

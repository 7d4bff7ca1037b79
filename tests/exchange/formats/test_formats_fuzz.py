"""Whatever arrives is a Reading or is Malformed with a place; a reader never fails otherwise, and never half reads."""

import json
from copy import deepcopy
from datetime import UTC, datetime

import msgspec
import pytest
from given_messages import DATA, EXAMPLES, HOSPITAL, SYNTHEA
from hypothesis import given, settings
from hypothesis import strategies as st

from safeweave.errors import Malformed
from safeweave.exchange.formats import Limits, Reading, hl7v2, read

SAMPLES = [text.encode() for text in EXAMPLES.values()] + [
    file.read_bytes() for file in sorted(DATA.iterdir()) if file.suffix in (".hl7", ".837", ".837i", ".835")
]
TOKENS = [
    *(b'"', b"null", b"[]", b"{}", b"[", b"{", b"NaN", b"-Infinity", b"1e999999", b"1e-99999999", b"-0", b"0.001"),
    *(
        b"\\ud800",
        b"\\u0000",
        b"\x00",
        b"\xff",
        b"\x0b",
        b"\x1c\r",
        b"|",
        b"^",
        b"~",
        b"\\",
        b"&",
        b"\r",
        b"\n",
        b"*",
        b":",
    ),
    *(
        b"<a>",
        b"</a>",
        b"&#0;",
        b"&x;",
        b"<!DOCTYPE a>",
        b"9" * 30,
        b"20261345",
        b"0001-01-01",
        b"9999-12-31T23:59:59-14:00",
    ),
]
SENDERS = [HOSPITAL, SYNTHEA]
NOW = datetime(2026, 3, 3, tzinfo=UTC)


def holds_nul(value: object) -> bool:
    """Whether any text below a decoded JSON value holds a NUL, which no database takes."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(holds_nul(each) for pair in value.items() for each in pair)
    return isinstance(value, list) and any(map(holds_nul, value))


def read_or_refused(raw: bytes) -> None:
    for sender in SENDERS:
        error = None
        try:
            reading = read(raw, sender, Limits())
        except Malformed as malformed:
            error = malformed
        else:
            stored = msgspec.json.encode(reading)
            assert msgspec.json.decode(stored)["format"] == reading.format
            assert not holds_nul(msgspec.json.decode(stored))
        assert error is None or (error.what and (error.field or error.line))
        if raw[:3] == b"MSH":
            assert b"\rMSA" in hl7v2.ack(raw, "AE" if error else "AA", error, NOW)


def mutated(raw: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    body = bytearray(raw)
    for place, length, token in changes:
        at = place % (len(body) + 1)
        body[at : at + length] = token
    return bytes(body)


CHANGE = st.tuples(st.integers(0, 20_000), st.integers(0, 12), st.sampled_from(TOKENS) | st.binary(max_size=3))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SAMPLES), st.lists(CHANGE, min_size=1, max_size=4))
def test_a_message_with_anything_in_it_is_read_or_refused(raw, changes):
    read_or_refused(mutated(raw, changes))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 20_000))
def test_a_message_cut_off_anywhere_is_read_or_refused(raw, length):
    read_or_refused(raw[: length % (len(raw) + 1)])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SAMPLES), st.sampled_from(["utf-16", "utf-8-sig", "gb18030", "big5", "shift-jis"]))
def test_a_message_in_another_encoding_is_read_or_refused(raw, encoding):
    read_or_refused(raw.decode().encode(encoding, "replace"))


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"MSH|^~\\&|", b"ISA*", b"<", b"{", b'{"infno":', b"\xef\xbb\xbf"])
)
def test_any_bytes_are_read_or_refused(tail, head):
    read_or_refused(head + tail)


ODD = st.sampled_from(
    [
        *(
            None,
            "",
            0,
            -1,
            1e308,
            0.001,
            10**30,
            "x",
            [],
            {},
            [{}],
            ["x"],
            [None],
            True,
            "\ud800",
            "\0",
            "NaN",
            "-",
            "1-",
        ),
        *("2026-02-30", "9999-12-31", "urn:uuid:1", {"value": "NaN"}, {"value": "Infinity"}, {"value": 1e-300}),
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["fhir", "yibao"]),
    st.lists(st.tuples(st.lists(st.integers(0, 30), min_size=2, max_size=9), ODD), min_size=1, max_size=3),
)
def test_any_value_in_any_place_of_the_json_is_read_or_refused(form, changes):
    document = json.loads(EXAMPLES[form])
    for path, value in changes:
        place, key = document, None
        for step in path:
            inner = place[key] if key is not None else place
            if not isinstance(inner, dict | list) or not inner:
                break
            place = inner
            key = list(place)[step % len(place)] if isinstance(place, dict) else step % len(place)
        if key is not None:
            place[key] = deepcopy(value)
    read_or_refused(json.dumps(document, ensure_ascii=True).encode())


@pytest.mark.parametrize(
    "bomb",
    [
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"infno":"2304","msgid":"1","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"resourceType":"Bundle","type":"batch","entry":[{"resource":'
        + b'{"a":' * 50_000
        + b"1"
        + b"}" * 50_000
        + b"}]}",
        b'{"resourceType":"Claim","extension":' + b'[{"extension":' * 50_000 + b"[]" + b"}]" * 50_000 + b"}",
        b'{"infno":"2304","msgid":' + b"9" * 1_000_000 + b"}",
        b"<EInvoice>" * 100_000 + b"</EInvoice>" * 100_000,
        b"MSH|^~\\&|" + b"\\" * 200_000,
        b"MSH|^~\\&|" + b"\r" * 300_000,
        b"ISA" + b"*" * 200_000,
    ],
)
def test_bombs_are_refused(bomb):
    with pytest.raises(Malformed):
        read(bomb, HOSPITAL, Limits())


def test_reading_is_a_function_of_the_bytes():
    for raw in SAMPLES:
        first: Reading = read(raw, SYNTHEA if b"USD" in raw else HOSPITAL, Limits())
        assert first == read(raw, SYNTHEA if b"USD" in raw else HOSPITAL, Limits())

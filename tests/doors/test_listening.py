"""The parser under every door: a request's head is bounded, its body only by whoever takes it."""

import socket

import pytest

from doors.given_doors import Doors, open_doors
from safeweave.listening import HEAD_BYTES_MOST
from waiting import PATIENCE

HEAD = b"POST /fhir HTTP/1.1\r\nhost: here\r\n"


@pytest.fixture
def doors(house):
    with open_doors(house) as found:
        yield found


def said(doors: Doors, *parts: bytes) -> bytes:
    """What is answered to these bytes, until the server lets the connection go."""
    at = doors.http.base_url
    with socket.create_connection((at.host, at.port), timeout=PATIENCE) as wire:
        heard = b""
        try:
            for part in parts:
                wire.sendall(part)
            while more := wire.recv(65536):
                heard += more
        except ConnectionError:
            pass  # it does not listen to the rest
        return heard


def endless(part: bytes) -> bytes:
    """As much of this as is one byte too much; what comes after the refusal would only make it be lost on its way."""
    return (part * HEAD_BYTES_MOST)[: HEAD_BYTES_MOST + 1]


def test_a_header_without_end_is_refused(doors):
    assert said(doors, HEAD + b"x: ", endless(b"a")).startswith(b"HTTP/1.1 400")


def test_headers_without_number_are_refused(doors):
    assert said(doors, HEAD, endless(b"x: a\r\n")).startswith(b"HTTP/1.1 400")


def test_an_address_without_end_is_refused(doors):
    assert said(doors, b"GET /", endless(b"a")).startswith(b"HTTP/1.1 400")


def test_trailers_without_end_are_refused(doors):
    chunked = b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
    assert b"HTTP/1.1 400" in said(doors, HEAD + chunked, endless(b"x: a\r\n"))


def test_a_head_below_the_limit_and_a_body_far_above_it_are_heard(doors):
    body = b"{" + b" " * (4 * HEAD_BYTES_MOST)
    head = b"x: " + b"a" * (HEAD_BYTES_MOST // 2) + b"\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    assert said(doors, HEAD + head, body).startswith(b"HTTP/1.1 401")


def test_many_requests_on_one_connection_do_not_add_up(doors):
    one = b"GET /health HTTP/1.1\r\nhost: here\r\nx: " + b"a" * (HEAD_BYTES_MOST // 4) + b"\r\n"
    answers = said(doors, *[one + b"\r\n"] * 8, one + b"connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200") == 9

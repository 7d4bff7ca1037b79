import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeweave.errors import Unavailable
from safeweave.exchange.formats import Limits
from safeweave.exchange.mllp import END, START, Frames, send, serve
from waiting import PATIENCE

MESSAGES = [b"MSH|^~\\&|A\rPID|1", b"\xe6\xb5\x8b\r\n", b"", b"\x1c not an end \r"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=20), st.sampled_from([b"", b"\r\n", b"noise", b"\x1c\r"]))
def test_messages_are_found_however_the_stream_is_cut(cuts, between):
    stream = between.join(START + message + END for message in MESSAGES)
    frames, found, position = Frames(1000), [], 0
    for cut in [*cuts, len(stream)]:
        found += frames.feed(stream[position : position + cut])
        position += cut
    assert found == MESSAGES
    assert not frames.open


def test_a_message_beyond_the_limit_is_not_kept():
    frames = Frames(10)
    assert frames.feed(START + b"1234567890" + END) == [b"1234567890"]
    with pytest.raises(OverflowError):
        frames.feed(START + b"12345678901" + END)
    with pytest.raises(OverflowError):
        Frames(10).feed(START + b"1" * 13)


def test_bytes_outside_of_frames_are_skipped_and_counted():
    frames = Frames(10)
    assert frames.feed(b"hello\r\n" + START + b"1" + END + b"x") == [b"1"]
    assert frames.skipped == 6


@pytest.mark.parametrize("torn", [b"half", b"half\x1c", b"half\r\x1c\n", b"a\x0bb"])
def test_a_message_that_begins_inside_an_unfinished_one_is_read_and_the_fragment_counted(torn):
    stream = START + torn + START + b"whole" + END + START + b"next" + END
    for size in (1, 2, 3, len(stream)):
        frames = Frames(100)
        found = [m for start in range(0, len(stream), size) for m in frames.feed(stream[start : start + size])]
        assert found == [b"whole", b"next"]
        assert (frames.broken, frames.open) == (1 + torn.count(START), False)


def test_fragments_do_not_add_up_to_a_message_that_is_too_long():
    frames = Frames(10)
    assert frames.feed((START + b"12345678") * 5) == []
    assert frames.feed(END) == [b"12345678"]


def conversation(talk, answer=None, limits=None, idle_seconds=PATIENCE):
    """What `talk(host, port)` comes back with while a server answers each message with its bytes reversed."""

    async def reverse(message: bytes) -> bytes:
        return message[::-1]

    async def run():
        server = await serve("127.0.0.1", 0, answer or reverse, limits or Limits(), idle_seconds)
        host, port = server.sockets[0].getsockname()[:2]
        async with server:
            return await talk(host, port)

    return asyncio.run(run())


def test_each_message_is_answered_in_order_on_its_connection():
    answers = conversation(lambda host, port: send(host, port, [b"one", b"two", b"three" * 50_000]))
    assert answers == [b"eno", b"owt", b"eerht" * 50_000]


def test_several_messages_in_one_packet_and_one_byte_at_a_time_are_answered():
    async def talk(host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(START + b"ab" + END + b"garbage" + START + b"cd" + END)
        for byte in START + b"slow" + END:
            writer.write(bytes([byte]))
            await writer.drain()
        found = await reader.readexactly(len(START + b"ba" + END) * 2 + len(START + b"wols" + END))
        writer.close()
        return found

    assert conversation(talk) == START + b"ba" + END + START + b"dc" + END + START + b"wols" + END


def test_an_oversized_message_closes_the_connection_without_answer():
    async def talk(host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(START + b"x" * 200)
        found = await reader.read()
        writer.close()
        return found

    assert conversation(talk, limits=Limits(max_bytes=100)) == b""


def test_a_silent_connection_is_closed():
    async def talk(host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(START + b"half")
        found = await reader.read()
        writer.close()
        return found

    assert conversation(talk, idle_seconds=0.05) == b""


def test_an_answer_that_cannot_be_given_closes_the_connection_and_only_that():
    async def fails(message: bytes) -> bytes:
        if message == b"bad":
            raise Unavailable("the store is away; try later")
        return b"ok"

    async def talk(host, port):
        with pytest.raises(Unavailable):
            await send(host, port, [b"bad"])
        return await send(host, port, [b"good"])

    assert conversation(talk, answer=fails) == [b"ok"]


def test_nobody_there_is_told_as_unavailable():
    async def closed(host, port):
        return port

    port = conversation(closed)
    with pytest.raises(Unavailable, match="nobody answers"):
        asyncio.run(send("127.0.0.1", port, [b"x"]))


def test_a_connection_that_ends_inside_a_message_is_logged_without_its_content(caplog):
    async def talk(host, port):
        _, writer = await asyncio.open_connection(host, port)
        writer.write(START + b"PID|secret")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        return await send(host, port, [b"x"])

    with caplog.at_level(logging.INFO):
        conversation(talk)
    assert "secret" not in caplog.text

"""What goes wrong between a hospital and its insurer. None of it may change what a stay is paid."""

from random import Random

from msgspec.structs import replace

from safeweave_simulator.messages import Message

# The share of messages that meet each fault on their way.
DELIVERY: dict[str, float] = {
    "duplicate": 0.01,  # the answer got lost: the same bytes are sent again some minutes later
    "reordered": 0.01,  # overtaken by what follows within the hour
    "late": 0.005,  # queued for half a day
}


def garble(message: Message, random: Random) -> Message:
    """The message as a broken system would send it, under an id of its own; the right one follows it."""
    broken = {
        "mllp": (_truncated, _wrong_charset, _impossible_day),
        "fhir": (_truncated,),
        "yibao": (_truncated,),
        "ebill": (_truncated,),
    }[message.door]
    spoilt = random.choice(broken)
    body = (
        message.body.replace(message.id.encode(), f"{message.id}x".encode())
        if message.door != "ebill"
        else message.body
    )
    return replace(message, id=f"{message.id}x", what=f"{message.what}, garbled", body=spoilt(body))


def _truncated(body: bytes) -> bytes:
    """The first part of the message, cut where a buffer ended."""
    return body[: len(body) * 11 // 20]


def _wrong_charset(body: bytes) -> bytes:
    """Text in one character set under the name of the other."""
    if b"UNICODE UTF-8" in body:
        return body.decode("utf-8").encode("gb18030")
    return body.replace(b"GB18030", b"UNICODE UTF-8")


def _impossible_day(body: bytes) -> bytes:
    """EVN-6 and EVN-2 on the 31st of February."""
    segments = body.split(b"\r")
    for index, segment in enumerate(segments):
        if segment.startswith(b"EVN|"):
            fields = segment.split(b"|")
            segments[index] = b"|".join(
                field[:4] + b"0231" + field[8:] if number in (2, 6) else field for number, field in enumerate(fields)
            )
    return b"\r".join(segments)

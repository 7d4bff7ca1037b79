"""What a recipient answers to an envelope, as JSON beside the HTTP status."""

from typing import Literal

import msgspec

from safeweave.consortium.why import Code, Why
from safeweave.keys.receipt import SignedReceipt

PATH = "/envelopes"
MEDIA_TYPE = "application/vnd.safeweave.envelope"

Became = Literal["taken", "held", "refused", "later"]


class Answer(msgspec.Struct, frozen=True):
    """`taken`, with the receipt: it was handed over, now or before. `held`: an earlier number is missing.

    `refused`: not as it is. `later`: the recipient cannot now; send the same bytes again after a while.
    """

    became: Became
    why: Why | None = None
    receipt: SignedReceipt | None = None


_LATER: frozenset[Code] = frozenset({"slow", "full", "busy", "behind", "store", "ledger_silent"})


def answered(why: Why) -> Answer:
    """The answer to what is refused, or cannot be taken now."""
    return Answer("later" if why.code in _LATER else "refused", why)


_decoder = msgspec.json.Decoder(Answer)


def write_answer(answer: Answer) -> bytes:
    """The answer as JSON."""
    return msgspec.json.encode(answer)


def read_answer(raw: bytes) -> Answer | None:
    """An answer from JSON; None if this is none, but perhaps that of a proxy."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None

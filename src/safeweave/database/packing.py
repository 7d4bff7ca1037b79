"""Long values of a row, packed: compressed against a dictionary of what such values have in common.

A packed value is the number of its dictionary (one byte), a CRC-32 of what follows, and a Zstandard frame without its
magic number. A dictionary is never changed, since values are read with it; a better one gets the next number. Values
from before there was packing begin with another byte, and are read as well: text as it is, and messages deflated.
"""

import threading
import zlib
from enum import IntEnum
from functools import cache
from importlib.resources import files

from zstandard import (
    FORMAT_ZSTD1_MAGICLESS,
    ZstdCompressionDict,
    ZstdCompressionParameters,
    ZstdCompressor,
    ZstdDecompressor,
    ZstdError,
)

_LEVEL = 3  # the next ones cost three times the time for a twentieth of the bytes
_TYPICAL_BYTES = 4_000
_DEFLATED = 0x78  # how messages were kept before
_SPACE = 0x20  # text begins with this or a later byte
_HEAD = 5


class Dictionary(IntEnum):
    """What a value is packed against: `<number>.zdict`."""

    FACTS = 1  # our own JSON: events, determinations, letters
    MESSAGES = 2  # what hospitals send, in any format


class Damaged(ValueError):
    """The value is not what was packed."""


def packed(value: str | bytes, against: Dictionary = Dictionary.FACTS) -> bytes:
    """The packed form of a text or of bytes."""
    frame = _of_this_thread(against)[0].compress(value.encode() if isinstance(value, str) else value)
    return bytes((against,)) + zlib.crc32(frame).to_bytes(4, "big") + frame


def unpacked(value: str | bytes) -> bytes:
    """The bytes of a packed value, or of one from before there was packing. Damaged if they are not what was packed."""
    if isinstance(value, str):
        return value.encode()
    first = value[0] if value else _SPACE
    try:
        if first in _NUMBERS:
            if zlib.crc32(value[_HEAD:]) != int.from_bytes(value[1:_HEAD], "big"):
                raise Damaged("its checksum differs")
            return _of_this_thread(Dictionary(first))[1].decompress(value[_HEAD:])
        if first == _DEFLATED:
            return zlib.decompress(value)
    except (ZstdError, zlib.error) as error:
        raise Damaged(str(error)) from None
    if first < _SPACE:
        raise Damaged(f"there is no dictionary {first}")
    return value


_NUMBERS = frozenset(Dictionary)
_local = threading.local()  # what compresses for one thread at a time


def _of_this_thread(number: Dictionary) -> tuple[ZstdCompressor, ZstdDecompressor]:
    known: dict[Dictionary, tuple[ZstdCompressor, ZstdDecompressor]] | None = getattr(_local, "known", None)
    if known is None:
        known = _local.known = {}
    if number not in known:
        dictionary, parameters = _prepared(number)
        known[number] = (
            ZstdCompressor(dict_data=dictionary, compression_params=parameters),
            ZstdDecompressor(dict_data=dictionary, format=FORMAT_ZSTD1_MAGICLESS),
        )
    return known[number]


@cache
def _prepared(number: Dictionary) -> tuple[ZstdCompressionDict, ZstdCompressionParameters]:
    content = files("safeweave.database").joinpath("dictionaries", f"{number.value}.zdict").read_bytes()
    dictionary = ZstdCompressionDict(content)
    parameters = ZstdCompressionParameters.from_level(
        _LEVEL, source_size=_TYPICAL_BYTES, dict_size=len(content), format=FORMAT_ZSTD1_MAGICLESS,
        write_checksum=False, write_dict_id=False,
    )  # fmt: skip
    dictionary.precompute_compress(compression_params=parameters)
    return dictionary, parameters

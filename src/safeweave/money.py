"""Money in whole fen, rates in basis points, and the only places where either is rounded.

An amount is an `int` that counts fen (1 yuan = 100 fen) and its name ends in `_fen` or its type says `Fen`;
a share is an `int` in basis points (10,000 = all). No float ever holds either. Source: stories/FORMAT.md §1.
"""

import re
from collections.abc import Sequence
from typing import NewType

Fen = NewType("Fen", int)
Rate = NewType("Rate", int)  # basis points

ZERO = Fen(0)
WHOLE = Rate(10_000)

_YUAN = re.compile(r"-?(?:0|[1-9][0-9]{0,11})\.[0-9]{2}")
_RATE = re.compile(r"(?:0(?:\.[0-9]{1,4})?|1(?:\.0{1,4})?)")


def fen_of(text: str) -> Fen:
    """The fen in a yuan text such as "1234.50".

    Raises ValueError if the text is not of the form -?(0|[1-9]\\d{0,11})\\.\\d{2}, or is "-0.00".
    """
    if not _YUAN.fullmatch(text) or text == "-0.00":
        raise ValueError(f'"{text}" is not money; write yuan with two decimals, such as "1234.50"')
    return Fen(int(text.replace(".", "", 1)))


def yuan_text(fen: int) -> str:
    """The yuan text of an amount: 123450 fen is "1234.50"."""
    sign = "-" if fen < 0 else ""
    yuan, rest = divmod(abs(fen), 100)
    return f"{sign}{yuan}.{rest:02d}"


def yuan_shown(fen: int) -> str:
    """The amount as people read it, with separators: 123450 fen is "1,234.50"."""
    sign = "-" if fen < 0 else ""
    yuan, rest = divmod(abs(fen), 100)
    return f"{sign}{yuan:,}.{rest:02d}"


def rate_of(text: str) -> Rate:
    """The basis points in a rate text "0".."1" with at most four decimals: "0.85" is 8500.

    Raises ValueError if the text is not such a rate.
    """
    if not _RATE.fullmatch(text):
        raise ValueError(f'"{text}" is not a rate; write a share from "0" to "1" with at most four decimals')
    whole, _, decimals = text.partition(".")
    return Rate(int(whole) * 10_000 + int(decimals.ljust(4, "0") or "0"))


def half_up(numerator: int, denominator: int) -> Fen:
    """The whole fen nearest to numerator / denominator (denominator > 0); half a fen rounds up."""
    return Fen((2 * numerator + denominator) // (2 * denominator))


def share(total: int, weights: Sequence[int]) -> list[int]:
    """`total` fen split over `weights` (FORMAT.md §1): floors first, then one fen each to the largest
    fractional parts, ties to the earlier. All zero if the total or the weights are.

    Needs 0 <= total <= sum(weights) and no negative weight.
    """
    whole = sum(weights)
    if total == 0 or whole == 0:
        return [0] * len(weights)
    return completed([total * weight for weight in weights], whole, total)


def completed(numerators: Sequence[int], denominator: int, total: int) -> list[int]:
    """The floors of numerators / denominator, made to add up to `total`: the fen they lack go one each to the
    largest fractional parts, ties to the earlier.

    Needs a total of at least the sum of the floors, and of at most that plus the number of numerators.
    """
    parts = [numerator // denominator for numerator in numerators]
    missing = total - sum(parts)
    if missing:
        remainders = [numerator % denominator for numerator in numerators]
        # A reversed sort keeps the order of equals, so ties go to the earlier.
        for index in sorted(range(len(parts)), key=remainders.__getitem__, reverse=True)[:missing]:
            parts[index] += 1
    return parts

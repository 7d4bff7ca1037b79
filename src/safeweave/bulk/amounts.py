"""`money.py` for many claims at once: the same rounding and sharing, one column a claim.

A matrix has a row for each line and a column for each claim; what concerns a claim as a whole is one row. All numbers
are int64, so `FITS` bounds what may be multiplied: callers send larger claims to the plain engine.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FITS = 3_000_000_000  # fen: the product of two amounts up to this, and any amount times a rate, is an int64
COMPARED = 16  # up to so many lines, comparing each with each is quicker than sorting


def half_up(numerators: Ints, denominator: int) -> Ints:
    """The whole fen nearest to numerators / denominator (> 0); half a fen rounds up."""
    return (2 * numerators + denominator) // (2 * denominator)


def share(totals: Ints, weights: Ints) -> Ints:
    """Each claim's total split over its lines' weights (FORMAT.md §1).

    Needs 0 <= total <= sum of the weights <= FITS, and no negative weight.
    """
    whole = weights.sum(axis=0)
    return completed(weights * totals, np.maximum(whole, 1), np.where(whole > 0, totals, 0))


def completed(numerators: Ints, denominators: Ints | int, totals: Ints) -> Ints:
    """The floors of numerators / denominators, made to add up to the totals: the fen they lack go one each to the
    largest fractional parts of a claim, ties to the earlier line.
    """
    parts = numerators // denominators
    missing = totals - parts.sum(axis=0)
    if missing.any():
        parts += _largest(numerators - parts * denominators, missing)
    return parts


def _largest(values: Ints, count: Ints) -> Bools:
    """Which lines hold the `count` largest values of their claim; ties go to the earlier line."""
    lines = len(values)
    if lines > COMPARED:
        ranks = np.empty(values.shape, np.int64)
        np.put_along_axis(ranks, np.argsort(-values, axis=0, kind="stable"), np.arange(lines)[:, None], axis=0)
        return ranks < count
    larger = np.zeros(values.shape, np.int8)  # how many lines come before each
    for line in range(1, lines):
        earlier_is = values[:line] >= values[line]
        larger[line] += earlier_is.sum(axis=0, dtype=np.int8)
        larger[:line] += ~earlier_is
    return larger < count

"""Parts of rows that lie in runs: the lines of a bill, the cuts of a line, one row's after the other's."""

from typing import Any

import numpy as np
import numpy.typing as npt

from safeweave.bulk.amounts import Ints


def starts_of(counts: npt.NDArray[Any]) -> Ints:
    """Where the parts of each row begin; one more at the end."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def places_in(starts: npt.NDArray[Any], counts: npt.NDArray[Any]) -> Ints:
    """The places of all parts of some rows, whose runs begin and are as long as this."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    places: Ints = np.arange(total) + np.repeat(starts - (ends - counts), counts)
    return places

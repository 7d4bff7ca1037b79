"""Rounding and sharing many claims at once is what `money.py` does one by one."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from safeweave import money
from safeweave.bulk.amounts import COMPARED, FITS, completed, half_up, share

few_fen = st.integers(0, 12)
fen = st.integers(0, FITS // 40)
lines = st.lists(st.one_of(few_fen, fen), min_size=1, max_size=COMPARED + 8)


def column(values):
    return np.array(values, np.int64)[:, None]


@given(lines, st.integers(0, 10_000))
@example([1, 1, 1], 6_667)  # two fen over three equal lines: the first two have them
@example([0, 0], 10_000)
def test_a_total_is_shared_alike(weights, part):
    total = sum(weights) * part // 10_000
    shared = share(np.array([total], np.int64), column(weights))
    assert shared[:, 0].tolist() == money.share(total, weights)


@given(lines, st.integers(0, 10_000))
@example([5, 5], 5_000)  # 2.5 each: 5 in all, and the fen that the floors lack goes to the first
def test_shares_of_amounts_are_rounded_alike(amounts, rate):
    exact = [amount * rate for amount in amounts]
    total = money.half_up(sum(exact), money.WHOLE)
    rounded = completed(column(exact), money.WHOLE, half_up(np.array([sum(exact)]), money.WHOLE))
    assert rounded[:, 0].tolist() == money.completed(exact, money.WHOLE, total)


@given(st.lists(st.tuples(lines, st.integers(0, 10_000)), min_size=1, max_size=5))
def test_claims_beside_one_another_do_not_touch_each_other(claims):
    longest = max(len(weights) for weights, _ in claims)
    totals = [sum(weights) * part // 10_000 for weights, part in claims]
    matrix = np.array([weights + [0] * (longest - len(weights)) for weights, _ in claims], np.int64).T
    shared = share(np.array(totals, np.int64), matrix)
    for number, (weights, _) in enumerate(claims):
        own = shared[: len(weights), number].tolist()
        assert own == money.share(totals[number], weights)
        assert not shared[len(weights) :, number].any()


def test_the_largest_claim_that_fits_is_shared_to_the_fen():
    weights = [FITS - 2, 1, 1]
    assert share(np.array([FITS - 1], np.int64), column(weights))[:, 0].tolist() == money.share(FITS - 1, weights)

"""The columns agree with the plain engine on random claims: amounts, cuts with reason and clause, decision, usage.

`python -m tests.bulk.compare --claims 100000` does the same with more of them.
"""

from collections import Counter

import msgspec
import numpy as np
import pytest

from bulk.compare import compare, compare_pairs, compare_stories, givens, portfolio
from safeweave.bulk.engine import Stored, decide_all
from safeweave.bulk.facts import Facts, tables_of
from safeweave.bulk.results import differing
from safeweave.facts import Bill, Line, OtherPaid, Split


@pytest.mark.parametrize("seed", range(24))
def test_random_claims_come_out_as_the_plain_engine_decides_them(seed):
    differences, compared = compare(seed, Counter())
    assert differences == []
    assert compared > 20


@pytest.mark.parametrize("seed", range(6))
def test_two_policies_that_share_bills_are_taken_in_the_order_that_pays_most(seed):
    differences, _ = compare_pairs(seed, Counter())
    assert differences == []


@pytest.mark.parametrize("few", [1, 1_000])
def test_what_persons_say_of_random_claims_counts_as_the_plain_engine_counts_it(few):
    """Some claims are released or refused in place of the rules, of one policy or of two at once."""
    counts = Counter()
    for seed in range(60, 66):
        assert compare(seed, counts, few=few, persons=True)[0] == []
        assert compare_pairs(seed, counts, few=few, persons=True)[0] == []
    assert counts["turns"] > 50


def test_most_of_the_random_claims_are_decided_in_columns():
    counts = Counter()
    for seed in range(10):
        compare(seed, counts)
    assert counts["columns"] > 0.65 * counts.total()
    assert set(counts) <= {"columns", "history", "stays", "turns"}


def test_small_batches_go_to_the_plain_engine_and_come_out_the_same():
    counts = Counter()
    differences, _ = compare(3, counts, few=1_000)
    assert differences == []
    assert counts["columns"] == 0
    assert counts["few"] > 0


@pytest.mark.parametrize("seed", range(40, 46))
def test_going_on_from_what_is_kept_is_as_deciding_it_all(seed):
    """The first claims of every person stand as they were decided; the later ones come out the same, with the usage."""
    product, stories = portfolio(seed)
    facts = Facts(tables_of(given for number, story in enumerate(stories) for given in givens(number, story)))
    which = np.zeros(facts.count, np.int32)
    whole = decide_all(facts, [product], which, replaces_by_case=False, few=1)
    first = np.searchsorted(facts.person, facts.person)
    kept = np.arange(facts.count) - first < 2
    later = decide_all(facts, [product], which, stored=Stored(whole.results, kept), replaces_by_case=False, few=1)
    assert (~kept).sum() > 10
    assert not differing(later.results, whole.results)[~kept].any()
    for chain in range(len(stories)):
        assert later.chains.usage(chain) == whole.chains.usage(chain)


@pytest.mark.parametrize("times", [1_000, 10_000_000])
def test_amounts_of_which_two_factors_would_not_fit_are_decided_by_the_plain_engine(times):
    """One claim in ten is so dear; the others of its portfolio stay in columns."""
    product, stories = portfolio(5)
    stories = [dearer(story, times) if number % 10 == 0 else story for number, story in enumerate(stories)]
    counts = Counter()
    differences, _ = compare_stories("dear", counts, product, stories)
    assert differences == []
    assert counts["columns"] > 0
    assert (counts["large"] > 0) == (times > 1_000)


def dearer(story, times):
    """The story with every amount of its bills so many times as large."""

    def of(value):
        if isinstance(value, Line | Bill | Split | OtherPaid):
            amounts = {name: of(getattr(value, name)) for name in type(value).__struct_fields__ if name in AMOUNTS}
            return msgspec.structs.replace(value, **amounts)
        if isinstance(value, tuple):
            return tuple(map(of, value))
        return None if value is None else value * times

    claims = tuple(msgspec.structs.replace(claim, bills=of(claim.bills)) for claim in story.claims)
    return msgspec.structs.replace(story, claims=claims)


AMOUNTS = {
    "total", "fund", "other", "account", "cash", "self_pay", "self_cost", "lines", "other_paid", "amount", "split",
    "social_paid", "own", "over", "first", "within",
}  # fmt: skip

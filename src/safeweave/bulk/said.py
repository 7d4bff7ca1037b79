"""What persons said of stored claims: which amounts stand as they were said, and what the rules may not pay."""

import numpy as np
import numpy.typing as npt

from safeweave.bulk.amounts import Bools, Ints
from safeweave.bulk.facts import Facts, whole_of
from safeweave.bulk.occurrences import Occurrences
from safeweave.bulk.results import PAY, REFUSE


def amounts_said(occurrences: Occurrences) -> Bools:
    """Claims of which a person said the very amounts: adjusted, or put back as they were before.

    What was put back stands as long as the product that decided it does: a changed one decides it by its rules.
    """
    facts = occurrences.facts
    found: Bools = facts.verdict.mapped({"adjusted": 1}, 0) == 1
    restored = np.flatnonzero(facts.verdict.mapped({"restored": 1}, 0))
    if len(restored):
        texts = facts.product_digest.texts
        digests = [product.digest for product in occurrences.products]
        at, now = facts.product_digest.at[restored].tolist(), occurrences.product[restored].tolist()
        found[restored] = [texts[one] == digests[other] for one, other in zip(at, now, strict=True)]
    return found


def refused_in_the_end(facts: Facts, final: npt.NDArray[np.int8]) -> Bools:
    """Claims that waited for a person who then refused them; `final` is what was decided of each in the end.

    What was paid for the case before that stands: a person who refuses to take money back leaves it where it is.
    """
    found = np.zeros(facts.count, np.bool_)
    refused = np.zeros(int(facts.chain.max(initial=-1)) + 1, np.bool_)
    refused[facts.chain[final == REFUSE]] = True
    some = np.flatnonzero(refused[facts.chain])
    case = cases_of_chains(facts, some)
    order = np.argsort(case, kind="stable")
    some, case = some[order], case[order]
    answers = np.flatnonzero(np.isin(final[some], [PAY, REFUSE]))
    next_answer = np.searchsorted(answers, np.arange(len(some)))
    (waited,) = np.nonzero((next_answer < len(answers)) & ~np.isin(final[some], [PAY, REFUSE]))
    answer = answers[next_answer[waited]]
    found[some[waited[(case[answer] == case[waited]) & (final[some[answer]] == REFUSE)]]] = True
    return found


def cases_of_chains(facts: Facts, some: Ints) -> Ints:
    """For each of some claims a number of its chain and case."""
    cases = whole_of(facts.tables["claims"]["case"].take(some)).dictionary_encode()
    number: Ints = cases.indices.to_numpy(zero_copy_only=False)
    return facts.chain[some].astype(np.int64) << 32 | number

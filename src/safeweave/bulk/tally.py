"""`tally.py` and the usage of many chains at once: what was used before, and what the claims of a batch use.

A *scope* is one policy year of one chain; scopes are numbered over all chains.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from safeweave.bulk.amounts import Bools, Ints
from safeweave.bulk.facts import Codes

Key = tuple[str, str]  # table of the usage, id in it
YEAR, LIFETIME, CLAIM = "year", "lifetime", "claim"


class Standing:
    """What every chain has used so far, by scope and over its lifetime."""

    def __init__(self, chains: int, scopes: int) -> None:
        self._sizes = {YEAR: scopes, LIFETIME: chains}
        self._used: dict[str, dict[Key, Ints]] = {YEAR: {}, LIFETIME: {}}

    def used(self, basis: str, key: Key) -> Ints | None:
        """What all scopes (or chains) have used of one thing; None if nobody used any."""
        return self._used[basis].get(key)

    def column(self, basis: str, key: Key) -> Ints:
        """The same, to be changed."""
        columns = self._used[basis]
        if key not in columns:
            columns[key] = np.zeros(self._sizes[basis], np.int64)
        return columns[key]

    def columns(self, basis: str) -> Iterator[tuple[Key, Ints]]:
        """Everything that was used with some basis."""
        yield from self._used[basis].items()


class Use(NamedTuple):
    """What claims of a batch use of one thing: their places in the batch, scopes (or chains), amounts."""

    key: Key
    basis: str
    claims: Ints
    places: Ints  # of the policy year in the claim's cover; -1 for a lifetime
    scopes: Codes
    amounts: Ints


class Tally:
    """Counts the uses of the claims of one batch without touching the standing they start from."""

    def __init__(self, standing: Standing, chains: Codes, scopes: Codes) -> None:
        """`scopes` has a row for each claim and a column for each policy year of its cover."""
        self._standing, self._chains, self._scopes = standing, chains, scopes
        self._now: dict[str, dict[Key, Ints]] = {YEAR: {}, LIFETIME: {}, CLAIM: {}}

    def used(self, basis: str, key: Key, claims: Ints, years: Codes) -> Ints | int:
        """What the claims' policy years, lifetimes or the claims themselves have used, this batch's part included."""
        now = self._now[basis].get(key)
        if basis == YEAR:
            before = self._standing.used(basis, key)
            counted = 0 if before is None else before[self._scopes[claims, years]]
            return counted if now is None else counted + now[claims, years]
        counted = 0
        if basis == LIFETIME:
            before = self._standing.used(basis, key)
            counted = 0 if before is None else before[self._chains[claims]]
        return counted if now is None else counted + now[claims]

    def add(self, basis: str, key: Key, claims: Ints, years: Codes, amounts: Ints) -> None:
        """Counts uses; each claim stands once in `claims`."""
        now = self._now[basis]
        if key not in now:
            now[key] = np.zeros(self._scopes.shape if basis == YEAR else len(self._chains), np.int64)
        if basis == YEAR:
            now[key][claims, years] += amounts
        else:
            now[key][claims] += amounts

    def uses(self, counting: Bools) -> Iterator[Use]:
        """What the claims that are counting add to the usage if they are paid."""
        for key, amounts in self._now[YEAR].items():
            claims, places = np.nonzero(np.where(counting[:, None], amounts, 0))
            if len(claims):
                yield Use(key, YEAR, claims, places, self._scopes[claims, places], amounts[claims, places])
        for key, amounts in self._now[LIFETIME].items():
            (claims,) = np.nonzero(np.where(counting, amounts, 0))
            if len(claims):
                yield Use(key, LIFETIME, claims, np.full(len(claims), -1), self._chains[claims], amounts[claims])

"""The usage of every chain (a person under a policy) as numbers, and the history of the chains that need it whole."""

from datetime import date

import numpy as np

from safeweave.adjudication.determination import Determination
from safeweave.adjudication.history import History, Settled
from safeweave.adjudication.turns import paid_by_bill
from safeweave.bulk.amounts import Bools, Ints
from safeweave.bulk.facts import Codes, Days, Facts, entries_of
from safeweave.bulk.tally import LIFETIME, YEAR, Key, Standing
from safeweave.coverage.usage import LIFETIME as FOR_LIFE
from safeweave.coverage.usage import Usage, usage_of
from safeweave.facts import Claim

_DAY_BITS = 22  # enough for any day number
Entry = tuple[str, str, str, int]  # table, scope, id, amount


class Chains:
    """How every chain stands before the next of its claims is decided."""

    def __init__(self, facts: Facts, watched: Bools) -> None:
        """Starts from the openings. Of `watched` chains the claims in force are to be remembered too."""
        self.of_claim = facts.chain
        self.count = len(watched)
        self.watched = watched
        self.in_force: dict[int, dict[str, Settled]] = {}
        self._case_of: dict[int, dict[str, str]] = {}  # of the claims in force
        self._paid: dict[tuple[int, str], dict[tuple[int, str], dict[str, int]]] = {}  # by person and case
        self.scope_of, self._scope_keys = _scopes(facts)
        self.standing = Standing(self.count, len(self._scope_keys))
        self._elsewhere: dict[int, list[Entry]] = {}  # usage of years that no cover names; nothing here counts it
        openings = facts.tables["openings"]
        for claim, *entry in zip(*(column.to_pylist() for column in openings.columns), strict=True):
            self._set(int(self.of_claim[claim]), tuple(entry))

    def history(self, chain: int) -> History:
        """What the plain engine reads before the next claim of a chain."""
        return History(self.usage(chain), dict(self.in_force.get(chain, {})))

    def usage(self, chain: int) -> Usage:
        """What a chain has used."""
        entries = list(self._elsewhere.get(chain, ()))
        first, end = np.searchsorted(self._scope_keys, [chain << _DAY_BITS, chain + 1 << _DAY_BITS])
        for (table, id), amounts in self.standing.columns(YEAR):
            for scope in range(int(first), int(end)):
                if amounts[scope]:
                    entries.append((table, self._scope_text(scope), id, int(amounts[scope])))
        for (table, id), amounts in self.standing.columns(LIFETIME):
            if amounts[chain]:
                entries.append((table, FOR_LIFE, id, int(amounts[chain])))
        return usage_of(entries)

    def put(self, chain: int, usage: Usage) -> None:
        """Makes this the usage of a chain."""
        first, end = np.searchsorted(self._scope_keys, [chain << _DAY_BITS, chain + 1 << _DAY_BITS])
        for _, amounts in self.standing.columns(YEAR):
            amounts[first:end] = 0
        for _, amounts in self.standing.columns(LIFETIME):
            amounts[chain] = 0
        self._elsewhere.pop(chain, None)
        for entry in entries_of(usage):
            self._set(chain, entry)

    def count_uses(self, key: Key, chains: Codes, scopes: Days, amounts: Ints) -> None:
        """Adds to what chains have used of one thing; a scope is a policy year's first day, or 0 for a lifetime."""
        for_life = scopes == 0
        np.add.at(self.standing.column(LIFETIME, key), chains[for_life], amounts[for_life])
        wanted = chains[~for_life].astype(np.int64) << _DAY_BITS | scopes[~for_life]
        number = np.minimum(np.searchsorted(self._scope_keys, wanted), len(self._scope_keys) - 1)
        known = self._scope_keys[number] == wanted
        np.add.at(self.standing.column(YEAR, key), number[known], amounts[~for_life][known])

    def in_force_for(self, chain: int, case: str) -> str | None:
        """The claim of a case that is in force in a watched chain."""
        return next((claim for claim, its_case in self._case_of.get(chain, {}).items() if its_case == case), None)

    def paid_by_others(self, chain: int, person: int, case: str) -> dict[str, int]:
        """What a watched person's other policies have paid for each bill of a case, in fen."""
        paid: dict[str, int] = {}
        for (its_chain, claim), bills in self._paid.get((person, case), {}).items():
            if its_chain != chain and claim in self.in_force.get(its_chain, {}):
                for bill, amount in bills.items():
                    paid[bill] = paid.get(bill, 0) + amount
        return paid

    def remember(self, chain: int, person: int, case: str, claim: str, left: Settled, paid: dict[str, int]) -> None:
        """Enters a paid claim, whose use is counted already, into the history of a watched chain.

        `paid` is what it pays for each bill.
        """
        self.in_force.setdefault(chain, {})[claim] = left
        self._case_of.setdefault(chain, {})[claim] = case
        self._paid.setdefault((person, case), {})[chain, claim] = paid

    def settle(
        self, chain: int, person: int, case: str, claim: Claim, released: Determination, after: History
    ) -> list[str]:
        """Makes a history the chain's: that after this claim of this case was paid. Returns the claims it replaced."""
        self.put(chain, after.usage)
        replaced = [id for id in self.in_force.get(chain, {}) if id not in after.in_force]
        if self.watched[chain]:
            for gone in replaced:
                del self.in_force[chain][gone], self._case_of[chain][gone]
            self.remember(chain, person, case, claim.id, after.in_force[claim.id], paid_by_bill(released))
        return replaced

    def _set(self, chain: int, entry: Entry) -> None:
        table, scope, id, amount = entry
        if scope == FOR_LIFE:
            self.standing.column(LIFETIME, (table, id))[chain] = amount
            return
        number = self._scope_number(chain, scope)
        if number is None:
            self._elsewhere.setdefault(chain, []).append(entry)
        else:
            self.standing.column(YEAR, (table, id))[number] = amount

    def _scope_text(self, scope: int) -> str:
        day = int(self._scope_keys[scope]) & (1 << _DAY_BITS) - 1
        return date.fromordinal(day).isoformat()

    def _scope_number(self, chain: int, scope: str) -> int | None:
        """The number of a chain's policy year; None if no cover of the chain names it."""
        try:
            key = chain << _DAY_BITS | date.fromisoformat(scope).toordinal()
        except ValueError:
            return None
        found = int(np.searchsorted(self._scope_keys, key))
        return found if found < len(self._scope_keys) and self._scope_keys[found] == key else None


def _scopes(facts: Facts) -> tuple[Codes, Ints]:
    """For each claim and policy year of its cover the number of its scope, and of each scope its chain and day."""
    chain, covers, periods = facts.chain, facts.cover.at, facts.periods
    differs = np.ones(len(chain), np.bool_)  # where chain or cover are not those of the row before
    differs[1:] = (chain[1:] != chain[:-1]) | (covers[1:] != covers[:-1])
    first_days = periods.first_day[covers[differs]].astype(np.int64)
    keys = chain[differs].astype(np.int64)[:, None] << _DAY_BITS | first_days
    known, number = np.unique(keys, return_inverse=True)
    return number.reshape(keys.shape).astype(np.int32)[np.cumsum(differs) - 1], known

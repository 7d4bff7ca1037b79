"""What was used before a claim and what the claim has used so far, side by side (FORMAT.md §5.6, §5.7)."""

from safeweave.coverage.usage import LIFETIME, Usage, usage_of

CLAIM = "claim"  # the scope of what only counts within one claim; it never reaches the usage


class Tally:
    """Counts one claim's uses without touching the usage it starts from."""

    __slots__ = ("_before", "_now")

    def __init__(self, before: Usage) -> None:
        self._before = before
        self._now: dict[tuple[str, str, str], int] = {}

    def used(self, table: str, scope: str, id: str) -> int:
        """What a scope has used of a deductible, limit, benefit's days or grade, this claim included."""
        now = self._now.get((table, scope, id), 0)
        if scope == CLAIM or not self._before.scopes:
            return now
        return now + self._before.of(table, scope, id)

    def add(self, table: str, scope: str, id: str, amount: int) -> None:
        """Counts a use of this claim."""
        if amount:
            key = (table, scope, id)
            self._now[key] = self._now.get(key, 0) + amount

    def uses(self) -> Usage:
        """What this claim adds to the usage if it is paid."""
        return usage_of([(*key, amount) for key, amount in self._now.items() if key[1] != CLAIM])


def scope_of(basis: str, year: str) -> str:
    """The scope in which a `claim`, `year` or `lifetime` figure counts, for a policy year's first day."""
    return year if basis == "year" else LIFETIME if basis == "lifetime" else CLAIM

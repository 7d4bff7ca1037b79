"""What was used before a claim and what the claim has used so far, side by side (FORMAT.md §5.6, §5.7)."""

from safeweave.adjudication.occurrence import CLAIM
from safeweave.coverage.usage import NO_USAGE, Usage, Used


class Tally:
    """Counts one claim's uses without touching the usage it starts from."""

    __slots__ = ("_before", "_now")

    def __init__(self, before: Usage) -> None:
        self._before = before
        self._now: dict[str, Used] = {}  # by scope; without zeros

    def used(self, table: str, scope: str, id: str) -> int:
        """What a scope has used of a deductible, limit, benefit's days or grade, this claim included."""
        now = getattr(self._now[scope], table).get(id, 0) if scope in self._now else 0
        return now + self._before.of(table, scope, id) if self._before.scopes else now

    def add(self, table: str, scope: str, id: str, amount: int) -> None:
        """Counts a use of this claim."""
        if amount:
            if scope not in self._now:
                self._now[scope] = Used()
            counted = getattr(self._now[scope], table)
            counted[id] = counted.get(id, 0) + amount

    def uses(self) -> Usage:
        """What this claim adds to the usage if it is paid: tidy, and without what only counts within the claim."""
        lasting = [scope for scope in self._now if scope != CLAIM]
        return Usage({scope: self._now[scope] for scope in sorted(lasting)}) if lasting else NO_USAGE

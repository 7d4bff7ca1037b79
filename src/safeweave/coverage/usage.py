"""What a policy has used up: deductibles, limits, days and counts, by policy year and over its lifetime.

Usage is kept as additions (one `Usage` for each determination), so taking one back restores exactly what was
before. Source: stories/FORMAT.md §3 (`usage`) and §4.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from safeweave.facts import Fact
from safeweave.money import Fen

N = TypeVar("N", bound=int)

LIFETIME = "lifetime"


class Used(Fact, frozen=True):
    """What one scope has used: amounts in fen by block id, days by benefit, counts by "benefit/grade"."""

    deductible: dict[str, Fen] = msgspec.field(default_factory=dict)
    limit: dict[str, Fen] = msgspec.field(default_factory=dict)
    days: dict[str, int] = msgspec.field(default_factory=dict)
    count: dict[str, int] = msgspec.field(default_factory=dict)


TABLES: tuple[str, ...] = Used.__struct_fields__


class Usage(Fact, frozen=True):
    """Used amounts by scope: the first day of a policy year ("2025-01-01") or "lifetime"."""

    scopes: dict[str, Used] = msgspec.field(default_factory=dict)

    def of(self, table: str, scope: str, id: str) -> int:
        """What `scope` has used of one deductible, limit, benefit's days or grade; 0 if nothing."""
        used = self.scopes.get(scope)
        if used is None:
            return 0
        entries: Mapping[str, int] = getattr(used, table)
        return entries.get(id, 0)

    def rows(self) -> Iterator[tuple[str, Used]]:
        """The scopes in order, without zeros and without those that used nothing."""
        yield from _tidy(self.scopes).items()


NOTHING_USED = Used()
NO_USAGE = Usage()


def usage_of(entries: Iterable[tuple[str, str, str, int]]) -> Usage:
    """The usage that (table, scope, id, amount) entries add up to, without zeros."""
    scopes: dict[str, dict[str, dict[str, int]]] = {}
    for table, scope, id, amount in entries:
        if amount:
            column = scopes.setdefault(scope, {}).setdefault(table, {})
            column[id] = column.get(id, 0) + amount
    return Usage({scope: Used(**tables) for scope, tables in scopes.items()})  # type: ignore[arg-type]


def usage_with(usage: Usage, addition: Usage) -> Usage:
    """The usage after a determination added its own."""
    if not usage.scopes:
        return tidied(addition)
    return _combined(usage, addition, 1)


def usage_without(usage: Usage, addition: Usage) -> Usage:
    """The usage as if the determination that added `addition` had never been."""
    return _combined(usage, addition, -1)


def tidied(usage: Usage) -> Usage:
    """The same usage sorted by scope, without zeros and empty tables, as FORMAT.md §4 shows it."""
    return Usage(_tidy(usage.scopes))


def _combined(usage: Usage, addition: Usage, sign: int) -> Usage:
    scopes = dict(usage.scopes)
    for scope, added in addition.scopes.items():
        before = scopes.get(scope)
        if before is None and sign > 0:
            scopes[scope] = added
            continue
        before = before or NOTHING_USED
        scopes[scope] = Used(
            _summed(before.deductible, added.deductible, sign),
            _summed(before.limit, added.limit, sign),
            _summed(before.days, added.days, sign),
            _summed(before.count, added.count, sign),
        )
    return Usage(_tidy(scopes))


def _summed(before: dict[str, N], added: dict[str, N], sign: int) -> dict[str, N]:
    if not added:
        return before
    total = dict(before)
    for id, amount in added.items():
        total[id] = total.get(id, 0) + sign * amount  # type: ignore[assignment]
    return total


def _tidy(scopes: Mapping[str, Used]) -> dict[str, Used]:
    tidy = {}
    for scope in sorted(scopes):
        used = _without_zeros(scopes[scope])
        if used.deductible or used.limit or used.days or used.count:
            tidy[scope] = used
    return tidy


def _without_zeros(used: Used) -> Used:
    if (
        0 not in used.deductible.values()
        and 0 not in used.limit.values()
        and 0 not in used.days.values()
        and 0 not in used.count.values()
    ):
        return used
    return Used(*({id: n for id, n in getattr(used, table).items() if n} for table in TABLES))

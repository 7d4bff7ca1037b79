"""The most that is paid: by charge category, claim, year and lifetime (FORMAT.md §5.7)."""

from collections.abc import Sequence
from operator import sub

from safeweave.adjudication.determination import Cut
from safeweave.adjudication.occurrence import PolicyYear
from safeweave.adjudication.tally import Tally
from safeweave.coverage.product import Limit
from safeweave.facts import Line
from safeweave.money import Fen, share

LimitCut = tuple[Limit, list[int]]  # what one limit takes from each amount


def cut_to_limits(
    limits: Sequence[Limit],
    amounts: Sequence[int],
    lines: Sequence[Line],
    year: PolicyYear,
    tally: Tally,
) -> list[LimitCut]:
    """What every limit takes from the amounts; each limit counts what is finally paid.

    `limits` stand in their order of work; `lines` are those of the amounts.
    """
    found: list[LimitCut] = []
    totals: list[int] = []  # what counts towards each limit
    for limit in limits:
        total = _counted(limit, amounts, lines) if limit.categories else sum(amounts)
        totals.append(total)
        left = limit.amount - tally.used("limit", year.scopes[limit.basis], limit.id)
        if total > left and total > 0:
            parts = share(total - max(0, left), _weights(limit, amounts, lines))
            found.append((limit, parts))
            amounts = list(map(sub, amounts, parts))
    if found:  # what a later limit takes counts towards none
        totals = [_counted(limit, amounts, lines) if limit.categories else sum(amounts) for limit in limits]
    for limit, total in zip(limits, totals, strict=True):
        tally.add("limit", year.scopes[limit.basis], limit.id, total)
    return found


def left_of_fixed(limits: Sequence[Limit], amount: int, year: PolicyYear, tally: Tally, cuts: list[Cut]) -> int:
    """The same for a fixed amount, which has no category: limits with categories pass it by."""
    general = [limit for limit in limits if not limit.categories]
    found = [(limit, part) for limit, (part,) in cut_to_limits(general, [amount], (), year, tally) if part]
    cuts += [Cut(limit.reason, Fen(part), limit.clause) for limit, part in found]
    return amount - sum([part for _, part in found])


def _counted(limit: Limit, amounts: Sequence[int], lines: Sequence[Line]) -> int:
    """What counts towards a limit of some charge categories."""
    categories, total = limit.categories, 0
    for amount, line in zip(amounts, lines, strict=True):
        if line.category in categories:
            total += amount
    return total


def _weights(limit: Limit, amounts: Sequence[int], lines: Sequence[Line]) -> Sequence[int]:
    """The amounts that count towards a limit, 0 in place of the others."""
    categories = limit.categories
    if not categories:
        return amounts
    return [amount if line.category in categories else 0 for amount, line in zip(amounts, lines, strict=True)]

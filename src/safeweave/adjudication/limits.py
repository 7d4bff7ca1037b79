"""The most that is paid: by charge category, claim, year and lifetime (FORMAT.md §5.7)."""

from collections.abc import Iterable, Sequence
from operator import sub

from safeweave.adjudication.determination import Cut
from safeweave.adjudication.tally import Tally, scope_of
from safeweave.coverage.product import Limit
from safeweave.money import Fen, share

LimitCut = tuple[Limit, list[int]]  # what one limit takes from each amount


def left_after_limits(
    limits: Sequence[Limit],
    amounts: Sequence[int],
    categories: Sequence[str],
    year: str,
    tally: Tally,
) -> tuple[Sequence[int], list[LimitCut]]:
    """The amounts after every limit cut what exceeds it, and these cuts; each limit counts what is finally paid.

    `limits` stand in their order of work; `categories` are those of the amounts.
    """
    found: list[LimitCut] = []
    scopes, sums = [], []  # of what counts towards each limit
    for limit in limits:
        scope = scope_of(limit.basis, year)
        counted = _counted(limit, amounts, categories)
        total = sum(counted)
        excess = total - max(0, limit.amount - tally.used("limit", scope, limit.id))
        if excess > 0:
            parts = share(excess, counted)
            found.append((limit, parts))
            amounts = list(map(sub, amounts, parts))
        scopes.append(scope)
        sums.append(total)
    if found:
        sums = [sum(_counted(limit, amounts, categories)) for limit in limits]
    for limit, scope, total in zip(limits, scopes, sums, strict=True):
        tally.add("limit", scope, limit.id, total)
    return amounts, found


def left_of_fixed(limits: Iterable[Limit], amount: int, year: str, tally: Tally, cuts: list[Cut]) -> int:
    """The same for a fixed amount, which has no category: limits with categories pass it by."""
    general = [limit for limit in limits if not limit.categories]
    (left,), found = left_after_limits(general, [amount], [""], year, tally)
    cuts += [Cut(limit.reason, Fen(part), limit.clause) for limit, (part,) in found if part]
    return left


def _counted(limit: Limit, amounts: Sequence[int], categories: Sequence[str]) -> Sequence[int]:
    """The amounts that count towards a limit, 0 in place of the others."""
    if not limit.categories:
        return amounts
    counted = limit.categories
    return [amount if category in counted else 0 for amount, category in zip(amounts, categories, strict=True)]

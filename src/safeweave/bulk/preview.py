"""What a run would move: claims and money before and after, by product and by reason; previews of parts add up."""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from safeweave.bulk.amounts import Bools
from safeweave.bulk.facts import Facts
from safeweave.bulk.results import FINAL, REASONS, Results
from safeweave.bulk.shapes import HOW
from safeweave.facts import Fact


class ProductSums(Fact):
    """The claims of one product; amounts in fen. Money counts where it is paid and not replaced by a later claim."""

    claims: int = 0
    changed: int = 0  # anything of the determination: a cut, a clause, a code
    paid_more: int = 0
    paid_less: int = 0
    before_fen: int = 0
    after_fen: int = 0
    before: dict[str, int] = msgspec.field(default_factory=dict)  # claims by what was decided in the end
    after: dict[str, int] = msgspec.field(default_factory=dict)


class Preview(Fact):
    """What was decided before, what would be decided now, and what that moves."""

    products: dict[str, ProductSums] = msgspec.field(default_factory=dict)
    reasons: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)  # fen cut before and after
    moved: dict[str, int] = msgspec.field(default_factory=dict)  # claims by "pay>refer" and the like
    how: dict[str, int] = msgspec.field(default_factory=dict)  # claims by how they were decided, see shapes.HOW

    @property
    def total(self) -> ProductSums:
        """All products together."""
        total: ProductSums = _sum(self.products.values(), ProductSums)
        return total


def added(previews: Iterable[Preview]) -> Preview:
    """The previews of several parts as one."""
    total: Preview = _sum(previews, Preview)
    return total


def preview_of(
    facts: Facts, asked: Bools, before: Results, after: Results, changed: Bools, how: npt.NDArray[Any]
) -> Preview:
    """The preview of the claims that were asked about; `changed` and `how` have one entry a claim."""
    old, new = _paid(before), _paid(after)
    products = {}
    for place, name in enumerate(facts.product.texts):
        own = asked & (facts.product.at == place)
        if own.any():
            products[name] = ProductSums(
                claims=int(own.sum()),
                changed=int((own & changed).sum()),
                paid_more=int((own & (new > old)).sum()),
                paid_less=int((own & (new < old)).sum()),
                before_fen=int(old[own].sum()),
                after_fen=int(new[own].sum()),
                before=_counts(FINAL, before.claims["final"][own]),
                after=_counts(FINAL, after.claims["final"][own]),
            )
    cuts = [results.cut_by_reason(asked) for results in (before, after)]
    reasons: dict[str, tuple[int, int]] = {
        reason: (int(cuts[0][place]), int(cuts[1][place]))
        for place, reason in enumerate(REASONS)
        if cuts[0][place] or cuts[1][place]
    }
    pairs = before.claims["final"][asked].astype(np.int64) * len(FINAL) + after.claims["final"][asked]
    moves = [f"{one}>{other}" for one in FINAL for other in FINAL]
    moved = {move: count for move, count in _counts(moves, pairs).items() if len({*move.split(">")}) == 2}
    return Preview(products, reasons, moved, _counts(HOW, how[asked]))


def _paid(results: Results) -> npt.NDArray[np.int64]:
    return np.where(results.in_force(), results.claims["released"], 0)


def _counts(names: Iterable[str], numbers: npt.NDArray[Any]) -> dict[str, int]:
    counts = np.bincount(numbers)
    return {name: int(count) for name, count in zip(names, counts, strict=False) if count}


def _sum(values: Iterable[Any], kind: type[Any]) -> Any:
    """The field-by-field sum of values of one kind: numbers are added, tables key by key."""
    total: Any = kind()
    for value in values:
        total = _added(total, value)
    return total


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, int):
        return one + other
    if isinstance(one, tuple):
        return tuple(map(_added, one, other))
    if isinstance(one, dict):
        return one | {key: _added(one[key], value) if key in one else value for key, value in other.items()}
    return type(one)(*(_added(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__))

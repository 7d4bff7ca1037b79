"""What a run would move, case by case: counted, in money, by how far, and which cases those are."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from safeweave.facts import Fact

STEPS_YUAN = (-10_000, -1_000, -100, 0, 100, 1_000, 10_000)  # between these lie the bars of the histogram
_COLUMNS = [
    "determination", "case", "policy", "product", "decision_before", "payable_before", "in_force_before",
    "decision_after", "payable_after", "in_force_after",
]  # fmt: skip
_WAITS = ("refer", "refuse-proposed")


class Moved(Fact, frozen=True):
    """A case that would be decided otherwise: decisions and money; `waits_fen` would wait for a person."""

    case: str
    before: str
    after: str
    before_fen: int
    after_fen: int
    waits_fen: int

    @property
    def moves_fen(self) -> int:
        """By how much its money moves."""
        return self.after_fen - self.before_fen


class ByCase(Fact, frozen=True):
    """The cases of one product, each counted once: to a person, if it newly goes there, else by its money."""

    cases: int = 0
    more: int = 0
    less: int = 0
    referred: int = 0
    same: int = 0
    before_fen: int = 0
    after_fen: int = 0
    waits_fen: int = 0
    steps: tuple[int, ...] = (0,) * (len(STEPS_YUAN) + 1)  # of those whose money moves, by how far

    @property
    def changed(self) -> int:
        """How many would be decided otherwise."""
        return self.cases - self.same


def added(parts: Iterable[ByCase]) -> ByCase:
    """Several parts as one."""
    total = ByCase()
    for part in parts:
        values = {
            name: getattr(total, name) + getattr(part, name) for name in ByCase.__struct_fields__ if name != "steps"
        }
        total = ByCase(**values, steps=tuple(a + b for a, b in zip(total.steps, part.steps, strict=True)))
    return total


def by_case(part: Path, product: str) -> tuple[ByCase, list[Moved]]:
    """What a part of a run says of the cases that this product has decided something about."""
    import pyarrow.parquet as pq  # the sums are read where no columns can be

    rows = pq.read_table(part / "claims.parquet", columns=_COLUMNS, use_threads=False).to_pylist()
    rows.sort(key=lambda row: row["case"])  # stable: the order of decision stays within a case
    found, moved = ByCase(), []
    for case, own in groupby(rows, key=lambda row: row["case"]):
        mine = list(own)
        if not any(row["product"] == product for row in mine):
            continue
        each = _moved(case, mine)
        counted = _counted(each)
        found = added((found, counted))
        if not counted.same:
            moved.append(each)
    return found, moved


def _moved(case: str, rows: list[dict[str, Any]]) -> Moved:
    last = {row["policy"]: row for row in rows}.values()
    before, after = (_said(row[f"decision_{when}"] for row in last) for when in ("before", "after"))
    paid, would_be = (sum(row[f"payable_{w}"] for row in rows if row[f"in_force_{w}"]) for w in ("before", "after"))
    waits = sum(row["payable_after"] for row in last if row["decision_after"] in _WAITS)
    return Moved(case, before, after, paid, would_be, waits)


def _said(decisions: Iterable[str]) -> str:
    """What is said of a case by what was decided under its policies: that somebody must look comes first."""
    return max(decisions, key=lambda decision: (decision in _WAITS, decision == "pay"))


def _counted(each: Moved) -> ByCase:
    to_a_person = each.after in _WAITS and each.before not in _WAITS
    moves = each.moves_fen
    same = not to_a_person and not moves
    steps = [0] * (len(STEPS_YUAN) + 1)
    if moves:
        steps[sum(moves > step * 100 or (step < 0 and moves == step * 100) for step in STEPS_YUAN)] = 1
    return ByCase(
        1, int(not to_a_person and moves > 0), int(not to_a_person and moves < 0), int(to_a_person), int(same),
        each.before_fen, each.after_fen, each.waits_fen if to_a_person else 0, tuple(steps),
    )  # fmt: skip

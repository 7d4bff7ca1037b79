"""An examiner of a simulated insurer, who decides what the machine referred: by the rules, otherwise, or with a no."""

from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Literal

from safeweave import worker
from safeweave.adjudication.adjusting import NotAdjustable, most_of
from safeweave.adjudication.determination import Adjustment, Change
from safeweave.adjudication.store import waiting_for_a_person
from safeweave.cases.store import cases_by_id
from safeweave.database import Transaction
from safeweave.errors import Conflict, NotFound
from safeweave.ids import CaseId, PolicyId
from safeweave.money import Fen
from safeweave.node import Node

Verdict = Literal["released", "adjusted", "refused"]
_VERDICTS: tuple[Sequence[Verdict], Sequence[int]] = ("released", "adjusted", "refused"), (5, 2, 3)


def decides(node: Node, case: CaseId, random: Random, now: datetime) -> str:
    """What an examiner did about a case, beside others as on the pages; what cannot be paid is refused."""
    (verdict,) = random.choices(*_VERDICTS)
    try:
        return _does(node, case, verdict, random, now)
    except NotFound as no:
        return type(no).__name__
    except (Conflict, NotAdjustable):
        if verdict == "refused":
            return "Conflict"
    try:
        return _does(node, case, "refused", random, now)
    except (Conflict, NotFound) as no:
        return type(no).__name__


def _does(node: Node, case: CaseId, verdict: Verdict, random: Random, now: datetime) -> str:
    with node.database.transaction(beside=True) as tx:
        keys = node.adjudicator.keys_of(tx, cases_by_id(tx, [case])[case], now)
        if not tx.hold(keys) >= keys:
            return "others have it"
        adjust = _otherwise(node, tx, case, random) if verdict == "adjusted" else {}
        if verdict == "adjusted" and not adjust:
            verdict = "released"  # there is no line that could be paid otherwise
        told = node.adjudicator.decide_by_person(tx, case, "reviewer", "seen", verdict == "refused", now, adjust)
        worker.tell(tx, told, now)
    return verdict


def _otherwise(node: Node, tx: Transaction, case: CaseId, random: Random) -> dict[PolicyId, Adjustment]:
    """Some other amount for some line under each policy that waits, as far as lines can be paid."""
    found = {}
    for waiting in waiting_for_a_person(tx, case):
        lines = [line for line in node.adjudicator.seen_by_person(waiting).lines if most_of(line)]
        if lines:
            line = random.choice(lines)
            paid = Fen(random.randint(0, most_of(line)))
            found[waiting.policy] = Adjustment("3.2", (Change(line.benefit, line.period, line.bill, line.no, paid),))
    return found

"""Why the machine holds back a determination that the rules of the product would release. Pure.

The product says what a claim pays; these say that the claim itself may not be what it seems. Only a person waives them.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from safeweave.adjudication.determination import Determination
from safeweave.adjudication.history import Settled
from safeweave.coverage.usage import Usage, tidied
from safeweave.facts import Claim
from safeweave.ids import CaseId


def held(result: Determination, holds: Sequence[str], usage_before: Usage) -> Determination:
    """The determination as it stands with these holds: referred with their codes, nothing used; itself without any."""
    if not holds:
        return result
    refer = tuple(sorted({*result.refer, *holds}))
    return msgspec.structs.replace(result, decision="refer", refer=refer, usage=tidied(usage_before))


def holds_of(
    claim: Claim, case: CaseId, doubts: Iterable[str], paid_in: Mapping[str, CaseId], others: Iterable[Settled]
) -> tuple[str, ...]:
    """The codes that hold a claim back, sorted.

    `doubts` are those of the stay itself; `paid_in` says in which case a bill key was paid (by anybody of ours);
    `others` are this person's claims in force of other cases.
    """
    holds = set(doubts)
    if any(paid_in.get(bill.key, case) != case for bill in claim.bills):
        holds.add("duplicate_bill")
    if any(_overlap(claim, other) for other in others):
        holds.add("overlapping_stay")
    return tuple(sorted(holds))


def _overlap(claim: Claim, other: Settled) -> bool:
    """Whether two stays lie on the same days; leaving one hospital and entering another on one day is no overlap."""
    if claim.admitted_on is None or claim.discharged_on is None:
        return False
    if other.admitted_on is None or other.discharged_on is None:
        return False
    if (claim.admitted_on, claim.discharged_on) == (other.admitted_on, other.discharged_on):
        return True
    return claim.admitted_on < other.discharged_on and other.admitted_on < claim.discharged_on

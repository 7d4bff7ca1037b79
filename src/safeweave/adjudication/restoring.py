"""A determination put back as it was before another took its place: same money, lines, cuts and usage. Pure."""

import msgspec

from safeweave.adjudication.determination import Determination
from safeweave.adjudication.history import History
from safeweave.coverage.usage import usage_with
from safeweave.facts import Claim
from safeweave.money import Fen


def restored(earlier: Determination, id: str, claim: Claim, history: History) -> Determination:
    """What the determination with this id said, as it was released, for the claim that supersedes what stands now.

    What it uses is what it used, whatever others have used since. KeyError if what it supersedes is not in force.
    """
    superseded = claim.supersedes or ""
    standing = history.in_force[superseded]
    return msgspec.structs.replace(
        earlier,
        claim=claim.id,
        decision="pay",
        refer=(),
        usage=usage_with(history.without(superseded).usage, earlier.uses),
        adjustment=Fen(earlier.payable - standing.payable),
        restores=id,
    )

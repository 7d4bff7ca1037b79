"""What earlier claims of the same policy left behind: usage, claims in force, paid bills (FORMAT.md §5.8)."""

from datetime import date
from functools import cached_property

import msgspec

from safeweave.adjudication.determination import Determination, StayDays
from safeweave.coverage.usage import NO_USAGE, Usage, usage_with, usage_without
from safeweave.errors import InvariantBroken
from safeweave.facts import Claim, Fact, PaidBill
from safeweave.money import Fen


class Settled(Fact, frozen=True):
    """A claim in force: what was paid for it, and what would be freed if another claim replaced it."""

    payable: Fen
    uses: Usage
    bills: tuple[PaidBill, ...] = ()
    admitted_on: date | None = None
    discharged_on: date | None = None
    illness: str = ""  # first three characters of the main diagnosis
    stays: tuple[StayDays, ...] = ()

    def stay_under(self, benefit: str) -> StayDays | None:
        """The days of this stay under an allowance, or None if that had none or was cut as a whole."""
        for stay in self.stays:
            if stay.benefit == benefit:
                return stay
        return None


def settled(claim: Claim, determination: Determination) -> Settled:
    """What a paid claim leaves behind."""
    return Settled(
        payable=determination.payable,
        uses=determination.uses,
        bills=determination.bills,
        admitted_on=claim.admitted_on,
        discharged_on=claim.discharged_on,
        illness=claim.diagnoses[0][:3] if claim.diagnoses else "",
        stays=determination.stays,
    )


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Everything before a claim that its determination reads. It is stored and sent as JSON like any fact."""

    usage: Usage = NO_USAGE
    in_force: dict[str, Settled] = msgspec.field(default_factory=dict)  # by claim id, in order of decision
    paid_bills: tuple[PaidBill, ...] = ()  # paid before, by claims that are not listed here

    @cached_property
    def totals_paid(self) -> dict[str, set[int]]:
        """The totals with which each bill key was paid."""
        totals: dict[str, set[int]] = {}
        for bill in self.paid_bills:
            totals.setdefault(f"{bill.code}-{bill.number}", set()).add(bill.total)
        for claim in self.in_force.values():
            for bill in claim.bills:
                totals.setdefault(f"{bill.code}-{bill.number}", set()).add(bill.total)
        return totals

    def without(self, claim_id: str) -> "History":
        """The history as if a claim in force had never been. Raises KeyError if it is not in force."""
        taken = self.in_force[claim_id]
        remaining = {id: claim for id, claim in self.in_force.items() if id != claim_id}
        return History(usage_without(self.usage, taken.uses), remaining, self.paid_bills)

    def after(self, claim: Claim, determination: Determination) -> "History":
        """The history after a determination. Only `pay` moves anything; it takes out the claim it supersedes.

        Raises InvariantBroken if the claim is in force already: paying it twice needs `supersedes`.
        """
        if determination.decision != "pay":
            return self
        base = self.without(claim.supersedes) if claim.supersedes in self.in_force else self
        if claim.id in base.in_force:
            raise InvariantBroken(f"claim {claim.id} is in force already and cannot be settled again")
        return History(
            usage_with(base.usage, determination.uses),
            base.in_force | {claim.id: settled(claim, determination)},
            base.paid_bills,
        )


NO_HISTORY = History()

"""Whether a hospital is covered and in the network, emergencies and relaxations included (FORMAT.md §5.5)."""

from collections.abc import Collection

from safeweave.coverage.product import HospitalRule
from safeweave.facts import Claim, Hospital


def is_exempt(rule: HospitalRule, claim: Claim, lifted: Collection[str]) -> bool:
    """Whether any hospital will do: a relaxation lifts the rule, or the claim is an emergency that exempts."""
    return "hospital" in lifted or (claim.emergency and rule.emergency_exempt)


def is_covered(rule: HospitalRule | None, claim: Claim, hospital: Hospital | None, lifted: Collection[str]) -> bool:
    """Whether treatment in a hospital is covered; without a rule, everywhere."""
    if rule is None or is_exempt(rule, claim, lifted):
        return True
    return hospital is not None and rule.covers(hospital)


def is_in_network(rule: HospitalRule | None, claim: Claim, hospital: Hospital | None, lifted: Collection[str]) -> bool:
    """Whether the hospital counts as inside the network; without a network, all do."""
    if rule is None or rule.network is None or is_exempt(rule, claim, lifted):
        return True
    return hospital is not None and hospital.id in rule.network

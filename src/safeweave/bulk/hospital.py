"""`hospital.py` in columns: whether hospitals are covered and in the network (FORMAT.md §5.5)."""

from collections.abc import Collection

import numpy as np

from safeweave.bulk.amounts import Bools, Ints
from safeweave.bulk.batch import Batch
from safeweave.bulk.charges import Charges
from safeweave.bulk.facts import Codes
from safeweave.coverage.product import HospitalRule


def _is_exempt(rule: HospitalRule, emergency: Bools, lifted: Collection[str]) -> Bools:
    """Where any hospital will do: a relaxation lifts the rule, or the claim is an emergency that exempts."""
    if "hospital" in lifted:
        return np.ones(emergency.shape, np.bool_)
    return emergency if rule.emergency_exempt else np.zeros(emergency.shape, np.bool_)


def _covers(rule: HospitalRule, level: Ints, public: Bools, in_network: Bools) -> Bools:
    covered: Bools = level >= rule.min_level
    if rule.public_only:
        covered &= public
    return covered & in_network if rule.network_only else covered


def stays_are_covered(rule: HospitalRule, batch: Batch, lifted: Collection[str]) -> Bools:
    """Whether treatment in the hospital of each claim is covered."""
    inside = _among(rule, batch, batch.hospital)
    return _covers(rule, batch.level, batch.public, inside) | _is_exempt(rule, batch.emergency, lifted)


def bills_are_covered(
    rule: HospitalRule, batch: Batch, claims: Ints, charges: Charges, lifted: Collection[str]
) -> Bools:
    """Whether treatment in the hospital of each bill is covered: its own, else the claim's."""
    bill = batch.facts.bill_hospital
    own = charges.on_bill(bill.known)
    level = np.where(own, charges.on_bill(bill.level), batch.level[claims])
    public = np.where(own, charges.on_bill(bill.public), batch.public[claims])
    covered = _covers(rule, level, public, _bills_inside(rule, batch, claims, charges, own))
    return covered | _is_exempt(rule, batch.emergency[claims], lifted)


def bills_are_in_network(
    rule: HospitalRule | None, batch: Batch, claims: Ints, charges: Charges, lifted: Collection[str]
) -> Bools | None:
    """Whether the hospital of each bill counts as inside the network; None: all do."""
    if rule is None or rule.network is None:
        return None
    own = charges.on_bill(batch.facts.bill_hospital.known)
    inside = _bills_inside(rule, batch, claims, charges, own)
    return inside | _is_exempt(rule, batch.emergency[claims], lifted)


def _bills_inside(rule: HospitalRule, batch: Batch, claims: Ints, charges: Charges, own: Bools) -> Bools:
    of_claim = _among(rule, batch, batch.hospital[claims])
    if rule.network is None or not own.any():
        return np.broadcast_to(of_claim, own.shape)
    words = batch.facts.bill_hospital.ids
    of_bill = batch.lookups.among(words, rule.network)[charges.on_bill(words.at)]
    return np.where(own, of_bill, of_claim)


def _among(rule: HospitalRule, batch: Batch, hospitals: Codes) -> Bools:
    if rule.network is None:
        return np.ones(len(hospitals), np.bool_)
    return batch.lookups.among(batch.facts.hospital.ids, rule.network)[hospitals]

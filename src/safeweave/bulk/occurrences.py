"""`occurrence.py` and the claim's own checks for many claims at once: days, policy years, what is triggered, codes.

Days are day numbers, 0 for every day that is not known, as in the plain engine.
"""

from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np

from safeweave.adjudication.bills import is_icd
from safeweave.adjudication.occurrence import ADULT_AGE, IS_TRIGGERED
from safeweave.adjudication.reasons import PAYEES, REFER_CODES
from safeweave.bulk.amounts import Bools, Ints
from safeweave.bulk.facts import Codes, Days, Facts
from safeweave.coverage.product import BY_BILL, Benefit, Product
from safeweave.facts import ClaimKind, Overlay

KINDS: tuple[ClaimKind, ...] = get_args(ClaimKind)
REFER_BIT = {code: 1 << place for place, code in enumerate(REFER_CODES)}
PAYEE = {payee: place for place, payee in enumerate(PAYEES)}
_EPOCH = np.datetime64("1970-01-01").astype("datetime64[D]")
_FIRST = 719_163  # the day number of that day


class Opening(NamedTuple):
    """What a claim of one kind opens in a product."""

    product: Product
    kind: ClaimKind
    accident: bool
    triggered: tuple[Benefit, ...]
    reads_bills: bool
    reads_hospital: bool


class Occurrences:
    """The claims of `facts` with everything about them that several rules read."""

    def __init__(self, facts: Facts, products: Sequence[Product], product: Codes) -> None:
        """`product` says for each claim which of the products decides."""
        self.facts, self.products, self.product = facts, products, product
        self.kind = facts.kind.mapped({kind: place for place, kind in enumerate(KINDS)}, -1)
        self.day = np.choose(self.kind, (facts.admitted_on, facts.visited_on, facts.diagnosed_on, facts.died_on))
        self.admission, self.discharge = facts.admitted_on, facts.discharged_on
        self.accident_day, self.found_day = facts.accident_on, facts.first_found_on
        known = (self.admission > 0) & (self.discharge > 0)
        self.stay_days: Days = np.where(known, np.maximum(1, self.discharge - self.admission), 0).astype(np.int32)
        self.place = facts.periods.holding(self.day, facts.cover.at)  # of the policy year that holds the claim day
        self.accident_place = facts.periods.holding(self.accident_day, facts.cover.at)
        self.last_day_of_admission = self._last_day_of_admission()
        self.is_minor = facts.claimed_on < adult_from(facts.birth)
        self.payee = self._payees()
        self.openings: list[Opening] = []
        self.opening = self._openings()
        self.codes = self._checks()

    def _last_day_of_admission(self) -> Days:
        """The last day of the policy year that holds the admission; the end of time if none does."""
        periods, covers = self.facts.periods, self.facts.cover.at
        place = periods.holding(self.admission, covers)
        return np.where(place >= 0, periods.last_day[covers, place], np.int32(2**31 - 1))

    def _payees(self) -> Codes:
        death = self.kind == KINDS.index("death")
        payee = np.where(self.is_minor, PAYEE["guardian"], PAYEE["insured"]).astype(np.int32)
        payee[self.facts.died_on > 0] = PAYEE["estate"]
        payee[death & self.facts.beneficiary] = PAYEE["beneficiary"]
        return payee

    def _openings(self) -> Codes:
        """For each claim the place in `openings` of what it opens."""
        facts = self.facts
        treatments = len(facts.treatment.texts) + 1
        key = ((self.product.astype(np.int64) * len(KINDS) + self.kind) * 2 + facts.accident) * treatments
        different, place = np.unique(key + facts.treatment.at + 1, return_inverse=True)
        for number in different.tolist():
            rest, treatment_at = divmod(number, treatments)
            rest, accident = divmod(rest, 2)
            at, kind = divmod(rest, len(KINDS))
            treatment = facts.treatment.texts[treatment_at - 1] if treatment_at else None
            self.openings.append(_opening(self.products[at], KINDS[kind], bool(accident), treatment))
        opening: Codes = place.astype(np.int32)
        return opening

    def _checks(self) -> Ints:
        """The codes of §5.2 that concern a claim apart from its bills, as bits."""
        facts, day = self.facts, self.day
        inpatient = self.kind == KINDS.index("inpatient")
        unclear = (day == 0) | (inpatient & (self.discharge == 0)) | (facts.accident & (self.accident_day == 0))
        unclear |= (self.admission > 0) & (self.discharge > 0) & (self.discharge < self.admission)
        unclear |= (day > 0) & ((day > facts.claimed_on) | (self.accident_day > day) | (self.found_day > day))
        codes: Ints = unclear * np.int64(REFER_BIT["dates_unclear"])
        codes[facts.diagnosis.at < 0] |= REFER_BIT["diagnosis_missing"]
        odd = np.array([*(not is_icd(text) for text in facts.diagnosis.texts), False], np.bool_)
        codes[odd[facts.diagnosis.at]] |= REFER_BIT["unknown_code"]
        of, secondary = facts.secondary
        if len(of):
            odd = np.array([*(not is_icd(text) for text in secondary.texts), False], np.bool_)
            codes[of[odd[secondary.at]]] |= REFER_BIT["unknown_code"]
        reads_hospital = np.array([opening.reads_hospital for opening in self.openings], np.bool_)
        codes[reads_hospital[self.opening] & ~facts.hospital.complete] |= REFER_BIT["hospital_unknown"]
        return codes


def _opening(product: Product, kind: ClaimKind, accident: bool, treatment: str | None) -> Opening:
    triggered = tuple(
        benefit for benefit in product.benefits if IS_TRIGGERED[benefit.kind](benefit, kind, accident, treatment)
    )
    reads_bills = not BY_BILL.isdisjoint([benefit.kind for benefit in triggered])
    return Opening(
        product, kind, accident, triggered, reads_bills, bool(triggered) and kind in ("inpatient", "outpatient")
    )


def adult_from(birth: Days) -> Days:
    """The day from which a person born on a day is of age; 1 March for who is born on 29 February, in common years."""
    born = _EPOCH + (birth - _FIRST).astype("timedelta64[D]")
    month = born.astype("datetime64[M]")
    grown = (month + 12 * ADULT_AGE).astype("datetime64[D]") + (born - month.astype("datetime64[D]"))
    days: Days = (grown - _EPOCH).astype(np.int32) + np.int32(_FIRST)
    return days


def in_force(overlay: Overlay, occurrences: Occurrences, who: Bools) -> Bools:
    """For which of the claims in `who` an overlay's days, product, region and illness hold (§5.10)."""
    facts, day = occurrences.facts, occurrences.day
    holds = who & (overlay.first_day.toordinal() <= day) & (day <= overlay.last_day.toordinal())
    if overlay.products is not None:
        named = np.array([product.id in overlay.products for product in occurrences.products], np.bool_)
        holds &= named[occurrences.product]
    if overlay.regions is not None:
        regions = np.array([*(text.startswith(overlay.regions) for text in facts.region.texts), False], np.bool_)
        holds &= regions[facts.region.at]
    if overlay.icd is not None:
        illnesses = np.array(
            [*(text.startswith(overlay.icd) for text in facts.diagnosis.texts), "".startswith(overlay.icd)]
        )
        holds &= illnesses[facts.diagnosis.at]
    return holds

"""Rows of results as a batch makes them: of benefits and of lines in one benefit and policy year, with their cuts."""

from dataclasses import dataclass, field

import numpy as np

from safeweave.adjudication.reasons import ORDINARY_CUTS, CutReason
from safeweave.bulk.amounts import Bools, Ints
from safeweave.bulk.charges import Charges
from safeweave.bulk.facts import Codes
from safeweave.coverage.product import Benefit


@dataclass
class LineSheet:
    """The rows of one by-bill or overflow benefit, one column a claim; `cuts` in order of computation."""

    benefit: Benefit
    claims: Ints  # places in the batch
    years: Codes  # places of the policy years in the claims' covers, -1: none
    charges: Charges  # whose lines these are
    shown: Bools | None  # which lines have a row; None: all
    amounts: Ints
    cuts: list[tuple[CutReason, str, Ints]] = field(default_factory=list)
    paid: Ints = field(init=False)

    def cut(self, reason: CutReason, clause: str, parts: Ints) -> None:
        """Adds to the cuts of each line its part, unless all are 0."""
        if parts.any():
            self.cuts.append((reason, clause, parts))

    def taken(self, reason: CutReason, clause: str, where: Bools, amounts: Ints, parts: Ints | None = None) -> Ints:
        """The amounts after a cut of some lines: of these parts, or else (None) whole."""
        cut = np.where(where, amounts if parts is None else parts, 0)
        if not cut.any():
            return amounts
        self.cuts.append((reason, clause, cut))
        return amounts - cut

    def at(self, claims: Ints, years: Codes, charges: Charges, shown: Bools | None) -> "LineSheet":
        """The rows so far of some claims, and only of the lines that are shown."""

        def of(values: Ints) -> Ints:
            return values[:, claims] if shown is None else np.where(shown, values[:, claims], 0)

        part = LineSheet(self.benefit, self.claims[claims], years, charges, shown, of(self.amounts))
        for reason, clause, parts in self.cuts:
            part.cut(reason, clause, of(parts))
        return part

    def refusing(self) -> Bools:
        """Which claims have a cut for another reason than compensation and the insured's own share."""
        found = np.zeros(len(self.claims), np.bool_)
        for reason, _, parts in self.cuts:
            if reason not in ORDINARY_CUTS:
                found |= parts.any(axis=0)
        return found


@dataclass
class BenefitSheet:
    """One row a claim: what a benefit pays in one policy year. A cut is shown where its mask is true, also 0."""

    benefit: Benefit
    claims: Ints
    years: Codes
    payable: Ints
    lines: LineSheet | None = None  # of a benefit by bill
    days: Ints | None = None
    grades: list[str] = field(default_factory=list)  # lump sums: the grades, and for each claim which one
    grade: Codes | None = None
    cuts: list[tuple[CutReason, str, Ints, Bools]] = field(default_factory=list)

    def cut(self, reason: CutReason, clause: str, parts: Ints, shown: Bools) -> None:
        """Adds a cut to the claims where it is shown."""
        if shown.any():
            self.cuts.append((reason, clause, parts, shown))

    def refusing(self) -> Bools:
        """Which claims have a cut for another reason than compensation and the insured's own share."""
        found = np.zeros(len(self.claims), np.bool_) if self.lines is None else self.lines.refusing()
        for reason, _, _, shown in self.cuts:
            if reason not in ORDINARY_CUTS:
                found |= shown
        return found

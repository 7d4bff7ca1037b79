"""Which claims the columns can decide, in which round, and which of them in one batch."""

from collections.abc import Sequence
from datetime import date
from typing import Literal, get_args

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from safeweave.bulk.amounts import FITS, Bools, Ints
from safeweave.bulk.batch import Shape
from safeweave.bulk.facts import Codes, Facts, whole_of
from safeweave.bulk.occurrences import Occurrences, in_force
from safeweave.bulk.said import amounts_said
from safeweave.coverage.product import BLOCK_KINDS, Product, TermsInForce
from safeweave.facts import Overlay

How = Literal["columns", "history", "stays", "turns", "large", "few", "stands", "kept"]
HOW: tuple[How, ...] = get_args(How)
"""How a claim is decided: in columns; by the plain engine, because it knows of other claims (`history`), because its
days meet those of other stays (`stays`), because it shares its bills with more than one other policy or with one that
is not decided in columns (`turns`), because its numbers do not fit (`large`), or because too few claims have its shape
to be worth a batch (`few`); or not again, because a person said its amounts (`stands`), or because it was decided
before or after the days that are asked about (`kept`)."""

KNOWING: tuple[How, ...] = ("history", "stays", "turns", "stands")
"""These claims read what others of the person left behind, or leave behind what only the plain engine can enter."""

MOST_BILLS = 12
MOST_DAYS = 100_000  # of a line, a stay, a leave
MOST_OVERLAYS = 30
LARGEST = 1_000_000_000_000  # of a product's figures: fen, days, times, basis points
LARGEST_DAILY = 1_000_000_000  # fen
NEVER = -10_000_000  # days


def how_to_decide(occurrences: Occurrences, replaces_by_case: bool) -> npt.NDArray[np.int8]:
    """For each claim its place in HOW, as far as the facts tell."""
    facts = occurrences.facts
    how = np.zeros(facts.count, np.int8)
    how[_too_large(occurrences)] = HOW.index("large")
    how[_said_beside_others(occurrences)] = HOW.index("turns")
    how[_meeting_stays(occurrences)] = HOW.index("stays")
    how[_knowing_others(facts, replaces_by_case)] = HOW.index("history")
    shared, turn = sharing_bills(occurrences), facts.turn
    if shared.any():
        sharers = np.bincount(turn[shared], minlength=int(turn.max()) + 1)
        in_columns = np.bincount(turn[shared & (how == 0)], minlength=len(sharers))
        odd = (sharers > 2) | (in_columns < sharers)
        bills, of_turn = np.diff(facts.bill_starts), np.zeros(len(sharers), np.int64)
        np.add.at(of_turn, turn[shared], bills[shared])
        odd[turn[shared & (bills * sharers[turn] != of_turn[turn])]] = True
        how[shared & (how == 0) & odd[turn]] = HOW.index("turns")
    how[amounts_said(occurrences)] = HOW.index("stands")
    return how


def sharing_bills(occurrences: Occurrences) -> Bools:
    """Claims of which another policy of the person decides the same bills in the same turn, by the rules alone."""
    reads: Bools = _reading_bills(occurrences) & (occurrences.facts.verdict.mapped({"": 0}, 1) == 0)
    reads &= _in_turn(occurrences.facts, reads) > 1
    return reads


def _said_beside_others(occurrences: Occurrences) -> Bools:
    """Claims a person decided together with those of another policy that pays by the bill: on what that one leaves."""
    reads = _reading_bills(occurrences)
    said: Bools = reads & (occurrences.facts.verdict.mapped({"": 0}, 1) == 1)
    if said.any():
        said &= _in_turn(occurrences.facts, reads) > 1
    return said


def _reading_bills(occurrences: Occurrences) -> Bools:
    """Claims that a benefit which pays by the bill is opened for."""
    reads: Bools = np.array([opening.reads_bills for opening in occurrences.openings], np.bool_)[occurrences.opening]
    return reads


def _in_turn(facts: Facts, some: Bools) -> Ints:
    """For each claim how many of some claims are decided in its turn."""
    return np.bincount(facts.turn[some], minlength=int(facts.turn.max(initial=-1)) + 1)[facts.turn]


def _too_large(occurrences: Occurrences) -> Bools:
    """Claims with so many bills, or so large numbers, that the columns could not hold what is computed of them."""
    facts = occurrences.facts
    bills = np.diff(facts.bill_starts)
    fits = np.array([_fits(product) for product in occurrences.products], np.bool_)
    found = ~fits[occurrences.product] | (bills > MOST_BILLS) | (occurrences.stay_days > MOST_DAYS)
    found |= (np.abs(facts.leave_days) > MOST_DAYS) | (np.abs(facts.icu_days) > MOST_DAYS)
    found |= np.array([len(overlays) > MOST_OVERLAYS for overlays in facts.overlays], np.bool_)[facts.overlay.at]
    claim_of_bill = np.repeat(np.arange(facts.count), bills)
    of_bills = [facts.total, *(paid.values for paid in facts.funds)]
    _note_large(found, claim_of_bill, of_bills, FITS)
    others = np.repeat(claim_of_bill, np.diff(facts.other_starts))
    _note_large(found, others, [facts.other_amount], FITS)
    claim_of_line = np.repeat(np.arange(facts.count), np.diff(facts.line_starts))
    of_lines = [facts.amount, *(part.values for part in (*facts.parts, facts.social_paid))]
    _note_large(found, claim_of_line, of_lines, FITS)
    _note_large(found, claim_of_line, [facts.days.values], MOST_DAYS)
    return found


def _fits(product: Product) -> bool:
    """Whether all figures of a product are small enough to be multiplied with what claims have."""

    def largest(value: object) -> int:
        if isinstance(value, int):
            return value
        if isinstance(value, msgspec.Struct):
            return max((largest(getattr(value, name)) for name in value.__struct_fields__), default=0)
        return max(map(largest, value), default=0) if isinstance(value, tuple) else 0

    return all(
        largest(block) <= LARGEST and getattr(block, "daily", 0) * getattr(block, "icu_times", 1) <= LARGEST_DAILY
        for kind in BLOCK_KINDS
        for block in product.blocks_of(kind)
    )


def _note_large(found: Bools, claims: Ints, columns: Sequence[Ints], most: int) -> None:
    """Notes the claims of which the sizes of a column may add up to more than `most`."""
    rows = np.bincount(claims, minlength=1).max(initial=1)
    for column in columns:
        if len(column) and max(int(column.max()), -int(column.min())) * int(rows) > most:
            sizes = np.minimum(np.abs(np.maximum(column, -most - 1)), most + 1)
            sums = np.zeros(len(found), np.int64)
            np.add.at(sums, claims, sizes)
            found |= sums > most


def _meeting_stays(occurrences: Occurrences) -> Bools:
    """Claims that open an allowance and whose days meet, or may be one stay with, those of an earlier one (§6)."""
    facts = occurrences.facts
    allowances = np.array(
        [any(benefit.kind == "allowance" for benefit in opening.triggered) for opening in occurrences.openings],
        np.bool_,
    )
    opens = allowances[occurrences.opening] & (occurrences.stay_days > 0)
    found = np.zeros(facts.count, np.bool_)
    merge_days = [_merge_days(product) for product in occurrences.products]
    several = np.bincount(facts.chain[opens], minlength=1) > 1
    stays: dict[int, list[tuple[int, int, int, str]]] = {}  # by chain: first day, end, discharge, illness
    (later,) = np.nonzero(opens & several[np.minimum(facts.chain, len(several) - 1)])
    for place in later.tolist():
        admission, discharge = int(occurrences.admission[place]), int(occurrences.discharge[place])
        end = max(admission + 1, discharge)
        illness = facts.diagnosis.texts[facts.diagnosis.at[place]][:3] if facts.diagnosis.at[place] >= 0 else ""
        apart = merge_days[occurrences.product[place]]
        before = stays.setdefault(int(facts.chain[place]), [])
        found[place] = any(
            (first < end and admission < until)
            or (illness == ill and first <= admission and admission - discharged <= apart)
            for first, until, discharged, ill in before
        )
        before.append((admission, end, discharge, illness))
    return found


def _merge_days(product: Product) -> int:
    """The most days between two stays that an allowance of the product takes for one; NEVER if it takes none."""
    found = [getattr(block, "merge_days", None) for block in product.blocks_of("allowance")]
    return max((days for days in found if days is not None), default=NEVER)


def _knowing_others(facts: Facts, replaces_by_case: bool) -> Bools:
    """Claims that name another claim or bill, or share a bill (or the case) with an earlier claim of their chain."""
    claims, bills = facts.tables["claims"], facts.tables["bills"]
    found = _is_valid(claims["supersedes"])
    claim_of_bill = np.repeat(np.arange(facts.count), np.diff(facts.bill_starts))
    found[claim_of_bill[_is_valid(bills["replaces_code"])]] = True
    is_alone = np.bincount(facts.chain, minlength=1)[facts.chain] == 1
    (some,) = np.nonzero(~is_alone[claim_of_bill] | (np.diff(facts.bill_starts)[claim_of_bill] > 1))
    keys = pc.binary_join_element_wise(bills["code"].take(some), bills["number"].take(some), "-")
    _note_repeated(found, claim_of_bill[some], facts.chain, keys)
    if replaces_by_case:
        (some,) = np.nonzero(~is_alone)
        _note_repeated(found, some, facts.chain, claims["case"].take(some))
    return found


def _note_repeated(found: Bools, claims: Ints, chain: Codes, texts: pa.ChunkedArray) -> None:
    """Notes the claims with a text that their chain had before, or that they have twice."""
    if not len(claims):
        return
    number = whole_of(texts).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    key = chain[claims].astype(np.int64) << 32 | number
    order = np.argsort(key, kind="stable")
    found[claims[order[1:][key[order[1:]] == key[order[:-1]]]]] = True


def _is_valid(column: pa.ChunkedArray) -> Bools:
    found: Bools = whole_of(column).is_valid().to_numpy(zero_copy_only=False)
    return found.copy()


# ---------------------------------------------------------------- rounds


def rounds(occurrences: Occurrences, how: npt.NDArray[np.int8]) -> Codes:
    """For each claim the round in which it is decided; the claims of one turn are decided in the same.

    Claims of a person whose products count nothing from claim to claim need not wait for one another.
    """
    facts = occurrences.facts
    first = np.searchsorted(facts.person, facts.person)
    counts = np.array([_counts_usage(product) for product in occurrences.products], np.bool_)[occurrences.product]
    waits = np.zeros(int(facts.person.max(initial=-1)) + 1, np.bool_)
    waits[facts.person[counts | (how != 0)]] = True
    return np.where(waits[facts.person], facts.turn - facts.turn[first], 0).astype(np.int32)


def _counts_usage(product: Product) -> bool:
    """Whether anything of a product counts from claim to claim."""
    counted = [block for kind in ("deductible", "limit") for block in product.blocks_of(kind)]
    return any(getattr(block, "basis", "year") != "claim" for block in counted) or any(
        benefit.kind in ("allowance", "lump_sum") for benefit in product.benefits
    )


# ---------------------------------------------------------------- shapes


class Shapes:
    """The shape of each claim: `of` says which of `shapes` it is."""

    def __init__(self, occurrences: Occurrences) -> None:
        facts = occurrences.facts
        self._occurrences = occurrences
        self.lines, self.bills = np.diff(facts.line_starts), np.diff(facts.bill_starts)
        reads = np.array([opening.reads_bills for opening in occurrences.openings], np.bool_)[occurrences.opening]
        self.lines, self.bills = np.where(reads, _rounded_up(self.lines), 0), np.where(reads, self.bills, 0)
        accidents = np.array(
            [any(b.kind == "accident" for b in opening.triggered) for opening in occurrences.openings], np.bool_
        )
        terms, self._terms = self._terms_on(occurrences.place)
        accident_place = np.where(accidents[occurrences.opening], occurrences.accident_place, -1)
        accident_terms, self._accident_terms = self._terms_on(accident_place)
        overlays, self._overlays = self._overlays_in_force()
        refunds = np.zeros(facts.count, np.bool_)
        if facts.refund_of.given is None or facts.refund_of.given.any():
            claim_of_line = np.repeat(np.arange(facts.count), np.diff(facts.line_starts))
            refunds[claim_of_line if facts.refund_of.given is None else claim_of_line[facts.refund_of.given]] = True
        parts = (occurrences.opening, terms, accident_terms, overlays, self.lines, self.bills, refunds)
        key = np.zeros(facts.count, np.int64)
        for part in parts:
            key = key * (int(part.max(initial=0)) + 1) + part
        _, first, self.of = np.unique(key, return_index=True, return_inverse=True)
        self.shapes = [self._shape(*(int(part[at]) for part in parts)) for at in first.tolist()]

    def _shape(
        self, opening: int, terms: int, accident_terms: int, overlays: int, lines: int, bills: int, refunds: int
    ) -> Shape:
        found = self._occurrences.openings[opening]
        return Shape(
            found.product, found, self._terms[terms], self._accident_terms[accident_terms], self._overlays[overlays],
            lines, bills, bool(refunds),
        )  # fmt: skip

    def _terms_on(self, places: Codes) -> tuple[Codes, list[TermsInForce | None]]:
        """For each claim which of the terms are in force in a policy year of its cover; the first are none."""
        occurrences, facts = self._occurrences, self._occurrences.facts
        first_day = np.where(places >= 0, facts.periods.first_day[facts.cover.at, places], 0)
        key = occurrences.product.astype(np.int64) << 22 | first_day
        different, number = np.unique(key, return_inverse=True)
        found: list[TermsInForce | None] = [None]
        numbers: dict[int, int] = {}
        for at in different.tolist():
            if at & (1 << 22) - 1:
                terms = occurrences.products[at >> 22].terms_on(date.fromordinal(at & (1 << 22) - 1))
                if id(terms) not in numbers:
                    numbers[id(terms)] = len(found)
                    found.append(terms)
        of_key = [
            numbers[id(occurrences.products[at >> 22].terms_on(date.fromordinal(at & (1 << 22) - 1)))]
            if at & (1 << 22) - 1
            else 0
            for at in different.tolist()
        ]
        return np.array(of_key, np.int32)[number], found

    def _overlays_in_force(self) -> tuple[Codes, list[tuple[Overlay, ...]]]:
        """For each claim which of the sets of relaxations is in force for it; the first is none."""
        occurrences, facts = self._occurrences, self._occurrences.facts
        key = np.zeros(facts.count, np.int64)
        for number, overlays in enumerate(facts.overlays):
            who = facts.overlay.at == number
            for bit, overlay in enumerate(overlays[:MOST_OVERLAYS]):
                key[in_force(overlay, occurrences, who)] |= (number << MOST_OVERLAYS) | (1 << bit)
        different, place = np.unique(key, return_inverse=True)
        found = [
            tuple(o for bit, o in enumerate(facts.overlays[at >> MOST_OVERLAYS][:MOST_OVERLAYS]) if at >> bit & 1)
            if at
            else ()
            for at in different.tolist()
        ]
        return place.astype(np.int32), found


def _rounded_up(lines: Ints) -> Ints:
    """So many lines, or a few more where there are many, so that claims of about the same number share a batch."""
    step = np.where(lines > 64, 16, np.where(lines > 24, 4, 1))
    return -(-lines // step) * step

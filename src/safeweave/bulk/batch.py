"""A batch: claims that the same terms decide in the same way, with everything about them that several rules read."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from safeweave.bulk.amounts import Bools, Ints
from safeweave.bulk.facts import Codes, Days, Words
from safeweave.bulk.occurrences import Occurrences, Opening
from safeweave.coverage.product import Benefit, Product, TermsInForce
from safeweave.facts import ClaimKind, Overlay


class Shape(NamedTuple):
    """What all claims of a batch have in common."""

    product: Product
    opening: Opening
    terms: TermsInForce | None  # of the policy year that holds the claim day; None: no year does
    accident_terms: TermsInForce | None  # of the one that holds the accident day
    overlays: tuple[Overlay, ...]  # in force
    lines: int  # at most
    bills: int  # at most
    refunds: bool

    @property
    def kind(self) -> ClaimKind:
        """The kind of the claims."""
        return self.opening.kind

    @property
    def accident(self) -> bool:
        """Whether the claims are of accidents."""
        return self.opening.accident


class Lookups:
    """Answers about the different texts of columns, remembered: a part has few different texts and many rows."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, object], npt.NDArray[Any]] = {}

    def starting_with(self, words: Words, prefixes: tuple[str, ...]) -> Bools:
        """For each different text, and last for none, whether it starts with one of the prefixes."""
        return self._of(words, prefixes, lambda text: text.startswith(prefixes), np.bool_)

    def among(self, words: Words, wanted: frozenset[str]) -> Bools:
        """For each different text, and last for none, whether it is one of these."""
        return self._of(words, wanted, lambda text: text in wanted, np.bool_, none=False)

    def numbers(self, words: Words, key: object, number: Callable[[str], int]) -> Ints:
        """For each different text, and last for none (as ""), its number; `key` names the numbering."""
        return self._of(words, key, number, np.int64)

    def _of(
        self, words: Words, key: object, answer: Callable[[str], int], kind: type, none: object = None
    ) -> npt.NDArray[Any]:
        found = self._known.get((id(words), key))
        if found is None:
            last = answer("") if none is None else none
            found = self._known[id(words), key] = np.array([*map(answer, words.texts), last], kind)
        return found


class Batch:
    """The claims `who` of one shape; arrays have one entry a claim."""

    def __init__(self, occurrences: Occurrences, lookups: Lookups, shape: Shape, who: Ints) -> None:
        facts = occurrences.facts
        self.facts, self.lookups, self.shape, self.who = facts, lookups, shape, who
        self.everyone = np.arange(len(who))
        self.covers: Codes = facts.cover.at[who]
        self.day, self.claimed_on = occurrences.day[who], facts.claimed_on[who]
        self.admission, self.discharge = occurrences.admission[who], occurrences.discharge[who]
        self.accident_day, self.found_day = occurrences.accident_day[who], occurrences.found_day[who]
        self.stay_days = occurrences.stay_days[who].astype(np.int64)
        self.place, self.accident_place = occurrences.place[who], occurrences.accident_place[who]
        self.diagnosis: Codes = facts.diagnosis.at[who]
        self.enrolled, self.emergency = facts.enrolled[who], facts.emergency[who]
        self.level, self.public = facts.hospital.level[who], facts.hospital.public[who]
        self.hospital: Codes = facts.hospital.ids.at[who]

    @property
    def count(self) -> int:
        """How many claims there are."""
        return len(self.who)

    def event(self, benefit: Benefit) -> tuple[Days, Codes, TermsInForce | None]:
        """For a benefit the event days, the places of the policy years that hold them, and these years' terms."""
        if benefit.kind == "accident":
            return self.accident_day, self.accident_place, self.shape.accident_terms
        return self.day, self.place, self.shape.terms

    def years(self, places: Codes, claims: npt.NDArray[np.int64] | None = None) -> tuple[Days, Days, Days]:
        """First day, last day and `since` of policy years of the claims (None: of all)."""
        periods, covers = self.facts.periods, self.covers if claims is None else self.covers[claims]
        return periods.first_day[covers, places], periods.last_day[covers, places], periods.since[covers, places]

    def has_illness(self, prefixes: tuple[str, ...]) -> Bools:
        """Which main diagnoses start with one of the prefixes."""
        return self.lookups.starting_with(self.facts.diagnosis, prefixes)[self.diagnosis]

    def has_secondary_only(self, prefixes: tuple[str, ...]) -> Bools:
        """Where a secondary diagnosis starts with one of the prefixes and the main one does not."""
        of, words = self.facts.secondary
        if not len(of):
            return np.zeros(self.count, np.bool_)
        found = np.zeros(self.facts.count, np.bool_)
        found[of[self.lookups.starting_with(words, prefixes)[words.at]]] = True
        return found[self.who] & ~self.has_illness(prefixes)

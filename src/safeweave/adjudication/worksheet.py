"""The lines of one benefit and policy year while rule after rule takes from them (FORMAT.md §5.5 to §5.7)."""

from collections.abc import Iterable, Sequence

from safeweave.adjudication.bills import Charges
from safeweave.adjudication.determination import Cut, cut_of
from safeweave.adjudication.reasons import CutReason


class Worksheet:
    """What is left of each line, and the cuts that lead there."""

    __slots__ = ("charges", "cuts", "left", "places")

    def __init__(self, charges: Charges, places: Sequence[int], amounts: Iterable[int]) -> None:
        self.charges = charges  # of these lines
        self.places = places  # where they stand among all lines of the claim
        self.left = list(amounts)
        self.cuts: list[list[Cut]] = [[] for _ in self.left]

    def at(self, places: Sequence[int]) -> "Worksheet":
        """The lines at these places by themselves; itself if that is all of them."""
        if len(places) == len(self.left):
            return self
        part = Worksheet(self.charges.at(places), places, [self.left[place] for place in places])
        part.cuts = [self.cuts[place] for place in places]
        return part

    def take(self, reason: CutReason, clause: str, parts: Iterable[int]) -> int:
        """Takes its part from each line, but no more than is left of it. What was taken of all."""
        left, cuts, taken = self.left, self.cuts, 0
        for place, part in enumerate(parts):
            rest = left[place]
            if part > rest:
                part = rest
            if part:
                left[place] = rest - part
                cuts[place].append(cut_of(reason, part, clause))
                taken += part
        return taken

    def take_whole(self, reason: CutReason, clause: str, places: Iterable[int]) -> None:
        """Takes all that is left of the lines at these places."""
        for place in places:
            if self.left[place]:
                self.cuts[place].append(cut_of(reason, self.left[place], clause))
                self.left[place] = 0

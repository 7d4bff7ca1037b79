"""Relaxations in force for a claim, and what they lift for each benefit (FORMAT.md §5.10)."""

from collections.abc import Iterable

from safeweave.adjudication.occurrence import Occurrence
from safeweave.facts import Overlay

Lifts = dict[str, frozenset[str]]  # by benefit id

NOTHING: frozenset[str] = frozenset()


def overlays_in_force(occurrence: Occurrence, overlays: Iterable[Overlay]) -> list[Overlay]:
    """The overlays whose days, product, region and illness hold for a claim. An unknown region is in none."""
    hospital = occurrence.claim.hospital
    region = hospital.region if hospital is not None else None
    return [
        overlay
        for overlay in overlays
        if overlay.first_day.toordinal() <= occurrence.day <= overlay.last_day.toordinal()
        and (overlay.products is None or occurrence.product.id in overlay.products)
        and (overlay.regions is None or (region is not None and region.startswith(overlay.regions)))
        and (overlay.icd is None or occurrence.diagnosis.startswith(overlay.icd))
    ]


def lifts_of(occurrence: Occurrence, overlays: Iterable[Overlay]) -> Lifts:
    """What overlays in force remove from each benefit; the product itself is never edited."""
    lifts: Lifts = {}
    for overlay in overlays:
        for benefit in occurrence.product.benefits:
            if overlay.benefits is None or benefit.id in overlay.benefits:
                lifts[benefit.id] = lifts.get(benefit.id, NOTHING) | set(overlay.lifts)
    return lifts

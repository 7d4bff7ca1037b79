"""One line of a bill: its amount, and what its extensions say of class, scope and ward."""

from safeweave.errors import Malformed
from safeweave.exchange.formats.fhir import resources as fhir
from safeweave.exchange.formats.fhir.found import Found, by_url, code_of, first_code, name_of, place
from safeweave.exchange.formats.fhir.profile import (
    CATALOGUE_CLASS,
    CHARGE_CATEGORY,
    DAYS,
    REFUND_OF,
    SOCIAL_PAID,
    SPLIT,
    TREATMENT,
    WARD,
    WARDS,
)
from safeweave.exchange.formats.values import BED, category_of, day_in, whole_in
from safeweave.facts import Line, Split
from safeweave.money import Fen

_SPLIT_PARTS = tuple((name, f"extension.split.{name}") for name in ("own", "over", "first", "within"))


def line_of(item: fhir.Item, amount: Fen, path: str, found: Found) -> Line:
    """The line that an item with this amount is."""
    sender, extensions = found.sender, by_url(item.extension)
    told = first_code(item.category, "charge-category") or code_of(extensions.get(CHARGE_CATEGORY))
    category = category_of(told, "", sender, found.notes)
    days = extensions.get(DAYS)
    bed_days = days.valueInteger if days else None
    if bed_days is None and category == BED and told and item.quantity and item.quantity.value is not None:
        bed_days = whole_in(item.quantity.value)
    ward = code_of(extensions.get(WARD))
    if ward and ward not in WARDS:
        found.note(f'ward "{ward[:20]}" is not known')
    refund, paid = extensions.get(REFUND_OF), extensions.get(SOCIAL_PAID)
    on = item.servicedDate or (item.servicedPeriod.start if item.servicedPeriod else "")
    return Line(
        no=item.sequence,
        category=category,
        catalogue_class=code_of(extensions.get(CATALOGUE_CLASS)) or sender.class_default or "",
        amount=amount,
        code=first_code(item.productOrService) or None,
        treatment=code_of(extensions.get(TREATMENT)) or None,
        ward=ward if ward in WARDS else "ordinary",  # type: ignore[arg-type]
        days=bed_days,
        on=day_in(on, f"{path}.servicedDate") if on else None,
        split=_split(extensions.get(SPLIT), path, found),
        social_paid=found.fen(paid.valueMoney, path, "extension.social-paid.valueMoney") if paid else None,
        refund_of=refund.valueInteger if refund else None,
        name=name_of(item.productOrService),
    )


def _split(told: fhir.Extension | None, path: str, found: Found) -> Split | None:
    if told is None:
        return None
    parts = by_url(told.extension)
    amounts: list[Fen] = []
    for name, field in _SPLIT_PARTS:
        part = parts.get(name)
        amount = found.fen(part.valueMoney, path, f"{field}.valueMoney") if part else None
        if amount is None:
            raise Malformed("missing; a split has all four parts", field=f"{path}.{field}")
        amounts.append(amount)
    return Split(*amounts)


def check_numbers(lines: list[Line], path: str) -> None:
    """Malformed if two lines have the same number."""
    if len({line.no for line in lines}) < len(lines):
        raise Malformed("two lines have one number; give each its own sequence", field=place(path, "item.sequence"))

"""The resources of one message, who is who among them, and small readers of what they hold."""

from datetime import datetime
from typing import Any, Literal, TypeVar

from safeweave.errors import Malformed
from safeweave.events import Diagnosis
from safeweave.exchange.formats.fhir import resources as fhir
from safeweave.exchange.formats.reading import Sender
from safeweave.exchange.formats.values import check_currency, fen_in, is_icd_10, note
from safeweave.money import Fen

R = TypeVar("R", bound=fhir.Resource)
Role = Literal["A", "W", "F", ""]  # of a diagnosis


class Found:
    """The resources of one message by kind, each with its path, and by what references call them."""

    def __init__(self, sender: Sender, sent_at: datetime | None) -> None:
        self.sender, self.sent_at = sender, sent_at
        self.notes: dict[str, int] = {}
        self._by_url: dict[str, fhir.Resource] = {}
        self._by_kind: dict[str, list[tuple[str, Any]]] = {}

    def add(self, path: str, full_url: str, resource: fhir.Resource) -> None:
        """Keep a resource under its `fullUrl` and its type/id; of two with the same, the later counts."""
        kind = type(resource).__name__
        self._by_kind.setdefault(kind, []).append((path, resource))
        if full_url:
            self._by_url[full_url] = resource
        if resource.id:
            self._by_url[f"{kind}/{resource.id}"] = resource

    def all(self, kind: type[R]) -> list[tuple[str, R]]:
        """The resources of a kind with their paths, in the order of the message."""
        return self._by_kind.get(kind.__name__, [])

    def resolve(self, reference: fhir.Reference | None, wanted: type[R]) -> R | None:
        """The resource a reference means, None if it is not in this message."""
        if reference is None or not reference.reference:
            return None
        url = reference.reference.partition("/_history/")[0]
        found = self._by_url.get(url)
        if found is None and url.startswith(("http:", "https:")):
            found = self._by_url.get("/".join(url.split("/")[-2:]))
        return found if isinstance(found, wanted) else None

    def fen(self, money: fhir.Money | None, path: str, field: str, *, rounded: bool = False) -> Fen | None:
        """The amount that stands in a field below a path; None if there is none."""
        if money is None or money.value is None:
            return None
        try:
            if money.currency != self.sender.currency:
                check_currency(money.currency, self.sender, "currency")
            return fen_in(money.value, "value", rounded=rounded)
        except Malformed as wrong:
            raise Malformed(wrong.what, field=place(path, f"{field}.{wrong.field}")) from None

    def note(self, what: str) -> None:
        """Count one thing that was kept but not understood."""
        note(self.notes, what)


# ---------------------------------------------------------------- small readers


def place(path: str, field: str) -> str:
    """The name of a field below a path; a single resource has none."""
    return f"{path}.{field}" if path else field


def by_url(extensions: list[fhir.Extension]) -> dict[str, fhir.Extension]:
    """The extensions by their url; the first of several with the same one."""
    return {extension.url: extension for extension in reversed(extensions)}


def code_of(extension: fhir.Extension | None) -> str:
    """The code, else the text of an extension; "" without one."""
    return (extension.valueCode or extension.valueString or "").strip() if extension else ""


def first_code(concept: fhir.Concept | None, system_end: str = "") -> str:
    """The first code of a system whose name ends so; "" without one."""
    if concept is not None:
        for coding in concept.coding:
            if coding.code and coding.system.endswith(system_end):
                return coding.code
    return ""


def name_of(concept: fhir.Concept | None) -> str:
    """The text of a concept, else the first display of its codings; "" without one."""
    if concept is None:
        return ""
    return concept.text or next((c.display for c in concept.coding if c.display), "")


def diagnosis_of(concept: fhir.Concept | None, role: Role, main: bool, found: Found) -> Diagnosis | None:
    """The diagnosis of a concept: its first ICD-10 code, else its first code; None without one."""
    codings = [c for c in concept.coding if c.code] if concept else []
    if not codings:
        if concept is not None:
            found.note("diagnoses without a code")
        return None
    coding = next((c for c in codings if is_icd_10(c.system)), codings[0])
    return Diagnosis(coding.code, coding.display or (concept.text if concept else ""), role, main, coding.system)

"""A person of the register, how a file describes one, and whether a hospital's description is that person. All pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Literal, NamedTuple

from safeweave.errors import Malformed
from safeweave.events import PersonSeen
from safeweave.facts import Fact, Sex
from safeweave.ids import PersonId
from safeweave.people.identity import (
    CITIZEN_KINDS,
    PERSONAL_KINDS,
    Document,
    check,
    is_citizen,
    known_kind,
    matches_masked,
    name_key,
    normalised,
)

OF_AGE = 18  # 民法典 17


class Held(Fact, frozen=True):
    """An identity document somebody holds or held; `number` is normalised."""

    kind: str
    number: str
    country: str = ""
    last_day: date | None = None


class Name(Fact, frozen=True):
    """A name as written; `last_day` is None for the present one."""

    name: str
    last_day: date | None = None


class Guardianship(Fact, frozen=True):
    """Somebody may act for a ward in these days (both included); `proof` says what shows it.

    Without `last_day` it lasts until the ward is of age.
    """

    ward: PersonId
    guardian: PersonId
    proof: str
    first_day: date
    last_day: date | None = None

    def holds_on(self, day: date) -> bool:
        """Whether the guardian may act on that day."""
        return self.first_day <= day and (self.last_day is None or day <= self.last_day)


class Particulars(Fact, frozen=True):
    """A person as an insurer's file describes them; documents are checked and normalised. What is empty is not known.

    `former_names` (曾用名) allow a known person to appear under a new name; without them a new name is refused.
    """

    name: str
    documents: tuple[Held, ...]
    birth: date | None = None
    sex: Sex | None = None
    died_on: date | None = None
    language: Literal["zh", "en", ""] = ""
    phone: str = ""
    email: str = ""
    wechat: str = ""
    former_names: tuple[Name, ...] = ()


class Person(Fact, frozen=True):
    """A person, or an organisation that holds policies (then without birth and sex)."""

    id: PersonId
    names: tuple[Name, ...]
    documents: tuple[Held, ...]
    birth: date | None = None
    sex: Sex | None = None
    died_on: date | None = None
    language: Literal["zh", "en"] = "zh"
    phone: str = ""
    email: str = ""
    wechat: str = ""
    former_ids: tuple[PersonId, ...] = ()
    guardianships: tuple[Guardianship, ...] = ()  # those in which this person is the ward

    @property
    def name(self) -> str:
        """The present name, as written."""
        return next((held.name for held in self.names if held.last_day is None), self.names[-1].name)

    @property
    def document(self) -> Held:
        """The document to show: the first that has not ended."""
        return next((held for held in self.documents if held.last_day is None), self.documents[-1])

    def guardian_on(self, day: date) -> PersonId | None:
        """Who may act for this person on that day, if anybody is on file."""
        return next((link.guardian for link in self.guardianships if link.holds_on(day)), None)


class Found(Fact, frozen=True):
    """Who a hospital's description is.

    `person` is set only when a person need not look. `doubtful` says that somebody of the register is probably or
    possibly meant (`candidates`) and why it is not sure (`reasons`); neither means: nobody of ours.
    """

    person: PersonId | None = None
    doubtful: bool = False
    reasons: tuple[str, ...] = ()  # keys of words/people.toml, below "found"
    candidates: tuple[PersonId, ...] = ()


NOBODY = Found()


def age_on(birth: date, day: date) -> int:
    """Full years on that day; who is born on 29 February has a birthday on 1 March in common years (FORMAT.md §1)."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def is_guardian(own: Collection[PersonId], ward: Person, day: date) -> bool:
    """Whether somebody with these ids may act for the ward on that day.

    A link without an end is over when the ward is of age, unless it began later (民法典 28, 33).
    """
    return any(
        link.guardian in own
        and link.holds_on(day)
        and (
            link.last_day is not None
            or ward.birth is None
            or age_on(ward.birth, day) < OF_AGE
            or age_on(ward.birth, link.first_day) >= OF_AGE
        )
        for link in ward.guardianships
    )


class Leads(NamedTuple):
    """Which persons each part of one description leads to; name and birth only count where nothing else leads."""

    by_document: frozenset[PersonId] = frozenset()
    by_policy: frozenset[PersonId] = frozenset()
    by_record: frozenset[PersonId] = frozenset()
    by_name_and_birth: frozenset[PersonId] = frozenset()


class Described(Fact, frozen=True):
    """A description as it is compared: its documents, numbers that are masked, and why others cannot be used."""

    name: str
    name_key: str  # "" without a name
    birth: date | None
    sex: Sex | None
    documents: tuple[Document, ...]
    hidden: tuple[str, ...]
    reasons: tuple[str, ...]


def described(seen: PersonSeen) -> Described:
    """What of a hospital's description a person of the register is compared with."""
    documents, hidden, reasons = [], [], []
    for identifier in seen.identifiers:
        kind = known_kind(identifier.kind)
        if kind is None or kind not in PERSONAL_KINDS:
            continue  # a medical-record, policy or local number
        if "*" in identifier.number or "＊" in identifier.number:
            hidden.append(identifier.number)
            continue
        try:
            documents.append(check(kind, identifier.number, identifier.issuer if kind == "passport" else ""))
        except Malformed:
            reasons.append("document_malformed")
    key = name_key(seen.name) if seen.name else ""
    return Described(seen.name, key, seen.birth, seen.sex, tuple(documents), tuple(hidden), tuple(reasons))


def particulars_of(seen: PersonSeen) -> Particulars | None:
    """The description as the register takes it; None without a name, or without an identity document that is sound."""
    what = described(seen)
    documents = tuple([Held(document.kind, document.number, document.country) for document in what.documents])
    if not documents or not seen.name or what.reasons:
        return None
    birth = seen.birth or next((document.birth for document in what.documents if document.birth), None)
    sex = seen.sex or next((document.sex for document in what.documents if document.sex), None)
    return Particulars(seen.name, documents, birth, sex)


def who(seen: Described, leads: Leads, known: Mapping[PersonId, Person]) -> Found:
    """Who is meant: by identity document first, then by policy number with name and birth, then by the number of the
    hospital's own records. Name and birth alone never suffice, and nothing that disagrees is overlooked.
    """
    documents, hidden, reasons = seen.documents, seen.hidden, seen.reasons
    if len(leads.by_document) > 1:
        return _doubt([*reasons, "documents_of_two_persons"], leads.by_document)
    for person in leads.by_document:
        conflicts = _conflicts(seen, known[person])
        conflicts += _document_conflicts(documents, hidden, known[person])
        if leads.by_record - {person}:
            conflicts.append("record_of_another_person")
        if not seen.name and seen.birth is None:
            conflicts.append("nothing_to_confirm")
        elif not _country_known(documents, known[person]) and (not seen.name or seen.birth is None):
            conflicts.append("passport_without_country")
        return _doubt(conflicts, {person}) if conflicts else Found(person)

    for lead, alone in ((leads.by_policy, "policy_of_another_person"), (leads.by_record, "record_of_two_persons")):
        agreeing = {person for person in lead if not _conflicts(seen, known[person])}
        if lead is leads.by_policy:
            agreeing = {person for person in agreeing if seen.name and seen.birth is not None}
        if len(agreeing) == 1:
            (person,) = agreeing
            differing = _document_conflicts(documents, hidden, known[person])
            return _doubt([*reasons, *differing], agreeing) if differing else Found(person, reasons=reasons)
        if lead:
            single = [_conflicts(seen, known[person]) for person in lead] if len(lead) == 1 else []
            return _doubt([*reasons, *(single[0] if single and single[0] else [alone])], agreeing or lead)

    possible = []
    for person in sorted(leads.by_name_and_birth):
        candidate = known[person]
        if "sex_differs" in _conflicts(seen, candidate):
            continue
        if any(_only_birth_hidden(shown, held, candidate) for shown in hidden for held in candidate.documents):
            possible.append((person, "whole_number"))
        elif difference := _document_conflicts(documents, hidden, candidate):
            if difference == ["document_nearly_the_same"]:
                possible.append((person, "document_nearly_the_same"))
        else:
            possible.append((person, "name_and_birth_only"))
    if len(possible) == 1 and possible[0][1] == "whole_number":
        return Found(possible[0][0], reasons=reasons)
    if possible:
        why = {"several_persons" if reason == "whole_number" else reason for _, reason in possible}
        return _doubt([*reasons, *sorted(why)], {person for person, _ in possible})
    return Found(reasons=reasons) if reasons else NOBODY


def _doubt(reasons: Sequence[str], candidates: Collection[PersonId]) -> Found:
    return Found(None, True, tuple(dict.fromkeys(reasons)), tuple(sorted(candidates)))


def _conflicts(seen: Described, candidate: Person) -> list[str]:
    conflicts = []
    same = (seen.name == held.name or seen.name_key == name_key(held.name) for held in candidate.names)
    if seen.name and not any(same):
        conflicts.append("name_differs")
    if seen.birth is not None and candidate.birth is not None and seen.birth != candidate.birth:
        conflicts.append("birth_differs")
    if seen.sex is not None and candidate.sex is not None and seen.sex != candidate.sex:
        conflicts.append("sex_differs")
    return conflicts


def _only_birth_hidden(shown: str, held: Held, candidate: Person) -> bool:
    """Whether the masked number hides nothing but the birth date, which agrees: then the whole number does."""
    plain = normalised(shown)
    if len(plain) != 18 or candidate.birth is None or "*" in plain[:6] + plain[14:]:
        return False
    return matches_masked(held.number, shown) and held.number[6:14] == candidate.birth.strftime("%Y%m%d")


def _country_known(documents: Sequence[Document], candidate: Person) -> bool:
    held = {(each.kind, each.number) for each in candidate.documents}
    return any(each.country for each in documents if (each.kind, each.number) in held or each.kind in CITIZEN_KINDS)


def _document_conflicts(documents: Sequence[Document], hidden: Sequence[str], candidate: Person) -> list[str]:
    """Why documents that lead nowhere speak against the candidate: a different number of a kind held only once."""
    held = [each.number for each in candidate.documents if is_citizen(each.kind, each.number)]
    given = [each.number for each in documents if is_citizen(each.kind, each.number)]
    if hidden and held and not any(matches_masked(number, shown) for number in held for shown in hidden):
        return ["document_differs"]
    if not held or not given or set(held) & set(given):
        return []
    nearly = any(sum(a != b for a, b in zip(x, y, strict=True)) <= 3 for x in held for y in given)
    return ["document_nearly_the_same" if nearly else "document_differs"]

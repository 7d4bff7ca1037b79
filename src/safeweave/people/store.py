"""The register of persons, as functions over a transaction.

The number of statements never grows with the batch. Ids of persons that were merged stay good: every function that
takes an id takes the old one too.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from safeweave import ids
from safeweave.clock import shanghai_day
from safeweave.database import Row, Transaction, at_text
from safeweave.errors import Conflict, NotFound
from safeweave.events import PersonSeen
from safeweave.facts import Fact, Sex
from safeweave.ids import PersonId
from safeweave.people.identity import PERSONAL_KINDS, is_citizen, lookup_of, name_key, normalised
from safeweave.people.person import (
    Described,
    Found,
    Guardianship,
    Held,
    Leads,
    Name,
    Particulars,
    Person,
    described,
    is_guardian,
    who,
)
from safeweave.words import Language

# ---------------------------------------------------------------- finding


def find_people(tx: Transaction, seen: Sequence[PersonSeen]) -> list[Found]:
    """Who each description is, in the same order, in two or three statements for the whole batch (see `person.who`).

    The persons who may be meant are then known to the transaction (`known_people`).
    """
    tx.flush(_ADD_ALIAS)
    wanted = [_wanted(each) for each in seen]
    led_to: _LedTo = {}
    for how, key, country, person in tx.rows(
        """
        select 'document', lookup, country, person from person_document where lookup in ?
        union all
        select kind || ':' || issuer, number, '', person from person_alias
         where (kind, issuer, number) in ?
        """,
        (
            sorted({lookup for each in wanted for lookup, _ in each.documents}),
            sorted({key for each in wanted for key in (*each.policies, *each.records)}),
        ),
    ):
        led_to.setdefault((how, key), []).append((person, country))
    leads = [_leads(each, led_to) for each in wanted]
    # Many may share a name and a birth date: they are asked for only where nothing else leads to anybody.
    births = {each.name_birth for each, lead in zip(wanted, leads, strict=True) if each.name_birth and not any(lead)}
    if births:
        named: dict[str, set[PersonId]] = {}
        for key, person in tx.rows(
            "select name_birth, person from person_name where name_birth in ?", (sorted(births),)
        ):
            named.setdefault(key, set()).add(person)
        leads = [
            lead if any(lead) else Leads(by_name_and_birth=frozenset(named.get(each.name_birth, ())))
            for each, lead in zip(wanted, leads, strict=True)
        ]
    known = known_people(tx, {person for lead in leads for persons in lead for person in persons})
    return [who(each.described, lead, known) for each, lead in zip(wanted, leads, strict=True)]


_LedTo = dict[tuple[str, str], list[tuple[PersonId, str]]]  # (how, key) to persons, each with the country it holds in


class _Wanted(Fact, frozen=True):
    """What of a description leads to persons of the register."""

    described: Described
    documents: tuple[tuple[str, str], ...]  # lookup, country
    policies: tuple[tuple[str, str, str], ...]
    records: tuple[tuple[str, str, str], ...]
    name_birth: str


def _wanted(seen: PersonSeen) -> _Wanted:
    compared = described(seen)
    return _Wanted(
        compared,
        tuple([(each.lookup, each.country) for each in compared.documents]),
        tuple([("policy", "", each.number.strip()) for each in seen.identifiers if each.kind == "policy"]),
        tuple([
            ("mr", each.issuer, each.number.strip()) for each in seen.identifiers if each.kind == "mr" and each.issuer
        ]),
        f"{compared.name_key}|{seen.birth}" if compared.name_key and seen.birth is not None else "",
    )  # fmt: skip


def _leads(wanted: _Wanted, led_to: _LedTo) -> Leads:
    by_document = [
        person
        for lookup, country in wanted.documents
        for person, of_country in led_to.get(("document", lookup), ())
        if not country or not of_country or country == of_country
    ]
    by_policy, by_record = (
        [person for kind, issuer, number in keys for person, _ in led_to.get((f"{kind}:{issuer}", number), ())]
        for keys in (wanted.policies, wanted.records)
    )
    return Leads(frozenset(by_document), frozenset(by_policy), frozenset(by_record))


def remember_medical_record(tx: Transaction, learnt: Sequence[tuple[str, str, PersonId]], now: datetime) -> None:
    """Keep that a sender's medical-record number leads to a person: (sender, number, person) each.

    A number that leads to two persons makes later descriptions doubtful, so a reused number never pays a stranger.
    """
    _add_aliases(tx, (("mr", sender, number.strip(), person) for sender, number, person in learnt), now)


def remember_policies(tx: Transaction, known: Sequence[tuple[str, PersonId]], now: datetime) -> None:
    """Keep that a policy number leads to its insured persons (policy number, person)."""
    _add_aliases(tx, (("policy", "", number, person) for number, person in known), now)


def _add_aliases(tx: Transaction, aliases: Iterable[tuple[str, str, str, PersonId]], now: datetime) -> None:
    at = at_text(now)
    tx.queue(
        _ADD_ALIAS,
        [(*alias, at) for alias in sorted(set(aliases))],  # in one order, so that two at once never wait for each other
    )


_ADD_ALIAS = (
    "insert into person_alias (kind, issuer, number, person, added_at) values (?, ?, ?, ?, ?)"
    " on conflict (kind, issuer, number, person) do nothing"
)


# ---------------------------------------------------------------- reading


def known_people(tx: Transaction, ids: Collection[PersonId]) -> dict[PersonId, Person]:
    """The persons by the ids asked for, as `people_by_id` gives them, each read once in a transaction."""
    missing = [person for person in ids if ("person", person) not in tx.memo]
    if missing:
        found = people_by_id(tx, missing)
        tx.memo.update({("person", person): found.get(person) for person in missing})
    return {person: known for person in ids if (known := tx.memo["person", person]) is not None}


def people_by_id(tx: Transaction, ids: Collection[PersonId]) -> dict[PersonId, Person]:
    """The persons by the ids asked for, an old id leading to who it was merged into; unknown ids are left out."""
    asked = sorted(set(ids))
    if not asked:
        return {}
    told: dict[str, dict[PersonId, list[Row]]] = {
        kind: {} for kind in ("head", "name", "document", "guardian", "former")
    }
    for kind, person, *rest in tx.rows(_PERSON, (asked,)):
        told[kind].setdefault(person, []).append(tuple(rest))

    def of(kind: str, person: PersonId, *order: int) -> Collection[Row]:
        rows = told[kind].get(person, ())
        if len(rows) < 2:
            return rows
        return sorted(dict.fromkeys(rows), key=lambda row: [(row[at] is None, row[at] or "") for at in order])

    def person_of(id: PersonId, birth: str, sex: Sex, died_on: str, language: Language, *contacts: str) -> Person:
        phone, email, wechat = contacts
        return Person(
            id,
            tuple([Name(name, _day_of(last_day)) for name, last_day, *_ in of("name", id, 1, 0)]),
            tuple([
                Held(kind, number, country, _day_of(last_day))
                for kind, number, country, last_day, *_ in of("document", id, 4, 5)
            ]),
            _day_of(birth),
            sex,
            _day_of(died_on),
            language,
            phone,
            email,
            wechat,
            tuple([PersonId(row[0]) for row in of("former", id, 0)]),
            tuple([
                Guardianship(id, guardian, proof, date.fromisoformat(first_day), _day_of(last_day))
                for guardian, proof, first_day, last_day, *_ in of("guardian", id, 2, 0)
            ]),
        )  # fmt: skip

    return {alias: person_of(*row) for alias, (row,) in told["head"].items()}


_PERSON = """
with asked as (select id, coalesce(merged_into, id) as person from person where id in ?)
select 'head', a.id, p.id, p.birth, p.sex, p.died_on, p.language, p.phone, p.email, p.wechat
  from asked a join person p on p.id = a.person
union all
select 'name', person, name, last_day, null, null, null, null, null, null
  from person_name where person in (select person from asked)
union all
select 'document', person, kind, number, country, last_day, cast(added_at as text), lookup, null, null
  from person_document where person in (select person from asked)
union all
select 'guardian', ward, guardian, proof, first_day, last_day, null, null, null, null
  from person_guardian where ward in (select person from asked)
union all
select 'former', merged_into, id, null, null, null, null, null, null, null
  from person where merged_into in (select person from asked)
"""


def guarded(
    persons: Mapping[PersonId, Person], on: date | None = None
) -> dict[PersonId, tuple[PersonId, date, Sex, bool]]:
    """For each id: the present id, birth, sex, and whether a guardian is on file on that day.

    Without a day only guardianships without an end count. Organisations are left out.
    """
    return {
        alias: (
            person.id,
            person.birth,
            person.sex,
            any(link.last_day is None if on is None else link.holds_on(on) for link in person.guardianships),
        )
        for alias, person in persons.items()
        if person.birth is not None and person.sex is not None
    }


def wards_of(tx: Transaction, guardian: PersonId, on: date) -> list[Person]:
    """Whom this person may act for on that day, by id; a link without an end is over when the ward is of age."""
    known = people_by_id(tx, [guardian])
    own = sorted({id for each in known.values() for id in (each.id, *each.former_ids)})
    linked = [ward for (ward,) in tx.rows("select distinct ward from person_guardian where guardian in ?", (own,))]
    found = {ward.id: ward for ward in people_by_id(tx, linked).values() if is_guardian(own, ward, on)}
    return [found[id] for id in sorted(found)]


def with_document(tx: Transaction, number: str) -> list[PersonId]:
    """Everybody who holds or held a document with this number, of whatever kind, by id."""
    plain = normalised(number)
    lookups = sorted({lookup_of(kind, plain) for kind in PERSONAL_KINDS})
    rows = tx.rows("select distinct person from person_document where lookup in ? order by person", (lookups,))
    return [person for (person,) in rows]


def named_like(tx: Transaction, name: str, most: int) -> list[PersonId]:
    """Those whose name, present or former, begins like this; at most so many, by name and id."""
    key = name_key(name)
    if not key:
        return []
    rows = tx.rows(
        "select distinct name_birth, person from person_name where name_birth >= ? and name_birth < ?"
        " order by name_birth, person limit ?",
        (key, key + chr(0x10FFFF), most),
    )
    return list(dict.fromkeys(person for _, person in rows))


def persons_at(tx: Transaction, address: str) -> list[Person]:
    """The living persons whose phone or e-mail this is, by id."""
    ids = [id for (id,) in tx.rows(
        "select id from person where phone = ? and merged_into is null"
        " union select id from person where email = ? and merged_into is null", (address, address)
    )] if address else []  # fmt: skip
    known = people_by_id(tx, ids)
    return [known[id] for id in sorted(known) if known[id].birth is not None and known[id].died_on is None]


def person_history(tx: Transaction, person: PersonId) -> list[tuple[str, str, str, str]]:
    """What changed about a person, oldest first: instant, field, what it was, what it became."""
    return tx.rows(
        "select c.at, c.field, c.was, c.became from person_change c "
        "where c.person in (select id from person where id = ? or merged_into = ?) order by c.at, c.field",
        (person, person),
    )


# ---------------------------------------------------------------- writing


class Saved(Fact, frozen=True):
    """What became of one description: the person, or the conflict (a key of words/people.toml, below "conflict")."""

    person: PersonId | None = None
    conflict: str = ""
    added: bool = False
    changed: bool = False


_CONTACTS = ("died_on", "language", "phone", "email", "wechat")


def save_people(tx: Transaction, described: Sequence[Particulars], now: datetime) -> list[Saved]:
    """Bring the register up to date with an insurer's descriptions, in order; the same description changes nothing.

    A person is known by any of the documents. Then new documents, names (with `former_names`) and contacts are added,
    each change kept; a description that disagrees about name, birth or sex, or whose documents belong to two persons,
    is a conflict and changes nothing.
    """
    registration = Registration(tx, described, now)
    registration.write(tx)
    return registration.saved


class Registration:
    """`save_people` in two steps: what would become of each description (`saved`), and writing it.

    `known` holds every person touched as they would then be.
    """

    def __init__(self, tx: Transaction, described: Sequence[Particulars], now: datetime) -> None:
        self.now = now
        lookups = sorted({lookup_of(held.kind, held.number) for each in described for held in each.documents})
        rows = tx.rows("select lookup, country, person from person_document where lookup in ?", (lookups,))
        self.by_document: dict[tuple[str, str], PersonId] = {}
        self.countries: dict[str, set[str]] = {}
        for lookup, country, person in rows:
            self._own((lookup, country), person)
        self.known = people_by_id(tx, {row[2] for row in rows})
        self.new_people: list[PersonId] = []
        self.names: list[tuple[PersonId, Name, date | None]] = []
        self.ended_names: list[tuple[str, PersonId, str]] = []
        self.documents: list[tuple[PersonId, Held]] = []
        self.ended_documents: list[tuple[str, str, str]] = []
        self.changes: list[tuple[PersonId, str, str, str]] = []
        self.saved = [self._save(each) for each in described]

    def _save(self, told: Particulars) -> Saved:
        keys = [_key_of(held) for held in told.documents]
        owners = {owner for key in keys for owner in self._owners(key)}
        if len(owners) > 1:
            return Saved(conflict="documents_of_two_persons")
        if not owners:
            return Saved(self._add(told, keys), added=True)
        person = self.known[owners.pop()]
        if told.birth is not None and person.birth is not None and told.birth != person.birth:
            return Saved(person.id, "birth_differs")
        if told.sex is not None and person.sex is not None and told.sex != person.sex:
            return Saved(person.id, "sex_differs")
        known_keys = {name_key(name.name) for name in person.names}
        if (
            name_key(told.name) not in known_keys
            and not {name_key(each.name) for each in told.former_names} & known_keys
        ):
            return Saved(person.id, "name_differs")
        return Saved(person.id, changed=self._bring_up_to_date(person, told, keys))

    def _own(self, key: tuple[str, str], person: PersonId) -> None:
        self.by_document[key] = person
        self.countries.setdefault(key[0], set()).add(key[1])

    def _owners(self, key: tuple[str, str]) -> set[PersonId]:
        """Whose the document is; one without a country may be that of any country."""
        lookup, country = key
        known = self.countries.get(lookup, set())
        return {self.by_document[lookup, each] for each in known if each == country or not each or not country}

    def _add(self, told: Particulars, keys: list[tuple[str, str]]) -> PersonId:
        person = PersonId(ids.fresh("person", ids.hour(self.now)))
        self.new_people.append(person)
        names = (*map(self._ended, told.former_names), Name(told.name))
        self.names += ((person, name, told.birth) for name in names)
        self.documents += ((person, held) for held in told.documents)
        for key in keys:
            self._own(key, person)
        self.known[person] = Person(
            person,
            names,
            told.documents,
            told.birth,
            told.sex,
            told.died_on,
            told.language or "zh",
            told.phone,
            told.email,
            told.wechat,
        )
        return person

    def _bring_up_to_date(self, person: Person, told: Particulars, keys: list[tuple[str, str]]) -> bool:
        before = len(self.changes)
        names, documents = list(person.names), list(person.documents)
        for held, key in zip(told.documents, keys, strict=True):
            if key not in self.by_document:
                self._own(key, person.id)
                self.documents.append((person.id, held))
                documents.append(held)
                self._changed(person.id, "document", "", held.kind)
            elif held.last_day is not None:
                at = next(i for i, each in enumerate(documents) if _key_of(each) == key)
                if documents[at].last_day != held.last_day:
                    self.ended_documents.append((held.last_day.isoformat(), *key))
                    self._changed(person.id, "document_last_day", _text(documents[at].last_day), _text(held.last_day))
                    documents[at] = held
        spelt = {name.name: name for name in names}
        former = {each.name: each for each in told.former_names}
        if told.name not in spelt:
            self.names.append((person.id, Name(told.name), person.birth))
            self._changed(person.id, "name", person.name, told.name)
            ending = [former.get(name.name, self._ended(name)) for name in names if name.last_day is None]
            self.ended_names += ((_text(self._ended(name).last_day), person.id, name.name) for name in ending)
            names = [name for name in names if name.last_day is not None]
            names += [*map(self._ended, ending), Name(told.name)]
        for each in told.former_names:
            if each.name not in spelt:
                self.names.append((person.id, self._ended(each), person.birth))
                self._changed(person.id, "former_name", "", each.name)
                names.insert(0, self._ended(each))
        contacts: dict[str, Any] = {}
        for field in _CONTACTS:
            was, became = getattr(person, field), getattr(told, field)
            if became and became != was:
                contacts[field] = became
                self._changed(person.id, field, _text(was), _text(became))
        self.known[person.id] = Person(
            person.id,
            tuple(names),
            tuple(documents),
            person.birth,
            person.sex,
            contacts.get("died_on", person.died_on),
            contacts.get("language", person.language),
            contacts.get("phone", person.phone),
            contacts.get("email", person.email),
            contacts.get("wechat", person.wechat),
            person.former_ids,
            person.guardianships,
        )
        return len(self.changes) > before

    def _ended(self, name: Name) -> Name:
        """A former name; where nobody says when it ended, it is the day we learnt of it."""
        return name if name.last_day is not None else Name(name.name, shanghai_day(self.now))

    def _changed(self, person: PersonId, field: str, was: str, became: str) -> None:
        self.changes.append((person, field, was, became))

    def write(self, tx: Transaction) -> None:
        at = at_text(self.now)
        tx.run_many(
            "insert into person (id, birth, sex, died_on, language, phone, email, wechat, added_at) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    id,
                    _text(p.birth) or None,
                    p.sex,
                    _text(p.died_on) or None,
                    p.language,
                    p.phone,
                    p.email,
                    p.wechat,
                    at,
                )
                for id, p in ((id, self.known[id]) for id in self.new_people)
            ],
        )
        changed = {change[0] for change in self.changes} - set(self.new_people)
        tx.run_many(
            "update person set died_on = ?, language = ?, phone = ?, email = ?, wechat = ? where id = ?",
            [
                (_text(p.died_on) or None, p.language, p.phone, p.email, p.wechat, p.id)
                for p in (self.known[id] for id in sorted(changed))
            ],
        )
        tx.run_many("update person_name set last_day = ? where person = ? and name = ?", self.ended_names)
        tx.run_many(
            "insert into person_name (person, name, name_key, name_birth, last_day, added_at) "
            "values (?, ?, ?, ?, ?, ?) on conflict (person, name) do nothing",
            [
                (id, name.name, key := name_key(name.name), f"{key}|{birth}", _text(name.last_day) or None, at)
                for id, name, birth in self.names
            ],
        )
        tx.run_many(
            "insert into person_document (lookup, country, person, kind, number, last_day, added_at) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            [
                (lookup_of(h.kind, h.number), h.country, id, h.kind, h.number, _text(h.last_day) or None, at)
                for id, h in self.documents
            ],
        )
        tx.run_many("update person_document set last_day = ? where lookup = ? and country = ?", self.ended_documents)
        _add_changes(tx, self.changes, self.now)


def add_guardianships(tx: Transaction, links: Sequence[Guardianship], now: datetime) -> int:
    """Put guardians on file, or give a link that is on file another last day or proof; how many were new or changed."""
    return tx.run_many(
        "insert into person_guardian (ward, guardian, proof, first_day, last_day, added_at) values (?, ?, ?, ?, ?, ?) "
        "on conflict (ward, guardian, first_day) do update set proof = excluded.proof, last_day = excluded.last_day "
        "where person_guardian.proof <> excluded.proof or person_guardian.last_day is distinct from excluded.last_day",
        [
            (
                link.ward,
                link.guardian,
                link.proof,
                link.first_day.isoformat(),
                _text(link.last_day) or None,
                at_text(now),
            )
            for link in links
        ],
    )


def report_death(tx: Transaction, person: PersonId, died_on: date, now: datetime) -> None:
    """Record the day of death. Raises NotFound for an unknown person, Conflict if another day is on record."""
    known = _one(tx, person)
    if known.died_on == died_on:
        return
    if known.died_on is not None:
        raise Conflict(
            f"{person} died on {known.died_on} by the register, not on {died_on}; a person must compare them"
        )
    tx.run("update person set died_on = ? where id = ?", (died_on.isoformat(), known.id))
    for id in (person, known.id, *known.former_ids):
        tx.memo.pop(("person", id), None)
    _add_changes(tx, [(known.id, "died_on", "", died_on.isoformat())], now)


def correct_person(
    tx: Transaction, person: PersonId, now: datetime, *, birth: date | None = None, sex: Sex | None = None
) -> None:
    """Correct the birth date or the sex after somebody has looked; the change is kept. Raises NotFound."""
    known = _one(tx, person)
    corrected = {"birth": birth or known.birth, "sex": sex or known.sex}
    changes = [
        (known.id, field, _text(getattr(known, field)), _text(value))
        for field, value in corrected.items()
        if value != getattr(known, field)
    ]
    tx.run("update person set birth = ?, sex = ? where id = ?", (_text(corrected["birth"]), corrected["sex"], known.id))
    tx.run(
        "update person_name set name_birth = name_key || '|' || ? where person = ?",
        (_text(corrected["birth"]), known.id),
    )
    _add_changes(tx, changes, now)


def merge_persons(tx: Transaction, survivor: PersonId, retired: PersonId, now: datetime) -> PersonId:
    """Make two entries one person (A40) and return the surviving id; the retired id stays good as an alias.

    Merging twice changes nothing. Raises NotFound for an unknown id, Conflict if birth, sex or valid citizen numbers
    disagree: then they are two persons until somebody has looked.
    """
    tx.flush(_ADD_ALIAS)
    kept, gone = _one(tx, survivor), _one(tx, retired)
    if kept.id == gone.id:
        return kept.id
    differing = [field for field in ("birth", "sex") if _differ(getattr(kept, field), getattr(gone, field))]
    numbers = [
        {held.number for held in each.documents if held.last_day is None and is_citizen(held.kind, held.number)}
        for each in (kept, gone)
    ]
    if all(numbers) and not numbers[0] & numbers[1]:
        differing.append("citizen number")
    if differing:
        raise Conflict(
            f"{gone.id} is not merged into {kept.id}: {', '.join(differing)} differ; a person must compare them"
        )
    tx.run("update person_document set person = ? where person = ?", (kept.id, gone.id))
    tx.run(
        "update person_name set last_day = ? where person = ? and last_day is null and name <> ?",
        (shanghai_day(now).isoformat(), gone.id, kept.name),
    )
    for table, column, key in (
        ("person_name", "person", ("name",)),
        ("person_alias", "person", ("kind", "issuer", "number")),
        ("person_guardian", "ward", ("guardian", "first_day")),
        ("person_guardian", "guardian", ("ward", "first_day")),
    ):
        same = " and ".join(f"t.{part} = {table}.{part}" for part in key)
        known = f"exists (select 1 from {table} t where t.{column} = ? and {same})"
        tx.run(f"delete from {table} where {column} = ? and {known}", (gone.id, kept.id))
        tx.run(f"update {table} set {column} = ? where {column} = ?", (kept.id, gone.id))
    tx.run("update person set merged_into = ? where merged_into = ? or id = ?", (kept.id, gone.id, gone.id))
    for field in ("phone", "email", "wechat", "died_on"):
        if not getattr(kept, field) and getattr(gone, field):
            tx.run(f"update person set {field} = ? where id = ?", (_text(getattr(gone, field)), kept.id))
    _add_changes(tx, [(kept.id, "merged", gone.id, kept.id)], now)
    return kept.id


def _one(tx: Transaction, person: PersonId) -> Person:
    found = people_by_id(tx, [person]).get(person)
    if found is None:
        raise NotFound(f"there is no person {person}")
    return found


def _differ(a: object, b: object) -> bool:
    return a is not None and b is not None and a != b


def _add_changes(tx: Transaction, changes: Iterable[tuple[PersonId, str, str, str]], now: datetime) -> None:
    at = at_text(now)
    tx.run_many(
        "insert into person_change (person, at, field, was, became) values (?, ?, ?, ?, ?)",
        [(person, at, field, was, became) for person, field, was, became in changes],
    )


def _key_of(held: Held) -> tuple[str, str]:
    return (lookup_of(held.kind, held.number), held.country)


def _text(value: date | str | None) -> str:
    return "" if value is None else str(value)


def _day_of(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)

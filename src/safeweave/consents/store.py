"""Consents and reads kept, as functions over a transaction. The number of statements never grows with the batch.

Rows are only added: a revocation stands beside its grant. Ids of persons that were merged stay good.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from safeweave import ids, people
from safeweave.clock import shanghai_day
from safeweave.consents.consent import (
    Act,
    Answer,
    Ask,
    Choice,
    Consent,
    ConsentId,
    DataKind,
    How,
    Kept,
    Purpose,
    Reason,
    answer,
    can_follow,
    check,
    in_order,
    retake_day,
    state_at,
)
from safeweave.consents.registering import Entry, Salts, new_entry, new_salts
from safeweave.consents.texts import text_of
from safeweave.database import Transaction, at_of, at_text
from safeweave.errors import NotFound
from safeweave.facts import Fact
from safeweave.ids import PersonId
from safeweave.people import Person
from safeweave.people.identity import Unusable
from safeweave.words import Language, say


class NotHere(NotFound):
    """A person or consent with this id is not kept here."""

    def __init__(self, id: str) -> None:
        super().__init__(say("consents.not_here", "en", id=id))
        self.id = id

    def said(self, language: Language) -> str:
        """That it is not known, and what to do."""
        return say("consents.not_here", language, id=self.id)


# ---------------------------------------------------------------- giving and revoking


class Revocation(Fact, frozen=True):
    """A person's no. It counts from `revoked_at`, and needs no reason."""

    consent: ConsentId
    revoked_at: datetime
    revoked_by: PersonId
    how: How
    reason: str = ""


def give(tx: Transaction, given: Sequence[Consent], now: datetime) -> None:
    """Note these consents; the same one again changes nothing.

    Raises Unusable, with the field, for a consent that the law does not let stand, NotFound for an unknown person or
    an unknown consent that it follows.
    """
    known = _people(tx, [consent.person for consent in given])
    asked = {consent.follows for consent in given if consent.follows is not None}
    followed = consents_by_id(tx, asked)
    _all_known(followed, asked)
    rows = []
    for consent in given:
        person = known[consent.person]
        check(consent, person)
        if consent.follows is not None and not can_follow(consent, followed[consent.follows].consent, person):
            raise Unusable("consents.fault.follows_another", field="follows")
        if text_of(consent.act, consent.text_version).digest != consent.text_digest:
            raise Unusable("consents.fault.other_text", field="text_digest", version=consent.text_version)
        assert person.birth is not None
        again = retake_day(person.birth, consent.given_at)
        document = msgspec.json.encode(consent).decode()
        rows.append((consent.id, person.id, again and again.isoformat(), consent.follows, document, at_text(now)))
    tx.run_many(
        "insert into consent_grant (id, person, retake_on, follows, document, noted_at) values (?, ?, ?, ?, ?, ?)"
        " on conflict (id) do nothing",
        rows,
    )


def revoke(tx: Transaction, revoked: Sequence[Revocation], now: datetime) -> None:
    """Note these revocations; the earliest of a consent counts. Raises NotFound for an unknown consent."""
    asked = {each.consent for each in revoked}
    _all_known(consents_by_id(tx, asked), asked)
    tx.run_many(
        "insert into consent_revocation (consent, revoked_at, revoked_by, how, reason, noted_at)"
        " values (?, ?, ?, ?, ?, ?) on conflict (consent, revoked_at) do nothing",
        [
            (each.consent, at_text(each.revoked_at), each.revoked_by, each.how, each.reason, at_text(now))
            for each in revoked
        ],
    )


def _people(tx: Transaction, asked: Collection[PersonId]) -> dict[PersonId, Person]:
    known = people.people_by_id(tx, asked)
    _all_known(known, asked)
    return known


def _all_known(known: Collection[str], asked: Collection[str | None]) -> None:
    unknown = [id for id in asked if id is not None and id not in known]
    if unknown:
        raise NotHere(unknown[0])


# ---------------------------------------------------------------- reading


def consents_by_id(tx: Transaction, asked: Collection[ConsentId]) -> dict[ConsentId, Kept]:
    """These consents with their revocations; unknown ids are left out."""
    return {kept.consent.id: kept for _, kept in _kept(tx, "g.id in ?", sorted(set(asked)))}


def consents_of(tx: Transaction, persons: Collection[PersonId]) -> dict[PersonId, list[Kept]]:
    """All consents of these persons by the ids asked for, oldest first; unknown persons are left out."""
    known = people.people_by_id(tx, persons)
    return _of(tx, known)


def _of(tx: Transaction, known: Mapping[PersonId, Person]) -> dict[PersonId, list[Kept]]:
    own = {id for person in known.values() for id in (person.id, *person.former_ids)}
    found: dict[PersonId, list[Kept]] = {}
    for person, kept in _kept(tx, "g.person in ?", sorted(own)):
        found.setdefault(person, []).append(kept)
    return {
        alias: sorted(
            [kept for id in (person.id, *person.former_ids) for kept in found.get(id, ())],
            key=lambda kept: (kept.consent.given_at, kept.consent.id),
        )
        for alias, person in known.items()
    }


def _kept(tx: Transaction, where: str, asked: object) -> Iterable[tuple[PersonId, Kept]]:
    if not asked:
        return
    for person, document, revoked_at in tx.rows(
        "select g.person, g.document, (select min(r.revoked_at) from consent_revocation r where r.consent = g.id)"
        f" from consent_grant g where {where}",
        (asked,),
    ):
        consent = msgspec.json.decode(document, type=Consent)
        yield person, Kept(consent, at_of(revoked_at) if revoked_at is not None else None)


def allowed(tx: Transaction, asks: Sequence[Ask]) -> list[Answer]:
    """For each of these, in order, the consent that allows it or why none does, in two statements for all of them."""
    known = people.people_by_id(tx, {ask.person for ask in asks})
    kept = _of(tx, known)
    return [answer(ask, kept.get(ask.person, ()), known.get(ask.person)) for ask in asks]


def due_retakings(tx: Transaction, now: datetime) -> list[Kept]:
    """Consents that must be taken again because the person has come of age for it, and have not been, oldest first."""
    found = [
        kept
        for _, kept in _kept(
            tx,
            "not exists (select 1 from consent_grant f where f.follows = g.id) and g.retake_on <= ?",
            shanghai_day(now).isoformat(),
        )
    ]
    known = people.people_by_id(tx, {kept.consent.person for kept in found})
    due = [kept for kept in found if state_at(kept, known[kept.consent.person], now) == "retake"]
    return sorted(due, key=lambda kept: (kept.consent.given_at, kept.consent.id))


# ---------------------------------------------------------------- asking the person


def note_askings(tx: Transaction, refused: Sequence[tuple[Ask, Answer]], now: datetime) -> list[bool]:
    """For each refused ask, in order: whether the person is to be asked now, because it has not been asked before."""
    rows: dict[str, tuple[str | None, ...]] = {}
    places = []
    for ask, why in refused:
        need = Needed(ask.act, ask.giver, ask.recipient, ask.purpose, ask.visit, why.missing, why.nearest)
        document = msgspec.json.encode(need).decode()
        id = ids.derived("asking", why.reason, document, of=ask.person)
        places.append(id)
        rows.setdefault(id, (id, ask.person, why.reason, document, at_text(now)))
    new = tx.rows_many(
        "insert into consent_asking (id, person, reason, document, asked_at) values (?, ?, ?, ?, ?)"
        " on conflict (id) do nothing returning id",
        rows.values(),
    )
    first = {id for (id,) in new}
    return [id in first and places.index(id) == place for place, id in enumerate(places)]


class Needed(Fact, frozen=True):
    """What a person was asked for: kinds of data `missing` from a consent, or a consent in place of `nearest`."""

    act: Act
    giver: str
    recipient: str
    purpose: Purpose
    visit: str = ""
    missing: tuple[DataKind, ...] = ()
    nearest: ConsentId | None = None


class Asking(Fact, frozen=True):
    """That a person was asked, why and when."""

    person: PersonId
    reason: Reason
    needed: Needed
    asked_at: datetime


def askings_of(tx: Transaction, person: PersonId) -> list[Asking]:
    """What this person was asked, oldest first. Raises NotFound for an unknown person."""
    return [
        Asking(of, reason, msgspec.json.decode(document, type=Needed), at_of(at))
        for of, reason, document, at in tx.rows(
            "select person, reason, document, asked_at from consent_asking where person in ? order by asked_at, id",
            (_own_ids(tx, person),),
        )
    ]


def choose(tx: Transaction, chosen: Sequence[tuple[ConsentId, Choice, PersonId]], now: datetime) -> None:
    """Note what the person chose for the open claim when a consent ended. Raises NotFound for an unknown consent."""
    asked = {consent for consent, _, _ in chosen}
    _all_known(consents_by_id(tx, asked), asked)
    first = tx.numbers("consent_choice", len(chosen))
    tx.run_many(
        "insert into consent_choice (id, consent, choice, chosen_by, chosen_at) values (?, ?, ?, ?, ?)",
        [(first + n, *each, at_text(now)) for n, each in enumerate(chosen)],
    )


def choices(tx: Transaction, asked: Collection[ConsentId]) -> dict[ConsentId, Choice]:
    """What was chosen last for each of these; those without a choice are left out."""
    return dict(
        tx.rows("select consent, choice from consent_choice where consent in ? order by id", (sorted(set(asked)),))
    )


# ---------------------------------------------------------------- on the ledger

_ENTRY = "select consent, entry, suite, commitment, scope_commitment, grant_nonce, revoke_nonce from consent_entry"


def register(tx: Transaction, asked: Collection[ConsentId], suite: str = "std-1") -> dict[ConsentId, Entry]:
    """How each of these stands on the ledger, made now for those that have not been. NotFound for unknown consents."""
    found = entries(tx, asked)
    missing = set(asked) - set(found)
    if not missing:
        return found
    kept = consents_by_id(tx, missing)
    _all_known(kept, missing)
    drawn = {id: new_salts() for id in sorted(missing)}
    made = {id: new_entry(kept[id].consent, salted, suite) for id, salted in drawn.items()}
    tx.run_many(
        "insert into consent_entry (consent, entry, suite, commitment, scope_commitment, grant_nonce, revoke_nonce)"
        " values (?, ?, ?, ?, ?, ?, ?)",
        [msgspec.structs.astuple(entry) for entry in made.values()],
    )
    tx.run_many(
        "insert into consent_salt (consent, salt, scope_salt) values (?, ?, ?)",
        [(id, salted.salt, salted.scope_salt) for id, salted in drawn.items()],
    )
    return found | made


def entries(tx: Transaction, asked: Collection[ConsentId]) -> dict[ConsentId, Entry]:
    """How these stand on the ledger; those that were not registered are left out."""
    return {row[0]: Entry(*row) for row in tx.rows(f"{_ENTRY} where consent in ?", (sorted(set(asked)),))}


def entries_by_ledger_id(tx: Transaction, asked: Collection[str]) -> dict[str, Entry]:
    """The same by their ids on the ledger."""
    return {row[1]: Entry(*row) for row in tx.rows(f"{_ENTRY} where entry in ?", (sorted(set(asked)),))}


def salts(tx: Transaction, asked: Collection[ConsentId]) -> dict[ConsentId, Salts]:
    """The salts of these, with which a commitment can be opened to somebody; erased ones are left out."""
    rows = tx.rows("select consent, salt, scope_salt from consent_salt where consent in ?", (sorted(set(asked)),))
    return {consent: Salts(bytes(salt), bytes(scope_salt)) for consent, salt, scope_salt in rows}


def erase_salts(tx: Transaction, asked: Collection[ConsentId], reason: str, now: datetime) -> None:
    """Destroy these salts and note that: what stands on the ledger then points to nothing; the consents stay here.

    Raises NotFound for an unknown consent. Erasing twice changes nothing.
    """
    _all_known(consents_by_id(tx, asked), asked)
    tx.run("delete from consent_salt where consent in ?", (sorted(set(asked)),))
    tx.run_many(
        "insert into consent_erasure (consent, reason, erased_at) values (?, ?, ?) on conflict (consent) do nothing",
        [(consent, reason, at_text(now)) for consent in sorted(set(asked))],
    )


# ---------------------------------------------------------------- who read what


class Read(Fact, frozen=True):
    """A member read something of a person's record. `consent` is None for a read that needed none or had none."""

    person: PersonId
    member: str
    kinds: tuple[DataKind, ...]
    purpose: Purpose
    reason: str
    consent: ConsentId | None
    read_at: datetime
    visit: str = ""


def note_reads(tx: Transaction, reads: Sequence[Read]) -> None:
    """Note that these were read, in order."""
    first = tx.numbers("record_read", len(reads))
    tx.run_many(
        "insert into record_read (id, person, member, visit, kinds, purpose, reason, consent, read_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                first + n, read.person, read.member, read.visit, ",".join(in_order(read.kinds)), read.purpose,
                read.reason, read.consent, at_text(read.read_at),
            )
            for n, read in enumerate(reads)
        ],
    )  # fmt: skip


def reads_of(tx: Transaction, person: PersonId) -> list[Read]:
    """Everything that was read of a person's record, oldest first. Raises NotFound for an unknown person."""
    return [
        Read(of, member, tuple(kinds.split(",")) if kinds else (), purpose, reason, consent, at_of(at), visit)
        for of, member, kinds, purpose, reason, consent, at, visit in tx.rows(
            "select person, member, kinds, purpose, reason, consent, read_at, visit from record_read"
            " where person in ? order by read_at, id",
            (_own_ids(tx, person),),
        )
    ]


def _own_ids(tx: Transaction, person: PersonId) -> list[PersonId]:
    """All ids that this person has had."""
    known = _people(tx, [person])[person]
    return sorted({known.id, *known.former_ids})

"""`safeweave consent`: what people allow, taking it back, and who read what of theirs."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from safeweave import consents, people, worker
from safeweave.clock import SHANGHAI, shanghai_day
from safeweave.commands.inbox import shown_at
from safeweave.commands.screen import print_json, print_table
from safeweave.consents import ConsentId, Party, Read, Revocation, fhir, texts
from safeweave.consents.consent import in_order, kinds_said
from safeweave.consents.store import NotHere
from safeweave.consortium import ending
from safeweave.database import Database, Transaction, at_text
from safeweave.errors import Malformed, NotFound
from safeweave.events import ClaimChosen, ConsentGiven, ConsentRevoked, Identifier, PersonSeen
from safeweave.exchange.formats.fhir.persons import patient_in
from safeweave.ids import PersonId
from safeweave.node import open_node
from safeweave.people import Guardianship, Person
from safeweave.people.identity import Unusable, check
from safeweave.settings import Settings
from safeweave.words import Language, say


def give(settings: Settings, asked: argparse.Namespace) -> int:
    """Note one act of consent and print the text the person agreed to."""
    node = open_node(settings)
    now = node.clock()
    with node.database.transaction() as tx:
        person = _person(tx, asked.person, settings)
        text = texts.text_of(asked.act, asked.text) if asked.text else texts.newest(asked.act)
        consent = consents.consent_of(
            person.id,
            asked.act,
            Party(asked.giver, asked.giver_name or asked.giver) if asked.giver else None,
            Party(asked.recipient, asked.recipient_name or asked.recipient, asked.contact),
            asked.purpose,
            in_order(asked.kind),
            _midnight(asked.first_day, "--first-day", settings) if asked.first_day else now,
            _midnight(asked.last_day, "--last-day", settings, after=1),
            (text.version, text.digest),
            PersonId(asked.by) if asked.by else person.id,
            now,
            asked.how,
            asked.visit or "",
            asked.proof or "",
            ConsentId(asked.follows) if asked.follows else None,
        )
        consents.give(tx, [consent], now)
        worker.tell(tx, [ConsentGiven(consent.id, person.id)], now)
    if asked.json:
        print_json({"id": consent.id, "text": texts.shown(consent, settings.language)})
        return 0
    print(texts.shown(consent, settings.language))
    print(say("cli.consent.give.done", settings.language, id=consent.id))
    return 0


class Line(NamedTuple):
    """A consent of a file: where it stands, the resource, and the patient and guardian it brings with it, if so."""

    place: str
    raw: bytes
    patient: PersonSeen | None
    guardian: PersonSeen | None


def import_(settings: Settings, asked: argparse.Namespace) -> int:
    """Note the FHIR Consents of files; 1 if some could not be taken, each of which is named with what to do."""
    node = open_node(settings)
    taken, refused = 0, list[str]()
    for file in asked.file:
        noted, faults = import_file(node.database, file, node.clock(), settings.language)
        taken, refused = taken + noted, refused + faults
    node.close()
    for fault in refused:
        print(fault, file=sys.stderr)
    print(say("cli.consent.import.done", settings.language, taken=taken, refused=len(refused)))
    return 1 if refused else 0


def import_file(database: Database, file: Path, now: datetime, language: Language) -> tuple[int, list[str]]:
    """How many consents of a file were noted, and for each other one where it stands and what is wrong with it."""
    lines, refused = _lines(file)
    taken = 0
    for few in (lines[n : n + IMPORTED_AT_ONCE] for n in range(0, len(lines), IMPORTED_AT_ONCE)):
        try:
            taken += _noted(database, few, now)
        except (Malformed, NotFound):
            for line in few:
                try:
                    taken += _noted(database, [line], now)
                except (Malformed, NotFound) as fault:
                    refused.append(f"{line.place}: {_said(fault, language)}")
    return taken, refused


IMPORTED_AT_ONCE = 200


def _said(fault: Malformed | NotFound, language: Language) -> str:
    what = fault.said(language) if isinstance(fault, Unusable | NotHere) else str(fault)
    return f"{fault.field}: {what}" if isinstance(fault, Unusable) else what


def _lines(file: Path) -> tuple[list[Line], list[str]]:
    """The consents of a file (one resource, a Bundle, or one resource a line), and what in it is none."""
    content = file.read_bytes()
    try:
        told = [("", json.loads(content))]
    except ValueError:
        told, faults = [], []
        for n, raw in enumerate(content.splitlines(), 1):
            try:
                told += [(f":{n}", json.loads(raw))] if raw.strip() else []
            except ValueError as fault:
                faults.append(f"{file}:{n}: {fault}")
    else:
        faults = []
    found = []
    for place, value in told:
        entries = value.get("entry", ()) if isinstance(value, dict) and value.get("resourceType") == "Bundle" else None
        each = [(f"{place} entry[{n}]", entry.get("resource")) for n, entry in enumerate(entries or ())]
        for where, resource in each if entries is not None else [(place, value)]:
            try:
                brought = [_contained(resource, kind) for kind in ("Patient", "RelatedPerson")]
                found.append(Line(f"{file}{where}", json.dumps(resource).encode(), *brought))
            except Malformed as fault:
                faults.append(f"{file}{where}: {fault.field}: {fault.what}")
    return found, faults


def _contained(resource: Any, kind: str) -> PersonSeen | None:
    """The patient or the guardian in a consent; the two resources describe a person alike."""
    contained = resource.get("contained", ()) if isinstance(resource, dict) else ()
    found = [each for each in contained if isinstance(each, dict) and each.get("resourceType") == kind]
    return patient_in(json.dumps(found[0]).encode()) if found else None


def _noted(database: Database, lines: Sequence[Line], now: datetime) -> int:
    """How many of these were noted: all, or Malformed. Whom they bring is entered in the register of persons."""
    with database.transaction() as tx:
        kept = []
        patients = _entered(tx, [line.patient for line in lines], "Patient", now)
        guardians = _entered(tx, [line.guardian for line in lines], "RelatedPerson", now)
        for line, patient, guardian in zip(lines, patients, guardians, strict=True):
            kept.append(fhir.read(line.raw, patient, guardian))
        people.add_guardianships(
            tx,
            [
                Guardianship(each.consent.person, guardian, each.consent.proof, shanghai_day(each.consent.given_at))
                for each, guardian in zip(kept, guardians, strict=True) if guardian
            ],
            now,
        )  # fmt: skip
        consents.give(tx, [each.consent for each in kept], now)
        revoked = [
            Revocation(each.consent.id, each.revoked_at, each.consent.given_by, each.consent.how)
            for each in kept if each.revoked_at is not None
        ]  # fmt: skip
        consents.revoke(tx, revoked, now)
        whose = {each.consent.id: each.consent.person for each in kept}
        worker.tell(tx, [ConsentGiven(id, person) for id, person in whose.items()], now)
        worker.tell(tx, [ConsentRevoked(each.consent, whose[each.consent]) for each in revoked], now)
    return len(lines)


def _entered(tx: Transaction, brought: Sequence[PersonSeen | None], kind: str, now: datetime) -> list[PersonId | None]:
    """The persons of these descriptions, in their order; Unusable for one that the register cannot take."""
    told = [people.particulars_of(seen) if seen else None for seen in brought]
    saved = iter(people.save_people(tx, [each for each in told if each is not None], now))
    found: list[PersonId | None] = []
    for seen, each in zip(brought, told, strict=True):
        result = next(saved) if each is not None else None
        if seen is not None and (result is None or result.person is None or result.conflict):
            raise Unusable("cli.consent.import.who", field=f"contained.{kind}")
        found.append(result.person if result else None)
    return found


def revoke(settings: Settings, asked: argparse.Namespace) -> int:
    """Take one back, and print what becomes of a stay under way."""
    node = open_node(settings)
    now, id = node.clock(), ConsentId(asked.consent)
    with node.database.transaction() as tx:
        whose = consents.consents_by_id(tx, [id])
        by = PersonId(asked.by) if asked.by else whose[id].consent.person if id in whose else PersonId("")
        consents.revoke(tx, [Revocation(id, now, by, asked.how, asked.reason or "")], now)
        kept = consents.consents_by_id(tx, [id])[id]
        worker.tell(tx, [ConsentRevoked(id, kept.consent.person)], now)
    assert kept.revoked_at is not None
    told = consents.AFTER["revoked"].said(settings.language)
    if asked.json:
        print_json({"id": id, "revoked_at": at_text(kept.revoked_at), "told": told})
        return 0
    print(say("cli.consent.revoke.done", settings.language, id=id, at=shown_at(kept.revoked_at)))
    for line in told:
        print(f"  {line}")
    return 0


def choose(settings: Settings, asked: argparse.Namespace) -> int:
    """Note what the person chose for the claims whose consent has ended."""
    node = open_node(settings)
    now, id = node.clock(), ConsentId(asked.consent)
    with node.database.transaction() as tx:
        whose = consents.consents_by_id(tx, [id])
        by = PersonId(asked.by) if asked.by else whose[id].consent.person if id in whose else PersonId("")
        told = ending.choose(tx, id, asked.choice, by, now)
        worker.tell(tx, told, now)
    chosen = [event.case for event in told if isinstance(event, ClaimChosen)]
    if asked.json:
        print_json({"id": id, "choice": asked.choice, "cases": chosen})
        return 0
    choice = say(f"cli.consent.choose.{asked.choice}", settings.language)
    print(say("cli.consent.choose.done", settings.language, choice=choice, cases=", ".join(chosen)))
    return 0


def list_(settings: Settings, asked: argparse.Namespace) -> int:
    """All consents of a person, with what each is worth now."""
    node = open_node(settings)
    now, language = node.clock(), settings.language
    with node.database.reading() as tx:
        person = _person(tx, asked.person, settings)
        found = [
            (kept, consents.state_at(kept, person, now)) for kept in consents.consents_of(tx, [person.id])[person.id]
        ]
    if asked.json:
        print_json([fhir.write(kept, state) for kept, state in found])
        return 0

    for kept, state in found:
        consent = kept.consent
        giver = f"{consent.giver.name} → " if consent.giver is not None else ""
        scope = "for_visit" if consent.visit else "standing"
        print(
            say(
                "cli.consent.list.one",
                language,
                id=consent.id,
                state=say(f"consents.state.{state}", language),
                act=say(f"consents.act.{consent.act}", language),
                between=f"{giver}{consent.recipient.name}",
                purpose=say(f"consents.purpose.{consent.purpose}", language),
                kinds=kinds_said(consent.kinds, language),
                scope=say(f"consents.scope.{scope}", language, visit=consent.visit),
                begins=shown_at(consent.begins_at),
                ends=shown_at(consent.ends_at),
            )
        )
    if not found:
        print(say("cli.consent.list.none", language))
    return 0


def reads(settings: Settings, asked: argparse.Namespace) -> int:
    """Everything that was read of a person's record."""
    node = open_node(settings)
    language = settings.language
    with node.database.reading() as tx:
        person = _person(tx, asked.person, settings)
        found = consents.reads_of(tx, person.id)
        under = consents.consents_by_id(tx, [read.consent for read in found if read.consent is not None])
    names = {
        party.member: party.name
        for kept in under.values()
        for party in (kept.consent.recipient, kept.consent.giver)
        if party is not None
    }
    if asked.json:
        print_json([_read_as_json(read) for read in found])
        return 0
    columns = ("read_at", "member", "kinds", "purpose", "reason", "consent", "visit")
    print_table(
        language,
        [f"consents.column.{column}" for column in columns],
        [
            (
                shown_at(read.read_at),
                names.get(read.member, read.member),
                kinds_said(read.kinds, language),
                say(f"consents.purpose.{read.purpose}", language),
                read.reason,
                read.consent or say("consents.without", language),
                read.visit,
            )
            for read in found
        ],
        "cli.consent.reads.none",
    )
    return 0


def _read_as_json(read: Read) -> dict[str, object]:
    return {
        "at": at_text(read.read_at),
        "member": read.member,
        "kinds": list(read.kinds),
        "purpose": read.purpose,
        "reason": read.reason,
        "consent": read.consent,
        "visit": read.visit,
    }


def _person(tx: Transaction, named: str, settings: Settings) -> Person:
    """The person with this id, or whose resident number this is."""
    if named.startswith("person_"):
        known = people.people_by_id(tx, [PersonId(named)]).get(PersonId(named))
    else:
        number = check("resident_id", named)
        seen = PersonSeen((Identifier(number.kind, number.number),), "", number.birth, number.sex)
        found = people.find_people(tx, [seen])[0].person
        known = people.people_by_id(tx, [found])[found] if found is not None else None
    if known is None:
        raise Malformed(say("consents.why_not.unknown_person", settings.language), field="person")
    return known


def _midnight(text: str, name: str, settings: Settings, after: int = 0) -> datetime:
    """When this day begins in Shanghai, or the one so many days later."""
    try:
        day = date.fromisoformat(text) + timedelta(days=after)
    except (ValueError, OverflowError):
        raise Malformed(say("cli.policies.no_day", settings.language, text=text), field=name) from None
    return datetime.combine(day, time(), SHANGHAI).astimezone(UTC)

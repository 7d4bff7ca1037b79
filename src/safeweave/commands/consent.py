"""`safeweave consent`: what people allow, taking it back, and who read what of theirs."""

import argparse
from datetime import UTC, date, datetime, time, timedelta

from safeweave import consents, people, worker
from safeweave.clock import SHANGHAI
from safeweave.commands.inbox import shown_at
from safeweave.commands.screen import print_json, print_table
from safeweave.consents import ConsentId, Party, Read, Revocation, fhir, texts
from safeweave.consents.consent import in_order, kinds_said
from safeweave.consortium import ending
from safeweave.database import Transaction, at_text
from safeweave.errors import Malformed
from safeweave.events import ClaimChosen, ConsentGiven, ConsentRevoked, Identifier, PersonSeen
from safeweave.ids import PersonId
from safeweave.node import open_node
from safeweave.people import Person
from safeweave.people.identity import check
from safeweave.settings import Settings
from safeweave.words import say


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

"""The person's own list of who read what shows every document that went to or came from another member."""

from datetime import UTC, datetime, timedelta

from consents.given_consents import HOSPITAL, INSURER, consent, grown_up
from consortium.given_consortium import serving
from ledger.given_ledger import NOON
from people.given_people import NOW
from safeweave import consents, people
from safeweave.consents import Party, registering
from safeweave.consortium.reads import note_delivered, note_opened


def test_what_is_delivered_and_what_is_opened_is_read_under_the_persons_consent(city):
    hospital, insurer = city.hospital.person, city.insurer.person
    begin = datetime.fromtimestamp(NOON, UTC)
    with city.hospital.database.transaction() as tx:
        person = people.save_people(tx, [grown_up()], NOW)[0].person
        given = consent(
            person, giver=Party(hospital.id, HOSPITAL.name), recipient=Party(insurer.id, INSURER.name, INSURER.contact),
            begins_at=begin, given_at=begin, ends_at=begin + timedelta(days=30), visit="H1/ZY1",
        )  # fmt: skip
        consents.give(tx, [given], NOW)
        entry = consents.register(tx, [given.id])[given.id]
    city.says(hospital.signs(registering.grant(entry, given, hospital.id)))
    city.hospital.courier.recorded = note_delivered
    city.hospital.reception.recorded = note_opened
    city.insurer.reception.recorded = note_opened  # it does not keep this consent: nothing is noted, nothing fails

    city.hospital.put(city.insurer, entry.entry, "a discharge record")
    city.insurer.put(city.hospital, entry.entry, "what was decided", kind="determination")
    with serving(city.hospital, city.insurer):
        city.hospital.works(rounds=2)
        city.insurer.works(rounds=2)
    with city.hospital.database.reading() as tx:
        found = consents.reads_of(tx, person)
    assert [(read.member, read.reason, read.consent, read.visit) for read in found] == [
        (insurer.id, "record", given.id, "H1/ZY1"),
        (hospital.id, "determination", given.id, "H1/ZY1"),
    ]
    assert city.insurer.contents() == ["a discharge record"]

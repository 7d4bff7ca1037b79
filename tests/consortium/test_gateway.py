"""What a hospital's systems tell goes to exactly those insurers that the patient allowed: sealed, once, and no more."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from consents.given_consents import HOSPITAL, INSURER, OTHER_INSURER, consent
from consortium.given_consortium import City, Site, serving
from given import CLEAN_STAY, PATIENT, SENDER, VISIT, a_bill, admitted, billed, discharged, reversed_bill, settled
from safeweave import consents, outbox, people, worker
from safeweave.consents import Consent, Party, Revocation
from safeweave.consortium import tickets
from safeweave.consortium.gateway import Gateway
from safeweave.errors import NotAllowed, Unavailable
from safeweave.events import ConsentGiven, ConsentRevoked, HospitalEvent, Identifier, PersonSeen, VisitTold
from safeweave.exchange.formats import Limits, Reading, Sender, read
from safeweave.exchange.inbound import Arrived, take
from safeweave.flow import ALONE
from safeweave.ids import PersonId
from safeweave.worker import Worker


@dataclass
class Ward:
    """A hospital with its gateway, its patient in the register, and the insurers it delivers to."""

    city: City
    away: bool = False
    numbers: int = 0
    person: PersonId = field(init=False)

    def __post_init__(self) -> None:
        site = self.site
        site.time.seconds = 1_773_115_200  # 2026-03-10 12:00 in Shanghai: after everything was told
        self.gateway = Gateway(
            Line(self), lambda: site.person.ring, site.courier, lambda: None if self.away else site.ledger.head()
        )
        self.worker = Worker(site.database, self.gateway.follows, site.time, alone=ALONE)
        with site.database.transaction() as tx:
            self.person = people.save_people(tx, [people.particulars_of(PATIENT)], site.time())[0].person

    @property
    def site(self) -> Site:
        return self.city.hospital

    def allows(self, to: Site | None = None, **told: Any) -> Consent:
        """The patient says yes, and the ledger knows it."""
        to, now = to or self.city.insurer, self.site.time()
        given = consent(self.person, **{
            "giver": Party(self.site.person.id, HOSPITAL.name),
            "recipient": Party(to.person.id, to.folder.name, INSURER.contact),
            "begins_at": now - timedelta(days=30), "given_at": now, "ends_at": now + timedelta(days=90), **told,
        })  # fmt: skip
        with self.site.database.transaction() as tx:
            consents.give(tx, [given], now)
            worker.tell(tx, [ConsentGiven(given.id, self.person)], now)
        self.worker.drain()
        return given

    def takes_back(self, given: Consent) -> None:
        now = self.site.time()
        with self.site.database.transaction() as tx:
            consents.revoke(tx, [Revocation(given.id, now, self.person, "screen")], now)
            worker.tell(tx, [ConsentRevoked(given.id, self.person)], now)
        self.worker.drain()

    def hears(self, *events: HospitalEvent, visit: str = VISIT) -> None:
        """The hospital's own system tells these, each in a message of its own."""
        for event in events:
            self.numbers += 1
            event = msgspec.structs.replace(event, visit=visit)
            reading = Reading("fhir", f"m{self.numbers}", self.site.time(), None, "test", (event,))
            with self.site.database.transaction() as tx:
                _, told = take(tx, [Arrived(b"%d" % self.numbers, SENDER, reading)], self.site.time())
                worker.tell(tx, told, self.site.time())
            self.worker.drain()

    def delivers(self) -> None:
        with serving(*self.others):
            self.site.works(rounds=2)

    @property
    def others(self) -> list[Site]:
        return [self.city.insurer]

    def arrived(self, site: Site | None = None) -> list[Any]:
        """What the insurer got: events by kind, sheets of tickets by bill."""
        self.delivers()
        found: list[Any] = []
        for content in (site or self.city.insurer).contents():
            if content.startswith('{"form":"safeweave/visit/1"'):
                found += [type(event).__name__ for event in self.read(content).events]
            else:
                found += [("ticket", *(bill.key for bill in tickets.read_sheet(content.encode()).bills))]
        return found

    def read(self, content: str) -> Reading:
        return read(content.encode(), Sender("member", SENDER.hospital), Limits())

    def events(self) -> list[HospitalEvent]:
        self.delivers()
        return [
            event for content in self.city.insurer.contents() if '"safeweave/visit/1"' in content
            for event in self.read(content).events
        ]  # fmt: skip


class Line:
    """The ledger, behind a line that can be cut."""

    def __init__(self, ward: Ward) -> None:
        self.ward = ward

    def __getattr__(self, name: str) -> Any:
        if self.ward.away:
            raise Unavailable("the ledger does not answer")
        return getattr(self.ward.city.ledger, name)


@pytest.fixture
def ward(city: City) -> Iterator[Ward]:
    return Ward(city)


def test_a_stay_goes_to_the_insurer_that_was_allowed_with_a_ticket_for_its_bill(ward):
    ward.allows()
    ward.hears(*CLEAN_STAY)
    assert ward.arrived() == [
        "AdmissionReported", "PatientDischarged", ("ticket", "33060226-0000000001"), "BillIssued",
    ]  # fmt: skip
    first, *_ = ward.events()
    assert (first.person, first.visit, first.hospital) == (PATIENT, VISIT, SENDER.hospital)


def test_nobody_hears_of_a_patient_who_has_allowed_nothing(ward):
    ward.hears(*CLEAN_STAY)
    assert ward.arrived() == []
    assert ward.site.courier.work() == 0


def test_what_was_told_before_the_consent_follows_it_once_the_ledger_knows_it(ward):
    ward.hears(admitted())
    assert ward.arrived() == []
    ward.allows()
    assert ward.arrived() == ["AdmissionReported"]
    ward.hears(discharged())
    assert ward.arrived() == ["AdmissionReported", "PatientDischarged"]


def test_a_standing_consent_is_not_for_visits_that_were_over_before_it(ward):
    ward.hears(admitted(), discharged())
    ward.allows(begins_at=ward.site.time())
    assert ward.arrived() == []
    ward.hears(admitted(), visit="ZY-still-here")
    assert ward.arrived() == ["AdmissionReported"]


def test_a_consent_for_one_visit_is_for_no_other(ward):
    ward.allows(visit=f"{SENDER.hospital}/{VISIT}")
    ward.hears(admitted(), visit="another")
    assert ward.arrived() == []
    ward.hears(admitted())
    assert [event.visit for event in ward.events()] == [VISIT]


def test_a_no_stops_the_next_notice_and_what_was_told_stays_told(ward):
    given = ward.allows()
    ward.hears(admitted())
    assert ward.arrived() == ["AdmissionReported"]
    ward.takes_back(given)
    ward.hears(discharged(), billed())
    assert ward.arrived() == ["AdmissionReported"]
    assert ward.city.ledger.consent(_entry(ward, given)).state == "REVOKED"


def test_a_no_stops_what_is_on_its_way_and_a_new_yes_has_it_told_after_all(ward):
    given = ward.allows()
    ward.hears(admitted())
    ward.takes_back(given)
    assert ward.arrived() == []
    ward.site.time.passes(1)
    ward.allows()
    assert ward.arrived() == ["AdmissionReported"]


def test_an_insurer_hears_no_more_than_the_kinds_it_was_allowed_and_the_patient_is_asked_for_the_rest(ward):
    ward.allows(kinds=("identity", "admission"))
    ward.hears(*CLEAN_STAY)
    assert ward.arrived() == ["AdmissionReported", "PatientDischarged"]
    assert all(event.diagnoses == () for event in ward.events())
    with ward.site.database.reading() as tx:
        asked = consents.askings_of(tx, ward.person)
    assert {(each.reason, kind) for each in asked for kind in each.needed.missing} == {
        ("incomplete", "diagnosis"), ("incomplete", "bill"),
    }  # fmt: skip


def test_a_wider_consent_tells_again_what_was_told_with_less(ward):
    ward.allows(kinds=("identity", "admission"))
    ward.hears(*CLEAN_STAY)
    ward.arrived()
    ward.site.time.passes(1)
    ward.allows()
    assert ward.arrived()[2:] == [
        ("ticket", "33060226-0000000001"), "AdmissionReported", "PatientDischarged", "BillIssued",
    ]  # fmt: skip
    assert all(event.diagnoses for event in ward.events()[2:4])


def test_the_same_told_twice_goes_out_once(ward):
    ward.allows()
    ward.hears(admitted())
    with ward.site.database.transaction() as tx:
        worker.tell(tx, [VisitTold(SENDER.id, VISIT)] * 3, ward.site.time())
    ward.worker.drain()
    assert ward.arrived() == ["AdmissionReported"]


def test_papers_that_name_no_visit_go_with_the_visit_their_bill_leads_to(ward):
    ward.allows()
    ward.hears(admitted(), billed())
    ward.hears(settled(), visit="")
    assert ward.arrived()[-1] == "SettlementReported"
    assert {event.visit for event in ward.events()} == {VISIT}


def test_a_patient_the_hospital_did_not_know_is_entered_from_what_its_system_tells(ward):
    newborn = PersonSeen((Identifier("passport", "E12345678", "FRA"),), "Marie Martin", date(1990, 5, 5), "F")
    ward.hears(admitted(person=newborn), visit="ZY2")
    with ward.site.database.reading() as tx:
        found = people.find_people(tx, [newborn])[0].person
    assert found is not None
    with ward.site.database.reading() as tx:
        assert people.people_by_id(tx, [found])[found].name == "Marie Martin"


def test_a_person_without_a_document_is_nobody_until_a_person_looks(ward):
    ward.allows()
    ward.hears(admitted(person=PersonSeen((), "测试甲", PATIENT.birth, "F")))
    assert ward.arrived() == []


def test_a_reversed_bill_can_be_claimed_no_more_by_anybody(ward):
    ward.allows()
    ward.hears(*CLEAN_STAY)
    ward.delivers()
    (sheet,) = [content for content in ward.city.insurer.contents() if "nullifiers" in content]
    ticket = tickets.read_sheet(sheet.encode()).ticket
    assert ward.city.ledger.nullifier(ticket.issuer, ticket.nullifiers[0], 1).state == "FREE"
    ward.hears(reversed_bill())
    assert ward.city.ledger.nullifier(ticket.issuer, ticket.nullifiers[0], 1).state == "VOID"
    assert ward.arrived()[-1] == "BillReversed"


def test_while_the_ledger_is_silent_bills_wait_for_their_tickets_and_nothing_else_does(ward):
    ward.allows()
    ward.away = True
    ward.hears(*CLEAN_STAY)
    assert ward.arrived() == ["AdmissionReported", "PatientDischarged", "BillIssued"]
    ward.away = False
    ward.site.time.passes(10)
    ward.worker.drain()
    assert ward.arrived()[-1] == ("ticket", "33060226-0000000001")


def test_a_ticket_is_for_the_insurer_it_went_to(ward):
    ward.allows()
    ward.hears(*CLEAN_STAY)
    ward.delivers()
    (content,) = [content for content in ward.city.insurer.contents() if "nullifiers" in content]
    sheet = tickets.read_sheet(content.encode())
    issuer = ward.city.ledger.member(ward.site.person.id)
    tickets.check_numbers(sheet, issuer)
    assert sheet.ticket.holder == ward.city.insurer.person.id
    forged = msgspec.structs.replace(sheet, bills=(msgspec.structs.replace(sheet.bills[0], number="0000000002"),))
    with pytest.raises(NotAllowed):
        tickets.check_numbers(forged, issuer)


def test_another_bill_of_the_stay_has_a_ticket_of_its_own(ward):
    ward.allows()
    ward.hears(admitted(), billed(), billed(a_bill("2")))
    assert [each for each in ward.arrived() if isinstance(each, tuple)] == [
        ("ticket", "33060226-0000000001"), ("ticket", "33060226-0000000002"),
    ]  # fmt: skip


def test_a_consent_the_ledger_refuses_is_shown_and_can_be_tried_again(ward):
    stranger = Party("f" * 64, OTHER_INSURER.name, OTHER_INSURER.contact)
    ward.allows(recipient=stranger)
    with ward.site.database.reading() as tx:
        ((_, kind, _, fault),) = outbox.parked(tx)
    assert kind == "ConsentGiven"
    assert "unknown_grantee" in fault
    ward.hears(admitted())
    assert ward.site.courier.work() == 1  # put off: no consent of the ledger, nobody to send it to


def _entry(ward: Ward, given: Consent) -> str:
    with ward.site.database.reading() as tx:
        return consents.entries(tx, [given.id])[given.id].entry

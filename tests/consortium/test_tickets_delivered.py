"""A hospital's tickets come sealed; those that are not its own, or not of these bills, are refused."""

import pytest
from msgspec.structs import replace

from consortium.given_consortium import City
from ledger.given_ledger import DAY, NOON
from safeweave.consortium import tickets
from safeweave.consortium.insuring import InsurerDesk
from safeweave.consortium.taking import take_documents
from safeweave.exchange.formats import Limits

BILLS = [("33060226", "0000000001"), ("33060226", "0000000002")]


@pytest.fixture
def listening(city: City) -> City:
    """A city whose insurer takes tickets up."""
    person = city.insurer.person
    desk = InsurerDesk(city.ledger, lambda: person.ring, lambda products: True)
    city.insurer.hand_over = take_documents(Limits(), desk)
    city.insurer.open()
    return city


def sheet(city: City, issuer: str = "hospital") -> tickets.Sheet:
    hospital = getattr(city.consortium, issuer)
    return tickets.issued(hospital.id, hospital.period, BILLS, city.insurer.person.id, NOON + 30 * DAY)


def delivered(city: City, sent: tickets.Sheet) -> tuple[str, str]:
    with city.insurer.served():
        id = city.hospital.put(city.insurer, city.consent(), tickets.write_sheet(sent).decode(), kind=tickets.KIND)
        city.hospital.works()
    return city.hospital.state(id)


def kept(city: City) -> set[str]:
    with city.insurer.database.reading() as tx:
        return set(tickets.kept(tx, [f"{code}-{number}" for code, number in BILLS]))


def test_tickets_arrive_sealed_and_are_kept_for_their_bills(listening):
    assert delivered(listening, sheet(listening)) == ("received", "")
    assert kept(listening) == {"33060226-0000000001", "33060226-0000000002"}


def test_tickets_of_another_hospital_are_refused(listening):
    state, _ = delivered(listening, sheet(listening, "other_hospital"))
    assert (state, kept(listening)) == ("refused", set())
    assert len(listening.insurer.refused()) == 1


def test_a_number_that_is_another_bill_s_is_refused(listening):
    sent = sheet(listening)
    swapped = tuple(
        replace(bill, number=other.number) for bill, other in zip(sent.bills, sent.bills[::-1], strict=True)
    )
    state, _ = delivered(listening, replace(sent, bills=swapped))
    assert (state, kept(listening)) == ("refused", set())

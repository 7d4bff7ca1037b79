"""What the city sends is what safeweave's own doors, readers and rules understand."""

from collections import Counter, defaultdict
from datetime import date
from typing import Any

import msgspec
import pytest

from safeweave.adjudication.handlers import product_files
from safeweave.adjudication.history import History
from safeweave.adjudication.steps import decide
from safeweave.cases.claim import claim_of, waits_for
from safeweave.cases.stay import Stay, folded, happened
from safeweave.clock import SHANGHAI
from safeweave.coverage.product import parse_product
from safeweave.coverage.told import Checker, PolicyText
from safeweave.errors import Malformed
from safeweave.events import BillIssued, HospitalEvent, SettlementReported
from safeweave.exchange.formats import Limits, Reading, Sender, read
from safeweave.facts import Cover, Hospital, Period
from safeweave.money import fen_of
from safeweave_simulator.city import City
from safeweave_simulator.messages import CONTENT_TYPES, Message
from safeweave_simulator.story import PAYABLE, opening_person, opening_story

TODAY = date(2026, 11, 25)


def understood(message: Message) -> Reading:
    sender = Sender(id=message.hospital, hospital=message.hospital, hl7_facility=message.hospital)
    return read(message.body, sender, Limits(), CONTENT_TYPES[message.door])


def stays_heard(messages: list[Message]) -> dict[tuple[str, str], Stay]:
    """The stays by hospital and visit, folded as a case folds them; what cannot be read is left out.

    A settlement that names no visit is of that of its bill.
    """
    told: dict[tuple[str, str], list[HospitalEvent]] = defaultdict(list)
    of_bill: dict[str, str] = {}
    for message in messages:
        try:
            reading = understood(message)
        except Malformed:
            continue
        for event in reading.events:
            event = msgspec.structs.replace(event, told_at=reading.sent_at, hospital=event.hospital or message.hospital)
            if isinstance(event, BillIssued):
                of_bill[event.bill.key] = event.visit
            told[message.hospital, event.visit].append(event)
    for hospital in {hospital for hospital, _ in told}:
        for paper in told.pop((hospital, ""), []):
            if isinstance(paper, SettlementReported):
                told[hospital, of_bill[str(paper.bill)]].append(paper)
    return {visit: folded(happened(events)) for visit, events in told.items()}


@pytest.fixture(scope="module")
def heard() -> tuple[City, list[Message], dict[tuple[str, str], Stay]]:
    city = City(7, 6, 400, today=TODAY)
    messages = list(city.stream(250))
    return city, messages, stays_heard(messages)


def test_every_message_is_read_under_its_own_id_unless_it_was_garbled(heard):
    _, messages, _ = heard
    for message in messages:
        if "garbled" in message.what:
            continue
        reading = understood(message)
        assert reading.control_id == message.id
        assert reading.events
        assert all(event.visit or isinstance(event, SettlementReported) for event in reading.events)
        assert not reading.notes


def test_garbled_bills_and_settlements_are_refused_and_most_garbled_hl7_messages_too():
    # A truncated HL7 message may still be readable; the right one that follows it then has the last word.
    refused: Counter[str] = Counter()
    garbled = [m for m in City(7, 6, 300, today=TODAY, shares={"garbled": 1.0}).stream(150) if "garbled" in m.what]
    for message in garbled:
        try:
            understood(message)
        except Malformed:
            refused[message.door] += 1
    for door, count in Counter(message.door for message in garbled).items():
        assert refused[door] > 0.6 * count if door == "mllp" else refused[door] == count


def test_the_stays_as_heard_are_the_stays_as_they_were(heard):
    city, _, stays = heard
    for truth in city.truth.values():
        stay = stays[truth.hospital, truth.visit]
        assert stay.kind == truth.kind
        assert stay.cancelled == truth.cancelled
        assert [seen.bill.key for seen in stay.live_bills] == [
            key for key, state in truth.bills.items() if state == "issued"
        ]
        if truth.discharged_on and truth.expected != "open":
            assert stay.discharged_at is not None
            assert stay.discharged_at.astimezone(SHANGHAI).date().isoformat() == truth.discharged_on
            assert stay.disposition == truth.disposition
        if truth.final_bill and truth.turn != "total_off":
            assert stay.live_bills[0].bill.total == fen_of(truth.final_total)


def test_nothing_is_missing_from_a_stay_that_can_be_determined(heard):
    city, _, stays = heard
    for truth in city.truth.values():
        waiting = waits_for(stays[truth.hospital, truth.visit])
        if truth.expected in ("determined", "referred"):
            assert waiting == ""
        elif truth.expected in ("cancelled", "open", "reversed"):
            assert waiting != ""


def test_bills_and_settlements_that_name_each_other_agree(heard):
    _, messages, _ = heard
    bills, settlements = {}, {}
    for message in messages:
        if "garbled" not in message.what:
            for event in understood(message).events:
                if isinstance(event, BillIssued):
                    bills[event.bill.key] = event.bill
                if isinstance(event, SettlementReported) and event.bill:
                    settlements[str(event.bill)] = event
    assert len(settlements) > 100
    for key, settlement in settlements.items():
        bill = bills[key]
        assert (bill.fund, bill.other, bill.account, bill.cash) == (
            settlement.fund,
            settlement.other,
            settlement.account,
            settlement.cash,
        )
        assert (bill.self_pay, bill.self_cost) == (settlement.self_pay, settlement.self_cost)


def test_the_policies_can_be_imported_and_only_children_without_guardian_are_remarked():
    products = [name.removesuffix(".toml") for name, _ in product_files(None)]
    remarks: set[str] = set()
    for row in City(7, 5, 800, today=TODAY).policies():
        checker = Checker(products)
        assert checker.policy(msgspec.convert(row, PolicyText)) is not None, checker.faults
        remarks |= {remark.key for remark in checker.warnings}
    assert remarks == {"coverage.warning.guardian_missing"}


@pytest.mark.parametrize("today", [date(2026, 11, 25), date(2026, 1, 3), date(2028, 3, 1)])
def test_the_opening_story_pays_2381_85(today):
    city, person = City(1, 1, 10, today=today), opening_person(today)
    stay = next(iter(stays_heard(opening_story(today)).values()))
    hospitals = {h.code: Hospital(h.code, h.level, h.public, h.region) for h in city.hospitals}
    claim = claim_of(stay, "c1", today, hospitals)
    policy = person.policies[0]
    periods = tuple(Period(p.first_day, p.last_day, p.since) for p in policy.periods)
    text = dict(product_files(None))[f"{policy.product}.toml"]
    cover = Cover(person.birth, person.sex, enrolled=True, periods=periods)
    determination = decide(parse_product(text, policy.product), cover, History(), claim)
    assert (determination.decision, determination.payable) == ("pay", PAYABLE)


def test_the_opening_story_is_told_by_admission_charges_discharge_settlement_and_bill():
    story = opening_story(TODAY)
    kinds: list[Any] = [type(event).__name__ for message in story for event in understood(message).events]
    assert kinds == [
        "AdmissionReported",
        "ChargesPosted",
        "ChargesPosted",
        "ChargesPosted",
        "PatientDischarged",
        "SettlementReported",
        "BillIssued",
    ]
    assert max(message.at for message in story).astimezone(SHANGHAI).date() < TODAY

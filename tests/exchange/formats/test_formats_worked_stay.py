"""The examples of docs/reference/wire.md are one stay, whatever language tells it."""

import json
from datetime import date

import pytest
from fhir.resources.R4B.bundle import Bundle
from given_messages import EXAMPLES, at, only, taken

from safeweave.events import (
    AdmissionReported,
    BillIssued,
    BillReversed,
    ChargesPosted,
    Diagnosis,
    Identifier,
    PatientDischarged,
    SettlementReported,
)
from safeweave.facts import BillRef, Split

AMOUNTS = [320000, 18000, 40000, 52000, 110000, 10000, 90000, 120000]
CLASSES = list("甲甲乙甲甲甲丙乙")
CATEGORIES = ["06", "01", "03", "04", "05", "07", "08", "09"]


def test_the_page_shows_every_form():
    assert set(EXAMPLES) == {"fhir", "a01", "p03", "a03", "ebill", "red", "yibao", "visit"}


@pytest.mark.parametrize("form", ["fhir", "ebill"])
def test_a_bill_carries_every_line_with_class_and_the_whole_payment_split(form):
    bill = next(e for e in taken(EXAMPLES[form]).events if isinstance(e, BillIssued))
    assert bill.itemised
    assert bill.bill.key == "33060226-0012345678"
    assert (bill.bill.kind, bill.bill.on, bill.bill.total) == ("inpatient", date(2026, 3, 6), 760000)
    assert [line.amount for line in bill.bill.lines] == AMOUNTS
    assert [line.catalogue_class for line in bill.bill.lines] == CLASSES
    assert [line.category for line in bill.bill.lines] == CATEGORIES
    assert [line.days for line in bill.bill.lines] == [None, 3, *[None] * 6]
    assert (bill.bill.social, bill.bill.fund, bill.bill.other) == ("settled", 485350, 0)
    assert (bill.bill.account, bill.bill.cash) == (50000, 224650)
    assert (bill.bill.self_pay, bill.bill.self_cost) == (181650, 93000)
    assert (bill.first_day, bill.last_day) == (date(2026, 3, 3), date(2026, 3, 6))
    assert (bill.visit, bill.occurred_at) == ("ZY20260301", at("2026-03-06T15:20:41"))
    assert (bill.sender, bill.hospital) == ("first", "")


@pytest.mark.parametrize("form", ["fhir", "yibao"])
def test_a_settlement_says_who_paid_what_and_splits_every_line(form):
    settled = next(e for e in taken(EXAMPLES[form]).events if isinstance(e, SettlementReported))
    assert (settled.settlement, settled.medical_visit) == ("S202603060001", "M202603030001")
    assert settled.bill == BillRef("33060226", "0012345678")
    assert (settled.total, settled.fund, settled.other) == (760000, 485350, 0)
    assert (settled.account, settled.cash) == (50000, 224650)
    assert (settled.self_pay, settled.self_cost) == (181650, 93000)
    assert [line.amount for line in settled.lines] == AMOUNTS
    assert [line.no for line in settled.lines] == list(range(1, 9))
    assert settled.lines[1].split == Split(own=0, over=3000, first=0, within=15000)
    assert all(line.split and line.on for line in settled.lines)
    assert settled.visit == "ZY20260301"


@pytest.mark.parametrize("form", ["fhir", "a03"])
def test_a_discharge_says_who_was_here_from_when_to_when(form):
    told = next(e for e in taken(EXAMPLES[form]).events if isinstance(e, PatientDischarged))
    assert (told.admitted_at, told.discharged_at) == (at("2026-03-03T08:40:00"), at("2026-03-06T15:05:00"))
    assert (told.visit, told.disposition) == ("ZY20260301", "1")
    assert [(d.code, d.role, d.main) for d in told.diagnoses] == [("N84.001", "F", True)]
    assert told.person is not None
    assert (told.person.name, told.person.birth, told.person.sex) == ("测试甲", date(1949, 12, 31), "F")
    assert {(i.kind, i.number) for i in told.person.identifiers} == {
        ("mr", "B0001234"),
        ("resident_id", "11010519491231002X"),
    }


def test_an_admission_opens_the_stay():
    reading = taken(EXAMPLES["a01"])
    assert (reading.control_id, reading.sequence, reading.kind) == ("M000001", 1001, "ADT^A01")
    assert reading.sent_at == at("2026-03-03T08:42:00")
    (told,) = reading.events
    assert isinstance(told, AdmissionReported)
    assert told.occurred_at == told.admitted_at == at("2026-03-03T08:40:00")
    assert told.diagnoses == (Diagnosis("N84.001", "子宫内膜息肉", "A", True, "I10-NHSA"),)
    assert told.person.identifiers[0] == Identifier("mr", "B0001234", "H001")


def test_charges_are_posted_and_a_credit_names_what_it_reverses():
    told = only(EXAMPLES["p03"])
    assert isinstance(told, ChargesPosted)
    assert [(c.id, c.amount, c.category, c.reverses) for c in told.charges] == [
        ("CHG0001", 320000, "06", ""),
        ("CHG0002", 135000, "08", ""),
        ("CHG0003", -45000, "08", "CHG0002"),
    ]
    assert {c.on for c in told.charges} == {date(2026, 3, 4)}


def test_a_red_bill_reverses_the_bill_it_names():
    told = only(EXAMPLES["red"])
    assert isinstance(told, BillReversed)
    assert told.bill == BillRef("33060226", "0012345678")
    assert told.red_bill == BillRef("33060226", "0012345690")


def test_the_fhir_example_is_valid_r4():
    bundle = Bundle.model_validate(json.loads(EXAMPLES["fhir"]))
    assert len(bundle.entry) == 4

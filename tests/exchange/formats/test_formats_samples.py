"""Messages that others made: each is read, or refused with its place; never does the reader fail."""

import pytest
from given_messages import DATA, taken

from safeweave.events import (
    AdmissionReported,
    ChargesPosted,
    MessageNoted,
    OutpatientVisited,
    PersonsMerged,
    VisitUpdated,
)
from safeweave.exchange.formats import Sender

AMERICAN = Sender(id="us", hospital="", currency="USD", test_messages=True)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("ADT-A01-02.hl7", [AdmissionReported]),
        ("ADT-A40-02.hl7", [PersonsMerged, PersonsMerged]),
        ("ADT-A45-01.hl7", [VisitUpdated]),
        ("ADT-A47-02.hl7", [PersonsMerged, PersonsMerged]),
        ("ADT01-23.hl7", [AdmissionReported]),
        ("ADT04-251.hl7", [OutpatientVisited]),
        ("BAR-P12-01.hl7", [MessageNoted]),
        ("DFT-P03-01.hl7", [ChargesPosted]),
    ],
)
def test_messages_of_a_converter_s_samples_are_read(name, kinds):
    assert [type(e) for e in taken((DATA / name).read_bytes(), AMERICAN).events] == kinds


def test_an_old_admission_keeps_its_diagnosis_and_numbers():
    (told,) = taken((DATA / "ADT01-23.hl7").read_bytes(), AMERICAN).events
    assert isinstance(told, AdmissionReported)
    assert (told.visit, told.diagnoses[0].code, told.diagnoses[0].system) == ("40007716", "71596", "I9")
    numbers = [(i.kind, i.number) for i in told.person.identifiers]
    assert numbers == [("mr", "10006579"), ("policy", "123121234A"), ("policy", "056269770")]
    assert told.person.name == "DONALD DUCK"


def test_charges_in_dollars_keep_their_diagnosis_free_amounts():
    (told,) = taken((DATA / "DFT-P03-01.hl7").read_bytes(), AMERICAN).events
    assert isinstance(told, ChargesPosted)
    assert [(c.id, c.amount) for c in told.charges] == [("12345", 10000), ("MSG00001/2", 12000)]

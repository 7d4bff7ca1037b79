from datetime import date

import pytest
from given_messages import DATA, refused, taken

from safeweave.events import BillIssued, MessageNoted, VisitUpdated
from safeweave.exchange.formats import Sender

PAYER = Sender(id="us", hospital="", currency="USD", test_messages=True)
TWO_CLAIMS = (DATA / "two-claims-single-provider.837i").read_text()


def test_each_claim_is_a_bill_with_its_lines_days_and_patient():
    first, coded, second, _ = taken(TWO_CLAIMS, PAYER).events
    assert isinstance(first, BillIssued)
    assert first.bill.key == "X12-756048Q"
    assert (first.bill.kind, first.bill.on, first.bill.total) == ("outpatient", date(2005, 6, 30), 8995)
    assert [(line.code, line.amount, line.on) for line in first.bill.lines] == [
        ("85025", 1339, date(2005, 3, 15)),
        ("93005", 7656, date(2005, 3, 15)),
    ]
    assert (first.first_day, first.last_day) == (date(2005, 3, 15), date(2005, 3, 15))
    assert first.person is not None
    assert (first.person.name, first.person.birth, first.person.sex) == ("JON T DOE", date(1968, 11, 11), "M")
    assert (first.bill.social, first.itemised) == (None, False)
    assert isinstance(coded, VisitUpdated)
    assert [(d.code, d.main) for d in coded.diagnoses] == [("3669", True), ("4019", False), ("79431", False)]
    assert isinstance(second, BillIssued)
    assert second.person is not None
    assert second.person.name == "JOE SMITH"


def test_a_dependent_is_the_patient_and_another_payer_s_subscriber_is_not():
    told = taken((DATA / "dependent-commercial-insurance-02.837").read_bytes(), PAYER).events[0]
    assert isinstance(told, BillIssued)
    assert told.person is not None
    assert told.person.birth is not None
    both = taken((DATA / "demo.cob.example3.C.837").read_bytes(), PAYER).events[0]
    assert isinstance(both, BillIssued)


def test_a_test_interchange_is_only_noted():
    reading = taken(TWO_CLAIMS, Sender(id="us", hospital="", currency="USD"))
    assert [e.what for e in reading.events if isinstance(e, MessageNoted)] == [
        "837 test claim 756048Q total 89.95",
        "837 test claim 756049Q total 50.00",
    ]


def test_a_remittance_is_noted_claim_by_claim():
    told = taken((DATA / "secondary-payment.835").read_bytes(), PAYER).events
    assert [e.what for e in told if isinstance(e, MessageNoted)] == [
        "835 payment L0004828311 charged 10323.64 paid 912.00",
        "835 payment 0001000053 charged 751.50 paid 310.00",
    ]


def test_other_sets_are_noted_by_name():
    text = "\n".join(line for line in TWO_CLAIMS.splitlines() if line[:3] in ("ISA", "GS*", "ST*", "SE*", "GE*", "IEA"))
    text = text.replace("ST*837*987654*005010X223A3", "ST*834*987654*005010X220A1").replace("SE*48", "SE*2")
    (told,) = taken(text, PAYER).events
    assert isinstance(told, MessageNoted)
    assert told.what == "X12 834 987654"


def test_delimiters_are_those_of_the_header_and_line_ends_do_not_matter():
    text = TWO_CLAIMS.replace("~\n", "~").translate(str.maketrans({"*": "|", "~": "\x1e", ":": ">"}))
    assert taken(text, PAYER).events == taken(TWO_CLAIMS, PAYER).events


@pytest.mark.parametrize(
    ("change", "field", "line"),
    [
        (("SE*48*", "SE*47*"), "SE01", 48 + 2),
        (("SE*48*987654", "SE*48*987655"), "SE02", 50),
        (("GE*1*1", "GE*2*1"), "GE01", 51),
        (("IEA*1*000000907", "IEA*1*000000908"), "IEA02", 52),
        (("CLM*756048Q*89.95", "CLM*756048Q*8x.95"), "CLM02", 21),
        (("CLM*756048Q", "CLM*"), "CLM01", 21),
        (("SV2*0305*HC:85025*13.39", "SV2*0305*HC:85025*"), "SV203", 29),
        (("DTP*472*D8*20050315", "DTP*472*D8*20051315"), "DTP03", 30),
        (("DMG*D8*19681111", "DMG*D8*19681131"), "DMG02", 19),
        (("BHT*0019*00*0123*20050630", "BHT*0019*00*0123*20050631"), "BHT04", 4),
        (("\nGE*1*1~\nIEA*1*000000907~", ""), "IEA", 50),
        (("SE*48*987654~\n", ""), "GE", 50),
        (("IEA*1*000000907~", "IEA*1*000000907"), "IEA", 52),
        (("ISA*03*9876543210*", "ISA*03*98765*"), "ISA", 1),
    ],
)
def test_a_broken_envelope_or_claim_is_refused_with_its_place(change, field, line):
    fault = refused(TWO_CLAIMS.replace(*change, 1), PAYER)
    assert (fault.field, fault.line) == (field, line)


def test_interchanges_of_one_number_with_other_content_are_two_messages():
    first = taken(TWO_CLAIMS, PAYER).control_id
    other = taken(TWO_CLAIMS.replace("13.39", "13.38"), PAYER).control_id
    assert first != other
    assert first.startswith("000000907-")

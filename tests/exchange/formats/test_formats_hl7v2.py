from datetime import UTC, date, datetime

import pytest
from given_messages import HOSPITAL, at, hl7, only, refused, taken
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from safeweave.errors import Malformed
from safeweave.events import (
    AdmissionCancelled,
    AdmissionReported,
    ChargesPosted,
    DischargeCancelled,
    Identifier,
    LeaveBegan,
    LeaveEnded,
    MessageNoted,
    OutpatientVisited,
    PatientDischarged,
    PersonsMerged,
    VisitUpdated,
)
from safeweave.exchange.formats import Limits, Sender, hl7v2, read

NOW = datetime(2026, 3, 3, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [
        ("ADT^A01", AdmissionReported),
        ("ADT^A06", AdmissionReported),
        ("ADT^A07", OutpatientVisited),
        ("ADT^A02", VisitUpdated),
        ("ADT^A12", VisitUpdated),
        ("ADT^A08", VisitUpdated),
        ("ADT^A31", VisitUpdated),
        ("ADT^A45", VisitUpdated),
        ("BAR^P01", VisitUpdated),
        ("BAR^P05", VisitUpdated),
        ("ADT^A03", PatientDischarged),
        ("ADT^A11", AdmissionCancelled),
        ("ADT^A13", DischargeCancelled),
        ("ADT^A21", LeaveBegan),
        ("ADT^A22", LeaveEnded),
        ("ADT^A05", MessageNoted),
        ("ADT^A38", MessageNoted),
        ("BAR^P02", MessageNoted),
        ("BAR^P06", MessageNoted),
        ("ORU^R01", MessageNoted),
    ],
)
def test_each_trigger_tells_its_event(trigger, kind):
    told = only(hl7(trigger))
    assert type(told) is kind
    assert told.visit == "ZY20260301"
    assert told.occurred_at == at("2026-03-03T08:40:00")


def test_an_outpatient_is_registered_and_an_emergency_is_marked():
    told = only(hl7("ADT^A04", visit="PV1|1|E|||||||||||||||||MZ1"))
    assert isinstance(told, OutpatientVisited)
    assert told.emergency
    assert told.visit == "MZ1"


def test_an_accident_has_its_own_day():
    told = only(hl7("ADT^A01", "ACC|20260301"))
    assert isinstance(told, AdmissionReported)
    assert told.accident_on == date(2026, 3, 1)


@pytest.mark.parametrize(
    ("place", "ward"), [("ICU1^3", "icu"), ("特需病区", "vip"), ("INTL^1", "international"), ("W05", "ordinary")]
)
def test_the_ward_is_read_from_the_place(place, ward):
    told = only(hl7("ADT^A02", visit=f"PV1|1|I|{place}||||||||||||||||ZY1"))
    assert isinstance(told, VisitUpdated)
    assert told.ward == ward


@pytest.mark.parametrize(("code", "disposition"), [("01", "1"), ("4", "4"), ("07", "4"), ("20", "5"), ("77", "")])
def test_the_disposition_is_read_from_both_tables(code, disposition):
    reading = taken(hl7("ADT^A03", visit=f"PV1|1|I|W05||||||||||||||||ZY1{'|' * 17}{code}"))
    (told,) = reading.events
    assert isinstance(told, PatientDischarged)
    assert told.disposition == disposition
    assert bool(reading.notes) == (disposition == "")


def test_every_merged_person_is_told_with_the_number_that_stays():
    message = hl7("ADT^A40", visit="MRG|B9^^^H001^MR~B8^^^H001^MR") + "\rPID|1||B2^^^H001^MR||测试^乙\rMRG|B7^^^H001^MR"
    first, second = taken(message).events
    assert isinstance(first, PersonsMerged)
    assert [i.number for i in first.retired.identifiers] == ["B9", "B8"]
    assert isinstance(second, PersonsMerged)
    assert (second.survivor.name, second.retired.identifiers) == ("测试乙", (Identifier("mr", "B7", "H001"),))


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\n\r\n"])
def test_any_line_end_ends_a_segment(end):
    message = hl7("ADT^A01", "ZPI|anything|^~", "DG1|1||N84.001^^I10||20260303|A|||").replace("\r", end) + end
    told = only(b"\xef\xbb\xbf" + message.encode())
    assert isinstance(told, AdmissionReported)
    assert told.diagnoses[0].code == "N84.001"


def test_delimiters_are_those_of_the_message():
    message = hl7("ADT^A01").translate(str.maketrans({"|": "#", "^": "@", "~": "*", "&": "%"}))
    told = only(message)
    assert isinstance(told, AdmissionReported)
    assert told.person.identifiers[1].number == "11010519491231002X"


def test_escapes_stand_for_what_they_mean():
    told = only(hl7("ADT^A08", r"DG1|1||A00.1^a\T\b \F\ \S\ \R\ \E\ \XE7BD97\ \Q\ end\^I10"))
    assert isinstance(told, VisitUpdated)
    assert told.diagnoses[0].name == r"a&b | ^ ~ \ 罗 \Q\ end" + "\\"


def test_gb18030_is_read_where_the_header_says_so_even_where_its_bytes_look_like_delimiters():
    # 硘 is B3 7C in GB 18030, whose second byte is "|".
    header = r"MSH|^~\&|硘院|H001|CLAIMS|INS01|20260303084200||ADT^A01|M1|P|2.5.1|||||CHN|GB 18030-2000"
    raw = hl7("ADT^A01", header=header).replace("测试^甲", "硘^䶮").encode("gb18030")
    assert b"\xb3|" in raw
    told = only(raw)
    assert isinstance(told, AdmissionReported)
    assert told.person.name == "硘䶮"
    assert hl7v2.ack(raw, "AA", None, NOW).decode("gb18030").split("|")[4:9:4] == ["硘院", "ACK^A01^ACK"]


def test_without_a_character_set_the_sender_s_is_used():
    header = r"MSH|^~\&|HIS|H001|CLAIMS|INS01|20260303084200||ADT^A01|M1|P|2.3"
    raw = hl7("ADT^A01", header=header).encode("gb18030")
    told = only(raw, Sender(id="old", hospital="", encoding="gb18030"))
    assert isinstance(told, AdmissionReported)
    assert told.person.name == "测试甲"
    assert refused(raw).field == "PID-5"


@pytest.mark.parametrize(
    ("text", "at_shanghai"),
    [
        ("20260303084000+0800", "2026-03-03T08:40:00"),
        ("20260303004000+0000", "2026-03-03T08:40:00"),
        ("20260303084000", "2026-03-03T08:40:00"),
        ("202603030840", "2026-03-03T08:40:00"),
        ("20260303084000.1234", "2026-03-03T08:40:00.123400"),
        ("2026030308", "2026-03-03T08:00:00"),
        ("20260303", "2026-03-03T00:00:00"),
        ("202603", "2026-03-01T00:00:00"),
        ("2026", "2026-01-01T00:00:00"),
    ],
)
def test_a_time_may_be_partial_and_without_offset_is_shanghai_s(text, at_shanghai):
    assert only(hl7("ADT^A11").replace("20260303084000+0800", text)).occurred_at == at(at_shanghai)


@pytest.mark.parametrize(
    "text", ["20260230", "20261301", "202603032560", "2026030", "yesterday", "20260303084000+0860"]
)
def test_an_impossible_time_is_refused_with_its_field(text):
    fault = refused(hl7("ADT^A11").replace("20260303084000+0800", text))
    assert (fault.field, fault.line) == ("EVN-6", 2)


@pytest.mark.parametrize(
    ("change", "field", "line"),
    [
        (("M1|P", "|P"), "MSH-10", 1),
        (("ADT^A01", ""), "MSH-9", 1),
        (("|7||AL", "|x||AL"), "MSH-13", 1),
        (("UNICODE UTF-8", "KLINGON"), "MSH-18", 1),
        (("19491231|F", "19491331|F"), "PID-7", 3),
        (("ZY20260301^^^H001^VN", ""), "PV1-19", 4),
        (("PID|", "PIDX|"), "segment 3", 3),
        (("PID|1", "ZID|1"), "PID", 4),
        ((r"MSH|^~\&", "MSH|aaa"), "MSH-2", 1),
    ],
)
def test_a_fault_is_told_with_segment_and_field(change, field, line):
    fault = refused(hl7("ADT^A01").replace(*change))
    assert (fault.field, fault.line) == (field, line)


def test_a_charge_that_cannot_be_read_names_its_segment():
    charges = ("FT1|1|C1||20260304||CG|X|||1|3.00", "FT1|2|C2||20260304||CG|X|||1|3.00&USD")
    assert refused(hl7("DFT^P03", *charges)).field == "FT1[2]-11"
    assert refused(hl7("DFT^P03", charges[0].replace("3.00", "3.001"))).field == "FT1-11"
    assert refused(hl7("DFT^P03", charges[0].replace("|20260304|", "||"))).field == "FT1-4"


def test_an_amount_may_be_quantity_times_price_and_payments_are_no_charges():
    reading = taken(
        hl7("DFT^P03", "FT1|1|C1||20260304||CG|X^^^06^^CHRGITM|||2.5||4.20", "FT1|2|P1||20260304||PY||||1|9.00")
    )
    (told,) = reading.events
    assert isinstance(told, ChargesPosted)
    assert [c.amount for c in told.charges] == [1050]
    assert reading.notes == ('FT1-6 "PY" is no charge',)


def test_a_test_message_is_noted_unless_the_sender_may_send_tests():
    message = hl7("ADT^A01").replace("|M1|P|", "|M1|T|")
    assert isinstance(only(message), MessageNoted)
    assert isinstance(only(message, Sender(id="t", hospital="", test_messages=True)), AdmissionReported)


def test_a_message_of_another_application_is_refused_on_this_connection():
    fault = refused(hl7("ADT^A01"), Sender(id="x", hospital="", hl7_application="LIS"))
    assert fault.field == "MSH-3"


def test_errors_never_repeat_words_of_the_message():
    for field in ("19491231|F", "20260303084000+0800"):
        fault = refused(hl7("ADT^A01").replace(field, "测试甲 11010519491231002X"))
        assert "测试" not in str(fault)
        assert "1101" not in str(fault)


# ---------------------------------------------------------------- acknowledgements


def test_an_ack_echoes_the_control_id_and_turns_the_names_round():
    answer = hl7v2.ack(hl7("ADT^A01").encode(), "AA", None, NOW)
    header, stored = answer.decode().rstrip("\r").split("\r")
    assert header.split("|")[2:6] == ["CLAIMS", "INS01", "HIS", "H001"]
    assert header.split("|")[8] == "ACK^A01^ACK"
    assert stored == "MSA|AA|M1"


def test_the_same_message_gets_the_same_ack():
    raw = hl7("ADT^A01").encode()
    assert hl7v2.ack(raw, "AA", None, NOW) == hl7v2.ack(raw, "AA", None, NOW)


@pytest.mark.parametrize(
    ("change", "located", "code"),
    [
        (("19491231|F", "19491331|F"), "PID^1^7", "102^Data type error^HL70357"),
        (("ZY20260301^^^H001^VN", ""), "PV1^1^19", "101^Required field missing^HL70357"),
        (("UNICODE UTF-8", "KLINGON"), "MSH^1^18", "103^Table value not found^HL70357"),
        (("PID|1", "ZID|1"), "PID^1", "100^Segment sequence error^HL70357"),
    ],
)
def test_an_error_ack_says_where_and_why(change, located, code):
    raw = hl7("ADT^A01").replace(*change).encode()
    error = refused(raw)
    _, stored, err = hl7v2.ack(raw, "AE", error, NOW).decode().rstrip("\r").split("\r")
    assert stored == "MSA|AE|M1"
    assert err.split("|")[2:5] == [located, code, "E"]
    assert err.split("|")[8].startswith(error.field)


@pytest.mark.parametrize("version", ["2.3.1", "2.4", "2.5.1", "2.6"])
def test_acks_are_valid_hl7(version):
    for change in (("x", "x"), ("19491231|F", "19491331|F")):
        raw = hl7("ADT^A01^ADT_A01").replace("|2.5.1|", f"|{version}|").replace(*change).encode()
        error = refused(raw) if change[0] != "x" else None
        answer = hl7v2.ack(raw, "AE" if error else "AA", error, NOW).decode()
        message = parse_message(answer, validation_level=VALIDATION_LEVEL.TOLERANT)
        assert message.validate()
        assert message.msa.msa_2.value == "M1"


@pytest.mark.parametrize(
    "raw", [b"", b"MSH", b"MSH|", b"hello", b"MSH|^~\\&|A\x00|B", b"\xff\xfe", b"MSH||||", b"MSH^^^^^"]
)
def test_even_a_broken_header_is_answered(raw):
    error = refused(raw)
    answer = hl7v2.ack(raw, "AR", error, NOW)
    assert answer.startswith(b"MSH|^~\\&|")
    assert b"\rMSA|AR|" in answer
    assert b"\rERR|" in answer


def test_a_batch_is_refused():
    assert refused(b"FHS|^~\\&|A\rBHS|^~\\&\r").field == "FHS"
    assert refused(hl7("ADT^A01") + "\r" + hl7("ADT^A02")).field == "MSH[2]-1"


def test_a_message_too_long_is_refused_unread():
    with pytest.raises(Malformed, match="200 are allowed"):
        read(hl7("ADT^A01").encode() * 5, HOSPITAL, Limits(max_bytes=200))
    with pytest.raises(Malformed, match="segments"):
        read(hl7("ADT^A01").encode(), HOSPITAL, Limits(max_entries=3))


@pytest.mark.parametrize(
    ("raw", "system"),
    [
        (b"MSH|^~\\&|HIS^1.2^ISO|H001|X", ("HIS", "H001")),
        (b"\x0b\xef\xbb\xbfMSH#@*#HIS#H001", ("HIS", "H001")),
        ("MSH|^~\\&|硘院|一院".encode("gb18030"), ("硘院", "一院")),
        (b"MSH|^~\\&|HIS", ("HIS", "")),
        (b"PID|1", ("", "")),
        (b"MSH", ("", "")),
        (b"", ("", "")),
    ],
)
def test_the_sending_system_is_known_before_the_message_is_read(raw, system):
    assert hl7v2.sending_system(raw) == system

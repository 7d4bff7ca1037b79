"""What one safeweave node tells another of a visit says the same events, and nothing that is not of the visit."""

import json
from datetime import UTC, datetime

import pytest
from given_messages import EXAMPLES, HOSPITAL, refused, taken
from msgspec.structs import replace

from given import CLEAN_STAY, charged, discharge_cancelled, left, reversed_bill, settled, settlement_cancelled, updated
from safeweave.errors import Malformed
from safeweave.exchange.formats import Limits, visit

SENT = datetime(2026, 3, 6, 8, 0, tzinfo=UTC)
LEAVE = {"type": "LeaveBegan", "visit": "ZY1", "occurred_at": "2026-03-06T08:00:00Z"}
EVERYTHING = (
    *CLEAN_STAY, settled(), updated("2026-03-04"), left("2026-03-04"), charged("2026-03-04", ("c1", "12.00")),
    discharge_cancelled("2026-03-05"), reversed_bill(), settlement_cancelled(),
)  # fmt: skip


def test_every_kind_of_event_comes_out_as_it_went_in():
    read = taken(visit.write("told_1", SENT, "ZY1", EVERYTHING))
    assert (read.format, read.control_id, read.sent_at, read.sequence) == ("visit", "told_1", SENT, None)
    assert read.events == tuple(replace(event, visit="ZY1", sender=HOSPITAL.id, told_at=None) for event in EVERYTHING)
    assert read.kind.startswith("AdmissionReported,PatientDischarged,BillIssued")


def test_the_page_shows_one():
    read = taken(EXAMPLES["visit"])
    assert [type(event).__name__ for event in read.events] == ["AdmissionReported", "PatientDischarged"]
    assert {event.visit for event in read.events} == {"ZY20260301"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"form": "safeweave/visit/2"}, "form"),
        ({"id": ""}, "id"),
        ({"visit": ""}, "visit"),
        ({"visit": "another"}, "events[0].visit"),
        ({"events": []}, "events"),
        ({"sent_at": "2026-03-06T08:00:00"}, "sent_at"),
        ({"events": [{"type": "PersonsMerged"}]}, "events[0].type"),
        ({"events": [LEAVE | {"occurred_at": "2026-03-06T08:00:00"}]}, "events[0].occurred_at"),
        ({"events": [LEAVE | {"sender": "x"}]}, "events[0].visit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(change, field):
    told = json.loads(visit.write("told_1", SENT, "ZY1", CLEAN_STAY)) | change
    message = json.dumps(told, separators=(",", ":"))
    assert refused(message).field.startswith(field)


def test_a_message_that_was_cut_off_is_refused():
    whole = visit.write("told_1", SENT, "ZY1", CLEAN_STAY)
    with pytest.raises(Malformed, match="no JSON"):
        visit.read(whole[:-20], HOSPITAL, Limits())

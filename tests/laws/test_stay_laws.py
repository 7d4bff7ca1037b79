"""However messages are delayed, repeated and reordered, the stay is the same."""

from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from given import (
    a_bill,
    admission_cancelled,
    admitted,
    at,
    billed,
    came_back,
    charged,
    discharge_cancelled,
    discharged,
    left,
    ref,
    reversed_bill,
    settled,
    settlement_cancelled,
    summary_bill,
    updated,
    visited,
)
from safeweave.cases.case import happenings, is_ready, moved
from safeweave.cases.claim import claim_of, waits_for
from safeweave.cases.lifecycle import STAGES, Happening, Stage, stage_after
from safeweave.cases.stay import Stay, folded, happened
from safeweave.events import Diagnosis, HospitalEvent
from safeweave.facts import Claim

# Everything that can befall one stay: emergency visit, admission, wards, leave, charges and a credit, a discharge that
# was cancelled, a settlement undone and redone, a bill reversed and reissued.
LONG_STAY: tuple[HospitalEvent, ...] = (
    visited("2026-03-03T07:30", emergency=True),
    admitted(),
    charged("2026-03-03T18:00", ("CHG1", "300.00")),
    updated("2026-03-04T09:00", ward="icu"),
    updated("2026-03-05T10:00", diagnoses=(Diagnosis("K80.200", role="W"),)),
    charged("2026-03-05T18:00", ("CHG2", "800.00"), ("CHG3", "-100.00")),
    updated("2026-03-05T20:00", ward="ordinary"),
    left("2026-03-05T21:00"),
    came_back("2026-03-06T07:00"),
    discharged("2026-03-06T15:05"),
    settled("S1", "1", when="2026-03-06T15:15"),
    summary_bill("1"),
    replace(discharge_cancelled("2026-03-06T15:05"), told_at=at("2026-03-06T16:30")),
    settlement_cancelled("S1", "2026-03-06T16:40"),
    reversed_bill("1", "2026-03-06T16:45"),
    discharged("2026-03-07T10:00", "2"),
    settled("S2", "2", "1200.00", when="2026-03-07T10:10"),
    billed(a_bill("2", "1200.00", replaces=ref("1")), "2026-03-07T10:15"),
)
EVENTS = (*LONG_STAY, admission_cancelled("2026-03-03T09:00"), admitted("2026-03-03T10:00"))


def stay(events: list[HospitalEvent]) -> Stay:
    return folded(happened(events))


@given(st.permutations(LONG_STAY))
@settings(max_examples=200, deadline=None)
def test_any_order_of_arrival_gives_the_same_stay(arrived):
    found = stay(arrived)
    assert found == stay(list(LONG_STAY))
    assert (found.discharged_at, found.disposition, waits_for(found)) == (at("2026-03-07T10:00"), "2", "")
    assert [seen.bill.number[-1] for seen in found.live_bills] == ["2"]


@given(st.permutations(LONG_STAY), st.lists(st.sampled_from(LONG_STAY), max_size=6))
@settings(max_examples=100, deadline=None)
def test_what_is_told_twice_counts_once(arrived, again):
    assert claimed(stay([*arrived, *again])) == claimed(stay(list(LONG_STAY)))


def claimed(found: Stay) -> Claim:
    """What a determination would read."""
    return claim_of(found, "", date.min, {})


DECISIONS: tuple[tuple[Happening, ...], ...] = (
    ("case_referred",),
    ("case_referred", "case_refused"),
    ("case_determined",),
    ("case_determined", "payout_confirmed"),
    ("case_determined", "payout_confirmed", "everything_settled"),
)


@given(st.permutations(EVENTS), st.data())
@settings(max_examples=300, deadline=None)
def test_a_case_is_decided_exactly_when_the_stay_is_ready_and_on_nothing_older(arrived, data):
    """Told piece by piece in any order, with any decision in between."""
    heard: list[HospitalEvent] = []
    before: Stay | None = None
    stage: Stage | None = None
    decided_on: Stay | None = None
    while len(heard) < len(arrived):
        heard = arrived[: len(heard) + data.draw(st.integers(1, 6))]
        after = stay(heard)
        found = happenings(before, after)
        stages = [after_it for _, after_it in moved(stage, found)]
        assert set(stages) <= set(STAGES)
        stage = stages[-1] if stages else stage
        before = after
        if is_ready(after) and "bill_verified" in found:
            assert stage == "verified", found
            decided_on = after
            for happening in data.draw(st.sampled_from(DECISIONS)):
                stage = stage_after(stage, happening)
        elif is_ready(after):
            assert decided_on is not None
            assert claimed(after) == claimed(decided_on)
        else:
            assert stage not in ("verified", "referred", "determined", "paid", "closed", "refused"), found
        assert (stage == "withdrawn") == after.cancelled

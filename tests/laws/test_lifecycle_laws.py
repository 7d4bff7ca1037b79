"""The life cycle of a case is one table that leads from everywhere to an end."""

from hypothesis import given
from hypothesis import strategies as st

from safeweave.cases.lifecycle import HAPPENINGS, STAGES, TABLE, picture, stage_after
from safeweave.words import knows


def reachable(start: str | None) -> set[str | None]:
    found: set[str | None] = {start}
    while True:
        more = {stage_after(stage, happening) for stage in found for happening in HAPPENINGS} - found  # type: ignore[arg-type]
        if not more:
            return found
        found |= more


def test_every_stage_can_be_reached():
    assert reachable(None) >= set(STAGES)


def test_from_every_stage_a_case_can_still_be_closed():
    assert all("closed" in reachable(stage) for stage in STAGES)


@given(st.lists(st.sampled_from(HAPPENINGS), max_size=30))
def test_nothing_that_happens_leads_out_of_the_table(happened):
    stage = None
    for happening in happened:
        stage = stage_after(stage, happening)
        assert stage is None or stage in STAGES


def test_every_happening_of_the_table_moves_something_in_one_way_only():
    rows = [(before, happening) for befores, happening, _ in TABLE for before in befores]
    assert len(rows) == len(set(rows))


def test_a_decided_case_is_not_decided_again_by_itself():
    for stage in ("determined", "paid", "withdrawn"):
        assert stage_after(stage, "case_determined") == stage  # type: ignore[arg-type]


def test_a_closed_case_of_which_one_more_determination_is_heard_is_open_until_its_money_has_arrived():
    assert stage_after("closed", "case_determined") == "determined"
    assert stage_after("determined", "everything_settled") == "closed"


def test_money_confirmed_never_takes_a_case_off_a_person_s_desk():
    assert stage_after("referred", "payout_confirmed") == "referred"
    assert stage_after("referred", "everything_settled") == "referred"


def test_the_picture_shows_every_stage_and_each_has_words_in_both_languages():
    drawn = picture()
    for stage in STAGES:
        assert stage in drawn
        assert knows(f"stages.{stage}")
    for happening in HAPPENINGS:
        assert knows(f"happenings.{happening}")

"""Two acts, each with its recipient, purpose, kinds, period and text; who may give them, and when they end."""

from datetime import UTC, date, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consents.given_consents import (
    BEGIN,
    DURING,
    END,
    GUARDIAN,
    HOSPITAL,
    INSURER,
    OTHER_HOSPITAL,
    OTHER_INSURER,
    PERSON,
    PROOF,
    ask,
    consent,
    guarded_child,
    kept,
    person,
)
from safeweave.consents import AFTER, Answer, Party, asks_to_hand_over, may_still, state_at
from safeweave.consents.consent import (
    ACTS,
    CHOICES,
    DATA_KINDS,
    ENDINGS,
    PURPOSES,
    Deed,
    Reason,
    answer,
    check,
    retake_day,
)
from safeweave.ids import person_key
from safeweave.people import Guardianship
from safeweave.people.identity import Unusable
from safeweave.words import LANGUAGES, knows

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def refused(given, by):
    with pytest.raises(Unusable) as fault:
        check(given, by)
    return fault.value.field, fault.value.key.removeprefix("consents.fault.")


# ---------------------------------------------------------------- giving


def test_a_grown_up_gives_both_acts_itself():
    check(consent(), person())
    check(consent(act="process"), person())


@pytest.mark.parametrize(
    ("told", "field", "why"),
    [
        ({"giver": None}, "giver", "no_giver"),
        ({"act": "process", "giver": HOSPITAL}, "giver", "giver_of_processing"),
        ({"recipient": HOSPITAL}, "recipient", "gives_itself"),
        ({"recipient": Party(INSURER.member, INSURER.name)}, "recipient", "recipient_unnamed"),
        ({"recipient": Party(INSURER.member, "", "400")}, "recipient", "recipient_unnamed"),
        ({"kinds": ()}, "kinds", "no_kinds"),
        ({"ends_at": BEGIN}, "ends_at", "no_period"),
        ({"given_at": END}, "ends_at", "no_period"),
        ({"given_by": GUARDIAN, "proof": PROOF}, "given_by", "no_guardian"),
    ],
)
def test_what_the_law_wants_named_must_be_named(told, field, why):
    assert refused(consent(**told), person()) == (field, why)


def test_for_a_child_under_14_the_guardian_on_file_consents_with_proof():
    child = guarded_child(date(2015, 5, 1))
    check(consent(given_by=GUARDIAN, proof=PROOF), child)
    assert refused(consent(given_by=GUARDIAN), child) == ("proof", "no_proof")
    assert refused(consent(), child) == ("given_by", "guardian_needed")
    assert refused(consent(given_by="person_stranger", proof=PROOF), child) == ("given_by", "no_guardian")


def test_a_guardianship_that_is_over_gives_nothing():
    child = guarded_child(date(2015, 5, 1), last_day=date(2026, 2, 28))
    assert refused(consent(given_by=GUARDIAN, proof=PROOF), child) == ("given_by", "no_guardian")


def test_from_14_the_person_consents_itself():
    youth = guarded_child(date(2012, 3, 1))
    check(consent(), youth)
    assert refused(consent(given_by=GUARDIAN, proof=PROOF), youth) == ("given_by", "gives_itself_now")
    day_before = guarded_child(date(2012, 3, 2))
    check(consent(given_by=GUARDIAN, proof=PROOF), day_before)


def test_for_a_grown_up_only_a_guardianship_beyond_childhood_counts():
    from_childhood = guarded_child(date(1990, 1, 1))
    assert refused(consent(given_by=GUARDIAN, proof=PROOF), from_childhood) == ("given_by", "no_guardian")
    by_court = person(date(1990, 1, 1), None, Guardianship(PERSON, GUARDIAN, "court order", date(2025, 1, 1)))
    check(consent(given_by=GUARDIAN, proof="court order"), by_court)


def test_nobody_consents_for_the_dead_or_for_somebody_without_a_birth_date():
    assert refused(consent(), person(died_on=date(2026, 3, 1))) == ("person", "died")
    assert refused(consent(), person(birth=None)) == ("person", "no_birth")


def test_the_same_consent_has_the_same_id_and_another_one_another():
    assert consent().id == consent().id
    others = [
        consent(recipient=OTHER_INSURER), consent(giver=OTHER_HOSPITAL), consent(kinds=("bill",)),
        consent(act="process"), consent(purpose="advance"), consent(visit="H1/ZY1"), consent(ends_at=END + DAY),
        consent(given_at=BEGIN + SECOND), consent(follows=consent().id),
    ]  # fmt: skip
    assert len({each.id for each in [consent(), *others]}) == len(others) + 1


def test_its_id_begins_like_the_persons_own():
    assert person_key(consent().id) == person_key(PERSON)


# ---------------------------------------------------------------- states


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (BEGIN - SECOND, "pending"),
        (BEGIN, "active"),
        (END - SECOND, "active"),
        (END, "expired"),
    ],
)
def test_a_consent_holds_from_its_first_instant_until_just_before_its_end(at, state):
    assert state_at(kept(consent()), person(), at) == state


def test_a_consent_does_not_reach_back_before_it_was_given():
    late = consent(given_at=DURING)
    assert state_at(kept(late), person(), DURING - SECOND) == "pending"


def test_a_revocation_counts_from_its_instant():
    revoked = kept(consent(), DURING)
    assert state_at(revoked, person(), DURING - timedelta(microseconds=1)) == "active"
    assert state_at(revoked, person(), DURING) == "revoked"


def test_death_ends_a_standing_consent_but_not_the_one_for_the_stay_in_which_it_came():
    died = person(died_on=date(2026, 3, 5))
    assert state_at(kept(consent()), died, datetime(2026, 3, 4, 15, tzinfo=UTC)) == "active"
    assert state_at(kept(consent()), died, datetime(2026, 3, 4, 16, tzinfo=UTC)) == "lapsed"  # midnight in Shanghai
    assert state_at(kept(consent(visit="H1/ZY1")), died, DURING) == "active"


@pytest.mark.parametrize(("years", "given_by"), [(14, GUARDIAN), (18, PERSON)])
def test_who_turns_14_or_18_during_a_stay_is_asked_again(years, given_by):
    birth = date(2026 - years, 3, 8)
    given = kept(consent(given_by=given_by, proof=PROOF if given_by == GUARDIAN else ""))
    child = guarded_child(birth)
    assert state_at(given, child, datetime(2026, 3, 7, 15, 59, 59, tzinfo=UTC)) == "active"
    assert state_at(given, child, datetime(2026, 3, 7, 16, tzinfo=UTC)) == "retake"


def test_who_died_before_that_birthday_is_not_asked_again():
    child = person(date(2012, 3, 8), date(2026, 3, 7), Guardianship(PERSON, GUARDIAN, PROOF, date(2012, 3, 8)))
    assert state_at(kept(consent(given_by=GUARDIAN, proof=PROOF, visit="H1/ZY1")), child, DURING) == "active"


@pytest.mark.parametrize(
    ("birth", "given_on", "again"),
    [
        (date(2012, 2, 29), date(2026, 2, 1), date(2026, 3, 1)),  # no 29 February then
        (date(2012, 2, 29), date(2026, 3, 1), date(2030, 3, 1)),
        (date(2012, 6, 1), date(2026, 5, 31), date(2026, 6, 1)),
        (date(2012, 6, 1), date(2026, 6, 1), date(2030, 6, 1)),
        (date(2008, 6, 1), date(2026, 6, 1), None),
    ],
)
def test_the_birthday_from_which_it_must_be_given_again(birth, given_on, again):
    assert retake_day(birth, datetime(given_on.year, given_on.month, given_on.day, 4, tzinfo=UTC)) == again


instants = st.datetimes(datetime(2025, 1, 1), datetime(2045, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
births = st.dates(date(1930, 1, 1), date(2026, 1, 1))
lifetimes = st.one_of(st.none(), st.dates(date(2026, 3, 1), date(2040, 1, 1)))
visits = st.sampled_from(["", "H1/ZY1"])


@given(births, lifetimes, visits, st.none() | instants, instants, instants)
@example(date(1980, 1, 1), None, "", DURING, DURING, DURING)
def test_what_has_ended_never_holds_again(birth, died_on, visit, revoked_at, one, other):
    bearer = person(birth, died_on)
    given = kept(consent(visit=visit, ends_at=BEGIN + 7000 * DAY), revoked_at)
    earlier, later = sorted((one, other))
    if state_at(given, bearer, earlier) in ENDINGS:
        assert state_at(given, bearer, later) in ENDINGS


# ---------------------------------------------------------------- answers


def answered(asked, *given, bearer=None):
    return answer(asked, given, bearer or person())


def test_a_consent_answers_for_exactly_what_it_names():
    given = consent()
    assert answered(ask(), kept(given)) == Answer(given.id)
    assert answered(ask(kinds=("bill", "identity")), kept(given)).allowed


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"act": "process"}, "never_given"),
        ({"giver": OTHER_HOSPITAL.member}, "never_given"),
        ({"recipient": OTHER_INSURER.member}, "never_given"),
        ({"purpose": "advance"}, "other_purpose"),
        ({"visit": "H1/ZY2"}, "other_visit"),
        ({"visit": ""}, "other_visit"),
        ({"at": BEGIN - SECOND}, "pending"),
        ({"at": END}, "expired"),
    ],
)
def test_what_it_does_not_name_is_refused_with_the_reason(asked, reason):
    refused = answered(ask(**{"visit": "H1/ZY1", **asked}), kept(consent(visit="H1/ZY1")))
    assert (refused.allowed, refused.reason) == (False, reason)
    assert all(refused.said(language) for language in LANGUAGES)


def test_a_scope_smaller_than_the_need_says_what_is_missing():
    given = consent(kinds=("bill", "identity"))
    refused = answered(ask(kinds=("record", "diagnosis", "bill")), kept(given))
    assert refused == Answer(reason="incomplete", missing=("diagnosis", "record"), nearest=given.id)
    assert "diagnoses, medical records" in refused.said("en")
    assert "诊断、病历" in refused.said("zh")


@pytest.mark.parametrize("later", [BEGIN - SECOND, BEGIN + SECOND])
def test_of_two_that_are_too_small_the_one_that_lacks_least_is_named(later):
    wide, narrow = consent(kinds=("bill", "identity")), consent(kinds=("bill",), given_at=later)
    refused = answered(ask(kinds=("bill", "identity", "record")), kept(wide), kept(narrow))
    assert (refused.nearest, refused.missing) == (wide.id, ("record",))


def test_no_consent_to_give_answers_for_processing_whoever_is_named():
    assert answered(ask(act="process", giver=HOSPITAL.member), kept(consent())).reason == "never_given"


def test_two_small_consents_do_not_add_up_to_one():
    refused = answered(
        ask(kinds=("diagnosis", "bill")), kept(consent(kinds=("bill",))), kept(consent(kinds=("diagnosis",)))
    )
    assert refused.reason == "incomplete"


def test_a_new_consent_stands_in_place_of_one_that_was_revoked():
    old, new = consent(), consent(given_at=DURING)
    assert answered(ask(at=DURING + DAY), kept(old, DURING - DAY), kept(new)) == Answer(new.id)


def test_of_what_has_ended_the_newest_says_why():
    old, new = consent(ends_at=BEGIN + DAY), consent(given_at=BEGIN + SECOND)
    assert answered(ask(at=END + DAY), kept(old), kept(new, DURING)).reason == "revoked"


def test_of_somebody_unknown_nothing_is_allowed():
    assert answer(ask(), [kept(consent())], None).reason == "unknown_person"


def test_a_hand_over_needs_both_acts():
    to_give, to_process = asks_to_hand_over(
        PERSON, HOSPITAL.member, INSURER.member, "claim", ("bill",), DURING, "H1/ZY1"
    )
    both = [kept(consent()), kept(consent(act="process"))]
    assert [answered(each, *both).allowed for each in (to_give, to_process)] == [True, True]
    assert [answered(each, both[0]).allowed for each in (to_give, to_process)] == [True, False]


kinds = st.lists(st.sampled_from(DATA_KINDS), min_size=1, unique=True).map(tuple)
consents = st.builds(
    consent,
    act=st.just("give"),
    giver=st.sampled_from([HOSPITAL, OTHER_HOSPITAL]),
    recipient=st.sampled_from([INSURER, OTHER_INSURER]),
    purpose=st.sampled_from(PURPOSES),
    kinds=kinds,
    visit=st.sampled_from(["", "H1/ZY1", "H1/ZY2"]),
    given_at=st.datetimes(datetime(2026, 3, 1), datetime(2026, 5, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
asks = st.builds(
    ask,
    giver=st.sampled_from([HOSPITAL.member, OTHER_HOSPITAL.member]),
    recipient=st.sampled_from([INSURER.member, OTHER_INSURER.member]),
    purpose=st.sampled_from(PURPOSES),
    kinds=kinds,
    visit=st.sampled_from(["", "H1/ZY1", "H1/ZY2"]),
    at=st.datetimes(datetime(2026, 2, 1), datetime(2026, 7, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)


@given(st.lists(st.tuples(consents, st.timedeltas(timedelta(0), timedelta(days=60))), max_size=6), asks)
@example([(consent(), timedelta(0))], ask())
def test_a_revoked_consent_allows_nothing_from_its_revocation_on(given, asked):
    assert not answer(asked, [kept(each, asked.at - since) for each, since in given], person()).allowed


@given(st.lists(consents, min_size=1, max_size=6, unique_by=lambda each: each.id), asks, st.data())
def test_a_revocation_ends_no_other_consent(given, asked, data):
    revoked = data.draw(st.sampled_from(given))
    before = answer(asked, map(kept, given), person())
    if before.allowed and before.consent != revoked.id:
        assert answer(asked, [kept(each, BEGIN if each == revoked else None) for each in given], person()) == before


@given(st.lists(consents, max_size=6), asks)
def test_what_is_allowed_is_within_the_consent_that_allows_it(given, asked):
    """So the consent of one recipient, giver, purpose or visit never allows another."""
    found = answer(asked, map(kept, given), person())
    if not found.allowed:
        assert found.reason in get_args(Reason)
        return
    under = next(each for each in given if each.id == found.consent)
    assert (under.act, under.giving_member, under.recipient.member) == (asked.act, asked.giver, asked.recipient)
    assert (under.purpose, under.visit in ("", asked.visit)) == (asked.purpose, True)
    assert set(asked.kinds) <= set(under.kinds)
    assert max(under.begins_at, under.given_at) <= asked.at < under.ends_at


@given(st.lists(consents, min_size=1, max_size=4), asks, st.randoms())
def test_the_order_in_which_consents_are_kept_decides_nothing(given, asked, random):
    shuffled = list(given)
    random.shuffle(shuffled)
    assert answer(asked, map(kept, given), person()) == answer(asked, map(kept, shuffled), person())


# ---------------------------------------------------------------- when it ends


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_says_what_becomes_of_a_stay_under_way(ending):
    after = AFTER[ending]
    assert (after.pulls, after.processed, after.paid) == ("stop", "lawful", "kept")
    assert [len(after.said(language)) for language in LANGUAGES] == [5, 5]


def test_a_revocation_locks_what_is_undecided_and_asks_about_the_open_claim():
    assert (AFTER["revoked"].undecided, AFTER["revoked"].open_claim) == ("locked", "choose")
    assert "withdraw it, or go on with it as an ordinary claim" in AFTER["revoked"].said("en")[3]
    assert AFTER["lapsed"].open_claim == "estate"
    assert AFTER["expired"].open_claim == "give_again"
    assert AFTER["retake"].open_claim == "ask_person"


@pytest.mark.parametrize(
    ("deed", "undecided_yet", "withdraw", "apply"),
    [
        ("pull", False, False, False),
        ("use_locked", False, False, False),
        ("decide", False, False, True),
        ("pay_decided", True, True, True),
        ("keep", True, True, True),
    ],
)
def test_what_may_still_be_done_after_the_end(deed, undecided_yet, withdraw, apply):
    assert [may_still(deed, choice) for choice in (None, *CHOICES)] == [undecided_yet, withdraw, apply]
    assert deed in get_args(Deed)


@pytest.mark.parametrize(
    "key",
    [
        *(f"act.{act}" for act in ACTS),
        *(f"purpose.{purpose}" for purpose in PURPOSES),
        *(f"kind.{kind}" for kind in DATA_KINDS),
        *(f"why_not.{reason}" for reason in get_args(Reason)),
    ],
)
def test_every_word_of_a_consent_is_said(key):
    assert knows(f"consents.{key}")

"""Consents in the store: additions only, whole batches at once, persons that were merged."""

from datetime import date, timedelta

import pytest

from consents.given_consents import (
    BEGIN,
    DURING,
    END,
    HOSPITAL,
    INSURER,
    OTHER_HOSPITAL,
    OTHER_INSURER,
    PROOF,
    ask,
    consent,
    grown_up,
)
from people.given_people import NOW, SAMPLE_FEMALE, citizen_number, particulars
from safeweave import consents, people
from safeweave.consents import Answer, Read, Revocation
from safeweave.errors import NotFound
from safeweave.people import Guardianship
from safeweave.people.identity import Unusable
from safeweave.words import LANGUAGES
from stores import looks_up

SECOND = timedelta(seconds=1)


def revoked(given, at=DURING):
    return Revocation(given.id, at, given.given_by, "phone")


def child_with_guardian(tx, birth):
    described = [particulars("测试童", citizen_number(birth, 2)), grown_up()]
    child, guardian = (each.person for each in people.save_people(tx, described, NOW))
    people.add_guardianships(tx, [Guardianship(child, guardian, PROOF, birth)], NOW)
    return child, guardian


def test_what_was_given_is_kept_as_it_was_given(tx, saved):
    given = [consent(saved[0]), consent(saved[0], act="process", visit="H1/ZY1", how="screen"), consent(saved[1])]
    consents.give(tx, given, NOW)
    found = consents.consents_of(tx, saved)
    assert {kept.consent.id: kept.consent for kept in found[saved[0]]} == {each.id: each for each in given[:2]}
    assert [kept.consent for kept in found[saved[1]]] == given[2:]
    assert consents.consents_by_id(tx, [given[1].id, "consent_unknown"])[given[1].id].consent == given[1]


def test_giving_twice_is_giving_once(tx, saved):
    for _ in range(2):
        consents.give(tx, [consent(saved[0]), consent(saved[0])], NOW)
    assert len(consents.consents_of(tx, saved)[saved[0]]) == 1


def test_a_batch_with_a_consent_that_cannot_stand_keeps_none_of_it(database, saved, tx):
    with pytest.raises(Unusable) as fault:
        consents.give(tx, [consent(saved[0]), consent(saved[1], kinds=())], NOW)
    assert fault.value.field == "kinds"
    assert consents.consents_of(tx, saved)[saved[0]] == []


def test_a_text_that_was_not_the_published_one_is_refused(tx, saved):
    version, digest = consent().text_version, consent().text_digest
    with pytest.raises(Unusable) as fault:
        consents.give(tx, [consent(saved[0], text=(version, "0" * 64))], NOW)
    assert fault.value.key == "consents.fault.other_text"
    with pytest.raises(Unusable) as fault:
        consents.give(tx, [consent(saved[0], text=("1999-01", digest))], NOW)
    assert fault.value.key == "consents.fault.unknown_text"


def test_nobody_unknown_gives_revokes_chooses_registers_or_follows(tx, saved):
    for refused in (
        lambda: consents.give(tx, [consent("person_unknown")], NOW),
        lambda: consents.give(tx, [consent(saved[0], follows="consent_unknown")], NOW),
        lambda: consents.revoke(tx, [revoked(consent(saved[0]))], NOW),
        lambda: consents.choose(tx, [(consent(saved[0]).id, "apply", saved[0])], NOW),
        lambda: consents.register(tx, [consent(saved[0]).id]),
        lambda: consents.erase_salts(tx, [consent(saved[0]).id], "asked", NOW),
        lambda: consents.reads_of(tx, "person_unknown"),
    ):
        with pytest.raises(NotFound, match="is not known here") as missing:
            refused()
        assert "核对" in missing.value.said("zh")


def test_many_asks_are_answered_in_order(tx, saved):
    given = consent(saved[0])
    consents.give(tx, [given], NOW)
    asks = [
        ask(saved[0]),
        ask(saved[1]),
        ask("person_unknown"),
        ask(saved[0], recipient=OTHER_INSURER.member),
        ask(saved[0], kinds=("record",)),
    ]
    answers = consents.allowed(tx, asks)
    assert [each.reason for each in answers] == [None, "never_given", "unknown_person", "never_given", "incomplete"]
    assert answers[0].consent == given.id
    assert consents.allowed(tx, []) == []


def test_the_number_of_statements_does_not_grow_with_the_asks(database, tx, saved):
    consents.give(tx, [consent(each) for each in saved], NOW)

    def statements(asks):
        before = database.statements
        consents.allowed(tx, asks)
        return database.statements - before

    assert (
        statements([ask(saved[0])]) == statements([ask(saved[n % 2], at=DURING + n * SECOND) for n in range(50)]) <= 2
    )


def test_consents_and_reads_are_looked_up_and_not_searched_for(tx):
    assert looks_up(tx, "consent_grant", "select id from consent_grant where person in ?", (["a", "b"],))
    assert looks_up(tx, "record_read", "select id from record_read where person in ?", (["a", "b"],))


def test_a_revocation_stops_what_was_allowed_and_no_other_consent(tx, saved):
    given, other = consent(saved[0]), consent(saved[0], recipient=OTHER_INSURER)
    consents.give(tx, [given, other], NOW)
    consents.revoke(tx, [revoked(given)], NOW)
    before, at, others = consents.allowed(
        tx, [ask(saved[0], at=DURING - SECOND), ask(saved[0]), ask(saved[0], recipient=OTHER_INSURER.member)]
    )
    assert (before, others) == (Answer(given.id), Answer(other.id))
    assert (at.reason, at.nearest) == ("revoked", given.id)
    assert [bool(at.said(language)) for language in LANGUAGES] == [True, True]


@pytest.mark.parametrize("instants", [(DURING, END), (END, DURING)])
def test_of_two_revocations_the_earlier_counts_however_late_it_was_heard_of(tx, saved, instants):
    given = consent(saved[0])
    consents.give(tx, [given], NOW)
    for at in (*instants, *instants):
        consents.revoke(tx, [revoked(given, at)], NOW)
    assert consents.consents_by_id(tx, [given.id])[given.id].revoked_at == DURING


def test_consents_stay_good_when_two_entries_turn_out_to_be_one_person(tx):
    passports = [people.Held("passport", number, "JPN") for number in ("E1", "E2")]
    described = [people.Particulars("Yamada Taro", (passport,), date(1970, 3, 3), "M") for passport in passports]
    first, second = (each.person for each in people.save_people(tx, described, NOW))
    given = consent(second)
    consents.give(tx, [given], NOW)
    consents.note_reads(tx, [Read(second, INSURER.member, ("bill",), "claim", "decide", given.id, DURING)])
    people.merge_persons(tx, first, second, NOW)
    assert [each.consent for each in consents.allowed(tx, [ask(first), ask(second)])] == [given.id, given.id]
    assert consents.reads_of(tx, first) == consents.reads_of(tx, second) != []
    again = consent(first, given_at=DURING)
    consents.give(tx, [again], NOW)
    assert [kept.consent.id for kept in consents.consents_of(tx, [second])[second]] == [given.id, again.id]


def test_after_death_only_the_stay_in_which_it_came_goes_on(tx, saved):
    consents.give(tx, [consent(saved[0]), consent(saved[0], visit="H1/ZY1", act="process")], NOW)
    people.report_death(tx, saved[0], date(2026, 3, 5), NOW)
    standing, for_visit = consents.allowed(tx, [ask(saved[0]), ask(saved[0], act="process", visit="H1/ZY1")])
    assert (standing.reason, for_visit.allowed) == ("lapsed", True)


# ---------------------------------------------------------------- taking again


def test_a_child_that_turns_14_is_listed_until_it_has_consented_itself(tx):
    child, guardian = child_with_guardian(tx, date(2012, 3, 8))
    given = consent(child, given_by=guardian, proof=PROOF)
    consents.give(tx, [given], NOW)
    before, birthday = DURING - 4 * timedelta(days=1), DURING
    assert consents.due_retakings(tx, before) == []
    assert [kept.consent for kept in consents.due_retakings(tx, birthday)] == [given]
    assert consents.allowed(tx, [ask(child)])[0].reason == "retake"
    own = consent(child, given_at=birthday, follows=given.id)
    consents.give(tx, [own], NOW)
    assert consents.due_retakings(tx, birthday) == []
    assert consents.allowed(tx, [ask(child)])[0].consent == own.id


def test_what_has_ended_anyway_need_not_be_taken_again(tx):
    child, guardian = child_with_guardian(tx, date(2012, 3, 8))
    given = consent(child, given_by=guardian, proof=PROOF)
    consents.give(tx, [given], NOW)
    consents.revoke(tx, [revoked(given, BEGIN)], NOW)
    assert consents.due_retakings(tx, DURING) == []


@pytest.mark.parametrize("told", [{"act": "process"}, {"recipient": OTHER_INSURER}, {"giver": OTHER_HOSPITAL}])
def test_a_consent_follows_only_one_like_itself(tx, saved, told):
    given = consent(saved[0])
    consents.give(tx, [given], NOW)
    for later in (consent(saved[0], follows=given.id, **told), consent(saved[1], follows=given.id)):
        with pytest.raises(Unusable) as fault:
            consents.give(tx, [later], NOW)
        assert fault.value.field == "follows"
    consents.give(tx, [consent(saved[0], follows=given.id, kinds=("bill",))], NOW)


# ---------------------------------------------------------------- asking and choosing


def test_what_is_missing_is_asked_once(tx, saved):
    consents.give(tx, [consent(saved[0])], NOW)
    asks = [ask(saved[0], kinds=kinds) for kinds in (("record",), ("record", "bill"), ("record",))]
    refused = list(zip(asks, consents.allowed(tx, asks), strict=True))
    assert consents.note_askings(tx, refused, NOW) == [True, False, False]
    assert consents.note_askings(tx, refused, NOW) == [False, False, False]
    (asking,) = consents.askings_of(tx, saved[0])
    assert (asking.reason, asking.needed.missing, asking.asked_at) == ("incomplete", ("record",), NOW)


def test_another_recipient_or_visit_is_asked_for_by_itself(tx, saved):
    asks = [
        ask(saved[0]),
        ask(saved[0], recipient=OTHER_INSURER.member),
        ask(saved[0], visit="H1/ZY2"),
        ask(saved[0], act="process"),
        ask(saved[1]),
    ]
    refused = list(zip(asks, consents.allowed(tx, asks), strict=True))
    assert consents.note_askings(tx, refused, NOW) == [True] * 5
    assert len(consents.askings_of(tx, saved[0])) == 4


def test_the_last_choice_for_the_open_claim_counts(tx, saved):
    given, other = consent(saved[0]), consent(saved[1])
    consents.give(tx, [given, other], NOW)
    consents.choose(tx, [(given.id, "withdraw", saved[0])], NOW)
    consents.choose(tx, [(given.id, "apply", saved[0])], NOW)
    assert consents.choices(tx, [given.id, other.id]) == {given.id: "apply"}


# ---------------------------------------------------------------- reads


def test_every_read_is_shown_with_who_what_why_under_which_consent_and_when(tx, saved):
    given = consent(saved[0])
    consents.give(tx, [given], NOW)
    reads = [
        Read(
            saved[0],
            INSURER.member,
            ("diagnosis", "bill"),
            "claim",
            "case_1: determination",
            given.id,
            DURING,
            "H1/ZY1",
        ),
        Read(saved[1], INSURER.member, ("bill",), "claim", "case_2", None, DURING),
        Read(saved[0], HOSPITAL.member, (), "advance", "case_1", None, DURING),
        Read(saved[0], INSURER.member, ("identity",), "claim", "case_1", given.id, BEGIN),
    ]
    consents.note_reads(tx, reads)
    consents.note_reads(tx, [])
    assert consents.reads_of(tx, saved[0]) == [reads[3], reads[0], reads[2]]
    consents.note_reads(tx, reads[:1])
    assert len(consents.reads_of(tx, saved[0])) == 4  # reading again is another read
    assert SAMPLE_FEMALE not in str(consents.reads_of(tx, saved[0]))

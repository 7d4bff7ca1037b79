"""A consent ends while a claim is under way: pulls stop, what is undecided is locked, what is decided is paid."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from consortium.given_insurer import Pair
from given import (
    CLEAN_STAY,
    HOSPITAL,
    SENDER,
    VISIT,
    House,
    a_house,
    admission_cancelled,
    admitted,
    billed,
    discharged,
    reversed_bill,
    yuan,
)
from payments.given_payments import RunningBank
from people.given_people import citizen_number
from safeweave import clock, consents, people
from safeweave.consents import AFTER, Revocation, may_still
from safeweave.consortium import ending
from safeweave.consortium.ending import LockedClaim
from safeweave.database import Transaction
from safeweave.errors import Conflict, NotFound
from safeweave.events import BillsAnswered, Identifier, PersonSeen
from safeweave.main import main
from safeweave.people import Guardianship, Held, Particulars
from safeweave.worker import Told


@pytest.fixture
def pair(tmp_path: Path, store: str, one_bank: RunningBank) -> Iterator[Pair]:
    house = a_house(tmp_path, one_bank, insured=False)
    house.insures(phone="13800000000")
    yield from _a_pair(house, tmp_path)


def _a_pair(house: House, folder: Path) -> Iterator[Pair]:
    found = Pair(house, folder)
    yield found
    found.close()
    house.node.close()


def of_visit(pair: Pair, column: str) -> list[str]:
    return [value for (value,) in pair.house.rows(f"select {column} from consented_visit order by consent")]


# ---------------------------------------------------------------- taken back


def test_what_comes_after_a_revocation_is_locked_and_the_case_stands_still(pair):
    consent = pair.allows()
    pair.sends_tickets()
    pair.sends(admitted())
    pair.revokes(consent)
    pair.sends(discharged(), billed())
    assert [document.state for document in pair.documents()] == ["taken", "locked", "locked"]
    assert pair.why() == ["", "revoked", "revoked"]
    assert pair.cases() == [(VISIT, "admitted")]
    assert pair.house.history()[-1] == "consent_ended"
    pair.house.waits(days=60)
    assert [document.state for document in pair.documents()] == ["taken", "locked", "locked"]  # kept with the claim
    pair.house.is_sound()


@pytest.mark.parametrize("told", [True, False], ids=["told by an event", "found by the timer"])
def test_the_person_is_told_once_in_words_and_asked_to_choose(pair, told):
    consent = pair.allows()
    pair.sends(admitted())
    pair.revokes(consent, told)
    pair.house.waits(seconds=5)
    pair.house.waits(seconds=5)
    assert pair.messages() == ["opened", "consent_revoked"]


def test_revoked_between_reading_and_deciding_nothing_is_decided(pair):
    consent = pair.allows()
    pair.sends(*CLEAN_STAY)  # all is here but the tickets, so that nothing is decided yet
    assert pair.cases() == [(VISIT, "verified")]
    pair.revokes(consent, told=False)
    pair.sends_tickets()
    pair.house.waits(days=2)
    assert (pair.cases(), pair.house.decided(), pair.operations()) == ([(VISIT, "verified")], [], [])


def test_revoked_while_the_ledger_answers_the_bill_stays_held_and_nothing_is_decided(pair):
    consent = pair.allows()
    pair.sends(*CLEAN_STAY)
    follows = dict(pair.house.node.worker.follows)

    def revoked_meanwhile(answered: Sequence[BillsAnswered], tx: Transaction, now: datetime) -> Told:
        consents.revoke(tx, [Revocation(consent, now, pair.person, "screen")], now)
        return pair.desk.note(answered, tx, now)

    follows[BillsAnswered] = (revoked_meanwhile,)
    pair.house.node.worker.follows = follows
    pair.sends_tickets()
    assert (pair.cases(), pair.house.decided(), pair.operations()) == ([(VISIT, "verified")], [], ["reserve"])
    assert pair.messages() == ["opened", "consent_revoked"]
    pair.chooses(consent, "withdraw")
    assert pair.operations() == ["reserve", "release"]


def test_what_was_decided_before_is_paid_and_kept(pair, one_bank):
    consent = pair.allows()
    pair.sends_a_clean_stay()
    assert pair.cases() == [(VISIT, "closed")]
    pair.revokes(consent)
    assert of_visit(pair, "state") == ["ended"]
    assert pair.messages() == ["opened", "paid", "arrived"]  # no claim is open, so there is nothing to choose
    with pytest.raises(Conflict):
        pair.chooses(consent, "withdraw")
    pair.sends(reversed_bill())
    assert (pair.why()[-1], pair.cases()) == ("revoked", [(VISIT, "closed")])
    assert pair.house.payouts() == [("paid", yuan("450.00"))]


def test_a_payment_that_is_on_its_way_when_the_consent_is_revoked_arrives(pair):
    consent = pair.allows()
    pair.sends(*CLEAN_STAY)
    calls, pair.house.node.worker.lanes = pair.house.node.worker.lanes, ["ledger"]
    pair.sends_tickets()
    assert [state for state, _ in pair.house.payouts()] != ["paid"]
    pair.revokes(consent)
    pair.house.node.worker.lanes = calls
    pair.house.waits(seconds=1)
    assert pair.house.payouts() == [("paid", yuan("450.00"))]
    pair.house.is_sound()


def test_given_again_what_was_locked_is_opened_and_the_claim_is_paid(pair):
    consent = pair.allows()
    pair.sends_tickets()
    pair.sends(admitted())
    pair.revokes(consent)
    pair.sends(discharged(), billed())
    pair.allows(follows=consent)
    assert (pair.cases(), pair.house.payouts()) == ([(VISIT, "closed")], [("paid", yuan("450.00"))])
    assert sorted(of_visit(pair, "state")) == ["holds", "renewed"]
    assert "consent_renewed" in pair.house.history()
    pair.house.is_sound()


def test_a_claim_that_had_everything_is_decided_as_soon_as_it_is_allowed_again(pair):
    consent = pair.allows()
    pair.sends(*CLEAN_STAY)
    pair.revokes(consent)
    pair.sends_tickets()
    pair.allows()
    assert (pair.cases(), pair.house.payouts()) == ([(VISIT, "closed")], [("paid", yuan("450.00"))])


def test_a_second_consent_that_still_holds_takes_the_place_of_the_first_unseen(pair):
    first = pair.allows(days=30)
    pair.sends(admitted())
    pair.house.time.pass_(5)
    pair.allows(days=60)
    pair.revokes(first)
    assert pair.messages() == ["opened"]
    pair.sends_tickets()
    pair.sends(discharged(), billed())
    assert pair.cases() == [(VISIT, "closed")]


def test_an_admission_that_never_was_is_taken_back_all_the_same(pair):
    consent = pair.allows()
    pair.sends(admitted(), admission_cancelled("2026-03-04"))
    pair.revokes(consent)
    assert pair.cases() == [(VISIT, "withdrawn")]


# ---------------------------------------------------------------- what the person chooses


def test_a_claim_that_the_person_withdraws_ends_and_its_bills_are_free(pair):
    consent = pair.allows()
    pair.sends_tickets()
    pair.sends(admitted(icd="K80.999x999x"), discharged(icd="??"), billed())
    assert pair.cases() == [(VISIT, "referred")]
    pair.revokes(consent)
    pair.chooses(consent, "withdraw")
    assert (pair.cases(), pair.operations()) == ([(VISIT, "withdrawn")], ["reserve", "release"])
    assert pair.house.clocks() == []
    assert pair.house.rows("select count(*) from determination where waiting = 1") == [(0,)]
    assert pair.messages()[-2:] == ["consent_revoked", "claim_withdraw"]
    pair.house.is_sound()


def test_a_claim_that_the_person_makes_with_own_papers_is_another_one_and_is_paid(pair):
    consent = pair.allows()
    pair.sends_tickets()
    pair.sends(admitted())
    pair.revokes(consent)
    pair.sends(discharged(), billed())
    pair.chooses(consent, "apply")
    assert pair.cases() == [(VISIT, "withdrawn")]
    pair.house.hears(*CLEAN_STAY, sender=SENDER)  # handed in at the counter
    assert sorted(stage for _, stage in pair.cases()) == ["closed", "withdrawn"]
    assert [document.state for document in pair.documents()] == ["taken", "locked", "locked"]
    assert pair.messages()[1:3] == ["consent_revoked", "claim_apply"]
    pair.house.is_sound()


def test_nobody_chooses_for_a_consent_that_holds_or_is_unknown(pair):
    consent = pair.allows()
    pair.sends(admitted())
    with pytest.raises(Conflict):
        pair.chooses(consent, "withdraw")
    with pytest.raises(NotFound):
        pair.chooses("consent_0000000000000000", "withdraw")
    assert pair.cases() == [(VISIT, "admitted")]


def test_a_person_of_the_insurer_may_not_decide_a_locked_claim_either(pair, capsys):
    consent = pair.allows()
    pair.sends_tickets()
    pair.sends(admitted(icd="K80.999x999x"), discharged(icd="??"), billed())
    case = pair.house.case().id
    pair.asks(lambda tx: ending.check_decidable(tx, case))
    pair.revokes(consent)
    with pytest.raises(LockedClaim) as locked:
        pair.asks(lambda tx: ending.check_decidable(tx, case))
    for language in ("zh", "en"):
        assert case in locked.value.said(language)
    home = str(pair.house.node.settings.home)
    words = ["case", "decide", VISIT, "--approve", "--by", "李核赔", "--reason", "看过"]
    assert main(["--home", home, "--language", "zh", *words]) == 1
    assert "已封存" in capsys.readouterr().err
    assert main(["--home", home, "--language", "en", "consent", "choose", consent, "withdraw"]) == 0
    assert case in capsys.readouterr().out
    pair.house.time.at = clock.now()  # which the command had
    pair.house.works()
    assert pair.cases() == [(VISIT, "withdrawn")]


# ---------------------------------------------------------------- the other endings


def test_a_consent_that_expires_inside_the_stay_locks_what_comes_until_it_is_given_again(pair):
    consent = pair.allows(days=2)
    pair.sends_tickets()
    pair.sends(admitted())
    pair.house.waits(days=2.1)
    assert (of_visit(pair, "ending"), pair.messages()) == (["expired"], ["opened", "consent_expired"])
    pair.sends(discharged(), billed())
    assert pair.why()[1:] == ["expired", "expired"]
    pair.allows(follows=consent)
    assert (pair.cases(), pair.house.payouts()) == ([(VISIT, "closed")], [("paid", yuan("450.00"))])


def test_a_standing_consent_outlives_the_person_for_the_last_stay_and_the_claim_is_the_estates(pair):
    pair.allows()
    pair.sends_tickets()
    pair.sends(admitted(), discharged(disposition="5"))
    pair.house.waits(seconds=5)
    pair.sends(billed())
    assert {document.state for document in pair.documents()} == {"taken"}
    assert of_visit(pair, "ending") == [None]
    assert len(pair.house.decided()) == 1


def test_a_consent_for_this_visit_outlives_the_person_and_the_estate_is_paid(pair):
    pair.allows(visit=f"{HOSPITAL}/{VISIT}")
    pair.sends_tickets()
    pair.sends(admitted(), discharged(disposition="5"), billed())
    assert {document.state for document in pair.documents()} == {"taken"}
    assert len(pair.house.decided()) == 1


BIRTH = date(2012, 3, 12)  # 14 on the second day after the stay is told


@pytest.fixture
def child(tmp_path: Path, store: str, one_bank: RunningBank) -> Iterator[Pair]:
    house = a_house(tmp_path, one_bank, insured=False)
    house.insures(document=citizen_number(BIRTH, 2), name="测试童", phone="13800000001")
    for pair in _a_pair(house, tmp_path):
        mother = Particulars(
            "测试母", (Held("resident_id", citizen_number(date(1985, 1, 1), 4), "CN"),), date(1985, 1, 1), "F",
            phone="13800000002",
        )  # fmt: skip
        now = house.time()
        with house.node.database.transaction() as tx:
            (saved,) = people.save_people(tx, [mother], now)
            assert saved.person is not None
            people.add_guardianships(tx, [Guardianship(pair.person, saved.person, "出生医学证明", BIRTH)], now)
        pair.mother = saved.person  # type: ignore[attr-defined]
        yield pair


def test_a_child_that_turns_14_in_the_stay_is_asked_itself(child):
    who = PersonSeen((Identifier("resident_id", citizen_number(BIRTH, 2)),), "测试童", BIRTH, "F")
    by_mother = {"given_by": child.mother, "proof": "出生医学证明"}
    consent = child.allows(**by_mother)
    child.sends_tickets()
    child.sends(admitted(person=who))
    child.house.waits(days=3)
    assert (of_visit(child, "ending"), child.messages()) == (["retake"], ["opened", "consent_retake"])
    child.sends(discharged(), billed())
    assert child.why()[1:] == ["retake", "retake"]
    child.allows(follows=consent)
    assert {document.state for document in child.documents()} == {"taken"}
    assert [each.decision for each in child.house.decided()] == ["pay"]


def test_the_table_of_endings_is_what_is_done(pair):
    for aftermath in AFTER.values():
        assert (aftermath.pulls, aftermath.processed, aftermath.paid) == ("stop", "lawful", "kept")
        assert aftermath.undecided.startswith("locked")
    assert [may_still("pull"), may_still("use_locked"), may_still("decide")] == [False, False, False]
    assert may_still("pay_decided")
    consent = pair.allows()
    pair.sends(admitted())
    pair.house.time.at += timedelta(days=91)
    told = pair.asks(lambda tx: ending.due(tx, pair.house.time()))
    assert [row.consent for row in told] == [consent]

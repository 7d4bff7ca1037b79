"""What a hospital may give, an insurer still may not process: that is another consent, asked for at its door."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from consents.given_consents import consent as consent_of
from consortium.given_insurer import MESSAGES, Pair
from given import CLEAN_STAY, PATIENT, VISIT, a_house, admitted, billed, discharged, settled, yuan
from payments.given_payments import RunningBank
from safeweave import clock, consents
from safeweave.consents import Party, registering
from safeweave.consortium import MEMBER_FILE, locking, store
from safeweave.consortium.covering import covering, kinds_told
from safeweave.consortium.status import status
from safeweave.consortium.taking import kept_under
from safeweave.events import MessageNoted, PersonsMerged
from safeweave.exchange.formats import visit
from safeweave.keys.errors import SealBroken
from safeweave.main import main
from safeweave.words import Language


@pytest.fixture
def pair(tmp_path: Path, store: str, one_bank: RunningBank) -> Iterator[Pair]:
    house = a_house(tmp_path, one_bank, insured=False)
    house.insures(phone="13800000000")
    found = Pair(house, tmp_path)
    yield found
    found.close()
    house.node.close()


def test_what_the_person_allows_is_taken_into_a_case_and_paid(pair):
    pair.allows()
    pair.sends_a_clean_stay()
    assert pair.cases() == [(VISIT, "closed")]
    assert pair.house.payouts() == [("paid", yuan("450.00"))]
    pair.house.is_sound()


def test_every_document_that_is_taken_is_noted_for_the_person_with_its_kinds_and_consent(pair):
    consent = pair.allows()
    pair.sends(admitted(), billed())
    assert pair.reads() == [
        ("message", ("identity", "admission", "diagnosis"), consent),
        ("message", ("bill",), consent),
    ]


def test_without_it_a_document_is_locked_with_the_reason_and_no_case_hears_of_it(pair):
    assert pair.sends(admitted()) == ["locked"]
    assert (pair.why(), pair.cases()) == (["never_given"], [])
    assert pair.house.rows("select count(*) from inbound_message") == [(0,)]
    assert pair.house.rows("select count(*) from event where kind = 'AdmissionReported'") == [(0,)]
    assert pair.reads() == [("message: locked", ("identity",), None)]


def test_its_sender_hears_no_more_than_that_it_has_come(pair):
    pair.sends(admitted())
    ((id,),) = _rows(pair, "select id from outgoing")
    assert pair.hospital.state(id) == ("received", "")
    assert pair.answers() == []


def test_what_is_locked_rests_under_a_key_of_its_own_and_any_change_shows(pair):
    pair.sends(admitted())
    (document,) = pair.documents()
    ring = pair.insurer.person.ring
    rows = pair.house.rows("select bytes from piece where of = ?", document.id)
    assert not any(b"K80.100" in bytes(row[0]) or b"AdmissionReported" in bytes(row[0]) for row in rows)
    assert b"K80.100" in pair.asks(lambda tx: locking.content_of(tx, document.id, ring))
    rotated = ring.rotated(10_000)
    assert b"K80.100" in pair.asks(lambda tx: locking.content_of(tx, document.id, rotated))
    with pair.house.node.database.transaction() as tx:
        tx.run("update piece set number = 7 where of = ? and number = 1", (document.id,))
    with pytest.raises(SealBroken):
        pair.asks(lambda tx: locking.content_of(tx, document.id, ring))


def test_a_consent_given_later_opens_all_that_was_locked_and_the_claim_is_paid(pair):
    pair.sends_a_clean_stay()
    assert pair.why() == ["never_given"] * 3
    pair.allows()
    assert {document.state for document in pair.documents()} == {"taken"}
    assert (pair.cases(), pair.house.payouts()) == ([(VISIT, "closed")], [("paid", yuan("450.00"))])
    assert pair.house.rows("select count(*) from piece where of like 'opened/%'") == [(0,)]
    pair.house.is_sound()


def test_a_consent_for_another_visit_opens_nothing(pair):
    pair.allows(visit="H33020000001/ZY-OTHER")
    pair.sends(admitted())
    assert pair.why() == ["other_visit"]
    pair.allows(visit=f"H33020000001/{VISIT}")
    assert [document.state for document in pair.documents()] == ["taken"]


def test_a_consent_that_begins_tomorrow_opens_it_tomorrow(pair):
    pair.sends(admitted())
    pair.allows(begins_at=pair.house.time() + timedelta(days=1))
    assert pair.why() == ["pending"]
    pair.house.waits(days=1.1)
    assert [document.state for document in pair.documents()] == ["taken"]


def test_a_consent_smaller_than_the_need_leaves_the_rest_incomplete_and_asks_once(pair):
    pair.allows("identity", "admission")
    pair.sends(admitted(), discharged())
    assert pair.why() == ["incomplete"] * 2
    assert pair.documents()[0].why.missing == ("diagnosis",)
    asked = pair.asks(lambda tx: consents.askings_of(tx, pair.person))
    assert [(asking.reason, asking.needed.missing) for asking in asked] == [("incomplete", ("diagnosis",))]
    pair.allows()
    assert {document.state for document in pair.documents()} == {"taken"}


def test_papers_that_name_nobody_are_whose_the_others_of_their_visit_are(pair):
    pair.sends(admitted())
    pair.sends(discharged(), settled(), exchange="another exchange")
    assert {document.person for document in pair.documents()} == {pair.person}
    pair.allows()
    assert {document.state for document in pair.documents()} == {"taken"}


def test_an_unknown_person_has_allowed_nothing_and_is_asked_about_again_until_the_policy_is_here(pair):
    stranger = PATIENT.identifiers[0]
    unknown = admitted(person=type(PATIENT)((type(stranger)("passport", "E99999999"),), "无名"))
    pair.sends(unknown)
    assert (pair.why(), pair.documents()[0].person) == (["unknown_person"], None)
    pair.house.waits(seconds=30)
    assert pair.documents()[0].tries > 1
    with pair.house.node.database.transaction() as tx:
        locking.look_again(tx, pair.house.time())
    pair.house.works()
    assert pair.why() == ["unknown_person"]


def test_what_cannot_be_read_is_nobodys_and_locked_with_its_fault(pair):
    pair.sends_document("message", "MSH|nothing")
    (document,) = pair.documents()
    assert (document.state, document.why.reason) == ("locked", "unreadable")
    for language in ("zh", "en"):
        assert document.why.what in document.why.said(language)


def test_a_document_of_another_kind_needs_a_consent_for_records(pair):
    pair.allows()
    pair.sends(admitted())
    pair.sends_document("record", "出院小结")
    assert [document.state for document in pair.documents()] == ["taken", "locked"]
    assert pair.documents()[1].why.missing == ("record",)
    pair.allows(*MESSAGES, "record")
    document = pair.documents()[1]
    assert document.state == "taken"
    kept = kept_under(pair.hospital.person.id, "stay", 2)
    assert pair.asks(lambda tx: b"".join(store.pieces(tx, kept))).decode() == "出院小结"


def test_what_nobody_allowed_is_destroyed_after_a_month_and_only_that_it_came_is_kept(pair):
    pair.sends(admitted())
    pair.house.waits(days=31)
    (document,) = pair.documents()
    assert (document.state, document.why.reason) == ("destroyed", "never_given")
    assert pair.house.rows("select count(*) from piece where of = ?", document.id) == [(0,)]
    pair.allows()
    assert [document.state for document in pair.documents()] == ["destroyed"]
    pair.house.is_sound()


def test_a_document_that_comes_twice_is_taken_once(pair):
    pair.allows()
    raw = visit.write("the same", pair.house.time(), VISIT, (admitted(),)).decode()
    pair.sends_document("message", raw)
    pair.sends_document("message", raw)
    assert pair.house.rows("select count(*) from event where kind = 'AdmissionReported'") == [(1,)]
    assert [document.state for document in pair.documents()] == ["taken", "taken"]


def test_a_member_that_is_no_registered_sender_is_to_come_back(pair):
    pair.allows()
    with pair.house.node.database.transaction() as tx:
        tx.run("delete from sender where id = ?", (pair.hospital.person.id,))
    pair.sends(admitted())
    ((id,),) = _rows(pair, "select id from outgoing")
    assert pair.hospital.state(id) == ("sealed", "store")
    assert pair.documents() == []


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_status_shows_what_is_locked_and_why(pair, language: Language):
    pair.sends(admitted())
    (shown,) = pair.asks(lambda tx: status(tx).as_json(language))["locked"]
    assert (shown["code"], shown["person"], shown["visit"]) == ("never_given", pair.person, VISIT)
    assert shown["why"] == pair.documents()[0].why.said(language)


def test_the_commands_show_what_is_locked_and_have_it_asked_about_again(pair, capsys):
    pair.sends(admitted())
    home = str(pair.house.node.settings.home)
    assert main(["--home", home, "--language", "en", "exchange", "status"]) == 0
    assert "no such consent was given" in capsys.readouterr().out
    assert main(["--home", home, "exchange", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["opened"] == {"locked": 1}
    assert main(["--home", home, "--language", "en", "exchange", "again", "--all"]) == 0
    assert "1 deliveries" in capsys.readouterr().out


def test_a_command_in_a_members_home_leaves_what_follows_to_its_node_which_asks_ledger_and_consent(pair, capsys):
    pair.allows()
    pair.sends_tickets()
    pair.sends(admitted(icd="K80.999x999x"), discharged(icd="??"), billed())
    home = pair.house.node.settings.home
    (home / MEMBER_FILE).write_text("{}")
    words = ["case", "decide", VISIT, "--refuse", "--by", "李核赔", "--reason", "免责"]
    assert main(["--home", str(home), "--language", "en", *words]) == 0
    assert pair.house.stage() == "referred"
    pair.house.time.at = clock.now()  # which the command had
    pair.house.works()
    assert (pair.house.stage(), pair.operations()) == ("refused", ["reserve", "release"])


# ---------------------------------------------------------------- what a consent of the ledger covers


def test_a_consent_whose_words_are_known_here_must_cover_the_kind_of_document(pair):
    insurer = Party(pair.insurer.person.id, "示例人寿", "400-000-0001")
    hospital = Party(pair.hospital.person.id, "示例市第一医院", "0571-00000001")
    now = pair.house.time()
    given = consent_of(
        pair.person, giver=hospital, recipient=insurer, given_by=pair.person, kinds=("identity", "admission"),
        begins_at=now, given_at=now, ends_at=now + timedelta(days=90),
    )  # fmt: skip
    pair.notes(given)
    with pair.house.node.database.transaction() as tx:
        entry = consents.register(tx, [given.id])[given.id]
    pair.city.says(pair.hospital.person.signs(registering.grant(entry, given, pair.hospital.person.id)))
    pair.allows()
    pair.insurer.reception.covers = covering(pair.insurer.database, pair.house.time)
    pair.sends_document("record", "出院小结", exchange="small", entry=entry.entry)
    ((id,),) = _rows(pair, "select id from outgoing where exchange = 'small'")
    assert pair.hospital.state(id) == ("sealed", "not_covered")
    assert pair.sends(admitted(), exchange="message", entry=entry.entry) == ["taken"]


def test_whatever_nobody_has_looked_into_counts_as_a_record():
    noted = MessageNoted(occurred_at=CLEAN_STAY[0].occurred_at, what="ORU^R01")
    merged = PersonsMerged(occurred_at=CLEAN_STAY[0].occurred_at, survivor=PATIENT, retired=PATIENT)
    assert kinds_told([noted]) == ("record",)
    assert kinds_told([merged]) == ("identity",)
    assert kinds_told([*CLEAN_STAY]) == ("identity", "admission", "diagnosis", "bill")


def _rows(pair: Pair, sql: str) -> list[tuple[str, ...]]:
    with pair.hospital.database.reading() as tx:
        return tx.rows(sql)

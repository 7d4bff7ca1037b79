"""What was decided is anchored on the ledger, and its hospital hears of it as far as the person allows."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from fastapi import FastAPI

from consortium.given_insurer import Pair
from given import CLEAN_STAY, VISIT, a_bill, a_house, admitted, billed, discharged, reversed_bill, yuan
from ledger.ledgers import served
from payments.given_payments import RunningBank
from safeweave.consortium import MEMBER_FILE
from safeweave.consortium.answering import DETERMINATION, Determined, Outcome, grant_of, read_answer
from safeweave.consortium.homes import LEDGER, Home, Member
from safeweave.errors import Conflict, Malformed
from safeweave.keys.commitment import opens
from safeweave.ledger.audit import LogFile, audit
from safeweave.ledger.bundle import read_bundle, verify_bundle, write_bundle
from safeweave.ledger.checkpoint import write_roots
from safeweave.ledger.serving import ledger_router
from safeweave.main import main

BILL = a_bill().key


@pytest.fixture
def pair(tmp_path: Path, store: str, one_bank: RunningBank) -> Iterator[Pair]:
    found = Pair(a_house(tmp_path, one_bank), tmp_path)
    found.allows()
    yield found
    found.close()
    found.house.node.close()


def test_without_a_consent_to_tell_the_hospital_hears_that_its_bills_were_decided_and_no_more(pair):
    pair.sends_a_clean_stay()
    (raw,) = pair.answers()
    answer = read_answer(raw.encode())
    assert isinstance(answer, Outcome)
    assert (answer.visit, answer.bills) == (VISIT, (BILL,))
    assert "45000" not in raw


def test_with_one_it_hears_what_was_paid_and_can_hold_it_to_the_commitment(pair):
    pair.allows("settlement", act="give")
    pair.sends_a_clean_stay()
    (raw,) = pair.answers()
    answer = read_answer(raw.encode())
    assert isinstance(answer, Determined)
    assert (answer.document.decision, answer.document.paid_fen) == ("pay", {BILL: yuan("450.00")})
    document = msgspec.to_builtins(answer.document)
    assert opens(bytes.fromhex(answer.commitment), DETERMINATION, answer.salt, document)
    assert not opens(bytes.fromhex(answer.commitment), DETERMINATION, answer.salt, document | {"payable_fen": 1})


def test_a_correction_is_told_again_in_its_order(pair):
    pair.sends_a_clean_stay()
    second = a_bill("2", "1200.00", "400.00")
    pair.sends_tickets(second)
    pair.sends(reversed_bill(), billed(second))
    answers = [read_answer(raw.encode()) for raw in pair.answers()]
    assert [answer.bills for answer in answers if isinstance(answer, Outcome)] == [(BILL,), (second.key,)]


def test_what_waits_for_a_person_is_anchored_and_told_to_no_hospital_yet(pair):
    pair.sends_tickets()
    pair.sends(admitted(icd="K80.999x999x"), discharged(icd="??"), billed())
    assert pair.answers() == []
    assert pair.house.rows("select count(*) from anchor_leaf where what = 'determination'") == [(1,)]
    pair.house.decides(refuse=True, note="免责")
    (answer,) = [read_answer(raw.encode()) for raw in pair.answers()]
    assert isinstance(answer, Outcome)


def test_what_came_by_another_door_is_anchored_and_told_to_nobody(pair):
    pair.sends_tickets()
    pair.house.hears(*CLEAN_STAY)
    assert pair.answers() == []
    assert pair.house.rows("select count(*) from determination_anchor") == [(1,)]


def test_once_the_exchange_has_no_consent_left_the_answer_stops(pair):
    pair.sends_tickets()
    pair.sends(*CLEAN_STAY)
    pair.city.revoke(pair.entry)
    assert pair.answers() == []
    assert pair.house.rows("select state from outgoing where kind = 'outcome'") == [("stopped",)]


def test_a_paid_claim_is_proved_from_its_consent_to_its_determination_and_the_audit_agrees(pair):
    pair.sends_a_clean_stay()
    case = pair.house.case().id
    with pytest.raises(Conflict):
        pair.asks(lambda tx: pair.desk.bundle(tx, case))
    pair.anchors()
    raw = write_bundle(pair.asks(lambda tx: pair.desk.bundle(tx, case)))
    roots = pair.city.ledger.roots()
    verified = verify_bundle(read_bundle(raw), roots)
    assert [one.kind for one in verified.operations] == ["grant_consent", "reserve", "settle", "anchor"]
    assert [opening.kind for opening in verified.openings] == ["claim", DETERMINATION]
    assert verified.openings[1].document["payable_fen"] == yuan("450.00")
    for language in ("zh", "en"):
        assert any(DETERMINATION in line for line in verified.text(language))
    log = LogFile(pair.city.folder / "log.sqlite")
    assert audit(log, roots).faults == ()
    log.close()


def test_the_commands_write_a_proof_and_check_it_with_nothing_but_the_roots(pair, tmp_path, capsys):
    pair.sends_a_clean_stay()
    home, ring = Home(pair.house.node.settings.home), pair.insurer.person.ring
    home.folder.mkdir(exist_ok=True)  # no store is in it on PostgreSQL
    ring.save(home.keys)
    roots = home.write("roots.json", write_roots(pair.city.ledger.roots()))
    app = FastAPI()
    app.include_router(ledger_router(pair.city.ledger), prefix=LEDGER)
    proof, asked = tmp_path / "proof.json", ["--home", str(home.folder), "--language", "en"]
    with served(app) as url:
        member = Member(
            role="insurer", name="示例人寿", member=ring.member, url=url, host="127.0.0.1", port=1, ledger=url
        )
        home.write(MEMBER_FILE, msgspec.json.encode(member))
        assert main([*asked, "insurer", "prove", VISIT, str(proof)]) == 1
        assert "no determination" in capsys.readouterr().err
        pair.anchors()
        assert main([*asked, "insurer", "prove", VISIT, str(proof)]) == 0
    capsys.readouterr()
    assert main(["--language", "en", "verify", str(proof), "--roots", str(roots), "--json"]) == 0
    verified = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in verified["operations"]] == ["grant_consent", "reserve", "settle", "anchor"]


def test_a_grant_is_found_among_many_operations(pair):
    entries = [pair.city.consent() for _ in range(30)]
    ledger = pair.city.ledger
    for entry in (pair.entry, *entries):
        operation = grant_of(ledger, entry)
        (event,) = [event for event in ledger.events(-1, 1000) if event.operation == operation]
        assert (event.kind, entry in event.subjects) == ("grant_consent", True)
    assert grant_of(ledger, "f" * 64) is None


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"kind":"outcome"}', b'{"kind":"letter"}'])
def test_what_is_no_answer_is_refused_with_its_fault(raw):
    with pytest.raises(Malformed):
        read_answer(raw)

"""The doors as hospitals see them: five languages, one stay, the same fen; and a clear answer to everything else."""

import json
from collections.abc import Iterator

import pytest

from doors.given_doors import Doors, open_doors
from exchange.formats.given_messages import EXAMPLES
from given import HOSPITAL, a_house, yuan
from safeweave.errors import StoreUnavailable
from safeweave.exchange import inbound
from waiting import until

FHIR, A01, P03, A03 = (EXAMPLES[name] for name in ("fhir", "a01", "p03", "a03"))
EBILL, RED, YIBAO = (EXAMPLES[name] for name in ("ebill", "red", "yibao"))
PAYABLE = yuan("2381.85")  # hospital-expense-2020 on the bill of 7,600.00 of which 医保 paid 4,853.50


@pytest.fixture
def doors(tmp_path, store, one_bank) -> Iterator[Doors]:
    house = a_house(tmp_path, one_bank, insured=False, max_message_bytes=200_000)
    house.insures(first="2025-06-01", last="2026-05-31", since="2025-06-01")
    with open_doors(house) as found:
        yield found
    house.node.close()


def is_closed(doors: Doors) -> bool:
    return [case.stage for case in doors.house.cases()] == ["closed"]


def outcome(answer) -> dict:
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    (issue,) = body["issue"]
    return issue


# ---------------------------------------------------------------- one stay


def test_hl7_settlement_and_e_bill_together_pay_the_stay(doors):
    assert [b"MSA|AA" in answer for answer in doors.hl7(A01, P03, A03)] == [True, True, True]
    assert doors.post("/settlements", YIBAO).status_code == 200
    assert doors.post("/ebills", EBILL).status_code == 200
    until(lambda: is_closed(doors))
    assert doors.house.payouts() == [("paid", PAYABLE)]
    doors.house.is_sound()


def test_the_fhir_door_alone_pays_the_same(doors):
    answer = doors.post("/fhir", FHIR)
    assert (answer.status_code, outcome(answer)["severity"]) == (200, "information")
    until(lambda: is_closed(doors))
    assert doors.house.payouts() == [("paid", PAYABLE)]


def test_all_doors_at_once_still_pay_it_once(doors):
    doors.hl7(A01, P03, A03)
    doors.post("/fhir", FHIR)
    doors.post("/ebills", EBILL)
    doors.post("/settlements", YIBAO)
    until(lambda: is_closed(doors))
    assert doors.house.payouts() == [("paid", PAYABLE)]
    doors.house.is_sound()


def test_a_red_bill_after_the_payment_reopens_the_case(doors):
    doors.post("/fhir", FHIR)
    until(lambda: is_closed(doors))
    assert doors.post("/ebills", RED).status_code == 200
    until(lambda: doors.house.stage() == "reopened")


# ---------------------------------------------------------------- told again


def test_a_message_told_again_is_answered_byte_for_byte_the_same(doors):
    first, *again = doors.hl7(A01, A01, A01)
    assert again == [first, first]
    assert doors.hl7(A01) == [first]
    answers = [doors.post("/settlements", YIBAO) for _ in range(2)]
    assert [answer.json()["status"] for answer in answers] == ["taken", "duplicate"]
    assert answers[0].json()["number"] == answers[1].json()["number"]


def test_the_same_id_with_other_content_is_a_conflict(doors):
    doors.post("/settlements", YIBAO)
    answer = doors.post("/settlements", YIBAO.replace("4853.50", "4853.51"))
    assert answer.status_code == 409
    assert "used before" in answer.json()["fault"]["what"]
    doors.hl7(A01)
    (nak,) = doors.hl7(A01.replace("N84.001", "N84.002"))
    assert b"MSA|AE|M000001" in nak
    assert b"205" in nak


# ---------------------------------------------------------------- what is not taken


def kept(doors: Doors) -> list[tuple[str, str]]:
    return [(entry.sender, entry.status) for entry in doors.house.asks(inbound.inbox)]


@pytest.mark.parametrize("token", ["wrong", None, ""])
def test_a_stranger_is_turned_away_and_the_message_kept_for_repair(doors, token):
    answer = doors.post("/fhir", FHIR, token=token)
    assert answer.status_code == 401
    assert outcome(answer)["expression"] == ["Authorization"]
    assert kept(doors) == [("unknown", "refused")]
    assert doors.house.cases() == []


def test_a_system_that_is_not_registered_is_rejected_and_the_message_kept(doors):
    (answer,) = doors.hl7(A01.replace("|H001|", "|H999|", 1))
    assert b"MSA|AR|M000001" in answer
    assert kept(doors) == [("unknown", "refused")]


def test_truncated_json_is_answered_with_its_place(doors):
    answer = doors.post("/fhir", FHIR[:3000])
    assert answer.status_code == 400
    issue = outcome(answer)
    assert (issue["severity"], issue["code"]) == ("error", "invalid")
    assert issue["expression"][0]
    assert issue["expression"] != ["line 0"]
    assert kept(doors) == [(HOSPITAL, "refused")]


BOMB = """<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><l>&b;</l>"""


@pytest.mark.parametrize("body", [BOMB, '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', "<EInvoice>", "", "\x00\x01"])
def test_xml_that_plays_tricks_or_is_none_is_refused(doors, body):
    answer = doors.post("/ebills", body)
    assert answer.status_code == 400
    assert answer.json()["status"] == "refused"
    assert "root:" not in answer.text


def test_a_message_beyond_the_limit_is_refused_unread(doors):
    answer = doors.post("/fhir", b"{" + b" " * 300_000)
    assert answer.status_code == 413
    assert "200000 bytes" in outcome(answer)["diagnostics"]


def test_a_faulty_hl7_message_is_answered_with_segment_and_field(doors):
    (answer,) = doors.hl7(A01.replace("20260303084000+0800", "20260231084000+0800"))
    assert b"MSA|AE|M000001" in answer
    assert b"ERR|" in answer
    assert kept(doors) == [(HOSPITAL, "refused")]


def test_nothing_of_a_refused_message_is_applied_and_the_feed_goes_on(doors):
    """The bundle's bill is wrong in its last line: its patient and stay are not taken either."""
    bundle = json.loads(FHIR)
    bundle["entry"][-1]["resource"]["item"][-1]["net"]["value"] = "twelve"
    assert doors.post("/fhir", json.dumps(bundle)).status_code == 400
    assert doors.house.rows("select count(*) from event") == [(0,)]
    assert doors.house.rows("select count(*) from visit") == [(0,)]
    assert doors.post("/fhir", FHIR).status_code == 200
    until(lambda: is_closed(doors))
    assert doors.house.payouts() == [("paid", PAYABLE)]


def test_a_message_that_the_store_does_not_take_is_to_be_sent_again(doors, monkeypatch):
    def is_full(*_):
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(inbound, "take", is_full)
        answer = doors.post("/fhir", FHIR)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "send it again" in outcome(answer)["diagnostics"]
    assert kept(doors) == []
    assert doors.post("/fhir", FHIR).status_code == 200


def test_faulty_and_good_messages_on_one_connection_are_each_answered(doors):
    answers = doors.hl7(A01.replace("|M000001|", "|M9|").replace("20260303084000", "20260231084000"), "MSH|broken", A01)
    assert b"MSA|AA|M000001" in answers[-1]
    assert all(b"MSA|A" in answer for answer in answers)


# ---------------------------------------------------------------- and else


def test_the_door_says_what_it_understands(doors):
    assert doors.http.get("/health").json() == {"status": "up"}
    statement = doors.http.get("/fhir/metadata").json()
    assert (statement["resourceType"], statement["fhirVersion"]) == ("CapabilityStatement", "4.0.1")


def test_the_bearer_scheme_is_read_in_any_case(doors):
    from given import TOKEN

    answer = doors.http.post("/fhir", content=FHIR.encode(), headers={"authorization": f"bearer {TOKEN}"})
    assert answer.status_code == 200


def test_a_message_is_acknowledged_although_what_follows_fails(doors, monkeypatch):
    def fails(*_: object) -> None:
        raise RuntimeError("the adjudicator is broken")

    with monkeypatch.context() as broken:
        node = doors.house.node
        from safeweave.events import CaseReady

        follows = {**node.worker.follows, CaseReady: (fails,)}
        broken.setattr(node.worker, "follows", follows)
        assert doors.post("/fhir", FHIR).status_code == 200
        until(lambda: doors.house.parked() != [])
    ((task,),) = doors.house.rows("select id from task where parked is not null")
    from safeweave import outbox

    with node.database.transaction() as tx:
        outbox.unpark(tx, [task], node.clock())
    node.worker.signal()
    until(lambda: is_closed(doors))
    assert doors.house.payouts() == [("paid", PAYABLE)]

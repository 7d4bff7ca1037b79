"""Who is not known, sends too much or stops in the middle costs little, and is told what is wrong."""

import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence

import pytest

from doors.given_doors import Doors, open_doors
from exchange.formats.given_messages import EXAMPLES
from given import HOSPITAL, SENDER, TOKEN, House, a_house
from safeweave.exchange import inbound, senders
from safeweave.web.doors import KEPT_BYTES, Hall, http_door
from waiting import PATIENCE

FHIR, A01 = EXAMPLES["fhir"], EXAMPLES["a01"]
LIMIT = 200_000


@pytest.fixture
def small_house(tmp_path, store, one_bank) -> Iterator[House]:
    house = a_house(tmp_path, one_bank, max_message_bytes=LIMIT)
    yield house
    house.node.close()


@pytest.fixture
def doors(small_house) -> Iterator[Doors]:
    with open_doors(small_house) as found:
        yield found


def kept(house: House) -> list[tuple[str, bytes, str]]:
    """The (sender, original, what was wrong) of every message in the repair list."""
    with house.node.database.reading() as tx:
        entries = inbound.inbox(tx)
        return [(e.sender, inbound.original(tx, e.number)[1], e.fault.what if e.fault else "") for e in entries]


def knock(house: House, *parts: bytes, then: str, token: str = TOKEN, body_seconds: float = 0.05) -> tuple[int, dict]:
    """The status and headers of the answer to a POST of which these parts come, and then it stays silent or goes."""
    node = house.node
    app = http_door(Hall(node.database, node.worker, node.limits, node.clock, body_seconds))
    waiting, answer = list(parts), {}

    async def receive() -> dict:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(0), "more_body": True}
        if then == "silent":
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        answer.update(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/fhir", "raw_path": b"/fhir", "query_string": b"", "root_path": "",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return answer.get("status", 0), {k.decode(): v.decode() for k, v in answer.get("headers", [])}


# ---------------------------------------------------------------- strangers


def test_no_more_of_a_strangers_message_is_kept_than_its_beginning_and_the_fault_says_so(doors):
    body = bytes(range(256)) * 700  # 179,200 bytes
    answer = doors.post("/fhir", body, token="wrong")
    assert answer.status_code == 401
    ((sender, original, what),) = kept(doors.house)
    assert (sender, original) == ("unknown", body[:KEPT_BYTES])
    assert f"Only its first {KEPT_BYTES} bytes are kept" in what
    assert what in answer.text


def test_a_stranger_with_a_short_message_has_it_kept_whole(doors):
    doors.post("/fhir", b"{}", token="wrong")
    ((_, original, what),) = kept(doors.house)
    assert original == b"{}"
    assert "Only" not in what


def test_a_stranger_is_asked_for_a_token_in_the_words_of_the_standards(doors):
    answer = doors.post("/fhir", FHIR, token=None)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["issue"][0]["code"] == "login"


def test_a_stranger_who_never_sends_the_body_is_answered_and_let_go(doors):
    host, port = doors.http.base_url.host, doors.http.base_url.port
    with socket.create_connection((host, port), timeout=PATIENCE) as line:
        line.sendall(b"POST /fhir HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n{")
        answer = b""
        while part := line.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer.lower()


def test_who_asks_before_sending_is_turned_away_without_sending(doors):
    host, port = doors.http.base_url.host, doors.http.base_url.port
    with socket.create_connection((host, port), timeout=PATIENCE) as line:
        line.sendall(b"POST /fhir HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 30000000\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 401")


def test_a_strangers_hl7_message_is_kept_no_longer_and_answered(doors):
    long = A01.replace("|H001|", "|H999|", 1) + "\nNTE|1||" + "x" * 100_000
    (answer,) = doors.hl7(long)
    assert b"MSA|AR|M000001" in answer
    ((sender, original, what),) = kept(doors.house)
    assert (sender, len(original)) == ("unknown", KEPT_BYTES)
    assert "Only its first" in what


def test_a_frame_without_a_header_is_told_so(doors):
    answers = doors.hl7("", "PID|1")
    assert [b"MSA|AR|" in answer and b"MSH segment" in answer for answer in answers] == [True, True]


# ---------------------------------------------------------------- known, and too much or too little


def test_a_message_beyond_the_limit_is_refused_and_its_beginning_kept_under_its_sender(doors):
    answer = doors.post("/fhir", b"{" + b" " * (LIMIT + 100_000))
    assert answer.status_code == 413
    assert answer.json()["issue"][0]["expression"] == ["body"]
    ((sender, original, what),) = kept(doors.house)
    assert (sender, len(original)) == (HOSPITAL, KEPT_BYTES)
    assert f"larger than {LIMIT} bytes" in what
    assert "Only its first" in what
    assert doors.post("/fhir", FHIR).status_code == 200


def test_a_body_that_stops_in_the_middle_is_answered_with_408_and_not_stored(small_house):
    status, headers = knock(small_house, FHIR.encode()[:100], FHIR.encode()[100:200], then="silent")
    assert (status, headers["connection"]) == (408, "close")
    assert kept(small_house) == []


def test_a_sender_who_hangs_up_in_the_middle_leaves_no_traceback_and_nothing_stored(small_house, caplog):
    with caplog.at_level(logging.DEBUG):
        knock(small_house, FHIR.encode()[:100], then="gone")
        knock(small_house, b"{", then="gone", token="wrong")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert kept(small_house) == []


# ---------------------------------------------------------------- who is known


def statements(house: House, asks: Sequence) -> list[int]:
    counted = []
    for ask in asks:
        before = house.node.database.statements
        ask()
        counted.append(house.node.database.statements - before)
    return counted


def test_a_known_sender_costs_a_statement_once_in_a_while_and_a_stranger_one_each(small_house):
    register = senders.Register(small_house.node.database)
    known, stranger = (lambda: register.by_token(TOKEN)), (lambda: register.by_token("wrong"))
    assert statements(small_house, [known, known, lambda: register.by_hl7("ANY", "H001")]) == [1, 0, 0]
    assert statements(small_house, [stranger, known]) == [1, 0]
    assert known() == SENDER


def test_a_sender_registered_just_now_is_heard_at_once(small_house):
    register = senders.Register(small_house.node.database)
    assert (register.by_token("new"), register.by_hl7("", "H002")) == (None, None)
    other = senders.Sender(id="H2", hospital="H33020000002", hl7_facility="H002")
    with small_house.node.database.transaction() as tx:
        senders.save(tx, [(other, "new")])
    assert (register.by_token("new"), register.by_hl7("", "H002")) == (other, other)


def test_a_token_that_was_replaced_counts_no_more_after_a_while(small_house, monkeypatch):
    seconds = [100.0]
    monkeypatch.setattr(senders, "seconds_running", lambda: seconds[0])
    register = senders.Register(small_house.node.database)
    assert register.by_token(TOKEN) == SENDER
    with small_house.node.database.transaction() as tx:
        senders.save(tx, [(SENDER, "another")])
    seconds[0] += senders.FRESH_SECONDS
    assert (register.by_token(TOKEN), register.by_token("another")) == (None, SENDER)


def test_no_page_of_the_door_loads_scripts_from_elsewhere(doors):
    assert [doors.http.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404] * 3

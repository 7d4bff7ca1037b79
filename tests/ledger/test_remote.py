"""The log over HTTP when the ledger is silent, slow, restarted, or lies."""

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest
from fastapi import FastAPI, Request, Response

from ledger.given_ledger import DAY, NOON, Consortium
from ledger.ledgers import Time, log_signer, served
from safeweave.errors import Malformed, NotFound, Unavailable
from safeweave.ledger.checkpoint import Checkpoint, NoteSigner, TrustRoots, sign_checkpoint
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final, Refused, Unknown
from safeweave.ledger.operation import fresh_id, operation_id
from safeweave.ledger.proof import Untrusted
from safeweave.ledger.remote import RemoteLedger
from safeweave.ledger.serving import ledger_router
from safeweave.ports import free_port
from waiting import PATIENCE

Twist = Callable[[str, bytes], bytes]


@dataclass
class Server:
    """A log behind HTTP whose answers a test can twist, and which it can stop and start."""

    folder: Path
    time: Time = field(default_factory=Time)
    port: int = 0
    twist: Twist | None = None

    def __post_init__(self) -> None:
        self.stack = ExitStack()
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, name: str = "log.sqlite") -> None:
        self.ledger = EmbeddedLedger(self.folder / name, log_signer(), self.time)
        app = FastAPI()
        app.include_router(ledger_router(self.ledger))

        @app.middleware("http")
        async def twisted(request: Request, call_next: Callable[[Request], object]) -> Response:
            answer = await call_next(request)  # type: ignore[misc]
            if self.twist is None:
                return answer
            body = b"".join([part async for part in answer.body_iterator])
            return Response(self.twist(request.url.path, body), answer.status_code, media_type="application/json")

        self.stack.enter_context(served(app, self.port))

    def stop(self) -> None:
        self.stack.close()
        self.ledger.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    yield found
    found.stop()


@pytest.fixture
def client(server: Server, members: Consortium, tmp_path: Path) -> Iterator[RemoteLedger]:
    server.ledger.submit(members.beginning())
    found = RemoteLedger(server.url, server.ledger.roots(), tmp_path / "seen.note", PATIENCE)
    found.head()
    yield found
    found.close()


def test_a_silent_ledger_is_unknown_and_resubmitting_later_is_one_operation(
    server: Server, client: RemoteLedger, members: Consortium
) -> None:
    signed = members.hospital.anchors(fresh_id(), 1)
    server.stop()
    ids = client.submit([signed])
    unknown = client.outcome(ids[0], 0.5)
    assert isinstance(unknown, Unknown)
    assert "does not answer" in unknown.words
    with pytest.raises(Unavailable):
        client.head()
    server.start()
    assert isinstance(client.outcome(ids[0], 0), Unknown)
    for _ in range(3):
        assert client.submit([signed]) == ids
    assert isinstance(client.outcome(ids[0], PATIENCE), Final)
    assert len(client.events(-1, 100)) == 6


def test_a_lost_reply_is_answered_by_asking_again(server: Server, client: RemoteLedger, members: Consortium) -> None:
    """The ledger took the operation; only its answer never came."""
    server.twist = lambda path, body: b"" if path == "/operations" else body
    signed = members.hospital.anchors(fresh_id(), 1)
    ids = client.submit([signed])
    server.twist = None
    first = client.outcome(ids[0], PATIENCE)
    assert isinstance(first, Final)
    client.submit([signed])
    assert client.outcome(ids[0], PATIENCE) == first


def test_a_ledger_that_never_answers_is_waited_for_no_longer_than_asked(members: Consortium) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        client = RemoteLedger(url, TrustRoots("x", str(log_signer().key)), seconds=0.3)
        assert isinstance(client.outcome(fresh_id(), 0), Unknown)
        client.close()


def test_what_answers_and_is_no_ledger_is_unknown(server: Server, client: RemoteLedger) -> None:
    server.twist = lambda path, body: b"<html>welcome</html>"
    assert isinstance(client.outcome(fresh_id(), 0), Unknown)
    with pytest.raises(Unavailable):
        client.head()


def test_an_address_without_a_ledger_is_not_found(server: Server, client: RemoteLedger) -> None:
    other = RemoteLedger(f"{server.url}/elsewhere", server.ledger.roots())
    with pytest.raises(NotFound):
        other.head()
    other.close()


def test_an_operator_that_calls_final_what_is_not_is_not_believed(
    server: Server, client: RemoteLedger, members: Consortium
) -> None:
    one, other = (members.hospital.anchors(fresh_id(), 1) for _ in range(2))
    ids = client.submit([one, other])
    answer = httpx.get(f"{server.url}/operations/{ids[1]}").content
    told = msgspec.json.decode(answer)

    def without_proof(path: str, body: bytes) -> bytes:
        return msgspec.json.encode({**told, "proof": None})

    def of_another(path: str, body: bytes) -> bytes:
        return answer

    def with_another_receipt(path: str, body: bytes) -> bytes:
        found = msgspec.json.decode(body)
        found["outcome"]["receipt"]["time"] += 1
        found["proof"]["receipt"]["time"] += 1
        return msgspec.json.encode(found)

    for twist in (without_proof, of_another, with_another_receipt):
        server.twist = twist
        with pytest.raises(Untrusted):
            client.outcome(ids[0], 0)
    server.twist = None
    assert isinstance(client.outcome(ids[0], 0), Final)


def test_events_left_out_swapped_or_changed_are_noticed(
    server: Server, client: RemoteLedger, members: Consortium
) -> None:
    def entries(change: Callable[[list[dict[str, object]]], object]) -> Twist:
        def twist(path: str, body: bytes) -> bytes:
            found = msgspec.json.decode(body)
            if path == "/entries":
                change(found["entries"])
            return bytes(msgspec.json.encode(found))

        return twist

    def renamed(told: list[dict[str, object]]) -> None:
        told[0]["entry"] = str(told[0]["entry"]).replace("put_member", "suspend_member")

    for change in (lambda told: told.pop(1), lambda told: told.reverse(), lambda told: told.clear(), renamed):
        server.twist = entries(change)
        with pytest.raises(Untrusted):
            client.events(0, 3)
    server.twist = None
    assert [event.number for event in client.events(0, 3)] == [1, 2, 3]


def test_a_forked_or_rolled_back_ledger_is_noticed_and_remembered_over_a_restart(
    server: Server, client: RemoteLedger, members: Consortium, tmp_path: Path
) -> None:
    server.stop()
    shutil.copy(tmp_path / "log.sqlite", tmp_path / "old.sqlite")
    server.start()
    ids = client.submit([members.hospital.anchors(fresh_id(), 1) for _ in range(3)])
    assert all(isinstance(client.outcome(id, PATIENCE), Final) for id in ids)
    server.stop()

    server.start("old.sqlite")
    with pytest.raises(Untrusted):
        client.head()
    again = RemoteLedger(server.url, server.ledger.roots(), tmp_path / "seen.note")
    with pytest.raises(Untrusted):
        again.head()
    server.ledger.submit([members.hospital.anchors(fresh_id(), 1) for _ in range(4)])
    with pytest.raises(Untrusted):
        again.head()
    with pytest.raises(Untrusted):
        client.events(-1, 10)
    again.close()


def test_a_head_signed_by_somebody_else_is_not_believed(
    server: Server, client: RemoteLedger, members: Consortium
) -> None:
    def twist(path: str, body: bytes) -> bytes:
        found = msgspec.json.decode(body)
        forged = Checkpoint(log_signer().key.name, 99, bytes(32), NOON)
        note = sign_checkpoint(forged, NoteSigner(log_signer().key.name, bytes(32)))
        found["head"] = {"height": 99, "root": "00" * 32, "time": NOON, "evidence": note.text()}
        return msgspec.json.encode(found)

    server.twist = twist
    with pytest.raises(Untrusted):
        client.head()


def test_a_head_that_is_not_its_checkpoint_is_not_believed(server: Server, client: RemoteLedger) -> None:
    for key, value in (("height", 4), ("root", "00" * 32), ("time", NOON - DAY)):

        def twist(path: str, body: bytes, key: str = key, value: object = value) -> bytes:
            found = msgspec.json.decode(body)
            found["head"][key] = value
            return msgspec.json.encode(found)

        server.twist = twist
        with pytest.raises(Untrusted):
            client.head()


def test_a_malformed_operation_is_refused_without_asking_anybody(
    server: Server, client: RemoteLedger, members: Consortium
) -> None:
    signed = members.hospital.anchors("not hex", 1)
    server.stop()
    refused = client.outcome(client.submit([signed])[0], 0)
    assert isinstance(refused, Refused)
    assert refused.code == "malformed"
    server.start()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/operations", b"{"),
        ("POST", "/operations", b'[{"operation":{}}]'),
        ("POST", "/operations", b"\xff"),
        ("GET", "/operations/xyz", b""),
        ("GET", f"/operations/{'0' * 63}g/proof", b""),
        ("GET", "/members/1", b""),
        ("GET", f"/nullifiers/{'0' * 64}/{'0' * 64}/0", b""),
        ("GET", "/consistency?old=1&size=99", b""),
        ("GET", "/consistency?old=9&size=3", b""),
        ("GET", "/entries?after=-2", b""),
        ("GET", "/head?old=-1", b""),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_in_words(server: Server, method: str, path: str, body: bytes) -> None:
    answer = httpx.request(method, server.url + path, content=body)
    assert answer.status_code in (400, 422)
    assert answer.json()


def test_too_much_at_once_is_refused(server: Server, members: Consortium) -> None:
    answer = httpx.post(f"{server.url}/operations", content=b" " * (8 * 1024 * 1024 + 1))
    assert answer.status_code == 400
    assert "bytes" in answer.json()["fault"]


def test_many_members_write_over_http_at_once(server: Server, client: RemoteLedger, members: Consortium) -> None:
    found: list[object] = []

    def say() -> None:
        own = RemoteLedger(server.url, server.ledger.roots())
        signed = [members.hospital.anchors(fresh_id(), 1) for _ in range(10)]
        found.extend(own.outcome(id, PATIENCE) for id in own.submit(signed))
        own.close()

    threads = [threading.Thread(target=say) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 60
    assert all(isinstance(outcome, Final) for outcome in found)
    assert len(client.events(-1, 500)) == 65


def test_a_duplicated_and_reordered_batch_gives_each_operation_once(client: RemoteLedger, members: Consortium) -> None:
    stream = fresh_id()
    first, second = members.hospital.anchors(stream, 1), members.hospital.anchors(stream, 2)
    client.submit([second, first, first])
    assert isinstance(client.outcome(operation_id(first.operation), PATIENCE), Final)
    found = client.outcome(operation_id(second.operation), PATIENCE)
    assert isinstance(found, Refused)
    assert found.code == "out_of_order"
    client.submit([second, first, second])
    assert isinstance(client.outcome(operation_id(second.operation), PATIENCE), Final)
    assert [event.kind for event in client.events(4, 10)] == ["anchor", "anchor"]


def test_what_was_seen_before_must_be_readable(tmp_path: Path, server: Server, client: RemoteLedger) -> None:
    (tmp_path / "seen.note").write_text("nothing")
    with pytest.raises(Malformed):
        RemoteLedger(server.url, server.ledger.roots(), tmp_path / "seen.note")

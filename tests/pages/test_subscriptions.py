"""Machines that ask to be told, against a real receiver that fails, is slow, goes away and comes back."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.subscription import Subscription

from given import CLEAN_STAY, HOSPITAL, House, a_bill
from pages.given_pages import site_of, steps
from pages.test_api import Machine, machine
from pages.test_portal import gives
from safeweave import consents, outbox
from safeweave.consents import Revocation
from safeweave.errors import Malformed
from safeweave.ports import free_port
from safeweave.web.access import ROLES, table
from safeweave.web.api import clients
from safeweave.web.asked import Site
from safeweave.web.notices import reaching
from safeweave.web.notices.reaching import Refused
from waiting import until


@dataclass
class Receiver:
    """A machine that is told, over HTTP; it does as `does` says: answer with a status, or be slow."""

    port: int = field(default_factory=free_port)  # its own also while it is away
    does: list[int | float] = field(default_factory=list)  # for the next calls; after them it takes everything
    got: list[dict[str, Any]] = field(default_factory=list)  # what it took
    headers: list[dict[str, str]] = field(default_factory=list)
    calls: int = 0
    _server: ThreadingHTTPServer | None = None

    def begins(self) -> "Receiver":
        receiver = self

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                receiver.calls += 1
                does = receiver.does.pop(0) if receiver.does else 200
                if isinstance(does, float):
                    time.sleep(does)
                    does = 200
                if does == 200:
                    receiver.got.append(json.loads(content))
                    receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(int(does))
                self.send_header("location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Hook)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def goes_away(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def statuses(self) -> list[dict[str, list[Any]]]:
        """The Parameters of each notification that was taken, by name."""
        found = []
        for bundle in self.got:
            named: dict[str, list[Any]] = {}
            for part in bundle["entry"][0]["resource"]["parameter"]:
                value = next((value for key, value in part.items() if key.startswith("value")), part.get("part"))
                named.setdefault(part["name"], []).append(value)
            found.append(named)
        return found

    def numbers(self) -> list[int]:
        """The numbers of all events that were taken, in the order they came."""
        return [int(part[0]["valueString"]) for told in self.statuses() for part in told.get("notification-event", [])]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver().begins()
    yield made
    made.goes_away()


@pytest.fixture
def site(house: House) -> Site:
    found = site_of(house, subscribers_private="127.0.0.0/8")
    for handler in house.node.worker.outside.values():
        if handler.lane == "subscriber":
            handler.load.__self__.settings = house.node.settings  # type: ignore[attr-defined]
    return found


def asks(
    client: Machine, where: str, topic: str = "case-status", payload: str = "id-only", patient: str = "",
    headers: tuple[str, ...] = (), **extensions: int,
) -> Any:  # fmt: skip
    ig = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
    names = {"heartbeat": ("backport-heartbeat-period", "valueUnsignedInt"), "most": ("backport-max-count",
             "valuePositiveInt"), "timeout": ("backport-timeout", "valueUnsignedInt")}  # fmt: skip
    body: dict[str, Any] = {
        "resourceType": "Subscription", "status": "requested", "reason": "a test",
        "criteria": f"urn:safeweave:topic:{topic}",
        "channel": {
            "type": "rest-hook", "endpoint": where, "payload": "application/fhir+json", "header": list(headers),
            "_payload": {"extension": [{"url": f"{ig}/backport-payload-content", "valueCode": payload}]},
            "extension": [{"url": f"{ig}/{names[name][0]}", names[name][1]: n} for name, n in extensions.items()],
        },
    }  # fmt: skip
    if patient:
        body["_criteria"] = {"extension": [{"url": f"{ig}/backport-filter-criteria", "valueString": patient}]}
    return client.calls("POST", "/api/fhir/Subscription", json=body)


def works(house: House, seconds: float = 2) -> None:
    house.time.pass_(seconds)
    house.works()


def another_stay(house: House, number: int) -> None:
    house.hears(*[
        msgspec.structs.replace(
            event, visit=f"ZY-{number}", **({"bill": a_bill(str(number))} if hasattr(event, "bill") else {})
        )
        for event in CLEAN_STAY
    ])  # fmt: skip


def status_of(client: Machine, id: str) -> dict[str, Any]:
    with client.site.database.transaction() as tx:  # tokens last five minutes, receivers stay away longer
        client.token = clients.grant(tx, client.id, ["system/*.*"], client.site.clock())
    told = client.calls("GET", f"/fhir/Subscription/{id}/$status").json()
    named = {}
    for part in told["entry"][0]["resource"]["parameter"]:
        named[part["name"]] = next(value for key, value in part.items() if key.startswith("value"))
    return named


# ---------------------------------------------------------------- from asking to being told


def test_a_client_shakes_hands_and_then_hears_of_a_case_step_by_step(house: House, site, receiver, person):
    director = machine(site)
    answer = asks(director, receiver.url, headers=("Authorization: Bearer a-secret-of-theirs",))
    assert answer.status_code == 201, answer.text
    Subscription.model_validate(answer.json())
    assert (answer.json()["status"], "header" in answer.json()["channel"]) == ("requested", False)
    works(house)
    assert status_of(director, answer.json()["id"])["status"] == "active"
    house.hears(*CLEAN_STAY)
    works(house)
    kinds = [told["type"][0] for told in receiver.statuses()]
    assert (kinds[0], set(kinds[1:])) == ("handshake", {"event-notification"})
    assert receiver.numbers() == list(range(1, len(receiver.numbers()) + 1))
    case = house.case().id.replace("_", "-")
    for bundle in receiver.got:
        Bundle.model_validate(bundle)
    last = receiver.got[-1]["entry"]
    assert [entry["request"]["url"] for entry in last[1:]] == [f"Task/{case}"]
    assert "resource" not in last[1]  # only its id
    assert {told["authorization"] for told in receiver.headers} == {"Bearer a-secret-of-theirs"}
    task = director.calls("GET", f"/fhir/Task/{case}").json()
    assert (task["status"], task["businessStatus"]["coding"][0]["code"]) == ("completed", "closed")


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)  # on the other engine one writes at a time
def test_a_step_that_is_committed_after_very_many_with_higher_numbers_is_told(house: House, site, receiver, person):
    answer = asks(machine(site), receiver.url)
    assert answer.status_code == 201, answer.text
    works(house)
    house.hears(*CLEAN_STAY)
    works(house)
    works(house)
    database, case = house.node.database, house.case().id

    def told() -> int:
        ((count,),) = house.rows("select count(*) from subscription_event where source like 'step:%'")
        return int(count)

    before = told()
    with database.transaction(beside=True) as late:
        steps(late, case, ["referred", "verified"] * 250, house.time())
        for _ in range(3):  # however often it is looked meanwhile
            with database.transaction(beside=True) as quick:
                steps(quick, case, ["referred", "verified"] * 8, house.time())
            works(house, 200)
        assert told() == before + 3 * 16

    def is_quiet() -> bool:
        works(house, 200)
        [followed] = house.rows("select place from subscription_place where what = 'steps again'")
        sure, again, _ = followed[0].split()
        return sure == again

    until(is_quiet)  # whoever else writes to another database of this server is waited for too
    assert told() == before + 3 * 16 + 500


def test_the_secret_header_rests_encrypted_and_goes_with_the_subscription(house: House, site, receiver):
    director = machine(site)
    id = asks(director, receiver.url, headers=("X-Key: a-secret-of-theirs",)).json()["id"]
    [(kept,)] = house.rows("select headers from subscription")
    assert kept
    assert "a-secret" not in kept
    assert director.calls("DELETE", f"/fhir/Subscription/{id}").status_code == 200
    assert house.rows("select headers, state from subscription") == [("", "off")]
    assert director.calls("GET", f"/fhir/Subscription/{id}").status_code == 404
    works(house)
    assert receiver.got == []


@pytest.mark.parametrize(("payload", "resources"), [("empty", []), ("id-only", [None]), ("full-resource", ["whole"])])
def test_as_much_is_sent_as_was_asked_for(house: House, site, receiver, payload, resources):
    director = machine(site)
    asks(director, receiver.url, "claim-response", payload)
    works(house)
    house.hears(*CLEAN_STAY)
    works(house)
    [decided] = house.decided()
    entries = receiver.got[-1]["entry"][1:]
    assert [entry.get("resource") and "whole" for entry in entries] == resources
    if payload == "full-resource":
        assert entries[0]["resource"]["total"][0]["amount"]["value"] == 450.0
        assert (decided.id, "decisions.read") in house.rows("select thing, action from page_view")
    else:
        assert house.rows("select count(*) from page_view") == [(0,)]


def test_consents_given_and_taken_back_are_told_and_only_of_the_patient_asked_for(house: House, site, receiver, person):
    director = machine(site)
    assert asks(director, receiver.url, "consent", patient=f"Consent?patient={person}").status_code == 201
    works(house)
    given = gives(house, person)
    works(house)
    house.time.pass_(5)
    with site.database.transaction() as tx:
        consents.revoke(tx, [Revocation(given.id, house.time(), person, "screen")], house.time())
    works(house)
    works(house, 90)
    focus = [entry["request"]["url"] for bundle in receiver.got for entry in bundle["entry"][1:]]
    assert focus == [f"Consent/{given.id.replace('_', '-')}"] * 2
    assert receiver.numbers() == [1, 2]


# ---------------------------------------------------------------- whoever fails, is slow, goes away and returns


def test_nothing_is_lost_and_nothing_out_of_order_while_a_receiver_fails_and_is_away(house: House, site, receiver):
    director = machine(site)
    asks(director, receiver.url, most=2)
    works(house)
    assert receiver.numbers() == []
    receiver.does = [500, 503, 429]
    another_stay(house, 1)
    for _ in range(6):
        works(house, 400)
    first = receiver.numbers()
    receiver.goes_away()
    another_stay(house, 2)
    for _ in range(7):
        works(house, 400)
    assert receiver.numbers() == first
    id = house.rows("select id from subscription")[0][0]
    with site.database.reading() as tx:
        assert outbox.circuit(tx, f"subscriber/{id}").failures >= 5
    told = status_of(director, id.replace("_", "-"))
    assert (told["status"], told["error"]["text"]) == ("active", "ConnectError")
    receiver.begins()
    for _ in range(12):
        works(house, 400)
    numbers = receiver.numbers()
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > len(first) > 0
    [(last, taken)] = house.rows("select last_number, taken from subscription")
    assert last == taken == len(numbers)
    assert max(len(told.get("notification-event", [])) for told in receiver.statuses()) == 2


def test_a_silent_receiver_keeps_no_other_waiting(house: House, site, receiver):
    director = machine(site)
    other = Receiver().begins()
    asks(director, other.url)
    asks(director, receiver.url)
    works(house)
    other.goes_away()
    house.hears(*CLEAN_STAY)
    works(house)
    assert len(receiver.numbers()) > 2
    assert other.numbers() == []


def test_a_slow_receiver_is_given_its_time_and_no_more_and_told_again(house: House, site, receiver):
    director = machine(site)
    asks(director, receiver.url, timeout=1)
    receiver.does = [1.6]
    works(house)
    until(lambda: receiver.got)  # it has the handshake after all, and we do not know
    works(house, 400)
    works(house, 400)
    assert [told["type"][0] for told in receiver.statuses()][:2] == ["handshake", "handshake"]
    assert house.rows("select state from subscription") == [("active",)]


def test_a_refusal_is_set_aside_and_replayed_with_everything_since(house: House, site, receiver):
    director = machine(site)
    id = asks(director, receiver.url).json()["id"]
    works(house)
    receiver.does = [410]
    another_stay(house, 1)
    works(house)
    assert status_of(director, id)["status"] == "error"
    assert "HTTP 410" in status_of(director, id)["error"]["text"]
    another_stay(house, 2)
    works(house)
    assert receiver.numbers() == []
    told = director.calls("GET", f"/fhir/Subscription/{id}/$events?eventsSinceNumber=2").json()
    Bundle.model_validate(told)
    events = [part for part in told["entry"][0]["resource"]["parameter"] if part["name"] == "notification-event"]
    assert events[0]["part"][0]["valueString"] == "2"
    with site.database.transaction() as tx:
        outbox.unpark(tx, [task for task, *_ in outbox.parked(tx)], house.time())
    works(house)
    assert receiver.numbers() == list(range(1, len(receiver.numbers()) + 1))
    assert len(receiver.numbers()) > 5


def test_it_is_not_followed_elsewhere(house: House, site, receiver):
    director = machine(site)
    receiver.does = [302]
    id = asks(director, receiver.url).json()["id"]
    works(house)
    assert (status_of(director, id)["status"], receiver.calls) == ("error", 1)


def test_a_heartbeat_comes_when_nothing_else_did(house: House, site, receiver):
    asks(machine(site), receiver.url, heartbeat=60)
    works(house)
    works(house, 30)
    works(house, 40)
    works(house, 61)
    assert [told["type"][0] for told in receiver.statuses()] == ["handshake", "heartbeat", "heartbeat"]
    assert receiver.numbers() == []


def test_threads_of_a_running_worker_call_too(house: House, site, receiver):
    asks(machine(site), receiver.url)
    house.node.worker.start()
    try:
        until(lambda: receiver.got)
    finally:
        house.node.worker.stop()
    assert [told["type"][0] for told in receiver.statuses()] == ["handshake"]


# ---------------------------------------------------------------- who hears what


def test_a_hospital_hears_of_its_own_patients_only_and_of_no_consent(house: House, site, receiver):
    own, other = machine(site, "hospital", sender=HOSPITAL), machine(site, "hospital", sender="another")
    elsewhere = Receiver().begins()
    for topic in ("claim-response", "explanation", "consent"):
        assert asks(own, receiver.url, topic).status_code == 201
        assert asks(other, elsewhere.url, topic).status_code == 201
    works(house)
    house.hears(*CLEAN_STAY)
    works(house)
    focus = {entry["request"]["url"].partition("/")[0] for bundle in receiver.got for entry in bundle["entry"][1:]}
    assert focus == {"ClaimResponse"}
    assert elsewhere.numbers() == []
    elsewhere.goes_away()
    [decided] = house.decided()
    id = decided.id.replace("_", "-")
    assert own.calls("GET", f"/fhir/ClaimResponse/{id}").status_code == 200
    assert own.calls("GET", f"/fhir/ExplanationOfBenefit/{id}").status_code == 403
    assert other.calls("GET", f"/fhir/ClaimResponse/{id}").status_code == 404


def test_what_may_not_be_read_any_more_is_numbered_and_not_pointed_at(house: House, site, receiver):
    own = machine(site, "hospital", sender=HOSPITAL)
    asks(own, receiver.url, "claim-response", "full-resource")
    works(house)
    receiver.does = [503] * 50
    house.hears(*CLEAN_STAY)
    works(house)
    with site.database.transaction() as tx:
        tx.run("update account set sender = 'another' where role = 'hospital'")
    receiver.does = []
    works(house, 400)
    assert (receiver.numbers(), len(receiver.got[-1]["entry"])) == ([1], 1)


def test_only_machines_ask_and_only_those_whose_role_and_scope_allow_it(site, receiver, mine):
    for role in ROLES:
        if role in ("insured", "guardian", "agent"):
            continue
        client = machine(site, role, sender=HOSPITAL if role == "hospital" else "")
        expected = 201 if role in table()["subscriptions.keep"] else 403
        assert asks(client, receiver.url).status_code == expected, role
    narrow = machine(site, "director", ("system/Subscription.*", "system/Task.read"))
    assert asks(narrow, receiver.url).status_code == 201
    assert asks(narrow, receiver.url, "consent").status_code == 400
    assert asks(machine(site, "director", ("system/*.read",)), receiver.url).status_code == 403
    assert mine.client.get("/fhir/Subscription").status_code == 403


def test_one_client_does_not_see_those_of_another(site, receiver):
    one, other = machine(site), machine(site)
    id = asks(one, receiver.url).json()["id"]
    assert Bundle.model_validate(one.calls("GET", "/fhir/Subscription").json()).total == 1
    assert other.calls("GET", "/fhir/Subscription").json()["total"] == 0
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/$status"), ("GET", "/$events")):
        assert other.calls(method, f"/fhir/Subscription/{id}{path}").status_code == 404


# ---------------------------------------------------------------- whom we call


@pytest.mark.parametrize(
    "where",
    [
        "http://example.com/hook", "ftp://example.com/", "https://", "https://user:secret@example.com/", "//x", "",
        "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://[::1]/", "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/", "https://0.0.0.0/", "https://example.com/#x", "https://例子.example/",
        "https://example.com:0/", "https://[", "https://" + "a" * 600, "https://192.168.1.1:99999/",
    ],
)  # fmt: skip
def test_an_address_that_may_not_be_called_is_refused_when_it_is_asked_for(where):
    with pytest.raises(Malformed):
        reaching.check(where, ())


def test_what_a_name_leads_to_is_checked_when_it_is_called(house: House, site, receiver):
    for private in ((), reaching.networks("10.0.0.0/8")):
        with pytest.raises(Refused):
            reaching.post(f"https://localhost:{receiver.port}/", {}, b"", 5, private)
    assert receiver.calls == 0
    assert (
        reaching.post(f"http://localhost:{receiver.port}/", {}, b"{}", 5, reaching.networks("127.0.0.0/8,::1")) == 200
    )


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("8.8.8.8", True), ("2606:4700::1", True), ("127.0.0.1", False), ("10.1.2.3", False), ("224.0.0.1", False),
     ("100.64.0.1", False), ("::ffff:192.168.0.1", False), ("2002:7f00:1::", False), ("fd00::1", False)],
)  # fmt: skip
def test_public_addresses_are_called_and_private_ones_are_not(address, allowed):
    assert reaching.is_allowed(ip_address(address), ()) is allowed


@pytest.mark.parametrize(
    "changed",
    [{"criteria": "Patient?name=x"}, {"criteria": 1}, {"end": "yesterday"}, {"end": "2020-01-01T00:00:00Z"},
     {"resourceType": "Patient"}, {"channel": []}, {"channel": {"type": "email"}},
     {"channel": {"type": "rest-hook", "payload": "text/plain"}},
     {"_criteria": {"extension": [{"url": "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
                                   "backport-filter-criteria", "valueString": "Task?name=x"}]}}],
)  # fmt: skip
def test_what_is_not_understood_is_said_with_its_place(site, receiver, changed):
    body = {
        "resourceType": "Subscription", "status": "requested", "reason": "x",
        "criteria": "urn:safeweave:topic:case-status",
        "channel": {"type": "rest-hook", "endpoint": receiver.url, "payload": "application/fhir+json"}, **changed,
    }  # fmt: skip
    answer = machine(site).calls("POST", "/fhir/Subscription", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["issue"][0]["expression"]


def test_headers_that_would_change_the_call_are_not_taken(site, receiver):
    for header in ("Host: elsewhere", "X-A: b\r\nHost: c", "Content-Length: 1", "nonsense", "X-Ü: x"):
        assert asks(machine(site), receiver.url, headers=(header,)).status_code == 400

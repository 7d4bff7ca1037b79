"""The API as programs meet it: permissions of the table, once each, page by page, errors as problems, tokens."""

import json
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import hypothesis
import jwt
import msgspec
import pytest
import schemathesis
from cryptography.hazmat.primitives.asymmetric import ec
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.claimresponse import ClaimResponse
from fhir.resources.R4B.consent import Consent
from fhir.resources.R4B.coverageeligibilityresponse import CoverageEligibilityResponse
from fhir.resources.R4B.explanationofbenefit import ExplanationOfBenefit
from hypothesis import HealthCheck, Phase, settings

from given import CLEAN_STAY, HOSPITAL, SENDER, House, a_bill, admitted, billed, discharged, yuan
from pages.given_pages import Browser
from pages.test_permissions import NEAR, World, world  # noqa: F401 - a fixture
from pages.test_portal import gives
from people.given_people import SAMPLE_FEMALE
from safeweave.errors import Malformed
from safeweave.exchange import senders
from safeweave.web.access import Role, Scope, table
from safeweave.web.accounts import Account, session_of
from safeweave.web.api import clients
from safeweave.web.api.endpoints import ENDPOINTS
from safeweave.web.api.openapi import description
from safeweave.web.asked import Site, csrf_of
from safeweave.web.people import people_app
from stores import engines


@dataclass
class Machine:
    """A client with its key, and how it calls."""

    site: Site
    id: str
    key: Any
    token: str = ""

    def assertion(self, **changed: Any) -> str:
        now = self.site.clock().timestamp()
        told = {"iss": self.id, "sub": self.id, "aud": "http://testserver/api/token", "exp": int(now + 240),
                "jti": "j1", **changed}  # fmt: skip
        return jwt.encode(told, self.key, "ES384", {"kid": "k1"})

    def asks_for_a_token(self, scope: str = "system/*.read", **changed: Any) -> Any:
        return Browser(self.site).client.post("/api/token", data={
            "grant_type": "client_credentials", "scope": scope, "client_assertion": self.assertion(**changed),
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        })  # fmt: skip

    def calls(self, method: str, path: str, **more: Any) -> Any:
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        client = Browser(self.site).client
        return client.request(method, path, headers=headers, follow_redirects=False, **more)


def machine(
    site: Site, role: Role = "director", scopes: tuple[str, ...] = ("system/*.*",), sender: str = ""
) -> Machine:
    """A registered client that holds a token for all its scopes."""
    key = ec.generate_private_key(ec.SECP384R1())
    public = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": "k1", "alg": "ES384"}
    with site.database.transaction() as tx:
        made = clients.add(tx, f"a {role}", role, sender, scopes, json.dumps({"keys": [public]}), site.clock())
        token = clients.grant(tx, made.id, scopes, site.clock())
    return Machine(site, made.id, key, token)


@pytest.fixture(params=["sqlite"])  # most of the API is the same over both; what is not has tests of its own
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def director(site: Site) -> Machine:
    return machine(site)


# ---------------------------------------------------------------- permissions


CALLS: dict[str, tuple[str, str, Any]] = {
    "policies.read": ("GET", "/api/people/{person}/policies", None),
    "stays.read": ("GET", "/api/stays/{case}", None),
    "decisions.read": ("GET", "/api/decisions/{decision}", None),
    "decisions.object": ("POST", "/api/stays/{case}/requests", {}),
    "papers.submit": ("POST", "/api/stays/{case}/papers", {"words": "出院小结"}),
    "messages.read": ("GET", "/api/people/{person}/messages", None),
    "consents.read": ("GET", "/fhir/Consent?patient={person}", None),
    "consents.withdraw": ("POST", "/api/consents/{consent}/withdrawal", {}),
    "figures.read": ("GET", "/api/figures", None),
    "inbox.read": ("GET", "/api/inbox", None),
    "inbox.repair": ("POST", "/api/inbox/999999", {"sender": "nobody"}),
    "stays.list": ("GET", "/api/stays", None),
    "referrals.read": ("GET", "/api/desk/{case}", None),
    "referrals.decide": (
        "POST",
        "/api/desk/{case}/decision",
        {"verdict": "approve", "version": "none", "note": "看过"},
    ),
    "referrals.confirm": ("POST", "/api/desk/{case}/confirmation", {"verdict": "confirm", "proposal": "none"}),
    "what_if.read": ("GET", "/api/what-if", None),
    "what_if.run": ("POST", "/api/what-if", {"product": "none", "figures": {}}),
    "again.read": ("GET", "/api/again", None),
    "again.propose": ("POST", "/api/again", {"product": "none", "why": ""}),
    "again.approve": ("POST", "/api/again/none/approval", {"verdict": "approve"}),
}
NOT_THERE = ("inbox.repair", "again.approve")  # whoever may is told that there is no such thing
OURS = (*(action for action in CALLS if action.startswith(("what_if.", "again."))),
        "figures.read", "inbox.read", "inbox.repair", "stays.list")  # fmt: skip
# Actions that no endpoint of the API's own does, or that another test walks.
NOT_CALLED = {
    "papers.hand_in", "papers.read", "letters.read", "consents.give", "reads.read", "bank_account.read",
    "bank_account.change", "delegations.read", "delegations.change", "health.read", "oversight.read",
    "claims.submit", "claims.answered", "subscriptions.keep", "coverage.check",
}  # fmt: skip


def test_every_action_has_a_call_or_says_why_not():
    assert set(CALLS) | NOT_CALLED == set(table())
    assert not set(CALLS) & NOT_CALLED


def test_every_cell_of_the_table_through_the_api(world: World):  # noqa: F811
    """As on the pages: the agents come first, since nobody of the customer's has looked yet."""
    wrong = []
    near = sorted(world.near.items(), key=lambda item: item[0][0] != "agent")
    everybody: list[tuple[Role, Scope | None, Account]] = [(role, scope, a) for (role, scope), a in near]
    everybody += [(role, None, account) for role, account in world.strangers.items()]
    for role, scope, account in everybody:
        browser = Browser(world.site).is_signed_in_as(account)
        with world.site.database.reading() as tx:
            session = session_of(tx, browser.client.cookies["sw_session"], world.site.clock())
        csrf = csrf_of(browser.client.cookies["sw_browser"], session)
        for action, (method, path, body) in CALLS.items():
            where = path.format_map(vars(world))
            status = browser.client.request(method, where, json=body, headers={"x-csrf": csrf}).status_code
            allowed = (scope is not None and table()[action].get(role) == scope) or (
                action in OURS and role in table()[action]
            )
            expected = {200, 201, 400, 409} if allowed else {403} if scope or action in OURS else {404}
            if allowed and action in NOT_THERE:
                expected = {404}
            if status not in expected:
                wrong.append(f"{action} by {role} ({scope}): {status}, not {expected}")
    assert wrong == []
    assert {role for role, _ in NEAR} >= {role for role, _, _ in everybody}


def test_nobody_calls_without_a_token_or_a_session(site):
    client = Browser(site).client
    for endpoint in ENDPOINTS:
        if endpoint.open:
            continue
        for headers in ({}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic eDp5"}):
            answer = client.request(endpoint.method, endpoint.path.replace("{", "").replace("}", ""), headers=headers)
            assert answer.status_code == 401, endpoint.path
            assert "Bearer" in answer.headers["www-authenticate"]


def test_a_form_of_another_site_cannot_call(site, mine, person):
    consent = "consent_00000000000000000"
    for headers in ({}, {"x-csrf": "wrong"}, {"sec-fetch-site": "cross-site"}):
        assert mine.client.post(f"/api/consents/{consent}/withdrawal", headers=headers).status_code == 403


# ---------------------------------------------------------------- what is answered


def test_a_stay_is_told_with_what_was_decided_and_paid(house: House, director):
    house.hears(*CLEAN_STAY)
    told = director.calls("GET", f"/api/stays/{house.case().id}").json()
    assert (told["stay"]["stage"], told["payouts"][0]["fen"]) == ("closed", yuan("450.00"))
    [decision] = told["decisions"]
    assert director.calls("GET", f"/api/decisions/{decision['id']}").json() == decision
    assert sum(line["paid"] for line in decision["lines"]) == decision["payable"] == yuan("450.00")
    assert house.rows("select distinct role, action from page_view order by action") == [
        ("director", "decisions.read"), ("director", "stays.read"),
    ]  # fmt: skip


def test_stays_come_page_by_page_each_once(house: House, director, person):
    for number in range(1, 6):
        house.hears(*[
            msgspec.structs.replace(
                event, visit=f"ZY{number}", **({"bill": a_bill(str(number))} if hasattr(event, "bill") else {})
            )
            for event in CLEAN_STAY
        ])  # fmt: skip
    for path in ("/api/stays", f"/api/people/{person}/stays"):
        seen, where, pages = [], f"{path}?limit=2", 0
        while where:
            answer = director.calls("GET", where)
            seen += [each["id"] for each in answer.json()["items"]]
            pages, where = pages + 1, answer.links["next"]["url"] if answer.json()["next"] else ""
        assert (pages, len(seen), len(set(seen))) == (3, 5, 5)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=100000", "cursor=!!", "cursor=eyJ9", "stage=nowhere"])
def test_a_question_that_makes_no_sense_is_a_problem(director, query):
    answer = director.calls("GET", f"/api/stays?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    told = answer.json()
    assert (told["status"], told["field"], told["instance"]) == (400, query.partition("=")[0], "/api/stays")


def test_problems_are_told_in_the_callers_language(director):
    answer = director.calls("GET", "/api/stays/case_none", headers={"accept-language": "en"})
    assert answer.json()["title"] == "There is no such thing"
    answer = director.calls("GET", "/api/stays/case_none", headers={"accept-language": "zh-CN"})
    assert (answer.json()["title"], answer.headers["content-language"]) == ("没有这个", "zh-CN")


def test_an_address_that_is_not_there_is_a_problem_and_not_a_page(director):
    assert director.calls("GET", "/api/nowhere").headers["content-type"] == "application/problem+json"
    assert director.calls("GET", "/fhir/Nothing/1").json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("store", engines(), indirect=True)
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/stays/{case}/requests", '{"words": "a\\u0000b"}', "words"),
        ("/api/inbox/1", '{"sender": "x", "text": "\\u0000"}', "text"),
        ("/api/inbox/1", '{"send\\u0000er": "x"}', ""),
        ("/fhir/Claim/$submit", '{"entry": [{"resource": {"id": "\\u0000"}}]}', "entry[0].resource.id"),
        ("/fhir/Consent", '{"note": ["a", "\\u0000"]}', "note[1]"),
        ("/fhir/Subscription", '{"channel": {"header": ["a: \\u0000"]}}', "channel.header[0]"),
    ],
)
def test_a_character_no_store_can_hold_is_refused_with_its_place(house: House, director, path, body, field):
    house.hears(*CLEAN_STAY)
    answer = director.calls("POST", path.format(case=house.case().id), content=body)
    assert answer.status_code == 400
    if path.startswith("/api"):
        assert (answer.headers["content-type"], answer.json().get("field", "")) == ("application/problem+json", field)
    else:
        assert answer.json()["issue"][0]["expression"] == [field]


def test_the_six_characters_that_only_look_like_it_are_taken(house: House, mine, site):
    house.hears(*CLEAN_STAY)
    with site.database.reading() as tx:
        csrf = csrf_of(mine.client.cookies["sw_browser"],
                       session_of(tx, mine.client.cookies["sw_session"], site.clock()))  # fmt: skip
    told = mine.client.post(
        f"/api/stays/{house.case().id}/requests", content=r'{"words": "a\\u0000b"}', headers={"x-csrf": csrf}
    )
    assert told.status_code == 201
    assert house.rows("select words from case_request") == [(r"a\u0000b",)]


# ---------------------------------------------------------------- once each


def test_the_same_call_with_the_same_key_works_once_and_is_answered_the_same(house: House, mine, site, person):
    house.hears(*CLEAN_STAY)
    case = house.case().id
    session = mine.client.cookies["sw_session"]
    with site.database.reading() as tx:
        csrf = csrf_of(mine.client.cookies["sw_browser"], session_of(tx, session, site.clock()))
    headers = {"x-csrf": csrf, "idempotency-key": "one"}
    first = mine.client.post(f"/api/stays/{case}/requests", json={"words": "请看"}, headers=headers)
    again = mine.client.post(f"/api/stays/{case}/requests", json={"words": "请看"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (first.content, again.headers["idempotency-replayed"]) == (again.content, "true")
    assert house.rows("select count(*) from case_request") == [(1,)]
    other = mine.client.post(f"/api/stays/{case}/requests", json={"words": "再看"}, headers=headers)
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")
    refused = mine.client.post(f"/api/stays/{case}/requests", json={}, headers={**headers, "idempotency-key": "a b"})
    assert refused.status_code == 400


def test_an_answer_that_says_no_is_not_kept_for_its_key(house: House, mine, site, person):
    consent = gives(house, person)
    with site.database.reading() as tx:
        csrf = csrf_of(mine.client.cookies["sw_browser"],
                       session_of(tx, mine.client.cookies["sw_session"], site.clock()))  # fmt: skip
    headers = {"x-csrf": csrf, "idempotency-key": "two"}
    assert mine.client.post("/api/consents/none/withdrawal", headers=headers).status_code == 404
    done = mine.client.post(f"/api/consents/{consent.id}/withdrawal", headers=headers)
    assert (done.status_code, done.json()["state"]) == (200, "revoked")


# ---------------------------------------------------------------- FHIR


def test_decisions_are_told_in_fhir(house: House, director, person):
    house.hears(*CLEAN_STAY)
    [decided] = house.decided()
    id = decided.id.replace("_", "-")
    told = director.calls("GET", f"/fhir/ClaimResponse/{id}")
    assert b'"amount":{"value":450.00,"currency":"CNY"}' in told.content  # exact, with both decimals
    ClaimResponse.model_validate(told.json())
    explained = ExplanationOfBenefit.model_validate(director.calls("GET", f"/fhir/ExplanationOfBenefit/{id}").json())
    assert [float(total.amount.value) for total in explained.total] == [1000.0, 450.0]
    for kind in ("ClaimResponse", "ExplanationOfBenefit"):
        for named in (person, f"Patient/{person.replace('_', '-')}"):
            bundle = Bundle.model_validate(director.calls("GET", f"/fhir/{kind}?patient={named}").json())
            assert (bundle.total, bundle.entry[0].resource.id) == (1, id)


def test_consents_are_read_given_and_taken_back_in_fhir(house: House, mine, site, person):
    consent = gives(house, person)
    answer = mine.client.get(f"/fhir/Consent/{consent.id.replace('_', '-')}")
    assert answer.headers["content-type"] == "application/fhir+json"
    told = answer.json()
    Consent.model_validate(told)
    with site.database.reading() as tx:
        csrf = csrf_of(mine.client.cookies["sw_browser"],
                       session_of(tx, mine.client.cookies["sw_session"], site.clock()))  # fmt: skip
    again = mine.client.post("/fhir/Consent", content=json.dumps(told), headers={"x-csrf": csrf})
    assert again.status_code == 201, again.text
    bundle = Bundle.model_validate(mine.client.get(f"/fhir/Consent?patient={person}").json())
    assert bundle.total == 1
    told["status"] = "inactive"
    told["extension"].append({"url": "urn:safeweave:fhir/revoked-at", "valueInstant": site.clock().isoformat()})
    ended = mine.client.post("/fhir/Consent", content=json.dumps(told), headers={"x-csrf": csrf})
    assert (ended.status_code, ended.json()["status"]) == (201, "inactive"), ended.text
    director = machine(site)
    assert director.calls("POST", "/fhir/Consent", content=json.dumps(told)).status_code == 403


def test_what_can_be_done_is_said(site):
    told = Browser(site).client.get("/fhir/metadata").json()
    CapabilityStatement.model_validate(told)
    kinds = {each["type"] for each in told["rest"][0]["resource"]}
    assert kinds >= {"Encounter", "Claim", "ClaimResponse", "ExplanationOfBenefit", "Consent"}


CLAIM = {
    "resourceType": "Claim", "id": "c1", "status": "active", "use": "claim", "created": "2026-03-06",
    "type": {"coding": [{"code": "institutional"}]}, "patient": {"display": "测试甲"},
    "provider": {"display": "示例市第一医院"}, "priority": {"coding": [{"code": "normal"}]},
    "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "P-1"}}],
    "identifier": [{"system": "https://safeweave.example/fhir/bill", "value": "33060226-0000000001"}],
    "total": {"value": 1000.00, "currency": "CNY"},
}  # fmt: skip


def test_a_hospital_submits_a_claim_and_it_is_taken_like_a_message(house: House, site):
    with site.database.transaction() as tx:
        senders.save(tx, [(SENDER, None)])
    hospital = machine(site, "hospital", sender=HOSPITAL)
    answer = hospital.calls("POST", "/fhir/Claim/$submit", json=CLAIM)
    assert answer.status_code == 200, answer.text
    assert ClaimResponse.model_validate(answer.json()).outcome == "queued"
    assert house.rows("select status, sender from inbound_message") == [("taken", HOSPITAL)]
    without_bill = {name: value for name, value in CLAIM.items() if name != "identifier"} | {"id": "c2"}
    refused = hospital.calls("POST", "/fhir/Claim/$submit", json=without_bill)
    assert (refused.status_code, refused.json()["issue"][0]["expression"]) == (422, ["identifier"])
    assert house.rows("select count(*) from inbound_message where status = 'refused'") == [(1,)]
    assert hospital.calls("POST", "/fhir/Claim/$submit", json={"resourceType": "Patient"}).status_code == 400
    assert machine(site).calls("POST", "/fhir/Claim/$submit", json=CLAIM).status_code == 403


def test_a_hospital_reads_what_answers_its_own_claims_and_nothing_of_others(house: House, site, person):
    with site.database.transaction() as tx:
        senders.save(tx, [(SENDER, None)])
    own, other = machine(site, "hospital", sender=HOSPITAL), machine(site, "hospital", sender="another")
    house.hears(admitted(), discharged())
    taken = own.calls("POST", "/fhir/Claim/$submit", json=CLAIM).json()
    assert own.calls("GET", f"/fhir/ClaimResponse/{taken['id']}").json()["outcome"] == "queued"
    assert other.calls("GET", f"/fhir/ClaimResponse/{taken['id']}").status_code == 404
    house.works()
    house.hears(billed())
    [decided] = house.decided()
    id = decided.id.replace("_", "-")
    for named in (id, taken["id"]):
        told = ClaimResponse.model_validate(own.calls("GET", f"/fhir/ClaimResponse/{named}").json())
        assert (told.id, told.outcome) == (id, "complete")
        assert other.calls("GET", f"/fhir/ClaimResponse/{named}").status_code == 404
    assert own.calls("GET", f"/fhir/ClaimResponse?patient={person}").json()["total"] == 1
    assert other.calls("GET", f"/fhir/ClaimResponse?patient={person}").status_code == 404
    assert own.calls("GET", f"/fhir/ExplanationOfBenefit/{id}").status_code == 403
    assert own.calls("GET", "/fhir/ClaimResponse/message-x").status_code == 404
    case = decided.case.replace("_", "-")
    assert own.calls("GET", f"/fhir/Task/{case}").json()["resourceType"] == "Task"
    assert other.calls("GET", f"/fhir/Task/{case}").status_code == 404
    assert house.rows("select distinct action from page_view where role = 'hospital' order by action") == [
        ("claims.answered",), ("stays.read",),
    ]  # fmt: skip


def test_a_hospital_learns_whether_somebody_is_insured_and_nothing_else(house: House, site, person):
    hospital = machine(site, "hospital", sender=HOSPITAL)

    def asks(number: str, day: str = "2026-03-03") -> dict[str, Any]:
        answer = hospital.calls("POST", "/fhir/CoverageEligibilityRequest", json={
            "resourceType": "CoverageEligibilityRequest", "status": "active", "purpose": ["validation"],
            "patient": {"identifier": {"system": "urn:safeweave:document:resident_id", "value": number},
                        "display": "测试甲"},
            "servicedDate": day,
        })  # fmt: skip
        assert answer.status_code == 200, answer.text
        CoverageEligibilityResponse.model_validate(answer.json())
        return answer.json()

    [insurance] = asks(SAMPLE_FEMALE)["insurance"]
    assert insurance["inforce"] is True
    assert "insurance" not in asks(SAMPLE_FEMALE, "1999-01-01")
    assert "insurance" not in asks("330102201501010019")


# ---------------------------------------------------------------- tokens


def test_a_machine_gets_a_token_for_what_it_signs_and_calls_with_it(house: House, site):
    client = machine(site, "operator", ("system/*.read",))
    told = client.asks_for_a_token("system/*.read system/*.write").json()
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 300, "system/*.read")
    client.token = told["access_token"]
    assert client.calls("GET", "/api/figures").status_code == 200
    assert client.calls("POST", "/api/inbox/1", json={"sender": "x"}).status_code == 403
    house.time.pass_(301)
    assert client.calls("GET", "/api/figures").status_code == 401
    assert house.rows("select count(*) from api_token where token = ?", told["access_token"]) == [(0,)]


def test_an_assertion_that_is_not_good_gets_no_token(site):
    client = machine(site, "operator", ("system/*.read",))
    now = site.clock().timestamp()
    assert client.asks_for_a_token(jti="once").status_code == 200
    assert client.asks_for_a_token(jti="once").status_code == 401  # used before
    for changed in ({"aud": "https://elsewhere.example/token"}, {"sub": "client_other"}, {"iss": "client_other"},
                    {"exp": int(now - 1)}, {"exp": int(now + 3600)}, {"exp": "soon"}):  # fmt: skip
        assert client.asks_for_a_token(jti="x", **changed).status_code == 401, changed
    other = machine(site, "operator", ("system/*.read",))
    stranger = Machine(site, client.id, other.key)
    assert stranger.asks_for_a_token(jti="y").status_code == 401
    assert client.asks_for_a_token("system/*.write", jti="z").status_code == 400
    with site.database.transaction() as tx:
        clients.close(tx, client.id, site.clock())
    assert client.asks_for_a_token(jti="after").status_code == 401
    assert client.calls("GET", "/api/figures").status_code == 401


@pytest.mark.parametrize("store", engines(), indirect=True)
def test_an_assertion_with_a_character_no_store_can_hold_gets_an_answer(site):
    client = machine(site, "operator", ("system/*.read",))
    assert client.asks_for_a_token(iss="nobody\0").status_code == 401
    assert client.asks_for_a_token(jti="j\0").status_code == 200


@pytest.mark.parametrize(
    ("scopes", "resource", "writes", "allowed"),
    [
        (["system/*.read"], "Consent", False, True), (["system/*.read"], "Consent", True, False),
        (["system/Consent.rs"], "Consent", False, True), (["system/Consent.rs"], "ClaimResponse", False, False),
        (["system/Consent.read"], "", False, False), (["system/*.*"], "", True, True),
        (["system/Consent.cu"], "Consent", True, True), ([], "Consent", False, False), (["nonsense"], "", False, False),
    ],
)  # fmt: skip
def test_scopes_allow_what_they_say(scopes, resource, writes, allowed):
    assert clients.allows(scopes, resource, writes) is allowed


def test_private_keys_and_nonsense_are_not_registered():
    for keys in ("", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "kid": "a"}]}',
                 '{"keys": [{"kty": "EC", "kid": "a", "d": "secret"}]}', '{"keys": [{"kty": "EC"}]}'):  # fmt: skip
        with pytest.raises(Malformed):
            clients.check_keys(keys)


def test_smart_clients_find_where_tokens_are(site):
    told = Browser(site).client.get("/fhir/.well-known/smart-configuration").json()
    assert told["token_endpoint"].endswith("/api/token")
    assert "private_key_jwt" in told["token_endpoint_auth_methods_supported"]


# ---------------------------------------------------------------- everything that is described


def test_the_description_names_every_endpoint_once(site):
    told = Browser(site).client.get("/api/openapi.json").json()
    named = {(method.upper(), path) for path, each in told["paths"].items() for method in each}
    assert named == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    names = [each["operationId"] for path in told["paths"].values() for each in path.values()]
    assert len(names) == len(set(names))
    assert json.loads(msgspec.json.encode(description(ENDPOINTS))) == told


def _calling(operation: Any, machines: list[Machine], there: dict[str, str], done: set[str], failed: list[str]) -> Any:
    """What calls this operation as each of these machines, and notes if it was done, and answers not described.

    Every other call is of things that are `there`, by what they are called in addresses.
    """
    turn = cycle((False, True))

    @settings(max_examples=6, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    def once(case: Any) -> None:
        if next(turn):
            known = {name: id for name, id in there.items() if name in case.path_parameters}
            case.path_parameters = {**case.path_parameters, **known}
        for caller in machines:
            answer = case.call(headers={"authorization": f"Bearer {caller.token}"})
            if answer.status_code < 300:
                done.add(operation.path)
            if answer.status_code >= 500 or str(answer.status_code) not in operation.definition.raw["responses"]:
                failed.append(f"{operation.method} {operation.path}: {answer.status_code} {answer.text[:200]}")

    return once


def test_no_call_of_the_description_makes_the_server_fail(house: House, site, person):
    """Generated calls of every endpoint, by somebody who may much: none ends in 500, each as it is described."""
    house.hears(*CLEAN_STAY)
    house.hears(admitted(visit="ZY2"), discharged(visit="ZY2"), billed(a_bill("2", "20000.00"), visit="ZY2"))
    case = house.case("ZY2").id
    app = people_app(site)
    every = schemathesis.openapi.from_asgi("/api/openapi.json", app)
    machines = [machine(site), machine(site, "operator"), machine(site, "hospital", sender=HOSPITAL)]
    product = "hospital-expense-2020"
    asked = {"product": product, "figures": {"deductible[0].yuan": 1}}
    tried = machines[0].calls("POST", "/api/what-if", json=asked).json()["id"]
    again = machines[0].calls("POST", "/api/again", json={"product": product, "why": "x"}).json()["id"]
    failed, done = list[str](), set[str]()
    for operation in [found.ok() for found in every.get_all_operations()]:
        run = tried if operation.path.startswith("/api/what-if") else again
        there = {"case": case, "stay": case, "product": product, "person": person, "run": run}
        hypothesis.given(case=operation.as_strategy())(_calling(operation, machines, there, done, failed))()
    site.close()
    assert failed == []
    assert done >= {"/api/desk", "/api/desk/{case}", "/api/products/{product}/figures", "/api/what-if/{run}",
                    "/api/again/{run}", "/api/again/{run}/cases"}  # fmt: skip

"""The pages and the hospitals' doors share one address, and staff are let in by command."""

import json
import threading
from dataclasses import replace

import httpx

from given import TOKEN, House
from pages.given_pages import Browser, site_of, staff
from safeweave.main import main
from safeweave.ports import free_port
from safeweave.serving import serve
from waiting import PATIENCE


def test_one_address_serves_pages_and_doors(house: House) -> None:
    http, mllp = free_port(), free_port()
    site_of(house)
    house.node.settings = replace(house.node.settings, http_port=http, mllp_port=mllp)
    ready, stopping = threading.Event(), threading.Event()
    serving = threading.Thread(target=serve, args=(house.node, ready.set, stopping))
    serving.start()
    try:
        assert ready.wait(PATIENCE)
        with httpx.Client(base_url=f"http://127.0.0.1:{http}", follow_redirects=True, timeout=PATIENCE) as client:
            assert client.get("/").url.path == "/sign-in"
            assert client.get("/health").json() == {"status": "up"}
            assert client.post("/fhir", content=b"{}").status_code == 401
            known = client.post("/fhir", content=b"{}", headers={"authorization": f"Bearer {TOKEN}"})
            assert known.status_code == 400
            assert "content-security-policy" not in known.headers
            kinds = [each["type"] for each in client.get("/fhir/metadata").json()["rest"][0]["resource"]]
            assert {"Encounter", "ClaimResponse"} <= set(kinds)
            for path in ("/fhir/Consent", "/fhir/Consent/none", "/fhir/ClaimResponse/none", "/api/me"):
                assert client.get(path).status_code == 401
            submitted = client.post("/fhir/Claim/$submit", content=b"{}")
            assert (submitted.status_code, submitted.json()["issue"][0]["code"]) == (401, "login")
            assert client.post("/fhir/Consent", content=b"{}").json()["issue"][0]["code"] == "login"
    finally:
        stopping.set()
        serving.join(PATIENCE)
    assert not serving.is_alive()


def test_a_node_that_is_not_asked_to_serves_no_pages(house: House) -> None:
    assert house.node.site() is None


def run(house: House, capsys, *words: str) -> tuple[int, str]:
    code = main(["--home", str(house.node.settings.home), "--language", "en", *words])
    told = capsys.readouterr()
    return code, told.out + told.err


def test_accounts_of_staff_are_opened_listed_and_closed_by_command(house, capsys):
    assert run(house, capsys, "accounts", "add", "李核赔", "--role", "examiner")[0] == 1
    assert run(house, capsys, "accounts", "add", "王代理", "--role", "agent", "--phone", "1390")[0] == 1
    assert run(house, capsys, "accounts", "add", "医院", "--role", "hospital", "--phone", "1390")[0] == 1
    code, told = run(house, capsys, "accounts", "add", "李核赔", "--role", "examiner", "--phone", "13900000009")
    assert code == 0
    listed = json.loads(run(house, capsys, "accounts", "list", "--json")[1])
    assert [(each["role"], each["name"]) for each in listed] == [("examiner", "李核赔")]
    assert listed[0]["account"] in told
    assert "李核赔" in run(house, capsys, "accounts", "list")[1]
    assert run(house, capsys, "accounts", "close", listed[0]["account"])[0] == 0
    assert json.loads(run(house, capsys, "accounts", "list", "--json")[1]) == []
    assert run(house, capsys, "accounts", "close", listed[0]["account"])[0] == 1


def test_who_has_no_pages_of_their_own_yet_begins_at_the_settings(house, site):
    browser = Browser(site).is_signed_in_as(staff(site, "hospital", sender="H1"))
    assert browser.opens("/").url.path == "/settings"


def test_machines_are_registered_listed_and_closed_by_command(house, capsys, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text('{"keys": [{"kty": "EC", "crv": "P-384", "kid": "k1", "x": "AA", "y": "AA"}]}', encoding="utf-8")
    assert run(house, capsys, "clients", "add", "一院", "--role", "hospital", "--keys", str(keys))[0] == 1
    code, told = run(house, capsys, "clients", "add", "监管", "--role", "commission", "--keys", str(keys))
    assert code == 0
    [listed] = json.loads(run(house, capsys, "clients", "list", "--json")[1])
    assert (listed["role"], listed["scopes"]) == ("commission", ["system/*.read"])
    assert listed["client"] in told
    assert "监管" in run(house, capsys, "clients", "list")[1]
    assert run(house, capsys, "clients", "close", listed["client"])[0] == 0
    assert run(house, capsys, "clients", "close", listed["client"])[0] == 1

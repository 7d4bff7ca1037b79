"""The pages and the hospitals' doors share one address, and staff are let in by command."""

import json
import threading
from dataclasses import replace

import httpx

from doors.given_doors import free_port
from given import TOKEN, House
from pages.given_pages import Browser, site_of, staff
from safeweave.main import main
from safeweave.node import serve


def test_one_address_serves_pages_and_doors(house: House) -> None:
    http, mllp = free_port(), free_port()
    site_of(house)
    house.node.settings = replace(house.node.settings, http_port=http, mllp_port=mllp)
    ready, stopping = threading.Event(), threading.Event()
    serving = threading.Thread(target=serve, args=(house.node, ready.set, stopping))
    serving.start()
    try:
        assert ready.wait(20)
        with httpx.Client(base_url=f"http://127.0.0.1:{http}", follow_redirects=True) as client:
            assert client.get("/").url.path == "/sign-in"
            assert client.get("/health").json() == {"status": "up"}
            assert client.post("/fhir", content=b"{}").status_code == 401
            known = client.post("/fhir", content=b"{}", headers={"authorization": f"Bearer {TOKEN}"})
            assert known.status_code == 400
            assert "content-security-policy" not in known.headers
    finally:
        stopping.set()
        serving.join(20)
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
    browser = Browser(site).is_signed_in_as(staff(site, "commission"))
    assert browser.opens("/").url.path == "/settings"

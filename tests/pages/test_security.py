"""What the checklist of ASVS asks of sign-ins, cookies and the security log, beyond what the other tests show."""

import json
import logging
from datetime import timedelta

import pytest

from given import CLEAN_STAY, House
from pages.given_pages import PHONE, Browser, account_for, codes_sent, site_of, staff
from pages.test_api import machine
from pages.test_behind_the_doors import run
from pages.test_signing_in import asks_for_a_code
from safeweave.commands.serve import _Lines
from safeweave.errors import Malformed
from safeweave.web.api.clients import check_keys
from safeweave.web.asked import BROWSER, SESSION
from safeweave.web.cookies import within


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    """What the security log holds."""
    return [json.loads(each.getMessage()) for each in caplog.records if each.name == "safeweave.security"]


def has_a_passkey(site, account: str) -> None:
    with site.database.transaction() as tx:
        tx.run(
            "insert into passkey (id, account, public_key, counter, name, added_at) values (?, ?, ?, 0, 'x', ?)",
            (f"passkey-{account}", account, b"x", site.clock().isoformat()),
        )


# ---------------------------------------------------------------- signing in


def test_what_one_signs_in_with_is_changed_only_shortly_after_signing_in(house: House, site, mine, person):
    own = account_for(site, person)
    has_a_passkey(site, own.id)
    other = Browser(site).is_signed_in_as(own)
    house.time.at += timedelta(minutes=16)
    for form in ("/settings/sessions/.*/end", "/settings/sessions/end-others", "/passkeys/.*/remove"):
        mine.opens("/settings")
        mine.sends(form)
        assert mine.page.url.path == "/sign-in"
        assert "请先重新登录一次" in mine.text
        assert dict(mine.form("/sign-in").fields)["then"] == "/settings"
    assert "/passkeys" not in [form.action for form in mine.forms]
    assert other.opens("/settings").url.path == "/settings"
    mine.is_signed_in_as(own)
    mine.opens("/settings")
    mine.sends("/settings/sessions/end-others")
    assert "其他浏览器都已退出" in mine.text
    assert other.opens("/settings").url.path == "/sign-in"
    mine.sends("/passkeys/.*/remove")
    assert house.rows("select count(*) from passkey") == [(0,)]


def test_staff_who_have_a_passkey_do_not_get_in_with_a_code_alone(house: House, site):
    account = staff(site, "examiner", phone="13911110000")
    browser = Browser(site)
    asks_for_a_code(browser, "13911110000")
    has_a_passkey(site, account.id)
    browser.sends("/sign-in/code", code=codes_sent(house)[-1][1])
    assert browser.page.status_code == 403
    assert "这个账号有通行密钥" in browser.text
    fields = {**dict(browser.form("/sign-in").fields), "account": account.id}
    assert browser.client.post("/sign-in/who", data=fields).status_code == 404
    assert browser.opens("/desk").url.path == "/sign-in"


def test_an_insured_person_with_a_passkey_may_still_use_a_code(house: House, site, person):
    has_a_passkey(site, account_for(site, person).id)
    browser = Browser(site)
    asks_for_a_code(browser)
    browser.sends("/sign-in/code", code=codes_sent(house)[-1][1])
    assert browser.page.url.path == f"/people/{person}"


def test_an_operator_signs_out_one_account_or_everybody(house: House, site, person, capsys):
    own, desk = account_for(site, person), staff(site, "examiner", phone="13911110000")
    mine, theirs = Browser(site).is_signed_in_as(own), Browser(site).is_signed_in_as(desk)
    assert run(house, capsys, "accounts", "sign-out")[0] == 1
    assert run(house, capsys, "accounts", "sign-out", desk.id)[0] == 0
    assert theirs.opens("/desk").url.path == "/sign-in"
    assert mine.opens("/settings").url.path == "/settings"
    assert "1" in run(house, capsys, "accounts", "sign-out", "--all")[1]
    assert mine.opens("/settings").url.path == "/sign-in"


def test_signing_out_clears_what_the_browser_kept(mine):
    mine.opens("/settings")
    answer = mine.client.post("/sign-out", data=dict(mine.form("/sign-out").fields), follow_redirects=False)
    assert answer.headers["clear-site-data"] == '"cache", "storage"'


# ---------------------------------------------------------------- cookies


def test_over_https_every_cookie_belongs_to_this_host_alone(house: House, person):
    site = site_of(house, pages_url="https://claims.example")
    browser = Browser(site)
    browser.client.base_url = "https://testserver"
    answer = browser.client.get("/sign-in", headers={"cookie": ""})
    names = [cookie.partition("=")[0] for cookie in answer.headers.get_list("set-cookie")]
    assert names == [f"__Host-{BROWSER}"]
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    browser.is_signed_in_as(account_for(site, person))
    token = browser.client.cookies[SESSION]
    browser.client.cookies.clear()
    for name, path in ((SESSION, "/sign-in"), (f"__Host-{SESSION}", "/settings")):
        got = browser.client.get("/settings", headers={"cookie": f"{name}={token}"})
        assert got.url.path == path, name


def test_a_cookie_that_only_looks_like_ours_is_not_read():
    assert within(b"sw_session=theirs; a=b; __Host-sw_session=ours") == b"a=b; sw_session=ours"


# ---------------------------------------------------------------- the security log


def test_signing_in_well_and_badly_is_written_down_without_phone_or_code(house: House, site, person, caplog):
    caplog.set_level(logging.INFO, "safeweave.security")
    browser = Browser(site)
    asks_for_a_code(browser)
    code = codes_sent(house)[-1][1]
    browser.sends("/sign-in/code", code=f"{(int(code) + 1) % 1_000_000:06d}")
    browser.sends("/sign-in/code", code=code)
    browser.sends("/sign-out")
    lines = told(caplog)
    assert [(line["what"], line.get("by", "")) for line in lines] == [
        ("code_asked", ""), ("sign_in_failed", "code"), ("signed_in", "code"), ("signed_out", ""),
    ]  # fmt: skip
    assert lines[2]["account"] == account_for(site, person).id
    assert all(line["source"] and line["path"] for line in lines)
    assert PHONE not in caplog.text
    assert code not in caplog.text


def test_what_was_refused_is_written_down_with_who_and_which_action(house: House, site, mine, caplog):
    house.hears(*CLEAN_STAY)
    caplog.set_level(logging.INFO, "safeweave.security")
    agent = Browser(site).is_signed_in_as(staff(site, "agent", licence="A-1"))
    agent.opens(f"/stays/{house.case().id}")
    mine.opens("/operations")
    mine.client.post("/sign-out", data={"_csrf": "forged"})
    client = machine(site, "operator", ("system/*.read",))
    assert client.asks_for_a_token(jti="once").status_code == 200
    assert client.asks_for_a_token(jti="once").status_code == 401
    assert [(line["what"], line.get("why", "")) for line in told(caplog)][:4] == [
        ("refused", "stays.read"), ("refused", "figures.read"), ("refused", "csrf"), ("token_given", ""),
    ]  # fmt: skip
    assert told(caplog)[-1]["what"] == "token_refused"


def test_a_line_of_the_log_is_one_line_in_utc_whatever_stands_in_it():
    record = logging.LogRecord("safeweave.pages", logging.WARNING, "", 0, "bad\nINFO forged \x1b[31m %s", ("x",), None)
    record.created = 0.0
    line = _Lines("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S").format(record)
    assert line == "1970-01-01T00:00:00Z WARNING bad\\nINFO forged \\x1b[31m x"


# ---------------------------------------------------------------- machines


def test_an_assertion_that_is_not_good_yet_gets_no_token(site):
    client = machine(site, "operator", ("system/*.read",))
    now = int(site.clock().timestamp())
    assert client.asks_for_a_token(jti="early", nbf=now + 60).status_code == 401
    assert client.asks_for_a_token(jti="good", nbf=now).status_code == 200


def test_a_short_rsa_key_is_not_registered():
    def keys(characters: int) -> str:
        return json.dumps({"keys": [{"kty": "RSA", "kid": "k", "e": "AQAB", "n": "x" * characters}]})

    check_keys(keys(512))
    with pytest.raises(Malformed, match="3072"):
        check_keys(keys(342))


def test_a_folder_is_not_listed_and_trace_is_not_answered(mine):
    for path in ("/static", "/static/", "/static/../pages.py", "/static/%2e%2e/pages.py"):
        assert mine.opens(path).status_code == 404, path
    assert mine.client.request("TRACE", "/settings").status_code == 404

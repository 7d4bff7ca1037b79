"""Double submits, stale tabs, pasted books, forged addresses and lost sessions: nothing is lost or done twice."""

import logging
import re
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from given import CLEAN_STAY
from pages.given_pages import Browser, account_for, person_named, site_of
from safeweave.errors import StoreUnavailable
from safeweave.web import pages
from safeweave.web.asked import BROWSER, SESSION, Asked, Stale, csrf_of
from safeweave.web.pages import HEADERS, PER_MINUTE, Routes, pages_app
from safeweave.web.people import PARTS


def test_a_form_sent_twice_works_once_and_leads_to_the_same_page(house, mine):
    house.hears(*CLEAN_STAY)
    decided = house.decided()[0]
    mine.opens(f"/decisions/{decided.id}/object")
    form = mine.form("/decisions/.*")
    first = mine.sends("", form, words="一次").url
    second = mine.sends("", form, words="一次").url
    assert first == second
    assert house.rows("select count(*) from case_request") == [(1,)]


def test_the_back_button_and_sending_again_changes_nothing_more(house, mine, person):
    mine.opens(f"/people/{person}/account")
    form = mine.form(f"/people/{person}/account")
    mine.sends("", form, bank_account="6217000010000000019")
    before = house.rows("select count(*) from payee_change")
    mine.opens(f"/people/{person}")
    mine.sends("", form, bank_account="6217000010000000019")
    assert house.rows("select count(*) from payee_change") == before


def test_a_book_pasted_into_a_form_is_given_back_with_what_to_do(house, mine):
    house.hears(*CLEAN_STAY)
    decided = house.decided()[0]
    mine.opens(f"/decisions/{decided.id}/object")
    book = "很长的一段话。" * (5 * 1024 * 1024 // 21)
    mine.sends(f"/decisions/{decided.id}/object", words=book)
    assert mine.page.status_code == 413
    assert f"您写了 {len(book):,} 个字符，最多 4,000 个" in mine.text
    assert dict(mine.form(f"/decisions/{decided.id}/object").fields)["words"] == book
    assert house.rows("select count(*) from case_request") == [(0,)]


def test_more_than_can_be_read_is_refused_with_a_page(mine):
    mine.opens("/settings")
    page = mine.client.post("/sign-out", content=b"words=" + b"x" * (17 * 1024 * 1024))
    assert page.status_code == 413
    assert "还在浏览器里" in page.text


def test_a_forged_id_in_the_address_finds_nothing(house, mine, site):
    house.hears(*CLEAN_STAY)
    for path in (
        "/people/person_0000000000000000", "/stays/case_0000000000000000", "/decisions/det_0", "/letters/letter_0",
        "/people/' or 1=1 --", "/stays/%F0%9F%98%80", "/nothing/here", "/people/../../etc/passwd",
    ):  # fmt: skip
        assert mine.opens(path).status_code == 404, path
        assert "没有这个页面" in mine.text


def test_a_session_that_is_over_gives_the_form_back_after_signing_in_again(house, mine, person):
    house.hears(*CLEAN_STAY)
    decided = house.decided()[0]
    mine.opens(f"/decisions/{decided.id}/object")
    house.time.at += timedelta(minutes=31)
    mine.sends(f"/decisions/{decided.id}/object", words="写了很久的一段话 𠮷😀")
    assert mine.page.url.path == "/sign-in"
    assert "您填写的内容已保存" in mine.text
    assert house.rows("select count(*) from case_request") == [(0,)]

    mine.is_signed_in_as(account_for(mine.site, person))
    mine.opens("/again")
    assert "写了很久的一段话 𠮷😀" in mine.text
    mine.sends(f"/decisions/{decided.id}/object")
    assert house.rows("select words from case_request") == [("写了很久的一段话 𠮷😀",)]
    assert mine.opens("/again").url.path == f"/people/{person}"


def test_what_one_person_wrote_is_given_back_to_nobody_else(house, mine, site):
    house.insures("P-3", name="测试丁", document="34052419800101001X")
    house.hears(*CLEAN_STAY)
    decided = house.decided()[0]
    mine.opens(f"/decisions/{decided.id}/object")
    house.time.at += timedelta(minutes=31)
    mine.sends(f"/decisions/{decided.id}/object", words="秘密")
    mine.is_signed_in_as(account_for(site, person_named(house, "测试丁")))
    mine.opens("/again")
    assert "秘密" not in mine.page.text


def test_whoever_comes_back_after_the_session_is_over_is_told_so_and_led_on_after_signing_in(house, mine, person):
    assert "登录已过期" not in Browser(mine.site).opens(f"/people/{person}").text  # nobody was signed in
    house.time.at += timedelta(minutes=31)
    mine.opens(f"/people/{person}/messages")
    assert mine.page.url.path == "/sign-in"
    assert "登录已过期，请重新登录。" in mine.text
    assert ("then", f"/people/{person}/messages") in mine.form("/sign-in").fields


@pytest.mark.parametrize("token", ["", "x" * 64, None])
def test_a_form_without_its_token_is_not_taken(house, mine, person, token):
    fields = {} if token is None else {"_csrf": token}
    page = mine.client.post(f"/people/{person}/account", data={**fields, "name": "测试甲", "bank_account": "62220200"})
    assert page.status_code == 403


def test_the_token_of_another_browser_is_not_taken(house, mine, person, site):
    other = Browser(site).is_signed_in_as(account_for(site, person))
    other.opens(f"/people/{person}/account")
    form = other.form(f"/people/{person}/account")
    assert mine.sends("", form, bank_account="6217000010000000019").status_code == 403


def test_a_form_of_another_site_is_not_taken_whatever_it_carries(mine, person):
    mine.opens(f"/people/{person}/account")
    fields = dict(mine.form(f"/people/{person}/account").fields)
    page = mine.client.post(f"/people/{person}/account", data=fields, headers={"sec-fetch-site": "cross-site"})
    assert page.status_code == 403


def test_a_token_made_before_signing_in_is_worthless_after(mine):
    mine.opens("/settings")
    browser = mine.client.cookies[BROWSER]
    page = mine.client.post("/sign-out", data={"_csrf": csrf_of(browser, None)})
    assert page.status_code == 403


# ---------------------------------------------------------------- what any part can rely on

routes = Routes()
_version = ["1"]


@routes.post("/draft")
def save_draft(asked: Asked) -> object:
    """A form with a version, as the workbench has them."""
    if asked.field("_version") != _version[0]:
        raise Stale(_version[0])
    _version[0] = str(int(_version[0]) + 1)
    return asked.go("/settings")


@routes.get("/fails/{how}", open=True)
def fails(asked: Asked) -> object:
    """A page that fails in each way."""
    raise {"store": StoreUnavailable("full"), "us": ZeroDivisionError("x")}[asked.place("how")]


@pytest.fixture
def other(site, mine) -> Browser:
    """The same browser, on an app with one part more."""
    mine.client = TestClient(
        pages_app(site, [*PARTS, routes]), raise_server_exceptions=False, cookies=mine.client.cookies
    )
    return mine


def test_two_who_save_one_thing_do_not_overwrite_each_other_and_nothing_typed_is_lost(other):
    other.opens("/settings")
    token = dict(other.form("/sign-out").fields)["_csrf"]
    sent = {"_csrf": token, "words": "mine, typed long" + "." * 80}
    assert other.client.post("/draft", data={**sent, "_version": _version[0]}).status_code == 200
    stale = other.client.post("/draft", data={**sent, "_version": "1"})
    other.page = stale
    assert stale.status_code == 409
    form = other.form("/draft")
    assert dict(form.fields)["words"] == sent["words"]
    assert dict(form.fields)["_version"] == _version[0]
    assert other.sends("/draft").status_code == 200


@pytest.mark.parametrize(("how", "status"), [("store", 503), ("us", 500)])
def test_what_fails_on_our_side_is_a_page_that_says_nothing_of_the_inside(other, how, status, caplog):
    caplog.set_level(logging.CRITICAL, "safeweave.pages")
    page = other.opens(f"/fails/{how}")
    assert page.status_code == status
    assert "ZeroDivision" not in page.text
    assert "什么都没有改变" in other.text


def test_who_asks_too_often_is_told_to_wait_and_others_are_not(mine, site, monkeypatch):
    monkeypatch.setattr(pages, "seconds_running", lambda: 61.0)  # one minute, however long the test takes
    for _ in range(PER_MINUTE):
        mine.client.get("/language/zh?back=/static/icon.svg", follow_redirects=False)
    assert mine.opens("/settings").status_code == 429
    assert "请稍等" in mine.text
    assert int(mine.page.headers["retry-after"]) > 0
    assert Browser(site).page.status_code == 200


def test_every_answer_carries_the_secure_headers_and_nothing_inline(house, mine, person):
    house.hears(*CLEAN_STAY)
    for path in ("/sign-in", f"/people/{person}", f"/stays/{house.case().id}", "/static/pages.css", "/nothing"):
        page = mine.opens(path)
        for name, value in HEADERS.items():
            assert page.headers[name] == value, path
        assert "unsafe" not in page.headers["content-security-policy"]
        if "html" in page.headers["content-type"]:
            assert page.headers["cache-control"] == "no-store"
            assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|https?://", page.text), path


def test_cookies_are_for_the_server_alone_and_over_https_only_where_there_is_https(house, site, person):
    secure = site_of(house, pages_url="https://claims.example")
    for where, expected in ((site, False), (secure, True)):
        answer = Browser(where).client.get("/sign-in", headers={"cookie": ""})
        cookies = answer.headers.get_list("set-cookie") or Browser(where).page.headers.get_list("set-cookie")
        assert cookies
        assert all("HttpOnly" in cookie and "SameSite=lax" in cookie for cookie in cookies)
        assert all(("Secure" in cookie) is expected for cookie in cookies)
    assert "strict-transport-security" in Browser(secure).page.headers
    assert SESSION not in Browser(site).client.cookies


def test_a_page_is_in_the_language_and_size_somebody_chose(house, mine, person):
    mine.opens(f"/language/en?back=/people/{person}")
    assert 'lang="en"' in mine.page.text
    assert "My policies" in mine.text
    mine.opens("/size/largest?back=/")
    assert 'data-size="largest"' in mine.page.text
    mine.opens("/size/usual?back=/")
    assert "data-size" not in mine.page.text
    assert mine.opens("/size/huge").status_code == 404
    stranger = Browser(mine.site, "en-GB,en;q=0.8")
    assert "Sign in" in stranger.text
    assert "登录" in Browser(mine.site, "fr").text


def test_a_character_that_no_store_can_hold_is_left_out(house, mine):
    house.hears(*CLEAN_STAY)
    decided = house.decided()[0]
    assert mine.opens("/people/%00").status_code == 404
    assert mine.opens("/settings?back=%00").status_code == 200
    mine.opens(f"/decisions/{decided.id}/object")
    mine.sends(f"/decisions/{decided.id}/object", words="ein\x00s")
    assert house.rows("select words from case_request") == [("eins",)]

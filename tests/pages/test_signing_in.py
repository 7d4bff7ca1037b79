"""Who gets in: a code to the phone on file, once, in time; and nobody learns who is on file."""

import threading
from datetime import timedelta

from pages.given_pages import PHONE, Browser, account_for, codes_sent, person_named, site_of
from safeweave.web import accounts
from safeweave.web.asked import SESSION


def waits_for_sending() -> None:
    for thread in threading.enumerate():
        if thread.name.endswith("(_send)"):
            thread.join()


def asks_for_a_code(browser: Browser, address: str = PHONE) -> None:
    browser.opens("/sign-in")
    browser.sends("/sign-in", address=address)
    waits_for_sending()


def test_a_code_sent_to_the_phone_on_file_lets_its_holder_in(house, site):
    browser = Browser(site)
    asks_for_a_code(browser)
    [(to, code)] = codes_sent(house)
    assert to == PHONE
    browser.sends("/sign-in/code", code=code)
    assert browser.page.url.path == f"/people/{person_named(house, '测试甲')}"


def test_whoever_is_not_known_gets_the_same_answer_and_no_code(house, site):
    known, unknown = Browser(site), Browser(site)
    asks_for_a_code(known)
    asks_for_a_code(unknown, "13911112222")
    assert known.text == unknown.text
    assert known.page.status_code == unknown.page.status_code == 200
    assert len(codes_sent(house)) == 1
    unknown.sends("/sign-in/code", code=codes_sent(house)[0][1])
    assert unknown.page.status_code == 400
    assert SESSION not in unknown.client.cookies


def test_a_code_is_good_once_for_ten_minutes_and_for_five_tries(house, site):
    browser = Browser(site)
    asks_for_a_code(browser)
    code = codes_sent(house)[-1][1]
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for _ in range(5):
        assert browser.sends("/sign-in/code", code=wrong).status_code == 400
    assert browser.sends("/sign-in/code", code=code).status_code == 400

    asks_for_a_code(browser)
    house.time.at += timedelta(minutes=10)
    assert browser.sends("/sign-in/code", code=codes_sent(house)[-1][1]).status_code == 400

    asks_for_a_code(browser)
    form = browser.form("/sign-in/code")
    browser.sends("/sign-in/code", code=codes_sent(house)[-1][1])
    assert SESSION in browser.client.cookies
    browser.client.cookies.delete(SESSION)
    assert browser.sends("", form, code=codes_sent(house)[-1][1]).status_code == 400


def test_a_code_is_worth_nothing_in_another_browser(house, site):
    mine, other = Browser(site), Browser(site)
    asks_for_a_code(mine)
    asks_for_a_code(other, "13911112222")
    other.sends("/sign-in/code", code=codes_sent(house)[0][1])
    assert other.page.status_code == 400


def test_the_sixth_code_in_an_hour_is_not_sent(house, site):
    browser = Browser(site)
    for _ in range(5):
        asks_for_a_code(browser)
    browser.opens("/sign-in")
    assert browser.sends("/sign-in", address=PHONE).status_code == 429
    assert len(codes_sent(house)) == 5
    house.time.at += timedelta(hours=1)
    asks_for_a_code(browser)
    assert len(codes_sent(house)) == 6


def test_a_session_is_over_after_half_an_hour_unused_and_twelve_hours_in_all(house, site):
    browser = Browser(site).is_signed_in_as(account_for(site, person_named(house, "测试甲")))
    for _ in range(12 * 60 // 20 - 1):
        house.time.at += timedelta(minutes=20)
        assert browser.opens("/settings").url.path == "/settings"
    house.time.at += timedelta(minutes=20)
    assert browser.opens("/settings").url.path == "/sign-in"

    browser.is_signed_in_as(account_for(site, person_named(house, "测试甲")))
    house.time.at += timedelta(minutes=30)
    assert browser.opens("/settings").url.path == "/sign-in"


def test_a_token_is_renewed_and_the_old_one_soon_worthless(house, site):
    browser = Browser(site).is_signed_in_as(account_for(site, person_named(house, "测试甲")))
    old = browser.client.cookies[SESSION]
    house.time.at += timedelta(minutes=16)
    browser.opens("/settings")
    new = {cookie.value for cookie in browser.client.cookies.jar if cookie.name == SESSION} - {old}
    assert len(new) == 1

    late = Browser(site)
    late.holds(SESSION, old)
    assert late.opens("/settings").url.path == "/settings"
    house.time.at += timedelta(minutes=1)
    late = Browser(site)
    late.holds(SESSION, old)
    assert late.opens("/settings").url.path == "/sign-in"


def test_another_browser_can_be_signed_out(house, site):
    account = account_for(site, person_named(house, "测试甲"))
    lost, mine = Browser(site).is_signed_in_as(account), Browser(site).is_signed_in_as(account)
    mine.opens("/settings")
    mine.sends("/settings/sessions/.*/end")
    assert lost.opens("/settings").url.path == "/sign-in"
    assert mine.opens("/settings").url.path == "/settings"


def test_the_store_holds_neither_codes_nor_tokens(house, site):
    browser = Browser(site)
    asks_for_a_code(browser)
    code = codes_sent(house)[0][1]
    browser.sends("/sign-in/code", code=code)
    kept = str(house.rows("select * from sign_in_code")) + str(house.rows("select * from page_session"))
    assert PHONE not in kept
    assert code not in kept
    assert browser.client.cookies[SESSION] not in kept


def test_after_signing_in_one_is_never_led_to_another_site(house, site):
    browser = Browser(site)
    for evil in ("https://evil.example/", "//evil.example", "/\\evil.example", "/%5Cevil.example"):
        browser.opens(f"/sign-in?then={evil}")
        assert dict(browser.form("/sign-in").fields)["then"] == ""


def test_the_people_of_the_story_are_one_tap_away_only_in_a_demonstration(house, site):
    account = account_for(site, person_named(house, "测试甲"))
    with site.database.transaction() as tx:
        accounts.note_story(tx, account.id, "pages.demo.about")
    assert Browser(site).opens("/demo").status_code == 404
    browser = Browser(site_of(house, pages_demo=True))
    browser.opens("/demo")
    browser.sends("/demo", account=account.id)
    assert SESSION in browser.client.cookies

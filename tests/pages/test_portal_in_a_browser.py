"""The portal in a real browser: by touch, by keyboard alone, without scripts, in both languages and every size."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from given import CLEAN_STAY, House, admitted, discharged
from pages.given_pages import PHONE, account_for, codes_sent, site_of, staff
from pages.real_browser import FONT, PATIENT_MS, SIDEWAYS, SMALL, Served, faults, needs_chromium, served, shoot
from pages.test_portal import gives
from safeweave.ids import PersonId
from safeweave.web.accounts import note_story

pytestmark = needs_chromium


@pytest.fixture(params=["sqlite"])  # what the store is makes no difference to a browser
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_pages(house: House, site: Any) -> Iterator[Served]:
    with served(house, site) as found:
        yield found


def phone(chromium: Any, language: str = "zh-CN", width: int = 360, **more: Any) -> Any:
    """A browser of a phone's size that is touched."""
    context = chromium.new_context(
        locale=language, viewport={"width": width, "height": 780}, has_touch=True, is_mobile=width < 600, **more
    )
    context.set_default_timeout(PATIENT_MS)
    return context


def has_a_story(served: Served, person: PersonId) -> dict[str, str]:
    """A paid stay, a consent in force and one taken back, an agent who is invited, and the addresses of all pages."""
    house = served.house
    house.hears(*CLEAN_STAY)
    consent = gives(house, person)
    case, decided = house.case().id, house.decided()[0].id
    staff(served.site, "agent", licence="A-1001")
    own = account_for(served.site, person)
    with served.site.database.transaction() as tx:
        note_story(tx, own.id, "pages.demo.about")
    return {
        "home": f"/people/{person}", "stay": f"/stays/{case}", "decision": f"/decisions/{decided}",
        "object": f"/decisions/{decided}/object", "policies": f"/people/{person}/policies",
        "messages": f"/people/{person}/messages", "consents": f"/people/{person}/consents",
        "consent": f"/people/{person}/consents/{consent.id}", "account": f"/people/{person}/account",
        "agents": f"/people/{person}/agents", "reads": f"/people/{person}/reads", "settings": "/settings",
        "missing": "/nothing",
    }  # fmt: skip


# Where axe looks at every page: colours, names and roles are the same at the other widths.
CHECKED = ((360, ""), (1440, "largest"))


@pytest.mark.parametrize(
    ("language", "width", "size"),
    [("zh", 360, ""), ("en", 360, "large"), ("zh", 360, "largest"), ("en", 768, ""), ("zh", 1440, ""),
     ("en", 1440, "largest")],
)  # fmt: skip
def test_every_page_can_be_read_and_touched_by_everybody(chromium, open_pages, person, language, width, size):
    pages = has_a_story(open_pages, person)
    context = phone(chromium, width=width)
    cookies = {"sw_language": language, "sw_size": size}
    context.add_cookies([{"name": n, "value": v, "url": open_pages.url} for n, v in cookies.items() if v])
    page = context.new_page()
    wrong: list[str] = []
    for name, path in {"sign-in": "/sign-in", **pages}.items():
        if name == "home":
            open_pages.signs_in(context, account_for(open_pages.site, person))
        page.goto(open_pages.url + path)
        shoot(page, f"{name}-{language}-{width}{size and '-' + size}")
        if (width, size) in CHECKED:
            wrong += [f"{name}: {fault}" for fault in faults(page)]
        if page.evaluate(SIDEWAYS) > 0:
            wrong.append(f"{name}: scrolls sideways")
        least = 60 if size else 44
        wrong += [f"{name}: too small for a finger: {small}" for small in page.evaluate(SMALL, least)]
        if size and page.evaluate(FONT) < 18:
            wrong.append(f"{name}: type is too small")
    context.close()
    assert wrong == []


def test_by_touch_one_signs_in_follows_a_stay_and_takes_a_consent_back(chromium, open_pages, person):
    house = open_pages.house
    consent = gives(house, person)
    house.hears(admitted())
    context = phone(chromium)
    page: Page = context.new_page()
    page.goto(open_pages.url)
    page.get_by_label("手机号或邮箱").fill(PHONE)
    page.get_by_role("button", name="发送验证码").tap()
    expect(page.get_by_role("heading", name="填写验证码")).to_be_visible()
    page.get_by_label("6 位验证码").fill(codes_sent(house)[-1][1])
    page.get_by_role("button", name="登录").tap()
    page.get_by_role("link", name="示例市第一医院").tap()
    expect(page.get_by_role("status").filter(has_text="住院中")).to_be_visible()

    house.hears(*CLEAN_STAY[1:])  # nobody touches the page
    expect(page.get_by_text("赔付 450.00 元")).to_be_visible()
    expect(page.get_by_text("450.00 元 已到账")).to_be_visible()

    page.get_by_role("link", name="为什么是这个数").tap()
    expect(page.get_by_text("条款 1.4").first).to_be_visible()
    page.get_by_role("link", name="我的授权").tap()
    page.get_by_role("button", name="撤回授权").tap()
    expect(page.get_by_text("授权已撤回，从现在起生效。")).to_be_visible()
    assert house.rows("select consent from consent_revocation") == [(consent.id,)]
    page.get_by_role("button", name="我自己带材料申请").tap()
    expect(page.get_by_role("button", name="我自己带材料申请 ✓")).to_be_visible()
    context.close()


def test_axe_would_find_a_fault(chromium, open_pages):
    page = chromium.new_page()
    page.goto(f"{open_pages.url}/sign-in")
    page.evaluate("document.querySelector('label').remove()")
    assert "label" in {fault.partition(" ")[0] for fault in faults(page)}
    page.close()


def tab_to(page: Page, role: str, name: str) -> None:
    """Press Tab until this has the focus, as somebody without a mouse does."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("e => e === document.activeElement", page.get_by_role(role, name=name).first.element_handle()):  # type: ignore[arg-type]
            return
    raise AssertionError(f"{role} {name} cannot be reached by keyboard")


def test_by_keyboard_alone_one_objects_to_a_decision(chromium, open_pages, person):
    house = open_pages.house
    house.hears(*CLEAN_STAY)
    context = chromium.new_context(locale="en-GB", viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": "sw_language", "value": "en", "url": open_pages.url}])
    open_pages.signs_in(context, account_for(open_pages.site, person))
    page = context.new_page()
    page.goto(open_pages.url)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # past the top of the page
    tab_to(page, "link", "First Hospital")
    page.keyboard.press("Enter")
    page.wait_for_url("**/stays/*")
    tab_to(page, "link", "Object to the decision")
    page.keyboard.press("Enter")
    page.wait_for_url("**/object")
    tab_to(page, "textbox", "What is wrong?")
    page.keyboard.type("The room should be paid.")
    tab_to(page, "button", "Send the objection")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your objection has arrived.")).to_be_visible()
    assert house.rows("select words from case_request") == [("The room should be paid.",)]
    context.close()


def test_seven_tabs_and_more_follow_one_stream(chromium, open_pages, person):
    house = open_pages.house
    house.hears(admitted())
    context = chromium.new_context(locale="zh-CN")
    open_pages.signs_in(context, account_for(open_pages.site, person))
    tabs = [context.new_page() for _ in range(8)]
    for tab in tabs:
        tab.goto(f"{open_pages.url}/stays/{house.case().id}")
    house.hears(discharged())
    for tab in tabs:
        tab.bring_to_front()
        expect(tab.get_by_text("您出院了")).to_be_visible()
    assert open_pages.site.feed.streams == 1
    context.close()


def test_without_scripts_the_main_stories_work(chromium, open_pages, person):
    house = open_pages.house
    house.hears(*CLEAN_STAY)
    context = phone(chromium, java_script_enabled=False)
    page = context.new_page()
    page.goto(open_pages.url)
    page.get_by_label("手机号或邮箱").fill(PHONE)
    page.get_by_role("button", name="发送验证码").tap()
    page.get_by_role("heading", name="填写验证码").wait_for()
    page.get_by_label("6 位验证码").fill(codes_sent(house)[-1][1])
    page.get_by_role("button", name="登录").tap()
    page.get_by_role("link", name="示例市第一医院").tap()
    page.get_by_role("button", name="请人工查看").tap()
    expect(page.get_by_text("已转给工作人员")).to_be_visible()
    assert house.rows("select kind from case_request") == [("person",)]
    context.close()


def test_what_was_typed_outlives_a_lost_network(chromium, open_pages, person):
    house = open_pages.house
    house.hears(*CLEAN_STAY)
    context = chromium.new_context(locale="zh-CN")
    open_pages.signs_in(context, account_for(open_pages.site, person))
    page = context.new_page()
    page.goto(f"{open_pages.url}/decisions/{house.decided()[0].id}/object")
    page.get_by_role("textbox").fill("写了一半 𠮷")
    context.set_offline(True)
    with page.expect_event("requestfailed"):
        page.get_by_role("button", name="提出异议").click(no_wait_after=True)
    assert house.rows("select count(*) from case_request") == [(0,)]
    context.set_offline(False)
    page.goto(f"{open_pages.url}/decisions/{house.decided()[0].id}/object")
    expect(page.get_by_role("textbox")).to_have_value("写了一半 𠮷")
    page.get_by_role("button", name="提出异议").click()
    expect(page.get_by_text("您的异议已收到")).to_be_visible()
    context.close()


def test_one_signs_in_with_a_passkey_where_the_browser_has_them(chromium, open_pages, person):
    context = chromium.new_context(locale="zh-CN")
    open_pages.signs_in(context, account_for(open_pages.site, person))
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
               "isUserVerified": True, "automaticPresenceSimulation": True}  # fmt: skip
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    page.goto(f"{open_pages.url}/settings")
    page.get_by_label("给它起个名字").fill("我的手机")
    page.get_by_role("button", name="添加通行密钥").click()
    expect(page.get_by_text("通行密钥已添加。")).to_be_visible()
    page.get_by_role("button", name="退出").click()
    page.get_by_role("button", name="用通行密钥登录").click()
    expect(page.get_by_role("link", name="测试甲")).to_be_visible()
    assert open_pages.house.rows("select count(*) from passkey where used_at is not null") == [(1,)]
    context.close()


def test_in_a_demonstration_the_people_of_the_story_are_one_tap_away(chromium, house, person):
    site = site_of(house, pages_demo=True)
    with served(house, site) as open_pages:
        has_a_story(open_pages, person)
        context = phone(chromium)
        page = context.new_page()
        page.goto(f"{open_pages.url}/demo")
        shoot(page, "demo-zh-360")
        assert faults(page) == []
        page.get_by_role("button", name="以测试甲的身份登录").tap()
        expect(page.get_by_role("heading", name="测试甲")).to_be_visible()
        context.close()

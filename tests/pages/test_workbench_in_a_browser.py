"""The workbench in a real browser: a referral cleared by keyboard alone, without scripts, and at every size."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from given import House, a_bill, admitted, billed, discharged
from pages.given_pages import staff
from pages.real_browser import PATIENT_MS, SIDEWAYS, SMALL, Served, faults, needs_chromium, served, shoot
from safeweave.facts import Line
from safeweave.money import Fen

pytestmark = needs_chromium


@pytest.fixture(params=["sqlite"])  # what the store is makes no difference to a browser
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_pages(house: House, site: Any) -> Iterator[Served]:
    with served(house, site) as found:
        yield found


def a_page(chromium: Any, open_pages: Served, language: str, width: int, size: str = "", **more: Any) -> Page:
    """A browser of an examiner."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, **more)
    context.set_default_timeout(PATIENT_MS)
    cookies = {"sw_language": language, "sw_size": size}
    context.add_cookies([{"name": n, "value": v, "url": open_pages.url} for n, v in cookies.items() if v])
    open_pages.signs_in(context, staff(open_pages.site, "examiner"))
    page: Page = context.new_page()
    return page


def two_referrals(house: House) -> list[str]:
    """Two stays that a person decides, the second with a bill of many lines."""
    house.hears(admitted(), discharged(), billed(a_bill(total="20000.00")))
    names = ("手术费", "床位费", "头孢曲松钠", "核磁共振", "输液器")
    lines = tuple(
        Line(no, f"{no:02}", "甲", Fen(400_000), on=house.time().date().replace(day=8), name=name)
        for no, name in enumerate(names, 1)
    )
    at = "2026-03-09T10:30"
    house.hears(
        admitted("2026-03-07T08:00", visit="ZY2"), discharged("2026-03-09T10:00", visit="ZY2", icd="?"),
        billed(a_bill("2", "20000.00", lines=lines), at, visit="ZY2"),
    )  # fmt: skip
    return [house.case().id, house.case("ZY2").id]


@pytest.mark.parametrize(
    ("language", "width", "size"), [("zh", 360, ""), ("en", 768, "large"), ("zh", 1440, ""), ("en", 1440, "largest")]
)
def test_every_page_of_the_desk_can_be_read_and_used(chromium, open_pages, language, width, size):
    first, second = two_referrals(open_pages.house)
    page = a_page(chromium, open_pages, language, width, size)
    wrong: list[str] = []
    places = {"queue": "/desk", "case": f"/desk/cases/{first}", "by-hand": f"/desk/cases/{second}",
              "search": "/desk/search?q=P-1", "keys": "/desk/keys"}  # fmt: skip
    for name, path in places.items():
        page.goto(open_pages.url + path)
        shoot(page, f"desk-{name}-{language}-{width}{size and '-' + size}")
        wrong += [f"{name}: {fault}" for fault in faults(page)]
        if page.evaluate(SIDEWAYS) > 0:
            wrong.append(f"{name}: scrolls sideways")
        wrong += [f"{name}: too small for a finger: {small}" for small in page.evaluate(SMALL, 60 if size else 44)]
    page.context.close()
    assert wrong == []


def test_by_keyboard_alone_a_referral_is_cleared(chromium, open_pages):
    house = open_pages.house
    case, _ = two_referrals(house)
    page = a_page(chromium, open_pages, "en", 1440)
    page.goto(open_pages.url)
    page.wait_for_url("**/desk")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("k")  # back to the first
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/desk/cases/{case}*")
    page.keyboard.press("d")
    page.keyboard.type("Records agree: jkaxr?")  # keys are letters while one types
    expect(page.locator("#draft-said")).to_have_text("Draft saved.")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Decided;")).to_be_visible()
    house.works()
    assert house.decided()[-1].note == "Records agree: jkaxr?"
    assert house.stage() == "closed"
    page.context.close()


def test_a_line_and_its_source_light_each_other_and_a_draft_outlives_the_page(chromium, open_pages):
    _, case = two_referrals(open_pages.house)
    page = a_page(chromium, open_pages, "zh", 1440)
    page.goto(f"{open_pages.url}/desk/cases/{case}")
    page.locator("#pane-evidence tr[data-source]").nth(2).hover()
    expect(page.locator("#pane-decision tr.lit:not(.cuts)")).to_have_count(1)
    expect(page.locator("#pane-decision tr.lit:not(.cuts)")).to_contain_text("头孢曲松钠")
    page.get_by_label("1. ").first.fill("1000")
    expect(page.locator("#pane-evidence tr.lit")).to_contain_text("手术费")
    page.get_by_role("button", name="病历写明为必要治疗").click()
    expect(page.locator("#draft-said")).to_have_text("草稿已保存。")
    page.goto(f"{open_pages.url}/desk")
    page.go_back()
    page.reload()
    expect(page.get_by_label("1. ").first).to_have_value("1000")
    expect(page.get_by_label("理由")).to_have_value("病历写明为必要治疗")
    page.context.close()


def test_without_scripts_a_referral_is_opened_adjusted_and_cleared(chromium, open_pages):
    house = open_pages.house
    two_referrals(house)
    page = a_page(chromium, open_pages, "zh", 768, java_script_enabled=False)
    page.goto(open_pages.url)
    page.get_by_role("link", name="规则未能计算").click()
    page.get_by_label("1. ").first.fill("3000")
    page.get_by_label("理由").fill("按出院小结计算")
    page.get_by_role("button", name="保存草稿").click()
    expect(page.get_by_text("草稿已保存。")).to_be_visible()
    page.get_by_label("1. ").first.fill("2000")
    page.get_by_label("依据条款").fill("1.6")
    page.get_by_role("button", name="调整").click()
    expect(page.get_by_text("已决定")).to_be_visible()
    house.works()
    assert house.decided("ZY2")[-1].payable == 200_000
    page.context.close()


def test_another_examiner_who_decides_is_seen_at_once(chromium, open_pages):
    house = open_pages.house
    case, _ = two_referrals(house)
    page = a_page(chromium, open_pages, "zh", 1440)
    page.goto(f"{open_pages.url}/desk/cases/{case}")
    page.get_by_label("理由").fill("写到一半")
    house.decides()
    expect(page.get_by_text("您打开后，案件有了变化")).to_be_visible()
    expect(page.get_by_label("理由")).to_have_value("写到一半")
    page.context.close()


def test_the_queue_follows_at_once_and_then_at_most_every_few_seconds(house, chromium, open_pages):
    page = a_page(chromium, open_pages, "zh", 1440)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/desk") else None)
    page.goto(f"{open_pages.url}/desk")
    expect(page.locator("#queue li.none")).to_be_visible()
    while not open_pages.site.feed.streams:
        page.wait_for_timeout(20)
    two_referrals(house)
    expect(page.locator("[data-queue] a")).to_have_count(2)
    assert len(asked) <= 3  # the page itself, at once, and once more for what came meanwhile
    page.context.close()

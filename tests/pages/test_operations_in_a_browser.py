"""The operations room in a real browser: it follows what happens, and axe finds nothing serious in it."""

from time import sleep
from typing import Any

import pytest
from playwright.sync_api import expect

from given import CLEAN_STAY, House
from pages.given_pages import staff
from pages.real_browser import SIDEWAYS, faults, needs_chromium, served, shoot
from safeweave.web import live

pytestmark = needs_chromium


@pytest.fixture(params=["sqlite"])  # what the store is makes no difference to a browser
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_room_follows_what_happens_on_every_width_and_without_serious_faults(house: House, site: Any, chromium):
    with served(house, site) as found:
        account = staff(site, "operator")
        for language, width in (("zh-CN", 1440), ("en", 360)):
            context = chromium.new_context(locale=language, viewport={"width": width, "height": 900})
            found.signs_in(context, account)
            page = context.new_page()
            page.goto(f"{found.url}/operations")
            if width == 1440:
                house.hears(*CLEAN_STAY)
                house.node.look_around()
                expect(page.locator("#figures .big").first).to_have_text("100.0%")
            for name in ("", "/inbox", "/health"):
                page.goto(f"{found.url}/operations{name}")
                assert faults(page) == []
                assert page.evaluate(SIDEWAYS) == 0
                shoot(page, f"operations{name.replace('/', '-')}-{language}-{width}")
            context.close()


@pytest.mark.parametrize("tabs", [1, 2], ids=["the first tab", "another tab"])
def test_what_happens_while_a_page_is_on_its_way_is_shown(house: House, site: Any, chromium, tabs: int):
    """The page was written before it happened, and listens only after: it asks what it has missed."""

    def happens_before_it_listens(route: Any) -> None:
        house.hears(*CLEAN_STAY)
        house.node.look_around()
        sleep(2 * live.EVERY_SECONDS)  # the other tab's stream has told of it by now
        route.continue_()

    with served(house, site) as found:
        context = chromium.new_context(locale="zh-CN")
        found.signs_in(context, staff(site, "operator"))
        for _ in range(tabs - 1):
            before = context.new_page()
            before.goto(f"{found.url}/operations")
            while not site.feed.streams:
                before.wait_for_timeout(20)
        page = context.new_page()
        page.route("**/static/live.js", happens_before_it_listens)
        page.goto(f"{found.url}/operations")
        expect(page.locator("#figures .big").first).to_have_text("100.0%")
        context.close()

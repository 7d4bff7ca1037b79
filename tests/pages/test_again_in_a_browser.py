"""Deciding again in a real browser: a director asks, a senior approves on a phone, and axe finds nothing serious."""

from typing import Any

import pytest
from playwright.sync_api import expect

from adjudication.test_deciding_again import DEDUCTIBLE, corrects, lives
from given import House
from pages.given_pages import site_of, staff
from pages.real_browser import SIDEWAYS, faults, needs_chromium, served, shoot

pytestmark = needs_chromium


@pytest.fixture(params=["sqlite"])  # what the store is makes no difference to a browser
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_director_asks_and_a_senior_approves(house: House, chromium: Any) -> None:
    lives(house, "1000.00", "2000.00", "9000.00")
    corrects(house, **{DEDUCTIBLE: "50.00"})
    site = site_of(house)
    house.node.look_around()
    with served(house, site) as found:
        pages = []
        for role, language, width in (("director", "en", 1440), ("senior", "zh-CN", 360)):
            context = chromium.new_context(locale=language, viewport={"width": width, "height": 900})
            found.signs_in(context, staff(site, role))  # type: ignore[arg-type]
            pages.append(context.new_page())
        asking, approving = pages
        asking.goto(f"{found.url}/operations/again")
        assert faults(asking) == []
        asking.locator("#why").fill("The deductible of 2026 was wrong")
        shoot(asking, "again-form-en-1440")
        asking.locator("main form button").click()
        house.works()
        expect(asking.locator("#acts .note")).to_be_visible()
        assert faults(asking) == []
        approving.goto(asking.url)
        assert faults(approving) == []
        assert approving.evaluate(SIDEWAYS) == 0
        shoot(approving, "again-proposed-zh-CN-360")
        approving.locator("button[value=approve]").click()
        house.works()
        expect(asking.locator("#undo_why")).to_be_visible()
        assert faults(asking) == []
        assert asking.evaluate(SIDEWAYS) == 0
        shoot(asking, "again-done-en-1440")

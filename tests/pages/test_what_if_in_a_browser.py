"""A what-if in a real browser, by keyboard alone: from the room's first page to the sum, following the process."""

from typing import Any

import pytest
from playwright.sync_api import expect

from bulk.test_what_if import stay
from given import House
from pages.given_pages import staff
from pages.real_browser import SIDEWAYS, faults, needs_chromium, served, shoot

pytestmark = needs_chromium


@pytest.fixture(params=["sqlite"])  # what the store is makes no difference to a browser
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def presses_until(page: Any, wanted: Any) -> None:
    """Press Tab until this has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if wanted.evaluate("e => e === document.activeElement"):
            return
    raise AssertionError("the keyboard does not reach it")


def test_a_director_runs_a_what_if_by_keyboard(house: House, site: Any, chromium: Any) -> None:
    for number, total in enumerate(("1000.00", "2000.00", "9000.00"), start=1):
        house.hears(*stay(f"ZY{number}", str(number), total, when=f"{number:02}"))
    house.node.look_around()
    with served(house, site) as found:
        account = staff(site, "director")
        for language, width in (("en", 1440), ("zh-CN", 360)):
            context = chromium.new_context(locale=language, viewport={"width": width, "height": 900})
            found.signs_in(context, account)
            page = context.new_page()
            page.goto(f"{found.url}/operations")
            shoot(page, f"what-if-room-{language}-{width}")
            presses_until(page, page.locator("a.button.end"))
            page.keyboard.press("Enter")
            deductible = page.locator("[id='deductible[0].yuan']")
            expect(deductible).to_have_value("100.00")
            assert faults(page) == []
            assert page.evaluate(SIDEWAYS) == 0
            presses_until(page, deductible)
            page.keyboard.type("300")
            shoot(page, f"what-if-form-{language}-{width}")
            page.keyboard.press("Enter")
            expect(page.locator("#moves + .big")).to_contain_text("−540.00")
            assert faults(page) == []
            assert page.evaluate(SIDEWAYS) == 0
            shoot(page, f"what-if-result-{language}-{width}")
            context.close()

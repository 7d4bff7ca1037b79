"""The person of the story, 测试甲, with a policy; a stay when a test tells of one."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from given import House
from pages.given_pages import PHONE, Browser, account_for, person_named, site_of
from pages.real_browser import CHROMIUM
from safeweave.ids import PersonId
from safeweave.web.asked import Site


@pytest.fixture
def site(house: House) -> Site:
    with house.node.database.transaction() as tx:
        tx.run("update person set phone = ?", (PHONE,))
    return site_of(house)


@pytest.fixture
def person(house: House) -> PersonId:
    return person_named(house, "测试甲")


@pytest.fixture
def mine(site: Site, person: PersonId) -> Browser:
    """测试甲's own browser, signed in."""
    return Browser(site).is_signed_in_as(account_for(site, person))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, without a screen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()

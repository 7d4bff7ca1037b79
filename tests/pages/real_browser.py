"""The pages served on a port of this machine, and Debian's Chromium that opens them."""

import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import expect

from given import House
from prompt_server import PromptServer
from safeweave.errors import StoreUnavailable
from safeweave.web import accounts
from safeweave.web.api.answering import add_api
from safeweave.web.asked import SESSION, Site
from safeweave.web.pages import Routes, pages_app
from safeweave.web.people import PARTS
from waiting import PATIENCE

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
AXE = Path(__file__).resolve().parents[2] / "requirements/pages/node_modules/axe-core/axe.min.js"
SHOTS = os.environ.get("SAFEWEAVE_SCREENSHOTS", "")  # a folder: what the pages look like is kept there

PATIENT_MS = 1000 * PATIENCE
expect.set_options(timeout=PATIENT_MS)

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed: requirements/pages.sh")


@dataclass
class Served:
    """The pages of a test's node at an address."""

    house: House
    site: Site
    url: str

    def signs_in(self, context: Any, account: accounts.Account) -> None:
        """Give a browser the session that a right code would have begun."""
        with self.site.database.transaction() as tx:
            token = accounts.begin_session(tx, account.id, "a test", self.site.clock())
        context.add_cookies([{"name": SESSION, "value": token, "url": self.url, "httpOnly": True}])


@contextmanager
def served(house: House, site: Site, *more: Routes) -> Iterator[Served]:
    """Serve the pages as `safeweave serve` does, and those of `more` parts, until the block ends."""
    knocker = socket.create_server(("127.0.0.1", 0))
    port = knocker.getsockname()[1]
    server = PromptServer(
        uvicorn.Config(pages_app(site, [*PARTS, *more], add_api), log_level="warning", lifespan="off")
    )
    over = threading.Event()

    def looks_around() -> None:
        while not over.wait(0.5):
            with suppress(StoreUnavailable):
                site.look_around()

    threads = [
        threading.Thread(target=server.run, kwargs={"sockets": [knocker]}, daemon=True),
        threading.Thread(target=looks_around, daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield Served(house, site, f"http://localhost:{port}")
    finally:
        over.set()
        threads[1].join()
        server.should_exit = True
        site.close()
        threads[0].join(timeout=10)


def faults(page: Any) -> list[str]:
    """What axe finds serious or critical on this page, with its places."""
    if not AXE.exists():
        pytest.skip("axe is not installed: requirements/pages.sh")
    page.evaluate(f"{AXE.read_text(encoding='utf-8')};undefined")  # as a debugger does: pages allow no script from us
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
    return [
        f"{each['id']} ({each['impact']}): {', '.join(node['html'][:120] for node in each['nodes'][:3])}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Buttons, links that stand alone and fields must be large enough for a finger; links within a sentence need not.
SMALL = """(least) => [...document.querySelectorAll(
    'button, .button, nav a, .tools a, summary, .tick, input[type=text]')]
  .filter(e => e.offsetParent && !e.closest('[hidden]'))
  .map(e => [e.textContent.trim().slice(0, 30) || e.name, e.getBoundingClientRect()])
  .filter(([, box]) => box.height < least - 0.5 || box.width < least - 0.5)
  .map(([name, box]) => `${name}: ${Math.round(box.width)}x${Math.round(box.height)}`)"""
# What has the focus shows it: an outline that can be seen.
FOCUS_SEEN = """(() => { const shown = getComputedStyle(document.activeElement);
  return shown.outlineStyle !== 'none' && parseFloat(shown.outlineWidth) >= 2; })()"""
# Words and numbers of a table that do not stand in one piece; long codes may be divided.
BROKEN = """(() => { const found = [];
  for (const cell of document.querySelectorAll('th, td')) {
    if (!cell.offsetParent) continue;
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) for (const word of walker.currentNode.data.matchAll(/[A-Za-z0-9.,]{2,}/g)) {
      if (word[0].length > 14) continue;
      const range = document.createRange();
      range.setStart(walker.currentNode, word.index);
      range.setEnd(walker.currentNode, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) found.push(word[0]);
    }
  }
  return found; })()"""
FONT = "parseFloat(getComputedStyle(document.body).fontSize)"


# What is not written so: in Chinese with half-width marks, anywhere with a space before a percent sign, or in Python.
UNWRITTEN = {
    "zh-CN": re.compile(r"[\u4e00-\u9fff][:;!?,](?!//)|[。，；：] （|\d %|\bNone\b|\bCNY\b|(?<![\w-])-\d+\.\d\d\b"),
    "en": re.compile(r"[A-Za-z0-9][：；，。]|\d %|\bNone\b|\bCNY\b|(?<![\w-])-\d+\.\d\d\b"),
}


def unwritten(page: Any) -> list[str]:
    """Where the text of this page is not written as its language is."""
    text = page.evaluate("document.querySelector('main').innerText")
    rule = UNWRITTEN[page.get_attribute("html", "lang")]
    return [text[max(found.start() - 12, 0) : found.end() + 12] for found in rule.finditer(text)]


def shoot(page: Any, name: str) -> None:
    """Keep what the page looks like, if a folder for it is named."""
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)

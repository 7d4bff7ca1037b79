"""`make tour`: pictures of the pages for the documentation, of the demonstration's own consortium in both languages.

Each shot is one line of `SHOTS`: who looks, the way there by visible words, how wide. Its words are in tour.toml.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from given import House  # noqa: E402
from pages.real_browser import CHROMIUM, Served, served  # noqa: E402
from safeweave.node import open_node  # noqa: E402
from safeweave.settings import Settings  # noqa: E402
from safeweave.web import accounts  # noqa: E402
from safeweave.web.asked import Site  # noqa: E402
from safeweave.words import LANGUAGES, Language, knows, say  # noqa: E402

DOCS = ROOT / "docs"
WORDS = Path(__file__).with_name("tour.toml")
PHONE, DESK = 390, 1280
HIGHEST = {PHONE: 1000, DESK: 860}  # what is below is left out
LOWEST = 500
COLOURS = 128


class Shot(NamedTuple):
    """One picture: its name and part of the story, who looks, and the way there from the first page.

    A step is a key of words/ that stands on a link, button or summary, or else a CSS selector.
    """

    part: str
    name: str
    who: str
    way: tuple[str, ...] = ()
    width: int = PHONE
    size: str = ""


SHOTS = (
    Shot("insured", "people", "", ("pages.demo.people",)),
    Shot("insured", "home", "heroine"),
    Shot("insured", "stay", "heroine", ("#stays a",)),
    Shot("insured", "decision", "heroine", ("#stays a", "portal.stay.why")),
    Shot("insured", "consents", "heroine", ("portal.place.consents",)),
    Shot("insured", "reads", "heroine", ("portal.place.reads",)),
    Shot("insured", "large", "heroine", ("#stays a",), size="largest"),
    Shot("insured", "withdrawn", "heroine", ("portal.place.consents", "portal.consent.withdraw")),
    Shot("insured", "child", "guardian", ("main ul.plain:last-of-type a",)),
    Shot("desk", "queue", "examiner", (), DESK),
    Shot("desk", "case", "examiner", ("#queue a",), DESK),
    Shot("desk", "decided", "examiner", ("#queue a", "workbench.phrase.agree", "workbench.act.refuse"), DESK),
    Shot("operations", "room", "director", (), DESK),
    Shot("operations", "what_if", "director", ("what_if.open",), DESK),
    Shot("operations", "again", "director", ("operations.place.again",), DESK),
    Shot("operations", "health", "director", ("operations.place.health",), DESK),
)


def main(asked: Iterable[str] | None = None) -> int:
    """Make every picture and both pages anew; 0 once they are written."""
    parser = argparse.ArgumentParser(prog="make tour", description=__doc__)
    parser.add_argument("--seconds", type=int, default=15, help="how long each city lives")
    parser.add_argument("--homes", type=Path, help="keep the cities of the demo here, and use them if they are there")
    parser.add_argument("--only", nargs="*", default=[], help="take these pictures only")
    chosen = parser.parse_args(None if asked is None else list(asked))
    with tempfile.TemporaryDirectory() as made:
        for language in LANGUAGES:
            home = (chosen.homes or Path(made)).resolve() / language
            if not (home / "demo.json").exists():
                live(home, language, chosen.seconds)
            walk(home, language, [shot for shot in SHOTS if shot.name in chosen.only or not chosen.only])
            page_of(language).write_text(page(language), encoding="utf-8")
    kilobytes = sum(picture.stat().st_size for picture in (DOCS / "tour").glob("*.png")) // 1000
    print(f"{len(SHOTS)} pictures in each language, {kilobytes} kB in all: {DOCS / 'tour'}")
    return 0


def live(home: Path, language: Language, seconds: int) -> None:
    """A city of the demo, as `make demo` has it."""
    print(f"a city lives for {seconds} s ({language})", flush=True)
    words = ["--home", str(home), "--language", language, "demo", "--headless", "--json", "--seconds", str(seconds)]
    path = os.pathsep.join(each for each in (str(ROOT / "src"), os.environ.get("PYTHONPATH", "")) if each)
    subprocess.run(
        [sys.executable, "-m", "safeweave.main", *words], check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip


def walk(home: Path, language: Language, shots: Sequence[Shot]) -> None:
    """Take these pictures of one city."""
    (DOCS / "tour").mkdir(exist_ok=True)
    settings = Settings(home=home, language=language, pages=True, pages_demo=True)
    with closing(open_node(settings)) as node:
        node.look_around()
        site = cast("Site", node.site())
        with site.database.reading() as tx:
            story = {each.story.rpartition(".")[2]: each for each in accounts.of_story(tx)}
        nobody = cast("House", SimpleNamespace(node=node))
        with served(nobody, site) as found, sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            for shot in shots:
                picture(shot, language).write_bytes(taken(chromium, found, shot, language, story))
            chromium.close()


def taken(
    chromium: Any, found: Served, shot: Shot, language: Language, story: dict[str, accounts.Account]
) -> bytes:  # fmt: skip
    """One picture, with few colours and so few bytes."""
    context = chromium.new_context(
        viewport={"width": shot.width, "height": HIGHEST[shot.width]},
        device_scale_factor=1.5 if shot.width == PHONE else 1,
        reduced_motion="reduce",
    )
    cookies = {"sw_language": language, "sw_size": shot.size}
    context.add_cookies([{"name": n, "value": v, "url": found.url} for n, v in cookies.items() if v])
    if shot.who:
        found.signs_in(context, story[shot.who])
    page: Page = context.new_page()
    page.goto(found.url)
    for step in shot.way:
        if knows(step):
            words = say(step, language)
            page.locator("a, button, summary").filter(has_text=words).first.click()
        else:
            page.locator(step).first.click()
        page.wait_for_load_state()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    if shot.width == PHONE:  # a short page makes a short picture
        page.set_viewport_size({"width": PHONE, "height": LOWEST})
    height = min(page.evaluate("document.documentElement.scrollHeight"), HIGHEST[shot.width])
    page.set_viewport_size({"width": shot.width, "height": height})
    raw = page.screenshot(clip={"x": 0, "y": 0, "width": shot.width, "height": height})
    context.close()
    small = io.BytesIO()
    Image.open(io.BytesIO(raw)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()


# ---------------------------------------------------------------- the page


def picture(shot: Shot, language: Language) -> Path:
    return DOCS / "tour" / f"{shot.name}.{'zh-CN' if language == 'zh' else 'en'}.png"


def page_of(language: Language) -> Path:
    return DOCS / ("pages_tour.zh-CN.md" if language == "zh" else "pages_tour.md")


def page(language: Language) -> str:
    """The tour in one language: phones beside each other, wide screens one below the other."""
    words = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    lines = [f"# {words['title'][language]}", "", words["other"][language], "", words["about"][language], ""]
    for part in dict.fromkeys(shot.part for shot in SHOTS):
        shots = [shot for shot in SHOTS if shot.part == part]
        lines += [f"## {words[part][language]}", ""]
        phones = [shot for shot in shots if shot.width == PHONE]
        for first in range(0, len(phones), 3):
            row = phones[first : first + 3]
            cells = [[words[shot.name]["title"][language] for shot in row],
                     ["---"] * len(row),
                     [_shown(shot, words, language) for shot in row],
                     [words[shot.name]["text"][language] for shot in row]]  # fmt: skip
            lines += [f"| {' | '.join(cell)} |" for cell in cells] + [""]
        for shot in shots:
            if shot.width != PHONE:
                told = words[shot.name]
                lines += [f"**{told['title'][language]}**: {told['text'][language]}" if language == "en" else
                          f"**{told['title'][language]}**：{told['text'][language]}", "",
                          _shown(shot, words, language), ""]  # fmt: skip
    return "\n".join([*lines, words["more"][language], ""])


def _shown(shot: Shot, words: dict[str, Any], language: Language) -> str:
    return f"![{words[shot.name]['title'][language]}](tour/{picture(shot, language).name})"


if __name__ == "__main__":
    raise SystemExit(main())

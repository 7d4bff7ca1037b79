"""The golden stories agree to the fen (tests/golden, FORMAT.md §8)."""

from pathlib import Path

import pytest

from safeweave.adjudication.stories import differences, run_story
from safeweave.adjudication.story_form import parse_story, told
from safeweave.coverage.product import load_products

GOLDEN = Path(__file__).parent.parent / "golden"
PRODUCTS = load_products(GOLDEN / "products")
SAMPLES = ("accident-", "critical-", "daily-", "hospital-", "million-", "staff-")
STORIES = sorted(path for path in GOLDEN.rglob("*.toml") if path.parent.name != "products")


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_golden_story_agrees_to_the_fen(path: Path):
    story = parse_story(path.read_text(encoding="utf-8"), str(path), PRODUCTS)
    assert story.then, "a golden story states what comes out"
    assert differences(story.then, [told(determination) for determination in run_story(story)]) == []


def test_the_sample_products_that_are_shipped_are_those_of_the_golden_stories():
    """But for the English names, which the published stories do not have."""
    shipped = GOLDEN.parent.parent / "src/safeweave/coverage/products"
    samples = [path for path in (GOLDEN / "products").iterdir() if path.name.startswith(SAMPLES)]
    assert len(samples) == 6
    for path in samples:
        lines = (shipped / path.name).read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if not line.startswith("name_en")] == path.read_text("utf-8").splitlines()

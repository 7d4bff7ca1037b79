"""The tour of the pages: every shot has its words and pictures, and the pages are as they are made."""

import tomllib

import pytest

from pages import tour
from safeweave.words import LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_as_it_is_made_and_its_pictures_are_there(language):
    assert tour.page_of(language).read_text(encoding="utf-8") == tour.page(language)
    for shot in tour.SHOTS:
        assert tour.picture(shot, language).read_bytes().startswith(b"\x89PNG"), shot.name


def test_every_shot_has_words_and_no_picture_is_left_over():
    words = tomllib.loads(tour.WORDS.read_text(encoding="utf-8"))
    told = {name for name, each in words.items() if "text" in each}
    assert told == {shot.name for shot in tour.SHOTS}
    assert all(each["title"][language] and each["text"][language] for name in told for each in [words[name]]
               for language in LANGUAGES)  # fmt: skip
    kept = {path.name for path in (tour.DOCS / "tour").iterdir()}
    assert kept == {tour.picture(shot, language).name for shot in tour.SHOTS for language in LANGUAGES}


def test_the_pictures_are_no_burden():
    assert sum(path.stat().st_size for path in (tour.DOCS / "tour").iterdir()) < 3_000_000

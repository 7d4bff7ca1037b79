"""The texts people agree to: plain, in both languages, never changed once used."""

import re

import pytest

from consents.given_consents import consent
from safeweave.consents.consent import ACTS
from safeweave.consents.texts import newest, shown, text_of, texts
from safeweave.people.identity import Unusable
from safeweave.words import LANGUAGES

# A text that was shown is never changed: whoever changes a word adds a version, and its digest here.
DIGESTS = {
    ("give", "2026-11"): "94401084fc05472fb79f953388974fcd38650958606d7b9c781af780b9784395",
    ("process", "2026-11"): "d110055c96bfd7db26dc2068709fb4e498bad41968875060f52ebcb219a7941d",
}


def test_no_text_was_changed_after_it_was_published():
    assert {key: text.digest for key, text in texts().items()} == DIGESTS


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("act", ACTS)
def test_what_is_shown_names_everything_the_law_wants_named(act, language):
    given = consent(act=act, visit="H33020000001/ZY5")
    said = shown(given, language)
    names = [given.recipient.name, given.recipient.contact, "2026-03-01", "2026-05-30", "H33020000001/ZY5"]
    names += [given.giver.name] if given.giver else []
    assert [name for name in names if name not in said] == []
    assert not re.search(r"[{}]", said)
    assert ("撤回" if language == "zh" else "take this back") in said


def test_both_languages_of_a_text_fill_in_the_same():
    for text in texts().values():
        assert set(re.findall(r"\{\w+\}", text.zh.body)) == set(re.findall(r"\{\w+\}", text.en.body))


def test_a_text_that_was_never_published_is_refused():
    with pytest.raises(Unusable, match="no consent text of version"):
        text_of("give", "1999-01")
    assert newest("give").version == max(version for act, version in texts() if act == "give")

"""The texts that people consent to: one file for each act and version, in both languages, never changed once used.

Whoever changes a word makes a new file: the digest of what was shown stands in every consent.
"""

import re
import tomllib
from functools import cache
from importlib.resources import files

from safeweave.clock import SHANGHAI
from safeweave.consents.consent import Act, Consent, kinds_said
from safeweave.facts import Fact
from safeweave.keys.canonical import canonical
from safeweave.keys.suites import suite
from safeweave.people.identity import Unusable
from safeweave.words import Language, say

_FILE = re.compile(r"(give|process)-(\d{4}-\d{2})\.toml")


class Wording(Fact, frozen=True):
    """A text in one language; `body` has `{recipient}` and so on where a consent's own words go."""

    title: str
    body: str


class ConsentText(Fact, frozen=True):
    """One version of the text for one act, in both languages."""

    act: Act
    version: str
    zh: Wording
    en: Wording

    @property
    def digest(self) -> str:
        """SHA-256 of the text in both languages as canonical JSON, in hex."""
        return suite("std-1").digest(canonical(self)).hex()


@cache
def texts() -> dict[tuple[Act, str], ConsentText]:
    """All texts by act and version."""
    found: dict[tuple[Act, str], ConsentText] = {}
    for file in files(__name__).iterdir():
        named = _FILE.fullmatch(file.name)
        if named:
            act: Act = "give" if named[1] == "give" else "process"
            told = tomllib.loads(file.read_text(encoding="utf-8"))
            found[act, named[2]] = ConsentText(act, named[2], Wording(**told["zh"]), Wording(**told["en"]))
    return found


def text_of(act: Act, version: str) -> ConsentText:
    """The text of this act and version; Unusable if there is none."""
    found = texts().get((act, version))
    if found is None:
        known = ", ".join(sorted(each for of, each in texts() if of == act))
        raise Unusable("consents.fault.unknown_text", field="text_version", version=version, known=known)
    return found


def newest(act: Act) -> ConsentText:
    """The text that is shown now for this act."""
    return texts()[max(key for key in texts() if key[0] == act)]


def shown(consent: Consent, language: Language) -> str:
    """The whole text as the person sees it, with the names, kinds of data and days of this consent."""
    text = text_of(consent.act, consent.text_version)
    wording = text.zh if language == "zh" else text.en
    scope = "for_visit" if consent.visit else "standing"
    values = {
        "giver": consent.giver.name if consent.giver is not None else "",
        "recipient": consent.recipient.name,
        "contact": consent.recipient.contact,
        "purpose": say(f"consents.purpose.{consent.purpose}", language),
        "kinds": kinds_said(consent.kinds, language),
        "begins": f"{consent.begins_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M}",
        "ends": f"{consent.ends_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M}",
        "scope": say(f"consents.scope.{scope}", language, visit=consent.visit),
    }
    return f"{wording.title}\n\n{wording.body.format_map(values)}"

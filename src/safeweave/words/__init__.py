"""Every sentence a person reads, in zh-CN and English side by side: one TOML file per topic in this folder.

A file `payments.toml` with `purpose = { zh = "医疗保险金 赔案号{case}", en = "Health insurance benefit, case {case}" }`
gives `say("payments.purpose", "zh", case="case_8m3k")`. A test holds every entry complete in both languages.
"""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

from safeweave.errors import NotFound

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """All entries: "topic.key" to its text in each language; nested tables are joined by dots."""
    entries: dict[str, dict[str, str]] = {}

    def gather(prefix: str, table: dict[str, object]) -> None:
        texts = {key: value for key, value in table.items() if isinstance(value, str)}
        if texts:
            entries[prefix] = texts
        for key, value in table.items():
            if isinstance(value, dict):
                gather(f"{prefix}.{key}", value)

    for file in sorted(files(__name__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            gather(file.name.removesuffix(".toml"), tomllib.loads(file.read_text(encoding="utf-8")))
    return entries


def say(key: str, language: Language, /, **values: object) -> str:
    """The sentence `key` in that language with its values filled in; KeyError if there is no such entry."""
    return catalogue()[key][language].format_map(values)


def knows(key: str) -> bool:
    """Whether there is a sentence for this key."""
    return key in catalogue()


class NotHere(NotFound):
    """What was asked for is not here; the sentence of this key says so, and where to look."""

    def __init__(self, key: str, /, **values: object) -> None:
        self._key, self._values = key, values
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """What is not here and where to look, in one language."""
        return say(self._key, language, **self._values)

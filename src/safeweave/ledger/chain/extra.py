"""What the chain adapter is built on comes with the extra `chain` and is loaded when it is first needed."""

from importlib import import_module
from typing import Any

from safeweave.errors import Unavailable
from safeweave.words import Language, say


class ExtraMissing(Unavailable):
    """The extra `chain` is not installed; `str` gives the English sentence."""

    def __init__(self, module: str) -> None:
        self.module = module
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """What to do, in one language."""
        return say("chain.extra_missing", language, module=self.module)


def needed(module: str) -> Any:
    """The module; raises ExtraMissing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        raise ExtraMissing(module) from missing

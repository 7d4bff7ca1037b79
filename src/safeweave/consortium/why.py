"""Why a delivery waits, is refused or stops: a code with its values, which is kept and said in either language."""

from typing import Literal

import msgspec

from safeweave.errors import SafeweaveError
from safeweave.words import Language, say

Code = Literal[
    "silent",
    "busy",
    "unwell",
    "fault",
    "ledger_silent",
    "behind",
    "store",
    "gap",
    "full",
    "stranger",
    "suspended",
    "no_keys",
    "no_address",
    "other_address",
    "consent_unknown",
    "consent_pending",
    "consent_expired",
    "consent_revoked",
    "not_party",
    "not_covered",
    "unreadable",
    "wrong_recipient",
    "forged",
    "before_suspension",
    "expired",
    "conflict",
    "too_large",
    "slow",
    "broken_seal",
    "unhandled",
    "not_here",
    "receipt_bad",
    "unsealable",
    "ledger_refused",
]

FOR_GOOD: frozenset[Code] = frozenset({
    "unreadable", "wrong_recipient", "forged", "before_suspension", "expired", "conflict", "too_large", "broken_seal",
    "unhandled", "unsealable",
})  # fmt: skip
"""What no later try of the same bytes can change: a person looks."""

CONSENT_ENDED: frozenset[Code] = frozenset({"consent_expired", "consent_revoked"})
"""No consent comes back from this."""


class Why(msgspec.Struct, frozen=True):
    """A reason: its code, and the values that its sentence names."""

    code: Code
    values: dict[str, str | int] = {}

    def said(self, language: Language) -> str:
        """The sentence in that language."""
        return say(f"consortium.why.{self.code}", language, **self.values)


class Refused(SafeweaveError):
    """A delivery cannot go on now, or at all; `why` says which and why."""

    def __init__(self, code: Code, **values: str | int) -> None:
        self.why = Why(code, values)
        super().__init__(self.why.said("en"))

    def said(self, language: Language) -> str:
        """The reason in that language."""
        return self.why.said(language)

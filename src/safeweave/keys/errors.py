"""What can go wrong with keys and sealed things, each with its words in both languages."""

from typing import Literal

from safeweave.errors import Conflict, Malformed, NotAllowed, NotFound, SafeweaveError, Unavailable
from safeweave.words import Language, say

KeyKind = Literal["signing", "sealing", "proving"]


class _Said(SafeweaveError):
    """An error whose sentence is `keys.<key>` in the words; `str` gives the English one."""

    key: str

    def __init__(self, **values: object) -> None:
        self.values = values
        SafeweaveError.__init__(self, self.said("en"))

    def said(self, language: Language) -> str:
        """What happened and what to do, in one language."""
        return say(f"keys.{self.key}", language, **self.values)


class UnknownSuite(_Said, NotFound):
    """No cryptographic suite has this `name`."""

    key = "unknown_suite"


class SuiteNotInstalled(_Said, Unavailable):
    """The suite needs the optional `extra`, which is not installed."""

    key = "suite_not_installed"


class KeyUnusable(_Said, NotAllowed):
    """These bytes are no key of the suite, or one that protects nothing (wrong length, off the curve, small order)."""

    key = "key_unusable"

    def __init__(self, suite: str, kind: KeyKind) -> None:
        super().__init__(suite=suite, kind=kind)

    def said(self, language: Language) -> str:
        """What happened and what to do, in one language."""
        return say(
            "keys.key_unusable", language, suite=self.values["suite"], kind=say(f"keys.{self.values['kind']}", language)
        )


class SealBroken(_Said):
    """It does not open: another key, another `info`, or changed on the way. Which of these cannot be told."""

    key = "seal_broken"


class NoKeys(_Said, NotFound):
    """The ring of this `member` has no keys for this height."""

    key = "no_keys"


class NoSuchKey(_Said, NotFound):
    """The ring of this `member` does not hold the key with this id."""

    key = "no_such_key"


class TooEarly(_Said, Conflict):
    """Keys cannot be changed at a `height` at or below the one (`since`) from which the present ones are valid."""

    key = "too_early"


class RingExposed(_Said, NotAllowed):
    """The file of private keys can be read by others than its owner."""

    key = "ring_exposed"


class RingLocked(_Said, NotAllowed):
    """The file of private keys is encrypted and the passphrase is missing or wrong, or the file was changed."""

    key = "ring_locked"


class RingUnreadable(_Said, Malformed):
    """The `file` is no key ring of this version."""

    key = "ring_unreadable"

    def __init__(self, file: object) -> None:
        self.values = {"file": file}
        Malformed.__init__(self, self.said("en"), file=str(file))


class EnvelopeUnreadable(_Said, Malformed):
    """No envelope, or one cut off, from the byte `at` on."""

    key = "envelope_unreadable"

    def __init__(self, at: int) -> None:
        self.values = {"at": at}
        Malformed.__init__(self, self.said("en"))


class WrongRecipient(_Said, NotAllowed):
    """The envelope is addressed to `recipient`, not to `member`, whose keys are to open it."""

    key = "wrong_recipient"


class Forged(_Said, NotAllowed):
    """The envelope or receipt was not signed by its `sender` as it stands: by another, with other keys, or changed."""

    key = "forged"


class Expired(_Said, NotAllowed):
    """The envelope was good until `expires_at`, and `now` is not before it."""

    key = "expired"


class Replayed(_Said, Conflict):
    """The `sender` sent this `sequence` of this `exchange` before; who keeps what was taken raises it."""

    key = "replayed"


class KeysNotValid(_Said, Conflict):
    """The keys of `member` are not those that count at this `height` of the ledger."""

    key = "keys_not_valid"

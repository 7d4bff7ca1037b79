"""The public keys of one member for one stretch of ledger heights, and the names by which messages call them."""

import msgspec

from safeweave.errors import Malformed
from safeweave.keys import vrf
from safeweave.keys.framing import framed
from safeweave.keys.suites import suite as suite_named

KEY_ID_BYTES = 16


def key_id(suite: str, public: bytes) -> str:
    """The name of a public key: 32 hex digits of its digest."""
    digest = suite_named(suite).digest(framed(b"safeweave/key/1", suite.encode(), public))
    return digest[:KEY_ID_BYTES].hex()


class KeySet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Public keys valid from the ledger height `valid_from` until before `valid_until` (None: no end is set).

    `account` is the address on an EVM chain, "" without one. `vrf` is an edwards25519 key whatever the suite.
    """

    suite: str
    signing: bytes
    sealing: bytes
    vrf: bytes
    valid_from: int
    valid_until: int | None = None
    account: str = ""

    def valid_at(self, height: int) -> bool:
        """Whether these keys count at this height of the ledger."""
        return self.valid_from <= height and (self.valid_until is None or height < self.valid_until)

    @property
    def signing_id(self) -> str:
        """The name of the signing key."""
        return key_id(self.suite, self.signing)

    @property
    def sealing_id(self) -> str:
        """The name of the sealing key."""
        return key_id(self.suite, self.sealing)

    def check(self) -> None:
        """Refuse keys that would protect nothing, before they are registered.

        Raises KeyUnusable, UnknownSuite, SuiteNotInstalled, or Malformed for a period that is none.
        """
        if self.valid_from < 0 or (self.valid_until is not None and self.valid_until <= self.valid_from):
            raise Malformed(f"Keys cannot be valid from height {self.valid_from} until before {self.valid_until}.")
        used = suite_named(self.suite)
        used.check_signing(self.signing)
        used.check_sealing(self.sealing)
        vrf.check_key(self.vrf)

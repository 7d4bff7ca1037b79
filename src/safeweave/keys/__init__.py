"""Keys of the consortium: suites, key rings and sets, commitments, the VRF and sealed envelopes.

It knows nothing of the ledger, which only hands it heights, nor of insurance. Read `suites.py` first, then `ring.py`.
"""

from safeweave.keys.canonical import canonical
from safeweave.keys.commitment import commitment, new_salt
from safeweave.keys.keyset import KeySet, key_id
from safeweave.keys.ring import Account, KeyRing, Period
from safeweave.keys.suites import Suite, suite

__all__ = (
    "Account",
    "KeyRing",
    "KeySet",
    "Period",
    "Suite",
    "canonical",
    "commitment",
    "key_id",
    "new_salt",
    "suite",
)

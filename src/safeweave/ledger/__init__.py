"""The consortium ledger: signed operations in one agreed order, kept by a transparency log or by an EVM chain.

It knows nothing of insurance: who is a member, what was consented, anchored and claimed are ids and commitments to it.
Read `ledger.py` first (what is asked of a ledger), then `rules.py` (what each operation does), then `embedded.py`.
"""

from safeweave.ledger.ledger import Final, Ledger, Outcome, Refused, Unknown
from safeweave.ledger.operation import Operation, SignedOperation, fresh_id, operation_id, sign

__all__ = (
    "Final",
    "Ledger",
    "Operation",
    "Outcome",
    "Refused",
    "SignedOperation",
    "Unknown",
    "fresh_id",
    "operation_id",
    "sign",
)

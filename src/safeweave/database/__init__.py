"""The store: transactions in plain SQL over one of two engines, embedded SQLite or PostgreSQL.

It knows which tables there are but not what they mean: that is each package's `store.py`. Only this package knows
which engine answers. Read `transaction.py` first.
"""

from safeweave.database.instants import at_of, at_text
from safeweave.database.packing import Damaged, Dictionary, packed, unpacked
from safeweave.database.tables import PACKAGES_WITH_TABLES, SCHEMA_VERSION, NotOurStore
from safeweave.database.transaction import Database, Row, Slot, Transaction, engine_of
from safeweave.errors import StoreUnavailable

__all__ = [
    "PACKAGES_WITH_TABLES",
    "SCHEMA_VERSION",
    "Damaged",
    "Database",
    "Dictionary",
    "NotOurStore",
    "Row",
    "Slot",
    "StoreUnavailable",
    "Transaction",
    "at_of",
    "at_text",
    "engine_of",
    "packed",
    "unpacked",
]

"""What was promised to whom: products with dated terms, policies with dated changes, payees, and what is used up.

It leaves deciding to `adjudication` and who someone is to `people`. Read `product.py` and `policy.py` first (pure),
then `usage.py`; `store.py` remembers, `importer.py` reads insurers' files, `products/` holds the sample products.
"""

from safeweave.coverage.policy import InsuredPolicy, Payee, Policy
from safeweave.coverage.store import (
    UsageRow,
    add_usage,
    cancel,
    lapse,
    merge_persons,
    opening_usage,
    payees,
    policies_by_number,
    policies_of,
    policy_id,
    reinstate,
    renew,
    reverse_usage,
    usage_of,
    usage_rows,
)

__all__ = [
    "InsuredPolicy",
    "Payee",
    "Policy",
    "UsageRow",
    "add_usage",
    "cancel",
    "lapse",
    "merge_persons",
    "opening_usage",
    "payees",
    "policies_by_number",
    "policies_of",
    "policy_id",
    "reinstate",
    "renew",
    "reverse_usage",
    "usage_of",
    "usage_rows",
]

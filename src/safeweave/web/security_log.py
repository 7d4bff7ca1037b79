"""What an investigator needs: who signed in or failed to, who was refused, who asked too often.

One line of JSON each, so that nothing in it can look like another line. Ids and addresses only: never names, phone
numbers, codes or tokens. Views of personal data are rows in the store instead (`audit.py`).
"""

import logging
from typing import Literal

import msgspec

log = logging.getLogger("safeweave.security")

Happened = Literal[
    "code_asked", "signed_in", "sign_in_failed", "signed_out", "sessions_ended", "passkey_added", "passkey_removed",
    "token_given", "token_refused", "refused", "too_often", "too_large",
]  # fmt: skip
_EXPECTED: frozenset[Happened] = frozenset(
    {"code_asked", "signed_in", "signed_out", "sessions_ended", "passkey_added", "passkey_removed", "token_given"}
)


def note(what: Happened, **facts: str) -> None:
    """Write down what happened; facts that are not known are left out."""
    line = msgspec.json.encode({"what": what, **{name: value for name, value in facts.items() if value}})
    log.log(logging.INFO if what in _EXPECTED else logging.WARNING, "%s", line.decode())

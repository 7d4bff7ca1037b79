"""What the pages of the operations room have in common: who may see them, and the ways between them."""

from typing import Any

from starlette.responses import Response

from safeweave.database import Transaction
from safeweave.web.asked import Asked

# name, address, the action that must be allowed for it to be shown
PLACES = (
    ("room", "/operations", "figures.read"),
    ("what_if", "/operations/what-if", "what_if.read"),
    ("again", "/operations/again", "again.read"),
    ("inbox", "/operations/inbox", "inbox.read"),
    ("health", "/operations/health", "health.read"),
    ("oversight", "/operations/oversight", "oversight.read"),
)


def shown(asked: Asked, tx: Transaction, template: str, current: str, status: int = 200, **values: Any) -> Response:
    """A page of the room with the ways to the others one may see."""
    places = [(name, href) for name, href, action in PLACES if asked.may_ours(action)]
    return asked.page(template, status, places=places, current=current, may=asked.may_ours, **values)

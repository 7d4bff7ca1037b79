"""What the pages of the operations room have in common: who may see them, and the ways between them."""

from datetime import date
from typing import Any

from starlette.responses import Response

from safeweave.database import Transaction
from safeweave.errors import Malformed
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


class Wrong(Malformed):
    """Something must be filled in, or filled in otherwise; a sentence says what."""


def day(asked: Asked, name: str) -> date | None:
    """The day in this field of the form; None if it is empty. Raises Wrong."""
    text = asked.field(name, 20)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Wrong(asked.say("operations.fault.day", text=text), field=name) from None


def must_be_in_order(asked: Asked, first: date | None, last: date | None) -> None:
    """Go on only if the last day is not before the first. Raises Wrong."""
    if first and last and last < first:
        raise Wrong(asked.say("operations.fault.order"), field="until_day")

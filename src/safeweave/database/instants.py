"""How instants are written in the store."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=1000)  # whatever a transaction writes, it mostly writes with the same instant
def at_text(at: datetime) -> str:
    """An aware instant as sortable UTC text, such as 2026-03-06T07:21:05.123456Z."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def at_of(text: str) -> datetime:
    """The aware instant that `at_text` wrote."""
    return datetime.fromisoformat(text)

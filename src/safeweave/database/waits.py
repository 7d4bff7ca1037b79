"""How long transactions waited for other transactions, for whoever wants to know it of a piece of work."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from safeweave.clock import seconds_running


@dataclass
class Waits:
    """The waits of one piece of work."""

    longest: float = 0.0  # seconds


_noted: ContextVar[Waits | None] = ContextVar("waits", default=None)


@contextmanager
def noting() -> Iterator[Waits]:
    """Notes the waits of what is done in the block, also in threads that it starts with its context."""
    waits = Waits()
    token = _noted.set(waits)
    try:
        yield waits
    finally:
        _noted.reset(token)


@contextmanager
def waiting() -> Iterator[None]:
    """What is done in the block is waiting for others."""
    waits = _noted.get()
    began = seconds_running() if waits is not None else 0.0
    try:
        yield
    finally:
        if waits is not None:
            waits.longest = max(waits.longest, seconds_running() - began)

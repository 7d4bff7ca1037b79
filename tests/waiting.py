"""Waiting for what another thread or process is about to do."""

import time
from collections.abc import Callable

PATIENCE = 240  # seconds: long enough on any machine, so that only what never comes fails


def until(holds: Callable[[], object], seen: Callable[[], object] = lambda: "it did not come to that") -> None:
    """Return as soon as it holds; an `AssertionError` with what is seen instead when it never does."""
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up, seen()
        time.sleep(0.02)

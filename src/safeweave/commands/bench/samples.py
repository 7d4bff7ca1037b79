"""Where the time of a process goes: looked at every millisecond, each look counting for the time since the last one.

Unlike a profile that hooks into every call, looking costs next to nothing and takes waiting for the engine as it is.
"""

import signal
from collections import defaultdict
from types import FrameType, TracebackType
from typing import NamedTuple

from safeweave.clock import seconds_running

EVERY_SECONDS = 0.001

# The outermost frame of these packages below the worker says what was being done.
PARTS = {
    "safeweave.exchange": "hearing",
    "safeweave.people": "hearing",
    "safeweave.coverage": "hearing",
    "safeweave.cases": "hearing",
    "safeweave.adjudication": "deciding",
    "safeweave.payments": "paying",
    "safeweave.telling": "telling",
    "safeweave.outbox": "storing",
    "safeweave.database": "storing",
}
ENGINES = ("sqlite3", "psycopg", "psycopg_binary", "safeweave.database.sqlite", "safeweave.database.postgresql")
ALL_PARTS = ("reading", "hearing", "deciding", "paying", "telling", "storing", "engine", "rest")


class Sampled(NamedTuple):
    """Seconds by part of the work, and by function (its own, without what it calls)."""

    parts: dict[str, float]
    functions: dict[str, float]


class Samples:
    """Looks at the main thread of this process while its block runs, if `wanted`."""

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted
        self._parts: dict[str, float] = defaultdict(float)
        self._functions: dict[str, float] = defaultdict(float)
        self._last = 0.0
        self._before: object = None

    @property
    def taken(self) -> Sampled | None:
        """What was seen; None if nobody wanted to look."""
        return Sampled(dict(self._parts), dict(self._functions)) if self._wanted else None

    def __enter__(self) -> "Samples":
        if self._wanted:
            self._before = signal.signal(signal.SIGALRM, self._look)
            self._last = seconds_running()
            signal.setitimer(signal.ITIMER_REAL, EVERY_SECONDS, EVERY_SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._wanted:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)  # type: ignore[arg-type]

    def _look(self, _: int, frame: FrameType | None) -> None:
        """A call into C is seen when it returns: it then counts for all the time it took."""
        now = seconds_running()
        passed, self._last = now - self._last, now
        if frame is not None:
            self._parts[part_of(frame)] += passed
            self._functions[f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"] += passed


def part_of(frame: FrameType) -> str:
    """What is being done in this frame: for the engine, or in which part of a claim's way."""
    if str(frame.f_globals.get("__name__")).startswith(ENGINES):
        return "engine"
    part = "rest"
    at: FrameType | None = frame
    while at is not None:
        module = str(at.f_globals.get("__name__"))
        if at.f_code.co_name == "open_message":
            return "reading"
        if module == "safeweave.worker":
            break
        package = ".".join(module.split(".")[:2])
        part = PARTS.get(package, part)
        at = at.f_back
    return part

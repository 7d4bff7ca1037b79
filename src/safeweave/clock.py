"""The only reader of the time. Everything else is handed `now`, an aware instant in UTC."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from time import perf_counter, sleep
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")

Clock = Callable[[], datetime]


def now() -> datetime:
    """This instant, aware, in UTC."""
    return datetime.now(UTC)


def seconds_running() -> float:
    """Seconds on a clock that never jumps, for measuring how long something took."""
    return perf_counter()


def shanghai_day(at: datetime) -> date:
    """The Shanghai day of an aware instant."""
    return at.astimezone(SHANGHAI).date()


def later(*, seconds: float) -> datetime:
    """The instant that many seconds from now."""
    return now() + timedelta(seconds=seconds)


def pause(seconds: float) -> None:
    """Wait; for commands that watch something, never in a handler."""
    sleep(seconds)

"""Time as an argument. Decisions take `now`; only the edges of the process read a clock (`system_clock`)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns an aware UTC time."""


def seconds(count: float) -> timedelta:
    """Return a span of `count` seconds."""
    return timedelta(seconds=count)


def milliseconds_between(start: datetime, end: datetime) -> int:
    """Return the span from `start` to `end` in whole milliseconds; negative if `end` is earlier."""
    return round((end - start).total_seconds() * 1000)


def rfc3339(at: datetime) -> str:
    """Return `at` as RFC 3339 in UTC with `Z` and milliseconds, e.g. `2026-11-20T23:41:00.123Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def rfc3339_or_none(at: datetime | None) -> str | None:
    """Return `at` as `rfc3339` does; `None` without a time."""
    return None if at is None else rfc3339(at)

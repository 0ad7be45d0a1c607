"""The health of an endpoint: since when it has been failing, and what follows from that. Pure: no database here.

Only the endpoint's own failures count. An attempt that failed through a fault of ours says nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

DISABLED_PERCENT = 100
_WARNED_AT_PERCENT = (90, 75, 50)


@dataclass(frozen=True, slots=True)
class DisablePolicy:
    """The conditions to disable an endpoint: every attempt has failed for so long, and there were so many of them."""

    disable_after: timedelta = timedelta(days=5)
    least_failures: int = 20

    @property
    def first_warning_after(self) -> timedelta:
        """Return how long an endpoint must have failed before anything is done about it."""
        return self.disable_after * min(_WARNED_AT_PERCENT) / 100


@dataclass(frozen=True, slots=True)
class FailureStreak:
    """The failures of an endpoint since `failing_since`, with no success among them."""

    failing_since: datetime | None = None
    failures: int = 0
    warned_percent: int = 0


def after_attempts(streak: FailureStreak, outcomes: Iterable[tuple[datetime, bool]]) -> FailureStreak:
    """Return the streak after these attempts: when each ended, in order, and if it succeeded."""
    for ended_at, succeeded in outcomes:
        if succeeded:
            streak = FailureStreak()
        else:
            since = streak.failing_since or ended_at
            streak = FailureStreak(since, streak.failures + 1, streak.warned_percent)
    return streak


def percent_due(streak: FailureStreak, policy: DisablePolicy, now: datetime) -> int | None:
    """Return the warning to give now (50, 75, 90), 100 if the endpoint is to be disabled, or `None`.

    Percents are of the time after which it is disabled. Of warnings that were missed only the latest is given.
    """
    if streak.failing_since is None:
        return None
    lasted = now - streak.failing_since
    if lasted >= policy.disable_after and streak.failures >= policy.least_failures:
        return DISABLED_PERCENT
    for percent in _WARNED_AT_PERCENT:
        if lasted >= policy.disable_after * percent / 100:
            return percent if percent > streak.warned_percent else None
    return None

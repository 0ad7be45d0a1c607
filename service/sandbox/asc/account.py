"""What ASC knows of the account: requests counted, the daily limit, the registered address.

Written from aisongchecker.pro/api-docs (v1.0, March 2026): "Rate Limits", usage, quota, webhooks. Not documented: the
unit of `Retry-After` (seconds here), the breakdown of usage, what a registration is answered with. All of it lives in
this process: two processes count each for itself, and a restart forgets.
"""

import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from service.kit.clock import Clock
from service.sandbox.settings import SandboxSettings

PRO_DAILY: Final = 10_000
EVENTS: Final = frozenset({"analysis.complete", "certificate.ready"})
_ANALYSES: Final = frozenset({"analyze", "analyze-url"})
_DAYS_KEPT: Final = 62
_FAILED: Final = 400


class AscAccount:
    """The one account of this sandbox."""

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._days: dict[date, _Day] = {}
        self.callback_url: str | None = None
        self.events: frozenset[str] = frozenset()

    @property
    def limit(self) -> int:
        """Requests a day."""
        return self._settings.asc_daily_limit or PRO_DAILY

    def count(self, action: str) -> bool:
        """Count one more request and return True if the day's limit allows it."""
        self._today.actions[action] += 1
        return not self._settings.asc_daily_limit or self._used <= self._settings.asc_daily_limit

    def answered(self, status: int) -> None:
        """Count the answer of a counted request."""
        self._today.failed += status >= _FAILED

    def headers(self) -> dict[str, str]:
        """Return the documented headers; `X-RateLimit-Reset` in Unix seconds."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self._left),
            "X-RateLimit-Reset": str(int(self._midnight.timestamp())),
        }

    def seconds_to_reset(self) -> int:
        """Return the seconds until the next midnight in UTC, rounded up."""
        return math.ceil((self._midnight - self._clock()).total_seconds())

    def quota(self) -> dict[str, Any]:
        """Return the answer to the quota action."""
        return {
            "plan": "pro",
            "daily_limit": self.limit,
            "daily_used": min(self._used, self.limit),
            "daily_remaining": self._left,
            "reset_at": self._midnight.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def usage(self, period: str, *, detailed: bool) -> dict[str, Any] | None:
        """Return the answer to the usage action; None for a period that the page does not have."""
        today = self._clock().astimezone(UTC).date()
        first = {"today": today, "week": today - timedelta(days=6), "month": today.replace(day=1)}.get(period)
        if first is None:
            return None
        days = [day for at, day in self._days.items() if at >= first]
        actions = sum((day.actions for day in days), Counter[str]())
        failed = sum(day.failed for day in days)
        body = {
            "period": period,
            "total_requests": actions.total(),
            "successful": actions.total() - failed,
            "failed": failed,
            "analyses_count": sum(actions[name] for name in _ANALYSES),
            "data_processed_mb": 0.0,  # the twin throws away what it is given
        }
        return body | ({"endpoints": dict(actions)} if detailed else {})

    @property
    def _today(self) -> "_Day":
        today = self._clock().astimezone(UTC).date()
        if today not in self._days:
            oldest = today - timedelta(days=_DAYS_KEPT)
            self._days = {at: day for at, day in self._days.items() if at > oldest} | {today: _Day()}
        return self._days[today]

    @property
    def _used(self) -> int:
        return self._today.actions.total()

    @property
    def _left(self) -> int:
        return max(0, self.limit - self._used)

    @property
    def _midnight(self) -> datetime:
        now = self._clock().astimezone(UTC)
        return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


class _Day:
    """One day's requests."""

    def __init__(self) -> None:
        self.actions = Counter[str]()
        self.failed = 0

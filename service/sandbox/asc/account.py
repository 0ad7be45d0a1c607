"""What ASC knows of the account: requests counted, the daily limit, the registered address; and what it sends there.

Written from aisongchecker.pro/api-docs (v1.0, March 2026): "Rate Limits", usage, quota, webhooks. Not documented: the
unit of `Retry-After` (seconds here), the breakdown of usage, what a registration is answered with. All of it lives in
this process: two processes count each for itself, and a restart forgets.
Callbacks are unsigned, `analysis.complete` only; no retries are documented, so each is tried once.
"""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from service.kit.clock import Clock
from service.sandbox.asc.answers import completion, failure, forged, ready, trouble, unheard_of
from service.sandbox.faults import garbled
from service.sandbox.outgoing import Callbacks, PlannedCallback
from service.sandbox.records import Submission
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


class AscCallbacks:
    """The callbacks to each job's own address, and to the account's."""

    def __init__(self, settings: SandboxSettings, callbacks: Callbacks, account: AscAccount) -> None:
        self._settings = settings
        self._callbacks = callbacks
        self._account = account

    async def plan(self, job: Submission) -> None:
        """Plan all callbacks of this job; where the script wants the last one first, wait until it was sent."""
        if not job.script.callback_copies:
            return
        for url in self._addresses(job):
            await self._plan(job, url)

    def announce(self, certificate: dict[str, Any], now: datetime) -> None:
        """Plan `certificate.ready` to the account's address, if that is registered for it."""
        url = self._account.callback_url
        if url is not None and "certificate.ready" in self._account.events:
            body = json.dumps(ready(certificate, now)).encode()
            self._callbacks.plan(now, lambda: [PlannedCallback(url, body)])

    def _addresses(self, job: Submission) -> list[str]:
        """Return the job's own address, and the account's where the setting says so."""
        account = self._account
        also = self._settings.asc_account_callbacks and "analysis.complete" in account.events
        urls = (job.record.callback_url, account.callback_url if also else None)
        return [url for url in urls if url is not None]

    async def _plan(self, job: Submission, url: str) -> None:
        script = job.script
        if script.forged:
            lie = PlannedCallback(url, json.dumps(forged(job)).encode())
            self._callbacks.plan(job.working_at, lambda: [lie])
        ended = self._callbacks.plan(job.called_back_at, lambda: self._ended(job, url))
        if script.callback_first:
            await asyncio.wait([ended])

    def _ended(self, job: Submission, url: str) -> Sequence[PlannedCallback]:
        script, failed = job.script, bool(trouble(job))
        if failed and not self._settings.asc_failure_callback:
            return ()
        body = failure(job) if failed else completion(job)
        if script.unheard_of:
            body = unheard_of(job)
        if script.garbled:
            return [PlannedCallback(url, text, {"Content-Type": kind}) for kind, text in garbled(body)]
        return [PlannedCallback(url, json.dumps(body).encode())] * script.callback_copies

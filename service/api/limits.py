"""Rate limits of API keys, and of addresses without a valid key: token buckets in the memory of this process.

Each web process counts for itself, so a deployment of two allows up to twice as much. The headers are those of
draft-ietf-httpapi-ratelimit-headers. `auth` decides which requests count.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from math import ceil

from starlette.requests import Request

from service.api.security import also_answer
from service.kit.errors import CallerError

WINDOW_SECONDS = 60
PER_MINUTE = 600
_MOST_BUCKETS = 20_000
_UNKNOWN_A_MINUTE = 60
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """A caller's rate limit after a request. `full_seconds`: until the whole quota is left again."""

    granted: bool
    quota: int
    left: int
    full_seconds: int
    retry_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """The state as the answer's headers."""
        return {
            "RateLimit-Policy": f'"default";q={self.quota};w={WINDOW_SECONDS}',
            "RateLimit": f'"default";r={self.left};t={self.full_seconds}',
        }


class Limiter:
    """A bucket for each caller: it holds `per_minute` requests and is refilled as many a minute, evenly."""

    def __init__(self, per_minute: int = PER_MINUTE, *, most: int = _MOST_BUCKETS) -> None:
        self._quota = per_minute
        self._per_second = per_minute / WINDOW_SECONDS
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, datetime]] = OrderedDict()  # the least recently used first

    def is_empty(self, who: str, now: datetime) -> bool:
        """Return True if a request of `who` would not be granted now; nothing is counted."""
        tokens, at = self._buckets.get(who, (float(self._quota), now))
        return tokens + max(0.0, (now - at).total_seconds()) * self._per_second < 1

    def take(self, who: str, now: datetime) -> RateLimitState:
        """Count one request of `who`, unless the bucket is empty. A clock that steps back refills nothing."""
        tokens, at = self._buckets.pop(who, (float(self._quota), now))
        passed = max(0.0, (now - at).total_seconds())
        tokens = min(float(self._quota), tokens + passed * self._per_second)
        granted = tokens >= 1
        tokens -= granted
        self._buckets[who] = (tokens, now)
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return RateLimitState(
            granted,
            self._quota,
            left=int(tokens),
            full_seconds=ceil((self._quota - tokens) / self._per_second),
            retry_seconds=max(1, ceil((1 - tokens) / self._per_second)),
        )


class Limits:
    """The two kinds of callers, apart: strangers, however many, push no key's bucket out.

    An address that has tried too often may have its keys looked up no more, but for those that were good before, and
    for a few a minute of all such addresses: a newcomer among them may have a good one.
    """

    def __init__(self, per_minute: int = PER_MINUTE) -> None:
        self.keys = Limiter(per_minute)
        self.strangers = Limiter(per_minute)
        self._unknown = Limiter(_UNKNOWN_A_MINUTE)
        self._good: OrderedDict[bytes, None] = OrderedDict()  # by hash, the least recently used first

    def may_look_up(self, key: str, address: str, now: datetime) -> bool:
        """Return True if the database may be asked whose key this is."""
        if _hash(key) in self._good or not self.strangers.is_empty(address, now):
            return True
        return self._unknown.take("", now).granted

    def note(self, key: str, *, good: bool) -> None:
        """Remember how the key was found."""
        self._good.pop(_hash(key), None)
        if good:
            self._good[_hash(key)] = None
        while len(self._good) > _MOST_KNOWN:
            self._good.popitem(last=False)


def _hash(key: str) -> bytes:
    return sha256(key.encode(errors="replace")).digest()


def acquire(request: Request, limiter: Limiter, who: str, now: datetime) -> None:
    """Count the request, and let its answer say how much `who` has left. Raise `CallerError` 429."""
    state = limiter.take(who, now)
    also_answer(request, state.headers)
    if not state.granted:
        raise CallerError(
            "rate_limited",
            f"More than {state.quota} requests a minute. Send the request again in {state.retry_seconds} s.",
            status=429,
            headers={"Retry-After": str(state.retry_seconds)},
        )

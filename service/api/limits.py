"""What one caller may do: requests a minute of an API key or a client address, and open responses of a key.

Each web process counts for itself, in memory, so a deployment of two allows up to twice as much. The headers are those
of draft-ietf-httpapi-ratelimit-headers. `auth` decides which requests count. A client address is believed as far as
our own proxies vouch for it: good for logs and limits, not for access.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from math import ceil

from starlette.requests import Request

from service.api.headers import also_answer
from service.kit.concurrency.shared_reads import SharedReads
from service.kit.errors import CallerError


def client_address(request: Request, trusted_hops: int) -> str:
    """Return the caller's IP address; `unknown` without one.

    Each of the `trusted_hops` proxies of ours has added an entry to `X-Forwarded-For`, so the one that the outermost
    saw stands that many from the right. What stands further left may be forged. Where the header has fewer
    entries, or no address there, the other end of the connection counts.
    """
    peer = request.client.host if request.client else "unknown"
    if not trusted_hops:
        return peer
    entries = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    return _address(entries[-trusted_hops]) or peer if len(entries) >= trusted_hops else peer


def neighbourhood(address: str) -> str:
    """Return what counts as one caller: an IPv4 address, or the /64 that one IPv6 subscriber has to itself."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if isinstance(known, IPv6Address):
        return str(known.ipv4_mapped or IPv6Address(int(known) >> 64 << 64))
    return address


def _address(entry: str) -> str | None:
    """Return the address of an entry, without the brackets and the port that some proxies add."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None


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


class RequestLimits:
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


MOST_A_KEY = 20
_OPEN_RETRY_SECONDS = 5


class OpenResponses:
    """The open responses of this process, by key; the reads they share; and which keys were found good lately."""

    def __init__(self, most_a_key: int = MOST_A_KEY, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most_a_key = most_a_key
        self._monotonic = monotonic
        self._open: Counter[str] = Counter()
        self._good_until: dict[str, float] = {}
        self.reads = SharedReads()

    def begin(self, key_id: str) -> None:
        """Count one more of this key. Raise `CallerError` 429 where it has as many as it may."""
        if self._open[key_id] >= self._most_a_key:
            raise CallerError(
                "too_many_open",
                f"This key has {self._most_a_key} streams and waiting requests open, the maximum. Close some first;"
                " one stream of /v1/events/stream covers every detection.",
                status=429,
                headers={"Retry-After": str(_OPEN_RETRY_SECONDS)},
            )
        self._open[key_id] += 1

    def end(self, key_id: str) -> None:
        """Count one less of this key."""
        self._open[key_id] -= 1
        if not self._open[key_id]:
            del self._open[key_id]
            self._good_until.pop(key_id, None)

    @contextmanager
    def one_more(self, key_id: str) -> Iterator[None]:
        """Count one of this key for as long as this lasts."""
        self.begin(key_id)
        try:
            yield
        finally:
            self.end(key_id)

    def is_good(self, key_id: str) -> bool:
        """Return True if another of the key's answers has just found it good."""
        return self._monotonic() < self._good_until.get(key_id, 0.0)

    def found_good(self, key_id: str, seconds: float) -> None:
        """Treat the key as good for so many seconds, for all its open answers."""
        self._good_until[key_id] = self._monotonic() + seconds

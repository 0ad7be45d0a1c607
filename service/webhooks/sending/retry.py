"""The time of the next attempt. Pure: the answer's facts, the policy, `now` and randomness come in."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from service.kit.backoff import Random, jittered

_HINT_CAP_SECONDS = 86_400
_THROTTLED = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The waits before each attempt, in seconds, and the floor after an endpoint that is overloaded."""

    schedule: tuple[float, ...]
    throttled_floor: float


def next_attempt_at(
    policy: RetryPolicy,
    *,
    attempts: int,
    status_code: int | None,
    error_class: str | None,
    retry_after: str | None,
    now: datetime,
    random: Random,
) -> datetime | None:
    """Return when to try again after `attempts` failed attempts, or `None` if the schedule is used up.

    The endpoint's own `Retry-After` counts at any status if it is later than the schedule (capped at a day).
    After 429, 502, 503, 504 and timeouts the wait is never below the floor. Jitter is only ever added.
    """
    if attempts >= len(policy.schedule):
        return None
    wait = policy.schedule[attempts]
    if status_code in _THROTTLED or error_class == "timeout":
        wait = max(wait, policy.throttled_floor)
    return now + timedelta(seconds=max(jittered(wait, random), hint_seconds(retry_after, now) or 0))


def hint_seconds(retry_after: str | None, now: datetime) -> float | None:
    """Parse `Retry-After` into seconds (RFC 9110 §10.2.3: a number or an HTTP date), 24 h at most; `None` for junk."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(int(text.lstrip("0")[:9] or 0), _HINT_CAP_SECONDS)
    try:
        at = parsedate_to_datetime(text)
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(wait.total_seconds(), 0.0), _HINT_CAP_SECONDS)

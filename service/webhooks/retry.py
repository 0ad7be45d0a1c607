"""When the next attempt is due. Pure: the answer's facts, the policy, `now` and randomness come in."""

from collections.abc import Mapping
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
    """When to try again after `attempts` failed tries, or `None` when the schedule is used up.

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
    """`Retry-After` in seconds (RFC 9110 §10.2.3: a number or an HTTP date), capped at 24 h; junk is `None`."""
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


def explain(status_code: int | None, error_class: str | None, phases: Mapping[str, int | None]) -> str:
    """A sentence that says what happened and what the owner of the endpoint can do."""
    if error_class is None:
        return f"Taken with {status_code} in {phases.get('total')} ms."
    if status_code == 410:  # noqa: PLR2004 - 410 Gone
        return "Answered 410 Gone: the endpoint is disabled. Enable it when it is ready again."
    if status_code == 429:  # noqa: PLR2004 - 429 Too Many Requests
        return (
            "Answered 429: it is asked too often. The next try waits at least as long as its Retry-After says;"
            " a lower rate_limit_per_second of the endpoint asks less."
        )
    sentences = {
        "dns": "The endpoint's host name did not resolve. Check the URL and its DNS records.",
        "refused": "The endpoint's host refused the connection. Check that the receiver runs and its port is open.",
        "reset": "The connection broke before an answer came. Check proxies and time limits before the receiver.",
        "tls": "The TLS handshake failed. Check the certificate: valid, complete chain, this host name.",
        "timeout": "No answer in time. Store the event, answer 2xx at once, and work on it afterwards.",
        "blocked": "The endpoint's host resolves to an address that webhooks may not be sent to.",
        "redirect": f"Answered {status_code}, a redirect, which is never followed. Register the final URL.",
        "http_4xx": f"Answered {status_code}. Check that the receiver takes this path and checks the signature right.",
        "http_5xx": f"Answered {status_code}. The receiver failed; look at its log for this webhook-id.",
        "internal": "A fault of ours, not of the endpoint. It is tried again.",
    }
    return sentences[error_class]

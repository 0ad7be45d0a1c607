"""A finished attempt: when the next one is due, what its owner is told in words, and its line in the log."""

from datetime import datetime

import structlog

from service.kit.backoff import Random
from service.kit.clock import milliseconds_between
from service.kit.telemetry.metrics import Histogram
from service.webhooks.queue.claimed import ClaimedDelivery
from service.webhooks.queue.record import FinishedAttempt
from service.webhooks.sending.attempt import Outcome
from service.webhooks.sending.retry import RetryPolicy, next_attempt_at

log = structlog.get_logger()

ATTEMPT_SECONDS = Histogram("relay_attempt_seconds", "Tries to deliver an event, to the end of the answer.", "outcome")


def judge(
    claim: ClaimedDelivery, started_at: datetime, outcome: Outcome, policy: RetryPolicy, now: datetime, random: Random
) -> FinishedAttempt:
    """Return the attempt as it is recorded, with the time of the next one if another is due."""
    failed = outcome.error_class is not None
    return FinishedAttempt(
        claim=claim,
        started_at=started_at,
        status_code=outcome.status_code,
        error_class=outcome.error_class,
        phases_ms=outcome.phases_ms,
        excerpt=outcome.excerpt,
        explanation=explain(outcome),
        next_at=_next(claim, outcome, policy, now, random) if failed else None,
        ended_at=now,
        counted=not outcome.is_ours,
    )


def _next(
    claim: ClaimedDelivery, outcome: Outcome, policy: RetryPolicy, now: datetime, random: Random
) -> datetime | None:
    return next_attempt_at(
        policy,
        attempts=claim.attempts - claim.attempts_before + 1,
        status_code=outcome.status_code,
        error_class=outcome.error_class,
        retry_after=outcome.retry_after,
        now=now,
        random=random,
    )


def log_attempt(finished: FinishedAttempt, *, recorded: bool) -> None:
    """Log one line with every id, and measure how long the attempt took."""
    claim = finished.claim
    took = finished.ended_at - finished.started_at
    ATTEMPT_SECONDS.observe(took.total_seconds(), "failed" if finished.error_class else "taken")
    log.info(
        "delivery.attempted",
        delivery_id=claim.delivery_id,
        endpoint_id=claim.endpoint_id,
        event_id=claim.event_id,
        event_type=claim.event_type,
        detection_id=claim.detection_id,
        account_id=claim.account_id,
        mode=claim.mode,
        n=claim.attempts + 1,
        status_code=finished.status_code,
        error_class=finished.error_class,
        phases_ms=finished.phases_ms,
        state=finished.state,
        recorded=recorded,
        took_ms=milliseconds_between(finished.started_at, finished.ended_at),
    )


_SENTENCES = {
    "dns": "The endpoint's host name did not resolve. Check the URL and its DNS records.",
    "refused": "No connection could be made: the endpoint's host refused it, or cannot be reached."
    " Check that the receiver runs and its port is open.",
    "blocked": "The endpoint's URL, or an address its host resolves to, is one that webhooks may not be sent to.",
    "internal": "A fault of ours, not of the endpoint. It is tried again.",
}
_TIMEOUTS = {
    "connect": "No connection was made in time. Check that the receiver runs, and that no firewall is in between.",
    "handshake": "The TLS handshake did not end in time. Check what listens at this port, and what is before it.",
    "request": "No answer in time. Store the event, answer 2xx at once, and work on it afterwards.",
}
_BREAKS = {
    "handshake": "The connection broke in the TLS handshake. Check what listens at this port, and what is before it.",
    "request": "The connection broke before a whole answer came. Check proxies and time limits before the receiver.",
    "answer": "What came back is not an HTTP answer. Check what listens at this port.",
}
_BREAKS_AFTER_TLS = (  # a reset may overtake the alert that would have told
    "The connection broke after the TLS handshake, before a whole answer came. Check proxies and time limits, and"
    " whether the receiver demands a client certificate: a webhook carries none."
)
_TLS = {
    "handshake": "The TLS handshake failed. Check that the port speaks TLS of version 1.2 or later, that the"
    " certificate is valid, with a complete chain, for this host name, and that the receiver demands none of ours.",
    "request": "TLS broke after the handshake. A receiver that demands a client certificate does so: a webhook carries"
    " a signature and no certificate.",
}
_BY_PHASE = {"timeout": _TIMEOUTS, "reset": _BREAKS, "tls": _TLS}


def explain(outcome: Outcome) -> str:
    """Return what happened, and what the owner of the endpoint can do."""
    if outcome.error_class is None:
        return f"Taken with {outcome.status_code} in {outcome.phases_ms.get('total')} ms."
    if outcome.status_code is not None:
        return _of_status(outcome.status_code)
    if outcome.resolver_failed:
        return "No name server answered the look-up of the endpoint's host. It is tried again, and not counted."
    if outcome.error_class in _SENTENCES:
        return _SENTENCES[outcome.error_class]
    if outcome.error_class == "reset" and outcome.reached == "request" and outcome.phases_ms.get("tls") is not None:
        return _BREAKS_AFTER_TLS
    sentences = _BY_PHASE[outcome.error_class]
    return sentences.get(outcome.reached) or sentences["request"]


def _of_status(status: int) -> str:
    match status:
        case 410:
            return "Answered 410 Gone: the endpoint is disabled. Enable it when it is ready again."
        case 429:
            return (
                "Answered 429: it is asked too often. The next try waits at least as long as its Retry-After says;"
                " a lower rate_limit_per_second of the endpoint asks less."
            )
        case _ if 300 <= status < 400:  # noqa: PLR2004 - the classes of RFC 9110 §15
            return f"Answered {status}, a redirect, which is never followed. Register the final URL."
        case _ if 400 <= status < 500:  # noqa: PLR2004
            return f"Answered {status}. Check that the receiver takes this path and checks the signature right."
        case _ if 500 <= status < 600:  # noqa: PLR2004
            return f"Answered {status}. The receiver failed; look at its log for this webhook-id."
    return f"Answered {status}, which is not a final status of HTTP. Check what listens at this port."

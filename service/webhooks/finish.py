"""What a finished attempt means for its delivery, and the line it leaves in the log."""

from datetime import datetime

import structlog

from service.kit.backoff import Random
from service.kit.clock import milliseconds_between
from service.webhooks.attempt import Outcome
from service.webhooks.explain import explain
from service.webhooks.parcels import Parcel
from service.webhooks.record import Tried
from service.webhooks.retry import RetryPolicy, next_attempt_at

log = structlog.get_logger()


def judge(
    parcel: Parcel, started_at: datetime, outcome: Outcome, policy: RetryPolicy, now: datetime, random: Random
) -> Tried:
    """Return the attempt as it is put on record, with the time of the next one where another is due."""
    failed = outcome.error_class is not None
    return Tried(
        parcel=parcel,
        started_at=started_at,
        status_code=outcome.status_code,
        error_class=outcome.error_class,
        phases_ms=outcome.phases_ms,
        excerpt=outcome.excerpt,
        explanation=explain(outcome),
        next_at=_next(parcel, outcome, policy, now, random) if failed else None,
        ended_at=now,
        charged=not outcome.is_ours,
    )


def _next(parcel: Parcel, outcome: Outcome, policy: RetryPolicy, now: datetime, random: Random) -> datetime | None:
    return next_attempt_at(
        policy,
        attempts=parcel.attempts - parcel.attempts_before + 1,
        status_code=outcome.status_code,
        error_class=outcome.error_class,
        retry_after=outcome.retry_after,
        now=now,
        random=random,
    )


def log_attempt(tried: Tried, *, recorded: bool) -> None:
    """Leave one line with every id."""
    parcel = tried.parcel
    log.info(
        "delivery.attempted",
        delivery_id=parcel.delivery_id,
        endpoint_id=parcel.endpoint_id,
        event_id=parcel.event_id,
        event_type=parcel.event_type,
        detection_id=parcel.detection_id,
        account_id=parcel.account_id,
        mode=parcel.mode,
        n=parcel.attempts + 1,
        status_code=tried.status_code,
        error_class=tried.error_class,
        phases_ms=tried.phases_ms,
        state=tried.state,
        recorded=recorded,
        took_ms=milliseconds_between(tried.started_at, tried.ended_at),
    )

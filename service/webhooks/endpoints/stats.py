"""Figures of an endpoint: the share of attempts that succeeded, their latency, and the backlog."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlmodel import Session, col

from service.kit.clock import milliseconds_between, rfc3339, rfc3339_or_none
from service.kit.db.columns import table_of
from service.webhooks.models import Attempt, Delivery, Endpoint
from service.webhooks.queries import STATUSES

WINDOW = timedelta(hours=24)
_LARGEST_SAMPLE = 1000
_WAITING = ("pending", "blocked", "held")


def stats_of(session: Session, endpoint: Endpoint, now: datetime) -> dict[str, Any]:
    """Return the endpoint's figures: attempts of the last 24 hours (the latest thousand), and the backlog now.

    Latencies are of attempts that were answered, in ms. What is not known is `None`.
    """
    attempts = _sample(session, endpoint.id, now)
    succeeded = sum(error_class is None for _, error_class, _ in attempts)
    totals = sorted(_total(phases) for status, _, phases in attempts if status is not None)
    waiting = {status: _waiting(session, endpoint.id, STATUSES[status]) for status in _WAITING}
    oldest = min((since for _, since in waiting.values() if since is not None), default=None)
    return {
        "endpoint_id": endpoint.id,
        "since": rfc3339(now - WINDOW),
        "attempts": {"total": len(attempts), "succeeded": succeeded, "failed": len(attempts) - succeeded},
        "success_rate": round(succeeded / len(attempts), 4) if attempts else None,
        "latency_ms": {"p50": percentile(totals, 50), "p95": percentile(totals, 95)},
        "backlog": {status: count for status, (count, _) in waiting.items()},
        "oldest_waiting_at": rfc3339_or_none(oldest),
        "oldest_waiting_ms": max(0, milliseconds_between(oldest, now)) if oldest else None,
        "failing_since": rfc3339_or_none(endpoint.failing_since),
        "failures": endpoint.failures,
    }


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """Return the smallest value that `percent` of them do not exceed (nearest rank); `None` if there is none."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _sample(session: Session, endpoint_id: str, now: datetime) -> Sequence[Any]:
    attempt = table_of(Attempt)
    latest = (
        select(attempt.c.status_code, attempt.c.error_class, attempt.c.phases_json)
        .where(attempt.c.endpoint_id == endpoint_id, attempt.c.started_at > now - WINDOW)
        .order_by(attempt.c.started_at.desc())
        .limit(_LARGEST_SAMPLE)
    )
    return session.connection().execute(latest).all()


def _waiting(session: Session, endpoint_id: str, state: str) -> tuple[int, datetime | None]:
    """Return how many deliveries are in this state, and when the oldest was created."""
    of_endpoint = (col(Delivery.endpoint_id) == endpoint_id, text(f"state = '{state}'"))
    count, oldest = (
        session.connection().execute(select(func.count(), func.min(col(Delivery.created_at))).where(*of_endpoint)).one()
    )
    return count, oldest


def _total(phases_json: str) -> int:
    return int(json.loads(phases_json).get("total") or 0)

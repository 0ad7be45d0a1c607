"""Facts of decisions, the events they made, and their deliveries. From rows to facts, pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from service.events.models import Event
from service.kit.clock import rfc3339_or_none
from service.runs.state.models import Revision
from service.timeline.fact import Fact
from service.webhooks.models import Attempt, Delivery

_OVER = ("succeeded", "exhausted", "skipped")
_WAITING = ("blocked", "held")


def decided(revisions: Iterable[Revision]) -> Iterable[Fact]:
    """Yield each decision."""
    for row in revisions:
        data = {"revision": row.n, "status": row.status, "verdict": row.verdict}
        yield Fact(row.created_at, "detection.decided", f"revision/{row.n}", None, data)


def recorded(events: Iterable[Event]) -> Iterable[Fact]:
    """Yield each event."""
    for event in events:
        data = {"event_id": event.id, "type": event.type, "revision": event.revision}
        yield Fact(event.created_at, "event.recorded", event.id, event.run_id, data)


def delivered(
    deliveries: Sequence[Delivery],
    attempts: Mapping[str, Sequence[Attempt]],
    types: Mapping[str, str],
    urls: Mapping[str, str],
) -> Iterable[Fact]:
    """Yield how each delivery began, was tried, and ended; and its state, if it waits for something else.

    `types` are the events' by their ids, `urls` the endpoints' by theirs.
    """
    for one in deliveries:
        tries = attempts.get(one.id, ())
        about = {
            "delivery_id": one.id,
            "endpoint_id": one.endpoint_id,
            "endpoint": _display_url(urls.get(one.endpoint_id)),
            "event_id": one.event_id,
        }
        yield Fact(one.created_at, "delivery.created", one.id, None, {**about, "type": types.get(one.event_id)})
        for attempt in tries:
            data = _tried(attempt, _next_at(one) if attempt is tries[-1] else None)
            yield Fact(attempt.started_at, "delivery.attempted", attempt.id, None, {**about, **data})
        if one.state in _WAITING:
            since = tries[-1].started_at if tries else one.created_at
            yield Fact(since, f"delivery.{one.state}", f"{one.id}/{one.state}/{len(tries)}", None, about)
        if one.state in _OVER and one.ended_at is not None:
            yield Fact(one.ended_at, f"delivery.{one.state}", f"{one.id}/{one.state}/{len(tries)}", None, about)


def taken_at(final_event_at: datetime, deliveries: Iterable[Delivery]) -> datetime | None:
    """Return when the last of these was over; with none, the moment it was data; `None` while one is not."""
    ends = [one.ended_at if one.state in _OVER else None for one in deliveries]
    known = [end for end in ends if end is not None]
    return max([final_event_at, *known]) if len(known) == len(ends) else None


def is_on_its_way(delivery: Delivery) -> bool:
    """Return True if it will be tried without a person's action."""
    return delivery.state in ("due", "blocked")


def _display_url(url: str | None) -> str | None:
    """Return the URL's host and path: enough to recognise it. A query or a user's name may be a secret."""
    if url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def _tried(attempt: Attempt, next_at: datetime | None) -> dict[str, Any]:
    return {
        "attempt_id": attempt.id,
        "n": attempt.n,
        "status_code": attempt.status_code,
        "error_class": attempt.error_class,
        "took_ms": json.loads(attempt.phases_json).get("total"),
        "explanation": attempt.explanation,
        "next_attempt_at": rfc3339_or_none(next_at),
    }


def _next_at(delivery: Delivery) -> datetime | None:
    """Return when it is tried again; a leased one is under way, and its due time is the lease's end."""
    return delivery.due_at if delivery.state == "due" and delivery.lease_token is None else None

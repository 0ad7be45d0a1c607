"""Reads of deliveries: with their attempts, as their owner sees them; and what waits, for metrics and `doctor`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text, union_all
from sqlalchemy import select as core_select
from sqlmodel import Session, col, select

from service.events.models import Event
from service.kit.clock import rfc3339, rfc3339_or_none
from service.kit.db.columns import table_of
from service.kit.db.queues import MOST, Backlog, backlog_of, backlog_of_rows
from service.kit.ids import is_id
from service.kit.paging import Page, paged, windowed
from service.webhooks.models import (
    DELIVERY_BLOCKED,
    DELIVERY_HELD,
    DELIVERY_WAITING,
    PHASES,
    Attempt,
    Delivery,
    Endpoint,
)
from service.webhooks.states import DeliveryState

STATUSES = {"pending" if state is DeliveryState.DUE else state.value: state.value for state in DeliveryState}
"""The words customers read, and the states behind them."""

_STATUS_OF = {state: status for status, state in STATUSES.items()}


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """The filter of a list of deliveries. `None` lets all pass; `event_types` are types of events."""

    endpoint_id: str | None = None
    state: str | None = None
    event_id: str | None = None
    event_types: Sequence[str] | None = None


def find_delivery(session: Session, account_id: str, mode: str, delivery_id: str) -> Delivery | None:
    """Return the account's delivery of this id in this mode; `None` for another account's."""
    delivery = session.get(Delivery, delivery_id) if is_id(delivery_id, "dlv") else None
    if delivery is None or (delivery.account_id, delivery.mode) != (account_id, mode):
        return None
    return delivery


def list_deliveries(session: Session, account_id: str, mode: str, wanted: DeliveryFilter, page: Page) -> list[Delivery]:
    """Return the page's deliveries and one more, if there are more; newest first."""
    statement = select(Delivery).where(Delivery.account_id == account_id, Delivery.mode == mode)
    for column, value in (
        (Delivery.endpoint_id, wanted.endpoint_id),
        (Delivery.state, wanted.state),
        (Delivery.event_id, wanted.event_id),
    ):
        if value is not None:
            statement = statement.where(col(column) == value)
    if wanted.event_id is not None:  # found by its endpoints: they are few, and an index has both
        ours = select(Endpoint.id).where(Endpoint.account_id == account_id, Endpoint.mode == mode)
        statement = statement.where(col(Delivery.endpoint_id).in_(ours))
    if wanted.event_types is not None:
        statement = statement.join(Event, col(Event.id) == Delivery.event_id)
        statement = statement.where(col(Event.type).in_(wanted.event_types))
    return list(session.exec(paged(statement, table_of(Delivery), page)))


def page_of(session: Session, account_id: str, mode: str, wanted: DeliveryFilter, page: Page) -> Page:
    """Return the page, ended where it would read too many rows: states and types have no index."""
    if wanted.event_id is not None or (wanted.state is None and wanted.event_types is None):
        return page
    ours = [col(Delivery.account_id) == account_id, col(Delivery.mode) == mode]
    if wanted.endpoint_id is not None:
        ours.append(col(Delivery.endpoint_id) == wanted.endpoint_id)
    return windowed(session, table_of(Delivery), page, *ours)


def deliveries_shown(session: Session, deliveries: Sequence[Delivery]) -> list[dict[str, Any]]:
    """Return the deliveries with their attempts, as JSON, in the order given."""
    types = _types(session, {delivery.event_id for delivery in deliveries})
    attempts = _attempts(session, [delivery.id for delivery in deliveries])
    return [_shown(delivery, types, attempts.get(delivery.id, [])) for delivery in deliveries]


def _types(session: Session, event_ids: Iterable[str]) -> dict[str, str]:
    rows = session.exec(select(Event.id, Event.type).where(col(Event.id).in_(event_ids)))
    return {event_id: kind for event_id, kind in rows}  # noqa: C416 - typed as rows, not as pairs


def _attempts(session: Session, delivery_ids: Sequence[str]) -> dict[str, list[Attempt]]:
    wanted = select(Attempt).where(col(Attempt.delivery_id).in_(delivery_ids))
    found: dict[str, list[Attempt]] = {}
    for attempt in session.exec(wanted.order_by(col(Attempt.delivery_id), col(Attempt.n))):
        found.setdefault(attempt.delivery_id, []).append(attempt)
    return found


def _shown(delivery: Delivery, types: Mapping[str, str], attempts: Iterable[Attempt]) -> dict[str, Any]:
    # While it is leased `due_at` is the lease's end: nothing that a customer could wait for.
    waits = delivery.state == DeliveryState.DUE and delivery.lease_token is None and delivery.due_at is not None
    return {
        "id": delivery.id,
        "endpoint_id": delivery.endpoint_id,
        "event_id": delivery.event_id,
        "event_type": types.get(delivery.event_id),
        "detection_id": delivery.detection_id,
        "status": _STATUS_OF[delivery.state],
        "lane": delivery.lane,
        "next_attempt_at": rfc3339_or_none(delivery.due_at) if waits else None,
        "attempts": [attempt_shown(attempt) for attempt in attempts],
    }


def attempt_shown(attempt: Attempt) -> dict[str, Any]:
    """Return the attempt as its owner sees it. The endpoint's answer is text here, whatever the bytes were."""
    phases = json.loads(attempt.phases_json)
    return {
        "id": attempt.id,
        "n": attempt.n,
        "started_at": rfc3339(attempt.started_at),
        "status_code": attempt.status_code,
        "error_class": attempt.error_class,
        "phases_ms": {phase: phases.get(phase) for phase in PHASES},
        "response_excerpt": _text(attempt.response_excerpt),
        "explanation": attempt.explanation,
    }


def _text(excerpt: bytes | None) -> str | None:
    """Decode UTF-8. Invalid bytes, and U+0000, which many stores refuse, become U+FFFD."""
    return None if excerpt is None else excerpt.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def deliveries_waiting(session: Session, now: datetime) -> list[Backlog]:
    """Count deliveries that are due, blocked or held, and final events that are not delivered; each with its oldest."""
    delivery = table_of(Delivery)
    due = [
        backlog_of(session, f"deliveries_{lane}", delivery.c.due_at, _due_in(lane), delivery.c.due_at <= now)
        for lane in ("fresh", "retry")
    ]
    return [
        *due,
        backlog_of(session, "deliveries_blocked", delivery.c.created_at, text(DELIVERY_BLOCKED)),
        backlog_of_rows(
            session, "deliveries_held", core_select(delivery.c.created_at.label("since")).where(text(DELIVERY_HELD))
        ),
        _undelivered(session),
    ]


def _undelivered(session: Session) -> Backlog:
    """Count final events on their way to an enabled endpoint, also between two attempts of the schedule."""
    delivery, event = table_of(Delivery), table_of(Event)
    ways = (_due_in("fresh"), _due_in("retry"), text(DELIVERY_BLOCKED))
    rows = [core_select(delivery.c.event_id).where(way).limit(MOST).subquery() for way in ways]
    under_way = union_all(*(core_select(each.c.event_id) for each in rows)).subquery()
    final = (
        core_select(event.c.created_at.label("since"))
        .where(event.c.id.in_(core_select(under_way.c.event_id)), event.c.final_revision.is_not(None))
        .order_by(event.c.created_at)
    )
    return backlog_of_rows(session, "final_events_undelivered", final)


def _due_in(lane: str) -> TextClause:
    """Return the condition as a literal, like the index's: PostgreSQL's generic plan cannot use it with parameters."""
    return text(f"{DELIVERY_WAITING} AND lane = '{lane}'")

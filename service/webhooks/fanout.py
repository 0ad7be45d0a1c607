"""From a fact to its deliveries, in the fact's own transaction: a recorder for the outbox."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import insert
from sqlmodel import Session, col, select, true

from service.events.outbox import Recorded
from service.events.types import EventType, takes
from service.kit.columns import table_of
from service.kit.database import after_commit, wakes
from service.kit.ids import new_id
from service.webhooks.models import Delivery, Endpoint

TOPIC = "deliveries"
UNORDERED_AFTER_TRIES = 3
UNFINISHED = ("due", "blocked", "held")


class HandOff(Protocol):
    """A deliverer in this process, which takes fresh rows already leased instead of finding them."""

    def reserve(self, account_ids: Sequence[str], now: datetime) -> tuple[str, datetime] | None:
        """A lease token and its end if there is room for one more of each of these, else `None`.

        May be asked in any thread.
        """

    def take(self, delivery_ids: Sequence[str], lease_token: str) -> None:
        """These committed rows are ours to deliver now. May be called in any thread."""


def fan_out(hand_off: Callable[[], HandOff | None]) -> Callable[[Session, Sequence[Recorded], datetime], None]:
    """A recorder: each event has a delivery for every endpoint that wants it.

    `hand_off` names the deliverer of this process, if it has one by then.
    """

    def record(session: Session, events: Sequence[Recorded], now: datetime) -> None:
        rows = [row for event in events for row in _rows(session, event, now)]
        _mark_order(session, rows)
        if rows:
            _lease(session, [row for row in rows if row["state"] == "due"], hand_off(), now)
            session.connection().execute(insert(table_of(Delivery)), rows)
            if any(row["state"] == "due" and row["lease_token"] is None for row in rows):
                wakes(session, TOPIC)  # what was handed over needs nobody else

    return record


def _rows(session: Session, event: Recorded, now: datetime) -> list[dict[str, Any]]:
    # FOR KEY SHARE: whoever deletes the endpoint either has committed, or waits for us and skips our rows too.
    wanted = (
        select(Endpoint)
        .where(Endpoint.account_id == event.account_id, Endpoint.mode == event.mode)
        .where(col(Endpoint.deleted_at).is_(None), col(Endpoint.id).is_distinct_from(event.not_to))
        .where(true() if event.only_to is None else col(Endpoint.id) == event.only_to)
        .order_by(col(Endpoint.id))
        .with_for_update(read=True, key_share=True)
    )
    return [
        _row(event, endpoint, now) for endpoint in session.exec(wanted) if endpoint_takes(endpoint.events_json, event)
    ]


def endpoint_takes(events_json: str, event: Recorded) -> bool:
    """Whether an endpoint with these filters wants the event. One run's end is told only to who named it.

    What is meant for one endpoint alone passes its filters.
    """
    if event.only_to is not None:
        return True
    filters: list[str] = json.loads(events_json)
    if event.type is EventType.DETECTOR_COMPLETED:
        filters = [pattern for pattern in filters if pattern != "*"]
    return any(takes(pattern, event.type) for pattern in filters)


def _row(event: Recorded, endpoint: Endpoint, now: datetime) -> dict[str, Any]:
    enabled = endpoint.status == "enabled"
    return {
        "id": new_id("dlv"),
        "account_id": event.account_id,
        "mode": event.mode,
        "endpoint_id": endpoint.id,
        "event_id": event.id,
        "event_position": event.position,
        "detection_id": event.detection_id,
        "lane": "fresh",
        "state": "due" if enabled else "held",
        "due_at": now if enabled else None,
        "lease_token": None,
        "attempts": 0,
        "attempts_before": 0,
        "created_at": now,
    }


def _mark_order(session: Session, rows: list[dict[str, Any]]) -> None:
    """Within one detection a newer event waits for the older one at that endpoint; detections never wait."""
    detections = {row["detection_id"] for row in rows if row["detection_id"]}
    busy = _busy(session, detections) if detections else set()
    for row in rows:
        place = (row["endpoint_id"], row["detection_id"])
        if row["detection_id"] and row["state"] == "due":
            if place in busy:
                row.update(state="blocked", due_at=None)
            busy.add(place)


def _busy(session: Session, detections: set[str]) -> set[tuple[str, str | None]]:
    # FOR UPDATE: whoever records the older delivery either has committed, and it no longer counts, or waits
    # for us, and then sees and releases the row we are about to block.
    older = (
        select(Delivery.endpoint_id, Delivery.detection_id)
        .where(col(Delivery.detection_id).in_(detections), col(Delivery.state).in_(UNFINISHED))
        .where(Delivery.attempts < UNORDERED_AFTER_TRIES)
        .order_by(col(Delivery.event_position), col(Delivery.id))  # the recorder's order: no deadlock
        .with_for_update()
    )
    return {(endpoint_id, detection_id) for endpoint_id, detection_id in session.exec(older)}


def _lease(session: Session, due: list[dict[str, Any]], hand_off: HandOff | None, now: datetime) -> None:
    lease = hand_off.reserve([row["account_id"] for row in due], now) if hand_off and due else None
    if hand_off is None or lease is None:
        return
    token, until = lease
    for row in due:
        row.update(lease_token=token, due_at=until)
    ids = [row["id"] for row in due]
    after_commit(session, lambda: hand_off.take(ids, token))

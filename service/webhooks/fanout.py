"""The fan-out of an event to its deliveries, in the event's own transaction: a recorder for the outbox."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy import select
from sqlmodel import Session

from service.events.outbox import Recorded
from service.events.types import EventType, takes
from service.kit.db.bulk import InsertMany, among
from service.kit.db.columns import table_of
from service.kit.db.database import after_commit, notify_on_commit
from service.kit.ids import new_id
from service.webhooks.models import Delivery, Endpoint, in_states
from service.webhooks.queue.claimed import Leased
from service.webhooks.states import UNFINISHED, DeliveryState, EndpointState

TOPIC = "deliveries"
_COLUMNS = (
    "id",
    "account_id",
    "mode",
    "endpoint_id",
    "event_id",
    "event_position",
    "detection_id",
    "lane",
    "state",
    "due_at",
    "lease_token",
    "attempts",
    "attempts_before",
    "created_at",
)
UNORDERED_AFTER_TRIES = 3


class LocalDeliverer(Protocol):
    """A deliverer in this process, which is given fresh rows, already leased, and need not claim them."""

    def reserve(self, account_ids: Sequence[str], now: datetime) -> tuple[str, datetime] | None:
        """Return a lease token and its end if there is room for one more of each of these, else `None`.

        May be called in any thread.
        """

    def take(self, leased: Sequence[Leased]) -> None:
        """Deliver these committed rows, leased before by `reserve`. May be called in any thread."""


def fan_out(
    local_deliverer: Callable[[], LocalDeliverer | None],
) -> Callable[[Session, Sequence[Recorded], datetime], None]:
    """Return a recorder that gives each event a delivery for every endpoint that wants it.

    `local_deliverer` returns the deliverer of this process, if it has one by then. The number of statements does not
    depend on how many events there are.
    """

    def record(session: Session, events: Sequence[Recorded], now: datetime) -> None:
        session.flush()  # what the caller changed of its endpoints counts
        rows = _rows(session, events, now)
        if not rows:
            return
        _mark_order(session, rows)
        _lease(session, [row for row in rows if row["state"] == DeliveryState.DUE], events, local_deliverer(), now)
        _INSERT.run(session.connection(), [[row[name] for name in _COLUMNS] for row in rows])
        if any(row["state"] == DeliveryState.DUE and row["lease_token"] is None for row in rows):
            notify_on_commit(session, TOPIC)  # rows for the local deliverer need no other process

    return record


def _rows(session: Session, events: Sequence[Recorded], now: datetime) -> list[dict[str, Any]]:
    """Return a delivery for each event and each endpoint of its account and mode that wants it."""
    whose = {"accounts": list({event.account_id for event in events}), "modes": list({event.mode for event in events})}
    endpoints: dict[tuple[str, str], list[Any]] = {}
    for endpoint in session.connection().execute(_ENDPOINTS, whose):
        endpoints.setdefault((endpoint.account_id, endpoint.mode), []).append(endpoint)
    return [
        _row(event, endpoint.id, endpoint.status, now)
        for event in events
        for endpoint in endpoints.get((event.account_id, event.mode), ())
        if _is_addressed(endpoint.id, endpoint.events_json, event)
    ]


def _is_addressed(endpoint_id: str, events_json: str, event: Recorded) -> bool:
    if event.only_to is not None:
        return endpoint_id == event.only_to  # it passes that endpoint's filters
    return endpoint_id != event.not_to and endpoint_takes(events_json, event.type)


@lru_cache(2_000)
def endpoint_takes(events_json: str, event_type: EventType) -> bool:
    """Return True if an endpoint with these filters wants the type. `*` does not include the end of one run."""
    filters: list[str] = json.loads(events_json)
    if event_type is EventType.DETECTOR_COMPLETED:
        filters = [pattern for pattern in filters if pattern != "*"]
    return any(takes(pattern, event_type) for pattern in filters)


def _row(event: Recorded, endpoint_id: str, status: str, now: datetime) -> dict[str, Any]:
    enabled = status == EndpointState.ENABLED
    return {
        "id": new_id("dlv"),
        "account_id": event.account_id,
        "mode": event.mode,
        "endpoint_id": endpoint_id,
        "event_id": event.id,
        "event_position": event.position,
        "detection_id": event.detection_id,
        "lane": "fresh",
        "state": (DeliveryState.DUE if enabled else DeliveryState.HELD).value,
        "due_at": now if enabled else None,
        "lease_token": None,
        "attempts": 0,
        "attempts_before": 0,
        "created_at": now,
    }


def _mark_order(session: Session, rows: list[dict[str, Any]]) -> None:
    """Block each row behind an older one of its detection and endpoint; detections never wait for one another."""
    detections = {row["detection_id"] for row in rows if row["detection_id"]}
    busy = _busy(session, detections) if detections else set()
    for row in rows:
        key = (row["endpoint_id"], row["detection_id"])
        if row["detection_id"] and row["state"] == DeliveryState.DUE:
            if key in busy:
                row.update(state=DeliveryState.BLOCKED.value, due_at=None)
            busy.add(key)


def _busy(session: Session, detections: set[str]) -> set[tuple[str, str | None]]:
    older = session.connection().execute(_BUSY, {"detections": list(detections)})
    return {(endpoint_id, detection_id) for endpoint_id, detection_id in older}


def _lease(
    session: Session,
    due: Sequence[dict[str, Any]],
    events: Sequence[Recorded],
    local_deliverer: LocalDeliverer | None,
    now: datetime,
) -> None:
    """Give what is due to this process's deliverer, if it has room: leased, and as it is written here."""
    lease = local_deliverer.reserve([row["account_id"] for row in due], now) if local_deliverer and due else None
    if local_deliverer is None or lease is None:
        return
    token, until = lease
    for row in due:
        row.update(lease_token=token, due_at=until)
    facts = {event.id: event for event in events}
    leased = [_leased(row, facts[row["event_id"]]) for row in due]
    after_commit(session, lambda: local_deliverer.take(leased))


def _leased(row: Mapping[str, Any], event: Recorded) -> Leased:
    return Leased(
        delivery_id=row["id"],
        lease_token=row["lease_token"],
        attempts=0,
        attempts_before=0,
        account_id=event.account_id,
        mode=event.mode,
        endpoint_id=row["endpoint_id"],
        detection_id=event.detection_id,
        event_id=event.id,
        event_position=event.position,
        event_type=event.type.value,
        body=event.body,
    )


# Built once: SQLAlchemy takes longer to build a statement than to run it.


def _endpoints_statement() -> Any:
    endpoint = table_of(Endpoint)
    # FOR KEY SHARE: a deletion of the endpoint either has committed, or waits for us and skips our rows too.
    return (
        select(endpoint.c.id, endpoint.c.account_id, endpoint.c.mode, endpoint.c.events_json, endpoint.c.status)
        .where(among(endpoint.c.account_id, "accounts"))
        .where(among(endpoint.c.mode, "modes"), endpoint.c.deleted_at.is_(None))
        .order_by(endpoint.c.id)
        .with_for_update(read=True, key_share=True)
    )


def _busy_statement() -> Any:
    delivery = table_of(Delivery)
    # FOR UPDATE: a record of the older delivery either has committed, and it no longer counts, or waits
    # for us, and then sees and releases the row we are about to block.
    return (
        select(delivery.c.endpoint_id, delivery.c.detection_id)
        .where(among(delivery.c.detection_id, "detections"))
        .where(in_states(delivery.c.state, UNFINISHED), delivery.c.attempts < UNORDERED_AFTER_TRIES)
        .order_by(delivery.c.event_position, delivery.c.id)  # the recorder's order: no deadlock
        .with_for_update()
    )


_ENDPOINTS, _BUSY = _endpoints_statement(), _busy_statement()
_INSERT = InsertMany(table_of(Delivery), *_COLUMNS)

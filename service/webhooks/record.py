"""Writing attempts down, many in one transaction, and what follows for the deliveries and their endpoints."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, text, update
from sqlmodel import Session

from service.events.outbox import Outbox
from service.kit.among import among
from service.kit.columns import table_of
from service.kit.database import wakes
from service.kit.ids import new_id
from service.kit.many import InsertMany, UpdateMany
from service.webhooks.fanout import IS_UNFINISHED, TOPIC, UNORDERED_AFTER_TRIES
from service.webhooks.models import DELIVERY_BLOCKED, Attempt, Delivery, Endpoint
from service.webhooks.parcels import Parcel
from service.webhooks.trouble import charge, in_order, lock_endpoints, switch_off

GONE = 410
_TABLE = table_of(Delivery)


class Tried(NamedTuple):
    """One finished attempt. `next_at` is `None` where no further try is planned.

    `charged` is false where a failure was a fault of ours: it says nothing about the endpoint.
    """

    parcel: Parcel
    started_at: datetime
    status_code: int | None
    error_class: str | None
    phases_ms: Mapping[str, int | None]
    excerpt: bytes
    explanation: str
    next_at: datetime | None
    ended_at: datetime
    charged: bool = True

    @property
    def state(self) -> str:
        """Where the delivery stands after it."""
        if self.error_class is None:
            return "succeeded"
        if self.status_code == GONE:
            return "held"  # the endpoint asked to be left alone: held for the day it comes back
        return "due" if self.next_at else "exhausted"


def record_attempts(outbox: Outbox) -> Callable[[Session, Sequence[Tried]], Sequence[bool]]:
    """A flush for `GroupCommit`: each answer says whether the attempt was still ours to record."""

    def flush(session: Session, batch: Sequence[Tried]) -> Sequence[bool]:
        endpoints = _lock(session, batch)
        ours = _still_ours(session, batch)
        kept = [tried for tried in batch if tried.parcel.delivery_id in ours]
        if kept:
            _ADD.run(session.connection(), [_attempt_row(tried) for tried in kept])
            _MOVE.run(session.connection(), [_delivery_row(tried) for tried in kept])
            _release(session, kept)
            _settle(session, kept, endpoints, outbox)
        return [tried.parcel.delivery_id in ours for tried in batch]

    return flush


def _lock(session: Session, batch: Sequence[Tried]) -> dict[str, Endpoint]:
    """The endpoints that this batch may change."""
    counted = [tried for tried in batch if tried.charged]
    failed = {tried.parcel.endpoint_id for tried in counted if tried.error_class is not None}
    return lock_endpoints(session, failed, {tried.parcel.endpoint_id for tried in counted} - failed)


def _still_ours(session: Session, batch: Sequence[Tried]) -> set[str]:
    """The deliveries whose lease token is still the parcel's. Locked in one order, so batches cannot deadlock."""
    tokens = {tried.parcel.delivery_id: tried.parcel.lease_token for tried in batch}
    rows = session.connection().execute(_TOKENS, {"ids": list(tokens)})
    return {delivery_id for delivery_id, token in rows if tokens[delivery_id] == token}


def _attempt_row(tried: Tried) -> tuple[Any, ...]:
    return (
        new_id("att"),
        tried.parcel.delivery_id,
        tried.parcel.endpoint_id,
        tried.parcel.attempts + 1,
        tried.started_at,
        tried.status_code,
        tried.error_class,
        json.dumps(tried.phases_ms),
        tried.excerpt or None,
        tried.explanation,
    )


def _delivery_row(tried: Tried) -> tuple[Any, ...]:
    state = tried.state
    return (
        state,
        "fresh" if state == "succeeded" and not tried.parcel.attempts else "retry",
        tried.next_at if state == "due" else None,
        tried.parcel.attempts + 1,
        tried.ended_at if state in ("succeeded", "exhausted") else None,
        tried.parcel.delivery_id,
    )


def _release(session: Session, kept: Sequence[Tried]) -> None:
    """Newer events of these detections that waited for what is now done, or has failed often enough, are due."""
    detections = {tried.parcel.detection_id for tried in kept if _lets_newer_pass(tried)} - {None}
    if not detections:
        return
    released = session.connection().execute(_UNBLOCKED, {"detections": list(detections)}).scalars().all()
    if released:
        now = max(tried.ended_at for tried in kept)
        session.connection().execute(_RELEASE, {"ids": released, "new_due": now})
        wakes(session, TOPIC)


def _lets_newer_pass(tried: Tried) -> bool:
    return tried.state in ("succeeded", "exhausted") or tried.parcel.attempts + 1 >= UNORDERED_AFTER_TRIES


def _settle(session: Session, kept: Sequence[Tried], endpoints: Mapping[str, Endpoint], outbox: Outbox) -> None:
    """Endpoints stand as these attempts leave them. Those that answered 410 are disabled."""
    for endpoint_id, endpoint in endpoints.items():
        tries = [tried for tried in kept if tried.charged and tried.parcel.endpoint_id == endpoint_id]
        charge(session, outbox, endpoint, in_order((tried.ended_at, tried.error_class is None) for tried in tries))
        gone_at = [tried.ended_at for tried in tries if _is_gone(tried, endpoint)]
        if gone_at:
            switch_off(session, outbox, endpoint, "gone", max(gone_at))


def _is_gone(tried: Tried, endpoint: Endpoint) -> bool:
    """Whether the endpoint said 410, and was not enabled again since the question left."""
    asked_since = endpoint.enabled_at is None or tried.started_at >= endpoint.enabled_at
    return tried.status_code == GONE and asked_since and endpoint.status == "enabled"


# Built once: SQLAlchemy takes longer to build a statement than to run it.


def _unblocked_statement() -> Any:
    """Blocked rows of these detections that nothing older holds up any more."""
    older = _TABLE.alias("older")
    still_first = (
        select(older.c.id)
        .where(older.c.detection_id == _TABLE.c.detection_id, older.c.endpoint_id == _TABLE.c.endpoint_id)
        .where(older.c.event_position < _TABLE.c.event_position)
        .where(
            older.c.state.in_(IS_UNFINISHED),
            older.c.attempts < UNORDERED_AFTER_TRIES,
        )
        .exists()
    )
    wanted = select(_TABLE.c.id).where(among(_TABLE.c.detection_id, "detections"))
    # Locked in the order of all: one that is set off again, or erased, must not wait for us while we wait for it.
    return (
        wanted.where(text(f"delivery.{DELIVERY_BLOCKED}"), ~still_first)
        .order_by(_TABLE.c.event_position, _TABLE.c.id)
        .with_for_update(of=_TABLE)
    )


_ADD = InsertMany(
    table_of(Attempt),
    "id",
    "delivery_id",
    "endpoint_id",
    "n",
    "started_at",
    "status_code",
    "error_class",
    "phases_json",
    "response_excerpt",
    "explanation",
)
_MOVE = UpdateMany(_TABLE, "state", "lane", "due_at", "attempts", "ended_at", "id", fixed=["lease_token = NULL"])
_UNBLOCKED = _unblocked_statement()
_TOKENS = (
    select(_TABLE.c.id, _TABLE.c.lease_token)
    .where(among(_TABLE.c.id, "ids"))
    .order_by(_TABLE.c.event_position, _TABLE.c.id)
    .with_for_update()
)
_RELEASE = update(_TABLE).where(among(_TABLE.c.id, "ids")).values(state="due", due_at=bindparam("new_due"))

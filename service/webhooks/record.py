"""Writing attempts down, many in one transaction, and what follows for the deliveries and their endpoints."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, update
from sqlmodel import Session, col, select

from service.events.outbox import Outbox
from service.kit.columns import table_of
from service.kit.database import wakes
from service.kit.ids import new_id
from service.webhooks.claim import Parcel
from service.webhooks.fanout import TOPIC, UNFINISHED, UNORDERED_AFTER_TRIES
from service.webhooks.models import Attempt, Delivery, Endpoint
from service.webhooks.trouble import charge, in_order, lock_endpoints, switch_off

GONE = 410


@dataclass(frozen=True, slots=True)
class Tried:
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
            session.connection().execute(insert(table_of(Attempt)), [_attempt_row(tried) for tried in kept])
            session.connection().execute(_MOVE, [_delivery_row(tried) for tried in kept])
            _release(session, kept)
            _settle(session, kept, endpoints, outbox)
        return [tried.parcel.delivery_id in ours for tried in batch]

    return flush


def _still_ours(session: Session, batch: Sequence[Tried]) -> set[str]:
    """The deliveries whose lease token is still the parcel's. Locked in one order, so batches cannot deadlock."""
    tokens = {tried.parcel.delivery_id: tried.parcel.lease_token for tried in batch}
    rows = session.exec(
        select(Delivery.id, Delivery.lease_token)
        .where(col(Delivery.id).in_(tokens))
        .order_by(col(Delivery.event_position), col(Delivery.id))
        .with_for_update()
    )
    return {delivery_id for delivery_id, token in rows if tokens[delivery_id] == token}


def _attempt_row(tried: Tried) -> dict[str, Any]:
    return {
        "id": new_id("att"),
        "delivery_id": tried.parcel.delivery_id,
        "endpoint_id": tried.parcel.endpoint_id,
        "n": tried.parcel.attempts + 1,
        "started_at": tried.started_at,
        "status_code": tried.status_code,
        "error_class": tried.error_class,
        "phases_json": json.dumps(dict(tried.phases_ms)),
        "response_excerpt": tried.excerpt or None,
        "explanation": tried.explanation,
    }


def _delivery_row(tried: Tried) -> dict[str, Any]:
    state = tried.state
    return {
        "row_id": tried.parcel.delivery_id,
        "new_state": state,
        "new_lane": "fresh" if state == "succeeded" and not tried.parcel.attempts else "retry",
        "new_due": tried.next_at if state == "due" else None,
        "new_attempts": tried.parcel.attempts + 1,
        "new_end": tried.ended_at if state in ("succeeded", "exhausted") else None,
    }


def _move_statement() -> Any:
    delivery = table_of(Delivery)
    return (
        update(delivery)
        .where(delivery.c.id == bindparam("row_id"))
        .values(
            state=bindparam("new_state"),
            lane=bindparam("new_lane"),
            due_at=bindparam("new_due"),
            attempts=bindparam("new_attempts"),
            ended_at=bindparam("new_end"),
            lease_token=None,
        )
    )


_MOVE = _move_statement()


def _release(session: Session, kept: Sequence[Tried]) -> None:
    """Newer events of these detections that waited for what is now done, or has failed often enough, are due."""
    places = {tried.parcel.detection_id for tried in kept if _lets_newer_pass(tried)} - {None}
    if not places:
        return
    blocked, older = table_of(Delivery), table_of(Delivery).alias("older")
    still_first = (
        select(older.c.id)
        .where(older.c.detection_id == blocked.c.detection_id, older.c.endpoint_id == blocked.c.endpoint_id)
        .where(older.c.event_position < blocked.c.event_position)
        .where(older.c.state.in_(UNFINISHED), older.c.attempts < UNORDERED_AFTER_TRIES)
        .exists()
    )
    now = max(tried.ended_at for tried in kept)
    wanted = select(blocked.c.id).where(blocked.c.state == "blocked", blocked.c.detection_id.in_(places), ~still_first)
    # Locked in the order of all: one that is set off again, or erased, must not wait for us while we wait for it.
    in_order = wanted.order_by(blocked.c.event_position, blocked.c.id).with_for_update(of=blocked)
    released = list(session.connection().execute(in_order).scalars())
    if released:
        session.connection().execute(update(blocked).where(blocked.c.id.in_(released)).values(state="due", due_at=now))
        wakes(session, TOPIC)


def _lets_newer_pass(tried: Tried) -> bool:
    return tried.state in ("succeeded", "exhausted") or tried.parcel.attempts + 1 >= UNORDERED_AFTER_TRIES


def _lock(session: Session, batch: Sequence[Tried]) -> dict[str, Endpoint]:
    """The endpoints that this batch may change."""
    counted = [tried for tried in batch if tried.charged]
    failed = {tried.parcel.endpoint_id for tried in counted if tried.error_class is not None}
    return lock_endpoints(session, failed, {tried.parcel.endpoint_id for tried in counted} - failed)


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

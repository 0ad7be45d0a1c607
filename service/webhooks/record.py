"""Writing attempts down, many in one transaction, and what follows for the deliveries and their endpoints."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, update
from sqlmodel import Session, col, select

from service.events.outbox import Draft, Outbox
from service.events.types import EventType
from service.kit.clock import rfc3339
from service.kit.columns import table_of
from service.kit.database import wakes
from service.kit.ids import new_id
from service.webhooks.claim import Parcel
from service.webhooks.fanout import TOPIC, UNFINISHED, UNORDERED_AFTER_TRIES
from service.webhooks.models import Attempt, Delivery, Endpoint

GONE = 410


@dataclass(frozen=True, slots=True)
class Tried:
    """One finished attempt. `next_at` is `None` where no further try is planned."""

    parcel: Parcel
    started_at: datetime
    status_code: int | None
    error_class: str | None
    phases_ms: Mapping[str, int | None]
    excerpt: bytes
    explanation: str
    next_at: datetime | None
    ended_at: datetime

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
        _lock_gone(session, batch)
        ours = _still_ours(session, batch)
        kept = [tried for tried in batch if tried.parcel.delivery_id in ours]
        if kept:
            session.connection().execute(insert(table_of(Attempt)), [_attempt_row(tried) for tried in kept])
            session.connection().execute(_MOVE, [_delivery_row(tried) for tried in kept])
            _release(session, kept)
            _disable_gone(session, kept, outbox)
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
        "new_lane": "fresh" if state == "succeeded" else "retry",
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
    released = session.connection().execute(
        update(blocked)
        .where(blocked.c.state == "blocked", blocked.c.detection_id.in_(places), ~still_first)
        .values(state="due", due_at=now)
    )
    if released.rowcount:
        wakes(session, TOPIC)


def _lets_newer_pass(tried: Tried) -> bool:
    return tried.state in ("succeeded", "exhausted") or tried.parcel.attempts + 1 >= UNORDERED_AFTER_TRIES


def _lock_gone(session: Session, batch: Sequence[Tried]) -> None:
    """Endpoints about to be disabled are ours before any delivery is: in the order of who deletes an endpoint."""
    gone = {tried.parcel.endpoint_id for tried in batch if tried.status_code == GONE}
    if gone:
        # FOR NO KEY UPDATE lets fan-outs pass: two that are disabled at once are told of one another.
        wanted = select(Endpoint).where(col(Endpoint.id).in_(gone)).order_by(col(Endpoint.id))
        session.exec(wanted.with_for_update(key_share=True)).all()


def _disable_gone(session: Session, kept: Sequence[Tried], outbox: Outbox) -> None:
    """Endpoints that answered 410 are disabled, with the reason, and the account's others hear of it."""
    gone = {tried.parcel.endpoint_id: tried for tried in kept if tried.status_code == GONE}
    for endpoint_id, tried in sorted(gone.items()):
        endpoint = session.get_one(Endpoint, endpoint_id)
        if endpoint.status == "enabled":
            endpoint.status, endpoint.disabled_reason = "disabled", "gone"
            session.flush()
            data = {
                "endpoint_id": endpoint_id,
                "url": endpoint.url,
                "disabled_reason": "gone",
                "disabled_at": rfc3339(tried.ended_at),
            }
            account_id, mode = tried.parcel.account_id, tried.parcel.mode
            draft = Draft(account_id, mode, EventType.ENDPOINT_DISABLED, data, not_to=endpoint_id)
            outbox.record(session, [draft], tried.ended_at)

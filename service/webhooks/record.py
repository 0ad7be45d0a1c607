"""Writing attempts down, many in one transaction, and what follows for the deliveries and their endpoints."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlmodel import Session

from service.events.outbox import Outbox
from service.kit.db.among import among
from service.kit.db.bulk import InsertMany, UpdateMany
from service.kit.db.columns import table_of
from service.kit.ids import new_id
from service.webhooks.fanout import UNORDERED_AFTER_TRIES
from service.webhooks.models import DELIVERY_WAITING, Attempt, Delivery, Endpoint
from service.webhooks.parcels import Parcel
from service.webhooks.states import DELIVERY, ENDED, DeliveryInput, DeliveryState, EndpointInput, EndpointState
from service.webhooks.trouble import charge, in_order, lock_endpoints, switch_off
from service.webhooks.unblock import unblock

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
    def happening(self) -> DeliveryInput:
        """What it is to its delivery."""
        if self.error_class is None:
            return DeliveryInput.TAKEN
        if self.status_code == GONE:
            return DeliveryInput.GONE  # the endpoint asked to be left alone: held for the day it comes back
        return DeliveryInput.FAILED if self.next_at else DeliveryInput.USED_UP

    @property
    def state(self) -> DeliveryState:
        """Where the delivery stands after it."""
        return DELIVERY.advance(DeliveryState.DUE, self.happening)


def record_attempts(outbox: Outbox) -> Callable[[Session, Sequence[Tried]], Sequence[bool]]:
    """A flush for `GroupCommit`: each answer says whether the attempt was still ours to record."""

    def flush(session: Session, batch: Sequence[Tried]) -> Sequence[bool]:
        endpoints = _lock(session, batch)
        ours = _still_ours(session, batch)
        kept = [tried for tried in batch if tried.parcel.delivery_id in ours]
        if kept:
            now = max(tried.ended_at for tried in kept)
            _ADD.run(session.connection(), [_attempt_row(tried) for tried in kept])
            _MOVE.run(session.connection(), [_delivery_row(tried) for tried in kept])
            unblock(session, _let_pass(kept), now)
            _settle(session, kept, endpoints, outbox)
        return [tried.parcel.delivery_id in ours for tried in batch]

    return flush


def _lock(session: Session, batch: Sequence[Tried]) -> dict[str, Endpoint]:
    """The endpoints that this batch may change."""
    counted = [tried for tried in batch if tried.charged]
    failed = {tried.parcel.endpoint_id for tried in counted if tried.error_class is not None}
    return lock_endpoints(session, failed, {tried.parcel.endpoint_id for tried in counted} - failed)


def _still_ours(session: Session, batch: Sequence[Tried]) -> set[str]:
    """The deliveries still due under the parcel's lease token. Locked in one order, so batches cannot deadlock."""
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
        state.value,
        "fresh" if state is DeliveryState.SUCCEEDED and not tried.parcel.attempts else "retry",
        tried.next_at if state is DeliveryState.DUE else None,
        tried.parcel.attempts + 1,
        tried.ended_at if state in ENDED else None,
        tried.parcel.delivery_id,
    )


def _let_pass(kept: Sequence[Tried]) -> set[str]:
    """The detections of which newer events may follow what is now done, or has failed often enough."""
    return {tried.parcel.detection_id for tried in kept if tried.parcel.detection_id and _lets_newer_pass(tried)}


def _lets_newer_pass(tried: Tried) -> bool:
    return tried.state in ENDED or tried.parcel.attempts + 1 >= UNORDERED_AFTER_TRIES


def _settle(session: Session, kept: Sequence[Tried], endpoints: Mapping[str, Endpoint], outbox: Outbox) -> None:
    """Endpoints stand as these attempts leave them. Those that answered 410 are disabled."""
    for endpoint_id, endpoint in endpoints.items():
        tries = [tried for tried in kept if tried.charged and tried.parcel.endpoint_id == endpoint_id]
        charge(session, outbox, endpoint, in_order((tried.ended_at, tried.error_class is None) for tried in tries))
        gone_at = [tried.ended_at for tried in tries if _is_gone(tried, endpoint)]
        if gone_at:
            switch_off(session, outbox, endpoint, EndpointInput.GONE, max(gone_at))


def _is_gone(tried: Tried, endpoint: Endpoint) -> bool:
    """Whether the endpoint said 410, and was not enabled again since the question left."""
    asked_since = endpoint.enabled_at is None or tried.started_at >= endpoint.enabled_at
    return tried.status_code == GONE and asked_since and endpoint.status == EndpointState.ENABLED


# Built once: SQLAlchemy takes longer to build a statement than to run it.


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
_TOKENS = (
    select(_TABLE.c.id, _TABLE.c.lease_token)
    .where(among(_TABLE.c.id, "ids"), text(DELIVERY_WAITING))
    .order_by(_TABLE.c.event_position, _TABLE.c.id)
    .with_for_update()
)

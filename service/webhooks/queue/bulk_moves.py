"""Many deliveries moved by one statement: held, dropped, postponed, brought forward, unblocked.

Only rows without a lease are given another time, and no attempt is counted.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, select, text, update
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from service.kit.db.bulk import among
from service.kit.db.columns import table_of
from service.kit.db.database import notify_on_commit
from service.webhooks.fanout import TOPIC, UNORDERED_AFTER_TRIES
from service.webhooks.models import DELIVERY_BLOCKED, DELIVERY_WAITING, Attempt, Delivery, Endpoint, in_states
from service.webhooks.states import DELIVERY, UNFINISHED, DeliveryInput, DeliveryState, EndpointState

SLICE = 5000


def hold_deliveries(session: Session, endpoint_id: str, now: datetime) -> int:
    """Hold up to `SLICE` due deliveries of a stopped endpoint and return the count. Those under way are left.

    If the endpoint was deleted they are skipped: it will never take them. Held rows are not in the claim's way.
    """
    delivery = table_of(Delivery)
    endpoint = session.get_one(Endpoint, endpoint_id)
    if endpoint.status == EndpointState.ENABLED:
        return 0  # enabled again, since it was found stopped
    deleted = endpoint.deleted_at is not None
    happening = DeliveryInput.DROPPED if deleted else DeliveryInput.STOPPED
    waiting = (
        select(delivery.c.id)
        .where(delivery.c.endpoint_id == endpoint_id, text(DELIVERY_WAITING))
        .where(delivery.c.lease_token.is_(None) | (delivery.c.due_at <= now))
        .limit(SLICE)
        .with_for_update(skip_locked=True)  # a row that is being claimed is held by the claim
    )
    held = session.connection().execute(
        update(delivery)
        .where(delivery.c.id.in_(waiting.scalar_subquery()))
        .values(
            state=DELIVERY.advance(DeliveryState.DUE, happening).value,
            due_at=None,
            lease_token=None,
            ended_at=now if deleted else None,
        )
    )
    return held.rowcount


def stopped_endpoints(session: Session) -> list[str]:
    """Return the ids of endpoints that take nothing now and still have deliveries due."""
    delivery = table_of(Delivery)
    due = select(delivery.c.id).where(delivery.c.endpoint_id == col(Endpoint.id), text(DELIVERY_WAITING)).exists()
    found = select(col(Endpoint.id)).where(col(Endpoint.status) != EndpointState.ENABLED.value, due)
    return list(session.connection().execute(found).scalars())


def drop_deliveries_of(session: Session, detection_id: str, now: datetime) -> None:
    """Skip an erased detection's unfinished deliveries, and delete what was answered to its attempts."""
    # In the recorder's order, so that the two cannot wait for one another.
    wanted = select_rows(Delivery).where(col(Delivery.detection_id) == detection_id)
    ordered = wanted.order_by(col(Delivery.event_position), col(Delivery.id)).with_for_update()
    deliveries = session.exec(ordered.execution_options(populate_existing=True)).all()
    for delivery in deliveries:
        if delivery.state in UNFINISHED:
            delivery.state = DELIVERY.advance(DeliveryState(delivery.state), DeliveryInput.DROPPED).value
            delivery.ended_at = now
            delivery.due_at = delivery.lease_token = None
    of_these = col(Attempt.delivery_id).in_([delivery.id for delivery in deliveries])
    session.exec(update(Attempt).where(of_these).values(response_excerpt=None))


def due_deliveries(session: Session, endpoint_id: str, now: datetime) -> list[tuple[int, str]]:
    """Return the endpoint's rows that could be claimed now, those due for longest first: at most a slice.

    Each as the position of its event and its id: rows are locked in this order everywhere.
    """
    delivery = table_of(Delivery)
    columns = (delivery.c.event_position, delivery.c.id)
    due = select(*columns).where(*_due(endpoint_id, now)).order_by(delivery.c.due_at).limit(SLICE)
    return [(position, row_id) for position, row_id in session.connection().execute(due)]


def spread_out(session: Session, slots: Iterable[tuple[tuple[int, str], datetime]], now: datetime) -> None:
    """Make each of these rows due at the time beside it, if it is still due and not leased."""
    rows = [{"row_id": row_id, "new_due": due_at, "as_of": now} for (_, row_id), due_at in sorted(slots)]
    if rows:
        session.connection().execute(_SPREAD, rows)


def postpone(session: Session, endpoint_id: str, now: datetime, until: datetime) -> int:
    """Make the endpoint's due rows that were not tried yet, up to a slice, due at `until`. Return how many.

    `bring_forward` finds these again. A retry keeps the time that its schedule set.
    """
    delivery = table_of(Delivery)
    due = select(delivery.c.id).where(*_due(endpoint_id, now), _not_tried(delivery)).limit(SLICE)
    due = due.with_for_update(skip_locked=True)
    moved = session.connection().execute(
        update(delivery).where(delivery.c.id.in_(due.scalar_subquery())).values(due_at=until)
    )
    return moved.rowcount


def bring_forward(session: Session, endpoint_id: str, now: datetime) -> int:
    """Make the endpoint's rows that waited for a slot due now, up to a slice. Return how many.

    Those that wait for a retry go on waiting: their time was set by the schedule.
    """
    delivery = table_of(Delivery)
    waiting = (
        select(delivery.c.id)
        .where(delivery.c.endpoint_id == endpoint_id, text(DELIVERY_WAITING), delivery.c.due_at > now)
        .where(delivery.c.lease_token.is_(None), _not_tried(delivery))
        .limit(SLICE)
        .with_for_update(skip_locked=True)
    )
    moved = session.connection().execute(
        update(delivery).where(delivery.c.id.in_(waiting.scalar_subquery())).values(due_at=now)
    )
    return moved.rowcount


def _not_tried(delivery: Table) -> ColumnElement[bool]:
    return delivery.c.attempts == delivery.c.attempts_before


def _due(endpoint_id: str, now: datetime) -> list[Any]:
    delivery = table_of(Delivery)
    free = delivery.c.lease_token.is_(None)
    return [delivery.c.endpoint_id == endpoint_id, text(DELIVERY_WAITING), delivery.c.due_at <= now, free]


def _spread_statement() -> Any:
    delivery = table_of(Delivery)
    return (
        update(delivery)
        .where(delivery.c.id == bindparam("row_id"), text(DELIVERY_WAITING), delivery.c.lease_token.is_(None))
        .where(delivery.c.due_at <= bindparam("as_of"))
        .values(due_at=bindparam("new_due"))
    )


_SPREAD = _spread_statement()


_TABLE = table_of(Delivery)


def unblock(session: Session, detections: Collection[str], now: datetime) -> None:
    """Make due what nothing older of these detections holds up any more.

    Called when the older rows have moved: a fan-out that waited for their locks has committed by then, and its rows
    are seen.
    """
    if not detections:
        return
    released = session.connection().execute(_UNBLOCKED, {"detections": list(detections)}).scalars().all()
    if released:
        session.connection().execute(_RELEASE, {"ids": released, "new_due": now})
        notify_on_commit(session, TOPIC)


def _unblocked_statement() -> Any:
    older = _TABLE.alias("older")
    still_first = (
        select(older.c.id)
        .where(older.c.detection_id == _TABLE.c.detection_id, older.c.endpoint_id == _TABLE.c.endpoint_id)
        .where(older.c.event_position < _TABLE.c.event_position)
        .where(in_states(older.c.state, UNFINISHED), older.c.attempts < UNORDERED_AFTER_TRIES)
        .exists()
    )
    wanted = select(_TABLE.c.id).where(among(_TABLE.c.detection_id, "detections"))
    # Locked in the order of all: one that is requeued, or erased, must not wait for us while we wait for it.
    return (
        wanted.where(text(f"delivery.{DELIVERY_BLOCKED}"), ~still_first)
        .order_by(_TABLE.c.event_position, _TABLE.c.id)
        .with_for_update(of=_TABLE)
    )


# Built once: SQLAlchemy takes longer to build a statement than to run it.
_UNBLOCKED = _unblocked_statement()
_RELEASE = (
    update(_TABLE)
    .where(among(_TABLE.c.id, "ids"))
    .values(state=DELIVERY.advance(DeliveryState.BLOCKED, DeliveryInput.UNBLOCKED).value, due_at=bindparam("new_due"))
)

"""Later due times for one endpoint's rows, in bulk, so that the claim does not meet them one by one before others'.

Only rows without a lease are moved, and no attempt is counted.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, select, text, update
from sqlmodel import Session

from service.kit.db.columns import table_of
from service.webhooks.models import DELIVERY_WAITING, Delivery
from service.webhooks.queue.hold import SLICE


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

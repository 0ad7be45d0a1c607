"""Moving one endpoint's due rows back in bulk, so that the claim does not meet them one by one, before all others.

Only rows that are nobody's are moved: no lease is touched, no attempt is counted.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, text, update
from sqlmodel import Session

from service.kit.db.columns import table_of
from service.webhooks.models import DELIVERY_WAITING, Delivery
from service.webhooks.queue.hold import SLICE


def due_deliveries(session: Session, endpoint_id: str, now: datetime) -> list[tuple[int, str]]:
    """The endpoint's rows that could be claimed now, those due for longest first: at most a slice.

    Each as the position of its event and its id: rows are locked in this order everywhere.
    """
    delivery = table_of(Delivery)
    columns = (delivery.c.event_position, delivery.c.id)
    due = select(*columns).where(*_due(endpoint_id, now)).order_by(delivery.c.due_at).limit(SLICE)
    return [(position, row_id) for position, row_id in session.connection().execute(due)]


def spread_out(session: Session, places: Iterable[tuple[tuple[int, str], datetime]], now: datetime) -> None:
    """Each of these rows is due at the time beside it, if it is still nobody's and due."""
    rows = [{"row_id": row_id, "new_due": due_at, "asked": now} for (_, row_id), due_at in sorted(places)]
    if rows:
        session.connection().execute(_SPREAD, rows)


def postpone(session: Session, endpoint_id: str, now: datetime, until: datetime) -> int:
    """How many of the endpoint's due rows wait until `until`: at most a slice."""
    delivery = table_of(Delivery)
    due = select(delivery.c.id).where(*_due(endpoint_id, now)).limit(SLICE).with_for_update(skip_locked=True)
    moved = session.connection().execute(
        update(delivery).where(delivery.c.id.in_(due.scalar_subquery())).values(due_at=until)
    )
    return moved.rowcount


def bring_forward(session: Session, endpoint_id: str, now: datetime) -> int:
    """How many of the endpoint's rows that were only waiting in line are due now: at most a slice.

    Those that wait for a retry go on waiting: their time was set by the schedule.
    """
    delivery = table_of(Delivery)
    lined_up = (
        select(delivery.c.id)
        .where(delivery.c.endpoint_id == endpoint_id, text(DELIVERY_WAITING), delivery.c.due_at > now)
        .where(delivery.c.lease_token.is_(None), delivery.c.attempts == delivery.c.attempts_before)
        .limit(SLICE)
        .with_for_update(skip_locked=True)
    )
    moved = session.connection().execute(
        update(delivery).where(delivery.c.id.in_(lined_up.scalar_subquery())).values(due_at=now)
    )
    return moved.rowcount


def _due(endpoint_id: str, now: datetime) -> list[Any]:
    delivery = table_of(Delivery)
    free = delivery.c.lease_token.is_(None)
    return [delivery.c.endpoint_id == endpoint_id, text(DELIVERY_WAITING), delivery.c.due_at <= now, free]


def _spread_statement() -> Any:
    delivery = table_of(Delivery)
    return (
        update(delivery)
        .where(delivery.c.id == bindparam("row_id"), text(DELIVERY_WAITING), delivery.c.lease_token.is_(None))
        .where(delivery.c.due_at <= bindparam("asked"))
        .values(due_at=bindparam("new_due"))
    )


_SPREAD = _spread_statement()

"""Moving what may not go out now out of the queue, in slices, so that the claim never has to look past it."""

from datetime import datetime

from sqlalchemy import select, update
from sqlmodel import Session, col

from service.kit.columns import table_of
from service.webhooks.models import Delivery, Endpoint

SLICE = 5000


def hold_deliveries(session: Session, endpoint_id: str, now: datetime) -> int:
    """How many of a standing endpoint's due deliveries are held now: at most a slice. Those under way are left."""
    delivery = table_of(Delivery)
    waiting = (
        select(delivery.c.id)
        .where(delivery.c.endpoint_id == endpoint_id, delivery.c.state == "due")
        .where(delivery.c.lease_token.is_(None) | (delivery.c.due_at <= now))
        .limit(SLICE)
    )
    held = session.connection().execute(
        update(delivery)
        .where(delivery.c.id.in_(waiting.scalar_subquery()))
        .values(state="held", due_at=None, lease_token=None)
    )
    return held.rowcount


def standing_endpoints(session: Session) -> list[str]:
    """Endpoints that take nothing now and still have deliveries due."""
    delivery = table_of(Delivery)
    due = select(delivery.c.id).where(delivery.c.endpoint_id == col(Endpoint.id), delivery.c.state == "due").exists()
    found = select(col(Endpoint.id)).where(col(Endpoint.status) != "enabled", due)
    return list(session.connection().execute(found).scalars())

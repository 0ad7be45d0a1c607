"""What takes deliveries out of the queue: their endpoint stopped, or their detection was erased."""

from datetime import datetime

from sqlalchemy import select, text, update
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from service.kit.db.columns import table_of
from service.webhooks.models import DELIVERY_WAITING, Attempt, Delivery, Endpoint
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

"""What becomes of an erased detection's deliveries: those under way stop, and customers' answers are forgotten."""

from datetime import datetime

from sqlmodel import Session, col, select, update

from service.webhooks.models import Attempt, Delivery
from service.webhooks.states import DELIVERY, UNFINISHED, DeliveryInput, DeliveryState


def drop_deliveries_of(session: Session, detection_id: str, now: datetime) -> None:
    """Nothing of the detection is sent any more unless asked for; what was answered to its attempts is gone."""
    # In the recorder's order, so that the two cannot wait for one another.
    wanted = select(Delivery).where(col(Delivery.detection_id) == detection_id)
    ordered = wanted.order_by(col(Delivery.event_position), col(Delivery.id)).with_for_update()
    deliveries = session.exec(ordered.execution_options(populate_existing=True)).all()
    for delivery in deliveries:
        if delivery.state in UNFINISHED:
            delivery.state = DELIVERY.advance(DeliveryState(delivery.state), DeliveryInput.DROPPED).value
            delivery.ended_at = now
            delivery.due_at = delivery.lease_token = None
    of_these = col(Attempt.delivery_id).in_([delivery.id for delivery in deliveries])
    session.exec(update(Attempt).where(of_these).values(response_excerpt=None))

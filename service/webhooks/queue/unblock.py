"""The release of what waited for an older event of its detection at its endpoint."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, text, update
from sqlmodel import Session

from service.kit.db.among import among
from service.kit.db.columns import table_of
from service.kit.db.database import notify_on_commit
from service.webhooks.fanout import TOPIC, UNORDERED_AFTER_TRIES
from service.webhooks.models import DELIVERY_BLOCKED, Delivery, in_states
from service.webhooks.states import DELIVERY, UNFINISHED, DeliveryInput, DeliveryState

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

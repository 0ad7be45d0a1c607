"""What goes by age alone, in slices: each kind has a verb that deletes the oldest rows, as an index has them."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, TextClause, delete, text, tuple_
from sqlmodel import Session, SQLModel, col, select

from service.accounts.models import Idempotency
from service.callbacks.models import CALLBACK_SET_ASIDE, CALLBACK_SETTLED, Callback
from service.kit.columns import table_of
from service.kit.heartbeat import Worker
from service.runs.models import Detection, Observation, RawBody, Run
from service.webhooks.models import DELIVERY_ENDED, Attempt, Delivery

_QUARANTINE = timedelta(days=30)
_SILENCE = timedelta(days=1)

Condition = ColumnElement[bool] | TextClause


def drop_raw_bodies(session: Session, before: datetime, limit: int) -> int:
    """Raw answers of before then are gone; how many were."""
    return _drop(session, RawBody, col(RawBody.created_at), before, limit)


def drop_callbacks(session: Session, before: datetime, limit: int) -> int:
    """Callbacks that have had their effect, and came before then, are gone."""
    return _drop(session, Callback, col(Callback.received_at), before, limit, text(CALLBACK_SETTLED))


def drop_ignored(session: Session, now: datetime, limit: int) -> int:
    """Callbacks that no run could own in time are gone: they were other products'."""
    ignored = (text(CALLBACK_SET_ASIDE), col(Callback.state) == "ignored", col(Callback.expires_at) <= now)
    return _drop(session, Callback, col(Callback.received_at), now, limit, *ignored)


def drop_quarantined(session: Session, now: datetime, limit: int) -> int:
    """Rejected callbacks older than thirty days are gone."""
    rejected = (text(CALLBACK_SET_ASIDE), col(Callback.state) == "quarantined")
    return _drop(session, Callback, col(Callback.received_at), now - _QUARANTINE, limit, *rejected)


def drop_attempts(session: Session, before: datetime, limit: int) -> int:
    """Attempts of before then are gone; their deliveries still know how many there were."""
    return _drop(session, Attempt, col(Attempt.started_at), before, limit)


def drop_observations(session: Session, before: datetime, limit: int) -> int:
    """Single looks of before then are gone, of detections that are erased; what they led to stays."""
    erased = (
        select(Run.id)
        .join(Detection, col(Detection.id) == col(Run.detection_id))
        .where(col(Run.id) == col(Observation.run_id), col(Detection.erased_at).is_not(None))
    )
    return _drop(session, Observation, col(Observation.at), before, limit, erased.exists())


def drop_deliveries(session: Session, before: datetime, limit: int) -> int:
    """Deliveries that ended before then are gone, with what is left of their attempts."""
    over = select(Delivery.id).where(text(DELIVERY_ENDED), col(Delivery.ended_at) <= before)
    oldest = session.exec(over.order_by(col(Delivery.ended_at)).limit(limit).with_for_update(skip_locked=True)).all()
    session.exec(delete(Attempt).where(col(Attempt.delivery_id).in_(oldest)))
    session.exec(delete(Delivery).where(col(Delivery.id).in_(oldest)))
    return len(oldest)


def drop_idempotency(session: Session, now: datetime, limit: int) -> int:
    """First answers that are not repeated any more are gone."""
    return _drop(session, Idempotency, col(Idempotency.expires_at), now, limit)


def drop_workers(session: Session, now: datetime, limit: int) -> int:
    """Processes silent for a day are gone from the list."""
    return _drop(session, Worker, col(Worker.heartbeat_at), now - _SILENCE, limit)


def _drop(session: Session, model: type[SQLModel], age: Any, before: datetime, limit: int, *more: Condition) -> int:
    """At most `limit` rows, the oldest first. What somebody else is at is left to them."""
    table = table_of(model)
    key = list(table.primary_key.columns)
    oldest = select(*key).where(age <= before, *more).order_by(age).limit(limit).with_for_update(skip_locked=True)
    gone = session.connection().execute(delete(table).where(tuple_(*key).in_(oldest)))
    return gone.rowcount

"""What goes by age alone, in slices: which rows of each kind those are, the oldest first, as an index has them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, TextClause, delete, text, tuple_
from sqlmodel import Session, SQLModel, col, select

from service.accounts.models import Idempotency
from service.callbacks.models import CALLBACK_SET_ASIDE, CALLBACK_SETTLED, Callback
from service.kit.db.columns import table_of
from service.kit.process.heartbeat import Worker
from service.media.models import Media
from service.runs.state.lifecycle import CallbackState
from service.runs.state.models import Detection, Observation, RawBody, Run
from service.webhooks.models import DELIVERY_ENDED, Attempt, Delivery

_QUARANTINE = timedelta(days=30)
_SILENCE = timedelta(days=1)

Condition = ColumnElement[bool] | TextClause


@dataclass(frozen=True, slots=True)
class Old:
    """Rows of one kind whose time is up: those of `model` whose `age` is at most `before`, and that `where` takes."""

    model: type[SQLModel]
    age: Any
    before: datetime
    where: tuple[Condition, ...] = ()

    @property
    def table(self) -> Table:
        """Return the table of the rows."""
        return table_of(self.model)

    def keys(self) -> Select[Any]:
        """Select their keys, the oldest first."""
        keys: Select[Any] = select(*self.table.primary_key.columns)
        return keys.where(self.age <= self.before, *self.where).order_by(self.age)


def raw_bodies(before: datetime) -> Old:
    """Select raw answers of before then."""
    return Old(RawBody, col(RawBody.created_at), before)


def callbacks(before: datetime) -> Old:
    """Select callbacks that have had their effect, and came before then."""
    return Old(Callback, col(Callback.received_at), before, (text(CALLBACK_SETTLED),))


def ignored(now: datetime) -> Old:
    """Select callbacks that no run could own in time: they were other products'."""
    conditions = (
        text(CALLBACK_SET_ASIDE),
        col(Callback.state) == CallbackState.IGNORED.value,
        col(Callback.expires_at) <= now,
    )
    return Old(Callback, col(Callback.received_at), now, conditions)


def quarantined(now: datetime) -> Old:
    """Select rejected callbacks older than thirty days."""
    conditions = (text(CALLBACK_SET_ASIDE), col(Callback.state) == CallbackState.QUARANTINED.value)
    return Old(Callback, col(Callback.received_at), now - _QUARANTINE, conditions)


def attempts(before: datetime) -> Old:
    """Select attempts of before then; their deliveries keep the number."""
    return Old(Attempt, col(Attempt.started_at), before)


def observations(before: datetime) -> Old:
    """Select single observations of before then, of detections that are erased; what they led to stays."""
    erased = (
        select(Run.id)
        .join(Detection, col(Detection.id) == col(Run.detection_id))
        .where(col(Run.id) == col(Observation.run_id), col(Detection.erased_at).is_not(None))
    )
    return Old(Observation, col(Observation.at), before, (erased.exists(),))


def deliveries(before: datetime) -> Old:
    """Select deliveries that ended before then."""
    return Old(Delivery, col(Delivery.ended_at), before, (text(DELIVERY_ENDED),))


def idempotency(now: datetime) -> Old:
    """Select first answers that are not repeated any more."""
    return Old(Idempotency, col(Idempotency.expires_at), now)


def workers(now: datetime) -> Old:
    """Select processes that were silent for a day."""
    return Old(Worker, col(Worker.heartbeat_at), now - _SILENCE)


def due_media(now: datetime) -> Old:
    """Select audio whose time is up, or that a dead process left half deleted."""
    return Old(Media, col(Media.delete_after), now)


def any_of(session: Session, old: Old) -> bool:
    """Return True if there is such a row: a look that writes nothing, for most rounds find nothing."""
    return session.connection().execute(old.keys().limit(1)).first() is not None


def drop(session: Session, old: Old, limit: int) -> int:
    """Select at most `limit` of these rows, the oldest first, and return how many. Leave what another has locked."""
    oldest = old.keys().limit(limit).with_for_update(skip_locked=True)
    gone = session.connection().execute(delete(old.table).where(tuple_(*old.table.primary_key.columns).in_(oldest)))
    return gone.rowcount


def drop_deliveries(session: Session, old: Old, limit: int) -> int:
    """Select these deliveries likewise, with what is left of their attempts."""
    oldest = session.connection().execute(old.keys().limit(limit).with_for_update(skip_locked=True)).scalars().all()
    session.exec(delete(Attempt).where(col(Attempt.delivery_id).in_(oldest)))
    session.exec(delete(Delivery).where(col(Delivery.id).in_(oldest)))
    return len(oldest)

"""Rejected callbacks, kept for an operator to look at, within bounds that no stranger can use up for a vendor.

Those that came to an address of ours (a changed secret or format looks like this) are a ring for each vendor and mode:
the oldest goes out. Those without a good token have a small share of their own; beyond it they are counted in memory
and cost no write.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlmodel import Session, col, func, select

from service.callbacks.models import Callback
from service.runs.state.lifecycle import CallbackState

MAX_QUARANTINED = 1000
QUARANTINED_BYTES = 64 * 1024
MAX_FROM_STRANGERS = 50
STRANGERS_BYTES = 4 * 1024
STRANGER = "forged, expired or foreign token"
"""The note of each callback without a good token, and of no other."""

_WINDOW = timedelta(hours=1)


class Strangers:
    """The count of callbacks without a good token that this process has passed on, by vendor and hour, in memory."""

    def __init__(self) -> None:
        self._begun: datetime | None = None
        self._passed: Counter[str] = Counter()

    def may_be_kept(self, vendor: str, now: datetime) -> bool:
        """Return True if one more may be passed on to the database, which counts the rows."""
        if self._begun is None or now - self._begun >= _WINDOW:
            self._begun = now
            self._passed.clear()
        self._passed[vendor] += 1
        return self._passed[vendor] <= MAX_FROM_STRANGERS


def room_for_strangers(session: Session, vendor: str) -> int:
    """Return how many more callbacks without a good token are kept of this vendor."""
    statement = select(func.count()).select_from(Callback)
    theirs = (
        Callback.vendor == vendor,
        col(Callback.state) == CallbackState.QUARANTINED.value,
        col(Callback.note) == STRANGER,
    )
    return MAX_FROM_STRANGERS - session.exec(statement.where(*theirs)).one()


def drop_oldest(session: Session, places: Iterable[tuple[str, str]]) -> None:
    """Drop what is beyond the ring of each of these modes and vendors, the oldest first."""
    for mode, vendor in sorted(set(places)):
        beyond = (
            select(Callback.id)
            .where(Callback.vendor == vendor, col(Callback.state) == CallbackState.QUARANTINED.value)
            .where(Callback.mode == mode, col(Callback.note).is_distinct_from(STRANGER))
            .order_by(col(Callback.received_at).desc(), col(Callback.id).desc())
            .offset(MAX_QUARANTINED)
            .with_for_update(skip_locked=True)  # another process drops the same ones
        )
        if ids := session.exec(beyond).all():
            session.connection().execute(delete(Callback).where(col(Callback.id).in_(ids)))

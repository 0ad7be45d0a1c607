"""The backlog of every room, read in one transaction. `relay doctor` reads the same."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from service.callbacks.queries import callbacks_waiting
from service.detections.queries import detections_waiting
from service.events.backlog import events_waiting
from service.kit.db.database import Database
from service.kit.db.queues import Backlog
from service.kit.process.heartbeat import Worker
from service.webhooks.queries import deliveries_waiting

_REMEMBERED = timedelta(hours=1)
_CACHED_SECONDS = 5.0

BacklogSnapshot = tuple[Sequence[Backlog], Sequence[Worker]]


def waits(session: Session, vendors: Iterable[str], now: datetime) -> list[Backlog]:
    """Return the size and the age of each backlog."""
    return [
        *detections_waiting(session, now),
        *callbacks_waiting(session, vendors, now),
        *deliveries_waiting(session, now),
        *events_waiting(session),
    ]


def workers(session: Session, now: datetime) -> list[Worker]:
    """Return the processes that worked within the last hour, the latest heartbeat first: a dead one is still shown."""
    lately = select(Worker).where(col(Worker.heartbeat_at) > now - _REMEMBERED)
    return list(session.exec(lately.order_by(col(Worker.heartbeat_at).desc()).limit(200)))


@dataclass(slots=True)
class Gauges:
    """The figures from the database, kept for five seconds: it is not asked more often, however many requests come."""

    _read_at: float | None = None
    _found: BacklogSnapshot = ((), ())
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self, database: Database, vendors: Iterable[str], now: datetime) -> BacklogSnapshot:
        """Return the backlog, and the working processes."""
        async with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at >= _CACHED_SECONDS:
                self._found = await database.read(_snapshot, vendors, now)
                self._read_at = time.monotonic()
            return self._found


def _snapshot(session: Session, vendors: Iterable[str], now: datetime) -> BacklogSnapshot:
    alive = workers(session, now)
    session.expunge_all()  # they are read after the session has ended
    return waits(session, vendors, now), alive

"""What dead processes had claimed is due again soon, and not only when their leases end.

On SQLite no other process lives when one starts, so every lease is over then. On PostgreSQL a lease names its worker,
and a worker that has not shown itself for a while is dead: it beats every five seconds.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import text, update
from sqlmodel import Session, col, select

from service.callbacks.models import CALLBACK_WAITING, Callback
from service.kit.db.columns import table_of
from service.kit.process.heartbeat import Worker
from service.runs.state.models import (
    CERTIFICATE_ANNOUNCED,
    RUN_DISPATCHABLE,
    RUN_POLLABLE,
    SOURCE_WAITING,
    Certificate,
    Detection,
    Run,
)
from service.webhooks.models import DELIVERY_WAITING, Delivery

_SILENT = timedelta(seconds=20)
_FORGOTTEN = timedelta(hours=1)  # longer than any lease
_QUEUES = (
    (Detection, SOURCE_WAITING),
    (Run, RUN_DISPATCHABLE),
    (Run, RUN_POLLABLE),
    (Callback, CALLBACK_WAITING),
    (Certificate, CERTIFICATE_ANNOUNCED),
    (Delivery, DELIVERY_WAITING),
)


def holder_of(worker_id: str) -> str:
    """Return how the lease tokens of this worker's runs begin."""
    return f"{worker_id}:"


def free_every_lease(session: Session, now: datetime) -> int:
    """Make due what any process has claimed: none is alive. Return how many rows that were."""
    freed = 0
    for model, waiting in _QUEUES:
        table = table_of(model)
        held = update(table).where(text(waiting), table.c.lease_token.is_not(None), table.c.due_at > now)
        freed += session.connection().execute(held.values(due_at=now)).rowcount
    return freed


def dead_workers(session: Session, but: Collection[str], now: datetime) -> list[str]:
    """Return the workers that have been silent for a while, without those of `but`."""
    silent = select(Worker.id).where(Worker.heartbeat_at < now - _SILENT, Worker.heartbeat_at > now - _FORGOTTEN)
    return list(session.exec(silent.where(col(Worker.id).not_in(but)).order_by(Worker.id)))


def free_leases_of(session: Session, worker_ids: Collection[str], now: datetime) -> int:
    """Make due the runs that these workers have claimed. Return how many they were."""
    run, freed = table_of(Run), 0
    for worker_id in sorted(worker_ids):
        for waiting in (RUN_DISPATCHABLE, RUN_POLLABLE):
            theirs = run.c.lease_token.startswith(holder_of(worker_id), autoescape=True)
            held = update(run).where(text(waiting), theirs, run.c.due_at > now)
            freed += session.connection().execute(held.values(due_at=now)).rowcount
    return freed

"""The belt under every deadline: a run that no worker ended in time is ended here, whatever kept it."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from service.detections.lock import lock_same_run
from service.detections.record import expire_run
from service.runs.lifecycle import RunState
from service.runs.models import Run
from service.runs.policy import DetectionPolicy

_GRACE = timedelta(minutes=5)  # longer than any lease: the run's own last poll comes first


def overdue_runs(session: Session, *, now: datetime, but: Collection[str] = (), limit: int = 100) -> list[str]:
    """Runs whose deadline passed a while ago and that have not ended; not those of `but`."""
    statement = select(Run.id).where(col(Run.ended_at).is_(None), Run.deadline_at < now - _GRACE)
    statement = statement.where(col(Run.id).not_in(but)) if but else statement
    return list(session.exec(statement.order_by(col(Run.deadline_at)).limit(limit)))


def expire_overdue(session: Session, run_id: str, policy: DetectionPolicy, now: datetime) -> None:
    """The run has ended, unless it did meanwhile."""
    detection, run = lock_same_run(session, run_id)
    if not RunState(run.state).ended:
        expire_run(session, detection, run, policy, now)

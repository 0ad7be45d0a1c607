"""The belt under every deadline: a run that no worker ended in time is ended here, whatever kept it."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from service.runs.inputs import DeadlinePassed
from service.runs.policy import DetectionPolicy
from service.runs.state.models import Run
from service.runs.step import step_one

_GRACE = timedelta(minutes=5)  # longer than any lease: the run's own last poll comes first


def overdue_runs(session: Session, *, now: datetime, but: Collection[str] = (), limit: int = 100) -> list[str]:
    """Return runs whose deadline passed a while ago and that have not ended; not those of `but`."""
    statement = select(Run.id).where(col(Run.ended_at).is_(None), Run.deadline_at < now - _GRACE)
    statement = statement.where(col(Run.id).not_in(but)) if but else statement
    return list(session.exec(statement.order_by(col(Run.deadline_at)).limit(limit)))


def expire_overdue(session: Session, run_id: str, policy: DetectionPolicy, now: datetime) -> None:
    """End the run, unless it ended meanwhile."""
    step_one(session, DeadlinePassed(run_id), policy, now)

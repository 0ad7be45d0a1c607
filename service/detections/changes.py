"""Changing a detection after its submission: cancel it, re-check it, and what passing time alone brings."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from service.kit.ids import new_id
from service.runs.inputs import AskedAgain, Cancelled, DeadlinePassed, DelayDue
from service.runs.load.load_facts import runs_of
from service.runs.policy import DetectionPolicy
from service.runs.state.models import DELAY_UNANNOUNCED, Detection, Run
from service.runs.step import step_one


def cancel(session: Session, detection: Detection, policy: DetectionPolicy, now: datetime) -> None:
    """End the detection as cancelled. Raise `CallerError` 409 after the end."""
    step_one(session, Cancelled(detection.id), policy, now)


def recheck(session: Session, detection: Detection, policy: DetectionPolicy, now: datetime) -> None:
    """Let the detection run again, without a verdict until its next revision. The caller holds it locked.

    Raise `CallerError` 409 where the state forbids it.
    """
    run_ids = tuple(new_id("run") for _ in runs_of(session, detection.id))
    step_one(session, AskedAgain(detection.id, run_ids), policy, now)


def unannounced_delays(session: Session, *, now: datetime, but: Collection[str] = (), limit: int = 100) -> list[str]:
    """Return detections whose time is nearly up and whose owner was not told, the longest waiting first."""
    late = select(Detection.id).where(text(DELAY_UNANNOUNCED), col(Detection.delay_due_at) <= now)
    late = late.where(col(Detection.id).not_in(but)) if but else late
    return list(session.exec(late.order_by(col(Detection.delay_due_at)).limit(limit)))


def emit_delayed(session: Session, detection_id: str, policy: DetectionPolicy, now: datetime) -> bool:
    """Tell it once for each time of asking, unless the detection has ended meanwhile. True if it was told now."""
    return bool(step_one(session, DelayDue(detection_id), policy, now))


_GRACE = timedelta(minutes=5)  # longer than any lease: the run's own last poll comes first


def overdue_runs(session: Session, *, now: datetime, but: Collection[str] = (), limit: int = 100) -> list[str]:
    """Return runs whose deadline passed a while ago and that have not ended; not those of `but`."""
    statement = select(Run.id).where(col(Run.ended_at).is_(None), Run.deadline_at < now - _GRACE)
    statement = statement.where(col(Run.id).not_in(but)) if but else statement
    return list(session.exec(statement.order_by(col(Run.deadline_at)).limit(limit)))


def expire_overdue(session: Session, run_id: str, policy: DetectionPolicy, now: datetime) -> None:
    """End the run, unless it ended meanwhile."""
    step_one(session, DeadlinePassed(run_id), policy, now)

"""Saying in good time that the answer will be late. What is said is decided in `runs/decide/delay`."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session, col, select

from service.runs.inputs import DelayDue
from service.runs.policy import DetectionPolicy
from service.runs.state.models import DELAY_UNTOLD, Detection
from service.runs.step import step_one


def untold_delays(session: Session, *, now: datetime, but: Collection[str] = (), limit: int = 100) -> list[str]:
    """Return detections whose time is nearly up and whose owner was not told, the longest waiting first."""
    late = select(Detection.id).where(text(DELAY_UNTOLD), col(Detection.delay_due_at) <= now)
    late = late.where(col(Detection.id).not_in(but)) if but else late
    return list(session.exec(late.order_by(col(Detection.delay_due_at)).limit(limit)))


def tell_delay(session: Session, detection_id: str, policy: DetectionPolicy, now: datetime) -> bool:
    """Tell it once for each time of asking, unless the detection has ended meanwhile. True if it was told now."""
    return bool(step_one(session, DelayDue(detection_id), policy, now))

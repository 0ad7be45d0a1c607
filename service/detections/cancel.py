"""Calling a detection off before its end."""

from datetime import datetime

from sqlmodel import Session

from service.runs.inputs import Cancelled
from service.runs.policy import DetectionPolicy
from service.runs.state.models import Detection
from service.runs.step import step_one


def cancel(session: Session, detection: Detection, policy: DetectionPolicy, now: datetime) -> None:
    """End the detection as cancelled. Raise `CallerError` 409 after the end."""
    step_one(session, Cancelled(detection.id), policy, now)

"""Giving a claimed run back before its lease ends: its process is ending, and another may go on at once."""

from datetime import datetime

from sqlmodel import Session

from service.detections.hold import hold_run
from service.kit.database import wakes
from service.runs.policy import TOPIC_RUNS


def hand_back_run(session: Session, run_id: str, token: str, now: datetime) -> bool:
    """The run, whose submission had not begun, is due now and nobody's. False if it was not ours any more."""
    held = hold_run(session, run_id, token)
    if held is None:
        return False
    _, run = held
    run.due_at, run.lease_token = now, None
    wakes(session, TOPIC_RUNS)
    return True

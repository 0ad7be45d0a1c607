"""Ending a run. `conclude` must follow: it is what comes of it."""

from datetime import datetime

from sqlmodel import Session

from service.detections.hand_over import hand_over
from service.detectors.words import ReasonCode
from service.runs.lifecycle import RunInput, RunState, advance
from service.runs.models import Run


def end_run(session: Session, run: Run, happening: RunInput, now: datetime) -> None:
    """The run has ended by `happening`; nothing waits for it any more. `conclude` must follow."""
    run.state = advance(RunState(run.state), happening).value
    run.ended_at = now
    run.due_at = None
    run.lease_token = None
    run.leader_key = None
    run.waiting_for = None
    session.add(run)


def skip_run(session: Session, run: Run, reason: ReasonCode, now: datetime, text: str | None = None) -> None:
    """The run ends unasked, for this reason. What it had under way goes on for those that follow it."""
    hand_over(session, run)
    run.reason_code, run.reason_text = reason.value, text
    end_run(session, run, RunInput.SKIPPED, now)

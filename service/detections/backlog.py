"""What waits in this room, and since when. Looked at by metrics and by `relay doctor`."""

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from service.kit.db.backlog import Backlog, backlog_of
from service.kit.db.columns import table_of
from service.runs.state.lifecycle import RunState
from service.runs.state.models import DETECTION_OPEN, RUN_DISPATCHABLE, RUN_POLLABLE, SOURCE_WAITING, Detection, Run


def detections_waiting(session: Session, now: datetime) -> list[Backlog]:
    """Count runs and sources that are due and not claimed, and detections whose answer is overdue."""
    run, detection = table_of(Run), table_of(Detection)
    is_due = run.c.due_at <= now
    dispatchable = [
        backlog_of(
            session, f"runs_{state.value}", run.c.due_at, text(RUN_DISPATCHABLE), run.c.state == state.value, is_due
        )
        for state in (RunState.QUEUED, RunState.UNKNOWN)
    ]
    return [
        backlog_of(session, "sources_due", detection.c.due_at, text(SOURCE_WAITING), detection.c.due_at <= now),
        *dispatchable,
        backlog_of(session, "runs_waiting", run.c.due_at, text(RUN_POLLABLE), is_due),
        backlog_of(
            session, "detections_stuck", detection.c.answer_by_at, text(DETECTION_OPEN), detection.c.answer_by_at <= now
        ),
    ]

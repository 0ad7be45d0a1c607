"""Calling a detection off before its end."""

from datetime import datetime

from sqlmodel import Session

from service.detections.conclude import conclude, skip_run
from service.detections.lock import lock_runs
from service.detections.revise import rest
from service.detectors.words import ReasonCode
from service.kit.errors import CallerError
from service.runs.lifecycle import RunState
from service.runs.load_facts import runs_of
from service.runs.models import Detection
from service.runs.policy import DetectionPolicy
from service.verdicts.verdict import DetectionStatus


def cancel(session: Session, detection: Detection, policy: DetectionPolicy, now: datetime) -> None:
    """The detection has ended as cancelled, and no open run is asked or asked for again. The caller holds it locked.

    What a vendor was already sent cannot be called back; it may be charged. Raises `CallerError` 409 after the end.
    """
    if DetectionStatus(detection.status).ended:
        raise CallerError("already_ended", "The detection has ended; there is nothing to cancel.", status=409)
    if detection.source_state == "due":
        detection.source_state = "cancelled"
        detection.due_at = detection.lease_token = None
    lock_runs(session, detection.id)
    runs = runs_of(session, detection.id)
    rest(runs)
    still_open = [run for run in runs if not RunState(run.state).ended]
    for run in still_open:
        skip_run(session, run, ReasonCode.CANCELLED, now)
    conclude(session, detection, still_open, policy, now)

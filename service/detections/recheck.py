"""Asking every detector again: a new round of runs for the same audio. What was answered before stays as it is."""

from datetime import datetime

from sqlmodel import Session

from service.kit.ids import new_id
from service.runs.inputs import AskedAgain
from service.runs.load.load_facts import runs_of
from service.runs.policy import DetectionPolicy
from service.runs.state.models import Detection
from service.runs.step import step_one


def recheck(session: Session, detection: Detection, policy: DetectionPolicy, now: datetime) -> None:
    """Let the detection run again, without a verdict until its next revision. The caller holds it locked.

    Raise `CallerError` 409 where the state forbids it.
    """
    run_ids = tuple(new_id("run") for _ in runs_of(session, detection.id))
    step_one(session, AskedAgain(detection.id, run_ids), policy, now)

"""What follows when a run has ended: the cascade moves on, or the detection ends with one revision, one final event.

Whoever calls holds the detection's row locked, so two last votes cannot each see the other open.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, select

from service.detections.cascade import Ask, Stop, next_step
from service.detections.detector_result import compose_detector
from service.detections.facts import RunFacts
from service.detections.facts_of import run_facts, runs_of
from service.detections.lifecycle import RunInput, RunState, advance
from service.detections.models import Detection, Run
from service.detections.policy import TOPIC_RUNS, DetectionPolicy, topic_of
from service.detections.result import summary
from service.detections.revise import write_revision
from service.detections.verdict import DetectionStatus
from service.detections.votes import Rule
from service.detectors.words import ReasonCode
from service.events.outbox import Draft
from service.events.types import EventType
from service.kit.database import wakes


def lock_detection(session: Session, detection_id: str) -> Detection:
    """The detection, as it is now, and nobody else changes it until we have committed."""
    statement = (
        select(Detection)
        .where(Detection.id == detection_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return session.exec(statement).one()


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
    """The run ends unasked, for this reason."""
    run.reason_code, run.reason_text = reason.value, text
    end_run(session, run, RunInput.SKIPPED, now)


def conclude(
    session: Session, detection: Detection, ended: Sequence[Run], policy: DetectionPolicy, now: datetime
) -> None:
    """Everything that follows from `ended` is written: the next of a cascade is queued, or the end is final."""
    session.flush()
    runs = runs_of(session, detection.id)
    if DetectionStatus(detection.status).ended:
        return  # its last word is spoken
    if detection.rule == Rule.CASCADE.value and detection.source_state == "ready":
        _step_cascade(session, detection, runs, policy, now)
    _note_status(detection, runs)
    drafts = _run_drafts(session, ended, policy)
    if all(RunState(run.state).ended for run in runs):
        drafts += write_revision(session, detection, runs, policy, now)
    policy.outbox.record(session, drafts, now)
    wakes(session, topic_of(detection.id))


def _step_cascade(
    session: Session, detection: Detection, runs: Sequence[Run], policy: DetectionPolicy, now: datetime
) -> None:
    step = next_step([facts.part for facts in run_facts(session, runs, policy)], quorum=detection.quorum)
    for run in runs:
        if isinstance(step, Ask) and run.id == step.run_id and run.state == RunState.RESERVED.value:
            _start_clocks(detection, runs, policy, now)
            run.state = advance(RunState.RESERVED, RunInput.ASKED).value
            run.due_at = now
            wakes(session, TOPIC_RUNS)
        if isinstance(step, Stop) and run.id in step.skip_run_ids:
            skip_run(session, run, ReasonCode.FALLBACK_NOT_NEEDED, now)
    session.flush()


def _start_clocks(detection: Detection, runs: Sequence[Run], policy: DetectionPolicy, now: datetime) -> None:
    """Whoever was not asked yet has its whole time from now: the one before may have used up its own."""
    for run in runs:
        line = policy.catalogue.line(run.mode, run.vendor)
        if run.state == RunState.RESERVED.value and line is not None:
            run.deadline_at = now + timedelta(seconds=line.policy.deadline)
    detection.deadline_at = max(run.deadline_at for run in runs)


def _note_status(detection: Detection, runs: Sequence[Run]) -> None:
    if detection.status == DetectionStatus.QUEUED.value and any(run.submit_started_at for run in runs):
        detection.status = DetectionStatus.RUNNING.value


def _run_drafts(session: Session, ended: Sequence[Run], policy: DetectionPolicy) -> list[Draft]:
    drafts = []
    for run, facts in zip(ended, run_facts(session, ended, policy), strict=True):
        data = {"detection_id": run.detection_id, "run": run_summary(facts)}
        drafts.append(
            Draft(
                run.account_id,
                run.mode,
                EventType.DETECTOR_COMPLETED,
                data,
                detection_id=run.detection_id,
                run_id=run.id,
            )
        )
    return drafts


def run_summary(facts: RunFacts) -> dict[str, Any]:
    """One detector's part in the short form."""
    short: dict[str, Any] = summary({"detectors": [compose_detector(facts)]})["detectors"][0]
    return short

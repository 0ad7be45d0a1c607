"""What follows when a run has ended: the cascade moves on, or the detection ends with one revision, one final event.

Whoever calls holds the detection's row locked, so two last votes cannot each see the other open.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from service.detections.end import end_run, skip_run
from service.detections.follow import followers, join, rejoin
from service.detections.lock import lock_detection, lock_runs
from service.detections.reuse import has_answer, take_answer
from service.detections.revise import may_still_answer, write_revision
from service.detectors.words import ReasonCode
from service.events.outbox import Draft
from service.events.types import EventType
from service.kit.database import wakes
from service.runs.dedup_key import shares
from service.runs.lifecycle import RunInput, RunState, advance
from service.runs.load_facts import run_facts, runs_of
from service.runs.models import Detection, Run
from service.runs.policy import TOPIC_RUNS, DetectionPolicy, topic_of
from service.verdicts.cascade import Ask, Stop, next_step
from service.verdicts.detector_result import compose_detector
from service.verdicts.facts import RunFacts
from service.verdicts.result import summary
from service.verdicts.verdict import DetectionStatus
from service.verdicts.votes import Rule

__all__ = ["conclude", "conclude_late", "end_run", "lock_detection", "run_summary", "skip_run"]


def conclude(
    session: Session, detection: Detection, ended: Sequence[Run], policy: DetectionPolicy, now: datetime
) -> None:
    """Everything that follows from `ended` is written: the next of a cascade is queued, or the end is final.

    So it is for the runs that follow them, and their detections.
    """
    # Told at once: deliveries are locked in one order over all detections.
    policy.outbox.record(session, _conclude(session, detection, ended, policy, now), now)


def conclude_late(session: Session, detection: Detection, run: Run, policy: DetectionPolicy, now: datetime) -> None:
    """What follows from an answer that came after the run's end is written: its detection, if ended, is revised.

    So are those of the runs that follow it. That the run has ended was told before.
    """
    drafts = _conclude(session, detection, [], policy, now, late=True)
    policy.outbox.record(session, drafts + _tell_followers(session, run, policy, now), now)


def _tell_followers(session: Session, leader: Run, policy: DetectionPolicy, now: datetime) -> list[Draft]:
    """What the leader's end means for its followers is written: its answer is theirs, or one of them asks.

    What is to be told of it. A follower whose time ran out takes a late answer as its leader does.
    """
    session.flush()
    if leader.dedup_key is None:
        return []
    if not has_answer(leader):
        return [
            draft
            for run in rejoin(session, leader, policy, now)
            for draft in _conclude(session, lock_detection(session, run.detection_id), [run], policy, now)
        ]
    drafts = []
    for run in followers(session, leader):
        detection = lock_detection(session, run.detection_id)
        late = RunState(run.state).ended
        if late and not may_still_answer(detection, run):
            continue
        if take_answer(session, run, leader, now):
            drafts += _conclude(session, detection, [] if late else [run], policy, now, late=late)
    return drafts


def _conclude(
    session: Session,
    detection: Detection,
    ended: Sequence[Run],
    policy: DetectionPolicy,
    now: datetime,
    *,
    late: bool = False,
) -> list[Draft]:
    session.flush()
    runs = runs_of(session, detection.id)
    if DetectionStatus(detection.status).ended:  # its last word is spoken, unless a late answer revises it
        drafts = write_revision(session, detection, runs, policy, now) if late else []
    else:
        drafts = _conclude_open(session, detection, runs, ended, policy, now)
    wakes(session, topic_of(detection.id))
    for run in ended:
        drafts += _tell_followers(session, run, policy, now)
    return drafts


def _conclude_open(
    session: Session,
    detection: Detection,
    runs: Sequence[Run],
    ended: Sequence[Run],
    policy: DetectionPolicy,
    now: datetime,
) -> list[Draft]:
    known: list[Run] = []
    if detection.rule == Rule.CASCADE.value and detection.source_state == "ready":
        known = _step_cascade(session, detection, runs, policy, now)
    _note_status(detection, runs)
    drafts = _run_drafts(session, [*ended, *known], policy)
    if all(RunState(run.state).ended for run in runs):
        drafts += write_revision(session, detection, runs, policy, now)
    return drafts


def _step_cascade(
    session: Session, detection: Detection, runs: Sequence[Run], policy: DetectionPolicy, now: datetime
) -> list[Run]:
    """The next is queued, or none is needed. Those whose answer is known already have ended: so the one after."""
    known: list[Run] = []
    lock_runs(session, detection.id)
    while (asked := _ask_next(session, detection, runs, policy, now)) is not None:
        if not (shares(detection) and join(session, asked, policy, now)):
            break
        known.append(asked)
    session.flush()
    return known


def _ask_next(
    session: Session, detection: Detection, runs: Sequence[Run], policy: DetectionPolicy, now: datetime
) -> Run | None:
    """The run whose turn came just now, queued. Where no more is needed, the rest is skipped."""
    step = next_step([facts.part for facts in run_facts(session, runs, policy)], quorum=detection.quorum)
    asked = None
    for run in runs:
        if isinstance(step, Ask) and run.id == step.run_id and run.state == RunState.RESERVED.value:
            _start_clocks(detection, runs, policy, now)
            run.state = advance(RunState.RESERVED, RunInput.ASKED).value
            run.due_at = now
            wakes(session, TOPIC_RUNS)
            asked = run
        if isinstance(step, Stop) and run.id in step.skip_run_ids:
            skip_run(session, run, ReasonCode.FALLBACK_NOT_NEEDED, now)
    return asked


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

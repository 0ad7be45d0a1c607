"""Saying in good time that the answer will be late. A final event still follows."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from service.detections.conclude import lock_detection
from service.events.outbox import Draft
from service.events.types import EventType
from service.kit.clock import rfc3339
from service.kit.database import wakes
from service.runs.lifecycle import RunState
from service.runs.load_facts import detection_facts, run_facts, runs_of
from service.runs.models import DELAY_UNTOLD, Detection, Run
from service.runs.policy import DetectionPolicy, topic_of
from service.verdicts.result import compose, summary
from service.verdicts.verdict import DetectionStatus


def untold_delays(session: Session, *, now: datetime, but: Collection[str] = (), limit: int = 100) -> list[str]:
    """Detections whose time is nearly up and whose owner was not told, the longest waiting first; none of `but`."""
    late = select(Detection.id).where(text(DELAY_UNTOLD), col(Detection.delay_due_at) <= now)
    late = late.where(col(Detection.id).not_in(but)) if but else late
    return list(session.exec(late.order_by(col(Detection.delay_due_at)).limit(limit)))


def tell_delay(session: Session, detection_id: str, policy: DetectionPolicy, now: datetime) -> bool:
    """It is told once for each time of asking, unless the detection has ended meanwhile. Whether it was told now."""
    detection = lock_detection(session, detection_id)
    if detection.delay_due_at is None or detection.delay_due_at > now:
        return False
    detection.delay_due_at = None
    if DetectionStatus(detection.status).ended:
        return False
    detection.delayed_at = now
    runs = runs_of(session, detection_id)
    facts = detection_facts(session, detection, runs)
    short = summary(compose(facts, run_facts(session, runs, policy), base_url=policy.base_url))
    draft = Draft(
        detection.account_id,
        detection.mode,
        EventType.DETECTION_DELAYED,
        {**short, "delay": delay_of(detection, runs)},
        detection_id=detection_id,
        revision=facts.revision,
    )
    policy.outbox.record(session, [draft], now)
    wakes(session, topic_of(detection_id))
    return True


def delay_of(detection: Detection, runs: Sequence[Run]) -> dict[str, Any]:
    """Why it takes so long, and until when: our next look at the slowest run, and the latest end of all."""
    waiting = [run for run in runs if not RunState(run.state).ended]
    next_look = max((run.due_at or run.deadline_at for run in waiting), default=detection.deadline_at)
    return {
        "reason": _reason(detection, waiting),
        "waiting_for": [{"detector": run.detector, "reason": _wait(run)} for run in waiting],
        "answer_by_at": rfc3339(detection.answer_by_at),
        "estimated_at": rfc3339(next_look),
        "ends_at_latest": rfc3339(detection.deadline_at),
    }


def _reason(detection: Detection, waiting: Sequence[Run]) -> str:
    """One word for the whole: the audio, else what holds up the first run that is held up."""
    if detection.source_state == "due":
        return "source"
    return next((run.waiting_for for run in waiting if run.waiting_for), _wait(waiting[0]) if waiting else "relay")


def _wait(run: Run) -> str:
    return run.waiting_for or ("vendor" if run.state == RunState.WAITING.value else "relay")

"""Writing an answer down: one revision, one final event. What came late makes the next one.

A run whose time ran out may still be answered. Its answer counts as long as nobody has cancelled, asked again or
erased since; then a further revision replaces the last word, and the older rows stay as they are.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from service.detectors.words import ReasonCode
from service.events.outbox import Draft
from service.events.types import EventType
from service.kit.database import wakes
from service.media.models import Media
from service.runs.lifecycle import RunState
from service.runs.load_facts import detection_facts, run_facts, runs_of
from service.runs.models import Detection, Revision, Run
from service.runs.policy import DetectionPolicy, topic_of
from service.verdicts.result import compose, settle, summary
from service.verdicts.verdict import DetectionStatus

_FINAL_EVENT = {
    DetectionStatus.COMPLETED: EventType.DETECTION_COMPLETED,
    DetectionStatus.COMPLETED_PARTIAL: EventType.DETECTION_COMPLETED,
    DetectionStatus.FAILED: EventType.DETECTION_FAILED,
    DetectionStatus.EXPIRED: EventType.DETECTION_FAILED,
    DetectionStatus.CANCELLED: EventType.DETECTION_CANCELLED,
}


def may_still_answer(detection: Detection, run: Run) -> bool:
    """Whether a late answer of this run would count: its time ran out, and nothing was decided over it since."""
    return (
        run.state == RunState.TIMED_OUT.value
        and run.round == detection.round
        and detection.status != DetectionStatus.CANCELLED.value
        and detection.erased_at is None
    )


def rest(runs: Iterable[Run]) -> None:
    """No ended run among these is looked at any more: its late answer would not count."""
    for run in runs:
        if RunState(run.state).ended:
            run.due_at = None
            run.lease_token = None


def revise(
    session: Session, detection: Detection, policy: DetectionPolicy, now: datetime, *, reread: bool = False
) -> None:
    """A detection that had ended has its next revision: what its runs add up to now, and one event that says so.

    `reread`: nothing was asked, so it ended when it did, and no audio was needed.
    """
    session.flush()
    drafts = write_revision(session, detection, runs_of(session, detection.id), policy, now, reread=reread)
    policy.outbox.record(session, drafts, now)
    wakes(session, topic_of(detection.id))


def write_revision(
    session: Session,
    detection: Detection,
    runs: Sequence[Run],
    policy: DetectionPolicy,
    now: datetime,
    *,
    reread: bool = False,
) -> list[Draft]:
    """The detection has ended with one more revision; what is to be told of it. The caller holds it locked."""
    detection.revision += 1
    detection.completed_at = (detection.completed_at if reread else None) or now
    detection.delay_due_at = None
    facts = detection_facts(session, detection, runs, revision=detection.revision)
    parts = run_facts(session, runs, policy)
    decided = settle(facts, parts, cancelled=_was_cancelled(runs))
    result = compose(facts, parts, decided, base_url=policy.base_url)
    detection.status, detection.verdict = result["status"], result["verdict"]
    detection.outcome_reason = result["outcome_reason"]
    session.add(
        Revision(
            detection_id=detection.id,
            n=detection.revision,
            verdict=result["verdict"],
            status=result["status"],
            result=json.dumps(result, ensure_ascii=False, allow_nan=False),
            created_at=now,
        )
    )
    if not reread:
        _let_media_go(session, detection, policy, now)
    return _final_drafts(detection, result)


def _final_drafts(detection: Detection, result: dict[str, Any]) -> list[Draft]:
    """A later revision is told by one event alone; a cancelled re-check is none, and is called what it is."""
    first = detection.revision == 1
    kind = _FINAL_EVENT[DetectionStatus(detection.status)]
    if not first and kind is not EventType.DETECTION_CANCELLED:
        kind = EventType.DETECTION_REVISED
    kinds = [kind, EventType.REVIEW_REQUIRED] if first and result["review"]["required"] else [kind]
    short = summary(result)
    return [
        Draft(
            detection.account_id,
            detection.mode,
            each,
            short,
            detection_id=detection.id,
            revision=detection.revision,
            final=each is kind,
        )
        for each in kinds
    ]


def _was_cancelled(runs: Sequence[Run]) -> bool:
    return any(run.reason_code == ReasonCode.CANCELLED.value for run in runs)


def _let_media_go(session: Session, detection: Detection, policy: DetectionPolicy, now: datetime) -> None:
    """The audio may go a while after the last detection that needs it."""
    if detection.media_id is None:
        return
    session.flush()
    # Locked: of two that end at once the second sees that the first has ended.
    media = session.get_one(Media, detection.media_id, with_for_update=True, populate_existing=True)
    if media.erased_at is None and not _needed_elsewhere(session, detection):
        media.delete_after = now + policy.media_retention


def _needed_elsewhere(session: Session, detection: Detection) -> bool:
    others = select(Detection.id).where(Detection.media_id == detection.media_id, Detection.id != detection.id)
    return session.exec(others.where(col(Detection.completed_at).is_(None))).first() is not None

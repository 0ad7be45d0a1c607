"""Handing a run's work over when its detection no longer wants it, but others wait for the same answer."""

import json

from sqlmodel import Session, col, select

from service.detections.lock import lock_detection
from service.kit.database import wakes
from service.runs.models import Run
from service.runs.policy import topic_of
from service.verdicts.verdict import DetectionStatus

# What is known of a run's way to its vendor and of our asking. Whoever holds the lease goes on with the heir.
_WORK = (
    "state",
    "due_at",
    "lease_token",
    "throttled_at",
    "prepared_ref",
    "submit_started_at",
    "submitted_at",
    "submit_tries",
    "resubmitted",
    "media_fetches",
    "polls",
    "confirmations",
    "polled_at",
    "confirmation_requested_at",
    "callback_authenticity",
    "reason_text",
    "waiting_for",
    "last_refusal",
    "throttled_at",
)


def open_followers(session: Session, run: Run) -> list[Run]:
    """The unfinished runs that wait for this one's answer, the oldest first; locked."""
    waiting = select(Run).where(Run.follows_run_id == run.id, col(Run.ended_at).is_(None))
    locked = waiting.order_by(col(Run.created_at), col(Run.id)).with_for_update(key_share=True)
    return list(session.exec(locked.execution_options(populate_existing=True)))


def hand_over(session: Session, run: Run) -> None:
    """The oldest follower goes on with the run's work, its job included, and the others follow that one.

    Without followers nothing has changed. The run is about to end, and keeps a note of its job.
    """
    waiting = open_followers(session, run) if run.leader_key is not None else []
    if not waiting:
        return
    heir, *others = waiting
    _move_keys(session, run, heir)
    for name in _WORK:
        setattr(heir, name, getattr(run, name))
    if heir.lease_token is None and heir.due_at is not None:
        heir.due_at = min(heir.due_at, heir.deadline_at)
    heir.follows_run_id = None
    heir.submitted_as_run_id = run.submitted_as_run_id or run.id
    for other in others:
        other.follows_run_id = heir.id
    _note_status(session, heir)


def _move_keys(session: Session, run: Run, heir: Run) -> None:
    """The two keys that only one run may have, in two steps."""
    leader_key, job_id, refs = run.leader_key, run.vendor_job_id, json.loads(run.refs_json)
    run.leader_key = run.vendor_job_id = None
    run.successor_run_id = heir.id
    note = {"handed_to_run_id": heir.id} | ({"handed_job_id": job_id} if job_id else {})
    run.refs_json = json.dumps(refs | note, ensure_ascii=False)
    session.flush()
    heir.leader_key, heir.vendor_job_id = leader_key, job_id
    heir.refs_json = json.dumps(refs | json.loads(heir.refs_json), ensure_ascii=False)


def _note_status(session: Session, heir: Run) -> None:
    detection = lock_detection(session, heir.detection_id)
    if heir.submit_started_at is not None and detection.status == DetectionStatus.QUEUED.value:
        detection.status = DetectionStatus.RUNNING.value
        wakes(session, topic_of(detection.id))

"""Asking every detector again: a new round of runs for the same audio. What was answered before stays as it is."""

from datetime import datetime

from sqlmodel import Session

from service.detections.follow import join_runs
from service.detections.lock import lock_runs
from service.detections.revise import rest
from service.detections.submit import first_runs, plan_reminder
from service.kit.database import wakes
from service.kit.errors import CallerError
from service.media.models import Media
from service.runs.load_facts import runs_of
from service.runs.models import Detection
from service.runs.policy import TOPIC_RUNS, TOPIC_SOURCES, DetectionPolicy, topic_of
from service.verdicts.verdict import DetectionStatus


def recheck(session: Session, detection: Detection, policy: DetectionPolicy, now: datetime) -> None:
    """The detection runs again, without a verdict until its next revision. The caller holds it locked.

    A source that could never be fetched is fetched anew. Raises `CallerError` 409 where the state forbids it.
    """
    if not DetectionStatus(detection.status).ended:
        raise CallerError("not_ended", "The detection has not ended yet; its first answer comes first.", status=409)
    if detection.erased_at is not None:
        raise CallerError("erased", "The detection was erased.", status=409)
    lock_runs(session, detection.id)
    earlier = runs_of(session, detection.id)
    names = [run.detector for run in earlier]
    _check_offered(names, detection.mode, policy)
    media = _keep_audio(session, detection, now)
    rest(earlier)
    span = detection.answer_by_at - (detection.rechecked_at or detection.created_at)
    detection.round += 1
    detection.rechecked_at = now
    detection.status = DetectionStatus.RUNNING.value
    detection.verdict = detection.outcome_reason = detection.completed_at = None
    plan_reminder(detection, now, span)
    runs = first_runs(detection, names, policy.catalogue, now)
    detection.deadline_at = max(run.deadline_at for run in runs)
    session.add_all(runs)
    session.flush()
    if media is not None:
        join_runs(session, detection, media, runs, policy, now)  # for later detections: these ask anew
    wakes(session, TOPIC_SOURCES if detection.source_state == "due" else TOPIC_RUNS, topic_of(detection.id))


def _check_offered(names: list[str], mode: str, policy: DetectionPolicy) -> None:
    gone = [name for name in names if policy.catalogue.vendor_of(mode, name) is None]
    if gone:
        raise CallerError("detector_not_offered", f"Not offered here any more: {', '.join(gone)}.", status=409)


def _keep_audio(session: Session, detection: Detection, now: datetime) -> Media | None:
    """The bytes are kept while the new round may need them, or are to be fetched if there never were any."""
    if detection.media_id is None:
        detection.source_state, detection.source_tries, detection.due_at = "due", 0, now
        return None
    media = session.get_one(Media, detection.media_id, with_for_update=True, populate_existing=True)
    if media.erased_at is not None:
        raise CallerError("media_erased", "The audio is gone; submit it again as a new detection.", status=409)
    media.delete_after = None
    return media

"""One vendor asked once for what several detections want to know: a run takes a stored answer, follows, or leads.

Whoever calls holds the audio locked (`lock`), so that a leader cannot end while somebody is about to follow it.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlmodel import Session, col, or_, select

from service.detections.hand_over import open_followers
from service.detections.reuse import stored_answer, take_answer
from service.kit.database import wakes
from service.media.models import Media
from service.runs.dedup_key import dedup_key, shares
from service.runs.lifecycle import RunState
from service.runs.models import Detection, Run
from service.runs.policy import TOPIC_RUNS, DetectionPolicy

FOLLOWING = "following"
"""What a run waits for that another run asks for."""

_FAIR_SHARE = 0.1


def join_runs(
    session: Session, detection: Detection, media: Media, runs: Sequence[Run], policy: DetectionPolicy, now: datetime
) -> list[Run]:
    """The bytes are known, and each queued run among these has joined those that ask the same; which have ended."""
    for run in runs:
        run.dedup_key = dedup_key(detection, run, media.sha256)
    session.flush()
    if not shares(detection):
        return []
    queued = [run for run in runs if run.state == RunState.QUEUED.value]
    return [run for run in queued if join(session, run, policy, now)]


def join(session: Session, run: Run, policy: DetectionPolicy, now: datetime) -> bool:
    """The queued run has ended with a stored answer: true; or it follows the run under way, or is to be followed."""
    if run.dedup_key is None:
        return False
    origin = stored_answer(session, run, now - policy.reuse)
    if origin is not None and take_answer(session, run, origin, now):
        return True
    leader = _leader(session, run)
    if leader is None:
        run.leader_key = run.dedup_key
    else:
        _follow(run, leader, now)
    session.flush()
    return False


def rejoin(session: Session, leader: Run, policy: DetectionPolicy, now: datetime) -> list[Run]:
    """The leader ended without an answer: its oldest follower leads now, and is due; which ended by a stored answer.

    One with too little time left for an answer is not sent: its deadline ends it, and a late answer still reaches it.
    """
    ended = []
    for run in open_followers(session, leader):
        if not _has_time(run, policy, now):
            continue
        run.follows_run_id = run.waiting_for = None
        run.due_at = now
        if join(session, run, policy, now):
            ended.append(run)
        wakes(session, TOPIC_RUNS)
    return ended


def followers(session: Session, leader: Run) -> Iterable[Run]:
    """Those to whom the leader's answer matters: the open ones, and those whose time ran out; in one order always."""
    waiting = or_(col(Run.ended_at).is_(None), Run.state == RunState.TIMED_OUT.value)
    found = select(Run).where(Run.follows_run_id == leader.id, waiting).order_by(col(Run.detection_id), col(Run.id))
    return session.exec(found.with_for_update(key_share=True).execution_options(populate_existing=True)).all()


def _leader(session: Session, run: Run) -> Run | None:
    leading = select(Run).where(Run.account_id == run.account_id, Run.mode == run.mode, Run.leader_key == run.dedup_key)
    return session.exec(leading.where(Run.id != run.id)).first()


def _follow(run: Run, leader: Run, now: datetime) -> None:
    """It is never sent and never asked for; only its own deadline makes it due."""
    run.follows_run_id = leader.id
    run.followed_at = run.followed_at or now
    run.refs_json = json.dumps(json.loads(run.refs_json) | {"followed_run_id": leader.id})
    run.waiting_for = FOLLOWING
    run.due_at = run.deadline_at


def _has_time(run: Run, policy: DetectionPolicy, now: datetime) -> bool:
    """Whether to ask is worth it: until the first look at the vendor, or a tenth of the time a run usually has."""
    line = policy.catalogue.line(run.mode, run.vendor)
    if line is None:
        return True
    least = min(line.policy.first_wait(None), line.policy.deadline * _FAIR_SHARE)
    return (run.deadline_at - now).total_seconds() > least

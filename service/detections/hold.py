"""Holding a claimed run while a step is recorded: only who still has the lease may write."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from service.detections.lock import lock_run
from service.detections.revise import may_still_answer
from service.detectors.port import Refused
from service.kit.claims import claim
from service.kit.columns import table_of
from service.media.models import Media
from service.runs.lifecycle import RunInput, RunState, advance
from service.runs.models import Detection, Run

Held = tuple[Run, str, Detection, Media]
"""A run that is ours for now: the run, its lease token, its detection and its audio."""


def hold_run(session: Session, run_id: str, lease_token: str, *, late: bool = False) -> tuple[Detection, Run] | None:
    """The detection, locked, and its run, if the lease is still ours; else `None` and nothing may be written.

    An ended run is nobody's; only whoever looks at it `late` holds one whose late answer would count.
    """
    detection, run = lock_run(session, run_id)
    open_ = not RunState(run.state).ended or (late and may_still_answer(detection, run))
    return (detection, run) if open_ and run.lease_token == lease_token else None


def hold_unsent(session: Session, run_id: str, lease_token: str) -> tuple[Detection, Run] | None:
    """The detection, locked, and its run, if the lease is still ours and a submission may leave; else `None`.

    One whose job is known is at its vendor already: what would leave now would be a second submission.
    """
    held = hold_run(session, run_id, lease_token)
    if held is None or held[1].vendor_job_id is not None:
        return None
    return held if held[1].state in (RunState.QUEUED.value, RunState.UNKNOWN.value) else None


def move(run: Run, happening: RunInput, due_at: datetime) -> None:
    """The run is in its next state, unclaimed, and due again at `due_at` or at its deadline if that is earlier."""
    run.state = advance(RunState(run.state), happening).value
    run.due_at = min(due_at, run.deadline_at)
    run.lease_token = None


def defer(run: Run, refused: Refused, wait: float, now: datetime) -> None:
    """The run waits, visibly, at least `wait` seconds or as long as the vendor said."""
    run.last_refusal = refused.reason_code.value
    run.waiting_for = refused.reason_code.value
    run.reason_text = refused.reason_text
    move(run, RunInput.DEFERRED, now + timedelta(seconds=max(wait, refused.retry_after_seconds or 0)))


def claim_with_media(session: Session, waiting: str, *, now: datetime, lease_until: datetime, limit: int) -> list[Held]:
    """At most `limit` due runs in these `waiting` states, leased to us."""
    rows = claim(session, table_of(Run), waiting, now=now, lease_until=lease_until, limit=limit)
    return with_media(session, {row["id"]: row["lease_token"] for row in rows})


def with_media(session: Session, tokens: Mapping[str, str]) -> list[Held]:
    """The runs of these lease tokens, by run, with what they need."""
    found = session.exec(
        select(Run, Detection, Media)
        .join(Detection, col(Detection.id) == Run.detection_id)
        .join(Media, col(Media.id) == Detection.media_id)
        .where(col(Run.id).in_(tokens))
    ).all()
    return [(run, tokens[run.id], detection, media) for run, detection, media in found]

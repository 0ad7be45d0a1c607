"""Taking over an answer that another run has: stored a while ago, or just come to the run that this one follows."""

import json
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session, col, func, select

from service.detections.end import end_run
from service.detectors.words import Via
from service.runs.lifecycle import RunInput, RunState
from service.runs.models import RUN_ANSWERED, Observation, RawBody, Run

_INPUT = {
    RunState.SUCCEEDED.value: RunInput.SUCCEEDED,
    RunState.NOT_APPLICABLE.value: RunInput.NOT_APPLICABLE,
}


def has_answer(run: Run) -> bool:
    """Whether it ended with something that others may take over. A failure is not: who comes next asks again."""
    return run.state in _INPUT


def stored_answer(session: Session, run: Run, since: datetime) -> Run | None:
    """The run that last answered the same question itself, after `since`; `None` where none did, or it was erased."""
    answered = select(Run).where(
        Run.account_id == run.account_id,
        Run.mode == run.mode,
        col(Run.dedup_key) == run.dedup_key,
        text(RUN_ANSWERED),
        col(Run.ended_at) > since,
    )
    return session.exec(answered.order_by(col(Run.ended_at).desc()).limit(1)).first()


def take_answer(session: Session, run: Run, origin: Run, now: datetime) -> bool:
    """The run has ended with the answer of `origin`, and a copy of its own. False if that was erased.

    `answered_at` is when the vendor's answer came, also if that was before this run was asked for.
    """
    of_origin = select(Observation).where(Observation.run_id == origin.id, Observation.n == origin.observation_n)
    seen = session.exec(of_origin).first()
    if seen is None or seen.reading is None:
        return False
    happening = _INPUT[origin.state]
    run.observation_n = _copy_observation(session, run, seen, happening, now)
    run.via = Via.REUSE.value
    run.authenticity = origin.authenticity
    run.confirmed_by_fetch = origin.confirmed_by_fetch
    run.answered_at = origin.answered_at
    run.reason_code, run.reason_text, run.retryable = origin.reason_code, origin.reason_text, origin.retryable
    run.refs_json = json.dumps(json.loads(run.refs_json) | {"reused_run_id": origin.id})
    end_run(session, run, happening, now)
    session.flush()
    return True


def _copy_observation(session: Session, run: Run, seen: Observation, happening: RunInput, now: datetime) -> int:
    last = session.exec(select(func.max(Observation.n)).where(Observation.run_id == run.id)).one()
    n = (last or 0) + 1
    session.add(
        Observation(
            run_id=run.id,
            n=n,
            via=Via.REUSE.value,
            at=now,
            effect=happening.value,
            reading=seen.reading,
            body_sha256=seen.body_sha256,
            content_type=seen.content_type,
        )
    )
    _copy_raw(session, run.id, seen)
    return n


def _copy_raw(session: Session, owner_id: str, seen: Observation) -> None:
    """The vendor's bytes, if they are still kept: as old as they are, so they go when the first copy does."""
    if seen.body_sha256 is None or session.get(RawBody, (owner_id, seen.body_sha256)) is not None:
        return
    kept = session.get(RawBody, (seen.run_id, seen.body_sha256))
    if kept is not None:
        session.add(RawBody(**{**kept.model_dump(), "owner_id": owner_id}))

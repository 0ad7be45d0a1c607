"""From rows to the facts a result is composed of. Reads only."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, cast

from sqlmodel import Session, col, or_, select

from service.detectors.reading import Reading, Refs
from service.detectors.words import Authenticity, ReasonCode, Via
from service.media.models import Media
from service.runs.beside import said_beside
from service.runs.lifecycle import RunState
from service.runs.models import Detection, Observation, Run
from service.runs.policy import DetectionPolicy
from service.spending.charge import Charge
from service.spending.ledger import charges_of
from service.verdicts.facts import DetectionFacts, RawEvent, RunFacts, TrackFacts
from service.verdicts.verdict import DetectionStatus
from service.verdicts.votes import OutcomeReason, Rule

REREAD = "reread"
"""The effect of a look at bytes that were stored: they were read again, by a mended adapter."""


def runs_of(session: Session, detection_id: str, *, every_round: bool = False) -> list[Run]:
    """The detection's runs in the order asked for; of a re-checked one those of its latest round, or all."""
    if every_round:
        all_rounds = select(Run).where(Run.detection_id == detection_id)
        return list(session.exec(all_rounds.order_by(col(Run.round), col(Run.position))))
    latest = select(Detection.round).where(Detection.id == detection_id).scalar_subquery()
    wanted = select(Run).where(Run.detection_id == detection_id, Run.round == latest)
    return list(session.exec(wanted.order_by(col(Run.position))))


def detection_facts(
    session: Session, detection: Detection, runs: Sequence[Run], *, revision: int | None = None
) -> DetectionFacts:
    """The detection as it stands. While it has not ended its revision is the one that is being made."""
    ended = DetectionStatus(detection.status).ended
    media = session.get(Media, detection.media_id) if detection.media_id else None
    return DetectionFacts(
        id=detection.id,
        mode=cast(Literal["live", "test"], detection.mode),
        rule=Rule(detection.rule),
        quorum=detection.quorum,
        detectors_expected=[run.detector for run in runs],
        created_at=detection.created_at,
        source="url" if detection.source_url else "upload",
        completed_at=detection.completed_at,
        revision=revision or detection.revision + (not ended),
        asked_at=detection.rechecked_at,
        external_id=detection.external_id,
        metadata=json.loads(detection.metadata_json),
        declared=json.loads(detection.declared_json) if detection.declared_json else None,
        track=_track(media) if media else None,
        source_failure=OutcomeReason(detection.outcome_reason or "source_unreachable")
        if detection.source_state == "failed"
        else None,
    )


def run_facts(session: Session, runs: Sequence[Run], policy: DetectionPolicy) -> list[RunFacts]:
    """Each run with what was seen of it."""
    seen: dict[str, list[Observation]] = {run.id: [] for run in runs}
    # Of tries, which are no looks, only those matter whose answer said more than that.
    telling = or_(col(Observation.outcome).is_(None), col(Observation.reading).is_not(None))
    rows = select(Observation).where(col(Observation.run_id).in_(seen), telling)
    for row in session.exec(rows.order_by(col(Observation.n))):
        seen[row.run_id].append(row)
    counts = policy.callbacks_seen(session, list(seen))
    charges = charges_of(session, list(seen))
    return [_run_facts(run, seen[run.id], counts.get(run.id, (0, 0)), charges[run.id]) for run in runs]


def _run_facts(
    run: Run, rows: Sequence[Observation], callbacks: tuple[int, int], charges: Sequence[Charge]
) -> RunFacts:
    beside = said_beside(rows, run.observation_n)
    seen = [row for row in rows if row.outcome is None]
    deciding = next((row for row in seen if row.n == run.observation_n), None)
    return RunFacts(
        run_id=run.id,
        detector=run.detector,
        vendor=run.vendor,
        status=RunState(run.state).status,
        tier=run.tier,
        reason_code=ReasonCode(run.reason_code) if run.reason_code else None,
        reason_text=run.reason_text,
        retryable=run.retryable,
        reading=Reading.model_validate_json(deciding.reading) if deciding and deciding.reading else None,
        submitted_at=run.submitted_at or run.submit_started_at,
        received_at=run.answered_at,
        ended_at=run.ended_at,
        via=Via(run.via) if run.via else None,
        authenticity=Authenticity(run.authenticity) if run.authenticity else None,
        confirmed_by_fetch=run.confirmed_by_fetch,
        callbacks_seen=callbacks[0],
        duplicates=callbacks[1],
        possible_duplicate_charge=run.resubmitted,
        waiting_for=run.waiting_for,
        next_look_at=_next_look_at(run),
        deadline_at=run.deadline_at if _is_at_work(run) else None,
        raw_sha256=deciding.body_sha256 if deciding else None,
        raw_content_type=deciding.content_type if deciding else None,
        raw_events=[
            RawEvent(row.body_sha256, row.at, Via(row.via)) for row in seen if row.body_sha256 and row.effect != REREAD
        ],
        reused=run.via == Via.REUSE.value,
        charges=charges,
        refs=_refs(run, beside.other),
        vendor_submitted_at=beside.submitted_at,
        vendor_completed_at=beside.completed_at if run.observation_n is not None else None,
    )


def _is_at_work(run: Run) -> bool:
    """Whether its time runs: it has not ended, and a cascade has come to it."""
    state = RunState(run.state)
    return not state.ended and state is not RunState.RESERVED


def _next_look_at(run: Run) -> datetime | None:
    """When the run is submitted or asked for next; `None` while that is being done, and where nothing is planned."""
    return run.due_at if _is_at_work(run) and run.lease_token is None else None


def _refs(run: Run, beside: Mapping[str, str]) -> Refs:
    other: dict[str, Any] = {**beside, **json.loads(run.refs_json)}
    return Refs(job_id=run.vendor_job_id, other={name: str(value) for name, value in other.items()})


def _track(media: Media) -> TrackFacts:
    return TrackFacts(media.id, media.name, media.sha256, media.bytes, media.duration_ms)

"""From rows to the facts a result is composed of. Pure: the rows are read elsewhere and handed in (`load_facts`)."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, cast

from service.billing.prices import Charge
from service.detectors.enums import Authenticity, ConflictKind, ReasonCode, RunStatus, Verdict, Via
from service.detectors.reading import Conflict, Reading, Refs
from service.runs.state.lifecycle import RunState, SourceState
from service.runs.state.rows import DetectionRow, MediaRow, ObservationRow, RunRow
from service.verdicts.facts import DetectionFacts, RawEvent, RunFacts, TrackFacts
from service.verdicts.verdict import DetectionStatus
from service.verdicts.votes import OutcomeReason, Rule


@dataclass(frozen=True, slots=True)
class EarlierClaims:
    """The vendor's names, and its own times."""

    other: dict[str, str] = field(default_factory=dict)
    submitted_at: datetime | None = None
    completed_at: datetime | None = None


def earlier_claims(rows: Iterable[ObservationRow], deciding: int | None) -> EarlierClaims:
    """Return what callbacks and answers to submissions claimed before observation `deciding`; `None`: until now."""
    other: dict[str, str] = {}
    submitted_at: datetime | None = None
    completed_at: datetime | None = None
    for row in rows:
        said = _said(row, deciding)
        if said is None:
            continue
        other |= {
            name: value for name, value in said.refs.other.items() if row.callback_id is None or _proves_nothing(name)
        }
        submitted_at = submitted_at or said.vendor_submitted_at
        completed_at = said.vendor_completed_at or completed_at
    return EarlierClaims(other, submitted_at, completed_at)


def _said(row: ObservationRow, deciding: int | None) -> Reading | None:
    """Return the names and times that the row tells; `None` where it tells none, or is not before that look."""
    tells = row.callback_id is not None or row.outcome is not None
    if not tells or row.reading is None or (deciding is not None and row.n >= deciding):
        return None
    told: dict[str, Any] = json.loads(row.reading)
    return Reading.model_validate(
        {"status": told["status"]}
        | {name: told[name] for name in ("refs", "vendor_submitted_at", "vendor_completed_at") if name in told}
    )


def _proves_nothing(name: str) -> bool:
    return "." not in name and not name.lower().endswith("id")


REREAD = "reread"
"""The effect of a look at bytes that were stored: they were read again, by a mended adapter."""
PARTIAL = "partial"
"""The effect of a look at a part of an answer that is still coming."""

_SIDES = {Verdict.AI_GENERATED: "AI", Verdict.AI_PARTIAL: "AI", Verdict.NO_AI_DETECTED: "no AI"}


def detection_facts(
    detection: DetectionRow, runs: Sequence[RunRow], media: MediaRow | None, *, revision: int | None = None
) -> DetectionFacts:
    """Return the detection as it stands. While it has not ended its revision is the one that is being made."""
    ended = DetectionStatus(detection.status).ended
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
        metadata=_mapping(detection.metadata_json) or {},
        declared=_mapping(detection.declared_json),
        track=_track(media) if media else None,
        source_failure=OutcomeReason(detection.outcome_reason or "source_unreachable")
        if detection.source_state == SourceState.FAILED.value
        else None,
    )


def run_facts(
    run: RunRow, rows: Sequence[ObservationRow], callbacks: tuple[int, int], charges: Sequence[Charge]
) -> RunFacts:
    """Return the run with what was seen of it. `rows` stand in the order of their numbers."""
    beside = earlier_claims(_telling(rows), run.observation_n)
    seen = [row for row in rows if row.outcome is None]
    deciding = next((row for row in seen if row.n == run.observation_n), None)
    status = RunState(run.state).status
    return RunFacts(
        run_id=run.id,
        detector=run.detector,
        vendor=run.vendor,
        status=status,
        tier=run.tier,
        reason_code=ReasonCode(run.reason_code) if run.reason_code else None,
        reason_text=run.reason_text,
        retryable=run.retryable,
        reading=_reading(deciding, seen),
        submitted_at=run.submitted_at or run.submit_started_at,
        received_at=run.answered_at,
        ended_at=run.ended_at,
        via=Via(run.via) if run.via else None,
        authenticity=_authenticity(run, status),
        confirmed_by_fetch=run.confirmed_by_fetch,
        callbacks_seen=callbacks[0],
        duplicates=callbacks[1],
        possible_duplicate_charge=run.resubmitted,
        waiting_for=run.waiting_for,
        next_look_at=_next_look_at(run),
        deadline_at=run.deadline_at if _is_at_work(run) else None,
        raw_sha256=deciding.body_sha256 if deciding else None,
        raw_content_type=deciding.content_type if deciding else None,
        raw_events=_raw_events(seen),
        reused=run.via == Via.REUSE.value,
        charges=charges,
        refs=_refs(run, beside.other),
        vendor_submitted_at=beside.submitted_at,
        vendor_completed_at=beside.completed_at if run.observation_n is not None else None,
    )


def _telling(rows: Sequence[ObservationRow]) -> list[ObservationRow]:
    """Return observations, and submissions whose answer carried more than an acknowledgement."""
    return [row for row in rows if row.outcome is None or row.reading is not None]


def _raw_events(seen: Sequence[ObservationRow]) -> list[RawEvent]:
    return [RawEvent(row.body_sha256, row.at, Via(row.via)) for row in seen if row.body_sha256 and row.effect != REREAD]


def _reading(deciding: ObservationRow | None, seen: Sequence[ObservationRow]) -> Reading | None:
    """Return the deciding answer, with a conflict for each other end that the vendor called back."""
    if deciding is None or deciding.reading is None:
        return None
    reading = stored_reading(deciding.reading)
    conflicts = list(contradictions(reading, [row for row in seen if row.n != deciding.n]))
    return reading.model_copy(update={"conflicts": [*reading.conflicts, *conflicts]}) if conflicts else reading


def contradictions(reading: Reading, others: Sequence[ObservationRow]) -> Iterator[Conflict]:
    """Yield a conflict for each different end that a callback claimed of the same run, each end once."""
    known = {_end(reading)}
    for row in others:
        if row.callback_id is None or row.reading is None or row.effect == PARTIAL:
            continue
        end = _end(stored_reading(row.reading))
        if end is not None and end not in known:
            known.add(end)
            detail = f"a callback said {end}, the answer {_end(reading)}"
            yield Conflict(kind=ConflictKind.VENDOR_INTERNAL, detail=detail)


@lru_cache(maxsize=128)
def stored_reading(text: str) -> Reading:
    """Return the reading that was stored so. Kept, for a run that ends is looked at several times; it never changes."""
    return Reading.model_validate_json(text)


def _end(reading: Reading) -> str | None:
    """Return which side a reading takes, or how else it ends; `None` where it takes none, or has not ended."""
    if not reading.claims_an_end:
        return None
    if reading.status is RunStatus.SUCCEEDED:
        return _SIDES.get(reading.verdict) if reading.verdict is not None else None
    return reading.status.value.replace("_", " ")


def _authenticity(run: RunRow, status: RunStatus) -> Authenticity | None:
    """Return no authenticity for an end that did not come from a vendor's answer."""
    if run.authenticity:
        return Authenticity(run.authenticity)
    ended = status not in (RunStatus.PENDING, RunStatus.RUNNING)
    return Authenticity.NONE if ended else None


def _is_at_work(run: RunRow) -> bool:
    """Return True if its time runs: it has not ended, and a cascade has come to it."""
    state = RunState(run.state)
    return not state.ended and state is not RunState.RESERVED


def _next_look_at(run: RunRow) -> Any:
    """When the run is submitted or polled next; `None` while that is being done, and where nothing is planned."""
    return run.due_at if _is_at_work(run) and run.lease_token is None else None


def _refs(run: RunRow, beside: Mapping[str, str]) -> Refs:
    other: dict[str, Any] = {**beside, **json.loads(run.refs_json)}
    return Refs(job_id=run.vendor_job_id, other={name: str(value) for name, value in other.items()})


def _mapping(text: str | None) -> dict[str, Any] | None:
    """Return what the customer sent along. A row that cannot be read must not keep its detection from ending."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _track(media: MediaRow) -> TrackFacts:
    return TrackFacts(media.id, media.name, media.sha256, media.bytes, media.duration_ms)

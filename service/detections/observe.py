"""One look at a run, from a callback, a poll or an answer at once: written down, and acted on, in one transaction.

The detection's row is locked first. Late, doubled, racing and regressing answers are decided here, by the
lifecycle's table, and nowhere else.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, func, select

from service.detections.conclude import conclude, conclude_late, end_run
from service.detections.lock import lock_run
from service.detections.revise import may_still_answer
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from service.detectors.words import Authenticity, RunStatus, Via
from service.runs.lifecycle import RunInput, RunState
from service.runs.models import Observation, RawBody, Run
from service.runs.policy import DetectionPolicy
from service.verdicts.verdict import DetectionStatus

PARTIAL = "partial"
"""The effect of a look at a part of an answer that is still coming."""

_INPUT = {
    RunStatus.SUCCEEDED: RunInput.SUCCEEDED,
    RunStatus.NOT_APPLICABLE: RunInput.NOT_APPLICABLE,
    RunStatus.FAILED: RunInput.FAILED,
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of a run. `said` is what the adapter made of `raw`."""

    via: Via
    raw: Raw
    said: Reading | Refused
    authenticity: Authenticity
    callback_id: str | None = None
    confirmed_by_fetch: bool = False


def observe(session: Session, run_id: str, sighting: Sighting, policy: DetectionPolicy, now: datetime) -> Run:
    """The run after the sighting. An answer ends it, once; anything later is kept and changes nothing.

    The one exception: a run whose time ran out takes a late answer, and the detection is revised. Whatever ends
    the run ends those that follow it. Where another run took its work over, it is that one that was seen.
    """
    detection, run = lock_run(session, run_id)
    happening = _happening(sighting)
    had_ended = RunState(run.state).ended
    counts = not had_ended or (isinstance(sighting.said, Reading) and may_still_answer(detection, run))
    n = write_observation(
        session, run.id, sighting, effect="late" if happening and not counts else (happening or "none")
    )
    if happening is not None and counts:
        _take_answer(run, sighting, n)
        end_run(session, run, happening, now)
        if had_ended or DetectionStatus(detection.status).ended:
            conclude_late(session, detection, run, policy, now)
        else:
            conclude(session, detection, [run], policy, now)
    return run


def write_observation(
    session: Session, run_id: str, sighting: Sighting, *, effect: str, next_at: datetime | None = None
) -> int:
    """The sighting is stored with its raw bytes; its number within the run. `next_at`: what it made due."""
    n = next_number(session, run_id)
    said, raw = sighting.said, sighting.raw
    digest = hashlib.sha256(raw.body).hexdigest()
    session.add(
        Observation(
            run_id=run_id,
            n=n,
            via=sighting.via.value,
            at=raw.received_at,
            effect=effect,
            http_status=raw.status,
            callback_id=sighting.callback_id,
            reading=said.model_dump_json(exclude_defaults=True) if isinstance(said, Reading) else None,
            refusal=said.reason_code.value if isinstance(said, Refused) else None,
            reason_text=said.reason_text if isinstance(said, Refused) else None,
            body_sha256=digest,
            content_type=raw.content_type or None,
            next_at=next_at,
        )
    )
    keep_raw(session, run_id, digest, raw)
    session.flush()
    return n


def next_number(session: Session, run_id: str) -> int:
    """The number of the run's next row. The caller holds the detection locked."""
    last = session.exec(select(func.max(Observation.n)).where(Observation.run_id == run_id)).one()
    return (last or 0) + 1


def keep_raw(session: Session, owner_id: str, digest: str, raw: Raw) -> None:
    """The bytes are stored under their owner, once."""
    if session.get(RawBody, (owner_id, digest)) is None:
        session.add(
            RawBody(
                owner_id=owner_id,
                sha256=digest,
                body=raw.body,
                content_type=raw.content_type,
                created_at=raw.received_at,
            )
        )


def _happening(sighting: Sighting) -> RunInput | None:
    said = sighting.said
    if isinstance(said, Refused):
        return None if said.retryable else RunInput.FAILED
    return _INPUT.get(said.status)


def _take_answer(run: Run, sighting: Sighting, n: int) -> None:
    said = sighting.said
    run.observation_n = n
    run.via = sighting.via.value
    run.authenticity = sighting.authenticity.value
    run.confirmed_by_fetch = sighting.confirmed_by_fetch
    run.answered_at = sighting.raw.received_at
    run.reason_code = said.reason_code.value if said.reason_code else None
    run.reason_text = said.reason_text
    run.retryable = said.retryable

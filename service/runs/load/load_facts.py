"""Rows of a detection as its readers see them, and the facts that its result is composed of. Nothing is locked."""

from collections.abc import Sequence
from dataclasses import fields

from sqlmodel import Session, col, or_, select

from service.billing.ledger import charges_of
from service.media.models import Media
from service.runs.policy import DetectionPolicy
from service.runs.reporting import facts
from service.runs.state.models import Detection, Observation, Run
from service.runs.state.rows import DetectionRow, MediaRow, ObservationRow, RunRow
from service.verdicts.facts import DetectionFacts, RunFacts


def runs_of(session: Session, detection_id: str, *, every_round: bool = False) -> list[Run]:
    """Return the detection's runs in the order asked for; of a re-checked one those of its latest round, or all."""
    if every_round:
        all_rounds = select(Run).where(Run.detection_id == detection_id)
        return list(session.exec(all_rounds.order_by(col(Run.round), col(Run.position))))
    latest = select(Detection.round).where(Detection.id == detection_id).scalar_subquery()
    wanted = select(Run).where(Run.detection_id == detection_id, Run.round == latest)
    return list(session.exec(wanted.order_by(col(Run.position))))


def detection_facts(session: Session, detection: Detection, runs: Sequence[Run]) -> DetectionFacts:
    """Return the detection as it stands. While it has not ended its revision is the one that is being made."""
    media = session.get(Media, detection.media_id) if detection.media_id else None
    return facts.detection_facts(
        detection_row(detection), [run_row(run) for run in runs], media_row(media) if media else None
    )


def run_facts(session: Session, runs: Sequence[Run], policy: DetectionPolicy) -> list[RunFacts]:
    """Return each run with what was seen of it."""
    seen: dict[str, list[ObservationRow]] = {run.id: [] for run in runs}
    # Of tries, which are no looks, only those matter whose answer said more than that.
    telling = or_(col(Observation.outcome).is_(None), col(Observation.reading).is_not(None))
    rows = select(Observation).where(col(Observation.run_id).in_(seen), telling)
    for row in session.exec(rows.order_by(col(Observation.n))):
        seen[row.run_id].append(observation_row(row))
    counts = policy.callbacks_seen(session, list(seen))
    charges = charges_of(session, list(seen))
    return [facts.run_facts(run_row(run), seen[run.id], counts.get(run.id, (0, 0)), charges[run.id]) for run in runs]


def detection_row(detection: Detection) -> DetectionRow:
    """Return the detection as a plain value."""
    return DetectionRow(**{field.name: getattr(detection, field.name) for field in fields(DetectionRow)})


def run_row(run: Run) -> RunRow:
    """Return the run as a plain value."""
    return RunRow(**{field.name: getattr(run, field.name) for field in fields(RunRow)})


def observation_row(observation: Observation) -> ObservationRow:
    """Return the observation as a plain value."""
    return ObservationRow(**{field.name: getattr(observation, field.name) for field in fields(ObservationRow)})


def media_row(media: Media) -> MediaRow:
    """Return the audio as a plain value."""
    return MediaRow(**{field.name: getattr(media, field.name) for field in fields(MediaRow)})

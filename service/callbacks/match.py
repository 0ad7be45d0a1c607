"""Whose a stored callback is: by our address, by the vendor's job or certificate, or by the name of the audio."""

import json
from dataclasses import dataclass

from sqlmodel import Session, col, or_, select

from service.callbacks.models import Callback
from service.detections.certificates import certificate_named
from service.detectors.catalogue import Line
from service.detectors.offers import Announced, Certifies
from service.detectors.port import Raw
from service.detectors.reading import Reading
from service.runs.filename_match import run_named_in
from service.runs.models import Certificate, Run

_SAID_BEFORE = ("applied", "late")


@dataclass(frozen=True, slots=True)
class Match:
    """Whose it is. `by_name`: only its unsigned body says so, so the vendor is always asked."""

    run: Run | None
    by_name: bool = False
    ready: Announced | None = None  # the certificate it speaks of


def meeting(mode: str, vendor: str, subject: str) -> str:
    """A callback being parked and its run learning that name must not miss each other: both pass this key."""
    return f"callback:{mode}:{vendor}:{subject}"


def match(session: Session, callback: Callback, line: Line | None) -> Match:
    """The run it is about, if we know one."""
    ready = _announced(callback, line)
    run = _addressed(session, callback)
    if run is not None or line is None:
        return Match(run, ready=ready)
    if ready is not None:
        return Match(_certified(session, callback, ready), ready=ready)
    run = _named(session, callback, line)
    return Match(run, by_name=run is not None)


def names_of(session: Session, run: Run) -> list[str]:
    """By which subjects a callback may speak of the run."""
    ours = select(Certificate.certificate_id).where(
        Certificate.detection_id == run.detection_id, Certificate.run_id == run.id
    )
    return [name for name in (run.vendor_job_id, run.id, run.submitted_as_run_id, *session.exec(ours)) if name]


def merged(session: Session, callback: Callback, run: Run) -> bool:
    """Whether the same body came for this run at another address of ours before; it is counted there, and gone here."""
    same = select(Callback).where(
        Callback.run_id == run.id,
        Callback.body_sha256 == callback.body_sha256,
        Callback.id != callback.id,
        Callback.subject != callback.subject,
        col(Callback.state).in_(_SAID_BEFORE),
    )
    before = session.exec(same).first()
    if before is None:
        return False
    before.times_received += callback.times_received
    before.overflow_count += callback.overflow_count
    session.delete(callback)
    return True


def raw_of(callback: Callback) -> Raw:
    """The callback as adapters read it."""
    return Raw(200, json.loads(callback.headers_json), callback.body, callback.received_at)


def _addressed(session: Session, callback: Callback) -> Run | None:
    ours = select(Run).where(Run.mode == callback.mode, Run.vendor == callback.vendor)
    return session.exec(ours.where(or_(Run.id == callback.subject, Run.vendor_job_id == callback.subject))).first()


def _announced(callback: Callback, line: Line | None) -> Announced | None:
    if line is None or not isinstance(line.adapter, Certifies):
        return None
    try:
        body = json.loads(callback.body)
    except (ValueError, RecursionError):
        return None
    return line.adapter.announced(body) if isinstance(body, dict) else None


def _certified(session: Session, callback: Callback, ready: Announced) -> Run | None:
    """The run whose certificate is known by that name, or one that was asked for of the same analysis."""
    row = certificate_named(session, callback.mode, callback.vendor, ready.certificate.certificate_id)
    if row is None and ready.analysis_id is not None:
        ours = select(Certificate).where(Certificate.mode == callback.mode, Certificate.vendor == callback.vendor)
        row = session.exec(ours.where(Certificate.analysis_id == ready.analysis_id).limit(1)).first()
    return session.get(Run, row.run_id) if row is not None else None


def _named(session: Session, callback: Callback, line: Line) -> Run | None:
    """The run whose audio the body names. Other products' jobs carry other names, and stay strangers."""
    said = line.adapter.read(raw_of(callback), line.adapter.detectors[0])
    run_id = run_named_in(said.refs) if isinstance(said, Reading) else None
    run = session.get(Run, run_id) if run_id is not None else None
    return run if run is not None and (run.mode, run.vendor) == (callback.mode, callback.vendor) else None

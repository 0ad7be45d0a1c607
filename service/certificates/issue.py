"""Certificates of a detection: who may have one, asked for once, written down once, announced once.

A vendor is asked between two of these verbs, never within one. A certificate makes no new revision: it stands beside
the answer it is of, and the stored revisions keep their words.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from service.certificates.listing import shown
from service.detectors import extensions
from service.detectors.catalogue import ConfiguredVendor
from service.detectors.extensions import IssuesCertificates
from service.detectors.reading import Reading, Refs
from service.events.types import Draft, EventType
from service.kit.clock import seconds
from service.kit.db.database import notify_on_commit
from service.kit.errors import CallerError, Problem
from service.kit.ids import new_id
from service.runs.load.load_facts import run_row, runs_of
from service.runs.load.lock import lock_detection
from service.runs.policy import DetectionPolicy
from service.runs.state.lifecycle import CERTIFICATE, CertificateInput, CertificateState, RunState
from service.runs.state.models import Certificate, Detection, Observation, Run
from service.runs.topics import topic_of

TOPIC = "certificates"
_IN_PROGRESS_SECONDS = "5"


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A certificate to be asked for: the row that stands for it, who holds that, and of what it is to be."""

    row_id: str
    token: str
    configured: ConfiguredVendor
    vendor: str
    analysis_id: str


def want_certificate(
    session: Session,
    detection: Detection,
    detector: str | None,
    file_format: str,
    policy: DetectionPolicy,
    now: datetime,
) -> CertificateRequest | Certificate:
    """Return the certificate the detection has, or the right to ask for it now. The caller holds the detection locked.

    Raises `CallerError`: 422 for a detector that was not asked; 409 where none that certifies has answered, where
    the vendor's name for the analysis is not known, where the content was erased, or while another request asks.
    """
    run, configured, adapter = _certified_run(session, detection, detector, policy)
    known = select(Certificate).where(Certificate.run_id == run.id, Certificate.format == file_format)
    for row in session.exec(known.order_by(col(Certificate.id).desc())).all():
        if row.state == CertificateState.READY and (row.expires_at is None or row.expires_at > now):
            return row
        if row.state == CertificateState.ASKING and row.due_at is not None and row.due_at > now:
            detail = "Another request for this certificate is in progress. Send this one again in a moment."
            raise CallerError(
                "certificate_in_progress", detail, status=409, headers={"Retry-After": _IN_PROGRESS_SECONDS}
            )
        if row.state == CertificateState.ASKING:
            session.delete(row)  # who asked is gone; what came of it, a callback may still tell
    analysis_id = next(filter(None, (adapter.analysis_of(refs) for refs in _refs(session, run))), None)
    if analysis_id is None:
        detail = "The vendor reported no id for this analysis, so no certificate can be requested."
        raise CallerError("analysis_unknown", detail, status=409)
    row = _new_row(run, CertificateState.ASKING, file_format, now + seconds(configured.policy.lease))
    row.analysis_id, row.lease_token = analysis_id, secrets.token_hex(8)
    session.add(row)
    session.flush()
    return CertificateRequest(row.id, row.lease_token, configured, run.vendor, analysis_id)


def record_certificate(
    session: Session,
    wanted: CertificateRequest,
    issued: extensions.IssuedCertificate,
    policy: DetectionPolicy,
    now: datetime,
) -> Certificate:
    """Record the certificate and emit its one event. Raise `CallerError` 409 where the detection was erased."""
    row = _hold(session, wanted.row_id, wanted.token)
    if row is None:
        raise CallerError("erased", "The detection was erased while the certificate was requested.", status=409)
    same = select(Certificate).where(
        Certificate.mode == row.mode,
        Certificate.vendor == row.vendor,
        Certificate.certificate_id == issued.certificate_id,
    )
    before = session.exec(same).first()
    if before is not None:  # a callback was quicker
        session.delete(row)
        session.flush()
        row, row.analysis_id = before, row.analysis_id
    if row.state != CertificateState.READY:
        _fill(row, issued)
        make_ready(session, row, CertificateInput.ISSUED, policy, now)
    return row


def give_up_certificate(session: Session, wanted: CertificateRequest) -> None:
    """Drop the claim on a certificate that was not issued: the next request may ask for it."""
    row = _hold(session, wanted.row_id, wanted.token)
    if row is not None:
        session.delete(row)


def make_ready(
    session: Session, row: Certificate, happening: CertificateInput, policy: DetectionPolicy, now: datetime
) -> None:
    """Write the certificate, and its one event with it. The caller holds the detection locked."""
    row.state = CERTIFICATE.advance(CertificateState(row.state), happening).value
    row.ready_at, row.due_at, row.lease_token = now, None, None
    session.add(row)
    session.flush()
    draft = Draft(
        row.account_id,
        row.mode,
        EventType.CERTIFICATE_READY,
        {"detection_id": row.detection_id, "run_id": row.run_id, "certificate": shown(row)},
        detection_id=row.detection_id,
        run_id=row.run_id,
    )
    policy.outbox.record(session, [draft], now)
    run = run_row(session.get_one(Run, row.run_id))
    for matching in policy.on_names_known:
        matching(session, [run])  # a callback that spoke of it too early is matched
    notify_on_commit(session, topic_of(row.detection_id))


def _certified_run(
    session: Session, detection: Detection, detector: str | None, policy: DetectionPolicy
) -> tuple[Run, ConfiguredVendor, IssuesCertificates]:
    runs = runs_of(session, detection.id)
    if detection.erased_at is not None:
        raise CallerError("erased", "The detection's content was erased.", status=409)
    if detector is not None and all(run.detector != detector for run in runs):
        problem = Problem("/detector", "is not a detector of this detection")
        detail = "The request is invalid. `errors` lists every problem."
        raise CallerError("invalid_request", detail, problems=(problem,))
    for run in runs:
        configured = policy.catalogue.configured(run.mode, run.vendor)
        wanted = detector in (None, run.detector) and run.state == RunState.SUCCEEDED.value
        if wanted and configured is not None and isinstance(configured.adapter, IssuesCertificates):
            return run, configured, configured.adapter
    detail = "This detection has no result of a detector that issues certificates."
    raise CallerError("not_certifiable", detail, status=409)


def _refs(session: Session, run: Run) -> Iterator[Refs]:
    """Return what answers named, the deciding one first, then the newest; and what we recorded ourselves."""
    seen = session.exec(select(Observation).where(Observation.run_id == run.id).order_by(col(Observation.n).desc()))
    for row in sorted(seen, key=lambda row: row.n != run.observation_n):
        decided = row.n == run.observation_n
        if row.reading is not None and (decided or row.callback_id is None):  # a callback's word alone is not taken
            refs = Reading.model_validate_json(row.reading).refs
            yield refs.model_copy(update={"job_id": run.vendor_job_id or refs.job_id})
    yield Refs(job_id=run.vendor_job_id)


def _new_row(run: Run, state: CertificateState, file_format: str, due_at: datetime) -> Certificate:
    return Certificate(
        id=new_id("crt"),
        detection_id=run.detection_id,
        run_id=run.id,
        account_id=run.account_id,
        mode=run.mode,
        vendor=run.vendor,
        detector=run.detector,
        state=state.value,
        format=file_format,
        due_at=due_at,
    )


def _fill(row: Certificate, issued: extensions.IssuedCertificate) -> None:
    row.certificate_id = issued.certificate_id
    row.verification_url, row.download_url = issued.verification_url, issued.download_url
    row.expires_at, row.issued_at = issued.expires_at, issued.issued_at


def _hold(session: Session, row_id: str, token: str) -> Certificate | None:
    detection_id = session.exec(select(Certificate.detection_id).where(Certificate.id == row_id)).first()
    if detection_id is None:
        return None
    lock_detection(session, detection_id)
    row = session.get(Certificate, row_id, populate_existing=True)
    return row if row is not None and row.lease_token == token else None

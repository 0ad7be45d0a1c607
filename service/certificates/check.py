"""Asking a vendor whether a certificate holds that a callback spoke of. Only then it is on record, and told.

The callback is unsigned, so its word alone makes nothing known. A certificate that does not hold, or is of another
verdict than the run's, is dropped without a word.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session, select

from service.certificates.issue import make_ready
from service.detectors.exchange import VendorError
from service.detectors.extensions import CheckedCertificate, IssuesCertificates
from service.detectors.port import Refused
from service.detectors.reading import Reading
from service.kit.backoff import growing
from service.kit.clock import Clock, seconds
from service.kit.db.alone import Alone
from service.kit.db.claims import claim
from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.quotas.feedback import GateFeedback, feedback_from
from service.quotas.gate_store import admit_request, record_feedback
from service.runs.load.lock import lock_detection
from service.runs.policy import DetectionPolicy
from service.runs.state.lifecycle import CERTIFICATE, CertificateInput, CertificateState
from service.runs.state.models import CERTIFICATE_ANNOUNCED, Certificate, Observation, Run

log = structlog.get_logger()

_BATCH = 10
_MOST_TRIES = 8
_FIRST_WAIT, _LONGEST_WAIT = 15.0, 900.0


@dataclass(frozen=True, slots=True)
class CertificateChecker:
    """The checks of one process. `step` is called when woken."""

    database: Database
    policy: DetectionPolicy
    clock: Clock
    _alone: Alone = field(default_factory=lambda: Alone("check certificates"), init=False)

    async def step(self) -> bool:
        """Ask about a batch of announced certificates. Return True if there may be more."""
        now = self.clock()
        lease_until = now + seconds(self.policy.catalogue.longest_lease())
        claimed = await self.database.write(claim_announced, now=now, lease_until=lease_until)
        rows = {row.id: row for row in claimed}

        async def check(row_id: str) -> None:
            row = rows[row_id]
            outcome = await self._check(row)
            log.info("certificate.checked", vendor=row.vendor, run_id=row.run_id, outcome=outcome)

        await self._alone.each(list(rows), check, now)  # the lease of one that fails is its pause
        return len(claimed) == _BATCH

    async def _check(self, row: Certificate) -> str:
        configured = self.policy.catalogue.configured(row.mode, row.vendor)
        if configured is None or not isinstance(configured.adapter, IssuesCertificates) or row.certificate_id is None:
            return await self.database.write(record_check, row, None, self.policy, self.clock())
        key, limits = (row.mode, row.vendor), configured.policy.limits
        hold = await self.database.write(admit_request, key, limits, self.clock())
        if hold is not None:
            return await self.database.write(put_off, row, hold.until)
        try:
            raw = await configured.adapter.fetch_certificate(row.certificate_id)
        except VendorError:
            said, told = None, GateFeedback(failed=True)
        else:
            said = configured.adapter.parse_check(raw, row.certificate_id)
            told = feedback_from(raw, said)
        outcome = await self.database.write(record_check, row, said, self.policy, self.clock())
        await self.database.write(record_feedback, key, limits, told, self.clock())
        return outcome


def claim_announced(session: Session, *, now: datetime, lease_until: datetime) -> list[Certificate]:
    """Lease announced certificates that are due, at most a batch, and return them."""
    table = table_of(Certificate)
    rows = claim(session, table, CERTIFICATE_ANNOUNCED, now=now, lease_until=lease_until, limit=_BATCH)
    return [session.get_one(Certificate, row["id"], populate_existing=True) for row in rows]


def put_off(session: Session, row: Certificate, until: datetime) -> str:
    """Postpone the question to when the vendor's gate lets it through."""
    held = _hold(session, row)
    if held is not None:
        _put_off(held, until)
    return "held_back"


def record_check(
    session: Session,
    row: Certificate,
    said: CheckedCertificate | Refused | None,
    policy: DetectionPolicy,
    now: datetime,
) -> str:
    """Record what the vendor answered and return a word for the log. `None`: there was no answer."""
    held = _hold(session, row)
    if held is None:
        return "lease_lost"
    if isinstance(said, CheckedCertificate) and said.valid and _is_of(session, held, said):
        held.issued_at = said.issued_at or held.issued_at
        make_ready(session, held, CertificateInput.HOLDS, policy, now)
        return "ready"
    held.tries += 1
    passing = said is None or (isinstance(said, Refused) and said.retryable)
    if not passing or held.tries >= _MOST_TRIES:
        session.delete(held)
        return "dropped"
    wait = growing(held.tries - 1, first=_FIRST_WAIT, factor=2, longest=_LONGEST_WAIT)
    _put_off(held, now + timedelta(seconds=wait))
    return "put_off"


def _put_off(held: Certificate, until: datetime) -> None:
    held.state = CERTIFICATE.advance(CertificateState(held.state), CertificateInput.PUT_OFF).value
    held.due_at, held.lease_token = until, None


def _is_of(session: Session, row: Certificate, said: CheckedCertificate) -> bool:
    """Return True if the certificate says what the run's answer said, where it says anything."""
    run = session.get_one(Run, row.run_id)
    deciding = select(Observation.reading).where(Observation.run_id == run.id, Observation.n == run.observation_n)
    reading = session.exec(deciding).first()
    if said.verdict_raw is None or reading is None:
        return said.verdict_raw is None
    return Reading.model_validate_json(reading).verdict_raw == said.verdict_raw


def _hold(session: Session, row: Certificate) -> Certificate | None:
    lock_detection(session, row.detection_id)
    held = session.get(Certificate, row.id, populate_existing=True)
    return (
        held
        if held is not None and held.lease_token == row.lease_token and held.state == CertificateState.ANNOUNCED
        else None
    )

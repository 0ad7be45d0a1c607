"""Single requests that belong to no run: the quota, a certificate. They go through the vendor's gate too."""

from datetime import datetime, timedelta

from sqlmodel import Session

from service.detectors.catalogue import Limits
from service.detectors.extensions import Quota
from service.detectors.port import Raw, Refused
from service.quotas.circuit import Circuit
from service.quotas.feedback import GateFeedback, ReportedLimit, feedback_from, reported_limit
from service.quotas.gate_store import GateKey, lock_gates, read_gates
from service.quotas.gates import Purpose, Throttled, acquire, check_gate
from service.quotas.models import Gate

_DAY = timedelta(days=1)
_TOO_MANY = 429


def admit_request(session: Session, key: GateKey, limits: Limits, now: datetime) -> Throttled | None:
    """Count one request that leaves now, or return why it may not. Call last: gates are locked after all other rows."""
    gate = lock_gates(session, [key])[key]
    hold = check_gate(gate, limits, Purpose.POLL, now)
    if hold is None:
        acquire(gate, limits, now)
        session.flush()
    return hold


def quota_request_is_due(session: Session, key: GateKey, now: datetime, *, apart: timedelta) -> bool:
    """Return True if `admit_quota_request` may admit a request: read without a lock, since mostly it would not."""
    gate = read_gates(session).get(key)
    return gate is not None and _is_due(gate, now, apart)


def admit_quota_request(session: Session, key: GateKey, limits: Limits, now: datetime, *, apart: timedelta) -> bool:
    """Count a request for the vendor's quota and return True, or return False if none should leave now.

    One leaves only if other requests went since the last one, at least `apart` ago, and the circuit is closed.
    """
    gate = lock_gates(session, [key])[key]
    if gate.circuit != Circuit.CLOSED or not _is_due(gate, now, apart):
        return False
    if check_gate(gate, limits, Purpose.POLL, now) is not None:
        return False
    acquire(gate, limits, now)
    gate.quota_checked_at, gate.quota_checked_used = now, gate.window_used
    session.flush()
    return True


def quota_feedback(raw: Raw, quota: Quota | Refused) -> GateFeedback:
    """Return what the gate learns from the answer to a request for the quota.

    The action's name may be wrong (ASC documents none): a refusal is not counted as the vendor's failure, but a 429 is.
    """
    if isinstance(quota, Refused):
        return feedback_from(raw, quota) if raw.status == _TOO_MANY else GateFeedback(said=reported_limit(raw))
    midnight = raw.received_at.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    resets_at = quota.resets_at if quota.resets_at is not None else midnight
    if quota.remaining is None or not raw.received_at < resets_at <= raw.received_at + _DAY:
        return GateFeedback(said=reported_limit(raw))
    return GateFeedback(said=ReportedLimit(quota.remaining, resets_at, quota.limit))


def _is_due(gate: Gate, now: datetime, apart: timedelta) -> bool:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if gate.window_started_at is None or gate.window_started_at < today or not gate.window_used:
        return False
    if gate.quota_checked_at is None or gate.quota_checked_at < today:
        return gate.quota_checked_at is None or now - gate.quota_checked_at >= apart
    return now - gate.quota_checked_at >= apart and gate.window_used > (gate.quota_checked_used or 0)

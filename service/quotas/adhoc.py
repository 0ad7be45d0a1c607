"""A single request that is no run's own: a look at the quota, a certificate. It goes through the vendor's gate too."""

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
    """One request may leave now, and is counted; or why it may not. Called last in a transaction."""
    gate = lock_gates(session, [key])[key]
    hold = check_gate(gate, limits, Purpose.POLL, now)
    if hold is None:
        acquire(gate, limits, now)
        session.flush()
    return hold


def quota_request_is_due(session: Session, key: GateKey, now: datetime, *, apart: timedelta) -> bool:
    """Return True if `admit_quota_request` may let one through: read without a lock, for most rounds it would not."""
    gate = read_gates(session).get(key)
    return gate is not None and _worth_a_look(gate, now, apart)


def admit_quota_request(session: Session, key: GateKey, limits: Limits, now: datetime, *, apart: timedelta) -> bool:
    """A look at the vendor's quota may leave now, and is counted: it is one of the requests it counts.

    Only where something else went since the last look, `apart` before at least, and not while a circuit is tried out.
    """
    gate = lock_gates(session, [key])[key]
    if gate.circuit != Circuit.CLOSED or not _worth_a_look(gate, now, apart):
        return False
    if check_gate(gate, limits, Purpose.POLL, now) is not None:
        return False
    acquire(gate, limits, now)
    gate.quota_checked_at, gate.quota_checked_used = now, gate.window_used
    session.flush()
    return True


def quota_feedback(raw: Raw, quota: Quota | Refused) -> GateFeedback:
    """What the gate learns from the answer to such a look.

    The action's name may be wrong (ASC documents none): a refusal is no failure of the vendor, but a 429 is one of us.
    """
    if isinstance(quota, Refused):
        return feedback_from(raw, quota) if raw.status == _TOO_MANY else GateFeedback(said=reported_limit(raw))
    midnight = raw.received_at.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    resets_at = quota.resets_at if quota.resets_at is not None else midnight
    if quota.remaining is None or not raw.received_at < resets_at <= raw.received_at + _DAY:
        return GateFeedback(said=reported_limit(raw))
    return GateFeedback(said=ReportedLimit(quota.remaining, resets_at, quota.limit))


def _worth_a_look(gate: Gate, now: datetime, apart: timedelta) -> bool:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if gate.window_started_at is None or gate.window_started_at < today or not gate.window_used:
        return False
    if gate.quota_checked_at is None or gate.quota_checked_at < today:
        return gate.quota_checked_at is None or now - gate.quota_checked_at >= apart
    return now - gate.quota_checked_at >= apart and gate.window_used > (gate.quota_checked_used or 0)

"""A single request that is no run's own: a look at the quota, a certificate. It goes through the vendor's gate too."""

from datetime import datetime, timedelta

from sqlmodel import Session

from service.detectors.catalogue import Limits
from service.detectors.extensions import Quota
from service.detectors.port import Raw, Refused
from service.spending.circuit import Circuit
from service.spending.gates import Hold, Purpose, charge, held
from service.spending.hearing import Heard, Said, heard, said_limits
from service.spending.lock import GateKey, gates_as_they_are, lock_gates
from service.spending.models import Gate

_DAY = timedelta(days=1)
_TOO_MANY = 429


def let_one(session: Session, key: GateKey, limits: Limits, now: datetime) -> Hold | None:
    """One request may leave now, and is counted; or why it may not. Called last in a transaction."""
    gate = lock_gates(session, [key])[key]
    hold = held(gate, limits, Purpose.POLL, now)
    if hold is None:
        charge(gate, limits, now)
        session.flush()
    return hold


def quota_look_is_due(session: Session, key: GateKey, now: datetime, *, apart: timedelta) -> bool:
    """Return True if `let_quota_look` may let one through: read without a lock, for most rounds it would not."""
    gate = gates_as_they_are(session).get(key)
    return gate is not None and _worth_a_look(gate, now, apart)


def let_quota_look(session: Session, key: GateKey, limits: Limits, now: datetime, *, apart: timedelta) -> bool:
    """A look at the vendor's quota may leave now, and is counted: it is one of the requests it counts.

    Only where something else went since the last look, `apart` before at least, and not while a circuit is tried out.
    """
    gate = lock_gates(session, [key])[key]
    if gate.circuit != Circuit.CLOSED or not _worth_a_look(gate, now, apart):
        return False
    if held(gate, limits, Purpose.POLL, now) is not None:
        return False
    charge(gate, limits, now)
    gate.quota_checked_at, gate.quota_checked_used = now, gate.window_used
    session.flush()
    return True


def told_by(raw: Raw, quota: Quota | Refused) -> Heard:
    """What the gate learns from the answer to such a look.

    The action's name may be wrong (ASC documents none): a refusal is no failure of the vendor, but a 429 is one of us.
    """
    if isinstance(quota, Refused):
        return heard(raw, quota) if raw.status == _TOO_MANY else Heard(said=said_limits(raw))
    midnight = raw.received_at.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    resets_at = quota.resets_at if quota.resets_at is not None else midnight
    if quota.remaining is None or not raw.received_at < resets_at <= raw.received_at + _DAY:
        return Heard(said=said_limits(raw))
    return Heard(said=Said(quota.remaining, resets_at, quota.limit))


def _worth_a_look(gate: Gate, now: datetime, apart: timedelta) -> bool:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if gate.window_started_at is None or gate.window_started_at < today or not gate.window_used:
        return False
    if gate.quota_checked_at is None or gate.quota_checked_at < today:
        return gate.quota_checked_at is None or now - gate.quota_checked_at >= apart
    return now - gate.quota_checked_at >= apart and gate.window_used > (gate.quota_checked_used or 0)

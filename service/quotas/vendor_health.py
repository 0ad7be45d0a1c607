"""The health of a vendor, and what is left of its quota, as its gate knows it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from service.detectors.catalogue import Limits
from service.quotas.circuit import Circuit, blocks
from service.quotas.gates import OUT_OF_CREDIT, closed_word, left_today
from service.quotas.models import Gate


class Health(StrEnum):
    """The health of a vendor, as `GET /v1/detectors` names it."""

    OK = "ok"
    DEGRADED = "degraded"  # they may go, and some fail or wait
    OPEN = "open"  # the circuit is: none goes


@dataclass(frozen=True, slots=True)
class VendorHealth:
    """The health of one vendor in one mode. `last_error` is the reason code of what is wrong now."""

    health: Health = Health.OK
    circuit: Circuit = Circuit.CLOSED
    last_error: str | None = None
    since: datetime | None = None
    quota_left: int | None = None
    quota_resets_at: datetime | None = None


def health_of(gate: Gate | None, limits: Limits, now: datetime) -> VendorHealth:
    """Return the vendor's health by its gate. A vendor without a gate was never asked, and is well."""
    left = left_today(gate, limits, now)
    resets_at = None if left is None else _resets_at(gate, limits, left, now)
    if gate is None:
        return VendorHealth(quota_left=left, quota_resets_at=resets_at)
    unpaid = gate.closed_for == OUT_OF_CREDIT  # also while one run tries again
    closed = unpaid or (gate.closed_until is not None and gate.closed_until > now)
    return VendorHealth(
        health=_health(gate, now, closed=closed),
        circuit=Circuit(gate.circuit),
        last_error=gate.last_error or (closed_word(gate).value if closed else None),
        since=gate.failing_since,
        quota_left=left,
        quota_resets_at=resets_at,
    )


def _health(gate: Gate, now: datetime, *, closed: bool) -> Health:
    if gate.circuit == Circuit.OPEN and blocks(gate, now) is not None:
        return Health.OPEN
    troubled = gate.circuit != Circuit.CLOSED or gate.last_error is not None or closed
    return Health.DEGRADED if troubled else Health.OK


def _resets_at(gate: Gate | None, limits: Limits, left: int, now: datetime) -> datetime:
    """Return when the scarcer of two counts resets: ours at midnight, or the vendor's."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    reported = gate is not None and gate.quota_left is not None and gate.resets_at is not None and gate.resets_at > now
    if gate is None or not reported or gate.resets_at is None:
        return midnight
    scarcer = limits.daily_quota is None or gate.quota_left == left
    return gate.resets_at if scarcer else midnight

"""Every detector there is, as `GET /v1/detectors` shows it: what it takes, how it does, what was measured."""

from datetime import datetime
from typing import Any

from sqlmodel import Session

from service.detectors.catalogue import ConfiguredVendor, Limits, tier_of
from service.detectors.port import Capabilities
from service.kit.clock import rfc3339_or_none
from service.quotas.gate_store import read_gates
from service.quotas.vendor_health import VendorHealth, health_of
from service.runs.policy import DetectionPolicy

_NOT_MEASURED: dict[str, Any] = {
    "health": None,
    "latency": None,
    "callback_loss_pct": None,
    "quota_left": None,
    "quota_resets_at": None,
}


def offered(session: Session, mode: str, policy: DetectionPolicy, now: datetime) -> list[dict[str, Any]]:
    """Each detector in the order of the list. One whose vendor is not configured in this mode is shown unmeasured."""
    gates = read_gates(session)
    shown = []
    for vendor, configured in policy.catalogue.known(mode):
        standing = health_of(gates.get((mode, vendor.adapter.vendor)), vendor.policy.limits, now)
        for detector in vendor.adapter.detectors:
            about = _about(detector, vendor, configured=configured)
            lately = _lately(session, mode, detector, vendor, standing, policy, now) if configured else _NOT_MEASURED
            shown.append({**about, **lately})
    return shown


def _about(detector: str, vendor: ConfiguredVendor, *, configured: bool) -> dict[str, Any]:
    takes = vendor.adapter.capabilities(detector)
    return {
        "detector": detector,
        "vendor": vendor.adapter.vendor,
        "tier": tier_of(detector),
        "tiers": [tier for name in vendor.adapter.detectors if (tier := tier_of(name)) is not None],
        "configured": configured,
        "formats": sorted(takes.formats),
        "limits": _limits(takes, vendor.policy.limits),
        "needs": takes.needs.value,
        "answers": takes.answers,
    }


def _limits(takes: Capabilities, limits: Limits) -> dict[str, int | None]:
    return {
        "max_bytes": takes.max_bytes,
        "min_duration_ms": takes.min_duration_ms,
        "max_duration_ms": takes.max_duration_ms,
        "concurrency": limits.concurrency,
        "per_minute": limits.per_minute,
        "daily_quota": limits.daily_quota,
    }


def _lately(
    session: Session,
    mode: str,
    detector: str,
    vendor: ConfiguredVendor,
    standing: VendorHealth,
    policy: DetectionPolicy,
    now: datetime,
) -> dict[str, Any]:
    measured = policy.measured(session, mode, detector, now)
    latency, calls_back = measured.latency, vendor.adapter.capabilities(detector).answers == "callback"
    return {
        "health": {
            "state": standing.health.value,
            "circuit": standing.circuit.value,
            "last_error": standing.last_error,
            "since": rfc3339_or_none(standing.since),
        },
        "latency": {"p50_ms": latency.p50_ms, "p95_ms": latency.p95_ms, "samples": latency.samples},
        "callback_loss_pct": measured.callback_loss_pct if calls_back else None,
        "quota_left": standing.quota_left,
        "quota_resets_at": rfc3339_or_none(standing.quota_resets_at),
    }

"""The detectors, as `GET /v1/detectors` shows them."""

from typing import Literal

from service.api.schemas.common import Shown, Time
from service.detectors.enums import ReasonCode
from service.detectors.port import Needs
from service.quotas.circuit import Circuit
from service.quotas.vendor_health import Health


class OfferedLimits(Shown):
    """The vendor's limits, and the configured ones; null: no known limit."""

    max_bytes: int | None
    min_duration_ms: int | None
    max_duration_ms: int | None
    concurrency: int | None
    """Concurrent runs at the vendor, for all accounts together; so are the next two."""
    per_minute: int | None
    daily_quota: int | None


class VendorHealth(Shown):
    """The health of the vendor. `open`: it failed repeatedly, and receives no requests until the next trial."""

    state: Health
    circuit: Circuit
    last_error: ReasonCode | None
    """The last error; null if there is none."""
    since: Time | None
    """When the failures began."""


class OfferedLatency(Shown):
    """From submission to answer, over the last seven days and at most 500 runs."""

    p50_ms: int | None
    p95_ms: int | None
    samples: int


class OfferedDetector(Shown):
    """One detector. Figures are of all accounts in this mode together, at most a minute old."""

    detector: str
    vendor: str
    tier: str | None
    tiers: list[str]
    """All tiers of this vendor."""
    configured: bool
    """True if the detector is available in this mode. If not, the last five fields are null."""
    formats: list[str]
    limits: OfferedLimits
    needs: Needs
    """`upload`: the vendor receives the audio; `link`: a link to it."""
    answers: Literal["callback", "poll", "at_once"]
    """The way the answer arrives. Polls replace a callback that never arrives."""
    health: VendorHealth | None
    latency: OfferedLatency | None
    callback_loss_pct: float | None
    """Percentage of successful runs without a callback; null if the vendor sends none."""
    quota_left: int | None
    quota_resets_at: Time | None


class OfferedDetectors(Shown):
    """All detectors, configured or not."""

    data: list[OfferedDetector]

"""What can be asked, as `GET /v1/detectors` shows it."""

from typing import Literal

from service.api.schemas.common import Shown, Time
from service.detectors.enums import ReasonCode
from service.detectors.port import Needs
from service.quotas.circuit import Circuit
from service.quotas.vendor_health import Health


class OfferedLimits(Shown):
    """What the vendor takes, and how much we ask of it; null: no limit that we know of."""

    max_bytes: int | None
    min_duration_ms: int | None
    max_duration_ms: int | None
    concurrency: int | None
    """Runs at the vendor at once, for all accounts together, as the next two."""
    per_minute: int | None
    daily_quota: int | None


class VendorHealth(Shown):
    """How the vendor does. `open`: it failed again and again, and nothing goes there until its next trial."""

    state: Health
    circuit: Circuit
    last_error: ReasonCode | None
    """What the trouble is; null when there is none."""
    since: Time | None
    """When it began to fail."""


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
    """All that this vendor offers."""
    configured: bool
    """Whether it can be asked in this mode. If not, nothing is measured, and the last five are null."""
    formats: list[str]
    limits: OfferedLimits
    needs: Needs
    """Whether the vendor is sent the audio, or a link to it."""
    answers: Literal["callback", "poll", "at_once"]
    """How its answer comes. A callback that stays out is made up for by polls."""
    health: VendorHealth | None
    latency: OfferedLatency | None
    callback_loss_pct: float | None
    """Of the runs that succeeded, those of which no callback had told by then; null where none is to be expected."""
    quota_left: int | None
    quota_resets_at: Time | None


class OfferedDetectors(Shown):
    """All there are, configured or not."""

    data: list[OfferedDetector]

"""The result of one detector, short and full; and the detectors as `GET /v1/detectors` shows them."""

from typing import Any, Literal

from service.api.schemas.common import RunId, Sha256, Shown, Time
from service.detectors.enums import Authenticity, Kind, ReasonCode, RunStatus, Verdict, Via
from service.detectors.port import Needs
from service.detectors.reading import (
    Attribution,
    Component,
    Confidence,
    Content,
    Engine,
    Refs,
    Score,
    Segment,
    SubModel,
)
from service.quotas.circuit import Circuit
from service.quotas.vendor_health import Health


class Obtained(Shown):
    """The way the answer arrived, and how well its origin is verified."""

    via: Via | None
    authenticity: Authenticity | None
    confirmed_by_fetch: bool
    callbacks_seen: int
    duplicates: int


class Timing(Shown):
    """Times by the clock of this service, and by the vendor's."""

    submitted_at: Time | None
    """When the first submission was sent that the vendor answered, or may have accepted."""
    vendor_submitted_at: Time | None
    vendor_completed_at: Time | None
    received_at: Time | None
    ended_at: Time | None
    vendor_ms: int | None
    """As the vendor reports it."""
    wall_ms: int | None
    """From `submitted_at` to `received_at`; null without an answer."""


class Cost(Shown):
    """The price of the vendor. Unknown values are null."""

    amount: str | None
    """An exact decimal."""
    currency: str | None
    basis: Literal["list_price", "vendor_reported", "estimate", "unknown"]
    billed: bool | None


class DetectorSummary(Shown):
    """The result of one detector, as webhooks and lists contain it."""

    run_id: RunId
    detector: str
    vendor: str
    tier: str | None
    engine: Engine
    status: RunStatus
    """`not_applicable`: the vendor refused the content. Only `succeeded` comes with a verdict."""
    reason_code: ReasonCode | None
    reason_text: str | None
    retryable: bool
    verdict: Verdict | None
    verdict_raw: str | None
    """The vendor's own term."""
    verdict_derived: bool
    """True if the service inferred the verdict."""
    kind: Kind | None
    score: Score | None
    """The vendor's own number with its range and meaning. Not a probability: do not compare it across detectors."""
    confidence: Confidence | None
    components: dict[str, Component]
    content: Content | None
    attribution: Attribution | None
    reasons: list[str]
    refs: Refs
    obtained: Obtained
    timing: Timing
    cost: Cost
    waiting_for: str | None
    """Why the run waits, while it does; `answer`: it was submitted, and the vendor has not answered."""
    possible_duplicate_charge: bool
    """The vendor may have received two submissions: the connection broke before its answer."""


class Raw(Shown):
    """The vendor's answer, byte for byte; `body_base64` instead of `body` if it is not UTF-8."""

    sha256: Sha256
    content_type: str | None
    body: str | None
    """Null after erasure."""
    body_base64: str = ""


class RawEvent(Shown):
    """The hash of a further stored answer."""

    sha256: Sha256
    received_at: Time
    via: Via


class DetectorResult(DetectorSummary):
    """The full result of one detector."""

    next_look_at: Time | None
    """When the run is submitted or polled next; null while that happens, and after its end."""
    deadline_at: Time | None
    """When the run ends at the latest; null after its end, and until a cascade reaches it."""
    segments: list[Segment]
    sub_models: list[SubModel]
    raw: Raw | None
    raw_events: list[RawEvent]
    extras: dict[str, Any]
    """Fields of the vendor that this schema does not contain yet."""


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

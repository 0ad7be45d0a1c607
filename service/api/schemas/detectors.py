"""One detector's part of a result: the short form, and what the full one adds."""

from typing import Any, Literal

from service.api.schemas.common import RunId, Sha256, Shown, Time
from service.detectors.enums import Authenticity, Kind, ReasonCode, RunStatus, Verdict, Via
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


class Obtained(Shown):
    """How the answer came, and how far it is known to be the vendor's own."""

    via: Via | None
    authenticity: Authenticity | None
    confirmed_by_fetch: bool
    callbacks_seen: int
    duplicates: int


class Timing(Shown):
    """Our clock, and the vendor's beside it."""

    submitted_at: Time | None
    """When the first submission left that the vendor answered, or may have taken."""
    vendor_submitted_at: Time | None
    vendor_completed_at: Time | None
    received_at: Time | None
    ended_at: Time | None
    vendor_ms: int | None
    """As the vendor says."""
    wall_ms: int | None
    """From `submitted_at` to `received_at`; null without an answer."""


class Cost(Shown):
    """What the vendor takes for it. Nothing is claimed that is not known."""

    amount: str | None
    """An exact decimal."""
    currency: str | None
    basis: Literal["list_price", "vendor_reported", "estimate", "unknown"]
    billed: bool | None


class DetectorSummary(Shown):
    """One detector's part, as webhooks and lists carry it."""

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
    """The vendor's own word."""
    verdict_derived: bool
    """We had to infer the verdict."""
    kind: Kind | None
    score: Score | None
    """The vendor's own number with its range and meaning. No probability, and not to be compared across detectors."""
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
    """What holds the run up, while something does; `answer`: its submission is at the vendor."""
    possible_duplicate_charge: bool
    """A submission may have left twice: the connection broke before its answer."""


class Raw(Shown):
    """The vendor's answer, byte for byte; `body_base64` instead of `body` where it is not UTF-8."""

    sha256: Sha256
    content_type: str | None
    body: str | None
    """Null once it is erased."""
    body_base64: str = ""


class RawEvent(Shown):
    """A further answer that is on record, by its hash."""

    sha256: Sha256
    received_at: Time
    via: Via


class DetectorResult(DetectorSummary):
    """One detector's part with all of it."""

    next_look_at: Time | None
    """When it is submitted or asked for next; null while that is being done, and after its end."""
    deadline_at: Time | None
    """When it ends at the latest; null after its end, and before a cascade comes to it."""
    segments: list[Segment]
    sub_models: list[SubModel]
    raw: Raw | None
    raw_events: list[RawEvent]
    extras: dict[str, Any]
    """The vendor's fields that have no place yet."""

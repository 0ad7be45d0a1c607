"""Audio, and a detection: the short form for lists and webhooks, the full one, its timeline, its certificate."""

from typing import Any, Literal

from pydantic import ConfigDict

from service.api.schemas.common import DetectionId, MediaId, Mode, Page, RunId, Sha256, Shown, Time
from service.api.schemas.detectors import DetectorResult, DetectorSummary
from service.detectors.enums import ReasonCode, Verdict
from service.detectors.reading import Conflict, Number
from service.verdicts.verdict import DetectionStatus
from service.verdicts.votes import Agreement, OutcomeReason, Rule


class Media(Shown):
    """Uploaded or fetched audio. The same bytes uploaded again are the same media."""

    id: MediaId
    mode: Mode
    sha256: Sha256
    bytes: int
    filename: str | None
    content_type: str
    """Determined from the bytes, not from what the upload claimed."""
    duration_ms: int | None
    """Null if the audio's header does not contain it."""
    created_at: Time


class Links(Shown):
    """Paths of related objects."""

    self: str
    full: str
    timeline: str


class Track(Shown):
    """The analysed audio. All but `source` is null until the audio was fetched."""

    media_id: MediaId | None
    filename: str | None
    audio_sha256: Sha256 | None
    duration_ms: int | None
    bytes: int | None
    source: str | None


class Votes(Shown):
    """The number of detectors by their vote."""

    ai: int
    no_ai: int
    abstained: int
    no_answer: int


class JointComponent(Shown):
    """The combined verdict of the detectors that judged one layer of the music."""

    verdict: Verdict
    detectors: list[str]


class JointComponents(Shown):
    """The verdict of each layer; null if no detector judged it."""

    vocals: JointComponent | None
    instrumental: JointComponent | None
    composition: JointComponent | None
    engineering: JointComponent | None


class Candidate(Shown):
    """A generator that one detector named."""

    detector: str
    raw_label: str | None
    family: str | None
    version: str | None
    score: Number | None


class JointAttribution(Shown):
    """The generator that no detector contradicts; only for a positive verdict."""

    family: str | None
    version: str | None
    agreement: Literal["single", "agree", "conflict", "none"]
    candidates: list[Candidate]


class Review(Shown):
    """The review by a person: if it is required, and its decision."""

    required: bool
    reasons: list[str]
    state: Literal["none", "open", "decided"]
    decision: str | None
    decided_by: str | None
    decided_at: Time | None
    note: str | None


class Decision(Shown):
    """The way the votes were combined: enough to reproduce it."""

    rule: Rule
    quorum: int
    detectors_expected: list[str]
    rule_version: str


class CostSum(Shown):
    """The cost of all submissions of one currency and basis; `amount` is null if a price is unknown."""

    currency: str | None
    amount: str | None
    basis: Literal["list_price", "vendor_reported", "estimate", "unknown"]


class Totals(Shown):
    """Totals over all runs. `from_cache`: every answer was reused, and no vendor was asked."""

    cost: list[CostSum]
    wall_ms: int | None
    detectors_called: int
    from_cache: bool


class _Detection(Shown):
    id: DetectionId
    revision: int
    supersedes: int | None
    """The revision before this one."""
    mode: Mode
    schema_version: str
    links: Links
    external_id: str | None
    metadata: dict[str, Any]
    declared: dict[str, Any] | None
    track: Track
    status: DetectionStatus
    """The status of the detection. `completed_partial`: some detectors gave no answer."""
    verdict: Verdict | None
    """Null until the end. `not_analyzed` is never a pass, and `no_ai_detected` does not prove human authorship."""
    outcome_reason: OutcomeReason | None
    display: str | None
    """One sentence for people; null until the end."""
    agreement: Agreement
    votes: Votes
    components: JointComponents
    attribution: JointAttribution
    review: Review
    decision: Decision
    conflicts: list[Conflict]


class DetectionSummary(_Detection):
    """The short form of a result, small enough for an event. The full form is at `links.full`."""

    detectors: list[DetectorSummary]
    totals: Totals
    created_at: Time
    completed_at: Time | None


class Detection(_Detection):
    """A result. Enums may grow: never treat a value that you do not know as a verdict."""

    detectors: list[DetectorResult]
    totals: Totals
    created_at: Time
    completed_at: Time | None


class DetectionPage(Page[DetectionSummary]):
    """A page of the account's detections, newest first."""


class Fact(Shown):
    """Something that happened. Further fields depend on `kind`."""

    model_config = ConfigDict(extra="allow")

    at: Time
    kind: str
    run_id: RunId = ""
    """Present if the fact is about one run."""


class Waits(Shown):
    """The wait of the customer by cause: the sum is the whole wait."""

    vendor_ms: int
    relay_ms: int
    customer_ms: int


class Timeline(Shown):
    """Every fact in order, and the wait split by cause."""

    data: list[Fact]
    waits: Waits


class Certificate(Shown):
    """A vendor's certificate of its analysis. It proves the result of that detector, not human authorship."""

    certificate_id: str
    """The vendor's id of the certificate."""
    detection_id: DetectionId
    run_id: RunId
    detector: str
    format: Literal["pdf"]
    verification_url: str | None
    """A public page that shows whether the certificate is valid."""
    download_url: str | None
    expires_at: Time | None
    issued_at: Time | None
    """By the vendor's clock."""
    ready_at: Time
    """By the clock of this service."""


class CheckedCertificate(Certificate):
    """The certificate, and its state at the vendor now."""

    valid: bool | None
    """Null if the vendor could not be asked, or did not say."""
    checked_at: Time | None
    reason_code: ReasonCode | None
    """Why `valid` is null, if the vendor refused to answer."""
    reason_text: str | None


class CertificateReady(Shown):
    """`data` of `certificate.ready`."""

    detection_id: DetectionId
    run_id: RunId
    certificate: Certificate

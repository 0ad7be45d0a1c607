"""What a result is composed from: plain facts, read from the tables by others. Nothing is decided here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from service.billing.prices import Charge
from service.detectors.enums import Authenticity, ReasonCode, RunStatus, Via
from service.detectors.reading import Reading, Refs
from service.verdicts.votes import OutcomeReason, Part, Rule


@dataclass(frozen=True, slots=True)
class TrackFacts:
    """The audio that was analysed. `audio_sha256` is the hash of exactly those bytes."""

    media_id: str
    filename: str | None
    audio_sha256: str
    bytes: int
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DetectionFacts:
    """One revision of a detection: what was asked, and of what."""

    id: str
    mode: Literal["live", "test"]
    rule: Rule
    quorum: int
    detectors_expected: Sequence[str]
    created_at: datetime
    source: Literal["url", "upload"]
    completed_at: datetime | None = None
    revision: int = 1
    asked_at: datetime | None = None  # when it was asked again; None at first
    external_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    declared: Mapping[str, Any] | None = None
    track: TrackFacts | None = None  # None until the source has been fetched
    source_failure: OutcomeReason | None = None

    @property
    def declared_ai(self) -> bool | None:
        """What the uploader declared of it; `None` where nothing was declared."""
        claim = self.declared.get("ai") if self.declared is not None else None
        return claim if isinstance(claim, bool) else None


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One stored body that spoke of this run, in the order received."""

    sha256: str
    received_at: datetime
    via: Via


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run: how far it is, what it said, how we got it."""

    run_id: str
    detector: str
    vendor: str
    status: RunStatus
    tier: str | None = None
    reason_code: ReasonCode | None = None
    reason_text: str | None = None
    retryable: bool = False
    reading: Reading | None = None
    submitted_at: datetime | None = None
    received_at: datetime | None = None
    ended_at: datetime | None = None
    via: Via | None = None
    authenticity: Authenticity | None = None
    confirmed_by_fetch: bool = False
    callbacks_seen: int = 0
    duplicates: int = 0
    possible_duplicate_charge: bool = False
    waiting_for: str | None = None
    next_look_at: datetime | None = None
    deadline_at: datetime | None = None  # None: not running yet, or no more
    raw_sha256: str | None = None
    raw_content_type: str | None = None
    raw_events: Sequence[RawEvent] = ()
    reused: bool = False
    charges: Sequence[Charge] = ()  # submissions that were, or may have been, paid for
    refs: Refs = field(default_factory=Refs)  # what we recorded ourselves, e.g. the vendor's job id
    vendor_submitted_at: datetime | None = None  # by the vendor's clock, where the deciding answer does not say it
    vendor_completed_at: datetime | None = None

    @property
    def part(self) -> Part:
        """This run as the verdict sees it."""
        return Part(self.run_id, self.detector, self.vendor, self.status, self.reason_code, self.reading)


@dataclass(frozen=True, slots=True)
class ReviewFacts:
    """What a person decided. It stands beside the votes and never edits them."""

    decision: str
    decided_by: str
    decided_at: datetime
    note: str | None = None

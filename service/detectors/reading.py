"""What a vendor's answer means, normalised: the shape every adapter fills and every result is built from.

Field names are the customer's (`docs/detections.md`). An absent measurement is `None`, never 0. Scores stay as
the vendor sent them: they are never rescaled, averaged or compared across detectors.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.detectors.enums import ConflictKind, Kind, ReasonCode, RunStatus, Verdict

Number = int | float


class _Part(BaseModel):
    # An answer shows every field, also one that has its default: so the API's description says "required".
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


class Engine(_Part):
    """The vendor's engine, as far as it names one."""

    name: str | None = None
    version: str | None = None


class Score(_Part):
    """The vendor's own number with its meaning. Not a probability."""

    value: Number
    min: Number
    max: Number
    semantics: Literal["ai_likelihood", "predicted_class_confidence", "ai_duration_share", "ai_window_share"]
    polarity: Literal["ai_high", "class"]
    calibrated: Literal[False] = False
    comparable_within: Literal["detector+engine"] = "detector+engine"


class Confidence(_Part):
    """The vendor's own certainty: a number, an open label, or both."""

    value: Number | None = None
    label: str | None = None
    semantics: Literal["class", "mean_window", "max_window", "label"]


class Component(_Part):
    """One layer of the music (vocals, instrumental, composition, engineering)."""

    verdict: Verdict | None = None
    evaluated: bool = True
    ai_share_pct: Number | None = None
    share_base: Literal["clip_duration", "eligible_windows"] | None = None
    confidence: Number | None = None
    confidence_semantics: str | None = None


class Content(_Part):
    """What the vendor heard; the percentages may sum to more than 100."""

    vocal_pct: Number | None = None
    instrumental_pct: Number | None = None
    silence_pct: Number | None = None
    duration_ms: int | None = None


class Alternative(_Part):
    """A further candidate for the generator, with the vendor's number for it."""

    raw_label: str
    score: Number | None = None


class Attribution(_Part):
    """Which generator made it, where the detector names one."""

    raw_label: str | None = None
    family: str | None = None
    version: str | None = None
    score: Number | None = None
    alternatives: list[Alternative] = Field(default_factory=list)


class Segment(_Part):
    """A stretch of the track. Times are `None` where the vendor gives none."""

    index: int
    start_ms: int | None = None
    end_ms: int | None = None
    source: str | None = None
    component: str | None = None
    verdict: Verdict | None = None
    labels: list[str] = Field(default_factory=list)
    scores: dict[str, Number] = Field(default_factory=dict)


class SubModel(_Part):
    """One member of a vendor's ensemble, verbatim."""

    id: str | None = None
    focus: str | None = None
    task: str | None = None
    labels: list[str] = Field(default_factory=list)
    verdict_raw: Any = None
    score: Any = None
    votes_in_final: bool | None = None
    segments: list[Segment] = Field(default_factory=list)


class Refs(_Part):
    """The vendor's names for things. Always strings."""

    job_id: str | None = None
    request_id: str | None = None
    other: dict[str, str] = Field(default_factory=dict)


class Conflict(_Part):
    """A contradiction worth a person's look."""

    kind: ConflictKind
    detail: str


class Reading(_Part):
    """One answer of one detector, in our words.

    `status` is `pending` or `running` while the vendor still works (nothing is decided then), `succeeded` with
    a verdict, `not_applicable` when the vendor refused the content, `failed` when it could not answer.
    """

    status: RunStatus
    reason_code: ReasonCode | None = None
    reason_text: str | None = None
    retryable: bool = False
    verdict: Verdict | None = None
    verdict_raw: str | None = None
    verdict_derived: bool = False
    kind: Kind | None = None
    engine: Engine = Engine()
    tier: str | None = None
    score: Score | None = None
    confidence: Confidence | None = None
    components: dict[str, Component] = Field(default_factory=dict)
    content: Content | None = None
    attribution: Attribution | None = None
    segments: list[Segment] = Field(default_factory=list)
    sub_models: list[SubModel] = Field(default_factory=list)
    reasons: list[str] = Field(default_factory=list)
    refs: Refs = Refs()
    vendor_submitted_at: datetime | None = None
    vendor_completed_at: datetime | None = None
    vendor_ms: int | None = None
    conflicts: list[Conflict] = Field(default_factory=list)
    extras: dict[str, Any] = Field(default_factory=dict)

    @property
    def claims_an_end(self) -> bool:
        """True if the vendor says it has finished, well or badly."""
        return self.status not in (RunStatus.PENDING, RunStatus.RUNNING)

    @property
    def met_unknown_status(self) -> bool:
        """True if the vendor's word for its progress is unknown. It counts as still running, and is alerted."""
        return "unknown_status" in self.extras

"""The port: what every vendor's adapter offers, and what it is given.

Talking and understanding are apart. `prepare`, `submit` and `fetch` send one request and return the answer's
bytes, untouched; `parse_prepare`, `parse_submit` and `read` are pure and say what those bytes mean. So raw answers are
stored beside what was made of them, and a mended adapter can judge them again without asking the vendor.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from service.detectors.enums import Authenticity, ReasonCode
from service.detectors.reading import Reading


class Needs(StrEnum):
    """In which form a vendor wants the audio."""

    UPLOAD = "upload"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a detector takes and how it answers. Sizes in bytes, durations in milliseconds."""

    formats: frozenset[str]  # our format words: mp3 wav flac m4a aac ogg webm aiff
    needs: Needs
    takes_link: bool = False  # though it needs an upload: the customer's own URL, where the operator says `original`
    max_bytes: int | None = None
    min_duration_ms: int | None = None
    max_duration_ms: int | None = None
    prepares: bool = False  # a step before submit, whose reference we record
    callbacks: str | None = None  # "account": one address for all runs; "run": one address each; None: none
    polled: bool = False  # though it sends no callbacks, it has jobs that can be asked for

    @property
    def answers(self) -> Literal["callback", "poll", "at_once"]:
        """The way of its answer: to the submission, or later."""
        if self.callbacks is not None:
            return "callback"
        return "poll" if self.polled else "at_once"


@dataclass(frozen=True, slots=True)
class RunContext:
    """Everything an adapter may know of the run it works for."""

    run_id: str
    detector: str  # e.g. "aippim/standard"
    tier: str | None
    name: str  # what the vendor is told the audio is called, e.g. "run_01….mp3"
    media_bytes: int
    media_type: str  # e.g. "audio/mpeg"
    read_media: Callable[[], AsyncIterator[bytes]]  # the hashed bytes, from the start, at each call
    media_url: str | None = None
    callback_url: str | None = None
    sandbox_name: str | None = None  # in test mode only: `name`, for a twin that is sent no file name
    prepared_ref: str | None = None
    vendor_job_id: str | None = None
    on_partial: "Callable[[Raw, Reading], Awaitable[None]] | None" = None
    """Called with each partial answer: `running`, with the `segments` that are new. It may be slow, and fail."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A vendor's answer as it came. For a callback, `status` is 200 and `headers` are the request's."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    received_at: datetime

    @property
    def content_type(self) -> str:
        """The media type without parameters, or an empty string."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Prepared:
    """The first step is done; `ref` is what submit needs (AIPPIM: the `musicId`)."""

    ref: str
    other: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The vendor took the job. `estimate_seconds` is its own guess, where it gives one."""

    job_id: str
    estimate_seconds: int | None = None
    other: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """The vendor answered, but not with what was asked for. Never a verdict.

    `retryable` says whether the same request may do better later; `retry_after_seconds` is the vendor's hint.
    """

    reason_code: ReasonCode
    reason_text: str
    retryable: bool
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class CallbackRefs:
    """What a callback's body says it is about. `job_id` is `None` where it names no job."""

    job_id: str | None
    certificate_id: str | None = None  # where it speaks of a certificate


class Adapter(Protocol):
    """One vendor. Built per mode (live or test) with its address, key and exchange."""

    vendor: str  # the name in callback paths and settings, e.g. "aippim"
    detectors: Sequence[str]  # what we offer of it, the default first, e.g. ("aippim/standard", …)

    def capabilities(self, detector: str) -> Capabilities:
        """Return what this detector takes."""

    async def prepare(self, context: RunContext) -> Raw:
        """Take the first of two steps and return the vendor's answer. Only where `capabilities().prepares`.

        Raise `exchange.NotSent` or `exchange.OutcomeUnknown`.
        """

    def parse_prepare(self, raw: Raw) -> Prepared | Refused:
        """Return what `prepare` achieved."""

    async def submit(self, context: RunContext) -> Raw:
        """Start the analysis, which is billed, and return the vendor's answer.

        Raise `exchange.NotSent` (safe to repeat) or `exchange.OutcomeUnknown` (may have been taken).
        """

    def parse_submit(self, raw: Raw) -> Accepted | Reading | Refused:
        """Return what `submit` achieved: a job under way, an answer at once, or a refusal."""

    async def fetch(self, context: RunContext) -> Raw:
        """Ask for the state of `context.vendor_job_id` and return the vendor's answer. Raise as `submit` does."""

    async def check_credentials(self) -> Raw:
        """Send a request that spends nothing; the vendor's answer shows if we can be reached and are known.

        For checks of the deployment. Raise as `submit` does.
        """

    def read(self, raw: Raw, detector: str) -> Reading | Refused:
        """Return what a fetched answer or a callback's body means. Pure: never raise, never guess.

        Unknown words become `unknown_verdict` or `schema_mismatch`, or keep the run going; never a verdict.
        A `Refused` speaks of the request (429, 5xx, key unknown), not of the track.
        """

    def verify(
        self, headers: Mapping[str, str], body: Mapping[str, object], secrets: Sequence[str], now: datetime
    ) -> Authenticity | None:
        """Return how authentic a callback is, or `None` if it must be rejected. `headers` in lower case."""

    def challenge(self, body: Mapping[str, object]) -> dict[str, object] | None:
        """Return the echo when the body is the vendor's address check, else `None`."""

    def refs(self, body: Mapping[str, object]) -> CallbackRefs | None:
        """Return the job that a callback speaks of; `None` if the body contradicts itself (it is rejected then)."""

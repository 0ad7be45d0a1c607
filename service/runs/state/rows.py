"""The rows that deciding works on: plain values with the columns of their tables.

A rule gets copies and changes those; what differs afterwards is saved. What each column means stands in `models`.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class DetectionRow:
    """One question."""

    id: str
    account_id: str
    mode: str
    created_at: datetime
    rule: str
    quorum: int
    status: str
    answer_by_at: datetime
    deadline_at: datetime
    source_name: str
    source_state: str
    external_id: str | None = None
    metadata_json: str = "{}"
    declared_json: str | None = None
    force: bool = False
    revision: int = 0
    verdict: str | None = None
    outcome_reason: str | None = None
    completed_at: datetime | None = None
    source_url: str | None = None
    source_tries: int = 0
    source_ended_at: datetime | None = None
    media_id: str | None = None
    due_at: datetime | None = None
    lease_token: str | None = None
    round: int = 1
    rechecked_at: datetime | None = None
    delay_due_at: datetime | None = None
    delayed_at: datetime | None = None
    erased_at: datetime | None = None


@dataclass(slots=True)
class RunRow:
    """One detector's part in one detection."""

    id: str
    detection_id: str
    position: int
    account_id: str
    mode: str
    vendor: str
    detector: str
    state: str
    created_at: datetime
    deadline_at: datetime
    round: int = 1
    tier: str | None = None
    due_at: datetime | None = None
    lease_token: str | None = None
    throttled_at: datetime | None = None
    dedup_key: str | None = None
    leader_key: str | None = None
    follows_run_id: str | None = None
    followed_at: datetime | None = None
    followers_due_at: datetime | None = None
    successor_run_id: str | None = None
    submitted_as_run_id: str | None = None
    prepared_ref: str | None = None
    submit_started_at: datetime | None = None
    submitted_at: datetime | None = None
    submit_tries: int = 0
    refusals: int = 0
    resubmitted: bool = False
    vendor_job_id: str | None = None
    refs_json: str = "{}"
    media_fetches: int = 0
    polls: int = 0
    confirmations: int = 0
    polled_at: datetime | None = None
    confirmation_requested_at: datetime | None = None
    callback_authenticity: str | None = None
    reason_code: str | None = None
    reason_text: str | None = None
    retryable: bool = False
    waiting_for: str | None = None
    last_refusal: str | None = None
    via: str | None = None
    authenticity: str | None = None
    confirmed_by_fetch: bool = False
    observation_n: int | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(slots=True)
class ObservationRow:
    """One normalised look at a run, or one try to submit it."""

    run_id: str
    n: int
    via: str
    at: datetime
    effect: str
    http_status: int | None = None
    callback_id: str | None = None
    reading: str | None = None
    refusal: str | None = None
    reason_text: str | None = None
    body_sha256: str | None = None
    content_type: str | None = None
    outcome: str | None = None
    left_at: datetime | None = None
    retry_after_seconds: int | None = None
    next_at: datetime | None = None


@dataclass(slots=True)
class MediaRow:
    """What deciding needs of some audio."""

    id: str
    account_id: str
    mode: str
    sha256: str
    name: str
    bytes: int
    format: str
    content_type: str
    duration_ms: int | None = None
    delete_after: datetime | None = None
    erased_at: datetime | None = None


@dataclass(slots=True)
class LedgerRow:
    """One submission that was taken, or may have been. `id` is `None` until it is saved."""

    id: int | None
    account_id: str
    mode: str
    detection_id: str
    run_id: str
    detector: str
    at: datetime
    amount_micros: int | None
    currency: str | None
    basis: str
    kind: str
    billed: bool | None = None


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """One answer given. `result` is JSON text."""

    detection_id: str
    n: int
    verdict: str
    status: str
    result: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RawBodyRow:
    """Bytes as a vendor sent them."""

    owner_id: str
    sha256: str
    body: bytes
    content_type: str
    created_at: datetime

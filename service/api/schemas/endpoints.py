"""Webhook endpoints and deliveries as their owner sees them."""

from typing import Literal

from service.api.schemas.common import AttemptId, DeliveryId, DetectionId, EndpointId, EventId, Page, Shown, Time


class Endpoint(Shown):
    """A URL that receives events."""

    id: EndpointId
    url: str
    events: list[str]
    description: str | None
    headers: dict[str, str]
    """The values are masked."""
    rate_limit_per_second: int | None
    status: Literal["enabled", "disabled"]
    disabled_reason: str | None
    created_at: Time


class NewEndpoint(Endpoint):
    """The endpoint with its signing secret, which is shown this once."""

    secret: str


class EndpointPage(Page[Endpoint]):
    """A page of the account's endpoints, newest first."""


class Secret(Shown):
    """The newest signing secret."""

    id: EndpointId
    secret: str


class Rotated(NewEndpoint):
    """The endpoint with its new secret. Deliveries carry a signature of each secret until the older ones expire."""

    previous_secrets_end_at: Time


class Pinged(Shown):
    """The new event, and its delivery."""

    event_id: EventId
    delivery_id: DeliveryId


class Recovered(Shown):
    """The number of requeued deliveries, and whether another request would find more."""

    resent: int
    has_more: bool


class AttemptCounts(Shown):
    """Attempts of the last 24 hours, the latest thousand of them."""

    total: int
    succeeded: int
    failed: int


class Latency(Shown):
    """The latency of answered attempts; null if there was none."""

    p50: int | None
    p95: int | None


class Backlog(Shown):
    """The number of waiting deliveries by status."""

    pending: int
    blocked: int
    held: int


class Stats(Shown):
    """The statistics of an endpoint."""

    endpoint_id: EndpointId
    since: Time
    attempts: AttemptCounts
    success_rate: float | None
    latency_ms: Latency
    backlog: Backlog
    oldest_waiting_at: Time | None
    oldest_waiting_ms: int | None
    failing_since: Time | None
    failures: int


class Phases(Shown):
    """Milliseconds; null for what did not happen. `connect` includes the TLS handshake."""

    dns: int | None
    connect: int | None
    tls: int | None
    first_byte: int | None
    total: int | None


class Attempt(Shown):
    """One HTTP try."""

    id: AttemptId
    n: int
    started_at: Time
    status_code: int | None
    error_class: str | None
    """Null where it was taken."""
    phases_ms: Phases
    response_excerpt: str | None
    explanation: str
    """What it means, for people."""


class Delivery(Shown):
    """One event to one endpoint."""

    id: DeliveryId
    endpoint_id: EndpointId
    event_id: EventId
    event_type: str | None
    detection_id: DetectionId | None
    status: Literal["pending", "blocked", "held", "succeeded", "exhausted", "skipped"]
    """`blocked`: an older event of the same detection goes first. `held`: the endpoint is disabled."""
    lane: str
    next_attempt_at: Time | None
    """Null where none is planned, and while one is under way."""
    attempts: list[Attempt]


class DeliveryPage(Page[Delivery]):
    """Some of the account's deliveries, newest first."""

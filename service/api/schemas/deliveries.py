"""Deliveries and their attempts."""

from typing import Literal

from service.api.schemas.common import AttemptId, DeliveryId, DetectionId, EndpointId, EventId, Page, Shown, Time


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

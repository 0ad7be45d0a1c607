"""Events as the feed shows them, and the data of those that are no detection's result."""

from typing import Any

from service.api.schemas.common import DetectionId, EndpointId, EventId, Shown, Time
from service.api.schemas.detections import DetectionSummary
from service.api.schemas.detectors import DetectorSummary
from service.events.types import EventType


class Event(Shown):
    """A fact, as webhooks carry it. `data` is by type as under `webhooks`.

    Once its detection is erased, `data` is only `{id, revision, erased_at}`.
    """

    id: EventId
    """The same that deliveries carry as `webhook-id`."""
    type: EventType
    timestamp: Time
    data: dict[str, Any]


class EventPage(Shown):
    """Some of the account's events, oldest first."""

    data: list[Event]
    has_more: bool
    next_cursor: str
    """Where to read on; after the last event, it is the place where the next will stand."""


class Waiting(Shown):
    """A run that has not answered, and what it waits for."""

    detector: str
    reason: str


class Delay(Shown):
    """Why it takes so long, and until when."""

    reason: str
    waiting_for: list[Waiting]
    answer_by_at: Time
    estimated_at: Time
    """Our next look at the slowest run."""
    ends_at_latest: Time


class DelayedDetection(DetectionSummary):
    """`data` of `detection.delayed`: how it stands, and why it is late."""

    delay: Delay


class DetectorCompleted(Shown):
    """`data` of `detector.completed`."""

    detection_id: DetectionId
    run: DetectorSummary


class EndpointFailing(Shown):
    """`data` of `webhook_endpoint.failing`: a warning before it is disabled."""

    endpoint_id: EndpointId
    url: str
    failing_since: Time
    failures: int
    percent: int
    """How much of the time after which it is disabled has passed."""
    disables_at: Time


class EndpointDisabled(Shown):
    """`data` of `webhook_endpoint.disabled`."""

    endpoint_id: EndpointId
    url: str
    disabled_reason: str
    disabled_at: Time


class EndpointRecovered(Shown):
    """`data` of `webhook_endpoint.recovered`."""

    endpoint_id: EndpointId
    url: str
    recovered_at: Time


class EndpointPing(Shown):
    """`data` of `webhook_endpoint.ping`."""

    endpoint_id: EndpointId

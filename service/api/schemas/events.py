"""Events as the feed shows them; and as they are sent: the schema of `data` by event type, and the headers."""

from typing import Any

from pydantic import BaseModel

from service.api.schemas.common import DetectionId, EndpointId, EventId, Shown, Time
from service.api.schemas.detections import CertificateReady, DetectionSummary
from service.api.schemas.detectors import DetectorSummary
from service.events.types import EventType


class Event(Shown):
    """An event, as webhooks carry it. The schema of `data` by type is under `webhooks`.

    After the erasure of its detection, `data` is only `{id, revision, erased_at}`.
    """

    id: EventId
    """The same id as `webhook-id` in deliveries."""
    type: EventType
    timestamp: Time
    data: dict[str, Any]


class EventPage(Shown):
    """A page of the account's events, oldest first."""

    data: list[Event]
    has_more: bool
    next_cursor: str
    """The `cursor` of the next page; after the last event, the next page will hold new events."""


class Waiting(Shown):
    """A run without an answer, and what it waits for."""

    detector: str
    reason: str


class Delay(Shown):
    """Why the result is late, and when to expect it."""

    reason: str
    waiting_for: list[Waiting]
    answer_by_at: Time
    estimated_at: Time
    """When the slowest run is polled next."""
    ends_at_latest: Time


class DelayedDetection(DetectionSummary):
    """`data` of `detection.delayed`: the result so far, and why it is late."""

    delay: Delay


class DetectorCompleted(Shown):
    """`data` of `detector.completed`."""

    detection_id: DetectionId
    run: DetectorSummary


class EndpointFailing(Shown):
    """`data` of `webhook_endpoint.failing`: a warning before the endpoint is disabled."""

    endpoint_id: EndpointId
    url: str
    failing_since: Time
    failures: int
    percent: int
    """Percentage of the time after which the endpoint is disabled."""
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


SENT: dict[EventType, tuple[str, type[BaseModel]]] = {
    EventType.DETECTION_COMPLETED: (
        "At least one detector answered, or all declined the content.",
        DetectionSummary,
    ),
    EventType.DETECTION_FAILED: (
        "No detector could answer: `data.outcome_reason` says why. Never a pass.",
        DetectionSummary,
    ),
    EventType.DETECTION_DELAYED: ("The result is late; a final event follows.", DelayedDetection),
    EventType.DETECTION_REVISED: (
        "A late answer or a recheck created a new revision; sent once for each.",
        DetectionSummary,
    ),
    EventType.DETECTION_CANCELLED: ("The detection was cancelled.", DetectionSummary),
    EventType.DETECTOR_COMPLETED: ("One run ended; sent only to endpoints that name this type.", DetectorCompleted),
    EventType.REVIEW_REQUIRED: ("Detectors disagree, or too few voted; sent after the final event.", DetectionSummary),
    EventType.CERTIFICATE_READY: ("A vendor's certificate is ready; sent once for each.", CertificateReady),
    EventType.ENDPOINT_FAILING: (
        "An endpoint has been failing for long; sent to the account's other endpoints.",
        EndpointFailing,
    ),
    EventType.ENDPOINT_DISABLED: ("An endpoint was disabled; sent to the account's other endpoints.", EndpointDisabled),
    EventType.ENDPOINT_RECOVERED: (
        "A failing endpoint accepted an event; sent to the account's other endpoints.",
        EndpointRecovered,
    ),
    EventType.ENDPOINT_PING: ("The test event that you requested; sent to that endpoint alone.", EndpointPing),
}

HEADERS = {
    "webhook-id": "The event's id, the same on every attempt: use it to deduplicate.",
    "webhook-timestamp": "The time when this attempt was signed, in Unix seconds.",
    "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, one for each valid secret.",
}

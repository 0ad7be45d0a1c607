"""The events that are sent: the schema of `data` by event type, and the headers of a delivery."""

from pydantic import BaseModel

from service.api.schemas.certificates import CertificateReady
from service.api.schemas.detections import DetectionSummary
from service.api.schemas.events import (
    DelayedDetection,
    DetectorCompleted,
    EndpointDisabled,
    EndpointFailing,
    EndpointPing,
    EndpointRecovered,
)
from service.events.types import EventType

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

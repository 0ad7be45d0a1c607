"""What is said of the events we send: the schema of `data`, by type, and the headers of a delivery."""

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
    EventType.DETECTION_DELAYED: ("The answer is late; a final event follows.", DelayedDetection),
    EventType.DETECTION_REVISED: (
        "A late answer or a re-check made a later revision: its one event.",
        DetectionSummary,
    ),
    EventType.DETECTION_CANCELLED: ("It was called off.", DetectionSummary),
    EventType.DETECTOR_COMPLETED: ("One run ended; only to endpoints that name it.", DetectorCompleted),
    EventType.REVIEW_REQUIRED: ("Detectors disagree, or too few voted. After the final event.", DetectionSummary),
    EventType.CERTIFICATE_READY: ("A vendor's certificate exists; once for each.", CertificateReady),
    EventType.ENDPOINT_FAILING: ("An endpoint has failed for long; to the account's others.", EndpointFailing),
    EventType.ENDPOINT_DISABLED: ("An endpoint takes nothing any more; to the account's others.", EndpointDisabled),
    EventType.ENDPOINT_RECOVERED: ("An endpoint in trouble took an event; to the account's others.", EndpointRecovered),
    EventType.ENDPOINT_PING: ("You asked for it; to that endpoint alone.", EndpointPing),
}

HEADERS = {
    "webhook-id": "The event's id, the same on every attempt: the key to deduplicate by.",
    "webhook-timestamp": "When this attempt was signed, in Unix seconds.",
    "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, one for each valid secret.",
}

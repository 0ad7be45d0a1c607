"""What is said of each door, one file a noun. A test holds that every route has its description, and the reverse."""

from service.api.describe import Described
from service.api.described import (
    certificates,
    deliveries,
    detections,
    detectors,
    endpoint_actions,
    endpoints,
    events,
    media,
    operating,
    vendors,
)

OPERATIONS: Described = {
    **media.OPERATIONS,
    **detections.OPERATIONS,
    **certificates.OPERATIONS,
    **detectors.OPERATIONS,
    **events.OPERATIONS,
    **endpoints.OPERATIONS,
    **endpoint_actions.OPERATIONS,
    **deliveries.OPERATIONS,
    **operating.OPERATIONS,
    **vendors.OPERATIONS,
}

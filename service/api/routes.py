"""Every operation of the API, in one list."""

from service.api.contract.dispatch import OperationRoute
from service.api.from_vendors import callbacks, media_links
from service.api.operating import health, metrics, pages
from service.api.v1 import (
    certificates,
    deliveries,
    detection_actions,
    detections,
    detectors,
    endpoint_actions,
    endpoints,
    events,
    media,
    streams,
)

ROUTES: list[OperationRoute] = [
    *pages.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *media.ROUTES,
    *detections.ROUTES,
    *detectors.ROUTES,
    *streams.ROUTES,  # before the events: there, `stream` would be an id
    *events.ROUTES,
    *detection_actions.ROUTES,
    *certificates.ROUTES,
    *endpoints.ROUTES,
    *endpoint_actions.ROUTES,
    *deliveries.ROUTES,
    *callbacks.ROUTES,
    *media_links.ROUTES,
]

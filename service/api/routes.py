"""Every operation of the API, in one list."""

from service.api.contract.dispatch import OperationRoute
from service.api.from_vendors import callbacks, media_links
from service.api.operating import health, metrics, pages
from service.api.v1 import certificates, deliveries, detections, endpoints, events, media, timeline

ROUTES: list[OperationRoute] = [
    *pages.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *media.ROUTES,
    *detections.ROUTES,
    *timeline.ROUTES,
    *events.ROUTES,
    *certificates.ROUTES,
    *endpoints.ROUTES,
    *deliveries.ROUTES,
    *callbacks.ROUTES,
    *media_links.ROUTES,
]

"""Every door of the API, in one list."""

from starlette.routing import Route

from service.api import (
    callbacks,
    certificates,
    deliveries,
    detection_actions,
    detections,
    detections_list,
    detectors,
    docs_page,
    endpoint_actions,
    endpoints,
    events,
    front_page,
    health,
    media,
    media_links,
    metrics,
    openapi,
    streams,
    timeline,
)

ROUTES: list[Route] = [
    *front_page.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *media.ROUTES,
    *detections.ROUTES,
    *detections_list.ROUTES,
    *timeline.ROUTES,
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
    *openapi.ROUTES,
    *docs_page.ROUTES,
]

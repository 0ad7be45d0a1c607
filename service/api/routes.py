"""Every door of the API, in one list."""

from starlette.routing import Route

from service.api import callbacks, detections, endpoints, health, media, media_links

ROUTES: list[Route] = [
    *health.ROUTES,
    *media.ROUTES,
    *detections.ROUTES,
    *endpoints.ROUTES,
    *callbacks.ROUTES,
    *media_links.ROUTES,
]

"""`GET /metrics`: what every process with a heartbeat counts, what waits in the database, and how long.

The counters are in memory and cost nothing; the database is asked once in so many seconds, however many requests come.
"""

import asyncio
import hmac
import ipaddress
import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import context_of
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, ResponseSpec, Tag
from service.kit.db.queues import Backlog
from service.kit.errors import CallerError
from service.kit.process.heartbeat import Worker
from service.kit.telemetry.metrics import Count, Figures, Gauge, figures, process_name

REQUESTS = Count("relay_http_requests_total", "Requests answered.", "method", "route", "status")
SECONDS = Count("relay_http_request_seconds_total", "Seconds from a request to the end of its answer.", "route")

_STALE_SECONDS = 60.0
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
WAITING, OLDEST = "relay_waiting", "relay_waiting_oldest_seconds"
HEARTBEAT = "relay_worker_heartbeat_age_seconds"
GAUGES = {
    WAITING: ("How much waits in this state, counted up to 10000.", ("state",)),
    OLDEST: ("How long the first of them has waited.", ("state",)),
    HEARTBEAT: ("Seconds since this process last showed that it works.", ("worker", "process")),
}
"""What each gauge is, and its labels."""


class Measured:
    """Middleware in plain ASGI: every answer is counted, by the pattern of its route and never by its address."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count it once its answer has ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, started = "none", time.monotonic()
        root_path = scope.get("root_path", "")

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, note)
        except Exception:
            status = "500"
            raise
        finally:
            route = _pattern(scope, root_path)
            REQUESTS.add(scope["method"] if scope["method"] in _METHODS else "other", route, status)
            SECONDS.add(route, n=time.monotonic() - started)


async def get_metrics(request: Request) -> Response:
    """Answer the text to a caller with the token; without one in the settings, to this machine alone."""
    context = context_of(request)
    _check(request, context.metrics_token)
    now = context.clock()
    found, alive = await context.gauges.read(context.database, context.policy.catalogue.vendors(), now)
    text, media_type = await asyncio.to_thread(_written, _figures(alive, now), _gauges(found, alive, now))
    return Response(text, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


def _written(by_process: Mapping[str, Figures], gauges: Sequence[Gauge]) -> tuple[bytes, str]:
    """Return the text and its media type."""
    from service.kit.telemetry.exposition import (  # noqa: PLC0415 - its library takes 4 MB, and few processes are asked
        CONTENT_TYPE,
        written,
    )

    return written(by_process, gauges), CONTENT_TYPE


def _check(request: Request, token: str | None) -> None:
    """Raise `CallerError` for a stranger."""
    if token is not None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            detail = "Send `Authorization: Bearer` with the METRICS_TOKEN of this deployment."
            raise CallerError("unauthenticated", detail, status=401, headers={"WWW-Authenticate": "Bearer"})
    elif not _is_this_machine(request):
        raise CallerError(
            "forbidden", "Without a METRICS_TOKEN only requests from the same machine are allowed.", status=403
        )


def _is_this_machine(request: Request) -> bool:
    """Return True for a loopback socket without forwarding headers: a proxy on this machine adds them."""
    if request.client is None or {"forwarded", "x-forwarded-for"} & set(request.headers.keys()):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _figures(alive: Sequence[Worker], now: datetime) -> dict[str, Figures]:
    """Return what every process with a recent heartbeat has counted, and our own figures as they are now."""
    others = {
        worker.kind: json.loads(worker.counts_json)
        for worker in reversed(alive)
        if (now - worker.heartbeat_at).total_seconds() < _STALE_SECONDS
    }
    return others | {process_name(): figures()}


def _gauges(found: Sequence[Backlog], alive: Sequence[Worker], now: datetime) -> list[Gauge]:
    values: dict[str, dict[tuple[str, ...], float]] = {
        WAITING: {(one.state,): one.count for one in found},
        OLDEST: {(one.state,): one.age_seconds(now) for one in found},
        HEARTBEAT: {(worker.id, worker.kind): (now - worker.heartbeat_at).total_seconds() for worker in alive},
    }
    return [Gauge(name, about, labels, values[name]) for name, (about, labels) in GAUGES.items()]


def _pattern(scope: Scope, root_path: str) -> str:
    """Return the route's pattern, behind the paths it is mounted at. `root_path`: what came before all of ours.

    A mount that found no route within is itself the last of those places. No mount of ours has a pattern.
    """
    route = scope.get("route")
    mounted: str = scope.get("root_path", "").removeprefix(root_path)
    own = "" if isinstance(route, Mount) else str(getattr(route, "path", ""))
    return mounted + own or "none"


ROUTES = routes_of([
    ApiOperation(
        "GET", "/metrics",
        id="readMetrics",
        tag=Tag.OPERATING,
        summary="Metrics for Prometheus",
        text="Send `METRICS_TOKEN` as the bearer token; without that setting, only requests from the same machine are "
        "allowed.",
        responses={
            200: ResponseSpec(
                "Counters, the size of each backlog, and its age.", content={"text/plain": {"type": "string"}}
            )
        },
        errors=(401, 403, 503),
        raw=get_metrics,
    ),
])  # fmt: skip

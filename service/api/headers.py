"""Headers that every answer carries: its request id, and those for browsers.

Nothing here is a page, so a browser is to run, frame, sniff and keep nothing. An answer that sets one of them itself
keeps its own.
"""

import re
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from service.kit.ids import new_id

HEADER = "x-request-id"
_USABLE = re.compile(r"[!-~]([ -~]{0,126}[!-~])?")  # printable ASCII


class RequestIds:
    """Middleware in plain ASGI: streams pass through it untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request an id, and show it in the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _USABLE.fullmatch(given) else new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with bound_contextvars(request_id=request_id):
            await self.app(scope, receive, answer)


def request_id_of(request: Request) -> str | None:
    """Return this request's id; `None` if the middleware is not installed."""
    return getattr(request.state, "request_id", None)


ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_TO_CUSTOMERS = {"Cache-Control": "no-store"}
_OVER_TLS = {"Strict-Transport-Security": "max-age=31536000"}  # this host's only: its siblings are not ours


def secured(app: Starlette, *, https: bool) -> Starlette:
    """Return `app`, with these headers on all its answers. `https`: it is reached by https alone.

    They go around the whole stack, because Starlette answers failures outside of `app`'s middleware.
    """
    app.middleware_stack = SecurityHeaders(app.build_middleware_stack(), https=https)
    return app


def also_answer(request: Request, headers: Mapping[str, str]) -> None:
    """Add these headers to the answer of this request, whatever it will be."""
    request.scope.setdefault("state", {}).setdefault("answer_headers", {}).update(headers)


class SecurityHeaders:
    """Middleware in plain ASGI: streams pass through it untouched."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self._always = ALWAYS | (_OVER_TLS if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        usual = self._always | (_TO_CUSTOMERS if scope["path"].startswith("/v1/") else {})

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (usual | state.get("answer_headers", {})).items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, answer)

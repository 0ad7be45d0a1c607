"""Headers that every answer carries: nothing here is a page, so a browser is to run, frame, sniff and keep nothing.

An answer that sets one of them itself keeps its own.
"""

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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

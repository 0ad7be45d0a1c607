"""`X-Request-ID`: the caller's own where it is usable, else a new one; in the answer, in problems and in the logs."""

import re

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

"""Answers that are none: refusals before the work, connections reset or left silent, unreadable bodies."""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from service.sandbox.script import Obstacle

Refuse = Callable[[int, str, str], JSONResponse]
"""A twin's own envelope for a refusal: status, code, message."""

_HTML: Final = b"<!doctype html><title>One moment</title><h1>One moment, please</h1>"
_GONE: Final = frozenset({"http.disconnect", "websocket.disconnect"})
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER: on, for no time


def refused(obstacle: Obstacle | None, refuse: Refuse) -> Response | None:
    """Return the answer, if this obstacle keeps the submission from being accepted."""
    match obstacle:
        case Obstacle.THROTTLED_BRIEFLY:
            answer = refuse(429, "rate_limited", "Too many requests")
            answer.headers["Retry-After"] = "1"
            return answer
        case Obstacle.THROTTLED:
            return refuse(429, "rate_limited", "Too many requests")
        case Obstacle.DOWN:
            return refuse(503, "service_unavailable", "Temporarily unavailable")
        case Obstacle.RESET:
            return Reset()
    return None


def garbled(body: dict[str, Any]) -> tuple[tuple[str, bytes], ...]:
    """Return media types and bodies in which this answer cannot be read: a web page, truncated, every key twice."""
    text = json.dumps(body).encode()
    return (
        ("text/html", _HTML),
        ("application/json", text[: -len(text) // 3]),
        ("application/json", text[:-1] + b", " + text[1:]),
    )


def unreadable(body: dict[str, Any], number: int) -> Response:
    """Return the answer in one of the unreadable forms: the next one for each number."""
    ways = garbled(body)
    media_type, text = ways[number % len(ways)]
    return Response(text, media_type=media_type)


class Reset(Response):
    """No answer: the connection is reset after the request was read (RFC 9293 section 3.10.5)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Make the client's next read fail. Raise RuntimeError under a server whose connection cannot be reached."""
        await reset(receive)


async def reset(receive: Receive) -> None:
    """Reset the connection. Raise RuntimeError under a server whose connection cannot be reached."""
    # ASGI has no word for this. Under uvicorn `receive` is a method of what holds the connection.
    transport: asyncio.Transport | None = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("only a connection of uvicorn's can be reset")
    _reset_on_close(transport)
    transport.abort()
    await _client_gone(receive)


class DelayedResponse(JSONResponse):
    """An answer that comes after `hold_seconds`, at once if that is 0; never if the client leaves before."""

    def __init__(self, content: object, hold_seconds: float, status_code: int = 200) -> None:
        super().__init__(content, status_code)
        self._hold_seconds = hold_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, unless the client leaves before."""
        if not await leaves(receive, self._hold_seconds):
            await super().__call__(scope, receive, send)


async def leaves(receive: Receive, within_seconds: float) -> bool:
    """Return True if the client, whose request was read to its end, leaves within this time; at 0 always False."""
    if not within_seconds:
        return False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_seconds):
            await _client_gone(receive)
        return True
    return False


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] not in _GONE:
        pass


def _reset_on_close(transport: asyncio.Transport) -> None:
    """Let the close of this connection reach the client as RST, not as FIN."""
    # A second handle on the same socket, because uvloop's own object cannot set options.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

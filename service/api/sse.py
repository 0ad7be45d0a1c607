"""Server-sent events (HTML standard, section 9.2): how an answer goes on for as long as there may be more to say."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from service.accounts.api_keys import authenticate
from service.api.context import Context, context_of
from service.kit.wake import woken

_HEARTBEAT = b": still here\n\n"
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the database brought. `more`: look again at once; `over`: this was the last."""

    text: bytes = b""
    more: bool = False
    over: bool = False


class _Stream(StreamingResponse):
    """A stream whose source is closed at once when the reader goes."""

    def __init__(self, source: AsyncGenerator[bytes, None]) -> None:
        super().__init__(source, headers=_HEADERS)
        self._source = source

    async def stream_response(self, send: Send) -> None:
        """As Starlette does it, and nothing is left suspended."""
        async with contextlib.aclosing(self._source):
            await super().stream_response(send)


def said(event: str, data: Any, event_id: str | None = None) -> bytes:
    """One event of the stream. Neither name nor id may hold a line break; JSON has none."""
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def stream(
    request: Request, scope: str, topic: str, look: Callable[[], Awaitable[Look]], opening: bytes = b""
) -> Response:
    """The answer: what `look` brings at each wake of `topic`, and once a second, until it is over.

    It also ends when this process does, when the reader goes, or when its key is no longer good for `scope`.
    """
    if request.method == "HEAD":
        return Response(headers=_HEADERS)
    return _Stream(_flow(request, scope, topic, look, opening))


def reader_mark(request: Request) -> str | None:
    """`Last-Event-ID`: what the reader had last, if it has had anything."""
    return request.headers.get("last-event-id") or None


async def _flow(
    request: Request, scope: str, topic: str, look: Callable[[], Awaitable[Look]], opening: bytes
) -> AsyncGenerator[bytes, None]:
    context: Context = context_of(request)
    loop, wake = asyncio.get_running_loop(), context.database.wake
    event = wake.subscribe(topic)
    try:
        yield b"retry: 1000\n" + opening + b"\n"
        quiet_until = loop.time() + context.heartbeat_seconds
        while not context.closing.begun:
            event.clear()
            seen = await look()
            if seen.text:
                yield seen.text
            if seen.over:
                return
            if loop.time() >= quiet_until:
                if not await _may_go_on(request, scope):
                    return
                yield _HEARTBEAT
                quiet_until = loop.time() + context.heartbeat_seconds
            if not seen.more:
                await woken(event)
    finally:
        wake.unsubscribe(topic, event)


async def _may_go_on(request: Request, scope: str) -> bool:
    """Whether the key is still good: a stream outlives many changes."""
    context = context_of(request)
    key = request.headers.get("authorization", "").strip().partition(" ")[2].strip()
    caller = await context.database.read(authenticate, key, context.clock())
    return caller is not None and caller.may(scope)

"""Server-sent events (HTML standard, section 9.2): how an answer goes on for as long as there may be more to say."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from service.accounts.api_keys import authenticate
from service.api.context import Context, context_of
from service.api.problems import FAULTS
from service.kit.concurrency.wake import Sleeper
from service.kit.faults import fault_of

_AGAIN_SECONDS = 1.0
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


@dataclass(frozen=True, slots=True)
class Sleeping:
    """What wakes a stream, and whether it looks every second all the same."""

    topic: str
    often: bool


class _Stream(StreamingResponse):
    """A stream whose source is closed at once when the reader goes. `over` is called in the end, begun or not."""

    def __init__(self, source: AsyncGenerator[bytes, None], over: Callable[[], None]) -> None:
        super().__init__(source, headers=_HEADERS)
        self._source = source
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As Starlette does it, and its place is given back."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()

    async def stream_response(self, send: Send) -> None:
        """As Starlette does it, and nothing is left suspended."""
        async with contextlib.aclosing(self._source):
            await super().stream_response(send)


def said(event: str, data: Any, event_id: str | None = None) -> bytes:
    """One event of the stream. Neither name nor id may hold a line break; JSON has none."""
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def stream(
    request: Request,
    scope: str,
    topic: str,
    look: Callable[[], Awaitable[Look]],
    opening: bytes = b"",
    *,
    often: bool = False,
) -> Response:
    """Return the stream of what `look` brings at each wake of `topic`, and now and then without one, until it is over.

    It also ends when this process does, when the reader goes, or when its key is no longer good for `scope`. Raise
    `CallerError` 429 where the key has too many open. `often`: look every second, for not everything wakes it.
    """
    if request.method == "HEAD":
        return Response(headers=_HEADERS)
    held, key_id = context_of(request).held, request.state.caller.key_id
    held.begin(key_id)
    return _Stream(_flow(request, scope, Sleeping(topic, often), look, opening), partial(held.end, key_id))


def reader_mark(request: Request) -> str | None:
    """`Last-Event-ID`: what the reader had last, if it has had anything."""
    return request.headers.get("last-event-id") or None


async def _flow(
    request: Request, scope: str, sleeping: Sleeping, look: Callable[[], Awaitable[Look]], opening: bytes
) -> AsyncGenerator[bytes, None]:
    context: Context = context_of(request)
    loop = asyncio.get_running_loop()
    sleeper = Sleeper(context.database.wake, sleeping.topic, often=sleeping.often)
    try:
        yield b"retry: 1000\n" + opening + b"\n"
        quiet_until = loop.time() + context.heartbeat_seconds
        looks = True
        while not context.shutdown.begun:
            try:
                is_quiet = loop.time() >= quiet_until
                if is_quiet and not await _may_go_on(request, scope):
                    return
                # The last that can fail: what it brought does not come a second time.
                seen = await _seen(sleeper, look) if looks else Look()
            except Exception as error:
                if fault_of(error) is None:
                    raise
                FAULTS.failed(error)
                yield _HEARTBEAT  # it passes: the reader need not come anew
                await sleeper.sleep(_AGAIN_SECONDS)
                looks = True
                continue
            if seen.text:
                yield seen.text
            if seen.over:
                return
            if is_quiet:
                yield _HEARTBEAT
                quiet_until = loop.time() + context.heartbeat_seconds
            looks = seen.more or await sleeper.sleep(max(0.0, quiet_until - loop.time()))
    finally:
        sleeper.end()


async def _seen(sleeper: Sleeper, look: Callable[[], Awaitable[Look]]) -> Look:
    sleeper.reset()
    return await look()


async def _may_go_on(request: Request, scope: str) -> bool:
    """Return True if the key is still good: a stream outlives many changes. One check serves all streams of a key."""
    context, key_id = context_of(request), request.state.caller.key_id
    if context.held.is_good(key_id):
        return True
    key = request.headers.get("authorization", "").strip().partition(" ")[2].strip()
    caller = await context.database.read(authenticate, key, context.clock())
    if caller is None or not caller.may(scope):
        return False
    context.held.found_good(key_id, context.heartbeat_seconds / 2)
    return True

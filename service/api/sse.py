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
from service.api.contract.operation import Call
from service.api.contract.parameters import header
from service.api.problems import FAULTS
from service.kit.concurrency.wake import Sleeper
from service.kit.errors import CallerError, Problem, bad_parameters
from service.kit.faults import fault_of

LAST_EVENT_ID = header(
    "Last-Event-ID", "The id of the last event that the reader received: the stream continues after it."
)
EVENT_STREAM = {"text/event-stream": {"type": "string"}}
_AGAIN_SECONDS = 1.0
_HEARTBEAT = b": still here\n\n"
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """The result of one read. `more`: read again at once; `over`: this was the last chunk."""

    text: bytes = b""
    more: bool = False
    over: bool = False


class _Stream(StreamingResponse):
    """A stream whose source is closed at once when the reader goes. `over` is called in the end, begun or not."""

    def __init__(self, source: AsyncGenerator[bytes, None], over: Callable[[], None]) -> None:
        super().__init__(source, headers=_HEADERS)
        self._source = source
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, and call `over` in the end."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()

    async def stream_response(self, send: Send) -> None:
        """Stream the body, and close its source in the end."""
        async with contextlib.aclosing(self._source):
            await super().stream_response(send)


def sse_event(event: str, data: Any, event_id: str | None = None) -> bytes:
    """Return one event of the stream. Neither name nor id may contain a line break; JSON contains none."""
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def stream(
    call: Call,
    topic: str,
    read_chunk: Callable[[], Awaitable[StreamChunk]],
    opening: bytes = b"",
    *,
    often: bool = False,
) -> Response:
    """Return a stream that calls `read_chunk` at each wake of `topic`, and now and then without one, until it is over.

    It also ends when this process does, when the reader goes, or when its key is no longer good for this. Raise
    `CallerError` 429 where the key has too many open. `often`: read every second, because not everything wakes it.
    """
    if call.request.method == "HEAD":
        return Response(headers=_HEADERS)
    open_responses, key_id = call.context.open_responses, call.caller.key_id
    open_responses.begin(key_id)
    return _Stream(_flow(call, topic, read_chunk, opening, often=often), partial(open_responses.end, key_id))


def reader_mark(request: Request) -> str | None:
    """Return `Last-Event-ID`, the id of the last event that the reader received; `None` without one."""
    return request.headers.get("last-event-id") or None


def unknown_mark(expected: str) -> CallerError:
    """Return the 422 for a `Last-Event-ID` that is not what is expected."""
    return bad_parameters([Problem("Last-Event-ID", f"must be {expected}")])


async def _flow(
    call: Call, topic: str, read_chunk: Callable[[], Awaitable[StreamChunk]], opening: bytes, *, often: bool
) -> AsyncGenerator[bytes, None]:
    context, loop = call.context, asyncio.get_running_loop()
    sleeper = Sleeper(context.database.wake, topic, often=often)
    try:
        yield b"retry: 1000\n" + opening + b"\n"
        quiet_until = loop.time() + context.heartbeat_seconds
        reads = True
        while not context.shutdown.begun:
            try:
                is_quiet = loop.time() >= quiet_until
                if is_quiet and not await _may_go_on(call):
                    return
                # The last that can fail: what it brought does not come a second time.
                chunk = await _chunk(sleeper, read_chunk) if reads else StreamChunk()
            except Exception as error:
                if fault_of(error) is None:
                    raise
                FAULTS.failed(error)
                yield _HEARTBEAT  # it passes: the reader need not come anew
                await sleeper.sleep(_AGAIN_SECONDS)
                reads = True
                continue
            if chunk.text:
                yield chunk.text
            if chunk.over:
                return
            if is_quiet:
                yield _HEARTBEAT
                quiet_until = loop.time() + context.heartbeat_seconds
            reads = chunk.more or await sleeper.sleep(max(0.0, quiet_until - loop.time()))
    finally:
        sleeper.end()


async def _chunk(sleeper: Sleeper, read_chunk: Callable[[], Awaitable[StreamChunk]]) -> StreamChunk:
    sleeper.reset()
    return await read_chunk()


async def _may_go_on(call: Call) -> bool:
    """Return True if the key is still good: a stream outlives many changes. One check serves all streams of a key."""
    context, key_id = call.context, call.caller.key_id
    if context.open_responses.is_good(key_id):
        return True
    key = call.request.headers.get("authorization", "").strip().partition(" ")[2].strip()
    caller = await context.database.read(authenticate, key, context.clock())
    if caller is None or not caller.may(call.operation.scope or ""):
        return False
    context.open_responses.found_good(key_id, context.heartbeat_seconds / 2)
    return True

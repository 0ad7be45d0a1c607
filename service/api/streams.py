"""The two streams: a detection's timeline as it grows, and an account's events as they happen."""

from functools import partial

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.accounts.api_keys import Caller
from service.api.auth import require
from service.api.context import context_of
from service.api.events import cursor_given, read_mark, type_filter, write_mark
from service.api.parameters import Parameters
from service.api.sse import Look, reader_mark, said, stream
from service.api.timeline import story_of
from service.events.feed import Mark, event_object, find_event, mark_of, newest_mark, next_mark, read_feed
from service.events.outbox import topic_of_feed
from service.events.types import takes
from service.kit.errors import Problem, bad_parameters
from service.kit.security.tokens import Tokens
from service.runs.topics import topic_of
from service.timeline.assemble import Timeline
from service.timeline.stream_position import StreamPosition

_SCOPE = "detections:read"
_AT_ONCE = 100


async def follow_detection(request: Request) -> Response:
    """Each fact of the timeline once, live; `end` when nothing more is to be expected soon.

    204 to a reader that has had everything: to an `EventSource` that means not to come again.
    """
    caller = await require(request, _SCOPE)
    context, detection_id = context_of(request), request.path_params["detection_id"]
    Parameters(request.query_params).check()
    mark = reader_mark(request)
    position = StreamPosition() if mark is None else StreamPosition.read(mark)
    if position is None:
        raise _unknown_mark("an id of this stream")

    async def story() -> Timeline:
        look = partial(context.database.read, story_of, caller, detection_id, context.clock())
        return await context.held.reads.read(("story", caller.account_id, caller.mode, detection_id), look)

    async def look() -> Look:
        told = await story()
        text = b"".join(said(fact.kind, fact.shown(), position.take(fact)) for fact in position.unseen(told.facts))
        end = said("end", {"status": told.status, "waits": told.waits}) if told.is_over else b""
        return Look(text + end, over=told.is_over)

    first = await story()
    if mark is not None and first.is_over and not position.unseen(first.facts):
        return Response(status_code=204)
    return stream(request, _SCOPE, topic_of(detection_id), look, often=True)


async def follow_events(request: Request) -> Response:
    """The account's events after the one the reader had last, or from now on; for as long as it listens."""
    caller = await require(request, _SCOPE)
    context = context_of(request)
    parameters = Parameters(request.query_params, "cursor", "type")
    pattern, cursor = type_filter(parameters), cursor_given(parameters, context.tokens, caller)
    parameters.check()
    after = await context.database.read(_begin, caller, context.tokens, reader_mark(request), cursor)

    async def look() -> Look:
        nonlocal after
        asked = (caller.account_id, caller.mode, after)
        read = partial(context.database.read, read_feed, *asked, limit=_AT_ONCE)
        rows = await context.held.reads.read(("feed", *asked), read)
        after = next_mark(rows, after)
        text = b"".join(said(event.type, event_object(event), event.id) for event in rows if takes(pattern, event.type))
        return Look(text, more=len(rows) == _AT_ONCE)

    # A reader that loses the connection before the first event comes back to the same place.
    opening = f"id: {write_mark(after, context.tokens, caller)}\n".encode()
    return stream(request, _SCOPE, topic_of_feed(caller.account_id, caller.mode), look, opening)


def _begin(session: Session, caller: Caller, tokens: Tokens, last: str | None, cursor: Mark | None) -> Mark:
    """After what the reader had last (an event's id, or a cursor); else after the cursor; else after all there is."""
    if last is None:
        return cursor or newest_mark(session, caller.account_id, caller.mode)
    event = find_event(session, caller.account_id, caller.mode, last)
    mark = mark_of(event) if event is not None else read_mark(last, tokens, caller)
    if mark is None:
        raise _unknown_mark("the id of an event, or a next_cursor of /v1/events")
    return mark


def _unknown_mark(wanted: str) -> Exception:
    return bad_parameters([Problem("Last-Event-ID", f"must be {wanted}")])


ROUTES = [
    Route("/v1/detections/{detection_id}/stream", follow_detection, methods=["GET"]),
    Route("/v1/events/stream", follow_events, methods=["GET"]),
]

"""The two streams: a detection's timeline as it grows, and an account's events as they happen."""

from functools import partial

from sqlmodel import Session
from starlette.responses import Response

from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, Call, ResponseSpec, Tag
from service.api.contract.parameters import header
from service.api.sse import StreamChunk, reader_mark, sse_event, stream
from service.api.v1.detections import story_of
from service.api.v1.events import CURSOR, TYPE, read_mark, write_mark
from service.events.feed import Mark, event_object, find_event, mark_of, newest_mark, next_mark, read_feed
from service.events.outbox import topic_of_feed
from service.events.types import takes
from service.kit.errors import Problem, bad_parameters
from service.runs.topics import topic_of
from service.timeline.assemble import Timeline
from service.timeline.stream_position import StreamPosition

_SCOPE = "detections:read"
_AT_ONCE = 100
_LAST_EVENT_ID = header(
    "Last-Event-ID", "The id of the last event that the reader received: the stream continues after it."
)
_EVENT_STREAM = {"text/event-stream": {"type": "string"}}


async def stream_timeline(call: Call) -> Response:
    """Send each fact of the timeline once, live, then `end` when no more is expected soon.

    Answer 204 to a reader that has received everything: it tells an `EventSource` not to reconnect.
    """
    context, detection_id = call.context, call.path["detection_id"]
    mark = reader_mark(call.request)
    position = StreamPosition() if mark is None else StreamPosition.read(mark)
    if position is None:
        raise _unknown_mark("an id of this stream")

    async def story() -> Timeline:
        read = partial(context.database.read, story_of, call, call.now)
        return await context.open_responses.reads.read(("story", *call.owner, detection_id), read)

    async def read_chunk() -> StreamChunk:
        timeline = await story()
        facts = position.unseen(timeline.facts)
        text = b"".join(sse_event(fact.kind, fact.shown(), position.take(fact)) for fact in facts)
        end = sse_event("end", {"status": timeline.status, "waits": timeline.waits}) if timeline.is_over else b""
        return StreamChunk(text + end, over=timeline.is_over)

    first = await story()
    if mark is not None and first.is_over and not position.unseen(first.facts):
        return Response(status_code=204)
    return stream(call.request, _SCOPE, topic_of(detection_id), read_chunk, often=True)


async def stream_events(call: Call) -> Response:
    """Send the account's events after the reader's last one, or from now on, until the reader disconnects."""
    context, pattern = call.context, call.query[TYPE] or "*"
    after = await context.database.read(_begin, call)

    async def read_chunk() -> StreamChunk:
        nonlocal after
        position = (*call.owner, after)
        read = partial(context.database.read, read_feed, *position, limit=_AT_ONCE)
        rows = await context.open_responses.reads.read(("feed", *position), read)
        after = next_mark(rows, after)
        events = (event for event in rows if takes(pattern, event.type))
        text = b"".join(sse_event(event.type, event_object(event), event.id) for event in events)
        return StreamChunk(text, more=len(rows) == _AT_ONCE)

    # A reader that loses the connection before the first event comes back to the same position.
    opening = f"id: {write_mark(after, context.tokens, call.caller)}\n".encode()
    return stream(call.request, _SCOPE, topic_of_feed(*call.owner), read_chunk, opening)


def _begin(session: Session, call: Call) -> Mark:
    """Return the mark of the last event (its id, or a cursor), else of the query's cursor, else of the newest event."""
    last, tokens = reader_mark(call.request), call.context.tokens
    if last is None:
        return call.query[CURSOR] or newest_mark(session, *call.owner)
    event = find_event(session, *call.owner, last)
    mark = mark_of(event) if event is not None else read_mark(last, tokens, call.caller)
    if mark is None:
        raise _unknown_mark("the id of an event, or a next_cursor of /v1/events")
    return mark


def _unknown_mark(expected: str) -> Exception:
    return bad_parameters([Problem("Last-Event-ID", f"must be {expected}")])


ROUTES = routes_of([
    ApiOperation(
        "GET", "/v1/detections/{detection_id}/stream", id="streamTimeline", tag=Tag.DETECTIONS, scope=_SCOPE,
        handle=stream_timeline,
        summary="Stream the timeline of a detection",
        text="The facts of the timeline as server-sent events, each once, named by their kind. `end` comes last.",
        parameters=(_LAST_EVENT_ID,),
        responses={
            200: ResponseSpec("Facts, until the detection has ended.", content=_EVENT_STREAM),
            204: ResponseSpec("The reader has received everything: do not reconnect."),
        },
        errors=(422,),
    ),
    ApiOperation(
        "GET", "/v1/events/stream", id="streamEvents", tag=Tag.EVENTS, scope=_SCOPE, handle=stream_events,
        summary="Stream events",
        text="Server-sent events, named by their type: from now on, after a cursor, or after the last event received.",
        parameters=(TYPE, CURSOR, _LAST_EVENT_ID),
        responses={200: ResponseSpec("Events, until the reader disconnects.", content=_EVENT_STREAM)},
    ),
])  # fmt: skip

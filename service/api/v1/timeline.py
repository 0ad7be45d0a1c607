"""`/v1/detections/{id}/timeline`: every fact of a detection, at once or as a stream that grows."""

from datetime import datetime
from functools import partial
from typing import Any

from sqlmodel import Session
from starlette.responses import Response

from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, Call, ResponseSpec, Tag
from service.api.sse import EVENT_STREAM, LAST_EVENT_ID, StreamChunk, reader_mark, sse_event, stream, unknown_mark
from service.detections.queries import find_detection
from service.kit.errors import existing
from service.runs.topics import topic_of
from service.timeline.assemble import Timeline, assemble
from service.timeline.fact import StreamPosition


def get_timeline(session: Session, call: Call) -> dict[str, Any]:
    """Return the story so far."""
    return story_of(session, call, call.now).shown()


def story_of(session: Session, call: Call, now: datetime) -> Timeline:
    """Return every fact of the detection. Raise `CallerError` 404."""
    detection = existing(find_detection(session, *call.target), "detection")
    return assemble(session, detection, now)


async def stream_timeline(call: Call) -> Response:
    """Send each fact of the timeline once, live, then `end` when no more is expected soon.

    Answer 204 to a reader that has received everything: it tells an `EventSource` not to reconnect.
    """
    context, detection_id = call.context, call.path["detection_id"]
    mark = reader_mark(call.request)
    position = StreamPosition() if mark is None else StreamPosition.read(mark)
    if position is None:
        raise unknown_mark("an id of this stream")

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
    return stream(call, topic_of(detection_id), read_chunk, often=True)


ROUTES = routes_of([
    ApiOperation(
        "GET", "/v1/detections/{detection_id}/timeline", id="readTimeline", tag=Tag.DETECTIONS, scope="detections:read",
        run=get_timeline,
        summary="Get the timeline of a detection",
        text="Every fact of a detection in order, and what caused each part of the wait.",
        responses={200: ResponseSpec("The timeline so far.", "detections.Timeline")},
        errors=(422,),
    ),
    ApiOperation(
        "GET", "/v1/detections/{detection_id}/stream", id="streamTimeline", tag=Tag.DETECTIONS, scope="detections:read",
        handle=stream_timeline,
        summary="Stream the timeline of a detection",
        text="The facts of the timeline as server-sent events, each once, named by their kind. `end` comes last.",
        parameters=(LAST_EVENT_ID,),
        responses={
            200: ResponseSpec("Facts, until the detection has ended.", content=EVENT_STREAM),
            204: ResponseSpec("The reader has received everything: do not reconnect."),
        },
        errors=(422,),
    ),
])  # fmt: skip

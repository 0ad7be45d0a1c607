"""What is said of `/v1/events`."""

from service.api.describe import Answer, Described, Operation, Tag
from service.api.described.common import CURSOR, EVENT_TYPE, LAST_EVENT_ID, LIMIT, stream_of
from service.api.schemas.events import Event, EventPage

_SCOPE = "detections:read"

OPERATIONS: Described = {
    ("GET", "/v1/events"): Operation(
        id="listEvents",
        tag=Tag.EVENTS,
        summary="List events",
        text="The facts that webhooks carry, oldest first, and none is ever skipped. `next_cursor` is always there: "
        "keep it, and ask again later.",
        scope=_SCOPE,
        parameters=(EVENT_TYPE, LIMIT, CURSOR),
        answers={200: Answer(text="A page.", model=EventPage)},
    ),
    ("GET", "/v1/events/stream"): Operation(
        id="streamEvents",
        tag=Tag.EVENTS,
        summary="Follow events",
        text="Server-sent events, named by their type: from now on, after a cursor, or after the last one had.",
        scope=_SCOPE,
        parameters=(EVENT_TYPE, CURSOR, LAST_EVENT_ID),
        answers={200: stream_of("Events, for as long as one listens.")},
    ),
    ("GET", "/v1/events/{event_id}"): Operation(
        id="readEvent",
        tag=Tag.EVENTS,
        summary="Read an event",
        scope=_SCOPE,
        answers={200: Answer(text="The event.", model=Event)},
        refusals=(422,),
    ),
}

"""`/v1/events`: the facts that webhooks carry, oldest first: for a client that polls, and as a stream."""

from functools import partial
from typing import Any

from sqlmodel import Session
from starlette.responses import Response

from service.accounts.api_keys import Caller
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, Call, Parameter, ResponseSpec, Tag
from service.api.contract.parameters import LIMIT, NO_CURSOR, bounded, cursor
from service.api.sse import EVENT_STREAM, LAST_EVENT_ID, StreamChunk, reader_mark, sse_event, stream, unknown_mark
from service.events.feed import (
    BEGINNING,
    Mark,
    event_object,
    find_event,
    mark_of,
    newest_mark,
    next_mark,
    read_feed,
    read_page,
)
from service.events.outbox import topic_of_feed
from service.events.types import is_filter, takes, why_no_filter
from service.kit.errors import existing
from service.kit.security.tokens import BadToken, Tokens

_LONGEST_CURSOR = 2000
_AT_ONCE = 100


def _type_filter(given: str, _call: Call) -> str:
    if not is_filter(bounded(given, 100)):
        raise ValueError(why_no_filter(given))
    return given


def _mark(given: str, call: Call) -> Mark:
    mark = read_mark(bounded(given, _LONGEST_CURSOR), call.context.tokens, call.caller)
    if mark is None:
        raise ValueError(NO_CURSOR)
    return mark


TYPE = Parameter(
    name="type",
    text="An event type, or a family such as `detection.*`.",
    schema={"type": "string", "minLength": 1, "maxLength": 100},
    parse=_type_filter,
    default="*",
)
CURSOR = cursor(_mark)


def list_events(session: Session, call: Call) -> dict[str, Any]:
    """Return a page of events. `next_cursor` is always set: after the last event, it is where the next will follow."""
    after, limit = call.query[CURSOR] or BEGINNING, call.query[LIMIT]
    events, has_more, then = read_page(session, *call.owner, after, pattern=call.query[TYPE] or "*", limit=limit)
    return {
        "data": [event_object(event) for event in events],
        "has_more": has_more,
        "next_cursor": write_mark(then, call.context.tokens, call.caller),
    }


def get_event(session: Session, call: Call) -> dict[str, Any]:
    """Return one event."""
    return event_object(existing(find_event(session, *call.target), "event"))


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
    return stream(call, topic_of_feed(*call.owner), read_chunk, opening)


def _begin(session: Session, call: Call) -> Mark:
    """Return the mark of the last event (its id, or a cursor), else of the query's cursor, else of the newest event."""
    last, tokens = reader_mark(call.request), call.context.tokens
    if last is None:
        return call.query[CURSOR] or newest_mark(session, *call.owner)
    event = find_event(session, *call.owner, last)
    mark = mark_of(event) if event is not None else read_mark(last, tokens, call.caller)
    if mark is None:
        raise unknown_mark("the id of an event, or a next_cursor of /v1/events")
    return mark


def write_mark(mark: Mark, tokens: Tokens, caller: Caller) -> str:
    """Return the cursor for what comes after the mark. It never expires, and belongs to this account and mode."""
    return tokens.sign(_purpose(caller), [mark.transaction_id, mark.position], expires_at=None)


def read_mark(text: str, tokens: Tokens, caller: Caller) -> Mark | None:
    """Return the mark in a cursor that was written for this account and mode; `None` for any other text."""
    try:
        transaction_id, position = tokens.read(_purpose(caller), text, now=None)
    except BadToken:
        return None
    return Mark(transaction_id, position)


def _purpose(caller: Caller) -> str:
    return f"cursor/events/{caller.account_id}/{caller.mode}"


ROUTES = routes_of([
    ApiOperation(
        "GET", "/v1/events", id="listEvents", tag=Tag.EVENTS, scope="detections:read", run=list_events,
        summary="List events",
        text="The facts that webhooks carry, oldest first, without gaps. `next_cursor` is always set: keep it, and "
        "send it with your next request.",
        parameters=(TYPE, LIMIT, CURSOR),
        responses={200: ResponseSpec("A page of events.", "events.EventPage")},
    ),
    ApiOperation(
        "GET", "/v1/events/stream", id="streamEvents", tag=Tag.EVENTS, scope="detections:read", handle=stream_events,
        summary="Stream events",
        text="Server-sent events, named by their type: from now on, after a cursor, or after the last event received.",
        parameters=(TYPE, CURSOR, LAST_EVENT_ID),
        responses={200: ResponseSpec("Events, until the reader disconnects.", content=EVENT_STREAM)},
    ),
    ApiOperation(
        "GET", "/v1/events/{event_id}", id="readEvent", tag=Tag.EVENTS, scope="detections:read", run=get_event,
        summary="Get an event",
        responses={200: ResponseSpec("The event.", "events.Event")},
        errors=(422,),
    ),
])  # fmt: skip

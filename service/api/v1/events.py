"""`/v1/events`: the facts that webhooks carry, oldest first, for a client that polls. A stream: `streams`."""

from typing import Any

from sqlmodel import Session

from service.accounts.api_keys import Caller
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, Call, Parameter, ResponseSpec, Tag
from service.api.contract.parameters import LIMIT, bounded, cursor
from service.events.feed import BEGINNING, Mark, event_object, find_event, read_page
from service.events.types import is_filter, why_no_filter
from service.kit.errors import not_found
from service.kit.security.tokens import BadToken, Tokens

_SCOPE = "detections:read"
_LONGEST_CURSOR = 2000


def _type_filter(given: str, _call: Call) -> str:
    if not is_filter(bounded(given, 100)):
        raise ValueError(why_no_filter(given))
    return given


def _mark(given: str, call: Call) -> Mark:
    mark = read_mark(bounded(given, _LONGEST_CURSOR), call.context.tokens, call.caller)
    if mark is None:
        raise ValueError("must be a next_cursor of this list, unchanged")
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
    event = find_event(session, *call.owner, call.path["event_id"])
    if event is None:
        raise not_found("event")
    return event_object(event)


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
        "GET", "/v1/events", id="listEvents", tag=Tag.EVENTS, scope=_SCOPE, run=list_events,
        summary="List events",
        text="The facts that webhooks carry, oldest first, without gaps. `next_cursor` is always set: keep it, and "
        "send it with your next request.",
        parameters=(TYPE, LIMIT, CURSOR),
        responses={200: ResponseSpec("A page of events.", "events.EventPage")},
    ),
    ApiOperation(
        "GET", "/v1/events/{event_id}", id="readEvent", tag=Tag.EVENTS, scope=_SCOPE, run=get_event,
        summary="Get an event",
        responses={200: ResponseSpec("The event.", "events.Event")},
        errors=(422,),
    ),
])  # fmt: skip

"""`/v1/events`: the facts webhooks carry, oldest first, for who would rather pull. A stream: `streams`."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.accounts.api_keys import Caller
from service.api.auth import require
from service.api.context import Context, context_of
from service.api.parameters import Parameters
from service.events.feed import BEGINNING, Mark, event_object, find_event, read_page
from service.events.types import is_filter, why_no_filter
from service.kit.errors import not_found
from service.kit.security.tokens import BadToken, Tokens

_LONGEST_CURSOR = 2000


async def index(request: Request) -> Response:
    """A page of events. `next_cursor` is always there: after the last page, it is where new events will stand."""
    caller = await require(request, "detections:read")
    context = context_of(request)
    parameters = Parameters(request.query_params, "cursor", "type", "limit")
    pattern = type_filter(parameters)
    after = cursor_given(parameters, context.tokens, caller) or BEGINNING
    limit = parameters.page(context.tokens, "events", cursor=False).limit
    parameters.check()
    shown, more, then = await context.database.read(
        read_page, caller.account_id, caller.mode, after, pattern=pattern, limit=limit
    )
    body = {
        "data": [event_object(event) for event in shown],
        "has_more": more,
        "next_cursor": write_mark(then, context.tokens, caller),
    }
    return JSONResponse(body)


async def read(request: Request) -> Response:
    """One event."""
    caller = await require(request, "detections:read")
    context: Context = context_of(request)
    Parameters(request.query_params).check()
    event = await context.database.read(find_event, caller.account_id, caller.mode, request.path_params["event_id"])
    if event is None:
        raise not_found("event")
    return JSONResponse(event_object(event))


def type_filter(parameters: Parameters) -> str:
    """`?type=`: a type, a family such as `detection.*`, or all."""
    pattern = parameters.text("type", longest=100) or "*"
    if not is_filter(pattern):
        parameters.fault("type", why_no_filter(pattern))
    return pattern


def cursor_given(parameters: Parameters, tokens: Tokens, caller: Caller) -> Mark | None:
    """`?cursor=`, if it is there."""
    text = parameters.text("cursor", longest=_LONGEST_CURSOR)
    mark = None if text is None else read_mark(text, tokens, caller)
    if text is not None and mark is None:
        parameters.fault("cursor", "must be a next_cursor of this list, unchanged")
    return mark


def write_mark(mark: Mark, tokens: Tokens, caller: Caller) -> str:
    """The cursor of what comes after the mark. It does not expire, and is of use to this account and mode alone."""
    return tokens.sign(_purpose(caller), [mark.transaction_id, mark.position], expires_at=None)


def read_mark(text: str, tokens: Tokens, caller: Caller) -> Mark | None:
    """The mark in a cursor we wrote for this account and mode; `None` for any other text."""
    try:
        transaction_id, position = tokens.read(_purpose(caller), text, now=None)
    except BadToken:
        return None
    return Mark(transaction_id, position)


def _purpose(caller: Caller) -> str:
    return f"cursor/events/{caller.account_id}/{caller.mode}"


ROUTES = [
    Route("/v1/events", index, methods=["GET"]),
    Route("/v1/events/{event_id}", read, methods=["GET"]),
]

"""`/v1/webhook-endpoints`: where an account wants its events sent."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.accounts.api_keys import Caller
from service.accounts.audit import note
from service.api.auth import require
from service.api.bodies import check_media_type, invalid, parse_object, read_body, validated
from service.api.context import Context, context_of
from service.events.types import is_filter
from service.kit.errors import CallerError, Problem, not_found
from service.kit.guard import GuardPolicy
from service.kit.guarded_http import RefusedUrl, check_url
from service.kit.paging import Place, listed, page_from
from service.webhooks.endpoints import (
    NewEndpoint,
    create_endpoint,
    delete_endpoint,
    find_endpoint,
    list_endpoints,
    shown,
)

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110 §5.6.2
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,998}[\x21-\x7e])?")
_OURS = frozenset({
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
})  # fmt: skip
_MOST_HEADERS = 20


def _event_filter(text: str) -> str:
    if not is_filter(text):
        raise ValueError(f"{text[:100]!r} is no event type; use for example detection.* or *")
    return text


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("must be the name of a header")
    if name.lower() in _OURS or name.lower().startswith("webhook-"):
        raise ValueError(f"{name} is set by us")
    return name


def _header_value(value: str) -> str:
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError("must be printable ASCII, at most 1000 characters, with no space at its ends")
    return value


EventFilter = Annotated[str, AfterValidator(_event_filter)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]


class EndpointIn(BaseModel):
    """`POST /v1/webhook-endpoints`."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    events: Annotated[list[EventFilter], Field(min_length=1, max_length=50)]
    description: Annotated[str, StringConstraints(max_length=1000)] | None = None
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=_MOST_HEADERS)] = Field(default_factory=dict)
    rate_limit_per_second: Annotated[int, Field(ge=1, le=10_000)] | None = None
    disabled: bool = False


async def create(request: Request) -> Response:
    """201 with the endpoint and its secret: the one time it is shown here."""
    caller = await require(request, "endpoints:write")
    context = context_of(request)
    check_media_type(request)
    asked = _read(await read_body(request), context.guard)
    new = NewEndpoint(account_id=caller.account_id, mode=caller.mode, **asked.model_dump())
    body = await context.database.write(_create, caller, new, context)
    return JSONResponse(body, status_code=201, headers={"Location": f"/v1/webhook-endpoints/{body['id']}"})


async def index(request: Request) -> Response:
    """A page of the account's endpoints, newest first."""
    caller = await require(request, "endpoints:read")
    context = context_of(request)
    listing = f"endpoints/{caller.account_id}/{caller.mode}"
    page = page_from(request.query_params, context.tokens, listing)
    rows = await context.database.read(list_endpoints, caller.account_id, caller.mode, page)
    some, more = listed(rows, page, context.tokens, listing, place=lambda row: Place(row.created_at, row.id))
    return JSONResponse({"data": [shown(row, context.sealer) for row in some], **more})


async def read(request: Request) -> Response:
    """One endpoint."""
    caller = await require(request, "endpoints:read")
    context = context_of(request)
    endpoint_id = request.path_params["endpoint_id"]
    endpoint = await context.database.read(find_endpoint, caller.account_id, caller.mode, endpoint_id)
    if endpoint is None:
        raise not_found("webhook endpoint")
    return JSONResponse(shown(endpoint, context.sealer))


async def delete(request: Request) -> Response:
    """204: the endpoint is gone."""
    caller = await require(request, "endpoints:write")
    context = context_of(request)
    await context.database.write(_delete, caller, request.path_params["endpoint_id"], context)
    return Response(status_code=204)


def _read(raw: bytes, guard: GuardPolicy) -> EndpointIn:
    """What was asked for. Raises `CallerError` with every fault, the guard's verdict on the URL among them."""
    refused = _refusal(parse_object(raw).get("url"), guard)
    try:
        asked = validated(raw, EndpointIn)
    except CallerError as error:
        known = {problem.pointer for problem in error.problems}
        raise invalid([*error.problems, *(each for each in refused if each.pointer not in known)]) from error
    if refused:
        raise invalid(refused)
    return asked


def _refusal(url: object, guard: GuardPolicy) -> list[Problem]:
    if not isinstance(url, str):
        return []  # the model says so
    try:
        check_url(url, guard)
    except RefusedUrl as refused:
        return [Problem("/url", refused.reason)]
    return []


def _create(session: Session, caller: Caller, new: NewEndpoint, context: Context) -> dict[str, Any]:
    now = context.clock()
    endpoint, secret = create_endpoint(session, new, context.sealer, now)
    note(session, caller, "endpoint.created", endpoint.id, now)
    return {**shown(endpoint, context.sealer), "secret": secret}


def _delete(session: Session, caller: Caller, endpoint_id: str, context: Context) -> None:
    endpoint = find_endpoint(session, caller.account_id, caller.mode, endpoint_id)
    if endpoint is None:
        raise not_found("webhook endpoint")
    now = context.clock()
    delete_endpoint(session, endpoint, now)
    note(session, caller, "endpoint.deleted", endpoint.id, now)


ROUTES = [
    Route("/v1/webhook-endpoints", create, methods=["POST"]),
    Route("/v1/webhook-endpoints", index, methods=["GET"]),
    Route("/v1/webhook-endpoints/{endpoint_id}", read, methods=["GET"]),
    Route("/v1/webhook-endpoints/{endpoint_id}", delete, methods=["DELETE"]),
]

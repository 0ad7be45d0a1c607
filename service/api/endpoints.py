"""`/v1/webhook-endpoints`: where an account wants its events sent."""

from functools import partial
from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.accounts.api_keys import Caller
from service.accounts.audit import note
from service.accounts.idempotency import Answer
from service.api.auth import require
from service.api.bodies import check_media_type, read_body
from service.api.context import Context, context_of
from service.api.endpoint_bodies import EndpointChanges, EndpointIn, read_endpoint
from service.api.idempotent import answer_once, first_answer
from service.kit.errors import not_found
from service.kit.paging import PagePosition, listed, page_from
from service.webhooks.endpoints.registry import (
    NewEndpoint,
    change,
    create_endpoint,
    delete_endpoint,
    endpoint_to_change,
    find_endpoint,
    list_endpoints,
    shown,
)


async def create(request: Request) -> Response:
    """201 with the endpoint and its secret: the one time it is shown here."""
    caller = await require(request, "endpoints:write")
    context = context_of(request)
    check_media_type(request)
    raw = await read_body(request)
    if (first := await first_answer(request, caller, raw)) is not None:
        return first
    asked = read_endpoint(raw, EndpointIn, context.guard)
    new = NewEndpoint(account_id=caller.account_id, mode=caller.mode, **asked.model_dump())
    return await answer_once(request, caller, raw, partial(_create, caller=caller, new=new, context=context))


async def index(request: Request) -> Response:
    """A page of the account's endpoints, newest first."""
    caller = await require(request, "endpoints:read")
    context = context_of(request)
    listing = f"endpoints/{caller.account_id}/{caller.mode}"
    page = page_from(request.query_params, context.tokens, listing)
    rows = await context.database.read(list_endpoints, caller.account_id, caller.mode, page)
    some, more = listed(rows, page, context.tokens, listing, position=lambda row: PagePosition(row.created_at, row.id))
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


async def update(request: Request) -> Response:
    """200 with the endpoint as it is now: what the request named is changed, and nothing else."""
    caller = await require(request, "endpoints:write")
    context = context_of(request)
    check_media_type(request)
    changes = read_endpoint(await read_body(request), EndpointChanges, context.guard).named()
    endpoint_id = request.path_params["endpoint_id"]
    return JSONResponse(await context.database.write(_update, caller, endpoint_id, changes, context))


async def delete(request: Request) -> Response:
    """204: the endpoint is gone."""
    caller = await require(request, "endpoints:write")
    context = context_of(request)
    await context.database.write(_delete, caller, request.path_params["endpoint_id"], context)
    return Response(status_code=204)


def _create(session: Session, caller: Caller, new: NewEndpoint, context: Context) -> Answer:
    now = context.clock()
    endpoint, secret = create_endpoint(session, new, context.sealer, now)
    note(session, caller, "endpoint.created", endpoint.id, now)
    body = {**shown(endpoint, context.sealer), "secret": secret}
    return Answer(201, body, {"Location": f"/v1/webhook-endpoints/{endpoint.id}"})


def _update(
    session: Session, caller: Caller, endpoint_id: str, changes: dict[str, Any], context: Context
) -> dict[str, Any]:
    endpoint = endpoint_to_change(session, caller.account_id, caller.mode, endpoint_id)
    if endpoint is None:
        raise not_found("webhook endpoint")
    change(endpoint, changes, context.sealer)
    note(session, caller, "endpoint.changed", endpoint.id, context.clock())
    return shown(endpoint, context.sealer)


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
    Route("/v1/webhook-endpoints/{endpoint_id}", update, methods=["PATCH"]),
    Route("/v1/webhook-endpoints/{endpoint_id}", delete, methods=["DELETE"]),
]

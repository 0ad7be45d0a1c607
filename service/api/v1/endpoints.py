"""`/v1/webhook-endpoints`: where an account wants its events sent."""

from functools import partial
from typing import Any

from sqlmodel import Session

from service.accounts.audit import note
from service.accounts.idempotency import Answer
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, Body, Call, ResponseSpec, Tag
from service.api.contract.parameters import Listing
from service.api.v1.endpoint_bodies import EndpointChanges, EndpointIn, judge_endpoint
from service.kit.errors import not_found
from service.webhooks.endpoints import registry
from service.webhooks.endpoints.registry import NewEndpoint, change, endpoint_to_change, find_endpoint, shown
from service.webhooks.models import Endpoint

_READ, _WRITE = "endpoints:read", "endpoints:write"
_ONE = "/v1/webhook-endpoints/{endpoint_id}"

LISTING = Listing("endpoints")


def create_endpoint(session: Session, call: Call) -> Answer:
    """Answer 201 with the endpoint and its secret, which is shown this once."""
    sealer, now = call.context.sealer, call.now
    new = NewEndpoint(*call.owner, **call.body.model_dump())
    endpoint, secret = registry.create_endpoint(session, new, sealer, now)
    note(session, call.caller, "endpoint.created", endpoint.id, now)
    body = {**shown(endpoint, sealer), "secret": secret}
    return Answer(201, body, {"Location": f"/v1/webhook-endpoints/{endpoint.id}"})


def list_endpoints(session: Session, call: Call) -> dict[str, Any]:
    """Return a page of the account's endpoints, newest first."""
    page, sealer = LISTING.page(call), call.context.sealer
    rows = registry.list_endpoints(session, *call.owner, page)
    return LISTING.answer(call, rows, page, lambda some: [shown(row, sealer) for row in some])


def get_endpoint(session: Session, call: Call) -> dict[str, Any]:
    """Return one endpoint."""
    return shown(owned(session, call), call.context.sealer)


def change_endpoint(session: Session, call: Call) -> dict[str, Any]:
    """Change what the request names, and nothing else. Return the endpoint as it is now."""
    endpoint, sealer = lock_owned(session, call), call.context.sealer
    change(endpoint, call.body.named(), sealer)
    note(session, call.caller, "endpoint.changed", endpoint.id, call.now)
    return shown(endpoint, sealer)


def delete_endpoint(session: Session, call: Call) -> None:
    """Delete the endpoint."""
    endpoint, now = owned(session, call), call.now
    registry.delete_endpoint(session, endpoint, now)
    note(session, call.caller, "endpoint.deleted", endpoint.id, now)


def owned(session: Session, call: Call) -> Endpoint:
    """Return the caller's endpoint. Raise `CallerError` 404."""
    endpoint = find_endpoint(session, *call.owner, call.path["endpoint_id"])
    if endpoint is None:
        raise not_found("webhook endpoint")
    return endpoint


def lock_owned(session: Session, call: Call) -> Endpoint:
    """Return the caller's endpoint, locked. Raise `CallerError` 404."""
    endpoint = endpoint_to_change(session, *call.owner, call.path["endpoint_id"])
    if endpoint is None:
        raise not_found("webhook endpoint")
    return endpoint


ROUTES = routes_of([
    ApiOperation(
        "POST", "/v1/webhook-endpoints", id="createEndpoint", tag=Tag.ENDPOINTS, scope=_WRITE, idempotent=True,
        run=create_endpoint,
        summary="Register a URL that receives events",
        text="`events` is required. The same URL twice makes two endpoints, each with its own secret, and every event "
        "arrives twice. `batch.completed` is reserved: no such event is sent yet.",
        body=Body(
            model=EndpointIn,
            judge=partial(judge_endpoint, EndpointIn),
            example={"url": "https://customer.example/relay", "events": ["detection.*"]},
        ),
        responses={
            201: ResponseSpec(
                "The new endpoint; its secret is shown this once.", "endpoints.NewEndpoint", headers=("Location",)
            )
        },
    ),
    ApiOperation(
        "GET", "/v1/webhook-endpoints", id="listEndpoints", tag=Tag.ENDPOINTS, scope=_READ, run=list_endpoints,
        summary="List endpoints",
        parameters=LISTING.parameters,
        responses={200: ResponseSpec("A page of endpoints.", "endpoints.EndpointPage")},
    ),
    ApiOperation(
        "GET", _ONE, id="readEndpoint", tag=Tag.ENDPOINTS, scope=_READ, run=get_endpoint,
        summary="Get an endpoint",
        responses={200: ResponseSpec("The endpoint.", "endpoints.Endpoint")},
    ),
    ApiOperation(
        "PATCH", _ONE, id="changeEndpoint", tag=Tag.ENDPOINTS, scope=_WRITE, run=change_endpoint,
        summary="Change an endpoint",
        text="Absent members stay unchanged; null clears a member that may be null.",
        body=Body(
            model=EndpointChanges,
            judge=partial(judge_endpoint, EndpointChanges),
            example={"events": ["detection.*", "review.required"]},
        ),
        responses={200: ResponseSpec("The changed endpoint.", "endpoints.Endpoint")},
    ),
    ApiOperation(
        "DELETE", _ONE, id="deleteEndpoint", tag=Tag.ENDPOINTS, scope=_WRITE, run=delete_endpoint,
        summary="Delete an endpoint",
        text="Events that were not delivered to it yet are never delivered.",
        responses={204: ResponseSpec("Deleted. The response has no body.")},
    ),
])  # fmt: skip

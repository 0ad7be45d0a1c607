"""`/v1/webhook-endpoints`: where an account wants its events sent, and what can be done with such an endpoint."""

from datetime import timedelta
from functools import partial
from typing import Any

from sqlmodel import Session

from service.accounts.audit import note
from service.accounts.idempotency import ApiAnswer
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import NO_FIELDS, ApiOperation, Body, Call, ResponseSpec, Tag
from service.api.contract.parameters import Listing
from service.api.v1.endpoint_bodies import (
    EnableIn,
    EndpointChanges,
    EndpointIn,
    RecoverIn,
    RotateIn,
    judge_endpoint,
    judge_recover,
)
from service.kit.clock import rfc3339
from service.kit.errors import existing
from service.webhooks.endpoints import registry
from service.webhooks.endpoints.registry import NewEndpoint, change, endpoint_to_change, find_endpoint, shown
from service.webhooks.endpoints.rotate import newest_secret, rotate_secret
from service.webhooks.endpoints.stats import stats_of
from service.webhooks.models import Endpoint
from service.webhooks.queue.requeue import recover

_READ, _WRITE = "endpoints:read", "endpoints:write"
_ONE = "/v1/webhook-endpoints/{endpoint_id}"

LISTING = Listing("endpoints")


def create_endpoint(session: Session, call: Call) -> ApiAnswer:
    """Answer 201 with the endpoint and its secret, which is shown this once."""
    sealer, now = call.context.sealer, call.now
    new = NewEndpoint(*call.owner, **call.body.model_dump())
    endpoint, secret = registry.create_endpoint(session, new, sealer, now)
    note(session, call.caller, "endpoint.created", endpoint.id, now)
    body = {**shown(endpoint, sealer), "secret": secret}
    return ApiAnswer(201, body, {"Location": f"/v1/webhook-endpoints/{endpoint.id}"})


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
    return existing(find_endpoint(session, *call.target), "webhook endpoint")


def lock_owned(session: Session, call: Call) -> Endpoint:
    """Return the caller's endpoint, locked. Raise `CallerError` 404."""
    return existing(endpoint_to_change(session, *call.target), "webhook endpoint")


def enable_endpoint(session: Session, call: Call) -> dict[str, Any]:
    """Enable the endpoint, release held deliveries as chosen, and return it."""
    endpoint, now = lock_owned(session, call), call.now
    registry.enable(session, endpoint, call.body.release, now)
    note(session, call.caller, "endpoint.enabled", endpoint.id, now)
    return shown(endpoint, call.context.sealer)


def disable_endpoint(session: Session, call: Call) -> dict[str, Any]:
    """Disable the endpoint, hold its deliveries, and return it."""
    endpoint, now = lock_owned(session, call), call.now
    registry.disable(session, endpoint, call.context.policy.outbox, now)
    note(session, call.caller, "endpoint.disabled", endpoint.id, now)
    return shown(endpoint, call.context.sealer)


def ping_endpoint(session: Session, call: Call) -> dict[str, Any]:
    """Return the ids of a new event and its delivery. Raise `CallerError` 409 if the endpoint is disabled."""
    endpoint, now = lock_owned(session, call), call.now
    made = registry.ping(session, endpoint, call.context.policy.outbox, now)
    note(session, call.caller, "endpoint.pinged", endpoint.id, now)
    return dict(made)


def rotate_endpoint_secret(session: Session, call: Call) -> dict[str, Any]:
    """Return the endpoint and its new secret, which is shown this once. Both sign until the overlap ends."""
    endpoint, now, sealer = lock_owned(session, call), call.now, call.context.sealer
    overlap = timedelta(seconds=call.body.overlap_seconds)
    secret = rotate_secret(session, endpoint, overlap, sealer, now)
    note(session, call.caller, "endpoint.secret_rotated", endpoint.id, now)
    return {**shown(endpoint, sealer), "secret": secret, "previous_secrets_end_at": rfc3339(now + overlap)}


def recover_endpoint(session: Session, call: Call) -> dict[str, Any]:
    """Requeue failed deliveries and return their number. Raise `CallerError` 409 if the endpoint is disabled."""
    endpoint, now, fields = lock_owned(session, call), call.now, call.body
    # A moment beyond now, so that what was made at this very one is among them.
    until = fields.until or now + timedelta(milliseconds=1)
    resent, has_more = recover(session, endpoint, fields.since, until, now)
    note(session, call.caller, "endpoint.recovered", endpoint.id, now)
    return {"resent": resent, "has_more": has_more}


def get_endpoint_secret(session: Session, call: Call) -> dict[str, Any]:
    """Return the newest signing secret, and record that it was shown."""
    endpoint, now = owned(session, call), call.now
    note(session, call.caller, "endpoint.secret_shown", endpoint.id, now)
    return {"id": endpoint.id, "secret": newest_secret(session, endpoint, call.context.sealer, now)}


def get_endpoint_stats(session: Session, call: Call) -> dict[str, Any]:
    """Return the endpoint's statistics."""
    return stats_of(session, owned(session, call), call.now)


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
    ApiOperation(
        "POST", f"{_ONE}/enable", id="enableEndpoint", tag=Tag.ENDPOINTS, scope=_WRITE, idempotent=True,
        run=enable_endpoint,
        summary="Enable an endpoint",
        text="Held deliveries are sent in order (`all`), or only the newest event of each detection (`newest`), or "
        "none of them (`none`).",
        body=Body(model=EnableIn, required=False, example={"release": "newest"}),
        responses={200: ResponseSpec("The enabled endpoint.", "endpoints.Endpoint")},
    ),
    ApiOperation(
        "POST", f"{_ONE}/disable", id="disableEndpoint", tag=Tag.ENDPOINTS, scope=_WRITE, idempotent=True,
        run=disable_endpoint,
        summary="Disable an endpoint",
        text="Its deliveries are held, and none is lost.",
        body=NO_FIELDS,
        responses={200: ResponseSpec("The disabled endpoint.", "endpoints.Endpoint")},
    ),
    ApiOperation(
        "POST", f"{_ONE}/ping", id="pingEndpoint", tag=Tag.ENDPOINTS, scope=_WRITE, idempotent=True, run=ping_endpoint,
        summary="Send a test event",
        text="`webhook_endpoint.ping`, to this endpoint alone, whatever its filters. Refused if it is disabled.",
        body=NO_FIELDS,
        responses={202: ResponseSpec("The test event is pending.", "endpoints.Pinged")},
    ),
    ApiOperation(
        "POST", f"{_ONE}/rotate-secret", id="rotateSecret", tag=Tag.ENDPOINTS, scope=_WRITE, idempotent=True,
        run=rotate_endpoint_secret,
        summary="Rotate the signing secret",
        text="Until the overlap ends, deliveries carry a signature for each secret.",
        body=Body(model=RotateIn, required=False, example={"overlap_seconds": 3600}),
        responses={200: ResponseSpec("The new secret, shown this once.", "endpoints.Rotated")},
    ),
    ApiOperation(
        "POST", f"{_ONE}/recover", id="recoverEndpoint", tag=Tag.ENDPOINTS, scope=_WRITE, idempotent=True,
        run=recover_endpoint,
        summary="Resend failed deliveries",
        text="Deliveries that failed or were held since then are sent again, in slices. Refused if the endpoint is "
        "disabled.",
        body=Body(model=RecoverIn, judge=judge_recover, example={"since": "2026-11-20T00:00:00Z"}),
        responses={202: ResponseSpec("The deliveries are pending.", "endpoints.Recovered")},
    ),
    ApiOperation(
        "GET", f"{_ONE}/secret", id="readSecret", tag=Tag.ENDPOINTS, scope="secrets:read", writes=True,
        run=get_endpoint_secret,
        summary="Get the signing secret",
        text="The newest secret. The audit log records each time it is shown.",
        responses={200: ResponseSpec("The secret.", "endpoints.Secret")},
    ),
    ApiOperation(
        "GET", f"{_ONE}/stats", id="readStats", tag=Tag.ENDPOINTS, scope="endpoints:read", run=get_endpoint_stats,
        summary="Get the statistics of an endpoint",
        responses={200: ResponseSpec("Attempts of the last 24 hours, and the current backlog.", "endpoints.Stats")},
    ),
])  # fmt: skip

"""What can be done with an endpoint once it exists: enable, ping, rotate its secret, recover, read statistics."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field
from sqlmodel import Session

from service.accounts.audit import note
from service.api.bodies import invalid, validated
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import NO_FIELDS, ApiOperation, Body, Call, ResponseSpec, Tag
from service.api.v1.endpoints import lock_owned, owned
from service.kit.clock import rfc3339
from service.kit.errors import Problem
from service.webhooks.endpoints import registry
from service.webhooks.endpoints.registry import shown
from service.webhooks.endpoints.rotate import LONGEST_OVERLAP, USUAL_OVERLAP, newest_secret, rotate_secret
from service.webhooks.endpoints.stats import stats_of
from service.webhooks.queue.requeue import recover
from service.webhooks.queue.requeue_plan import Choice

_WRITE = "endpoints:write"
_ONE = "/v1/webhook-endpoints/{endpoint_id}"


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is not a valid time in UTC") from error


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class EnableIn(BaseModel):
    """`POST …/enable`."""

    release: Choice = "all"


class RotateIn(BaseModel):
    """`POST …/rotate-secret`."""

    overlap_seconds: Annotated[int, Field(ge=0, le=int(LONGEST_OVERLAP.total_seconds()))] = int(
        USUAL_OVERLAP.total_seconds()
    )


class RecoverIn(BaseModel):
    """`POST …/recover`."""

    since: Time
    until: Time | None = None


def _judge_recover(raw: bytes, _call: Call) -> RecoverIn:
    fields = validated(raw, RecoverIn)
    if fields.until is not None and fields.until <= fields.since:
        raise invalid([Problem("/until", "must be later than since")])
    return fields


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
        body=Body(model=RecoverIn, judge=_judge_recover, example={"since": "2026-11-20T00:00:00Z"}),
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

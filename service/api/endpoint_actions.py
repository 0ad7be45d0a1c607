"""What can be done with an endpoint once it is there: switched, pinged, given a new secret, caught up with."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.accounts.api_keys import Caller
from service.accounts.audit import note
from service.accounts.idempotency import Answer
from service.api.auth import require
from service.api.bodies import NothingIn, check_media_type, invalid, read_body, validated
from service.api.context import Context, context_of
from service.api.idempotent import answer_once
from service.kit.clock import rfc3339
from service.kit.errors import Problem, not_found
from service.webhooks.endpoints.registry import disable, enable, endpoint_to_change, find_endpoint, ping, shown
from service.webhooks.endpoints.rotate import LONGEST_OVERLAP, USUAL_OVERLAP, newest_secret, rotate_secret
from service.webhooks.endpoints.stats import stats_of
from service.webhooks.models import Endpoint
from service.webhooks.queue.requeue import recover
from service.webhooks.queue.requeue_plan import Choice

M = TypeVar("M", bound=BaseModel)
Work = Callable[[Session, Endpoint, datetime], tuple[int, dict[str, Any]]]


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is no time in UTC") from error


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


async def switch_on(request: Request) -> Response:
    """200 with the endpoint, enabled; what was held is on its way as chosen."""
    caller, raw, asked = await _asked(request, EnableIn)
    sealer = context_of(request).sealer

    def work(session: Session, endpoint: Endpoint, now: datetime) -> tuple[int, dict[str, Any]]:
        enable(session, endpoint, asked.release, now)
        return 200, shown(endpoint, sealer)

    return await _done(request, caller, raw, "endpoint.enabled", work)


async def switch_off(request: Request) -> Response:
    """200 with the endpoint, disabled; its deliveries are held."""
    caller, raw, _ = await _asked(request, NothingIn)
    context = context_of(request)

    def work(session: Session, endpoint: Endpoint, now: datetime) -> tuple[int, dict[str, Any]]:
        disable(session, endpoint, context.policy.outbox, now)
        return 200, shown(endpoint, context.sealer)

    return await _done(request, caller, raw, "endpoint.disabled", work)


async def send_ping(request: Request) -> Response:
    """202 with the ids of the event and its delivery; 409 where the endpoint is disabled."""
    caller, raw, _ = await _asked(request, NothingIn)
    outbox = context_of(request).policy.outbox
    return await _done(
        request, caller, raw, "endpoint.pinged", lambda *here: (202, ping(here[0], here[1], outbox, here[2]))
    )


async def rotate(request: Request) -> Response:
    """200 with the endpoint and its new secret: the one time it is shown here. Both sign until the overlap is over."""
    caller, raw, asked = await _asked(request, RotateIn)
    sealer, overlap = context_of(request).sealer, timedelta(seconds=asked.overlap_seconds)

    def work(session: Session, endpoint: Endpoint, now: datetime) -> tuple[int, dict[str, Any]]:
        secret = rotate_secret(session, endpoint, overlap, sealer, now)
        more = {"secret": secret, "previous_secrets_end_at": rfc3339(now + overlap)}
        return 200, {**shown(endpoint, sealer), **more}

    return await _done(request, caller, raw, "endpoint.secret_rotated", work)


async def send_again(request: Request) -> Response:
    """202 with how many deliveries are set off again; 409 where the endpoint is disabled."""
    caller, raw, asked = await _asked(request, RecoverIn)
    if asked.until is not None and asked.until <= asked.since:
        raise invalid([Problem("/until", "must be later than since")])

    def work(session: Session, endpoint: Endpoint, now: datetime) -> tuple[int, dict[str, Any]]:
        # A moment beyond now, so that what was made at this very one is among them.
        until = asked.until or now + timedelta(milliseconds=1)
        resent, has_more = recover(session, endpoint, asked.since, until, now)
        return 202, {"resent": resent, "has_more": has_more}

    return await _done(request, caller, raw, "endpoint.recovered", work)


async def secret(request: Request) -> Response:
    """200 with the newest signing secret. That it was shown is on record."""
    caller = await require(request, "secrets:read")
    body = await context_of(request).database.write(
        _secret, caller, request.path_params["endpoint_id"], context_of(request)
    )
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


async def stats(request: Request) -> Response:
    """200 with how the endpoint is doing."""
    caller = await require(request, "endpoints:read")
    context = context_of(request)
    endpoint_id = request.path_params["endpoint_id"]
    return JSONResponse(await context.database.read(_stats, caller, endpoint_id, context.clock()))


async def _asked(request: Request, model: type[M]) -> tuple[Caller, bytes, M]:
    """Who asks, and what: an absent body is an empty object."""
    caller = await require(request, "endpoints:write")
    check_media_type(request)
    raw = await read_body(request) or b"{}"
    return caller, raw, validated(raw, model)


async def _done(request: Request, caller: Caller, raw: bytes, noted: str, work: Work) -> Response:
    """The work's answer, committed together with the line that says who did it."""
    endpoint_id, context = request.path_params["endpoint_id"], context_of(request)
    act = partial(_act, caller=caller, endpoint_id=endpoint_id, noted=noted, work=work, context=context)
    return await answer_once(request, caller, raw, act)


def _act(session: Session, caller: Caller, endpoint_id: str, noted: str, work: Work, context: Context) -> Answer:
    endpoint, now = endpoint_to_change(session, caller.account_id, caller.mode, endpoint_id), context.clock()
    if endpoint is None:
        raise not_found("webhook endpoint")
    status, body = work(session, endpoint, now)
    note(session, caller, noted, endpoint.id, now)
    return Answer(status, body)


def _secret(session: Session, caller: Caller, endpoint_id: str, context: Context) -> dict[str, Any]:
    endpoint, now = _found(session, caller, endpoint_id), context.clock()
    note(session, caller, "endpoint.secret_shown", endpoint.id, now)
    return {"id": endpoint.id, "secret": newest_secret(session, endpoint, context.sealer, now)}


def _stats(session: Session, caller: Caller, endpoint_id: str, now: datetime) -> dict[str, Any]:
    return stats_of(session, _found(session, caller, endpoint_id), now)


def _found(session: Session, caller: Caller, endpoint_id: str) -> Endpoint:
    endpoint = find_endpoint(session, caller.account_id, caller.mode, endpoint_id)
    if endpoint is None:
        raise not_found("webhook endpoint")
    return endpoint


_ONE = "/v1/webhook-endpoints/{endpoint_id}"

ROUTES = [
    Route(f"{_ONE}/enable", switch_on, methods=["POST"]),
    Route(f"{_ONE}/disable", switch_off, methods=["POST"]),
    Route(f"{_ONE}/ping", send_ping, methods=["POST"]),
    Route(f"{_ONE}/rotate-secret", rotate, methods=["POST"]),
    Route(f"{_ONE}/recover", send_again, methods=["POST"]),
    Route(f"{_ONE}/secret", secret, methods=["GET"]),
    Route(f"{_ONE}/stats", stats, methods=["GET"]),
]

"""`/v1/deliveries`: what became of each event on its way to each endpoint, and sending one again."""

from collections.abc import Sequence
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
from service.api.bodies import NothingIn, check_media_type, read_body, validated
from service.api.context import Context, context_of
from service.api.idempotent import answer_once
from service.api.parameters import Parameters
from service.events.types import EventType, is_filter, takes, why_no_filter
from service.kit.errors import not_found
from service.kit.ids import is_id
from service.kit.paging import Page, PagePosition, listed
from service.webhooks.models import Delivery
from service.webhooks.queries import STATUSES, DeliveryFilter, deliveries_shown, find_delivery, list_deliveries, page_of
from service.webhooks.queue.requeue import resend

_LONGEST = 100


async def index(request: Request) -> Response:
    """A page of the account's deliveries with their attempts, newest first."""
    caller = await require(request, "endpoints:read")
    context = context_of(request)
    listing = f"deliveries/{caller.account_id}/{caller.mode}"
    parameters = Parameters(request.query_params, "endpoint", "status", "event", "limit", "cursor")
    wanted = _wanted(parameters)
    page = parameters.page(context.tokens, listing)
    parameters.check()
    rows, bodies, page = await context.database.read(_listed, caller, wanted, page)
    _, more = listed(rows, page, context.tokens, listing, position=lambda row: PagePosition(row.created_at, row.id))
    return JSONResponse({"data": bodies, **more})


async def read(request: Request) -> Response:
    """One delivery with its attempts."""
    caller = await require(request, "endpoints:read")
    delivery_id = request.path_params["delivery_id"]
    return JSONResponse(await context_of(request).database.read(_read, caller, delivery_id))


async def send_again(request: Request) -> Response:
    """202 with the delivery, on its way again; 409 where it is on its way anyway or its endpoint is disabled."""
    caller, context = await require(request, "endpoints:write"), context_of(request)
    check_media_type(request)
    raw = await read_body(request) or b"{}"
    validated(raw, NothingIn)
    work = partial(_resend, caller=caller, delivery_id=request.path_params["delivery_id"], context=context)
    return await answer_once(request, caller, raw, work)


def _wanted(parameters: Parameters) -> DeliveryFilter:
    endpoint_id = parameters.text("endpoint", longest=_LONGEST)
    if endpoint_id is not None and not is_id(endpoint_id, "we"):
        parameters.fault("endpoint", "must be the id of an endpoint")
    status = parameters.text("status", longest=_LONGEST)
    if status is not None and status not in STATUSES:
        parameters.fault("status", f"must be one of {', '.join(STATUSES)}")
    event = parameters.text("event", longest=_LONGEST)
    is_event_id = event is not None and is_id(event, "evt")
    if event is not None and not is_event_id and not is_filter(event):
        parameters.fault("event", f"{why_no_filter(event)} The id of an event does too.")
    types = None if event is None or is_event_id else [kind.value for kind in EventType if takes(event, kind)]
    return DeliveryFilter(endpoint_id, STATUSES.get(status or ""), event if is_event_id else None, types)


def _listed(
    session: Session, caller: Caller, wanted: DeliveryFilter, page: Page
) -> tuple[Sequence[Delivery], list[dict[str, Any]], Page]:
    page = page_of(session, caller.account_id, caller.mode, wanted, page)
    rows = list_deliveries(session, caller.account_id, caller.mode, wanted, page)
    return rows, deliveries_shown(session, rows[: page.limit]), page


def _read(session: Session, caller: Caller, delivery_id: str) -> dict[str, Any]:
    return deliveries_shown(session, [_found(session, caller, delivery_id)])[0]


def _resend(session: Session, caller: Caller, delivery_id: str, context: Context) -> Answer:
    delivery, now = _found(session, caller, delivery_id), context.clock()
    resend(session, delivery, now)
    note(session, caller, "delivery.resent", delivery.id, now)
    return Answer(202, deliveries_shown(session, [delivery])[0])


def _found(session: Session, caller: Caller, delivery_id: str) -> Delivery:
    delivery = find_delivery(session, caller.account_id, caller.mode, delivery_id)
    if delivery is None:
        raise not_found("delivery")
    return delivery


ROUTES = [
    Route("/v1/deliveries", index, methods=["GET"]),
    Route("/v1/deliveries/{delivery_id}", read, methods=["GET"]),
    Route("/v1/deliveries/{delivery_id}/resend", send_again, methods=["POST"]),
]

"""`/v1/deliveries`: what became of each event on its way to each endpoint, and sending one again."""

from typing import Any

from sqlmodel import Session

from service.accounts.audit import note
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import NO_FIELDS, ApiOperation, Call, ResponseSpec, Tag
from service.api.contract.parameters import Listing, bounded, text, words
from service.events.types import EventType, is_filter, takes, why_no_filter
from service.kit.errors import existing
from service.kit.ids import is_id
from service.webhooks import queries
from service.webhooks.models import Delivery
from service.webhooks.queries import STATUSES, deliveries_shown
from service.webhooks.queue.requeue import resend

_LONGEST = 100


def _endpoint_id(given: str, _call: Call) -> str:
    if not is_id(bounded(given, _LONGEST), "we"):
        raise ValueError("must be the id of an endpoint")
    return given


def _event(given: str, _call: Call) -> str:
    bounded(given, _LONGEST)
    if not is_id(given, "evt") and not is_filter(given):
        raise ValueError(f"{why_no_filter(given)} The id of an event is allowed too.")
    return given


LISTING = Listing("deliveries")
ENDPOINT = text("endpoint", "The id of an endpoint.", {"type": "string"}, _endpoint_id)
STATUS = words("status", "The status of the delivery.", list(STATUSES))
EVENT = text("event", "The id of an event, a type, or a family such as `detection.*`.", {"type": "string"}, _event)


def list_deliveries(session: Session, call: Call) -> dict[str, Any]:
    """Return a page of the account's deliveries with their attempts, newest first."""
    chosen = _chosen(call)
    page = queries.page_of(session, *call.owner, chosen, LISTING.page(call))
    rows = queries.list_deliveries(session, *call.owner, chosen, page)
    return LISTING.answer(call, rows, page, lambda some: deliveries_shown(session, some))


def get_delivery(session: Session, call: Call) -> dict[str, Any]:
    """Return one delivery with its attempts."""
    return deliveries_shown(session, [_found(session, call)])[0]


def resend_delivery(session: Session, call: Call) -> dict[str, Any]:
    """Queue the delivery again. Raise `CallerError` 409 if it is pending, or its endpoint is disabled."""
    delivery, now = _found(session, call), call.now
    resend(session, delivery, now)
    note(session, call.caller, "delivery.resent", delivery.id, now)
    return deliveries_shown(session, [delivery])[0]


def _chosen(call: Call) -> queries.DeliveryFilter:
    event = call.query[EVENT]
    is_event_id = event is not None and is_id(event, "evt")
    types = None if event is None or is_event_id else [kind.value for kind in EventType if takes(event, kind)]
    states = STATUSES.get(call.query[STATUS] or "")
    return queries.DeliveryFilter(call.query[ENDPOINT], states, event if is_event_id else None, types)


def _found(session: Session, call: Call) -> Delivery:
    return existing(queries.find_delivery(session, *call.target), "delivery")


ROUTES = routes_of([
    ApiOperation(
        "GET", "/v1/deliveries", id="listDeliveries", tag=Tag.DELIVERIES, scope="endpoints:read", run=list_deliveries,
        summary="List deliveries",
        text="With their attempts, newest first. A delivery must match every filter.",
        parameters=(ENDPOINT, STATUS, EVENT, *LISTING.parameters),
        responses={200: ResponseSpec("A page of deliveries.", "endpoints.DeliveryPage")},
    ),
    ApiOperation(
        "GET", "/v1/deliveries/{delivery_id}", id="readDelivery", tag=Tag.DELIVERIES, scope="endpoints:read",
        run=get_delivery,
        summary="Get a delivery",
        responses={200: ResponseSpec("The delivery with its attempts.", "endpoints.Delivery")},
    ),
    ApiOperation(
        "POST", "/v1/deliveries/{delivery_id}/resend", id="resendDelivery", tag=Tag.DELIVERIES, scope="endpoints:write",
        idempotent=True, run=resend_delivery,
        summary="Resend an event",
        text="The same id and the same bytes, with a new schedule of attempts. Refused if the delivery is already "
        "pending, or if its endpoint is disabled.",
        body=NO_FIELDS,
        responses={202: ResponseSpec("The delivery is pending.", "endpoints.Delivery")},
    ),
])  # fmt: skip

"""What is said of `/v1/deliveries`."""

from service.api.bodies import NothingIn
from service.api.describe import Answer, Body, Described, Operation, Parameter, Tag
from service.api.described.common import CURSOR, LIMIT
from service.api.schemas.deliveries import Delivery, DeliveryPage
from service.webhooks.queries import STATUSES

OPERATIONS: Described = {
    ("GET", "/v1/deliveries"): Operation(
        id="listDeliveries",
        tag=Tag.DELIVERIES,
        summary="List deliveries",
        text="With their attempts, newest first. Filters narrow it down together.",
        scope="endpoints:read",
        parameters=(
            Parameter(name="endpoint", text="The id of an endpoint.", schema={"type": "string"}),
            Parameter(name="status", text="How it stands.", schema={"enum": list(STATUSES)}),
            Parameter(
                name="event",
                text="The id of an event, a type, or a family such as `detection.*`.",
                schema={"type": "string"},
            ),
            LIMIT,
            CURSOR,
        ),
        answers={200: Answer(text="A page.", model=DeliveryPage)},
    ),
    ("GET", "/v1/deliveries/{delivery_id}"): Operation(
        id="readDelivery",
        tag=Tag.DELIVERIES,
        summary="Read a delivery",
        scope="endpoints:read",
        answers={200: Answer(text="The delivery with its attempts.", model=Delivery)},
    ),
    ("POST", "/v1/deliveries/{delivery_id}/resend"): Operation(
        id="resendDelivery",
        tag=Tag.DELIVERIES,
        summary="Send an event again",
        text="The same id and the same bytes, with a new schedule of tries. Refused where it is on its way anyway, "
        "or its endpoint is disabled.",
        scope="endpoints:write",
        body=Body(model=NothingIn, required=False),
        once=True,
        answers={202: Answer(text="It is on its way.", model=Delivery)},
    ),
}

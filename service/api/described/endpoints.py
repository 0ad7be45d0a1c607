"""What is said of `/v1/webhook-endpoints`."""

from service.api.describe import Answer, Body, Described, Operation, Tag
from service.api.described.common import CURSOR, LIMIT, NOTHING
from service.api.endpoint_bodies import EndpointChanges, EndpointIn
from service.api.schemas.endpoints import Endpoint, EndpointPage, NewEndpoint

_READ, _WRITE = "endpoints:read", "endpoints:write"
_ONE = "/v1/webhook-endpoints/{endpoint_id}"

OPERATIONS: Described = {
    ("POST", "/v1/webhook-endpoints"): Operation(
        id="createEndpoint",
        tag=Tag.ENDPOINTS,
        summary="Register a URL that wants events",
        text="`events` is required. The same URL twice makes two endpoints, each with its own secret, and every event "
        "arrives twice. `batch.completed` is reserved: nothing sends it yet.",
        scope=_WRITE,
        body=Body(model=EndpointIn, example={"url": "https://customer.example/relay", "events": ["detection.*"]}),
        once=True,
        answers={
            201: Answer(text="Registered; the secret is shown this once.", model=NewEndpoint, headers=("Location",))
        },
    ),
    ("GET", "/v1/webhook-endpoints"): Operation(
        id="listEndpoints",
        tag=Tag.ENDPOINTS,
        summary="List endpoints",
        scope=_READ,
        parameters=(LIMIT, CURSOR),
        answers={200: Answer(text="A page.", model=EndpointPage)},
    ),
    ("GET", _ONE): Operation(
        id="readEndpoint",
        tag=Tag.ENDPOINTS,
        summary="Read an endpoint",
        scope=_READ,
        answers={200: Answer(text="The endpoint.", model=Endpoint)},
    ),
    ("PATCH", _ONE): Operation(
        id="changeEndpoint",
        tag=Tag.ENDPOINTS,
        summary="Change an endpoint",
        text="What is absent stays as it is; null clears where there may be nothing.",
        scope=_WRITE,
        body=Body(model=EndpointChanges, example={"events": ["detection.*", "review.required"]}),
        answers={200: Answer(text="The endpoint as it is now.", model=Endpoint)},
    ),
    ("DELETE", _ONE): Operation(
        id="deleteEndpoint",
        tag=Tag.ENDPOINTS,
        summary="Delete an endpoint",
        text="What was not delivered to it never will be.",
        scope=_WRITE,
        answers={204: NOTHING},
    ),
}

"""What is said of what can be done with a webhook endpoint."""

from service.api.bodies import NothingIn
from service.api.describe import Answer, Body, Described, Operation, Tag
from service.api.endpoint_actions import EnableIn, RecoverIn, RotateIn
from service.api.schemas.endpoints import Endpoint, Pinged, Recovered, Rotated, Secret, Stats

_WRITE = "endpoints:write"
_ONE = "/v1/webhook-endpoints/{endpoint_id}"
_NOTHING_IN = Body(model=NothingIn, required=False)

OPERATIONS: Described = {
    ("POST", f"{_ONE}/enable"): Operation(
        id="enableEndpoint",
        tag=Tag.ENDPOINTS,
        summary="Enable an endpoint",
        text="What was held goes out in order (`all`), or only the newest event of each detection (`newest`), or "
        "nothing of it (`none`).",
        scope=_WRITE,
        body=Body(model=EnableIn, required=False, example={"release": "newest"}),
        once=True,
        answers={200: Answer(text="It is enabled.", model=Endpoint)},
    ),
    ("POST", f"{_ONE}/disable"): Operation(
        id="disableEndpoint",
        tag=Tag.ENDPOINTS,
        summary="Disable an endpoint",
        text="Deliveries to it are held, and none is lost.",
        scope=_WRITE,
        body=_NOTHING_IN,
        once=True,
        answers={200: Answer(text="It is disabled.", model=Endpoint)},
    ),
    ("POST", f"{_ONE}/ping"): Operation(
        id="pingEndpoint",
        tag=Tag.ENDPOINTS,
        summary="Send a trial event",
        text="`webhook_endpoint.ping`, to this endpoint alone, whatever its filters. Refused where it is disabled.",
        scope=_WRITE,
        body=_NOTHING_IN,
        once=True,
        answers={202: Answer(text="It is on its way.", model=Pinged)},
    ),
    ("POST", f"{_ONE}/rotate-secret"): Operation(
        id="rotateSecret",
        tag=Tag.ENDPOINTS,
        summary="Give it a new signing secret",
        text="Until the overlap is over, deliveries carry a signature for each secret.",
        scope=_WRITE,
        body=Body(model=RotateIn, required=False, example={"overlap_seconds": 3600}),
        once=True,
        answers={200: Answer(text="The new secret, shown this once.", model=Rotated)},
    ),
    ("POST", f"{_ONE}/recover"): Operation(
        id="recoverEndpoint",
        tag=Tag.ENDPOINTS,
        summary="Send again what failed",
        text="What failed or was held since then, in slices. Refused where the endpoint is disabled.",
        scope=_WRITE,
        body=Body(model=RecoverIn, example={"since": "2026-11-20T00:00:00Z"}),
        once=True,
        answers={202: Answer(text="They are on their way.", model=Recovered)},
    ),
    ("GET", f"{_ONE}/secret"): Operation(
        id="readSecret",
        tag=Tag.ENDPOINTS,
        summary="Read its signing secret",
        text="The newest one. That it was shown is on record.",
        scope="secrets:read",
        answers={200: Answer(text="The secret.", model=Secret)},
    ),
    ("GET", f"{_ONE}/stats"): Operation(
        id="readStats",
        tag=Tag.ENDPOINTS,
        summary="Read how it is doing",
        scope="endpoints:read",
        answers={200: Answer(text="Attempts of the last 24 hours, and the backlog now.", model=Stats)},
    ),
}

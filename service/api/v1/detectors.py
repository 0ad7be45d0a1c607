"""`GET /v1/detectors`: what can be asked, and how it does."""

from typing import Any

from sqlmodel import Session

from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, Call, ResponseSpec, Tag
from service.detections.detector_list import offered


def list_detectors(session: Session, call: Call) -> dict[str, Any]:
    """Return every detector, as it is in the caller's mode."""
    return {"data": offered(session, call.caller.mode, call.context.policy, call.now)}


ROUTES = routes_of([
    ApiOperation(
        "GET", "/v1/detectors", id="listDetectors", tag=Tag.DETECTORS, scope="detections:read", run=list_detectors,
        summary="List detectors",
        text="Every detector, including those that are not configured here: its input formats and limits, its health "
        "and latency, the share of its callbacks that never arrive, and what is left of its quota.",
        responses={200: ResponseSpec("All detectors.", "detectors.OfferedDetectors")},
        errors=(422,),
    ),
])  # fmt: skip

"""`GET /v1/detections/{id}/timeline`: every fact of a detection in order, and on whom the customer waited."""

from datetime import datetime

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.accounts.api_keys import Caller
from service.api.auth import require
from service.api.context import context_of
from service.api.parameters import Parameters
from service.detections.queries import find_detection
from service.kit.errors import not_found
from service.timeline.assemble import Timeline, assemble


async def read(request: Request) -> Response:
    """The story so far."""
    caller = await require(request, "detections:read")
    context = context_of(request)
    Parameters(request.query_params).check()
    story = await context.database.read(story_of, caller, request.path_params["detection_id"], context.clock())
    return JSONResponse(story.shown())


def story_of(session: Session, caller: Caller, detection_id: str, now: datetime) -> Timeline:
    """The caller's detection, told. Raises `CallerError` 404."""
    detection = find_detection(session, caller.account_id, caller.mode, detection_id)
    if detection is None:
        raise not_found("detection")
    return assemble(session, detection, now)


ROUTES = [Route("/v1/detections/{detection_id}/timeline", read, methods=["GET"])]

"""`GET /v1/detectors`: what can be asked, and how it does."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.api.auth import require
from service.api.context import context_of
from service.api.parameters import Parameters
from service.detections.detector_list import offered


async def index(request: Request) -> Response:
    """Every detector, as it stands in the caller's mode."""
    caller = await require(request, "detections:read")
    context = context_of(request)
    Parameters(request.query_params).check()
    shown = await context.database.read(offered, caller.mode, context.policy, context.clock())
    return JSONResponse({"data": shown})


ROUTES = [Route("/v1/detectors", index, methods=["GET"])]

"""`GET /openapi.json`: the API's own description."""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, ResponseSpec, Tag

_JSON = "application/json"


async def get_document(request: Request) -> Response:
    """Return the document. It is made once, of the routes this process has; its examples name this process."""
    state = request.app.state
    if getattr(state, "openapi", None) is None:
        base = state.context.sandbox_base if state.context is not None else ""
        state.openapi = await asyncio.to_thread(_written, request.app.routes, base)
    return Response(state.openapi, media_type=_JSON)


def _written(routes: Sequence[BaseRoute], base: str) -> bytes:
    from service.api.contract.document import written  # noqa: PLC0415 - its models take 2 MB, and few processes are asked

    return written(routes, base)


ROUTES = routes_of([
    ApiOperation(
        "GET", "/openapi.json",
        id="readDescription",
        tag=Tag.OPERATING,
        summary="This document",
        responses={200: ResponseSpec("OpenAPI 3.1.", content={"application/json": {"type": "object"}})},
        raw=get_document,
    ),
])  # fmt: skip

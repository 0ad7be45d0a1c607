"""Whether this process lives, and whether it can do its work."""

import asyncio

from sqlalchemy import text
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.api.context import context_of

_PATIENCE_SECONDS = 5


async def livez(_request: Request) -> Response:
    """200 as long as the event loop turns."""
    return JSONResponse({"status": "live"})


async def readyz(request: Request) -> Response:
    """200 if the database answers within five seconds, else 503."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await context_of(request).database.read(_ask)
    except Exception:  # noqa: BLE001 - whatever is wrong, the answer is the same
        return JSONResponse({"status": "not ready", "database": "unreachable"}, status_code=503)
    return JSONResponse({"status": "ready"})


def _ask(session: Session) -> None:
    session.connection().execute(text("SELECT 1"))


ROUTES = [Route("/livez", livez, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]

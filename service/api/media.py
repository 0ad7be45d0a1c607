"""`POST /v1/media`: audio comes in."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.api.auth import require
from service.api.context import context_of
from service.api.uploads import open_upload
from service.kit.clock import rfc3339
from service.media.ingest import take_in
from service.media.models import Media


async def upload(request: Request) -> Response:
    """201 with the new media, or 200 with the one that holds the same bytes."""
    caller = await require(request, "detections:write")
    context = context_of(request)
    incoming = await open_upload(request, max_bytes=context.max_media_bytes)
    taken = await take_in(
        incoming.chunks,
        name=incoming.filename,
        account_id=caller.account_id,
        mode=caller.mode,
        database=context.database,
        store=context.store,
        clock=context.clock,
        max_bytes=context.max_media_bytes,
        staging=context.staging,
    )
    return JSONResponse(shown(taken.media), status_code=201 if taken.created else 200)


def shown(media: Media) -> dict[str, Any]:
    """Media as its owner sees it."""
    return {
        "id": media.id,
        "mode": media.mode,
        "sha256": media.sha256,
        "bytes": media.bytes,
        "filename": media.name,
        "content_type": media.content_type,
        "duration_ms": media.duration_ms,
        "created_at": rfc3339(media.created_at),
    }


ROUTES = [Route("/v1/media", upload, methods=["POST"])]

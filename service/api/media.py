"""`/v1/media`: audio comes in, and what is known of it is read. Its erasure is in `detection_actions`."""

import json
from functools import partial
from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.accounts import idempotency
from service.accounts.api_keys import Caller
from service.accounts.idempotency import Answer, Answered
from service.api import idempotent
from service.api.auth import require
from service.api.context import context_of
from service.api.parameters import Parameters
from service.api.uploads import open_upload
from service.kit.clock import rfc3339
from service.kit.errors import not_found
from service.media.erase import readable_media
from service.media.ingest import Taken, take_in
from service.media.models import Media


class _AnsweredBeforeError(Exception):
    """This upload came before. Raised inside the transaction, so that nothing of the second one stays."""

    def __init__(self, answered: Answered) -> None:
        self.answered = answered


async def upload(request: Request) -> Response:
    """201 with the new media, or 200 with the one that holds the same bytes."""
    caller = await require(request, "detections:write")
    context = context_of(request)
    idempotent.key_of(request)  # an unusable one is refused before a hundred megabytes are read
    incoming = await open_upload(request, max_bytes=context.max_media_bytes)
    try:
        async with context.rooms.one_more(caller.account_id) as room:
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
                beside=partial(_record, request=request, caller=caller, filename=incoming.filename),
                room=room,
            )
    except _AnsweredBeforeError as before:
        return idempotent.again_or_new(before.answered)
    return idempotent.shown(_answer(taken))


async def read(request: Request) -> Response:
    """200 with the media; 404 once it is erased."""
    caller = await require(request, "detections:read")
    context = context_of(request)
    Parameters(request.query_params).check()
    media = await context.database.read(readable_media, caller.account_id, caller.mode, request.path_params["media_id"])
    if media is None:
        raise not_found("media")
    return JSONResponse(shown(media))


def _record(session: Session, taken: Taken, *, request: Request, caller: Caller, filename: str | None) -> None:
    """The answer is kept with the media's row, under the fields and the bytes: boundaries differ at every try."""
    context, said = context_of(request), json.dumps([filename, taken.media.sha256])
    asked = idempotent.asked_of(request, caller, said.encode())
    if asked is None:
        return
    answered = idempotency.answer_once(session, asked, lambda _: _answer(taken), context.sealer, context.clock())
    if answered.replayed:
        raise _AnsweredBeforeError(answered)


def _answer(taken: Taken) -> Answer:
    return Answer(201 if taken.created else 200, shown(taken.media))


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


ROUTES = [
    Route("/v1/media", upload, methods=["POST"]),
    Route("/v1/media/{media_id}", read, methods=["GET"]),
]

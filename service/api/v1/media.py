"""`/v1/media`: audio is uploaded, described and erased."""

import json
from functools import partial
from typing import Any

from sqlmodel import Session
from starlette.responses import Response

from service.accounts import idempotency
from service.accounts.audit import note
from service.accounts.idempotency import ApiAnswer, IdempotentAnswer
from service.api.contract.dispatch import routes_of
from service.api.contract.idempotent import again_or_new, asked_of, key_of, response_of
from service.api.contract.operation import ApiOperation, Body, Call, ResponseSpec, Tag
from service.api.contract.parameters import text
from service.api.v1.uploads import open_upload
from service.kit.clock import rfc3339
from service.kit.errors import existing
from service.media.erase import find_media, note_deleted, readable_media
from service.media.ingest import StoredMedia, take_in
from service.media.models import Media
from service.retention.erase import erase_media as erase_row

FILENAME = text(
    "filename",
    "The name of audio that is sent as the raw body. A form carries the name itself.",
    {"type": "string"},
    lambda given, _call: given,
)


class _AnsweredBeforeError(Exception):
    """This upload came before. Raised inside the transaction, so that nothing of the second one stays."""

    def __init__(self, answered: IdempotentAnswer) -> None:
        self.answered = answered


async def upload_media(call: Call) -> Response:
    """Answer 201 with the new media, or 200 with the one that has the same bytes."""
    context, owner = call.context, call.caller
    key_of(call.request)  # an unusable one is refused before a hundred megabytes are read
    incoming = await open_upload(call.request, name=call.query[FILENAME], max_bytes=context.max_media_bytes)
    try:
        async with context.rooms.one_more(owner.account_id) as room:
            taken = await take_in(
                incoming.chunks,
                name=incoming.filename,
                account_id=owner.account_id,
                mode=owner.mode,
                database=context.database,
                store=context.store,
                clock=context.clock,
                max_bytes=context.max_media_bytes,
                staging=context.staging,
                beside=partial(_record, call=call, filename=incoming.filename),
                room=room,
            )
    except _AnsweredBeforeError as before:
        return again_or_new(before.answered)
    return response_of(_answer(taken))


def _record(session: Session, taken: StoredMedia, *, call: Call, filename: str | None) -> None:
    """Keep the answer with the media's row, under the fields and the bytes: boundaries differ at every attempt."""
    asked = asked_of(call, json.dumps([filename, taken.media.sha256]).encode())
    if asked is None:
        return
    answered = idempotency.answer_once(session, asked, lambda _: _answer(taken), call.context.sealer, call.now)
    if answered.replayed:
        raise _AnsweredBeforeError(answered)


def _answer(taken: StoredMedia) -> ApiAnswer:
    return ApiAnswer(201 if taken.created else 200, shown(taken.media))


def get_media(session: Session, call: Call) -> dict[str, Any]:
    """Return the media. Raise `CallerError` 404, also once it is erased."""
    return shown(existing(readable_media(session, *call.target), "media"))


async def erase_media(call: Call) -> Response:
    """Erase the bytes; answer 204 also if they were erased before. Raise `CallerError` 409 while they are needed."""
    context = call.context
    if await context.database.write(_erase, call):
        await context.store.delete(call.path["media_id"])
        await context.database.write(note_deleted, call.path["media_id"])
    return Response(status_code=204)


def _erase(session: Session, call: Call) -> bool:
    """Return True if there are bytes to delete now."""
    media, now = existing(find_media(session, *call.target), "media"), call.now
    if media.erased_at is None:
        erase_row(session, media, now)
        note(session, call.caller, "media.erased", media.id, now)
    return media.delete_after is not None


def shown(media: Media) -> dict[str, Any]:
    """Return media as its owner sees it."""
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


_FORM = {
    "type": "object",
    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
    "required": ["file"],
    "additionalProperties": False,
}
_BINARY = {"type": "string", "format": "binary"}

ROUTES = routes_of([
    ApiOperation(
        "POST", "/v1/media", id="uploadMedia", tag=Tag.MEDIA, scope="detections:write", idempotent=True,
        handle=upload_media,
        summary="Upload audio",
        text="As the field `file` of a form, or as the raw body. The type is determined from the bytes: at most "
        "100 MB, and audio. In test mode the words in the file name direct the sandbox.",
        parameters=(FILENAME,),
        body=Body(
            content={
                "multipart/form-data": _FORM,
                "audio/*": _BINARY,
                "application/ogg": _BINARY,
                "application/octet-stream": _BINARY,
            }
        ),
        responses={
            201: ResponseSpec("The new media.", "detections.Media"),
            200: ResponseSpec("The media that has the same bytes.", "detections.Media"),
        },
        errors=(408, 413, 415),
    ),
    ApiOperation(
        "GET", "/v1/media/{media_id}", id="readMedia", tag=Tag.MEDIA, scope="detections:read", run=get_media,
        summary="Get the description of audio",
        text="The same as the response to the upload. 404 once it is erased.",
        responses={200: ResponseSpec("The media.", "detections.Media")},
    ),
    ApiOperation(
        "DELETE", "/v1/media/{media_id}", id="eraseMedia", tag=Tag.MEDIA, scope="detections:write", handle=erase_media,
        summary="Erase audio",
        text="The bytes are erased; the id and the hash are kept. Idempotent. Refused while a detection needs them.",
        responses={204: ResponseSpec("Erased. The response has no body.")},
        errors=(409,),
    ),
])  # fmt: skip

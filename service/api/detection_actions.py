"""What can be done to a detection once it is asked: call it off, ask again, erase it. And erasing its audio."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.accounts.api_keys import Caller
from service.accounts.audit import note
from service.accounts.idempotency import Answer
from service.api.auth import require
from service.api.bodies import NothingIn, check_media_type, read_body, validated
from service.api.context import Context, context_of
from service.api.idempotent import answer_once
from service.detections.cancel import cancel
from service.detections.queries import find_detection, result_of
from service.detections.recheck import recheck
from service.kit.errors import not_found
from service.media.erase import find_media, note_deleted
from service.retention.erase import erase_detection, erase_media
from service.runs.load.lock import lock_detection
from service.runs.policy import DetectionPolicy
from service.runs.state.models import Detection

_SCOPE = "detections:write"

Action = Callable[[Session, Detection, DetectionPolicy, datetime], None]


async def call_off(request: Request) -> Response:
    """200 with the cancelled detection; 409 if it has ended."""
    return await _act(request, cancel, "detection.cancelled", 200)


async def ask_again(request: Request) -> Response:
    """202 with the detection, running towards its next revision; 409 where it runs already or the audio is gone."""
    return await _act(request, recheck, "detection.rechecked", 202)


async def erase(request: Request) -> Response:
    """204: its content is gone. 204 again for one that was erased before; 409 while it runs."""
    caller, context = await require(request, _SCOPE), context_of(request)
    await context.database.write(_erase, caller, request.path_params["detection_id"], context)
    return Response(status_code=204)


async def erase_audio(request: Request) -> Response:
    """204: the bytes are gone. 204 again for what was erased before; 409 while a detection needs them."""
    caller, context = await require(request, _SCOPE), context_of(request)
    media_id = request.path_params["media_id"]
    if await context.database.write(_erase_audio, caller, media_id, context):
        await context.store.delete(media_id)
        await context.database.write(note_deleted, media_id)
    return Response(status_code=204)


async def _act(request: Request, action: Action, noted: str, status: int) -> Response:
    caller, context = await require(request, _SCOPE), context_of(request)
    check_media_type(request)
    raw = await read_body(request)
    if raw:
        validated(raw, NothingIn)
    detection_id = request.path_params["detection_id"]
    work = partial(
        _acted, caller=caller, detection_id=detection_id, action=action, noted=noted, status=status, context=context
    )
    return await answer_once(request, caller, raw, work)


def _acted(
    session: Session, caller: Caller, detection_id: str, action: Action, noted: str, status: int, context: Context
) -> Answer:
    detection, now = _locked(session, caller, detection_id), context.clock()
    action(session, detection, context.policy, now)
    note(session, caller, noted, detection_id, now)
    session.flush()
    return Answer(status, result_of(session, detection, context.policy, full=True))


def _locked(session: Session, caller: Caller, detection_id: str) -> Detection:
    if find_detection(session, caller.account_id, caller.mode, detection_id) is None:
        raise not_found("detection")
    return lock_detection(session, detection_id)


def _erase(session: Session, caller: Caller, detection_id: str, context: Context) -> None:
    detection, now = _locked(session, caller, detection_id), context.clock()
    if detection.erased_at is None:
        erase_detection(session, detection, now)
        note(session, caller, "detection.erased", detection_id, now)


def _erase_audio(session: Session, caller: Caller, media_id: str, context: Context) -> bool:
    """Whether there are bytes to delete now."""
    media, now = find_media(session, caller.account_id, caller.mode, media_id), context.clock()
    if media is None:
        raise not_found("media")
    if media.erased_at is None:
        erase_media(session, media, now)
        note(session, caller, "media.erased", media_id, now)
    return media.delete_after is not None


ROUTES = [
    Route("/v1/detections/{detection_id}", erase, methods=["DELETE"]),
    Route("/v1/detections/{detection_id}/cancel", call_off, methods=["POST"]),
    Route("/v1/detections/{detection_id}/recheck", ask_again, methods=["POST"]),
    Route("/v1/media/{media_id}", erase_audio, methods=["DELETE"]),
]

"""What can be done with a detection once it exists: cancel it, check it again, erase it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlmodel import Session

from service.accounts.audit import note
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import NO_FIELDS, ApiOperation, Call, ResponseSpec, Tag
from service.detections.changes import cancel, recheck
from service.detections.queries import find_detection, result_of
from service.kit.errors import not_found
from service.retention.erase import erase_detection as erase_content
from service.runs.load.lock import lock_detection
from service.runs.policy import DetectionPolicy
from service.runs.state.models import Detection

_SCOPE = "detections:write"

Action = Callable[[Session, Detection, DetectionPolicy, datetime], None]


def cancel_detection(session: Session, call: Call) -> dict[str, Any]:
    """Cancel the detection and return it. Raise `CallerError` 409 if it has ended."""
    return _act(session, call, cancel, "detection.cancelled")


def recheck_detection(session: Session, call: Call) -> dict[str, Any]:
    """Start the next revision and return the detection. Raise `CallerError` 409 if it runs, or its audio is gone."""
    return _act(session, call, recheck, "detection.rechecked")


def erase_detection(session: Session, call: Call) -> None:
    """Erase the content; do nothing if it was erased before. Raise `CallerError` 409 while the detection runs."""
    detection, now = lock_owned(session, call), call.now
    if detection.erased_at is None:
        erase_content(session, detection, now)
        note(session, call.caller, "detection.erased", detection.id, now)


def _act(session: Session, call: Call, action: Action, noted: str) -> dict[str, Any]:
    detection, now, policy = lock_owned(session, call), call.now, call.context.policy
    action(session, detection, policy, now)
    note(session, call.caller, noted, detection.id, now)
    session.flush()
    return result_of(session, detection, policy, full=True)


def lock_owned(session: Session, call: Call) -> Detection:
    """Return the caller's detection, locked. Raise `CallerError` 404."""
    detection_id = call.path["detection_id"]
    if find_detection(session, *call.owner, detection_id) is None:
        raise not_found("detection")
    return lock_detection(session, detection_id)


ROUTES = routes_of([
    ApiOperation(
        "DELETE", "/v1/detections/{detection_id}", id="eraseDetection", tag=Tag.DETECTIONS, scope=_SCOPE,
        run=erase_detection,
        summary="Erase the content of a detection",
        text="Raw answers, metadata and texts are erased; the id, the verdict and the times are kept. Idempotent. "
        "Refused while the detection runs.",
        responses={204: ResponseSpec("Erased. The response has no body.")},
        errors=(409,),
    ),
    ApiOperation(
        "POST", "/v1/detections/{detection_id}/cancel", id="cancelDetection", tag=Tag.DETECTIONS, scope=_SCOPE,
        idempotent=True, run=cancel_detection,
        summary="Cancel a detection",
        text="No further detector is asked, and late answers change nothing. Refused once the detection has ended.",
        body=NO_FIELDS,
        responses={200: ResponseSpec("The cancelled detection.", "detections.Detection")},
    ),
    ApiOperation(
        "POST", "/v1/detections/{detection_id}/recheck", id="recheckDetection", tag=Tag.DETECTIONS, scope=_SCOPE,
        idempotent=True, run=recheck_detection,
        summary="Run every detector again",
        text="The result becomes the next revision; earlier revisions stay readable. Refused while the detection "
        "runs, or if the audio was erased.",
        body=NO_FIELDS,
        responses={202: ResponseSpec("The detection is running.", "detections.Detection")},
    ),
])  # fmt: skip

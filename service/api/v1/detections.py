"""`/v1/detections`: created, read, listed, cancelled, checked again, erased; and `/v1/detectors`, what can be asked."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from sqlmodel import Session
from starlette.responses import JSONResponse, Response

from service.accounts.audit import note
from service.accounts.idempotency import ApiAnswer
from service.api.bodies import invalid
from service.api.contract.dispatch import routes_of
from service.api.contract.everywhere import EXAMPLE_BASE
from service.api.contract.idempotent import answer_once
from service.api.contract.operation import NO_FIELDS, ApiOperation, Body, Call, ResponseSpec, Tag
from service.api.contract.parameters import Listing, bounded, flag, integer, integer_or, text, time, word, words
from service.api.v1.detection_bodies import DetectionIn, JudgedDetection, judge_detection, question_of
from service.detections import queries
from service.detections.changes import cancel, recheck
from service.detections.detector_list import offered
from service.detections.queries import find_detection, first_result, has_ended, result_of
from service.detections.submit import submit
from service.detectors.enums import Verdict
from service.kit.concurrency.wake import Sleeper
from service.kit.errors import CallerError, existing
from service.retention.erase import erase_detection as erase_content
from service.runs.load.lock import lock_detection
from service.runs.policy import DetectionPolicy
from service.runs.state.models import Detection
from service.runs.topics import topic_of
from service.verdicts.verdict import DetectionStatus

Action = Callable[[Session, Detection, DetectionPolicy, datetime], None]

_DETECTOR = re.compile(r"[a-z0-9_-]{1,50}(/[a-z0-9_-]{1,50})?")


def _detector_name(given: str, _call: Call) -> str:
    """Judge only the shape: a detector that is no longer configured still has its detections."""
    if not _DETECTOR.fullmatch(bounded(given, 100)):
        raise ValueError("must be the name of a detector, for example aippim/standard")
    return given


LISTING = Listing("detections")
STATUS = word("status", "The status of the detection.", DetectionStatus)
VERDICT = word("verdict", "The verdict of the detection.", Verdict)
DETECTOR = text(
    "detector", "A detector that was asked.", {"type": "string", "pattern": f"^{_DETECTOR.pattern}$"}, _detector_name
)
EXTERNAL_ID = text(
    "external_id",
    "The `external_id` of the detection, exactly.",
    {"type": "string", "minLength": 1, "maxLength": 255},
    lambda given, _call: bounded(given, 255),
)
CREATED_AFTER = time("created_after", "Created at this time or later.")
CREATED_BEFORE = time("created_before", "Created before this time.")
STUCK = flag("stuck", "Only detections that have not ended although `answer_within_seconds` has passed.")

WAIT = integer_or(0, "wait", "Seconds to wait for the end of the detection.", 0, 25)
DETAIL = words(
    "detail",
    "`summary` leaves out what is long: segments, sub-models, raw answers.",
    ["full", "summary"],
    default="full",
)
REVISION = integer("revision", "The number of an earlier revision.", 1, 999_999)


async def create_detection(call: Call) -> Response:
    """Answer 202 with the detection, queued. Raise `CallerError` 429 if there is no room to fetch its audio."""
    judged: JudgedDetection = call.body
    if judged.fields.source.url is not None:
        await call.context.rooms.check(call.caller.account_id)
    return await answer_once(call, partial(_submit, call=call, judged=judged))


def _submit(session: Session, *, call: Call, judged: JudgedDetection) -> ApiAnswer:
    policy = call.context.policy
    try:
        submitted = submit(session, question_of(call, judged.fields), policy, call.now)
    except CallerError as error:
        raise invalid([*judged.problems, *error.problems]) from error
    if judged.problems:
        raise invalid(judged.problems)  # and nothing of it is kept
    result = first_result(session, submitted, policy)
    return ApiAnswer(202, result, {"Location": f"/v1/detections/{submitted.id}"})


def list_detections(session: Session, call: Call) -> dict[str, Any]:
    """Return a page of detections in their short form."""
    query = call.query
    chosen = queries.DetectionFilter(
        status=query[STATUS],
        verdict=query[VERDICT],
        detector=query[DETECTOR],
        external_id=query[EXTERNAL_ID],
        created_after=query[CREATED_AFTER],
        created_before=query[CREATED_BEFORE],
        stuck=query[STUCK],
    )
    page = queries.page_of(session, *call.owner, chosen, LISTING.page(call))
    rows = queries.list_detections(session, *call.owner, chosen, page, call.now)
    return LISTING.answer(call, rows, page, lambda some: queries.summaries(session, some, call.context.policy))


async def get_detection(call: Call) -> Response:
    """Answer the result; with `wait` once it is final, after so many seconds, or when this process ends."""
    context, detection_id, loop = call.context, call.path["detection_id"], asyncio.get_running_loop()
    until, waits = loop.time() + call.query[WAIT], False
    sleeper = Sleeper(context.database.wake, topic_of(detection_id))
    with contextlib.ExitStack() as stack:
        stack.callback(sleeper.end)
        while True:
            sleeper.reset()
            ended, result = await context.database.read(_result, call)
            left = until - loop.time()
            if ended or left <= 0 or context.shutdown.begun:
                return JSONResponse(result)
            if not waits:
                waits = True
                stack.enter_context(context.open_responses.one_more(call.caller.key_id))
            await sleeper.sleep(left)


def _result(session: Session, call: Call) -> tuple[bool, dict[str, Any]]:
    """Return whether the result is final, and the result."""
    detection = existing(find_detection(session, *call.target), "detection")
    full, revision = call.query[DETAIL] == "full", call.query[REVISION]
    result = result_of(session, detection, call.context.policy, full=full, revision=revision)
    return revision is not None or has_ended(detection), result


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
    return lock_detection(session, existing(find_detection(session, *call.target), "detection").id)


def list_detectors(session: Session, call: Call) -> dict[str, Any]:
    """Return every detector, as it is in the caller's mode."""
    return {"data": offered(session, call.caller.mode, call.context.policy, call.now)}


ROUTES = routes_of([
    ApiOperation(
        "POST", "/v1/detections", id="createDetection", tag=Tag.DETECTIONS, scope="detections:write", idempotent=True,
        handle=create_detection,
        summary="Check whether a track is machine-made",
        text="All detectors run at once or, by the rule `cascade`, one after another. The result is sent as a "
        "webhook and can be read with GET. The example works unchanged with a test key: the sandbox has a track under "
        "every name, and the words in the name direct what its detectors answer.",
        body=Body(
            model=DetectionIn,
            judge=judge_detection,
            example={
                "source": {"url": f"{EXAMPLE_BASE}/sandbox/tracks/song.ai.wav"},
                "decision": {"rule": "consensus", "quorum": 1},
                "external_id": "catalogue-42",
                "metadata": {"isrc": "QZES71982312"},
                "declared": {"ai": False},
            },
        ),
        responses={202: ResponseSpec("The detection is queued.", "detections.Detection", headers=("Location",))},
    ),
    ApiOperation(
        "GET", "/v1/detections/{detection_id}", id="readDetection", tag=Tag.DETECTIONS, scope="detections:read",
        handle=get_detection,
        summary="Get a detection",
        parameters=(WAIT, DETAIL, REVISION),
        responses={
            200: ResponseSpec("The result so far.", "detections.Detection", short="detections.DetectionSummary")
        },
    ),
    ApiOperation(
        "GET", "/v1/detections", id="listDetections", tag=Tag.DETECTIONS, scope="detections:read", run=list_detections,
        summary="List detections",
        text="Newest first, in the short form. A detection must match every filter.",
        parameters=(
            STATUS, VERDICT, DETECTOR, EXTERNAL_ID, CREATED_AFTER, CREATED_BEFORE, STUCK, *LISTING.parameters,
        ),
        responses={200: ResponseSpec("A page of detections.", "detections.DetectionPage")},
    ),
    ApiOperation(
        "DELETE", "/v1/detections/{detection_id}", id="eraseDetection", tag=Tag.DETECTIONS, scope="detections:write",
        run=erase_detection,
        summary="Erase the content of a detection",
        text="Raw answers, metadata and texts are erased; the id, the verdict and the times are kept. Idempotent. "
        "Refused while the detection runs.",
        responses={204: ResponseSpec("Erased. The response has no body.")},
        errors=(409,),
    ),
    ApiOperation(
        "POST", "/v1/detections/{detection_id}/cancel", id="cancelDetection", tag=Tag.DETECTIONS,
        scope="detections:write", idempotent=True, run=cancel_detection,
        summary="Cancel a detection",
        text="No further detector is asked, and late answers change nothing. Refused once the detection has ended.",
        body=NO_FIELDS,
        responses={200: ResponseSpec("The cancelled detection.", "detections.Detection")},
    ),
    ApiOperation(
        "POST", "/v1/detections/{detection_id}/recheck", id="recheckDetection", tag=Tag.DETECTIONS,
        scope="detections:write", idempotent=True, run=recheck_detection,
        summary="Run every detector again",
        text="The result becomes the next revision; earlier revisions stay readable. Refused while the detection "
        "runs, or if the audio was erased.",
        body=NO_FIELDS,
        responses={202: ResponseSpec("The detection is running.", "detections.Detection")},
    ),
    ApiOperation(
        "GET", "/v1/detectors", id="listDetectors", tag=Tag.DETECTORS, scope="detections:read", run=list_detectors,
        summary="List detectors",
        text="Every detector, including those that are not configured here: its input formats and limits, its health "
        "and latency, the share of its callbacks that never arrive, and what is left of its quota.",
        responses={200: ResponseSpec("All detectors.", "detectors.OfferedDetectors")},
        errors=(422,),
    ),
])  # fmt: skip

"""What is said of `/v1/detections`."""

from service.api.bodies import NothingIn
from service.api.describe import Answer, Body, Described, Operation, Parameter, Tag
from service.api.described.common import CURSOR, LAST_EVENT_ID, LIMIT, NOTHING, TIME, stream_of
from service.api.described.everywhere import EXAMPLE_BASE
from service.api.detections import DetectionIn
from service.api.schemas.detections import Detection, DetectionPage, DetectionSummary
from service.api.schemas.timeline import Timeline
from service.detectors.enums import Verdict
from service.verdicts.verdict import DetectionStatus

_READ, _WRITE = "detections:read", "detections:write"
_NOTHING_IN = Body(model=NothingIn, required=False)

_FILTERS = (
    Parameter(name="status", text="How far it is.", schema={"enum": list(DetectionStatus)}),
    Parameter(name="verdict", text="What was found.", schema={"enum": list(Verdict)}),
    Parameter(
        name="detector",
        text="A detector that was asked.",
        schema={"type": "string", "pattern": "^[a-z0-9_-]{1,50}(/[a-z0-9_-]{1,50})?$"},
    ),
    Parameter(name="external_id", text="Yours, exactly.", schema={"type": "string", "minLength": 1, "maxLength": 255}),
    Parameter(name="created_after", text="Created at this time or later.", schema=TIME),
    Parameter(name="created_before", text="Created before this time.", schema=TIME),
    Parameter(
        name="stuck",
        text="Only those that have not ended although `answer_within_seconds` has passed.",
        schema={"const": "true"},
    ),
)

OPERATIONS: Described = {
    ("POST", "/v1/detections"): Operation(
        id="createDetection",
        tag=Tag.DETECTIONS,
        summary="Ask whether a track is machine-made",
        text="The detectors are asked at once or, by the rule `cascade`, one after another. The answer comes as a "
        "webhook, or to who reads the detection. The example works as it is with a test key: the sandbox has a track "
        "under every name, and the words in the name direct what its detectors answer.",
        scope=_WRITE,
        body=Body(
            model=DetectionIn,
            example={
                "source": {"url": f"{EXAMPLE_BASE}/sandbox/tracks/song.ai.wav"},
                "decision": {"rule": "consensus", "quorum": 1},
                "external_id": "catalogue-42",
                "metadata": {"isrc": "QZES71982312"},
                "declared": {"ai": False},
            },
        ),
        once=True,
        answers={202: Answer(text="It is queued.", model=Detection, headers=("Location",))},
    ),
    ("GET", "/v1/detections"): Operation(
        id="listDetections",
        tag=Tag.DETECTIONS,
        summary="List detections",
        text="Newest first, in the short form. Filters narrow it down together.",
        scope=_READ,
        parameters=(*_FILTERS, LIMIT, CURSOR),
        answers={200: Answer(text="A page.", model=DetectionPage)},
    ),
    ("GET", "/v1/detections/{detection_id}"): Operation(
        id="readDetection",
        tag=Tag.DETECTIONS,
        summary="Read a detection",
        scope=_READ,
        parameters=(
            Parameter(
                name="wait",
                text="Seconds to wait for the end of it.",
                schema={"type": "integer", "minimum": 0, "maximum": 25, "default": 0},
            ),
            Parameter(
                name="detail",
                text="`summary` leaves out what is long: segments, sub-models, raw answers.",
                schema={"enum": ["full", "summary"], "default": "full"},
            ),
            Parameter(
                name="revision",
                text="An earlier answer, by its number.",
                schema={"type": "integer", "minimum": 1, "maximum": 999_999},
            ),
        ),
        answers={200: Answer(text="The result as it stands.", model=Detection, short=DetectionSummary)},
    ),
    ("DELETE", "/v1/detections/{detection_id}"): Operation(
        id="eraseDetection",
        tag=Tag.DETECTIONS,
        summary="Erase a detection's content",
        text="Raw answers, metadata and texts go; the id, the verdict and the times stay. Erasing twice is no fault. "
        "Refused while it runs.",
        scope=_WRITE,
        answers={204: NOTHING},
        refusals=(409,),
    ),
    ("POST", "/v1/detections/{detection_id}/cancel"): Operation(
        id="cancelDetection",
        tag=Tag.DETECTIONS,
        summary="Call it off",
        text="Nothing more is asked, and what still comes changes nothing. Refused once it has ended.",
        scope=_WRITE,
        body=_NOTHING_IN,
        once=True,
        answers={200: Answer(text="It is cancelled.", model=Detection)},
    ),
    ("POST", "/v1/detections/{detection_id}/recheck"): Operation(
        id="recheckDetection",
        tag=Tag.DETECTIONS,
        summary="Ask every detector again",
        text="The answer is the next revision; those before stay readable. Refused while it runs, or where the audio "
        "is gone.",
        scope=_WRITE,
        body=_NOTHING_IN,
        once=True,
        answers={202: Answer(text="It is running.", model=Detection)},
    ),
    ("GET", "/v1/detections/{detection_id}/timeline"): Operation(
        id="readTimeline",
        tag=Tag.DETECTIONS,
        summary="Read what happened, in order",
        text="Every fact of a detection, and on whom you waited.",
        scope=_READ,
        answers={200: Answer(text="The story so far.", model=Timeline)},
        refusals=(422,),
    ),
    ("GET", "/v1/detections/{detection_id}/stream"): Operation(
        id="streamTimeline",
        tag=Tag.DETECTIONS,
        summary="Follow what happens",
        text="The facts of the timeline as server-sent events, each once, named by their kind. `end` comes last.",
        scope=_READ,
        parameters=(LAST_EVENT_ID,),
        answers={
            200: stream_of("Facts, until it is over."),
            204: Answer(text="This reader has had everything: there is no need to come again."),
        },
        refusals=(422,),
    ),
}

"""What is said of `/v1/media`."""

from service.api.describe import Answer, Body, Described, Operation, Parameter, Tag
from service.api.described.common import BINARY, NOTHING
from service.api.schemas.media import Media

_FORM = {
    "type": "object",
    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
    "required": ["file"],
    "additionalProperties": False,
}

OPERATIONS: Described = {
    ("POST", "/v1/media"): Operation(
        id="uploadMedia",
        tag=Tag.MEDIA,
        summary="Upload audio",
        text="As a form's field `file`, or as the audio itself. It is streamed to the store and judged by its own "
        "bytes: at most 100 MB, and audio. In test mode the words in the file's name direct the sandbox.",
        scope="detections:write",
        parameters=(
            Parameter(
                name="filename",
                text="The name of audio that is sent as it is. A form says it itself.",
                schema={"type": "string"},
            ),
        ),
        body=Body(
            content={
                "multipart/form-data": _FORM,
                "audio/*": BINARY,
                "application/ogg": BINARY,
                "application/octet-stream": BINARY,
            }
        ),
        once=True,
        answers={
            201: Answer(text="Taken in.", model=Media),
            200: Answer(text="These bytes are here already: the media they are.", model=Media),
        },
        refusals=(408, 413, 415),
    ),
    ("GET", "/v1/media/{media_id}"): Operation(
        id="readMedia",
        tag=Tag.MEDIA,
        summary="Read what is known of audio",
        text="What the upload answered. 404 once it is erased.",
        scope="detections:read",
        answers={200: Answer(text="The media.", model=Media)},
    ),
    ("DELETE", "/v1/media/{media_id}"): Operation(
        id="eraseMedia",
        tag=Tag.MEDIA,
        summary="Erase audio",
        text="The bytes go; the id and the hash stay. Erasing twice is no fault. Refused while a detection needs them.",
        scope="detections:write",
        answers={204: NOTHING},
        refusals=(409,),
    ),
}

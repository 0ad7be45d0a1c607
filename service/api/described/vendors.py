"""What is said of the two doors that vendors come to. Their addresses hold a token of ours, which is their key."""

from typing import Any

from service.api.describe import Answer, Body, Described, Operation, Parameter, Tag
from service.api.described.common import BINARY

_OBJECT: dict[str, Any] = {"type": "object"}
_LINK = "/media/{token}/{name}"
_PARTIAL = ("Accept-Ranges", "Content-Range")
_RANGE = Parameter(
    name="Range", place="header", text="One range of bytes; any other is ignored.", schema={"type": "string"}
)
_BYTES = {"audio/*": BINARY, "application/octet-stream": BINARY}

OPERATIONS: Described = {
    ("POST", "/callbacks/{vendor}/{token}"): Operation(
        id="takeCallback",
        tag=Tag.VENDORS,
        summary="A vendor says how a run went",
        text="The body is the vendor's own. It is stored before it is answered, and a challenge is echoed.",
        body=Body(content={"application/json": _OBJECT}),
        answers={200: Answer(text="Stored for good, or stored before.", content={"application/json": _OBJECT})},
        refusals=(400, 401, 408, 413, 415, 422, 503),
    ),
    ("GET", _LINK): Operation(
        id="fetchMedia",
        tag=Tag.VENDORS,
        summary="A vendor fetches a run's audio",
        text="The link dies with the run. Whatever it is that does not open it, the answer is 404.",
        parameters=(_RANGE,),
        answers={
            200: Answer(text="The bytes.", content=_BYTES, headers=("Accept-Ranges",)),
            206: Answer(text="A range of them.", content=_BYTES, headers=_PARTIAL),
        },
        refusals=(416, 503),
    ),
    ("HEAD", _LINK): Operation(
        id="describeMedia",
        tag=Tag.VENDORS,
        summary="A vendor asks how long it is",
        answers={200: Answer(text="As GET, without the bytes.", headers=("Accept-Ranges",))},
    ),
}

"""What the document says once for all operations: refusals, headers, the key, and the parameters many have."""

from typing import Any

from service.api.contract.operation import Parameter

VERSION = "1.0"
"""Of what this document promises. What would break a client comes under another path than `/v1`."""

ABOUT = """Ask outside detectors whether a track was made by AI, and get one honest answer: as a signed webhook, or to
who reads it.

Every refusal is `application/problem+json` (RFC 9457), also for an address or a method that does not exist; `errors`
names every fault at once. Requests are read strictly: an unknown member or parameter is refused by name. Answers and
lists of words may grow, so ignore what you do not know. Times are RFC 3339 in UTC, durations whole milliseconds, and
what is absent is null, never 0. With a **test** key the same code asks a sandbox, and nothing is spent at a vendor.
"""

EXAMPLE_BASE = "https://relay.example.com"
"""What a running service replaces by its own address, so that examples can be sent as they are."""

SECURITY: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, `vr_live_…` or `vr_test_…`. The scope that an operation asks for stands with it.",
}

IDEMPOTENCY_KEY: Parameter[Any] = Parameter(
    name="Idempotency-Key",
    location="header",
    text="The same key and request within 24 hours get the first answer again, and nothing is done twice.",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
)
REQUEST_ID: Parameter[Any] = Parameter(
    name="X-Request-ID",
    location="header",
    text="Your own name for this request; it comes back. One that is longer than 128 characters, or not printable "
    "ASCII, is replaced by one of ours.",
    schema={"type": "string"},
)
PARAMETERS = (IDEMPOTENCY_KEY, REQUEST_ID)


def _id(prefix: str) -> dict[str, Any]:
    return {"type": "string", "examples": [f"{prefix}_01m3gnq8rvfa3ag3t7hdjs5ezh"]}


IN_PATH: dict[str, dict[str, Any]] = {
    "media_id": _id("med"),
    "detection_id": _id("det"),
    "event_id": _id("evt"),
    "endpoint_id": _id("we"),
    "delivery_id": _id("dlv"),
    "vendor": {"type": "string", "examples": ["aippim", "asc"]},
}

REFUSALS = {
    400: "It cannot be read: a header or the body is malformed.",
    401: "There is no valid key, token or signature.",
    403: "The key lacks the scope.",
    404: "There is no such thing, or it is somebody else's: the two look the same.",
    408: "The body came too slowly.",
    409: "Its state forbids it now, or the same request is still at work.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "The body is of a type that is not taken here.",
    416: "The range begins after the last byte.",
    422: "It can be read, but not be done as asked. `errors` names every fault.",
    424: "The vendor that this depends on failed, or takes nothing more for now.",
    429: "Too many requests.",
    431: "The headers are too many, or too long.",
    503: "A fault of ours that passes: `code` says which. Send it again after `Retry-After`.",
}
REFUSAL_HEADERS: dict[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    409: ("Retry-After",),
    416: ("Content-Range",),
    424: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}

_TEXT: dict[str, Any] = {"type": "string"}
HEADERS: dict[str, Any] = {
    name: {"description": said, "schema": _TEXT}
    for name, said in {
        "X-Request-ID": "The request's id: yours, or a new one.",
        "RateLimit": "How many requests are left, and the seconds until all are.",
        "RateLimit-Policy": "How many requests a minute the key has.",
        "Retry-After": "Seconds to wait; with a 409 or 424, only where the same request may do better later.",
        "WWW-Authenticate": "What is missing: a key, or a scope (RFC 6750).",
        "Location": "Where the new object stands.",
        "Idempotent-Replayed": "`true` where this is the first answer again; absent where it is new.",
        "X-Relay-Proof": "The nonce, signed; there where one was sent.",
        "Accept-Ranges": "`bytes`.",
        "Content-Range": "Which bytes these are, of how many.",
    }.items()
}

TAKEN = {"2XX": {"description": "Taken. Anything else is a failure, and it is sent again; 410 disables the endpoint."}}

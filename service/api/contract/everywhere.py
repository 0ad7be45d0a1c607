"""What the document says once for all operations: errors, headers, the API key, and shared parameters."""

from typing import Any

from service.api.contract.operation import Parameter

VERSION = "1.0"
"""The version of this document. A change that would break clients gets another path than `/v1`."""

ABOUT = """Ask external detectors whether a track was made by AI, and get one result: as a signed webhook, or with GET.

Every error is `application/problem+json` (RFC 9457), also for a path or a method that does not exist; `errors` lists
every problem at once. Requests are validated strictly: an unknown member of a body is refused by name, and so is an
unknown parameter by each operation that describes a 422; the others take no parameters and ignore them. Responses and
enums may grow, so ignore what you do not know. Times are RFC 3339 in UTC, durations are whole milliseconds, and a
missing value is null, never 0. With a **test** key the same code calls a sandbox, and no vendor is paid.
"""

EXAMPLE_BASE = "https://relay.example.com"
"""A running service replaces it by its own address, so that the examples work unchanged."""

SECURITY: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, `vr_live_…` or `vr_test_…`. Each operation names the scope that it requires.",
}

IDEMPOTENCY_KEY: Parameter[Any] = Parameter(
    name="Idempotency-Key",
    location="header",
    text="The same request with the same key within 24 hours gets the first response again, and has no second effect.",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
)
REQUEST_ID: Parameter[Any] = Parameter(
    name="X-Request-ID",
    location="header",
    text="Your id for this request; the response repeats it. An id that is longer than 128 characters, or not "
    "printable ASCII, is replaced by a new one.",
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
    400: "Malformed request: a header or the body cannot be parsed.",
    401: "No valid API key, token or signature.",
    403: "The API key lacks the scope.",
    404: "Not found, or owned by another account.",
    408: "The body arrived too slowly.",
    409: "Conflicts with the object's state or with an identical request in progress.",
    413: "The body is too large.",
    414: "The URL is too long.",
    415: "Unsupported media type of the body.",
    416: "The range begins after the last byte.",
    422: "Invalid request. `errors` lists every problem.",
    424: "The vendor that the request depends on failed, or accepts no more requests for now.",
    429: "Too many requests.",
    431: "Too many headers, or too long ones.",
    503: "Temporary error of the service: `code` says which. Send the request again after `Retry-After`.",
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
        "X-Request-ID": "The id of the request: yours, or a new one.",
        "RateLimit": "How many requests are left, and the seconds until the full quota is restored.",
        "RateLimit-Policy": "How many requests per minute the API key allows.",
        "Retry-After": "Seconds to wait; with a 409 or 424, only if the same request may succeed later.",
        "WWW-Authenticate": "What is missing: a key, or a scope (RFC 6750).",
        "Location": "The path of the new object.",
        "Idempotent-Replayed": "`true` if this is the first response again; absent if it is new.",
        "X-Relay-Proof": "The signed nonce; present if a nonce was sent.",
        "Accept-Ranges": "`bytes`.",
        "Content-Range": "The range of bytes, and their total number.",
    }.items()
}

TAKEN = {"2XX": {"description": "Accepted. After any other status the event is sent again; 410 disables the endpoint."}}

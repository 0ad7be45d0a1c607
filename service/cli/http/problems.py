"""What the server itself has to say, before a request has reached a door: problems, as the doors word theirs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.types import Receive, Scope, Send

from service.api.headers import ALWAYS
from service.kit.ids import new_id
from service.kit.telemetry.metrics import Count

REFUSED: Final = Count(
    "relay_http_refused_total", "Requests refused before they had reached an address.", "status", "code"
)

_PHRASES: Final = {413: "Content Too Large", 414: "URI Too Long"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that goes no further."""

    status: int
    code: str
    detail: str
    retry_after: str | None = None

    def answer(self) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Return the headers and the body of the answer, which is counted."""
        REFUSED.add(str(self.status), self.code)
        request_id = new_id("req")
        document = {
            "type": "about:blank",
            "title": self.phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        body = json.dumps(document).encode()
        named = {
            "content-type": "application/problem+json",
            "content-length": str(len(body)),
            "cache-control": "no-store",
            **{name.lower(): value for name, value in ALWAYS.items()},
            "x-request-id": request_id,
            "connection": "close",
        } | ({"retry-after": self.retry_after} if self.retry_after else {})
        return [(name.encode(), value.encode()) for name, value in named.items()], body

    @property
    def phrase(self) -> str:
        """The status in words."""
        return _PHRASES.get(self.status) or HTTPStatus(self.status).phrase

    def as_bytes(self, more: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Return the whole answer, as it goes to the socket."""
        headers, body = self.answer()
        lines = [name + b": " + value for name, value in [*more, *headers]]
        return b"\r\n".join([f"HTTP/1.1 {self.status} {self.phrase}".encode(), *lines, b"", body])


MALFORMED: Final = Refusal(400, "malformed_request", "This is not a valid HTTP/1.1 request (RFC 9112).")
NO_HOST: Final = Refusal(400, "malformed_request", "A request has one Host header, and a host in it (RFC 9112 §3.2).")
BAD_TARGET: Final = Refusal(400, "malformed_request", "The target must be a path, such as /v1/detections.")
BAD_CODING: Final = Refusal(400, "malformed_request", "HTTP/1.0 knows no Transfer-Encoding. Send a Content-Length.")
SLOW_HEAD: Final = Refusal(408, "request_timeout", "The head of the request took too long. Send it in one go.")
SLOW_BODY: Final = Refusal(408, "request_timeout", "The body came too slowly. Try again over a quicker connection.")
PIPELINED: Final = Refusal(400, "malformed_request", "Too many requests were sent before the first was answered.")
LONG_TARGET: Final = Refusal(414, "uri_too_long", "The address of the request is too long.")
LARGE_HEAD: Final = Refusal(431, "request_head_too_large", "The headers are too many, or too long. Send fewer.")
UNKNOWN_METHOD: Final = Refusal(
    501, "not_implemented", "No address here takes this method; names of methods are upper-case."
)
UNKNOWN_CODING: Final = Refusal(501, "not_implemented", "Of the transfer codings only `chunked` is known here.")
OTHER_VERSION: Final = Refusal(505, "http_version_not_supported", "Send the request in HTTP/1.1.")
CROWDED: Final = Refusal(503, "too_many_connections", "Too many connections are open. Try again soon.", "2")


async def turn_away(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer in an application's stead: there is no room for this request."""
    headers, body = CROWDED.answer()
    await send({"type": "http.response.start", "status": CROWDED.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

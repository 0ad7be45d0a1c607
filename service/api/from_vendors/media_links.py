"""`GET /media/{token}/{name}`: a vendor fetches a run's audio. Whether the link still opens is the run's to say.

Every refusal looks the same, 404: a link that is forged, expired, used up, or whose run has ended.
"""

import re
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.api.context import Context, context_of
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, ResponseSpec, Tag
from service.api.contract.parameters import header
from service.kit.errors import CallerError, not_found
from service.kit.security.tokens import BadToken
from service.media.ingest import clean_name
from service.media.links import MediaGrant
from service.media.store import MediaMissing

_RANGE = re.compile(r"bytes[ \t]*=[ \t,]*([0-9]{0,18})-([0-9]{0,18})[ \t,]*", re.IGNORECASE)


class Span(NamedTuple):
    """Bytes from `start` up to before `end`."""

    start: int
    end: int


async def fetch_media(request: Request) -> Response:
    """Answer 200 with the bytes, 206 with a range, or 416. HEAD answers as GET without a range, and is not counted."""
    context, name = context_of(request), request.path_params["name"]
    grant = await _opened(context, request.path_params["token"], counts=request.method == "GET")
    span = _asked(request, grant.bytes)
    if request.method == "HEAD":
        return Response(headers=_headers(grant, name, Span(0, grant.bytes)))
    if span is not None and span.start >= span.end:
        detail = f"The range begins after the last of {grant.bytes} bytes."
        headers = {"Content-Range": f"bytes */{grant.bytes}"}
        raise CallerError("range_not_satisfiable", detail, status=416, headers=headers)
    headers = _headers(grant, name, span or Span(0, grant.bytes))
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{grant.bytes}"
    chunks = await _begun(context, grant, span or Span(0, grant.bytes))
    return StreamingResponse(chunks, status_code=200 if span is None else 206, headers=headers)


def span_of(header: str, size: int) -> Span | None:
    """Return the one requested range, limited to `size` (empty: cannot be satisfied); `None`: send the whole.

    RFC 9110 §14.2 lets a server ignore a range that it does not understand, and we ignore sets of several too.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[0].count("-") != 1:
        return None
    first, last = match[1], match[2]
    if not first:
        return Span(max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return Span(min(int(first), size), min(int(last) + 1, size) if last else size)


def _asked(request: Request, size: int) -> Span | None:
    # We give out no validator, so no If-Range can match: the whole is sent (RFC 9110 §13.1.5).
    if request.method != "GET" or "if-range" in request.headers:
        return None
    return span_of(", ".join(request.headers.getlist("range")), size)


async def _opened(context: Context, token: str, *, counts: bool) -> MediaGrant:
    now = context.clock()
    try:
        mode, run_id = context.media_links.read(token, now)
    except BadToken as error:
        raise not_found("media link") from error
    grant = await context.database.write(context.open_link, run_id, mode, now, counts)
    if grant is None:
        raise not_found("media link")
    return grant


async def _begun(context: Context, grant: MediaGrant, span: Span) -> AsyncIterator[bytes]:
    """Return the bytes, with the first piece already read: an answer that has begun can no longer become a 404."""
    chunks = context.store.read(grant.media_id, span.start, span.end)
    try:
        first = await anext(chunks, b"")
    except MediaMissing as error:
        raise not_found("media link") from error
    return _chained(first, chunks)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _headers(grant: MediaGrant, name: str, span: Span) -> dict[str, str]:
    plain = clean_name(name, "bin")
    quoted = quote(plain, safe="")
    filename = f'filename="{plain}"' if quoted == plain else f"filename*=UTF-8''{quoted}"  # RFC 6266 §4.3
    return {
        "Content-Type": grant.content_type,
        "Content-Length": str(span.end - span.start),
        "Content-Disposition": f"attachment; {filename}",
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }


_LINK = "/media/{token}/{name}"
_BINARY = {"type": "string", "format": "binary"}
_BYTES = {"audio/*": _BINARY, "application/octet-stream": _BINARY}

ROUTES = routes_of([
    ApiOperation(
        "GET", _LINK, id="fetchMedia", tag=Tag.VENDORS, raw=fetch_media,
        summary="Fetch the audio of a run",
        text="The link works until the run ends. Every reason why it does not work gives 404.",
        parameters=(header("Range", "One range of bytes; any other range is ignored."),),
        responses={
            200: ResponseSpec("The bytes.", content=_BYTES, headers=("Accept-Ranges",)),
            206: ResponseSpec("The range of bytes.", content=_BYTES, headers=("Accept-Ranges", "Content-Range")),
        },
        errors=(416, 503),
    ),
    ApiOperation(
        "HEAD", _LINK, id="describeMedia", tag=Tag.VENDORS, raw=fetch_media,
        summary="Get the size of the audio of a run",
        responses={200: ResponseSpec("The same headers as for GET, without the bytes.", headers=("Accept-Ranges",))},
    ),
])  # fmt: skip

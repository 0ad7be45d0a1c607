"""Pages for people: links to everything at `/` and `/v1`, the API's document as a page and as a file.

Everything that `/docs` needs is served from here, and nothing is loaded from elsewhere. Swagger UI's files are those
that the package `offapi` carries. The package itself is not imported: that would build pages of several megabytes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, ResponseSpec, Tag
from service.kit.errors import not_found

_LINKS_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Verdict Relay</title>
</head>
<body>
<h1>Verdict Relay</h1>
<p>Asks outside detectors whether a track was made by AI, and returns one signed answer.</p>
<ul>
<li><a href="/docs">The API as a page</a></li>
<li><a href="/openapi.json">The API as OpenAPI 3.1</a></li>
<li><a href="/livez">Is the process alive?</a></li>
<li><a href="/readyz">Is it ready?</a></li>
</ul>
<p>The API itself is below <code>/v1/</code>; each request needs an API key.</p>
</body>
</html>
"""


async def get_front_page(_request: Request) -> Response:
    """Return the page of links."""
    return Response(_LINKS_PAGE, media_type="text/html")


def _front_page(path: str, name: str) -> ApiOperation:
    return ApiOperation(
        "GET", path,
        id=name,
        tag=Tag.OPERATING,
        summary="Links to everything else",
        responses={200: ResponseSpec("The page.", content={"text/html": _TEXT})},
        raw=get_front_page,
    )  # fmt: skip


# Swagger UI's style sheet holds its icons as `data:`. Styles it sets from its script, which no policy forbids.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_DOCS_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Verdict Relay API</title>
<link rel="icon" href="docs/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The same as a file: <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  displayOperationId: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
"""

_ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="6" fill="#1f2d3d"/>
<path d="M5 17h4l3-9 5 16 4-11 2 4h4" fill="none" stroke="#7fd1ae" stroke-width="2.5" stroke-linejoin="round"/></svg>
"""

_PACKED = {
    "swagger-ui.js": ("offapi/swagger_bundle.js", "text/javascript"),
    "swagger-ui.css": ("offapi/swagger_style.css", "text/css"),
}
_OURS = {"start.js": (_START, "text/javascript"), "icon.svg": (_ICON, "image/svg+xml")}


async def get_docs_page(_request: Request) -> Response:
    """Return the page, with a policy that allows no more than it needs."""
    return Response(_DOCS_PAGE, media_type="text/html", headers=_headers())


async def get_asset(request: Request) -> Response:
    """Return a part of the page. Raise `CallerError` 404."""
    name = request.path_params["asset"]
    if name in _OURS:
        text, media_type = _OURS[name]
        return Response(text, media_type=media_type, headers=_headers())
    if name in _PACKED:
        path, media_type = _PACKED[name]
        return Response(_packed(path), media_type=media_type, headers=_headers({"Cache-Control": "max-age=86400"}))
    raise not_found("part of this page")


@cache
def _packed(path: str) -> bytes:
    return Path(str(distribution("offapi").locate_file(path))).read_bytes()


def _headers(more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {"Content-Security-Policy": _POLICY, **(more or {})}


_TEXT = {"type": "string"}


async def get_document(request: Request) -> Response:
    """Return the document. It is made once, of the routes this process has; its examples name this process."""
    state = request.app.state
    if getattr(state, "openapi", None) is None:
        base = state.context.sandbox_base if state.context is not None else ""
        state.openapi = await asyncio.to_thread(_written, request.app.routes, base)
    return Response(state.openapi, media_type="application/json")


def _written(routes: Sequence[BaseRoute], base: str) -> bytes:
    from service.api.contract.document import written  # noqa: PLC0415 - its models take 2 MB, and few processes are asked

    return written(routes, base)


ROUTES = routes_of([
    _front_page("/", "readFrontPage"),
    _front_page("/v1", "readApiRoot"),
    ApiOperation(
        "GET", "/openapi.json", id="readDescription", tag=Tag.OPERATING, raw=get_document,
        summary="This document",
        responses={200: ResponseSpec("OpenAPI 3.1.", content={"application/json": {"type": "object"}})},
    ),
    ApiOperation(
        "GET", "/docs", id="readDocs", tag=Tag.OPERATING, raw=get_docs_page,
        summary="This document as a page",
        responses={200: ResponseSpec("The page. It loads nothing from other hosts.", content={"text/html": _TEXT})},
    ),
    ApiOperation(
        "GET", "/docs/{asset}", id="readDocsAsset", tag=Tag.OPERATING, raw=get_asset,
        summary="A part of the page",
        responses={200: ResponseSpec("Script, style or picture.", content={"text/*": _TEXT, "image/*": _TEXT})},
    ),
])  # fmt: skip

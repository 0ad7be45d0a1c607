"""`/docs`: the API's document as a page. Everything it needs is served from here, and nothing is loaded from elsewhere.

Swagger UI's files are those that the package `offapi` carries. The package itself is not imported: that would build
pages of several megabytes.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, ResponseSpec, Tag
from service.kit.errors import not_found

# Swagger UI's style sheet holds its icons as `data:`. Styles it sets from its script, which no policy forbids.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """<!DOCTYPE html>
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


async def get_page(_request: Request) -> Response:
    """Return the page, with a policy that allows no more than it needs."""
    return Response(_PAGE, media_type="text/html", headers=_headers())


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

ROUTES = routes_of([
    ApiOperation(
        "GET", "/docs",
        id="readDocs",
        tag=Tag.OPERATING,
        summary="This document as a page",
        responses={200: ResponseSpec("The page. It loads nothing from other hosts.", content={"text/html": _TEXT})},
        raw=get_page,
    ),
    ApiOperation(
        "GET", "/docs/{asset}",
        id="readDocsAsset",
        tag=Tag.OPERATING,
        summary="A part of the page",
        responses={200: ResponseSpec("Script, style or picture.", content={"text/*": _TEXT, "image/*": _TEXT})},
        raw=get_asset,
    ),
])  # fmt: skip

"""`/` and `/v1`: where a person who has only the address finds everything else."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, ResponseSpec, Tag

_PAGE = """<!DOCTYPE html>
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
    return Response(_PAGE, media_type="text/html")


def _front_page(path: str, name: str) -> ApiOperation:
    return ApiOperation(
        "GET", path,
        id=name,
        tag=Tag.OPERATING,
        summary="Links to everything else",
        responses={200: ResponseSpec("The page.", content={"text/html": {"type": "string"}})},
        raw=get_front_page,
    )  # fmt: skip


ROUTES = routes_of([_front_page("/", "readFrontPage"), _front_page("/v1", "readApiRoot")])

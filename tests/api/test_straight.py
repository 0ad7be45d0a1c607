"""The short way to a route and the usual one answer alike, whatever is asked."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from service.api.addresses import without_redirects
from service.api.headers import RequestIds, secured
from service.api.middleware import PassingFaults, Straight
from service.api.operating.metrics import REQUESTS, Measured
from service.api.problems import HANDLERS
from service.kit.errors import CallerError
from tests.api.doors import client_of

_ID = {"x-request-id": "asked"}


async def _take(request: Request) -> Response:
    match await request.body():
        case b"refuse":
            raise CallerError("refused", "No.", status=409, headers={"Retry-After": "7"})
        case b"gone":
            raise ClientDisconnect
        case b"fail":
            raise ValueError("a fault of ours")
    return JSONResponse({"path": request.path_params, "id": request.state.request_id})


def _app(*, straight: bool) -> Starlette:
    route = Route("/callbacks/{vendor}/{token}", _take, methods=["POST"])
    short = [Middleware(Straight, route)] if straight else []
    middleware = [Middleware(Measured), Middleware(RequestIds), *short, Middleware(PassingFaults)]
    routes = [route, Mount("/sandbox", routes=[Route("/callbacks/a/b", _take, methods=["POST"])])]
    return secured(
        without_redirects(Starlette(routes=routes, middleware=middleware, exception_handlers=HANDLERS)), https=True
    )


async def _asked(app: Starlette, method: str, path: str, content: bytes) -> tuple[httpx.Response, dict[str, float]]:
    before = REQUESTS.series()
    async with client_of(app) as client:
        answer = await client.request(method, path, content=content, headers=_ID)
    after = REQUESTS.series()
    return answer, {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name)}


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PUT", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/callbacks/asc/token",
        "/callbacks/asc/a%20b%2Fc",
        "/callbacks/asc/token/",
        "/callbacks/asc",
        "/callbacks/",
        "/callbacks//token",
        "/callbacksandmore/asc/token",
        "/sandbox/callbacks/a/b",
    ],
)
async def test_both_ways_answer_and_count_alike(method: str, path: str) -> None:
    (short, counted), (usual, as_usual) = [
        await _asked(_app(straight=each), method, path, b"") for each in (True, False)
    ]
    assert (short.status_code, short.headers, short.content) == (usual.status_code, usual.headers, usual.content)
    assert counted == as_usual


@pytest.mark.parametrize(("body", "status"), [(b"refuse", 409), (b"gone", 400), (b"fail", 500)])
async def test_both_ways_refuse_and_fail_alike(body: bytes, status: int) -> None:
    path = "/callbacks/asc/token"
    (short, counted), (usual, as_usual) = [
        await _asked(_app(straight=each), "POST", path, body) for each in (True, False)
    ]
    assert short.status_code == status
    assert (short.status_code, short.headers, short.content) == (usual.status_code, usual.headers, usual.content)
    assert counted == as_usual

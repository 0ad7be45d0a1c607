"""Every answer tells a browser to run, frame, sniff and keep nothing: also refusals, failures and what is no route."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from service.api.headers import secured
from service.api.problems import HANDLERS
from service.app import create
from service.settings import load_settings
from tests.api.doors import client_of


async def fine(_request: Request) -> Response:
    return PlainTextResponse("fine")


async def fail(_request: Request) -> Response:
    raise RuntimeError("lightning")


async def page(_request: Request) -> Response:
    return PlainTextResponse(
        "a page", headers={"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=9"}
    )


async def ask(path: str, *, https: bool = False, method: str = "GET") -> httpx.Response:
    routes = [
        Route("/v1/fine", fine),
        Route("/v1/fail", fail),
        Route("/v1/page", page),
        Route("/livez", fine),
        Mount("/sandbox", app=PlainTextResponse("a twin")),
    ]
    async with client_of(secured(Starlette(routes=routes, exception_handlers=HANDLERS), https=https)) as client:
        return await client.request(method, path)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/fine", 200),
        ("GET", "/livez", 200),
        ("GET", "/sandbox/asc", 200),
        ("GET", "/v1/fail", 500),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/fine", 405),
    ],
)
async def test_every_answer_has_them(method: str, path: str, status: int) -> None:
    answer = await ask(path, method=method)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize(("path", "kept"), [("/v1/fine", "no-store"), ("/v1/fail", "no-store"), ("/livez", None)])
async def test_nothing_a_customer_reads_is_kept_on_the_way(path: str, kept: str | None) -> None:
    assert (await ask(path)).headers.get("cache-control") == kept


async def test_an_answer_s_own_headers_win() -> None:
    answer = await ask("/v1/page")
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answer.headers.get_list("cache-control") == ["max-age=9"]


@pytest.mark.parametrize(
    ("url", "strict"),
    [("https://relay.example.com", "max-age=31536000"), ("http://127.0.0.1:1", None)],
)
async def test_the_product_insists_on_tls_where_its_public_address_has_it(
    tmp_path: Path, url: str, strict: str | None
) -> None:
    settings = load_settings(
        secrets_needed=False,
        public_url=url,
        database_url=f"sqlite:///{tmp_path / 'unused.db'}",
        secret_keys=("s" * 32,),
    )
    async with client_of(create(settings)) as client:
        answer = await client.get("/livez")
    assert answer.headers.get("strict-transport-security") == strict
    assert answer.headers["x-content-type-options"] == "nosniff"

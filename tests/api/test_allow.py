"""A method that is not taken is refused with all that are, of every route of that path (RFC 9110 §10.2.1)."""

from collections import defaultdict

import pytest
from starlette.routing import Route

from service.api.routes import ROUTES
from tests.api.doors import app_of, client_of

_BY_PATH: dict[str, set[str]] = defaultdict(set)
for _route in ROUTES:
    _BY_PATH[_route.path] |= _route.methods or set()


@pytest.mark.parametrize("path", _BY_PATH)
async def test_the_allow_header_has_every_method_of_the_path(path: str) -> None:
    async with client_of(app_of(ROUTES)) as client:
        for method in ("OPTIONS", "PUT"):
            answer = await client.request(method, path)
            assert answer.status_code == 405
            allowed = set(answer.headers["allow"].split(", "))
            assert allowed >= _BY_PATH[path]
            assert all(each in answer.json()["detail"] for each in allowed)


async def test_a_literal_path_has_the_methods_of_the_pattern_it_also_fits() -> None:
    async def nothing(_request: object) -> None: ...

    routes = [Route("/things/new", nothing, methods=["GET"]), Route("/things/{id}", nothing, methods=["DELETE"])]
    async with client_of(app_of(routes)) as client:
        assert (await client.put("/things/new")).headers["allow"] == "DELETE, GET, HEAD"
        assert (await client.put("/things/x")).headers["allow"] == "DELETE"

"""A request without a valid key is refused, and the answer says what is missing."""

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlmodel import select
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.accounts.api_keys import revoke
from service.accounts.models import ApiKey
from service.api.auth import require
from service.kit.db.database import Database
from tests.api.doors import NOW, app_of, bearer, client_of, context_on


async def whoami(request: Request) -> Response:
    caller = await require(request, "endpoints:read")
    return JSONResponse({"mode": caller.mode, "same": request.state.caller == caller})


async def ask(database: Database, headers: list[tuple[str, str]] | dict[str, str]) -> httpx.Response:
    app = app_of([Route("/", whoami)], context_on(database, Path("unused")))
    async with client_of(app) as client:
        return await client.get("/", headers=headers)


@pytest.mark.parametrize("mode", ["live", "test"])
async def test_a_valid_key_passes_and_its_use_is_noted(database: Database, mode: str) -> None:
    answer = await ask(database, bearer(database, mode=mode))
    assert answer.json() == {"mode": mode, "same": True}
    assert await database.read(lambda session: session.exec(select(ApiKey.last_used_at)).all()) == [NOW]


async def test_the_scheme_may_be_written_in_any_case(database: Database) -> None:
    key = bearer(database)["Authorization"].partition(" ")[2]
    assert (await ask(database, {"authorization": f"bearer   {key}"})).status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "vr_live_x", "Bearer vr_live_x"])
async def test_without_a_valid_key_the_answer_is_401_with_a_challenge(database: Database, value: str) -> None:
    answer = await ask(database, {"Authorization": value} if value else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "unauthenticated"


async def test_two_authorization_headers_are_as_good_as_none(database: Database) -> None:
    one = ("Authorization", bearer(database)["Authorization"])
    assert (await ask(database, [one, one])).status_code == 401


async def test_any_bytes_in_the_header_are_refused(database: Database) -> None:
    app = app_of([Route("/", whoami)], context_on(database, Path("unused")))
    async with client_of(app) as client:
        answer = await client.get("/", headers=[(b"Authorization", b"Bearer \xff\xfe\x00")])
    assert answer.status_code == 401


async def test_a_key_without_the_scope_is_told_which(database: Database) -> None:
    answer = await ask(database, bearer(database, scopes=["endpoints:write", "admin"]))
    assert answer.status_code == 403
    assert answer.json()["code"] == "missing_scope"
    assert "endpoints:read" in answer.json()["detail"]
    assert 'scope="endpoints:read"' in answer.headers["www-authenticate"]


async def test_a_revoked_key_is_refused_at_once(database: Database) -> None:
    headers = bearer(database)
    assert (await ask(database, headers)).status_code == 200
    (key_id,) = await database.read(lambda session: session.exec(select(ApiKey.id)).all())
    await database.write(revoke, key_id, NOW + timedelta(seconds=1))
    assert (await ask(database, headers)).status_code == 401

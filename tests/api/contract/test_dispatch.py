"""Dispatch enforces what an operation declares, in its order, and lets only declared answers leave."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from sqlmodel import Session, select
from starlette.requests import Request
from starlette.responses import Response

from service.accounts.idempotency import ApiAnswer
from service.accounts.models import Account
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import NO_FIELDS, ApiOperation, Body, Call, Found, ResponseSpec, Tag
from service.api.contract.parameters import Listing, flag, integer_or
from service.kit.db.database import Database
from tests.api.doors import app_of, bearer, client_of, context_on
from tests.webhooks.rows import SEALER

SIZE = integer_or(3, "size", "A size.", 1, 9)
LOUD = flag("loud", "Loudly.")


class Fields(BaseModel):
    name: str


def echo(_session: Session, call: Call) -> Found:
    return {"name": call.body.name, "size": call.query[SIZE], "loud": call.query[LOUD]}


def write(session: Session, call: Call) -> Found:
    session.add(Account(id="acc_written", name="written", created_at=call.now))
    return {}


def write_and_answer_otherwise(session: Session, call: Call) -> Found:
    write(session, call)
    return ApiAnswer(418, {})


def operation(run: Callable[[Session, Call], Found], **changes: Any) -> ApiOperation:
    declared = ApiOperation(
        "POST",
        "/v1/things",
        id="makeThing",
        tag=Tag.MEDIA,
        summary="Make a thing",
        scope="detections:write",
        body=NO_FIELDS,
        responses={200: ResponseSpec("The thing.")},
        run=run,
    )
    return replace(declared, **changes)


ECHO = operation(echo, body=Body(model=Fields), parameters=(SIZE, LOUD))


async def call(database: Database, declared: ApiOperation, **request: Any) -> httpx.Response:
    context = replace(context_on(database, Path("unused")), sealer=SEALER)
    async with client_of(app_of(routes_of([declared]), context)) as client:
        headers = bearer(database) | request.pop("headers", {})
        return await client.request(declared.method, request.pop("url", declared.path), headers=headers, **request)


async def test_the_query_and_the_body_arrive_as_they_are_declared(database: Database) -> None:
    answer = await call(database, ECHO, url="/v1/things?size=5", json={"name": "a"})
    assert answer.json() == {"name": "a", "size": 5, "loud": False}


async def test_faults_of_the_query_and_of_the_body_are_told_together(database: Database) -> None:
    answer = await call(database, ECHO, url="/v1/things?size=10&colour=red&loud=true&loud=true", json={"naem": 1})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [each["pointer"] for each in answer.json()["errors"]] == ["colour", "loud", "size", "/name", "/naem"]


async def test_a_fault_of_the_query_alone_is_a_fault_of_parameters(database: Database) -> None:
    answer = await call(database, ECHO, url="/v1/things?colour=red", json={"name": "a"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    (fault,) = answer.json()["errors"]
    assert fault == {"pointer": "colour", "detail": "unknown query parameter; allowed: size, loud"}


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.0", "1e1", "", " 5", "٣", "9" * 5000, "true"])
async def test_a_bad_limit_and_a_made_up_cursor_are_refused_by_name_together(database: Database, limit: str) -> None:
    declared = operation(write, parameters=Listing("things").parameters)
    answer = await call(database, declared, url=httpx.URL("/v1/things", params={"limit": limit, "cursor": "x"}))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert [each["pointer"] for each in answer.json()["errors"]] == ["limit", "cursor"]


async def test_an_operation_that_describes_no_422_ignores_parameters(database: Database) -> None:
    declared = operation(write, method="DELETE", body=None)
    assert 422 not in declared.error_statuses
    assert (await call(database, declared, url="/v1/things?colour=red")).status_code == 200


async def test_the_key_comes_before_the_body_and_the_media_type_before_its_content(database: Database) -> None:
    stranger = await call(database, ECHO, content=b"{", headers={"Authorization": "Bearer none"})
    typed = await call(database, ECHO, content=b"{", headers={"Content-Type": "text/plain"})
    read = await call(database, ECHO, content=b"{", headers={"Content-Type": "application/json"})
    assert [each.status_code for each in (stranger, typed, read)] == [401, 415, 400]


async def test_a_repeated_request_gets_its_first_answer_before_it_is_judged(database: Database) -> None:
    once = replace(ECHO, idempotent=True)
    key = {"Idempotency-Key": "k"}
    first = await call(database, once, json={"name": "a"}, headers=key)
    stricter = replace(once, body=Body(model=Fields, judge=_refuse))
    again = await call(database, stricter, json={"name": "a"}, headers=key)
    assert (again.status_code, again.json(), again.headers["Idempotent-Replayed"]) == (200, first.json(), "true")


def _refuse(_raw: bytes, _call: Call) -> None:
    raise AssertionError("a repeated request is not judged again")


def written(database: Database) -> bool:
    with database.reading() as session:
        return session.exec(select(Account).where(Account.id == "acc_written")).one_or_none() is not None


async def test_an_answer_that_is_not_declared_does_not_leave_and_nothing_of_it_is_kept(database: Database) -> None:
    answer = await call(database, operation(write_and_answer_otherwise))
    assert (answer.status_code, written(database)) == (500, False)


@pytest.mark.parametrize(("changes", "kept"), [({}, True), ({"method": "GET", "body": None}, False)])
async def test_only_what_may_write_is_committed(database: Database, changes: dict[str, Any], kept: bool) -> None:
    answer = await call(database, operation(write, **changes))
    assert (answer.status_code, written(database)) == (200, kept)


async def _raw(_request: Request) -> Response:
    return Response()


@pytest.mark.parametrize("changes", [{"run": None}, {"raw": _raw}, {"scope": None}, {"run": None, "raw": _raw}])
def test_a_declaration_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="makeThing"):
        replace(ECHO, **changes)

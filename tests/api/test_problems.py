"""Every refusal is a problem document, complete and telling nothing of our insides."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from service.api.problems import pointer, problems_of
from service.kit.errors import CallerError, Problem
from service.kit.ids import is_id
from tests.api.doors import app_of, client_of


async def fine(_request: Request) -> Response:
    return PlainTextResponse("fine")


async def refuse(_request: Request) -> Response:
    problems = (Problem("/a~1b", "is wrong"), Problem("limit", "is wrong too"))
    raise CallerError("teapot", "No coffee.", status=418, problems=problems, headers={"Retry-After": "5"})


async def fail(_request: Request) -> Response:
    raise RuntimeError("the password is hunter2")


APP = app_of([Route("/fine", fine), Route("/refuse", refuse), Route("/fail/{token}", fail)])


async def test_a_refusal_carries_all_its_members() -> None:
    async with client_of(APP) as client:
        answer = await client.get("/refuse", headers={"X-Request-ID": "mine-1"})
    assert answer.status_code == 418
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"
    assert answer.json() == {
        "type": "about:blank",
        "title": "I'm a Teapot",
        "status": 418,
        "detail": "No coffee.",
        "code": "teapot",
        "request_id": "mine-1",
        "errors": [
            {"pointer": "/a~1b", "detail": "is wrong"},
            {"pointer": "limit", "detail": "is wrong too"},
        ],
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "not_found"), ("DELETE", "/fine", 405, "method_not_allowed")],
)
async def test_the_routers_refusals_are_problems_too(method: str, path: str, status: int, code: str) -> None:
    async with client_of(APP) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert "errors" not in answer.json()
    assert ("allow" in answer.headers) is (status == 405)


async def test_a_failure_of_ours_is_logged_and_not_shown() -> None:
    with capture_logs() as logged:
        async with client_of(APP) as client:
            answer = await client.get("/fail/s3cret-token", headers={"X-Request-ID": "mine-2"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "mine-2"
    assert (answer.json()["code"], answer.json()["request_id"]) == ("internal_error", "mine-2")
    assert "hunter2" not in answer.text
    (line,) = logged
    assert (line["event"], line["request_id"], line["path"]) == ("request.failed", "mine-2", "/fail/{token}")
    assert "hunter2" in str(line["exc_info"])


@pytest.mark.parametrize("given_id", ["abc", "a b", "x" * 128, "!~"])
async def test_a_usable_request_id_is_kept(given_id: str) -> None:
    async with client_of(APP) as client:
        answer = await client.get("/fine", headers={"X-Request-ID": given_id})
    assert answer.headers.get_list("x-request-id") == [given_id]


@pytest.mark.parametrize("given_id", ["", "x" * 129, b"caf\xe9", "a\tb"])
async def test_another_request_id_is_replaced(given_id: str | bytes) -> None:
    async with client_of(APP) as client:
        answers = [await client.get("/fine", headers=[(b"X-Request-ID", _raw(given_id))]) for _ in range(2)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(is_id(each, "req") for each in ids)
    assert ids[0] != ids[1]


def _raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


class _Source(BaseModel):
    url: str | None = None
    media_id: str | None = None


class _Body(BaseModel):
    source: _Source
    wait: int = Field(default=1, ge=0, le=25)
    rule: Literal["any", "all"] = "any"
    names: list[str] = []
    choice: int | list[int] = 0
    metadata: dict[str, str] = {}


def faults(document: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        _Body.model_validate(document, strict=True, extra="forbid")
    return {problem.pointer: problem.detail for problem in problems_of(caught.value, document)}


def test_every_fault_is_named_with_a_pointer_in_plain_words() -> None:
    document: dict[str, Any] = {
        "source": {"url": 5, "sauce": 1},
        "wait": True,
        "rule": "some",
        "names": ["a", None],
        "metadata": {"a/b~c": 1},
        "extra": 1,
    }
    assert faults(document) == {
        "/source/url": "must be a string",
        "/source/sauce": "is not a known field",
        "/wait": "must be a whole number",
        "/rule": "must be one of 'any' or 'all'",
        "/names/1": "must be a string",
        "/metadata/a~1b~0c": "must be a string",
        "/extra": "is not a known field",
    }


def test_bounds_and_what_is_missing_are_named() -> None:
    assert faults({"wait": 26}) == {"/source": "is required", "/wait": "must be at most 25"}


def test_the_branches_of_a_union_are_no_part_of_a_pointer() -> None:
    assert set(faults({"source": {}, "choice": [1, "x"]})) == {"/choice", "/choice/1"}


def test_at_most_a_hundred_faults_are_listed_and_long_names_are_cut() -> None:
    found = faults({"source": {}} | {f"{n}{'x' * 1000}": 1 for n in range(500)})
    assert len(found) == 100
    assert max(map(len, found)) <= 256


def test_the_pointer_to_the_whole_is_empty() -> None:
    assert pointer([]) == ""
    assert pointer(["a", 0, "~/"]) == "/a/0/~0~1"

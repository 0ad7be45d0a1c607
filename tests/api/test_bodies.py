"""JSON bodies: what is read differently by different parsers is refused, and nothing a stranger sends makes a 5xx."""

import json
import time
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.api.bodies import MAX_BODY_BYTES, check_media_type, parse_object, read_body, validated
from service.kit.errors import CallerError
from service.kit.strict_json import MAX_DEPTH
from tests.api.doors import app_of, client_of


class _Body(BaseModel):
    name: str = ""
    count: int = 0
    tags: list[str] = []
    extra: dict[str, Any] = {}


async def echo(request: Request) -> Response:
    check_media_type(request)
    return JSONResponse(validated(await read_body(request), _Body).model_dump())


APP = app_of([Route("/", echo, methods=["POST"])])


async def post(content: bytes, media_type: str | None = "application/json") -> httpx.Response:
    headers = {} if media_type is None else {"Content-Type": media_type}
    async with client_of(APP) as client:
        return await client.post("/", content=content, headers=headers)


def refusal(raw: bytes) -> CallerError:
    with pytest.raises(CallerError) as caught:
        parse_object(raw)
    return caught.value


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON; charset=utf-8", "application/a+json", None]
)
async def test_a_good_body_becomes_the_model(media_type: str | None) -> None:
    answer = await post('{"name": "é", "count": 3, "tags": ["a"]}'.encode(), media_type)
    assert answer.status_code == 200
    assert answer.json() == {"name": "é", "count": 3, "tags": ["a"], "extra": {}}


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"])
async def test_another_media_type_is_415(media_type: str) -> None:
    assert (await post(b"{}", media_type)).status_code == 415


async def test_a_body_of_a_mebibyte_is_read_and_one_byte_more_is_413() -> None:
    frame = len(b'{"name":""}')
    fits = b'{"name":"' + b"x" * (MAX_BODY_BYTES - frame) + b'"}'
    assert (await post(fits)).status_code == 200
    assert (await post(fits + b" ")).status_code == 413


async def test_a_large_body_that_does_not_announce_itself_is_413_too() -> None:
    async def endless() -> Any:
        while True:
            yield b" " * 65_536

    async with client_of(APP) as client:
        answer = await client.post("/", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"{} {}", "Extra data"),
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b'{"a": 1, "a": 1}', "occurs twice"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "occurs twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": [-Infinity]}', "Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
        (b'{"a": "\xff"}', "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b"{'a': 1}", "Expecting"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested"),
        (b'{"a":' * 200_000, "nested"),
    ],
)
def test_what_is_no_strict_json_object_is_400_with_its_reason(raw: bytes, told: str) -> None:
    error = refusal(raw)
    assert (error.status, error.code) == (400, "malformed_json")
    assert told in error.detail


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def test_depth_is_allowed_up_to_its_limit() -> None:
    parse_object(nested(MAX_DEPTH))
    assert "nested" in refusal(nested(MAX_DEPTH + 1)).detail


def test_text_that_cannot_be_kept_is_422_wherever_it_stands() -> None:
    error = refusal(rb'{"a": ["fine", "x\u0000"], "b": {"half": "\ud800"}, "c": {"\u0000": 1}}')
    assert error.status == 422
    assert {problem.pointer for problem in error.problems} == {"/a/1", "/b/half", "/c"}


def test_a_whole_surrogate_pair_is_fine() -> None:
    assert parse_object(rb'{"a": "\ud83c\udfb5"}') == {"a": "🎵"}


@pytest.mark.parametrize(
    ("raw", "pointers"),
    [
        (b'{"count": true, "name": 1}', {"/count", "/name"}),
        (b'{"count": 1.0}', {"/count"}),
        (b'{"count": "1"}', {"/count"}),
        (b'{"naem": "x"}', {"/naem"}),
        (b'{"tags": "abc"}', {"/tags"}),
        (b'{"name": null}', {"/name"}),
    ],
)
def test_types_are_strict_and_unknown_members_are_named(raw: bytes, pointers: set[str]) -> None:
    with pytest.raises(CallerError) as caught:
        validated(raw, _Body)
    assert caught.value.status == 422
    assert {problem.pointer for problem in caught.value.problems} == pointers


def test_a_hostile_mebibyte_is_judged_quickly() -> None:
    """Pointers to each of many members below one long name would take gigabytes."""
    name, members = "n" * 500_000, ",".join(['"\\u0000"'] * 60_000)
    raw = f'{{"{name}": [{members}]}}'.encode()
    started = time.monotonic()
    error = refusal(raw)
    assert time.monotonic() - started < 5
    assert len(error.problems) == 100
    assert sum(len(problem.pointer) for problem in error.problems) < 100_000


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_KNOWN = st.dictionaries(st.sampled_from(["name", "count", "tags", "extra", "else"]), _JSON, max_size=5)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
async def test_random_bytes_are_never_a_failure_of_ours(raw: bytes) -> None:
    assert (await post(raw)).status_code in {200, 400, 422}


@given(_KNOWN | _JSON, st.booleans())
async def test_random_json_is_never_a_failure_of_ours(document: Any, ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)
    assert (await post(text.encode("utf-8", "surrogatepass"))).status_code in {200, 400, 422}


@given(st.binary(max_size=60), st.binary(max_size=20))
async def test_random_headers_are_never_a_failure_of_ours(media_type: bytes, length: bytes) -> None:
    headers = [(b"content-type", media_type), (b"content-length", length)]
    async with client_of(APP) as client:
        answer = await client.post("/", content=b"{}", headers=headers)
    assert answer.status_code in {200, 413, 415}

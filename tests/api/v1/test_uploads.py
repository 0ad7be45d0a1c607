"""Uploads: the field's bytes come out as they went in, however they were cut; any other form is refused."""

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.api.v1.uploads import open_upload
from service.kit.http.multipart import FileForm
from tests.api.doors import app_of, client_of

MAX_BYTES = 300_000
BOUNDARY = "frontier"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


async def measure(request: Request) -> Response:
    upload = await open_upload(request, name=request.query_params.get("filename"), max_bytes=MAX_BYTES)
    content = b"".join([chunk async for chunk in upload.chunks])
    return JSONResponse({"filename": upload.filename, "content": content.hex()})


APP = app_of([Route("/", measure, methods=["POST"])])


async def post(content: bytes | AsyncIterator[bytes], media_type: str | bytes, query: str = "") -> httpx.Response:
    kind = media_type.encode() if isinstance(media_type, str) else media_type
    async with client_of(APP) as client:
        return await client.post(f"/{query}", content=content, headers=[(b"content-type", kind)])


def part(content: bytes, disposition: str = 'form-data; name="file"; filename="song.mp3"') -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def slices(data: bytes, cuts: Sequence[int]) -> AsyncIterator[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        yield data[start:end]


@given(
    st.binary(max_size=300) | st.lists(st.sampled_from([b"\r\n--front", b"ier", b"\r", b"\n", b"--"])).map(b"".join),
    st.lists(st.integers(0, 1000), max_size=12),
)
async def test_the_bytes_come_out_as_they_went_in_however_they_were_cut(content: bytes, cuts: list[int]) -> None:
    delimiter = f"\r\n--{BOUNDARY}".encode()
    if delimiter in b"\r\n" + content + b"\r\n":  # then it would be no part's content
        return
    answer = await post(slices(form(part(content)), cuts), FORM)
    assert answer.json() == {"filename": "song.mp3", "content": content.hex()}


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('form-data; name="file"', None),
        ('form-data; name="file"; filename=""', ""),
        ("form-data; name=file; filename=a.mp3", "a.mp3"),
        ('form-data; name="file"; filename="é ü.mp3"', "é ü.mp3"),
        ('form-data; name="file"; filename="a;b\\"c.mp3"', 'a;b"c.mp3'),
        ('form-data; name="file"; filename="C:\\music\\a.mp3"', "a.mp3"),
        # .NET sends both; either alone has to do.
        (
            "form-data; name=file; filename=\"=?utf-8?B?bmHDr3ZlLm1wMw==?=\"; filename*=utf-8''na%C3%AFve.mp3",
            "naïve.mp3",
        ),
        ("form-data; name=file; filename*=UTF-8''na%C3%AFve%20%22.mp3", 'naïve ".mp3'),
        ("form-data; name=file; filename*=\"utf-8'de'na%C3%AFve.mp3\"; filename=a.mp3", "naïve.mp3"),
        ("form-data; name=file; filename*=iso-8859-1''na%EFve.mp3", "naïve.mp3"),
        ('form-data; name=file; filename="=?UTF-8?B?bmHDr3ZlLm1wMw==?="', "naïve.mp3"),
        ('form-data; name=file; filename="=?utf-8?Q?na=C3=AFve_song.mp3?="', "naïve song.mp3"),
        # What cannot be read so is taken as it stands.
        ("form-data; name=file; filename=a.mp3; filename*=utf-8''na%EFve.mp3", "a.mp3"),
        ("form-data; name=file; filename=a.mp3; filename*=klingon''x", "a.mp3"),
        ('form-data; name=file; filename="=?nope?B?bmHDr3ZlLm1wMw==?="', "=?nope?B?bmHDr3ZlLm1wMw==?="),
        ("form-data; name=file; filename=\"; filename*=utf-8''x.mp3\"", "; filename*=utf-8''x.mp3"),
        # As browsers, and we ourselves, write them.
        ('form-data; name="file"; filename="a%22b%0D%0Ac.mp3"', 'a"b\r\nc.mp3'),
        ('form-data; name="file"; filename="100%25 %41.mp3"', "100%25 %41.mp3"),
    ],
)
async def test_the_name_is_taken_from_the_form(disposition: str, filename: str | None) -> None:
    answer = await post(form(part(b"x", disposition)), FORM)
    assert answer.json() == {"filename": filename, "content": "78"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form at all",
        part(b"x"),
        form(part(b"x"))[:-6],
        b"--frontier\r\nContent-Disposition: form-data; na",
        b"--frontier\r\nno colon here\r\n\r\nx\r\n--frontier--\r\n",
        form(b"--frontier\r\n\r\nno headers\r\n"),
        form(part(b"x", "attachment; name=file")),
        form(part(b"x", "form-data")),
        form(b"--frontier\r\n" + b"A: b\r\n" * 50 + b"\r\nx\r\n"),
        form(b"--frontier\r\nA: " + b"b" * 10_000 + b"\r\n\r\nx\r\n"),
        b"\r\n" * 100_000,
        form(part(b"x")) + b"epilogue" * 10_000,
    ],
)
async def test_a_malformed_form_is_400(body: bytes) -> None:
    answer = await post(body, FORM)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_multipart")


@pytest.mark.parametrize(
    "parameter", ["", "; boundary=", "; boundary=\t", f"; boundary={'x' * 300}", "; charset=utf-8"]
)
async def test_a_form_without_a_usable_boundary_is_400(parameter: str) -> None:
    answer = await post(form(part(b"x")), f"multipart/form-data{parameter}")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_multipart")


@pytest.mark.parametrize(
    ("parts", "pointer", "told"),
    [
        ([], "/file", "required"),
        ([part(b"x", "form-data; name=other"), part(b"x")], "/other", "not a known"),
        ([part(b"x"), part(b"x", 'form-data; name="a/b"')], "/a~1b", "not a known"),
        ([part(b"x"), part(b"y")], "/file", "once"),
    ],
)
async def test_a_form_with_other_fields_than_the_one_is_422(parts: list[bytes], pointer: str, told: str) -> None:
    answer = await post(form(*parts) if parts else b"--frontier--\r\n", FORM)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert told in error["detail"]


@pytest.mark.parametrize(
    "media_type", ["audio/mpeg", "AUDIO/x-wav; rate=1", "application/ogg", "application/octet-stream"]
)
async def test_a_raw_body_is_taken_as_it_is(media_type: str) -> None:
    answer = await post(b"raw", media_type, "?filename=a%20song.mp3")
    assert answer.json() == {"filename": "a song.mp3", "content": b"raw".hex()}


@pytest.mark.parametrize(
    "media_type", ["", "application/json", "text/plain", "video/mp4", "multipart/mixed; boundary=x"]
)
async def test_another_media_type_is_415(media_type: str) -> None:
    assert (await post(b"raw", media_type)).status_code == 415


async def test_what_announces_itself_as_too_large_is_413_at_once() -> None:
    async def unread() -> AsyncIterator[bytes]:
        pytest.fail("the body was asked for")
        yield b""

    headers = {"Content-Type": "audio/mpeg", "Content-Length": "500000000"}
    async with client_of(APP) as client:
        answer = await client.post("/", content=unread(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "media_too_large")


@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            [
                b"--frontier",
                b"\r\n",
                b"--",
                b"Content-Disposition: form-data; name=file",
                b'; filename="',
                b"\x00",
                b"\xff",
                b":",
                b"x",
                b" ",
                b'Content-Disposition: form-data; name="',
            ]
        ),
        max_size=20,
    ).map(b"".join),
    st.lists(st.integers(0, 300), max_size=4),
)
async def test_random_forms_are_never_a_failure_of_ours(body: bytes, cuts: list[int]) -> None:
    assert (await post(slices(body, cuts), FORM)).status_code in {200, 400, 422}


@given(st.binary(max_size=60), st.sampled_from([b"", b"multipart/form-data;", b"multipart/form-data; boundary="]))
async def test_random_media_types_are_never_a_failure_of_ours(kind: bytes, start: bytes) -> None:
    assert (await post(form(part(b"x")), start + kind)).status_code in {200, 400, 415, 422}


@pytest.mark.parametrize("name", ['a "b".mp3', "a\r\nb.mp3", "naïve 音.mp3", "back\\slash.mp3", "percent %41.mp3"])
async def test_a_name_that_our_own_forms_write_is_read_back(name: str) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"x"

    form_of_ours = FileForm(field="file", file_name=name, media_type="audio/mpeg")
    body = b"".join([piece async for piece in form_of_ours.body(content())])
    answer = await post(body, form_of_ours.headers(1)["content-type"])
    assert answer.json()["filename"] == name

"""The download of a customer's URL, against servers of this machine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from service.kit.http.guard import GuardPolicy
from service.kit.http.guarded import guarded_session
from service.media.fetch import Source, SourceTooLarge, SourceUnreachable, file_name, open_source

LOOPBACK = GuardPolicy(allow=(ip_network("127.0.0.0/8"),), https_only=False)
TRACK = bytes(range(256)) * 1024

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"


async def fetched(
    url: str,
    *,
    max_bytes: int = 10**6,
    timeout_seconds: float = 10,
) -> tuple[Source, bytes]:
    async with (
        guarded_session(LOOPBACK, total_seconds=None, connect_seconds=2) as session,
        open_source(session, url, LOOPBACK, max_bytes=max_bytes, timeout_seconds=timeout_seconds) as source,
    ):
        return source, b"".join([chunk async for chunk in source.chunks])


async def track(_: web.Request) -> web.Response:
    return web.Response(body=TRACK, content_type="audio/mpeg")


async def unreachable(url: str, **limits: float) -> SourceUnreachable:
    with pytest.raises(SourceUnreachable) as failed:
        await fetched(url, timeout_seconds=limits.get("timeout_seconds", 10))
    return failed.value


def test_audio_arrives_byte_for_byte_with_its_type_and_name() -> None:
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(body=TRACK, headers={"Content-Type": "Audio/MPEG; codecs=mp3"})

    async def scene() -> None:
        async with serving(answer) as server:
            source, body = await fetched(f"{server}/music/my%20track.mp3?signature=s#here")
            assert body == TRACK
            assert source.content_type == "audio/mpeg"
            assert source.file_name == "my track.mp3"
            assert source.url == f"{server}/music/my%20track.mp3?signature=s"

    asyncio.run(scene())
    assert asked[0].headers["User-Agent"] == "VerdictRelay/1"
    assert asked[0].headers["Accept-Encoding"] == "identity"
    assert "Referer" not in asked[0].headers


@pytest.mark.parametrize("claimed", ["", "nonsense", "audio/mp\u00e9g", f"audio/{'x' * 64}"])
def test_senseless_media_type_is_none(claimed: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"x", headers={"Content-Type": claimed})

    async def scene() -> None:
        async with serving(answer) as server:
            source, _ = await fetched(server)
            assert source.content_type is None

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *[(status, False) for status in (300, 304, 400, 401, 403, 404, 410, 451)],
        *[(status, True) for status in (408, 429, 500, 502, 503, 504, 599)],
        *[(status, False) for status in (201, 204, 205, 206, 207, 208, 214, 226, 299)],
        (202, True),
    ],
)
def test_answer_other_than_the_whole_audio_is_unreachable(status: int, retryable: bool) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=b"" if status in (204, 205, 304) else b"sorry")

    async def scene() -> None:
        async with serving(answer) as server:
            failed = await unreachable(server)
            assert (failed.retryable, failed.detail) == (retryable, f"answered with status {status}")

    asyncio.run(scene())


@pytest.mark.parametrize("status", [200, 203])
def test_the_whole_audio_is_taken(status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=TRACK)

    async def scene() -> None:
        async with serving(answer) as server:
            assert (await fetched(server))[1] == TRACK

    asyncio.run(scene())


@pytest.mark.parametrize("part", ["bytes 0-49999/262144", "bytes 0-262143/262144", "bytes 0-262143/*", ""])
def test_a_part_that_was_not_asked_for_is_no_audio(part: str) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.extend(name.lower() for name in request.headers)
        return web.Response(status=206, body=TRACK[:50_000], headers={"Content-Range": part} if part else {})

    async def scene() -> None:
        async with serving(answer) as server:
            failed = await unreachable(server)
            assert (failed.retryable, failed.detail) == (False, "answered with status 206")

    asyncio.run(scene())
    assert "range" not in asked


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "ftp://x/", "http://user:secret@cdn.example/", "http://cdn.example:22/", ""]
)
def test_refused_url_is_unreachable_for_good_and_not_repeated(url: str) -> None:
    failed = asyncio.run(unreachable(url))
    assert not failed.retryable
    assert "secret" not in failed.detail


def test_connection_refused_may_be_tried_again() -> None:
    async def scene() -> None:
        async with serving(track) as server:
            gone = server
        failed = await unreachable(f"{gone}/?signature=s3cret")
        assert failed.retryable
        assert "ClientConnectorError" in failed.detail
        assert "s3cret" not in failed.detail

    asyncio.run(scene())


def test_body_that_breaks_off_is_unreachable_and_not_a_short_track() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response

    async def scene() -> None:
        async with serving(answer) as server:
            assert (await unreachable(server)).retryable

    asyncio.run(scene())


def streaming(size: int, *, declared: bool, seen: list[int]) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(size)} if declared else {})
        await response.prepare(request)
        for _ in range(size):
            await response.write(b"x")
            seen.append(1)
        return response

    return answer


@pytest.mark.parametrize("declared", [True, False])
def test_size_cap_is_exact(declared: bool) -> None:
    async def scene() -> None:
        async with serving(streaming(100, declared=declared, seen=[])) as server:
            assert len((await fetched(server, max_bytes=100))[1]) == 100
            with pytest.raises(SourceTooLarge) as failed:
                await fetched(server, max_bytes=99)
            assert failed.value.max_bytes == 99

    asyncio.run(scene())


def test_declared_size_over_the_cap_is_refused_before_the_body() -> None:
    waiting = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "101"})
        await response.prepare(request)
        await waiting.wait()  # no byte of the body ever comes
        return response

    async def scene() -> None:
        async with serving(answer) as server:
            with pytest.raises(SourceTooLarge):
                await fetched(server, max_bytes=100)
            waiting.set()

    asyncio.run(scene())


def test_endless_body_ends_at_the_cap() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(TRACK)

    async def scene() -> None:
        async with serving(answer) as server:
            with pytest.raises(SourceTooLarge):
                await fetched(server, max_bytes=10**6)

    asyncio.run(scene())


def test_compressed_body_is_refused() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    async def scene() -> None:
        async with serving(answer) as server:
            failed = await unreachable(server)
            assert (failed.retryable, "compressed" in failed.detail) == (False, True)

    asyncio.run(scene())


@pytest.mark.parametrize("sent", ["nothing", "headers", "drops"])
def test_slow_source_is_given_up_at_the_deadline(sent: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if sent != "nothing":
            await response.prepare(request)
        while True:
            await asyncio.sleep(0.02)
            if sent == "drops":
                await response.write(b"x")

    async def scene() -> None:
        async with serving(answer) as server:
            async with asyncio.timeout(5):
                failed = await unreachable(server, timeout_seconds=0.2)
            assert (failed.retryable, failed.detail) == (True, "took too long")

    asyncio.run(scene())


async def read_badly(session: aiohttp.ClientSession, url: str) -> None:
    async with open_source(session, url, LOOPBACK, max_bytes=10**6, timeout_seconds=5) as source:
        async for _ in source.chunks:
            raise aiohttp.ClientError("the reader's own")


def test_error_of_the_reader_is_not_the_sources() -> None:
    async def scene() -> None:
        async with (
            serving(track) as server,
            guarded_session(LOOPBACK, total_seconds=None, connect_seconds=2) as session,
        ):
            await read_badly(session, server)

    with pytest.raises(aiohttp.ClientError, match="the reader's own"):
        asyncio.run(scene())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/music/track.mp3", "track.mp3"),
        ("/t%C3%A4%20k.mp3", "tä k.mp3"),
        ("/a%2F..%2Fetc%5Cpasswd", "a_.._etc_passwd"),
        ("/a%00b%0A%7F%E2%80%AEc.mp3", "abc.mp3"),
        ("/%FF.mp3", "\ufffd.mp3"),
        ("/" + "a" * 300 + ".mp3", "a" * 251 + ".mp3"),
        ("/", None),
        ("", None),
        ("/music/", None),
        ("/%2E%2E", None),
        ("/%20%20", None),
        ("/track.mp3?name=other.wav#x.flac", "track.mp3"),
    ],
)
def test_file_name_is_the_last_part_of_the_path_made_harmless(path: str, name: str | None) -> None:
    assert file_name(URL(f"https://cdn.example{path}")) == name

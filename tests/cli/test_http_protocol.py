"""Time and room: who is slow, silent or many is ended, and everybody else is served meanwhile."""

import asyncio
import resource
import socket
from contextlib import AsyncExitStack

import pytest

from service.cli.http.parsing import HttpLimits, most_connections
from tests.cli.raw_http import HOST, LARGE, Line, ask, line_to, telling

pytestmark = pytest.mark.timeout(60)

_GET = b"GET /tell HTTP/1.1\r\n" + HOST + b"\r\n"
_LIVEZ = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
_QUICK = HttpLimits(
    head_seconds=0.3,
    body_seconds=0.3,
    linger_seconds=0.3,
    write_seconds=0.3,
    crowded_seconds=0.05,
    tick_seconds=0.05,
    connections=10,
)
"""Ten connections, and eight more for questions after the health."""


def _post(length: int, path: bytes = b"/tell") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % length


async def _trickle(line: Line, piece: bytes) -> None:
    while True:
        await line.say(piece)
        await asyncio.sleep(0.02)  # slower than what is allowed, quicker than any time-out between two pieces


async def test_a_head_that_takes_too_long_is_ended_however_it_comes() -> None:
    async with telling(_QUICK) as port:
        for begun, piece, answered in [
            (b"", b"", []),
            (b"", b"\r\n", [408]),
            (b"GET /tell HTTP/1.1\r\nX-A: ", b"a", [408]),
            (_GET + b"GET /te", b"l", [200, 408]),
        ]:
            async with line_to(port) as line:
                await line.say(begun)
                task = asyncio.create_task(_trickle(line, piece))
                heard = await line.until_closed(seconds=3)
                task.cancel()
                assert heard.statuses == answered, (begun, heard)


async def test_a_body_that_takes_too_long_is_ended_however_it_comes() -> None:
    async with telling(_QUICK) as port:
        chunked = b"POST /tell HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        for begun, piece in [
            (_post(1_000_000), b""),
            (_post(1_000_000), b"a"),
            (chunked, b"1\r\na\r\n"),
            (chunked, b"0"),
        ]:
            async with line_to(port) as line:
                await line.say(begun)
                task = asyncio.create_task(_trickle(line, piece))
                heard = await line.until_closed(seconds=3)
                task.cancel()
                assert (heard.statuses, heard.header("content-type")) == ([408], "application/problem+json")


async def test_a_large_body_may_take_long_as_long_as_it_comes() -> None:
    async with telling(_QUICK) as port, line_to(port) as line:
        await line.say(_post(20 * 2_048))
        for _ in range(20):
            await line.say(b"a" * 2_048)
            await asyncio.sleep(0.05)  # 40 kB a second, for thrice as long as a silent body may take
        assert (await line.hear()).statuses == [200]


async def test_what_is_left_of_a_body_that_was_answered_is_not_waited_for() -> None:
    async with telling(_QUICK) as port, line_to(port) as line:
        await line.say(_post(1_000_000, b"/deaf"))
        assert (await line.hear()).statuses == [401]
        task = asyncio.create_task(_trickle(line, b"a"))
        assert (await line.until_closed(seconds=3)).statuses == [401]
        task.cancel()


async def test_an_answer_that_is_not_taken_is_given_up() -> None:
    async with telling(_QUICK) as port:
        with socket.socket() as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            caller.connect(("127.0.0.1", port))
            caller.sendall(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
            await asyncio.sleep(0.8)  # longer than an answer may lie
            caller.settimeout(3)
            assert await asyncio.to_thread(_read_all, caller) < LARGE


def _read_all(caller: socket.socket) -> int:
    size = 0
    while piece := caller.recv(65_536):
        size += len(piece)
    return size


async def test_silent_connections_make_room() -> None:
    async with telling(_patient(_QUICK)) as port, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(line_to(port)) for _ in range(30)]
        await asyncio.sleep(0.1)  # they have been silent for longer than a newcomer
        assert silent
        for _ in range(20):
            assert (await ask(port, _GET, seconds=1)).statuses == [200]


async def test_where_none_is_silent_the_health_is_told_and_others_are_turned_away() -> None:
    async with telling(_patient(_QUICK)) as port, AsyncExitStack() as stack:
        for _ in range(10):
            line = await stack.enter_async_context(line_to(port))
            await line.say(_post(1_000_000) + b"a")
        for _ in range(20):
            assert (await ask(port, _LIVEZ, seconds=1)).statuses == [200]
            turned_away = await ask(port, _GET, answers=2, seconds=1)
            assert (turned_away.statuses, turned_away.header("retry-after"), turned_away.closed) == ([503], "2", True)
            assert turned_away.json["code"] == "too_many_connections"


async def test_an_idle_connection_that_was_served_makes_room_too() -> None:
    async with telling(_patient(_QUICK)) as port, AsyncExitStack() as stack:
        for _ in range(10):
            line = await stack.enter_async_context(line_to(port))
            await line.say(_GET)
            assert (await line.hear()).statuses == [200]
        await asyncio.sleep(0.1)
        assert (await ask(port, _GET, seconds=1)).statuses == [200]


def _patient(limits: HttpLimits) -> HttpLimits:
    """The same number of connections, and no time-out that could help."""
    return HttpLimits(
        crowded_seconds=limits.crowded_seconds, tick_seconds=limits.tick_seconds, connections=limits.connections
    )


def test_connections_take_at_most_half_of_the_files() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        limits = HttpLimits()
        assert (limits.connections, limits.reserve, limits.at_once) == (128, 16, 16)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(20_000, before[1]), before[1]))
        assert most_connections() == 1_000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

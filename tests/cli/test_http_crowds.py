"""One caller that takes all connections keeps the others out of nothing: it loses those that keep us waiting."""

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest

from service.cli.http.parsing import HttpLimits
from tests.cli.raw_http import HOST, Line, ask, line_to, telling
from tests.waiting import until

pytestmark = pytest.mark.timeout(30)

_LIMITS = HttpLimits(crowded_seconds=0.05, tick_seconds=0.05, connections=10)
_GREEDY, _OTHER, _THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
_SLOW = b"POST /tell HTTP/1.1\r\n" + HOST + b"Content-Length: 60000\r\n"
_GET = b"GET /tell HTTP/1.1\r\n" + HOST


def _came_from(address: str) -> bytes:
    return b"X-Forwarded-For: 203.0.113.99, " + address.encode() + b"\r\n\r\n"


async def _fill(stack: AsyncExitStack, port: int, more: bytes = b"\r\n", count: int = 10) -> list[Line]:
    lines = []
    for _ in range(count):
        line = await stack.enter_async_context(line_to(port, _GREEDY))
        await line.say(_SLOW + more + b"a")
        lines.append(line)
    await ask(port, b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")  # what was said before this has been read
    return lines


async def test_a_caller_with_one_request_is_served_while_another_holds_all_connections_with_bodies_to_come() -> None:
    async with telling(_LIMITS) as port, AsyncExitStack() as stack:
        await _fill(stack, port)
        for caller in (_OTHER, _THIRD, _OTHER):
            assert (await ask(port, _GET + b"\r\n", caller=caller, seconds=2)).statuses == [200]


async def test_behind_a_proxy_the_caller_is_the_one_that_the_proxy_saw() -> None:
    async with telling(_LIMITS, hops=1) as port, AsyncExitStack() as stack:
        await _fill(stack, port, _came_from("203.0.113.1"))
        for address, status in [("203.0.113.2", 200), ("203.0.113.3", 200)]:
            assert (await ask(port, _GET + _came_from(address), seconds=2)).statuses == [status]


async def test_what_stands_further_left_in_the_header_gains_no_place() -> None:
    async with telling(_LIMITS, hops=1) as port, AsyncExitStack() as stack:
        await _fill(stack, port, _came_from("203.0.113.1"))
        assert (await ask(port, _GET + _came_from("203.0.113.1"), answers=2, seconds=2)).statuses == [503]


async def test_connections_that_do_not_take_their_answers_make_room_too() -> None:
    async with telling(_LIMITS) as port, AsyncExitStack() as stack:
        callers: list[socket.socket] = []
        for _ in range(10):
            caller = stack.enter_context(socket.socket())
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            caller.connect((_GREEDY, port))
            caller.sendall(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n")
            callers.append(caller)
        await until(lambda: all(map(_received, callers)))
        await asyncio.sleep(0.2)  # more was written than the kernel takes
        assert (await ask(port, _GET + b"\r\n", caller=_OTHER, seconds=2)).statuses == [200]


def _received(caller: socket.socket) -> bytes:
    caller.setblocking(False)
    try:
        return caller.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


async def test_a_caller_that_holds_as_many_as_the_others_is_turned_away() -> None:
    async with telling(_LIMITS) as port, AsyncExitStack() as stack:
        await _fill(stack, port, count=5)
        for _ in range(5):
            line = await stack.enter_async_context(line_to(port, _OTHER))
            await line.say(_SLOW + b"\r\na")
        await ask(port, b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        for caller in (_GREEDY, _OTHER):
            assert (await ask(port, _GET + b"\r\n", answers=2, caller=caller, seconds=2)).statuses == [503]


async def test_the_upload_that_got_furthest_is_dropped_last() -> None:
    async with telling(_LIMITS) as port, AsyncExitStack() as stack:
        first, *_ = await _fill(stack, port)
        await first.say(b"a" * 50_000)
        for _ in range(5):
            assert (await ask(port, _GET + b"\r\n", caller=_OTHER, seconds=2)).statuses == [200]
        await first.say(b"a" * 9_999)
        assert (await first.hear()).statuses == [200]

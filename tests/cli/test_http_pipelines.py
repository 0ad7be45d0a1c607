"""Many requests at once on one connection: answered in their order, and never more kept than a few."""

import asyncio
from contextlib import suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.cli.http.parsing import HttpLimits
from service.cli.http.serving import free_socket, serving
from tests.cli.raw_http import HOST, OFFER, TELLING, line_to, telling

pytestmark = pytest.mark.timeout(30)

_GET = b"GET /tell HTTP/1.1\r\n" + HOST + b"\r\n"
_MANY = 200
_WAITING = HttpLimits().pipelined


@pytest.mark.parametrize(
    "request_sent",
    [
        _GET,
        b"POST /tell HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
        b"POST /tell HTTP/1.1\r\n" + HOST + OFFER + b"Content-Length: 5\r\n\r\nhello",
    ],
    ids=["without a body", "with a body", "with an offer of another protocol"],
)
async def test_of_many_requests_at_once_a_few_are_answered_and_the_connection_ends(request_sent: bytes) -> None:
    async with telling() as port, line_to(port) as line:
        await line.say(request_sent * _MANY)
        heard = await line.until_closed()
        assert (heard.statuses, heard.closed) == ([200] * (1 + _WAITING), True)


async def test_a_few_requests_at_once_are_all_answered_and_the_connection_stays() -> None:
    async with telling() as port, line_to(port) as line:
        for turn in range(1, 4):
            await line.say(_GET * (1 + _WAITING))
            heard = await line.hear(answers=turn * (1 + _WAITING))
            assert (set(heard.statuses), heard.closed) == ({200}, False)


async def test_the_body_of_the_last_one_that_waited_arrives_whole() -> None:
    body = b"a" * 1_000_000  # more than is kept of a request that waits
    async with telling() as port, line_to(port) as line:
        sent = _GET * 3 + b"POST /tell HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body
        await line.say(sent + _GET)
        heard = await line.hear(answers=5)
        assert (heard.statuses, heard.raw.count(body)) == ([200] * 5, 1)


async def test_nothing_more_is_read_while_a_request_waits() -> None:
    held, release = asyncio.Event(), asyncio.Event()

    async def hold(request: Request) -> Response:
        await request.body()
        held.set()
        await release.wait()
        return Response()

    bound = free_socket()
    large = b"GET /tell HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 30_000 + b"\r\n\r\n"
    async with (
        serving(Starlette(routes=[*TELLING, Route("/hold", hold)]), bound),
        line_to(bound.getsockname()[1]) as line,
    ):
        await line.say(_GET + b"GET /hold HTTP/1.1\r\n" + HOST + b"\r\n" + _GET * 3)
        await line.hear(answers=1)
        await held.wait()
        rest = asyncio.create_task(line.say(large * 1_000))  # 30 MB, several times what the kernel keeps
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(rest), 1)
        assert not rest.done()
        release.set()
        assert (await line.until_closed()).statuses[:5] == [200] * 5
        await rest

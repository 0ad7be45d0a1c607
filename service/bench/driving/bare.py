"""The limit: a bare Starlette route on the product's server, in a process of its own, which keeps nothing."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.bench.driving.generator import BenchError
from service.bench.driving.processes import free_port

_START_SECONDS, _EXIT_SECONDS, _LOOK_SECONDS = 30.0, 10.0, 0.05


def bare_application() -> Starlette:
    """Return the limit: a route that reads the body and answers 204."""

    async def take(request: Request) -> Response:
        await request.body()
        return Response(status_code=204)

    return Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])


@asynccontextmanager
async def running_bare() -> AsyncIterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run `relay bench bare`, and give its address and its process once it answers."""
    port = free_port()
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own command, and starting it blocks for a moment only
        [sys.executable, "-m", "service", "bench", "bare", "--port", str(port)]
    )
    try:
        await _ready(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}/", process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, _EXIT_SECONDS)


async def _ready(url: str) -> None:
    now = asyncio.get_running_loop().time
    end = now() + _START_SECONDS
    async with aiohttp.ClientSession() as session:
        while now() < end:
            try:
                async with session.post(url) as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(_LOOK_SECONDS)
    raise BenchError("the bare route did not start")

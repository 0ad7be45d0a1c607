"""HTTP as bytes: what a caller sends is written out, and what came back is taken apart by hand."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.cli.http.parsing import HttpLimits
from service.cli.http.serving import free_socket, serving, within

LARGE = 20_000_000
HOST = b"Host: relay.test\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")


@dataclass(frozen=True)
class Heard:
    """All that came back, and whether the connection was closed after it."""

    raw: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        return [int(found[1]) for found in _ANSWER.finditer(self.raw)]

    @property
    def body(self) -> bytes:
        """The body of the last answer."""
        return self.raw[list(_ANSWER.finditer(self.raw))[-1].end() :]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The header of the last answer."""
        head = list(_ANSWER.finditer(self.raw))[-1][2].decode("latin-1")
        lines = (line.partition(":") for line in head.split("\r\n"))
        return next((value.strip() for found, _, value in lines if found.lower() == name), None)


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._raw = b""

    async def say(self, data: bytes) -> None:
        """`data` is sent, or the other side has hung up."""
        self._writer.write(data)
        with suppress(ConnectionError):
            await self._writer.drain()

    async def hear(self, *, answers: int = 1, seconds: float = 20) -> Heard:
        """All there is, as soon as so many answers are whole or the other side has hung up."""
        closed = False
        async with asyncio.timeout(seconds):
            while not closed and _whole(self._raw) < answers:
                try:
                    piece = await self._reader.read(65_536)
                except ConnectionError:
                    piece = b""
                self._raw += piece
                closed = not piece
        return Heard(self._raw, closed)

    async def until_closed(self, *, seconds: float = 20) -> Heard:
        """All there was until the other side hung up."""
        return await self.hear(answers=1_000, seconds=seconds)


def _whole(raw: bytes) -> int:
    """How many final answers are there with their bodies."""
    count, place = 0, 0
    while found := _ANSWER.match(raw, place):
        length = re.search(rb"content-length: *(\d+)", found[2], re.IGNORECASE)
        place = found.end() + int(length[1] if length else 0)
        if place > len(raw):
            break
        count += found[1] != b"100"
    return count


@asynccontextmanager
async def line_to(port: int, caller: str = "127.0.0.1") -> AsyncIterator[Line]:
    """A connection to a port of loopback, from any address of loopback."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(caller, 0))
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


async def ask(port: int, data: bytes, *, answers: int = 1, seconds: float = 20, caller: str = "127.0.0.1") -> Heard:
    """What comes back when `data` is sent at once."""
    async with line_to(port, caller) as line:
        await line.say(data)
        return await line.hear(answers=answers, seconds=seconds)


async def _tell(request: Request) -> Response:
    body = await request.body()
    return JSONResponse(
        {
            "method": request.method,
            "path": request.scope["path"],
            "query": request.scope["query_string"].decode(),
            "body": body.decode("latin-1"),
            "headers": sorted(request.headers.keys()),
        }
    )


async def _livez(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _deaf(_request: Request) -> Response:
    return JSONResponse({"status": "no"}, status_code=401)


async def _large(_request: Request) -> Response:
    return Response(b"x" * LARGE)


async def _stream(_request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * (LARGE // 100)

    return StreamingResponse(pieces())


TELLING = [
    Route("/", _tell),
    Route("/tell", _tell, methods=["GET", "POST", "OPTIONS"]),
    Route("/livez", _livez),
    Route("/deaf", _deaf, methods=["POST"]),
    Route("/large", _large),
    Route("/stream", _stream),
]
"""Routes that tell what has reached them, or do not look at it."""


@asynccontextmanager
async def telling(limits: HttpLimits | None = None, *, hops: int = 0) -> AsyncIterator[int]:
    """The port of an application with those routes, served as every door of ours is, behind so many proxies."""
    bound = free_socket()
    port: int = bound.getsockname()[1]
    app = Starlette(routes=TELLING)
    app.state.context = SimpleNamespace(trusted_proxy_hops=hops)
    async with serving(app, bound, within(limits or HttpLimits())):
        yield port

"""Sockets on loopback: one to serve at, and a raw TCP peer that acts as a test scripts it and speaks no HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def listener() -> socket.socket:
    """A listening socket, at a port that the system chose.

    It is said to be TCP: only then does asyncio switch Nagle's algorithm off, by which each answer on a connection
    that was used before waits 40 ms for the peer's delayed acknowledgement (RFC 1122 sections 4.2.3.2 and 4.2.3.4).
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind(("127.0.0.1", 0))
    bound.listen()
    return bound


@dataclass
class Peer:
    """Where the peer listens, and how its connections fare."""

    port: int
    opened: int = 0
    closed: int = 0
    problems: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def peer(script: Script) -> AsyncIterator[Peer]:
    """A listening peer; `closed` counts the connections at whose end the other side had hung up."""
    state = Peer(0)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.opened += 1
        try:
            await script(reader, writer)
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except BaseException as error:
            state.problems.append(error)
            raise
        finally:
            state.closed += 1
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """One request whose length is announced: its first line, its headers in lower case, its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return head[0], headers, body


def answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole answer, ready to be written."""
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body

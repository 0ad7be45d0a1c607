"""Receivers that go wrong in one phase or another: addresses at which each of them can be met."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.loopback import answer, peer, read_request
from tests.webhooks.sending.test_attempt import Script, answering

NAME = "customer.example"

Url = AbstractAsyncContextManager[str]


def after_the_request(how: Script) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await how(reader, writer)

    return script


def after_the_first_bytes(how: Script) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await how(reader, writer)

    return script


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def speaking_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(b"", status="400 Speak plainly"))


async def alerting(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x15\x03\x03\0\x02\x02\x46")  # fatal, protocol_version: RFC 8446 §6


def saying(said: bytes) -> Script:
    return answering(said, hang_up=True)


@asynccontextmanager
async def plain(script: Script) -> AsyncIterator[str]:
    async with peer(script) as receiver:
        yield receiver.url


@asynccontextmanager
async def secure_by_name_only(script: Script) -> AsyncIterator[str]:
    """An address with https, at which a peer without TLS acts."""
    async with peer(script) as receiver:
        yield receiver.url.replace("http:", "https:")


@asynccontextmanager
async def secure(script: Script, folder: Path, **changes: Any) -> AsyncIterator[str]:
    """A server that speaks TLS with a certificate of `folder`; `changes` are attributes of its context."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=server_context(folder, **changes)) as server:
        yield f"https://{NAME}:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def refusing(folder: Path, *, abrupt: bool = False, **changes: Any) -> AsyncIterator[str]:
    """A server that refuses the handshake with an alert, which servers of asyncio forget to send.

    An abrupt one closes at once, so that a request on its way to it is answered with RST.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        context = server_context(folder, **changes)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection.dup() as kept:
                if abrupt:
                    kept.close()
                with connection, contextlib.suppress(OSError):
                    context.wrap_socket(connection, server_side=True).recv(1)
                while not abrupt and kept.recv(1000):
                    pass

        serving = asyncio.create_task(asyncio.to_thread(serve))
        yield f"https://{NAME}:{listening.getsockname()[1]}"
        await serving


def server_context(folder: Path, **changes: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem")
    context.load_verify_locations(folder / "certificate.pem")
    for name, value in changes.items():
        setattr(context, name, value)
    return context


@asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def deaf(scheme: str) -> AsyncIterator[str]:
    """A host whose queue of connections is full: it answers no further one, as behind a firewall that drops."""
    with socket.socket() as full, ExitStack() as callers:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        yield f"{scheme}://127.0.0.1:{full.getsockname()[1]}"


@asynccontextmanager
async def named(name: str) -> AsyncIterator[str]:
    yield f"https://{name}.example"

"""One connection a request, and no socket left behind, however the request ends."""

import asyncio
import gc
from pathlib import Path

import httpx
import pytest

from service.kit.http.one_shot import OneShotTransport
from tests.loopback import answer, peer, read_request
from tests.waiting import until


async def polite(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(answer(b"{}"))


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def sockets() -> int:
    """How many sockets this process holds."""
    targets = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            targets.append(str(link.readlink()))
        except OSError:
            continue
    return sum(target.startswith("socket:") for target in targets)


def get(url: str, **timeouts: float) -> httpx.Request:
    return httpx.Request("GET", url, extensions={"timeout": timeouts})


async def ask(transport: OneShotTransport, url: str) -> bytes:
    response = await transport.handle_async_request(get(url))
    try:
        return await response.aread()
    finally:
        await response.aclose()


async def test_every_request_has_a_connection_of_its_own_and_closes_it() -> None:
    transport = OneShotTransport()
    async with peer(polite) as server:
        bodies = [await ask(transport, server.url) for _ in range(3)]
        await until(lambda: server.closed == 3)
    assert bodies == [b"{}"] * 3
    assert server.opened == 3


async def test_an_answer_that_nobody_reads_is_closed_with_its_socket() -> None:
    transport = OneShotTransport()
    async with peer(polite) as server:
        response = await transport.handle_async_request(get(server.url))
        assert server.closed == 0
        await response.aclose()
        await until(lambda: server.closed == 1)


async def test_a_failed_request_closes_its_socket() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"this is not HTTP\r\n\r\n")

    async with peer(rude) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(OneShotTransport(), server.url)
        await until(lambda: server.closed == 1)


async def test_a_read_that_takes_too_long_closes_its_socket() -> None:
    async with peer(silent) as server:
        with pytest.raises(httpx.ReadTimeout):
            await OneShotTransport().handle_async_request(get(server.url, read=0.05))
        await until(lambda: server.closed == 1)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_cancelling_at_any_step_leaves_no_socket(scheme: str) -> None:
    transport = OneShotTransport()
    async with peer(silent) as server:
        before = sockets()
        for steps in range(25):
            request = get(f"{scheme}://127.0.0.1:{server.port}")
            task = asyncio.ensure_future(transport.handle_async_request(request))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        gc.collect()
        await until(lambda: server.closed == server.opened)
        await until(lambda: sockets() <= before)
    assert server.opened > 0


async def test_cancelling_a_tls_handshake_closes_its_socket() -> None:
    async with peer(silent) as server:
        url = f"https://127.0.0.1:{server.port}"
        task = asyncio.ensure_future(OneShotTransport().handle_async_request(get(url)))
        await until(lambda: server.opened == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.closed == 1)


async def test_cancelling_in_the_middle_of_a_body_closes_its_socket() -> None:
    async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")

    async with peer(stalling) as server:
        task = asyncio.ensure_future(ask(OneShotTransport(), server.url))
        await until(lambda: server.opened == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.closed == 1)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "//127.0.0.1/x", "http:///x"])
async def test_only_http_addresses_with_a_host_are_asked(url: str) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        await OneShotTransport().handle_async_request(httpx.Request("GET", url))

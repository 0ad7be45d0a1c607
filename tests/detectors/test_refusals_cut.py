"""A vendor's refusal counts by its status, whatever becomes of its body."""

import asyncio

import pytest

from tests.detectors.test_exchange import exchange
from tests.loopback import peer, read_request


@pytest.mark.parametrize("status", [400, 401, 402, 404, 413, 429, 500, 503])
@pytest.mark.parametrize(
    "rest",
    [
        b'content-length: 999\r\n\r\n{"error":',
        b'transfer-encoding: chunked\r\n\r\n9\r\n{"error":\r\nno length\r\n',
        b'transfer-encoding: chunked\r\n\r\n9\r\n{"error":\r\n',
    ],
)
@pytest.mark.parametrize("hang_up", [True, False])
async def test_a_refusal_is_one_although_its_body_breaks_off_or_never_ends(
    monkeypatch: pytest.MonkeyPatch, status: int, rest: bytes, hang_up: bool
) -> None:
    monkeypatch.setattr("service.detectors.exchange._REFUSAL_SECONDS", 0.2)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 %d No\r\nretry-after: 9\r\n" % status + rest)
        if hang_up:
            await writer.drain()
            writer.close()

    async with peer(refuse) as server, asyncio.timeout(2):
        answered = await exchange().send("POST", server.url, json={"a": 1})
    assert (answered.status, answered.headers["retry-after"], answered.body) == (status, "9", b'{"error":')


async def test_an_endless_refusal_is_cut() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 429 Slow Down\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with peer(refuse) as server, asyncio.timeout(2):
        answered = await exchange(cap=1000).send("GET", server.url)
    assert (answered.status, answered.body) == (429, b"x" * 1000)

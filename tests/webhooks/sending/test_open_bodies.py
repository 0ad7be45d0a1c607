"""What the status line said is neither lost to what follows it nor delayed by it, over real sockets."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from service.kit.db.database import Database
from service.kit.http.head_first import start_of_body
from tests.loopback import answer, peer, read_request
from tests.waiting import until
from tests.webhooks.desk import customer, desk
from tests.webhooks.rows import attempts, draft, put_endpoint, states
from tests.webhooks.sending.test_attempt import Script, answering, post

CLASSES = {200: None, 204: None, 302: "redirect", 404: "http_4xx", 410: "http_4xx", 500: "http_5xx", 503: "http_5xx"}
OPEN = b"content-length: 100000\r\nretry-after: 9\r\n\r\n"


def silent(status: int) -> Script:
    return answering(b"HTTP/1.1 %d So\r\n%b" % (status, OPEN))


def silent_in_a_chunk(status: int) -> Script:
    return answering(b"HTTP/1.1 %d So\r\ntransfer-encoding: chunked\r\nretry-after: 9\r\n\r\n5\r\nhe" % status)


def without_a_length(status: int) -> Script:
    return answering(b"HTTP/1.1 %d So\r\nretry-after: 9\r\n\r\nhe" % status)


def slow(status: int) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent(status)(reader, writer)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    return script


def endless(status: int) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 %d So\r\nretry-after: 9\r\n\r\n" % status)
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    return script


@pytest.mark.parametrize("body", [silent, silent_in_a_chunk, without_a_length, slow, endless])
async def test_the_status_counts_at_once_whatever_its_body_does(body: Callable[[int], Script]) -> None:
    async def meet(status: int) -> None:
        async with peer(body(status)) as receiver:
            started = time.monotonic()
            outcome = await post(receiver.url)
            took = time.monotonic() - started
        assert (outcome.status_code, outcome.error_class) == (status, CLASSES[status])
        assert outcome.retry_after == "9"
        assert (outcome.phases_ms["total"] or 0) < 900
        assert took < 2

    await asyncio.gather(*(meet(status) for status in CLASSES))


async def test_what_came_of_an_open_body_is_kept() -> None:
    async def kept(script: Script) -> bytes:
        async with peer(script) as receiver:
            return (await post(receiver.url)).excerpt

    found = await asyncio.gather(*(kept(make(500)) for make in (silent, silent_in_a_chunk, without_a_length, slow)))
    assert found[:3] == [b"", b"he", b"he"]
    assert found[3].startswith(b"xxxx")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 500\r\n\r\nsixteen bytes ok", b"sixteen bytes ok"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n9\r\nha", b"wholeha"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\nnot a length\r\n", b"whole"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a length\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore than announced", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK\r\n\r\nmore than announced", b"OK"),
        (b"HTTP/1.1 204 No\r\n\r\na body that may not be there", b""),
        (b"HTTP/1.1 302 No\r\ncontent-length: 3\r\n\r\nall and more", b"all"),
        (b"HTTP/1.1 103 Early\r\nlink: <a>\r\n\r\nHTTP/1.1 204 No\r\n\r\na body that may not be there", b""),
        (b"HTTP/1.1 410 Gone\n\nspoken without carriage returns", b""),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_an_answers_broken_rest_does_not_undo_its_head(said: bytes, kept: bytes, whole: bool) -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for at in range(0, len(said), 7):
            writer.write(said[at : at + 7])
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.close()

    status = int(said.rpartition(b"HTTP/1.1 ")[2][:3])
    async with peer(answering(said, hang_up=True) if whole else in_pieces) as receiver:
        outcome = await post(receiver.url)
    assert outcome.status_code == status
    assert outcome.error_class == CLASSES[status]
    assert outcome.excerpt.startswith(kept)


async def test_the_next_event_does_not_wait_for_the_body_of_the_answer_before(database: Database) -> None:
    def answers(n: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf" if n < 3 else answer(b"")

    async with customer(answers) as receiver, desk(database, local_deliverer=True) as sender:
        put_endpoint(database, url=receiver.url)
        for _ in range(3):
            started = time.monotonic()
            await sender.tell(draft())
            await until(lambda: states(database)[-1] == "succeeded")
            assert time.monotonic() - started < 3
        assert len(receiver.got) == 3
    assert states(database) == ["succeeded"] * 3
    assert [each.response_excerpt for each in attempts(database)].count(b"half") == 2


async def test_what_was_taken_stays_taken_when_the_process_ends_before_the_body_does(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = asyncio.Event()

    def watched(response: aiohttp.ClientResponse, *how: Any) -> Awaitable[bytes]:
        listening.set()
        return start_of_body(response, *how)

    monkeypatch.setattr("service.webhooks.sending.attempt.start_of_body", watched)
    async with customer(lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf") as receiver:
        put_endpoint(database, url=receiver.url)
        async with desk(database, local_deliverer=True) as sender:
            await sender.tell(draft())
            await listening.wait()
            await sender.deliverer.drain(0)
            assert sender.deliverer.counts == {"succeeded": 1}
    assert states(database) == ["succeeded"]

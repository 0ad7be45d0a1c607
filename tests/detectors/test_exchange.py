"""Whether a failed request left: one test for each way it can fail, with real sockets."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import anyio
import httpx
import pytest

from service.detectors.exchange import Exchange, Failure, NotSent, OutcomeUnknown, VendorError
from tests.loopback import answer, peer, read_request
from tests.waiting import until

KEY = "asc_very_secret_key"
NOW = datetime(2026, 4, 1, tzinfo=UTC)


def exchange(timeout_seconds: float = 10, *, connect_seconds: float = 5, cap: int = 1000) -> Exchange:
    return Exchange(
        timeout_seconds=timeout_seconds,
        connect_seconds=connect_seconds,
        max_body_bytes=cap,
        clock=lambda: NOW,
    )


async def fails(url: str, talk: Exchange | None = None) -> VendorError:
    """The error of a submission to `url`; it never shows the key."""
    with pytest.raises(VendorError) as caught:
        await (talk or exchange()).send("POST", url, headers={"x-api-key": KEY}, json={"a": 1})
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in repr(error) + str(error)
        error = error.__cause__ or error.__context__
    return caught.value


def assert_not_sent(error: VendorError, failure: Failure) -> None:
    assert type(error) is NotSent
    assert (error.failure, error.blame, error.retryable) == (failure, "vendor", True)


def assert_unknown(error: VendorError, failure: Failure) -> None:
    assert type(error) is OutcomeUnknown
    assert (error.failure, error.blame, error.retryable) == (failure, "vendor", False)


async def test_a_refused_connection_sent_nothing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert_not_sent(await fails(f"http://127.0.0.1:{port}"), Failure.REFUSED)


async def test_a_name_without_an_address_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    assert_not_sent(await fails("http://vendor.invalid"), Failure.NO_SUCH_HOST)


async def test_a_peer_without_tls_was_sent_nothing() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with peer(plain) as server:
        assert_not_sent(await fails(f"https://127.0.0.1:{server.port}"), Failure.TLS)


async def test_a_handshake_that_is_hung_up_on_sent_nothing() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with peer(hang_up) as server:
        assert_not_sent(await fails(f"https://127.0.0.1:{server.port}"), Failure.TLS)


async def never(*_: object, **__: object) -> object:
    return await asyncio.get_running_loop().create_future()


async def test_a_connection_that_takes_too_long_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anyio, "connect_tcp", never)
    error = await fails("http://127.0.0.1:9", exchange(connect_seconds=0.05))
    assert_not_sent(error, Failure.CONNECT_TIMEOUT)


async def test_a_total_timeout_before_the_connection_stands_sent_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(anyio, "connect_tcp", never)
    assert_not_sent(await fails("http://127.0.0.1:9", exchange(0.05)), Failure.CONNECT_TIMEOUT)


async def test_a_total_timeout_during_the_handshake_sent_nothing() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer(silent) as server:
        error = await fails(f"https://127.0.0.1:{server.port}", exchange(0.2))
        assert_not_sent(error, Failure.CONNECT_TIMEOUT)
        await until(lambda: server.closed == 1)


@pytest.mark.parametrize("url", ["http://[::", "ftp://vendor.invalid", "http://"])
async def test_an_address_that_cannot_be_asked_sent_nothing(url: str) -> None:
    assert_not_sent(await fails(url), Failure.BAD_REQUEST)


@pytest.mark.parametrize("key", ["line\nbreak-secret", "nul\x00secret", "schlüssel-secret"])
async def test_a_key_that_no_header_can_carry_sent_nothing_and_is_not_shown(key: str) -> None:
    async with peer(lambda *_: asyncio.sleep(0)) as server:
        with pytest.raises(NotSent) as caught:
            await exchange().send("GET", server.url, headers={"x-api-key": key})
    assert caught.value.failure is Failure.BAD_REQUEST
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_a_connection_dropped_after_the_request_was_read_is_of_unknown_outcome() -> None:
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.close()

    async with peer(drop) as server:
        assert_unknown(await fails(server.url), Failure.DROPPED)


async def test_a_connection_reset_after_the_request_was_read_is_of_unknown_outcome() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        own: socket.socket = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with peer(reset) as server:
        assert_unknown(await fails(server.url), Failure.RESET)


async def test_a_timeout_after_sending_is_of_unknown_outcome_and_closes_the_socket() -> None:
    async def slow(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()

    async with peer(slow) as server:
        assert_unknown(await fails(server.url, exchange(0.2)), Failure.TIMEOUT)
        await until(lambda: server.closed == 1)


async def test_an_answer_that_breaks_off_in_its_body_is_of_unknown_outcome() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"task_id"')
        writer.close()

    async with peer(half) as server:
        assert_unknown(await fails(server.url), Failure.DROPPED)


async def test_an_answer_that_stalls_in_its_body_is_of_unknown_outcome() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")

    async with peer(stall) as server:
        assert_unknown(await fails(server.url, exchange(0.2)), Failure.TIMEOUT)
        await until(lambda: server.closed == 1)


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", Failure.UNREADABLE),
        (answer(b"no gzip", headers="content-encoding: gzip\r\n"), Failure.UNREADABLE),
        (answer(b"x" * 1001), Failure.OVERSIZED),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, Failure.OVERSIZED),
    ],
)
async def test_an_unreadable_answer_is_of_unknown_outcome(reply: bytes, failure: Failure) -> None:
    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply)

    async with peer(give) as server:
        assert_unknown(await fails(server.url), failure)
        await until(lambda: server.closed == 1)


async def test_a_transport_that_says_nothing_of_its_progress_is_not_trusted_to_have_sent_nothing() -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("?")

    talk = Exchange(timeout_seconds=1, transport=httpx.MockTransport(broken))
    assert_unknown(await fails("http://vendor.invalid", talk), Failure.DROPPED)


async def test_a_whole_answer_comes_back_as_it_is_whatever_its_status() -> None:
    body = b'{"error":"unauthorized"}'

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer(body, status="503 Busy", headers="Retry-After: 7\r\nX-Y: 1\r\n"))

    async with peer(refuse) as server:
        raw = await exchange(cap=len(body)).send("GET", server.url)
    assert (raw.status, raw.body, raw.received_at) == (503, body, NOW)
    assert raw.headers["retry-after"] == "7"
    assert raw.headers["x-y"] == "1"


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer(b"", status="307 Elsewhere", headers="location: /other\r\n"))

    async with peer(redirect) as server:
        raw = await exchange().send("POST", server.url, json={})
    assert raw.status == 307
    assert server.opened == 1


async def test_a_redirect_to_nowhere_is_an_answer_with_all_its_headers() -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer(b"moved", status="302 Elsewhere", headers="location: http://[::\r\nx-y: 1\r\n"))

    async with peer(redirect) as server:
        raw = await exchange().send("GET", server.url)
    assert (raw.status, raw.body, raw.headers["location"], raw.headers["x-y"]) == (302, b"moved", "http://[::", "1")


async def test_nothing_is_sent_but_what_the_adapter_gave() -> None:
    seen: list[dict[str, str]] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await read_request(reader))[1])
        writer.write(answer(b"{}"))

    async with peer(note) as server:
        await exchange().send("GET", server.url.replace("//", "//user:password@"), headers={"x-api-key": "k"})
    assert [sorted(headers) for headers in seen] == [["accept", "accept-encoding", "host", "x-api-key"]]


async def test_no_cookie_of_one_answer_comes_back_with_the_next_request() -> None:
    seen: list[dict[str, str]] = []

    async def bake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await read_request(reader))[1])
        writer.write(answer(b"{}", headers="set-cookie: a=b\r\n"))

    talk = exchange()
    async with peer(bake) as server:
        for _ in range(2):
            await talk.send("GET", server.url)
    await talk.aclose()
    assert [("cookie" in headers) for headers in seen] == [False, False]


async def test_parameters_join_those_of_the_address() -> None:
    lines: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await read_request(reader))[0])
        writer.write(answer(b"{}"))

    async with peer(note) as server:
        url = f"{server.url}/v1?plan=pro&action=analyze"
        await exchange().send("GET", url, params={"action": "job", "id": "a&b"})
    assert lines == ["GET /v1?plan=pro&action=job&id=a%26b HTTP/1.1"]


class Media:
    """A file in two chunks that remembers whether it was put back."""

    def __init__(self, chunk_bytes: int = 2) -> None:
        self.closed = False
        self.chunks = [b"a" * chunk_bytes, b"b" * chunk_bytes]
        self.content = self.read()  # held here, so that no garbage collection closes it

    async def read(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self.chunks:
                yield chunk
        finally:
            self.closed = True


async def upload(url: str, length: int, media: Media) -> object:
    return await exchange().upload(
        url, field="file", file_name="a.mp3", media_type="audio/mpeg", length=length, content=media.content
    )


async def test_an_upload_announces_its_length_and_carries_the_file() -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, headers, body = await read_request(reader)
        seen.append((headers, body))
        writer.write(answer(b"{}"))

    media = Media()
    async with peer(take) as server:
        await upload(server.url, 4, media)
    headers, body = seen[0]
    assert "transfer-encoding" not in headers
    assert headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b"\r\n\r\naabb\r\n--" in body
    assert media.closed


@pytest.mark.parametrize(("length", "chunk_bytes"), [(3, 2), (5, 2), (9999, 2), (1, 1000)])
async def test_an_upload_of_another_length_than_announced_fails_and_puts_the_file_back(
    length: int, chunk_bytes: int
) -> None:
    media = Media(chunk_bytes)

    async def swallow(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer(swallow) as server:
        with pytest.raises(OutcomeUnknown) as caught:
            await upload(server.url, length, media)
        await until(lambda: server.closed == 1)
    assert caught.value.failure is Failure.BAD_REQUEST
    assert media.closed


async def test_an_early_refusal_of_an_upload_is_an_answer() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"{}", status="413 Too Large"))

    async with peer(refuse) as server:
        raw = await exchange().upload(
            server.url,
            field="file",
            file_name="a.mp3",
            media_type="audio/mpeg",
            length=4,
            content=Media().content,
        )
    assert raw.status == 413

"""What is known when Modulate's stream fails on the wire: an answer, nothing sent, or an unknown outcome."""

import asyncio
import base64
import hashlib
import json
import re
import socket
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest

from service.cli.http.serving import free_socket
from service.detectors.enums import ReasonCode
from service.detectors.exchange import Failure, NotSent, OutcomeUnknown
from service.detectors.port import Refused
from tests.loopback import Script, answer, peer
from tests.vendors.modulate_stream import WINDOW, Stream, ask, stream_server, streaming
from tests.waiting import until


async def forever() -> AsyncIterator[bytes]:
    """Audio of which nothing ever comes."""
    await asyncio.Event().wait()
    yield b""


def refusing(status: str, body: object, headers: str = "") -> Script:
    """A peer that answers the handshake with plain HTTP."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        typed = f"content-type: application/json\r\n{headers}"
        writer.write(answer(json.dumps(body).encode(), status=status, headers=typed))

    return handle


def open_socket(*, then_read: int) -> Script:
    """A peer that opens the WebSocket, reads so many bytes, and is gone without a word."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = re.findall(r"(?i)sec-websocket-key: (\S+)", head)[0]
        # RFC 6455 §4.2.2
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()  # noqa: S324 - the RFC's
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        await reader.readexactly(then_read)
        writer.close()

    return handle


@pytest.mark.parametrize(
    ("status", "detail", "reason_code", "wait"),
    [
        ("401 Unauthorized", "Invalid API key.", ReasonCode.AUTH_FAILED, None),
        ("403 Forbidden", "Monthly limit reached.", ReasonCode.QUOTA_EXCEEDED, None),
        ("429 Too Many Requests", "Concurrency limit.", ReasonCode.RATE_LIMITED, 33),
        ("503 Service Unavailable", "Overloaded.", ReasonCode.VENDOR_ERROR, 33),
    ],
)
async def test_an_http_refusal_of_the_handshake_is_an_answer(
    status: str, detail: str, reason_code: ReasonCode, wait: int | None
) -> None:
    async with peer(refusing(status, {"detail": detail}, "retry-after: 33\r\n")) as listening:
        vendor = streaming(listening.url)
        found = await vendor.submit(ask(media=forever))
    assert (found.status, json.loads(found.body)) == (int(status[:3]), {"detail": detail})
    refused = vendor.parse_submit(found)
    assert isinstance(refused, Refused)
    assert (refused.reason_code, refused.reason_text, refused.retry_after_seconds) == (reason_code, detail, wait)


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    async with peer(refusing("200 OK", {})) as elsewhere:
        moved = f"location: {elsewhere.url}/x\r\n"
        async with peer(refusing("307 Temporary Redirect", {}, moved)) as listening:
            vendor = streaming(listening.url)
            found = await vendor.submit(ask(b"x"))
        assert elsewhere.opened == 0
    assert (found.status, dict(found.headers)) == (307, {"content-type": "application/json"})
    assert isinstance(vendor.parse_submit(found), Refused)


@pytest.mark.parametrize("status", ["200 OK", "101 Switching Protocols"])
async def test_what_is_no_websocket_was_sent_no_audio(status: str) -> None:
    async with peer(refusing(status, {"primary_verdict": "not-ai-music"})) as listening:
        with pytest.raises(NotSent) as raised:
            await streaming(listening.url).submit(ask(b"x"))
    assert raised.value.failure is Failure.UNREADABLE


async def test_nobody_there_means_not_sent() -> None:
    bound = free_socket()
    port = bound.getsockname()[1]
    bound.close()
    with pytest.raises(NotSent) as raised:
        await streaming(f"http://127.0.0.1:{port}").submit(ask(b"x"))
    assert raised.value.failure is Failure.REFUSED


async def test_a_name_that_is_not_known_means_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any, **__: Any) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(NotSent) as raised:
        await streaming("http://vendor.example").submit(ask(b"x"))
    assert raised.value.failure is Failure.NO_SUCH_HOST


async def test_a_peer_that_speaks_no_tls_is_sent_nothing() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")

    async with peer(plain) as listening:
        with pytest.raises(NotSent) as raised:
            await streaming(listening.url.replace("http:", "https:")).submit(ask(b"x"))
    assert raised.value.failure is Failure.TLS


@pytest.mark.parametrize("base", ["", "modulate", "ftp://127.0.0.1", "http://", "http://[::1", "http://h:99999"])
async def test_an_address_that_is_none_means_not_sent(base: str) -> None:
    with pytest.raises(NotSent) as raised:
        await streaming(base).submit(ask(b"x"))
    assert raised.value.failure is Failure.BAD_REQUEST


async def test_silence_at_the_handshake_means_not_sent_and_after_audio_an_unknown_outcome() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer(silent) as listening:
        with pytest.raises(NotSent) as raised:
            await streaming(listening.url, timeout_seconds=0.3).submit(ask(b"x"))
        assert raised.value.failure is Failure.CONNECT_TIMEOUT

    async def listen(stream: Stream) -> None:
        await stream.to_the_end()
        await stream.socket.receive()

    async with stream_server(listen) as server:
        with pytest.raises(OutcomeUnknown) as lost:
            await streaming(server.url, timeout_seconds=0.5).submit(ask(b"x"))
    assert lost.value.failure is Failure.TIMEOUT


async def test_a_connection_that_goes_before_audio_means_not_sent() -> None:
    async with peer(open_socket(then_read=0)) as listening:
        with pytest.raises(NotSent) as raised:
            await streaming(listening.url).submit(ask(media=forever))
    assert raised.value.failure is Failure.DROPPED


async def test_a_connection_that_goes_after_audio_began_is_of_unknown_outcome() -> None:
    async with peer(open_socket(then_read=100)) as listening:
        with pytest.raises(OutcomeUnknown):
            await streaming(listening.url).submit(ask(b"x" * 1000))


async def test_audio_that_cannot_be_read_is_our_own_fault_and_ends_nothing_as_if_it_were_whole() -> None:
    frames: list[object] = []

    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise FileNotFoundError("the audio is gone")

    async def listen(stream: Stream) -> None:
        while (message := await stream.socket.receive())["type"] != "websocket.disconnect":
            frames.append(message.get("text"))

    async with stream_server(listen) as server:
        with pytest.raises(FileNotFoundError):
            await streaming(server.url).submit(ask(media=broken))
        await until(lambda: server.streams[0].socket.client_state.name == "DISCONNECTED")
    assert "" not in frames


async def test_a_stream_that_is_cancelled_closes_its_socket_and_its_audio() -> None:
    closed = asyncio.Event()

    async def media() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def listen(stream: Stream) -> None:
        await stream.frame()
        await stream.say(WINDOW)
        await stream.socket.receive()

    async with stream_server(listen) as server:
        submitted = asyncio.create_task(streaming(server.url).submit(ask(media=media)))
        await until(lambda: server.streams and server.streams[0].audio)
        submitted.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitted
        assert closed.is_set()
        await until(lambda: server.streams[0].socket.client_state.name == "DISCONNECTED")

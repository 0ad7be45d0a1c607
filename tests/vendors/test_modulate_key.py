"""Modulate's key stands in the stream's address: it is in no log, no error, no reason and no stored answer."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Self
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from service.detectors.exchange import VendorError
from service.detectors.port import Raw
from service.detectors.reading import Reading
from service.vendors.modulate import Modulate
from tests.loopback import peer
from tests.vendors.modulate_stream import WINDOW, Stream, ask, stream_server, streaming
from tests.vendors.test_modulate_wire import open_socket, refusing

KEY = "quetzal+key/cotinga=never shown"
FORMS = ["quetzal", "cotinga"]  # however the rest is escaped; digits would be found in a port

Somebody = Callable[[], AbstractAsyncContextManager[object]]


async def _silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _echo(stream: Stream) -> None:
    """The peer says back whatever it was sent, as text and in the address, then ends without a verdict."""
    address = str(stream.socket.url)
    await stream.frame()
    await stream.say(WINDOW | {"seen": address}, {"type": "odd", "key": KEY, "url": quote(address)})
    await stream.say({"type": "error", "error": f"bad key {KEY} in {address}"})
    await stream.socket.close(4001, "bad key")


async def _leave(stream: Stream) -> None:
    await stream.to_the_end()
    await stream.socket.close(1001)


def _echoing_refusal() -> AbstractAsyncContextManager[object]:
    moved = f"location: http://127.0.0.1:1/?api_key={quote(KEY, safe='')}\r\n"
    return peer(refusing("401 Unauthorized", {"detail": f"bad key {KEY}, or {quote(KEY, safe='')}"}, moved))


class _Nobody:
    """An address at which nobody can be."""

    url = "http://127.0.0.1:1"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class _Unreadable(_Nobody):
    url = "http://[::1"


class _NotHttp(_Nobody):
    url = "ftp://127.0.0.1"


PATHS: dict[str, Somebody] = {
    "nobody there": _Nobody,
    "unreadable address": _Unreadable,
    "another scheme": _NotHttp,
    "no answer to the handshake": lambda: peer(_silence),
    "refused and repeated": _echoing_refusal,
    "redirected": lambda: peer(refusing("307 Temporary Redirect", {}, "location: http://127.0.0.1:1/\r\n")),
    "no websocket": lambda: peer(refusing("200 OK", {})),
    "a bad handshake": lambda: peer(refusing("101 Switching Protocols", {})),
    "dropped": lambda: peer(open_socket(then_read=20)),
    "repeated and closed": lambda: stream_server(_echo),
    "closed without a verdict": lambda: stream_server(_leave),
}


def _chain(error: BaseException | None) -> list[BaseException]:
    """The error and all that hangs on to it."""
    if error is None:
        return []
    return [error, *_chain(error.__cause__), *_chain(error.__context__)]


async def _outcome(talk: Awaitable[Raw], vendor: Modulate) -> list[str]:
    """All that is left of a stream: answer and meaning, or every error with its trace."""
    try:
        found = await talk
    except (VendorError, OSError, asyncio.CancelledError) as error:
        errors = _chain(error)
        return ["".join(traceback.format_exception(error)), *map(repr, errors), *(repr(each.args) for each in errors)]
    return [repr(found), repr(vendor.parse_submit(found)), repr(vendor.read(found, "modulate/streaming"))]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cancelled", [False, True])
async def test_the_key_shows_itself_nowhere(path: str, cancelled: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Also not where a debugging loop reports what was left open, and not to a listener that fails."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    told: list[str] = []

    async def on_partial(raw: Raw, reading: Reading) -> None:
        told.append(repr((raw, reading)))
        raise OSError("the listener fails")

    async def media() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1000

    try:
        with capture_logs() as logs:
            async with PATHS[path]() as server:
                vendor = streaming(getattr(server, "url"), key=KEY, timeout_seconds=0.5)  # noqa: B009 - of any kind
                talk = asyncio.create_task(vendor.submit(ask(media=media, on_partial=on_partial)))
                if cancelled:
                    await asyncio.sleep(0)
                    loop.call_later(0.02, talk.cancel)
                left = await _outcome(talk, vendor)
    finally:
        loop.set_debug(False)
    said = "\n".join([*left, *told, repr(logs), *(f"{each.name} {each.getMessage()}" for each in _ours(caplog))])
    assert left
    assert [form for form in FORMS if form in said] == []
    assert KEY not in repr(vendor)


def _ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was logged on our side of the wire; the test's own server writes down what it was asked."""
    return [each for each in caplog.records if not each.name.startswith(("uvicorn", "websockets"))]


async def test_the_canary_would_sing() -> None:
    """The same look finds the key where it may be: in the request, as the vendor sees it."""
    async with stream_server(_echo) as server:
        vendor = streaming(server.url, key=KEY)
        await vendor.submit(ask(b"x"))
    [stream] = server.streams
    assert stream.socket.query_params["api_key"] == KEY
    assert [form for form in FORMS if form in str(stream.socket.url)] == FORMS

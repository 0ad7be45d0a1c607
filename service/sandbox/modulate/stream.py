"""The twin of Modulate's stream: windows while audio arrives, the summary after the empty text, then the close.

Written from docs.modulate.ai, "AI Music Detection", and the stream's specification. Nothing is decoded: how much time
has passed in the music is told from the bytes. Silent there, so our choice: a text that is not empty (1003), no audio
at all (4002), a handshake in an outage (503).
`sample_rate` with a container is ignored: the pages say both that it is and that it must not be.
One liberty: `sandbox_name` in the query, which no document has. A stream has no file name to carry the words.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.kit.clock import Clock
from service.sandbox.bodies import bytes_per_second
from service.sandbox.counters import CallCounter, Concurrency
from service.sandbox.faults import garbled, leaves, reset
from service.sandbox.modulate.answers import (
    BROKEN,
    BUSY,
    CREDITS,
    NOT_PERMITTED,
    UNREADABLE,
    WINDOW_MS,
    Window,
    done_message,
    window_at,
    window_message,
)
from service.sandbox.script import Obstacle, Script
from service.sandbox.settings import SandboxSettings

CONTAINERS: Final = frozenset({"wav", "mp3", "ogg", "flac", "webm", "aac", "aiff"})
_WIDTHS: Final = {"s8": 1, "u8": 1, "mulaw": 1, "alaw": 1} | {
    f"{kind}{bits}{order}": bits // 8
    for kind, sizes in {"s": (16, 24, 32), "u": (16, 24, 32), "f": (32, 64)}.items()
    for bits in sizes
    for order in ("le", "be")
}
_RATES: Final = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000)
_CHANNELS: Final = range(1, 9)
_MAGIC: Final = {"wav": b"RIFF", "flac": b"fLaC", "ogg": b"OggS"}
_EXAMPLE: Final = "audio_format=s16le&sample_rate=16000&num_channels=1"
_HEAD_BYTES: Final = 4_096
_THROTTLED: Final = frozenset({Obstacle.THROTTLED, Obstacle.THROTTLED_BRIEFLY})
_MISMATCH: Final = "Audio data does not match the declared audio_format."


class StreamError(Exception):
    """What ends a stream before its time: the text of the `error` message, then this close code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Layout:
    """The form of the audio."""

    audio_format: str
    raw_bytes_per_second: int | None = None

    def rate(self, head: bytes) -> float:
        """Return the bytes in a second: exact for raw audio and WAV, a guess for the rest."""
        return self.raw_bytes_per_second or bytes_per_second(head, self.audio_format)

    def fits(self, head: bytes) -> bool:
        """Return False if these first bytes cannot be of this form; for some forms that does not show."""
        magic = _MAGIC.get(self.audio_format, b"")
        return head[: len(magic)] == magic[: len(head)]


def _check_key(settings: SandboxSettings, query: Mapping[str, str]) -> None:
    """Raise StreamError if the key is not ours."""
    if not hmac.compare_digest(query.get("api_key", "").encode(), settings.api_key.encode()):
        if settings.modulate_guides_errors:
            raise StreamError(4001, "Invalid or missing API key.")
        raise StreamError(4003, NOT_PERMITTED)


def _layout(query: Mapping[str, str]) -> Layout:
    """Return the form that the query declares. Raise StreamError 1003 for an unknown one."""
    declared, rate, channels = (query.get(name) for name in ("audio_format", "sample_rate", "num_channels"))
    if declared is None:
        if rate or channels:
            raise StreamError(1003, "sample_rate and num_channels require audio_format to be specified")
        raise StreamError(1003, f"audio_format query parameter is required. Example: {_EXAMPLE}")
    if declared in CONTAINERS:
        return Layout(declared)
    if declared not in _WIDTHS:
        valid = sorted(CONTAINERS | _WIDTHS.keys())
        raise StreamError(1003, f"Invalid audio_format='{declared}'. Valid values: {valid}")
    if rate is None or channels is None:
        raise StreamError(1003, "Raw audio formats require sample_rate and num_channels query parameters")
    return Layout(declared, _raw_rate(declared, rate, channels))


def _raw_rate(declared: str, rate: str, channels: str) -> int:
    if rate not in map(str, _RATES):
        raise StreamError(1003, f"Invalid sample_rate={rate}. Valid values: {list(_RATES)}")
    if channels not in map(str, _CHANNELS):
        raise StreamError(1003, f"Invalid num_channels={channels}. Must be between 1 and 8")
    return _WIDTHS[declared] * int(rate) * int(channels)


class ModulateStream:
    """The WebSocket as a client sees it: an ASGI application."""

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._calls = CallCounter()
        self._concurrency = Concurrency(settings.modulate_concurrent)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the stream and close it, unless the client leaves before."""
        websocket = WebSocket(scope, receive, send)
        try:
            with self._concurrency.slot(self._clock()) as free:
                await self._talk(websocket, receive, free=free)
        except StreamError as error:
            await _end(websocket, error)
        except WebSocketDisconnect:
            return

    async def _talk(self, websocket: WebSocket, receive: Receive, *, free: bool) -> None:
        query = websocket.query_params
        name = query.get("sandbox_name", "")
        try:
            form = self._admitted(query, free=free)
        except StreamError:
            await websocket.accept()
            raise
        obstacle = self._calls.obstacle(name)
        if obstacle is Obstacle.DOWN:
            await websocket.send_denial_response(JSONResponse({"detail": "Unavailable"}, status_code=503))
            return
        await websocket.accept()
        if obstacle in _THROTTLED:
            raise StreamError(4029, BUSY)
        if obstacle is Obstacle.RESET:
            await _message(websocket)
            await reset(receive)
            return
        await self._listen(websocket, Listener(Script.of(name), name, form), silent=obstacle is Obstacle.SILENCE)

    def _admitted(self, query: Mapping[str, str], *, free: bool) -> Layout:
        """Return the form of the audio. Raise StreamError for a client or a form that is not let in."""
        _check_key(self._settings, query)
        form = _layout(query)
        if self._settings.modulate_out_of_credits:
            raise StreamError(4029, CREDITS)
        if not free:
            raise StreamError(4029, BUSY)
        return form

    async def _listen(self, websocket: WebSocket, listener: "Listener", *, silent: bool) -> None:
        """Send the windows while audio comes, then the summary and the close."""
        while (chunk := await _message(websocket)) is not None:
            for window in listener.take(chunk):
                await websocket.send_json(window_message(self._settings, window))
        if listener.duration_ms < 1:
            raise StreamError(4002, UNREADABLE)
        for window in listener.rest() if self._settings.modulate_last_window else ():
            await websocket.send_json(window_message(self._settings, window))
            listener.sent.append(window)
        latency_seconds = listener.script.done_after_seconds(self._settings.latency_seconds)
        if await leaves(websocket.receive, self._settings.silence_seconds if silent else latency_seconds):
            return
        if listener.script.fails:
            raise StreamError(1011, BROKEN)
        await websocket.send_text(self._summary(listener))
        await websocket.close(1000)

    def _summary(self, listener: "Listener") -> str:
        """Return the last message; unreadable where the script wants it."""
        sent = listener.sent
        whole = [*sent, *listener.rest()]
        body = done_message(
            self._settings, listener.script, whole, sent=len(sent), duration_ms=round(listener.duration_ms)
        )
        if not listener.script.garbled:
            return json.dumps(body)
        ways = garbled(body)
        return ways[self._calls.count(f"garbage/{listener.name}") % len(ways)][1].decode()


class Listener:
    """One stream's audio, as far as it has come."""

    def __init__(self, script: Script, name: str, form: Layout) -> None:
        self.script = script
        self.name = name
        self.sent: list[Window] = []
        self._form = form
        self._head = b""
        self._size = 0

    @property
    def duration_ms(self) -> float:
        """The duration of the audio received so far."""
        return 1000 * self._size / self._form.rate(self._head)

    def take(self, chunk: bytes) -> list[Window]:
        """Return the windows that this chunk completes. Raise StreamError for audio that cannot be decoded."""
        self._head += chunk[: _HEAD_BYTES - len(self._head)]
        self._size += len(chunk)
        if not self._form.fits(self._head):
            raise StreamError(4002, _MISMATCH)
        if self.script.is_undecodable:
            raise StreamError(4002, UNREADABLE)
        first, whole = len(self.sent), int(self.duration_ms // WINDOW_MS)
        fresh = [self._window(index, (index + 1) * WINDOW_MS) for index in range(first, whole)]
        self.sent += fresh
        return fresh

    def rest(self) -> list[Window]:
        """Return the short window at the end, if there is one that was not sent yet."""
        end_ms = round(self.duration_ms)
        if end_ms <= len(self.sent) * WINDOW_MS:
            return []
        return [self._window(len(self.sent), end_ms)]

    def _window(self, index: int, end_ms: int) -> Window:
        return window_at(self.script, self.name, index, end_ms)


async def _message(websocket: WebSocket) -> bytes | None:
    """Return the next bytes; None for the empty text that ends the audio.

    Raise StreamError for another text and WebSocketDisconnect if the client is gone.
    """
    message: Mapping[str, Any] = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    data, text = message.get("bytes"), message.get("text")
    if isinstance(data, bytes):
        return data
    if text:
        raise StreamError(1003, "Audio is sent in binary frames")
    return None


async def _end(websocket: WebSocket, error: StreamError) -> None:
    """Send the error message, then the close code."""
    try:
        await websocket.send_json({"type": "error", "error": error.text})
        await websocket.close(error.code)
    except WebSocketDisconnect:
        return

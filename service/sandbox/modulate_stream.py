"""The twin of Modulate's stream: windows while audio arrives, the summary after the empty text, then the close.

Written from docs.modulate.ai, "AI Music Detection", and the stream's specification. Nothing is decoded: how much time
has passed in the music is told from the bytes. Silent there, so our choice: a text that is not empty (1003), no audio
at all (4002), a handshake in an outage (503).
One liberty: `sandbox_name` in the query, which no document has. A stream has no file name to carry the words.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.kit.clock import Clock
from service.sandbox.load import Load
from service.sandbox.modulate_answers import BROKEN, BUSY, CREDITS, UNREADABLE, done_message, window_message
from service.sandbox.modulate_query import Layout, StreamError, check_key, layout
from service.sandbox.modulate_windows import WINDOW_MS, Window, heard
from service.sandbox.script import Obstacle, Script
from service.sandbox.settings import SandboxSettings
from service.sandbox.troubles import garbled, leaves, reset
from service.sandbox.turns import Turns

_HEAD_BYTES: Final = 4_096
_THROTTLED: Final = frozenset({Obstacle.THROTTLED, Obstacle.THROTTLED_BRIEFLY})
_MISMATCH: Final = "Audio data does not match the declared audio_format."


class ModulateStream:
    """The WebSocket as a client sees it: an ASGI application."""

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._turns = Turns()
        self._load = Load(settings.modulate_concurrent)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The client has its answer and the close, or is gone."""
        websocket = WebSocket(scope, receive, send)
        try:
            with self._load.taken(self._clock()) as borne:
                await self._talk(websocket, receive, borne=borne)
        except StreamError as error:
            await _end(websocket, error)
        except WebSocketDisconnect:
            return

    async def _talk(self, websocket: WebSocket, receive: Receive, *, borne: bool) -> None:
        query = websocket.query_params
        name = query.get("sandbox_name", "")
        try:
            form = self._admitted(query, borne=borne)
        except StreamError:
            await websocket.accept()
            raise
        obstacle = self._turns.obstacle(name)
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
        await self._listen(websocket, Listener(Script.of(name), name, form), held=obstacle is Obstacle.SILENCE)

    def _admitted(self, query: Mapping[str, str], *, borne: bool) -> Layout:
        """The form of the audio. Raises StreamError for who or what is not let in."""
        check_key(self._settings, query)
        form = layout(query)
        if self._settings.modulate_out_of_credits:
            raise StreamError(4029, CREDITS)
        if not borne:
            raise StreamError(4029, BUSY)
        return form

    async def _listen(self, websocket: WebSocket, listener: "Listener", *, held: bool) -> None:
        """All is said: the windows, the summary, the close."""
        while (chunk := await _message(websocket)) is not None:
            for window in listener.take(chunk):
                await websocket.send_json(window_message(self._settings, window))
        if listener.duration_ms < 1:
            raise StreamError(4002, UNREADABLE)
        for window in listener.rest() if self._settings.modulate_last_window else ():
            await websocket.send_json(window_message(self._settings, window))
            listener.told.append(window)
        latency_seconds = listener.script.done_after_seconds(self._settings.latency_seconds)
        if await leaves(websocket.receive, self._settings.silence_seconds if held else latency_seconds):
            return
        if listener.script.fails:
            raise StreamError(1011, BROKEN)
        await websocket.send_text(self._summary(listener))
        await websocket.close(1000)

    def _summary(self, listener: "Listener") -> str:
        """The last message; unreadable where the script wants it."""
        told = listener.told
        whole = [*told, *listener.rest()]
        body = done_message(
            self._settings, listener.script, whole, told=len(told), duration_ms=round(listener.duration_ms)
        )
        if not listener.script.garbled:
            return json.dumps(body)
        ways = garbled(body)
        return ways[self._turns.turn(f"garbage/{listener.name}") % len(ways)][1].decode()


class Listener:
    """One stream's audio, as far as it has come."""

    def __init__(self, script: Script, name: str, form: Layout) -> None:
        self.script = script
        self.name = name
        self.told: list[Window] = []
        self._form = form
        self._head = b""
        self._size = 0

    @property
    def duration_ms(self) -> float:
        """How much music has come."""
        return 1000 * self._size / self._form.rate(self._head)

    def take(self, chunk: bytes) -> list[Window]:
        """The windows that are complete now and were not before. Raises StreamError for what nobody can decode."""
        self._head += chunk[: _HEAD_BYTES - len(self._head)]
        self._size += len(chunk)
        if not self._form.fits(self._head):
            raise StreamError(4002, _MISMATCH)
        if self.script.is_undecodable:
            raise StreamError(4002, UNREADABLE)
        first, whole = len(self.told), int(self.duration_ms // WINDOW_MS)
        fresh = [self._window(index, (index + 1) * WINDOW_MS) for index in range(first, whole)]
        self.told += fresh
        return fresh

    def rest(self) -> list[Window]:
        """The short window at the end, if there is one not told yet."""
        end_ms = round(self.duration_ms)
        if end_ms <= len(self.told) * WINDOW_MS:
            return []
        return [self._window(len(self.told), end_ms)]

    def _window(self, index: int, end_ms: int) -> Window:
        return heard(self.script, self.name, index, end_ms)


async def _message(websocket: WebSocket) -> bytes | None:
    """The next bytes; None for the empty text that ends the audio.

    Raises StreamError for another text and WebSocketDisconnect if the client is gone.
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
    """The client has the error message, then the close code."""
    try:
        await websocket.send_json({"type": "error", "error": error.text})
        await websocket.close(error.code)
    except WebSocketDisconnect:
        return

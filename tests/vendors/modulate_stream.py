"""A WebSocket server on loopback that streams as a test scripts it. Written from the vendor's documents."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from service.cli.http.serving import free_socket, serving, url_of
from service.detectors.port import RunContext
from service.vendors.modulate import Modulate, ModulateSettings
from tests.vendors.contract import KEY, SAMPLES, exchange

PATH = "/api/velma-2-ai-music-detection-streaming"
MESSAGES: list[dict[str, Any]] = [
    json.loads(line) for line in (SAMPLES / "modulate" / "stream.ndjson").read_text().splitlines()
]
WINDOW, DONE = MESSAGES[0], MESSAGES[-1]


@dataclass
class Stream:
    """One connection, from the vendor's side."""

    socket: WebSocket
    audio: bytearray = field(default_factory=bytearray)

    async def frame(self) -> bytes | str:
        """The next frame that came; binary ones are kept as audio."""
        message = await self.socket.receive()
        data: bytes | str | None = message.get("bytes")
        if isinstance(data, bytes):
            self.audio += data
            return data
        return str(message["text"])

    async def to_the_end(self) -> None:
        """The empty text has come, after audio only."""
        while (frame := await self.frame()) != "":
            assert isinstance(frame, bytes), frame

    async def say(self, *messages: object) -> None:
        for message in messages:
            await self.socket.send_text(message if isinstance(message, str) else json.dumps(message))


Script = Callable[[Stream], Awaitable[None]]


@dataclass
class StreamServer:
    """Where it listens, and what came so far."""

    url: str
    streams: list[Stream] = field(default_factory=list)


@asynccontextmanager
async def stream_server(script: Script) -> AsyncIterator[StreamServer]:
    """Each connection is accepted and handed to `script`; what the script leaves open is closed with 1000."""
    bound = free_socket()
    server = StreamServer(url_of(bound))

    async def handle(socket: WebSocket) -> None:
        await socket.accept()
        stream = Stream(socket)
        server.streams.append(stream)
        await script(stream)
        if socket.application_state.name == "CONNECTED":
            await socket.close(1000)

    async with serving(Starlette(routes=[WebSocketRoute(PATH, handle)]), bound):
        yield server


def streaming(base_url: str, *, timeout_seconds: float = 30, key: str = KEY, **knobs: Any) -> Modulate:
    """The adapter, with room for a slow machine."""
    settings = ModulateSettings(api_key=key, timeout_seconds=timeout_seconds, **knobs)
    # Past the settings' own check of addresses: the adapter is to bear any.
    return Modulate(settings.model_copy(update={"base_url": base_url}), exchange(), connect_seconds=timeout_seconds)


def ask(*chunks: bytes, media: Callable[[], AsyncIterator[bytes]] | None = None, **known: Any) -> RunContext:
    """A question to the stream about an mp3 made of `chunks`, or read from `media`."""

    async def read() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    size = sum(map(len, chunks))
    return RunContext(
        "run_1", "modulate/streaming", "streaming", "run_1.mp3", size, "audio/mpeg", media or read, **known
    )

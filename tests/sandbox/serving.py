"""Real sockets for the sandbox's tests: a server thread on loopback, and an address that takes callbacks."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.kit.clock import Clock, seconds
from service.kit.system_clock import system_clock
from service.sandbox.app import Sandbox, SandboxSettings, create
from tests.loopback import listener

SETTINGS = SandboxSettings(
    secret="a made-up secret for records",
    api_key="asc_made_up_key",
    webhook_secret=lambda vendor: f"a made-up webhook secret of {vendor}",
    callback_url=lambda _: None,
    latency_seconds=0.1,
    retry_seconds=0.02,
)
DEADLINE_SECONDS = 10.0


@contextmanager
def serving(app: Starlette, close: Callable[[], Awaitable[None]] | None = None) -> Iterator[str]:
    """The base address of `app`; at the end `close` has run in the server's own event loop."""
    bound = listener()
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error"))

    async def run() -> None:
        await server.serve(sockets=[bound])
        if close is not None:
            await close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE_SECONDS)
        bound.close()


@contextmanager
def sandbox_at(settings: SandboxSettings = SETTINGS, clock: Clock = system_clock) -> Iterator[str]:
    """The base address of a sandbox of its own."""
    sandbox: Sandbox = create(settings, clock)
    with serving(sandbox.app, sandbox.aclose) as base:
        yield base


def client_of(base: str) -> httpx.Client:
    """A client that holds both twins' key."""
    headers = {"Authorization": f"Bearer {SETTINGS.api_key}", "X-API-Key": SETTINGS.api_key}
    return httpx.Client(base_url=base, headers=headers, timeout=DEADLINE_SECONDS)


def until(condition: Callable[[], bool]) -> None:
    """`condition` holds; fails the test if it does not within the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the awaited never came"
        time.sleep(0.005)


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 23, 59, 59, 999_999, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, by_seconds: float) -> None:
        self.now += seconds(by_seconds)


@dataclass(frozen=True)
class Taken:
    """One request as it arrived."""

    body: bytes
    headers: dict[str, str]
    at: float

    @property
    def json(self) -> dict[str, Any]:
        said = json.loads(self.body)
        assert isinstance(said, dict)
        return said


class Inbox:
    """Keeps what is posted to it, echoes challenges, serves audio.

    Answers with the statuses given for the body's `status` or `event`, in turn, then with 200.
    """

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.statuses: dict[str, list[int]] = {}
        self.audio = b"RIFF and so on"
        self.fetched: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/callback", self._take, methods=["POST"]),
                Route("/echo", self._echo, methods=["POST"]),
                Route("/liar", self._lie, methods=["POST"]),
                Route("/text", self._plain, methods=["POST"]),
                Route("/audio/{name}", self._serve),
            ],
        )

    def with_status(self, status: str) -> list[Taken]:
        return [one for one in self.taken if one.json.get("status") == status]

    async def _take(self, request: Request) -> Response:
        taken = Taken(await request.body(), dict(request.headers), time.time())
        self.taken.append(taken)
        statuses = self.statuses and self.statuses.get(taken.json.get("status") or taken.json["event"])
        return Response(status_code=statuses.pop(0) if statuses else 200)

    async def _echo(self, request: Request) -> Response:
        said = await request.json()
        assert said["type"] == "url_verification"
        return JSONResponse({"challenge": said["challenge"]})

    async def _lie(self, _request: Request) -> Response:
        return JSONResponse({"challenge": "something else"})

    async def _plain(self, request: Request) -> Response:
        return Response(await request.body(), media_type="text/plain")

    async def _serve(self, request: Request) -> Response:
        self.fetched.append(request.path_params["name"])
        if "missing" in request.path_params["name"]:
            return Response(status_code=404)
        return Response(self.audio, media_type="audio/mpeg")

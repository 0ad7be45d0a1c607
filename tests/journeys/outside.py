"""The world outside a deployment, in the test's own process: the vendors' twins, a forwarder, the customer's receiver.

Each can strike at a moment of the test's choosing: that is how a process of ours dies exactly there.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.kit.clock import Clock
from service.kit.system_clock import system_clock
from service.sandbox.app import SandboxSettings, create
from service.sandbox.receiver import Receiver
from tests.loopback import listener
from tests.waiting import until

API_KEY = "a made-up vendor key"
WEBHOOK_SECRET = "a made-up webhook secret"
Strike = Callable[[], Awaitable[None]]


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The application answers on a loopback port, in this event loop."""
    bound = listener()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server._serve([bound]))
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass
class Watched:
    """An application whose requests are counted, and which strikes once around a request of the test's choosing."""

    app: ASGIApp
    seen: Counter[str] = field(default_factory=Counter)
    strike: Strike | None = None
    at: Callable[[Scope], bool] = lambda _scope: False
    answer_first: bool = False
    struck: asyncio.Event = field(default_factory=asyncio.Event)

    def arm(self, at: Callable[[Scope], bool], strike: Strike, *, answer_first: bool = False) -> asyncio.Event:
        """Let it strike once more, at the next such request; the event is set as it does."""
        self.at, self.strike, self.answer_first = at, strike, answer_first
        self.struck = asyncio.Event()
        return self.struck

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The request is answered; if it is the one, lightning strikes before the answer leaves, or right after."""
        path = f"{scope['path']}?{scope.get('query_string', b'').decode()}"
        self.seen[path] += 1
        if self.strike is None or self.struck.is_set() or not self.at(scope):
            await self.app(scope, receive, send)
            return
        self.struck.set()
        if self.answer_first:
            await self.app(scope, receive, send)
            await self.strike()
            return
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await self.app(scope, receive, hold)
        await self.strike()
        for message in held:
            await send(message)


@dataclass
class Vendors:
    """AIPPIM and ASC, run by the test. `environment` is what a deployment needs to ask them live."""

    base: str
    watched: Watched
    callback_url: list[str]

    @property
    def environment(self) -> dict[str, str]:
        """Settings of a live deployment, quick enough for a test."""
        quick = {
            "FIRST_POLL_SECONDS": "3",
            "POLL_SECONDS": "1",
            "DEADLINE_SECONDS": "60",
            "TIMEOUT_SECONDS": "2",
            "RESUBMIT_AFTER_SECONDS": "1",
            "API_KEY": API_KEY,
        }
        named = {f"{vendor}_{name}": value for vendor in ("AIPPIM", "ASC") for name, value in quick.items()}
        return named | {
            "AIPPIM_BASE_URL": f"{self.base}/aippim",
            "AIPPIM_WEBHOOK_SECRETS": WEBHOOK_SECRET,
            "ASC_BASE_URL": f"{self.base}/asc/v1",
            "ASC_JOB_URL": f"{self.base}/asc/api-v1",
        }


class HeldClock:
    """Time at a vendor's. It stands still, and with it the work, until it is released."""

    def __init__(self) -> None:
        self._held_at: datetime | None = system_clock()

    def __call__(self) -> datetime:
        return self._held_at or system_clock()

    def release(self) -> None:
        """It is as late as everywhere else."""
        self._held_at = None


@asynccontextmanager
async def vendors(latency_seconds: float = 0.3, clock: Clock = system_clock) -> AsyncIterator[Vendors]:
    """Both twins answer at one address outside the deployment."""
    callback_url: list[str] = []
    twins = create(
        SandboxSettings(
            secret="a made-up secret for records",
            api_key=API_KEY,
            webhook_secret=lambda _: WEBHOOK_SECRET,
            callback_url=lambda _: callback_url[0] if callback_url else None,
            latency_seconds=latency_seconds,
            retry_seconds=0.5,
        ),
        clock,
    )
    watched = Watched(twins.app)
    async with serving(watched) as base:
        try:
            yield Vendors(base, watched, callback_url)
        finally:
            await twins.aclose()


@dataclass
class Forwarder:
    """Stands between a vendor and our callback address; can strike once it has our acknowledgement in hand."""

    strike: Strike | None = None
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledged: int = 0

    def app(self, target: Callable[[], str]) -> Starlette:
        """Forwards each POST to `target()`."""

        async def forward(request: Request) -> Response:
            headers = {
                name: value
                for name, value in request.headers.items()
                if name.startswith("x-mippia-") or name == "content-type"
            }
            async with httpx.AsyncClient() as client:
                try:
                    answer = await client.post(target(), content=await request.body(), headers=headers)
                except httpx.TransportError:
                    return Response(status_code=502)
            if answer.status_code == 200:
                self.acknowledged += 1
                if self.strike is not None and not self.struck.is_set():
                    self.struck.set()
                    await self.strike()
            return Response(answer.content, answer.status_code)

        return Starlette(routes=[Route("/{path:path}", forward, methods=["POST"])])


@dataclass
class Inbox:
    """The customer's receiver, which verifies with `standardwebhooks`."""

    receiver: Receiver
    watched: Watched
    secrets: list[str]
    url: str = ""


@asynccontextmanager
async def inbox() -> AsyncIterator[Inbox]:
    """The receiver answers at `url`."""
    secrets: list[str] = []
    receiver = Receiver(lambda: secrets[0] if secrets else None)
    watched = Watched(Starlette(routes=[Mount("/", app=receiver.app)]))
    one = Inbox(receiver, watched, secrets)
    async with serving(watched) as one.url:
        yield one

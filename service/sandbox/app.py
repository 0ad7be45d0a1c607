"""The twins under one roof, to be mounted at `/sandbox` of a web process or served alone."""

from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.routing import Mount

from service.kit.clock import Clock, system_clock
from service.sandbox.aippim import AippimTwin, passes_challenge
from service.sandbox.asc import AscTwin
from service.sandbox.callbacks import Callbacks
from service.sandbox.outgoing import Outgoing
from service.sandbox.records import Records
from service.sandbox.settings import SandboxSettings

__all__ = ["Sandbox", "SandboxSettings", "create"]


@dataclass(frozen=True)
class Sandbox:
    """The twins' application, and what its owner has to close: a mounted application gets no lifespan."""

    app: Starlette
    _callbacks: Callbacks
    _outgoing: Outgoing

    async def register_callback(self, url: str) -> bool:
        """Whether AIPPIM's dashboard would save this callback URL: it must echo a challenge."""
        return await passes_challenge(self._outgoing, url)

    async def aclose(self) -> None:
        """Callbacks still owed are dropped and connections closed."""
        await self._callbacks.aclose()
        await self._outgoing.aclose()


def create(settings: SandboxSettings, clock: Clock = system_clock) -> Sandbox:
    """The sandbox, with `/aippim/...` and `/asc/...`. It belongs to the event loop that serves it."""
    outgoing = Outgoing()
    callbacks = Callbacks(outgoing, clock, settings.retry_seconds)
    records = Records(settings.secret)
    aippim = AippimTwin(settings, clock, records, callbacks)
    asc = AscTwin(settings, clock, records, callbacks, outgoing)
    app = Starlette(
        routes=[
            Mount("/aippim", routes=aippim.routes()),
            Mount("/asc", routes=asc.routes()),
        ],
    )
    return Sandbox(app, callbacks, outgoing)

"""The one list of twins, and the application of all: mounted at `/sandbox` of a web process, or served alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route, Router

from service.kit.clock import Clock
from service.kit.system_clock import system_clock
from service.sandbox.aippim.twin import AippimTwin, passes_challenge
from service.sandbox.asc.twin import AscTwin
from service.sandbox.modulate.twin import ModulateTwin
from service.sandbox.outgoing import Callbacks, Outgoing
from service.sandbox.pex import CLIENT_ID, PexTwin
from service.sandbox.records import Records
from service.sandbox.settings import SandboxSettings
from service.sandbox.track import track_bytes
from service.sandbox.twin import TwinBase, TwinContext

__all__ = ["TWINS", "Sandbox", "SandboxSettings", "create"]


@dataclass(frozen=True, slots=True)
class ListedTwin:
    """An entry of the list. The twin is mounted at its vendor's name."""

    name: str  # as the vendor's, e.g. "asc"
    twin: Callable[[TwinContext], TwinBase]
    base: str = ""  # what a client's address has behind the mount: ASC's is /sandbox/asc/v1
    note: str = ""  # what a client of it has to know besides the key


TWINS: Sequence[ListedTwin] = (
    ListedTwin("aippim", AippimTwin),
    ListedTwin("asc", AscTwin, base="/v1"),
    ListedTwin("pex", PexTwin, note=f"client id {CLIENT_ID}"),
    ListedTwin("modulate", ModulateTwin),
)
"""Every twin there is; a vendor without one cannot be asked in test mode."""


@dataclass(frozen=True)
class Sandbox:
    """The twins' application, and what its owner has to close: a mounted application gets no lifespan."""

    app: Starlette
    _callbacks: Callbacks
    _outgoing: Outgoing

    async def register_callback(self, url: str) -> bool:
        """Return True if AIPPIM's dashboard would save this callback URL: it must echo a challenge."""
        return await passes_challenge(self._outgoing, url)

    async def aclose(self) -> None:
        """Drop the callbacks that are still planned and close the connections."""
        await self._callbacks.aclose()
        await self._outgoing.aclose()


def create(settings: SandboxSettings, clock: Clock = system_clock) -> Sandbox:
    """Return each twin under its name. They belong to the event loop that serves them."""
    outgoing = Outgoing()
    callbacks = Callbacks(outgoing, clock, settings.retry_seconds)
    context = TwinContext(settings, clock, Records(settings.secret), callbacks, outgoing)
    routes: list[BaseRoute] = [Mount(f"/{one.name}", app=_at_its_address(one.twin(context).routes())) for one in TWINS]
    routes.append(Route("/tracks/{name}", _track))
    app = Starlette(routes=routes, exception_handlers={404: _nothing_here})
    app.router.redirect_slashes = False
    return Sandbox(app, callbacks, outgoing)


async def _track(_request: Request) -> Response:
    """Answer with the same recording under every name, so that there is a source to try the sandbox's words with."""
    return Response(await run_in_threadpool(track_bytes), media_type="audio/wav")


def _at_its_address(routes: Sequence[BaseRoute]) -> Router:
    """Return them without redirects: those would lead to whatever host the request names."""
    return Router(routes, redirect_slashes=False)


async def _nothing_here(request: Request, _error: Exception) -> Response:
    """Say so in the form of RFC 9457; where only a slash is too many, say that too."""
    scope, path = request.scope, request.scope["path"]
    routes = getattr(scope.get("route"), "routes", [])  # of the mount that was reached last
    bare = {**scope, "path": path.rstrip("/")}
    fits = path.endswith("/") and any(route.matches(bare)[0] is not Match.NONE for route in routes)
    detail = "No twin answers at this address" + ("; without the slash at its end one does." if fits else ".")
    problem = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": detail, "code": "not_found"}
    return JSONResponse(problem, status_code=404, media_type="application/problem+json")

"""The HTTP server of every command: one parser with its limits, chosen in one place; and loopback ports."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from service.api.context import Context
from service.cli.http.limits import HttpLimits
from service.cli.http.protocol import RelayProtocol


def how_to_serve(protocol: type[RelayProtocol] = RelayProtocol) -> dict[str, Any]:
    """Return what uvicorn is told at every door. What is installed decides nothing."""
    return {
        "http": protocol,
        "ws": "websockets-sansio",
        "backlog": protocol.limits.backlog,
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,  # TRUSTED_PROXY_HOPS says which to believe, not the peer's being on loopback
    }


def within(limits: HttpLimits) -> type[RelayProtocol]:
    """Return the protocol with limits of its own."""
    return type("RelayProtocol", (RelayProtocol,), {"limits": limits})


def free_socket(port: int = 0) -> socket.socket:
    """Return a socket bound to loopback; port 0 lets the system choose."""
    # Named as TCP: else asyncio leaves Nagle's algorithm on, which costs 40 ms an answer.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def url_of(bound: socket.socket) -> str:
    """Return the URL of the socket."""
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


class _Quiet(uvicorn.Server):
    """A server that leaves signals to the command it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the server. Notify its streams first, because it waits for them."""
        app = self.config.app
        context = getattr(app.state, "context", None) if isinstance(app, Starlette) else None
        if isinstance(context, Context):
            context.shutdown.begin()
        await super().shutdown(sockets)


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, bound: socket.socket, protocol: type[RelayProtocol] = RelayProtocol
) -> AsyncIterator[None]:
    """Serve the application at the socket for as long as the context lasts."""
    # What is a backlog to uvicorn is to asyncio also how many it lets in before it looks at one of them.
    told = how_to_serve(protocol) | {"backlog": protocol.limits.at_once}
    server = _Quiet(uvicorn.Config(app, timeout_graceful_shutdown=3, **told))
    task = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the server ended before it had started")
        await asyncio.sleep(0.01)
    bound.listen(protocol.limits.backlog)
    try:
        yield
    finally:
        server.should_exit = True
        await task

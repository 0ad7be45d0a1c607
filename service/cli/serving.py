"""Serving applications inside a command, on loopback ports the system chooses."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from service.api.context import Context


def free_socket(port: int = 0) -> socket.socket:
    """A listening socket on loopback; port 0 lets the system choose."""
    # Named as TCP: else asyncio leaves Nagle's algorithm on, which costs 40 ms an answer.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def url_of(bound: socket.socket) -> str:
    """The address at which the socket can be reached."""
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


class _Quiet(uvicorn.Server):
    """A server that leaves signals to the command it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """The server has ended; its streams were told first, for it waits for them."""
        app = self.config.app
        context = getattr(app.state, "context", None) if isinstance(app, Starlette) else None
        if isinstance(context, Context):
            context.closing.begin()
        await super().shutdown(sockets)


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, bound: socket.socket) -> AsyncIterator[None]:
    """The application answers at the socket while inside."""
    server = _Quiet(
        uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False, timeout_graceful_shutdown=3)
    )
    task = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the server ended before it had started")
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task

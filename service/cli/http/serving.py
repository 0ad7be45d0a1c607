"""The HTTP server of every command: one protocol with its limits, chosen in one place; and loopback ports.

Whatever a stranger can hold is bounded: a head and a body in time, an answer that is not taken, a request that was
answered before it had ended, and the number of connections. At that number an idle connection makes room for a new
one. Where none is idle, one that keeps us waiting does, if its caller holds more of them than the new one; else the
new one is answered 503, but for the health routes. What is read is judged in `parsing`.
"""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Generator
from typing import Any, Final, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import ASGIApp

from service.api.context import Context
from service.api.limits import client_address, neighbourhood
from service.cli.http import problems
from service.cli.http.parsing import Awaited, HttpLimits, ParsingProtocol

_HEALTH: Final = frozenset({b"/livez", b"/readyz"})


class _Transport:
    """The transport as answers see it: `close` lets the caller read what was written (RFC 9112 §9.6)."""

    def __init__(self, wire: asyncio.Transport, protocol: "RelayProtocol") -> None:
        self._wire = wire
        self._protocol = protocol
        self.write = wire.write

    def close(self) -> None:
        """Hang up."""
        self._protocol.hang_up()

    def is_closing(self) -> bool:
        """Return True if nothing more can be said."""
        return self._protocol.leaving or self._wire.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)


class RelayProtocol(ParsingProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.leaving = False  # all is said; what still comes is read and dropped
        self._body_waited = 0.0
        self._stuck_since: float | None = None  # nothing of what was written is taken
        self._crowded = False
        self._caller: tuple[int, str] | None = None  # which request told it, and where that came from
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, if there is room."""
        self._wire = transport
        super().connection_made(cast(asyncio.Transport, _Transport(transport, self)))
        self._tick()
        over = len(self.connections) - self.limits.connections
        if over > 0:
            self._crowded = not self._make_room(self.limits.crowded_seconds)
        if self._crowded and over > self.limits.reserve and not self._make_room(0):
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the protocol that has a clock of its own."""
        self._stop_clock()
        self.transport = self._wire
        self.scope["method"] = self.parser.get_method().decode(
            "ascii"
        )  # with an offer the head is not judged to its end
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """Note since when the caller takes nothing."""
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the caller takes its answer."""
        self._stuck_since = None
        super().resume_writing()

    def give_to_application(self) -> None:
        """Give the request to the application; where it is crowded, only questions after our health."""
        self._body_waited = 0.0
        self._crowded = self._crowded and len(self.connections) > self.limits.connections
        if not self._crowded:
            super().give_to_application()
            return
        if self.url not in _HEALTH and self._take_from_the_greediest():
            self._crowded = False
            super().give_to_application()
            return
        app, self.app = self.app, self.app if self.url in _HEALTH else problems.turn_away
        super().give_to_application()
        self.app = app
        self.cycle.keep_alive = False

    def hang_up(self) -> None:
        """Close. What is left of a request is read for a while: else a reset may overtake the answer."""
        asking = self.awaited is Awaited.BODY or (self.awaited is Awaited.HEAD and self.begun > 0)
        self.pipeline.clear()  # what waits is not answered any more
        if self.leaving or not asking or self._wire.is_closing() or not self._wire.can_write_eof():
            self._wire.close()
            return
        self.leaving, self.since = True, self.loop.time()
        self._wire.write_eof()
        self.flow.resume_reading()

    def drop(self) -> None:
        """Close at once, without a word."""
        self.connections.discard(self)  # its end is told only later
        self._wire.abort()

    def shutdown(self) -> None:
        """Close now, or after the answers that are under way."""
        super().shutdown()
        if self.leaving:
            self._wire.close()

    def is_idle(self) -> bool:
        """Return True if nothing was asked that is not answered."""
        return self.leaving or not self.answering

    def keeps_waiting(self) -> bool:
        """Return True if we wait for the rest of a request, or for an answer to be taken."""
        return self.awaited is Awaited.BODY or self._stuck_since is not None

    def caller(self) -> str:
        """Return the address of the latest request, as the proxies of ours tell it; without them, of the connection."""
        if self._caller is None or self._caller[0] != self.begun:
            context = getattr(getattr(self.app, "state", None), "context", None)
            hops = getattr(context, "trusted_proxy_hops", 0)
            request = Request(cast(dict[str, Any], self.scope))
            self._caller = (self.begun, neighbourhood(client_address(request, hops)))
        return self._caller[1]

    def _take_from_the_greediest(self) -> bool:
        """Drop a connection that keeps us waiting, of the caller with the most. Return True if one was.

        Never of a caller that would then hold fewer than ours: it would take the place back, and so on.
        """
        others = [
            each
            for each in self.connections
            if isinstance(each, RelayProtocol) and each is not self and not each.is_idle()
        ]
        held = Counter(each.caller() for each in others)
        waiting = [each for each in others if each.keeps_waiting() and held[each.caller()] > held[self.caller()] + 1]
        # Of its connections the one that brought least: an upload that gets on is worth more.
        chosen = min(waiting, key=lambda each: (-held[each.caller()], each.body_bytes), default=None)
        if chosen is not None:
            chosen.drop()
        return chosen is not None

    def _make_room(self, seconds: float) -> bool:
        """Drop the connection that has been idle longest, for so many seconds at least. Return True if one was."""
        others = (each for each in self.connections if isinstance(each, RelayProtocol) and each is not self)
        oldest = min((each for each in others if each.is_idle()), key=lambda each: each.since, default=None)
        if oldest is None or self.loop.time() - oldest.since < seconds:
            return False
        oldest.drop()
        return True

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()

    def _tick(self) -> None:
        """Look at the clock, and again soon."""
        self._clock = self.loop.call_later(self.limits.tick_seconds, self._tick)
        now = self.loop.time()
        if self._stuck_since is None and self._wire.is_closing():
            self._stuck_since = now  # what was written has to be taken before the connection can close
        if self._stuck_since is not None:
            if now - self._stuck_since > self.limits.write_seconds:
                self._wire.abort()
        elif self.leaving:
            if now - self.since > self.limits.linger_seconds:
                self._wire.abort()
        elif self.flow.read_paused:
            self.since = max(self.since, now - self.limits.tick_seconds)  # it is we who do not read
        elif self.awaited is Awaited.HEAD:
            self._await_more_head(now)
        elif self.awaited is Awaited.BODY:
            self._await_more_body(now)

    def _await_more_head(self, now: float) -> None:
        if now - self.since <= self.limits.head_seconds:
            return
        if self.partial_head():
            self.refuse(problems.SLOW_HEAD)
        else:
            self._wire.close()  # it never asked

    def _await_more_body(self, now: float) -> None:
        if not self.answering:
            if now - self.since > self.limits.linger_seconds:
                self._wire.close()
            return
        self._body_waited += self.limits.tick_seconds
        patience = self.limits.body_seconds + self.body_bytes / self.limits.body_bytes_per_second
        if self._body_waited > patience:
            self.refuse(problems.SLOW_BODY)


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

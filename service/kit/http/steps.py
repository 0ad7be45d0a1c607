"""The steps of a request on its way to an address, reported to the caller as they happen.

A connection is looked up, dialled and secured, and a fault in one step is another fault than in the next. aiohttp's own
tracing reports less, and costs a request more than all that is reported here.
"""

import ssl
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any

import aiohttp

LOOKING_UP, LOOKED_UP, CONNECTING, CONNECTED = "dns_start", "dns_end", "connect_start", "connect_end"
DIALLED, SECURING, SECURED, TLS_BROKE = "dialled", "securing", "secured", "tls broke"
_NO_FAULTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


class steps_reported_to:  # noqa: N801 - used as a function is; as a generator it costs three times as much
    """Report to a listener each step of the requests that are made inside, perhaps more than once."""

    __slots__ = ("_listener", "_token")

    def __init__(self, listener: Callable[[str], None]) -> None:
        self._listener = listener

    def __enter__(self) -> None:
        self._token = _listener.set(self._listener)

    def __exit__(self, *_: object) -> None:
        _listener.reset(self._token)


def report(step: str) -> None:
    """Report the step to the listener, if there is one."""
    if listener := _listener.get():
        listener(step)


class ReportingConnector(aiohttp.TCPConnector):
    """A connector that reports when a connection is made for a request, and when the request has one."""

    async def connect(self, *of: Any, **how: Any) -> Any:
        """Return a connection: a new one, or one that was kept alive, of which only `CONNECTED` is reported."""
        connection = await super().connect(*of, **how)
        report(CONNECTED)
        return connection

    async def _create_connection(self, *of: Any, **how: Any) -> Any:
        report(CONNECTING)
        return await super()._create_connection(*of, **how)


class _ReportingTls(ssl.SSLObject):
    """TLS of one connection, which reports its handshake, and an alert that ended it later."""

    def do_handshake(self) -> None:
        report(SECURING)
        super().do_handshake()
        report(SECURED)

    def read(self, *how: Any) -> Any:
        """Read as always. A writer would only learn that the connection has closed."""
        try:
            return super().read(*how)
        except _NO_FAULTS:
            raise
        except ssl.SSLError:
            report(TLS_BROKE)
            raise


@cache
def tls_context(cafile: str | None = None) -> ssl.SSLContext:
    """Return how connections are secured: as Python does it, for HTTP/1.1, with each handshake reported."""
    context = ssl.create_default_context(cafile=cafile)
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = _ReportingTls
    return context

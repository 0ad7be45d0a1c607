"""How far a request has come on its way to an address: told while it happens to the one who waits for it.

A connection is looked up, dialled and secured, and a fault in one is another fault than in the other. aiohttp's own
tracing tells less, and costs a request more than all that is told here.
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
    """Tell a listener each step of the requests that are made inside, perhaps more than once."""

    __slots__ = ("_token", "_told")

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told

    def __enter__(self) -> None:
        self._token = _listener.set(self._told)

    def __exit__(self, *_: object) -> None:
        _listener.reset(self._token)


def report(step: str) -> None:
    """Tell the step to the one who waits, if there is one."""
    if listener := _listener.get():
        listener(step)


class ReportingConnector(aiohttp.TCPConnector):
    """A connector that tells when a connection is made for a request, and when the request has one."""

    async def connect(self, *of: Any, **how: Any) -> Any:
        """Return a connection: a new one, or one that was kept alive, of which nothing is told but that it is there."""
        connection = await super().connect(*of, **how)
        report(CONNECTED)
        return connection

    async def _create_connection(self, *of: Any, **how: Any) -> Any:
        report(CONNECTING)
        return await super()._create_connection(*of, **how)


class _ReportingTls(ssl.SSLObject):
    """TLS of one connection, which tells of its handshake, and of an alert that ended it later."""

    def do_handshake(self) -> None:
        report(SECURING)
        super().do_handshake()
        report(SECURED)

    def read(self, *how: Any) -> Any:
        """Read as always. What a writer is told meanwhile is only that the connection has closed."""
        try:
            return super().read(*how)
        except _NO_FAULTS:
            raise
        except ssl.SSLError:
            report(TLS_BROKE)
            raise


@cache
def tls_context(cafile: str | None = None) -> ssl.SSLContext:
    """Return how connections are secured: as Python does it, for HTTP/1.1, with each handshake told."""
    context = ssl.create_default_context(cafile=cafile)
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = _ReportingTls
    return context
